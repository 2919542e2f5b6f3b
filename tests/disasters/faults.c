/* Make the N-th change of a file fail or be the last thing a process does, for N = 1, 2, 3 …: preloaded into the process under test.
 *
 * What counts, and what happens at call N (the name is FAULT, or the first argument of fault_arm):
 *   kill          renames and fsyncs: SIGKILL just before it
 *   kill-write    the same, and pwrite and fdatasync of regular files, as SQLite makes them
 *   kill-any      every call that changes a file or a folder: SIGKILL just before it
 *   stop-any      the same calls: SIGSTOP before each of them from N on, so that a parent may look at what a kill there would leave
 *   enospc        writes of regular files: this and all after it fail with ENOSPC
 *   enospc-once   every call that can need space (write, make, name, sync): it alone fails with ENOSPC, as where space was freed meanwhile
 *   short         writes of regular files: it alone writes half, as a nearly full disk or a signal has it, and says so
 *
 * By the environment: FAULT, FAULT_AT=N; FAULT_LOG=path gets the number of calls at the end. Only the process whose command line
 * names safelight.cli.main and the command FAULT_COMMAND (default: run) is concerned. By fault_arm: this process and those that it
 * forks, with one counter for all of them (tests/disasters/forks.py); each call that counts is a line on the descriptor `told`.
 * faults_arm and faults_calls are for a process that was forked ready to run and has its own counter (tests/disasters/forked.py).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { RENAME = 1, SYNC = 2, WRITE = 4, PWRITE = 8, DATASYNC = 16, MAKE = 32, REMOVE = 64, CUT = 128 };

static const struct { const char *name; int counted; enum { KILL, STOP, FULL, ONCE, SHORT } then; } FAULTS[] = {
    {"kill", RENAME | SYNC, KILL},
    {"kill-write", RENAME | SYNC | PWRITE | DATASYNC, KILL},
    {"kill-any", RENAME | SYNC | WRITE | PWRITE | DATASYNC | MAKE | REMOVE | CUT, KILL},
    {"stop-any", RENAME | SYNC | WRITE | PWRITE | DATASYNC | MAKE | REMOVE | CUT, STOP},
    {"enospc", WRITE | PWRITE, FULL},
    {"enospc-once", RENAME | SYNC | WRITE | PWRITE | DATASYNC | MAKE, ONCE},
    {"short", WRITE | PWRITE, SHORT},
};

static int active, chosen, told = -1;
static long at, own, *calls = &own;

/* Begin to count. `counter`: shared between processes, or NULL; `lines`: descriptor for a line a call, or -1. Return 0 where the name is
 * unknown, else 1. */
int fault_arm(const char *name, long when, long *counter, int lines) {
    for (size_t n = 0; n < sizeof FAULTS / sizeof *FAULTS; n++)
        if (!strcmp(name, FAULTS[n].name)) {
            chosen = (int)n, at = when, calls = counter ? counter : &own, told = lines, active = 1;
            return 1;
        }
    return 0;
}

void fault_disarm(void) { active = 0; }

__attribute__((constructor)) static void start(void) {
    char line[4096];
    const char *fault = getenv("FAULT"), *when = getenv("FAULT_AT");
    int fd = open("/proc/self/cmdline", O_RDONLY);
    long n = fd >= 0 ? read(fd, line, sizeof line) : 0;
    if (fd >= 0) close(fd);
    if (!fault || !when || n <= 0) return;
    const char *command = getenv("FAULT_COMMAND");
    char word[64];
    int length = snprintf(word, sizeof word, "%c%s", 0, command ? command : "run");
    if (!memmem(line, (size_t)n, "safelight.cli.main", 18) || !memmem(line, (size_t)n, word, (size_t)length + 1)) return;
    if (!fault_arm(fault, atol(when), NULL, -1)) abort();
}

__attribute__((destructor)) static void end(void) {
    const char *log = getenv("FAULT_LOG");
    FILE *f = active && log ? fopen(log, "w") : NULL;
    active = 0;
    if (f) { fprintf(f, "%ld\n", *calls); fclose(f); }
}

void faults_arm(const char *fault, long when) {
    own = 0;
    if (!fault_arm(fault, when, NULL, -1)) abort();
}

long faults_calls(void) { return own; }

static int regular(int fd) {
    struct stat s;
    return fd > 2 && fstat(fd, &s) == 0 && S_ISREG(s.st_mode);
}

static void tell(const char *call, const char *path, int fd) {
    char name[64], line[4400], of_fd[4200] = "";
    if (!path) {
        snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
        if (readlink(name, of_fd, sizeof of_fd - 1) < 0) of_fd[0] = 0;
    }
    int n = snprintf(line, sizeof line, "%s %s\n", call, path ? path : of_fd);
    if (syscall(SYS_write, told, line, n < (int)sizeof line ? n : (int)sizeof line) < 0) abort();
}

/* Count a call of a kind. 0: go on, 1: it fails for lack of space, 2: it does half. */
static int met(int kind, const char *call, const char *path, int fd) {
    if (!active || !(FAULTS[chosen].counted & kind)) return 0;
    int before = errno;
    long number = __atomic_add_fetch(calls, 1, __ATOMIC_SEQ_CST);
    if (told >= 0) tell(call, path, fd);
    errno = before;
    switch (FAULTS[chosen].then) {
        case KILL: if (number == at) kill(getpid(), SIGKILL); return 0;
        case STOP: if (number >= at) kill(getpid(), SIGSTOP); return 0;
        case ONCE: return number == at;
        case SHORT: return number == at ? 2 : 0;
        case FULL: return number >= at;
    }
    return 0;
}

#define FIND(type, name) static type real; if (!real) real = (type)dlsym(RTLD_NEXT, name)
#define FAIL { errno = ENOSPC; return -1; }

typedef int (*two_names)(const char *, const char *);
typedef int (*one_name)(const char *);
typedef int (*name_mode)(const char *, mode_t);
typedef int (*at_name_mode)(int, const char *, mode_t);
typedef int (*at_name_flags)(int, const char *, int);
typedef int (*of_fd)(int);
typedef int (*cut_fd)(int, off64_t);
typedef ssize_t (*write_type)(int, const void *, size_t);
typedef ssize_t (*writev_type)(int, const struct iovec *, int);
typedef ssize_t (*pwrite_type)(int, const void *, size_t, off64_t);
typedef int (*open_type)(const char *, int, ...);
typedef int (*openat_type)(int, const char *, int, ...);

int rename(const char *a, const char *b) { FIND(two_names, "rename"); if (met(RENAME, "rename", b, -1)) FAIL; return real(a, b); }
int fsync(int fd) { FIND(of_fd, "fsync"); if (met(SYNC, "fsync", NULL, fd)) FAIL; return real(fd); }
int fdatasync(int fd) { FIND(of_fd, "fdatasync"); if (met(DATASYNC, "fdatasync", NULL, fd)) FAIL; return real(fd); }

ssize_t write(int fd, const void *p, size_t n) {
    FIND(write_type, "write");
    int fault = active && regular(fd) ? met(WRITE, "write", NULL, fd) : 0;
    if (fault == 1) FAIL;
    return real(fd, p, fault == 2 && n > 1 ? n / 2 : n);
}
ssize_t writev(int fd, const struct iovec *v, int n) {
    FIND(writev_type, "writev");
    int fault = active && regular(fd) ? met(WRITE, "write", NULL, fd) : 0;
    if (fault == 1) FAIL;
    return real(fd, v, fault == 2 && n > 1 ? n / 2 : n);
}
ssize_t pwrite64(int fd, const void *p, size_t n, off64_t o) {
    FIND(pwrite_type, "pwrite64");
    int fault = active && regular(fd) ? met(PWRITE, "pwrite", NULL, fd) : 0;
    if (fault == 1) FAIL;
    return real(fd, p, fault == 2 && n > 1 ? n / 2 : n, o);
}
ssize_t pwrite(int fd, const void *p, size_t n, off_t o) { return pwrite64(fd, p, n, o); }

int mkdir(const char *a, mode_t m) { FIND(name_mode, "mkdir"); if (met(MAKE, "mkdir", a, -1)) FAIL; return real(a, m); }
int mkdirat(int d, const char *a, mode_t m) { FIND(at_name_mode, "mkdirat"); if (met(MAKE, "mkdir", a, -1)) FAIL; return real(d, a, m); }
int unlink(const char *a) { FIND(one_name, "unlink"); met(REMOVE, "remove", a, -1); return real(a); }
int rmdir(const char *a) { FIND(one_name, "rmdir"); met(REMOVE, "remove", a, -1); return real(a); }
int unlinkat(int d, const char *a, int f) { FIND(at_name_flags, "unlinkat"); met(REMOVE, "remove", a, -1); return real(d, a, f); }
int ftruncate64(int fd, off64_t n) { FIND(cut_fd, "ftruncate64"); met(CUT, "truncate", NULL, fd); return real(fd, n); }
int ftruncate(int fd, off_t n) { return ftruncate64(fd, n); }

/* Only what makes a file that is not there yet changes a folder. */
static int makes(int folder, const char *path, int flags) {
    int nameless = (flags & O_TMPFILE) == O_TMPFILE;
    if (!active || !(nameless || (flags & O_CREAT)) || (!nameless && faccessat(folder, path, F_OK, 0) == 0)) return 0;
    return met(MAKE, "open", path, -1) == 1;
}
#define MODE(flags) va_list rest; va_start(rest, flags); mode_t mode = (mode_t)va_arg(rest, int); va_end(rest)

static int refused(int folder, const char *path, int flags) {
    int before = errno, answer = makes(folder, path, flags);
    errno = answer ? ENOSPC : before;
    return answer;
}
int open(const char *path, int flags, ...) {
    FIND(open_type, "open");
    MODE(flags);
    return refused(AT_FDCWD, path, flags) ? -1 : real(path, flags, mode);
}
int open64(const char *path, int flags, ...) {
    FIND(open_type, "open64");
    MODE(flags);
    return refused(AT_FDCWD, path, flags) ? -1 : real(path, flags, mode);
}
int openat(int folder, const char *path, int flags, ...) {
    FIND(openat_type, "openat");
    MODE(flags);
    return refused(folder, path, flags) ? -1 : real(folder, path, flags, mode);
}
int openat64(int folder, const char *path, int flags, ...) {
    FIND(openat_type, "openat64");
    MODE(flags);
    return refused(folder, path, flags) ? -1 : real(folder, path, flags, mode);
}

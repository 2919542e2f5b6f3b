/* Make the N-th durable call of the command fail, for N = 1, 2, 3 …: preloaded into the process under test.
 *
 * FAULT=kill: SIGKILL just before the N-th rename or fsync. FAULT=enospc: the N-th write to a regular file (and all after it)
 * fails with ENOSPC. FAULT_AT=N; FAULT_LOG=path gets the number of calls at the end, so that a test knows how many there are.
 * FAULT=kill-write also counts writes of files by pwrite and syncs by fdatasync, as SQLite makes them.
 * Only the process whose command line names safelight.cli.main and the command FAULT_COMMAND (default: run) is concerned.
 * A process that was forked ready to run sets its own fault: faults_arm("kill-write", N), and reads the number of calls: faults_calls().
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static int active, kill_mode, kill_write;
static long at, calls;

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
    active = memmem(line, (size_t)n, "safelight.cli.main", 18) != NULL && memmem(line, (size_t)n, word, (size_t)length + 1) != NULL;
    kill_write = !strcmp(fault, "kill-write");
    kill_mode = kill_write || !strcmp(fault, "kill");
    at = atol(when);
}

__attribute__((destructor)) static void end(void) {
    const char *log = getenv("FAULT_LOG");
    FILE *f = active && log ? fopen(log, "w") : NULL;
    active = 0;
    if (f) { fprintf(f, "%ld\n", calls); fclose(f); }
}

void faults_arm(const char *fault, long when) {
    kill_write = !strcmp(fault, "kill-write");
    kill_mode = kill_write || !strcmp(fault, "kill");
    calls = 0;
    at = when;
    active = 1;
}

long faults_calls(void) { return calls; }

static int regular(int fd) {
    struct stat s;
    return fstat(fd, &s) == 0 && S_ISREG(s.st_mode);
}

static void durable(void) {
    if (active && kill_mode && ++calls == at) kill(getpid(), SIGKILL);
}

static int full(int fd) { return active && !kill_mode && regular(fd) && ++calls >= at; }

typedef int (*rename_type)(const char *, const char *);
typedef int (*fsync_type)(int);
typedef ssize_t (*write_type)(int, const void *, size_t);
typedef ssize_t (*pwrite_type)(int, const void *, size_t, off64_t);

#define FIND(type, name) static type real; if (!real) real = (type)dlsym(RTLD_NEXT, name)

int rename(const char *a, const char *b) { FIND(rename_type, "rename"); durable(); return real(a, b); }
int fdatasync(int fd) {
    FIND(fsync_type, "fdatasync");
    if (kill_write) durable();
    return real(fd);
}
int fsync(int fd) { FIND(fsync_type, "fsync"); durable(); return real(fd); }
ssize_t write(int fd, const void *p, size_t n) {
    FIND(write_type, "write");
    if (full(fd)) { errno = ENOSPC; return -1; }
    return real(fd, p, n);
}
ssize_t pwrite64(int fd, const void *p, size_t n, off64_t o) {
    FIND(pwrite_type, "pwrite64");
    if (kill_write && regular(fd)) durable();
    if (full(fd)) { errno = ENOSPC; return -1; }
    return real(fd, p, n, o);
}

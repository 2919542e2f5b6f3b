"""Two seccomp filters as classic BPF, made here byte by byte: no library, nothing to look up inside the sandbox.

Stage 1 is set by bubblewrap before the worker starts and takes away what no worker ever needs. Stage 2 the worker sets on
itself after its imports: only what reading descriptors and computing needs stays. What a filter denies answers EPERM; what
only an attacker would try (exec, fork, ptrace …) kills the process. Numbers of system calls: Linux `asm/unistd_64.h` and
`asm-generic/unistd.h`; filter layout: `linux/filter.h`, `linux/seccomp.h`.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct

ALLOW, KILL, EPERM, ENOSYS = 0x7FFF0000, 0x80000000, 0x00050001, 0x00050026
_LD, _JEQ, _JGE, _JSET, _RET = 0x20, 0x15, 0x35, 0x45, 0x06
_NR, _ARCH, _ARG0 = 0, 4, 16

_CLONE_THREAD = 0x00010000
_PROT_EXEC = 4

_X86_64 = {
    name: number
    for number, name in enumerate(
        (
            "read write open close stat fstat lstat poll lseek mmap mprotect munmap brk rt_sigaction rt_sigprocmask rt_sigreturn "
            "ioctl pread64 pwrite64 readv writev access pipe select sched_yield mremap msync mincore madvise shmget shmat shmctl dup "
            "dup2 pause nanosleep getitimer alarm setitimer getpid sendfile socket connect accept sendto recvfrom sendmsg recvmsg "
            "shutdown bind listen getsockname getpeername socketpair setsockopt getsockopt clone fork vfork execve exit wait4 kill "
            "uname semget semop semctl shmdt msgget msgsnd msgrcv msgctl fcntl flock fsync fdatasync truncate ftruncate getdents "
            "getcwd chdir fchdir rename mkdir rmdir creat link unlink symlink readlink chmod fchmod chown fchown lchown umask "
            "gettimeofday getrlimit getrusage sysinfo times ptrace"
        ).split()
    )
} | {
    "setpgid": 109, "setsid": 112, "capget": 125, "capset": 126, "sigaltstack": 131, "personality": 135, "prctl": 157, "arch_prctl": 158,
    "setrlimit": 160, "chroot": 161, "mount": 165, "umount2": 166, "swapon": 167, "reboot": 169, "init_module": 175, "delete_module": 176,
    "gettid": 186, "tkill": 200, "futex": 202, "sched_setaffinity": 203, "sched_getaffinity": 204, "io_setup": 206, "set_tid_address": 218,
    "clock_gettime": 228, "clock_getres": 229, "clock_nanosleep": 230, "exit_group": 231, "tgkill": 234, "kexec_load": 246, "add_key": 248,
    "request_key": 249, "keyctl": 250, "openat": 257, "newfstatat": 262, "unshare": 272, "set_robust_list": 273, "vmsplice": 278,
    "perf_event_open": 298, "prlimit64": 302, "name_to_handle_at": 303, "open_by_handle_at": 304, "setns": 308, "process_vm_readv": 310,
    "process_vm_writev": 311, "kcmp": 312, "finit_module": 313, "getrandom": 318, "memfd_create": 319, "kexec_file_load": 320, "bpf": 321,
    "execveat": 322, "userfaultfd": 323, "membarrier": 324, "statx": 332, "rseq": 334, "pidfd_send_signal": 424, "io_uring_setup": 425,
    "io_uring_enter": 426, "io_uring_register": 427, "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsmount": 432, "pidfd_open": 434,
    "clone3": 435, "openat2": 437, "pidfd_getfd": 438, "process_madvise": 440, "mount_setattr": 442,
}  # fmt: skip

_AARCH64 = {
    "io_setup": 0, "fcntl": 25, "ioctl": 29, "umount2": 39, "mount": 40, "chroot": 51, "openat": 56, "close": 57, "lseek": 62, "read": 63,
    "write": 64, "readv": 65, "writev": 66, "pread64": 67, "pwrite64": 68, "vmsplice": 75, "newfstatat": 79, "fstat": 80, "capset": 91,
    "personality": 92, "exit": 93, "exit_group": 94, "set_tid_address": 96, "unshare": 97, "futex": 98, "set_robust_list": 99,
    "nanosleep": 101, "kexec_load": 104, "init_module": 105, "delete_module": 106, "clock_gettime": 113, "clock_getres": 114,
    "clock_nanosleep": 115, "ptrace": 117, "sched_setaffinity": 122, "sched_getaffinity": 123, "sched_yield": 124, "kill": 129,
    "tkill": 130, "tgkill": 131, "sigaltstack": 132, "rt_sigaction": 134, "rt_sigprocmask": 135, "rt_sigreturn": 139, "reboot": 142,
    "times": 153, "setpgid": 154, "setsid": 157, "getrlimit": 163, "setrlimit": 164, "getrusage": 165, "prctl": 167, "gettimeofday": 169,
    "getpid": 172, "gettid": 178, "sysinfo": 179, "shmget": 194, "socket": 198, "socketpair": 199, "bind": 200, "listen": 201,
    "connect": 203, "sendto": 206, "recvfrom": 207, "sendmsg": 211, "recvmsg": 212, "brk": 214, "munmap": 215, "mremap": 216,
    "add_key": 217, "request_key": 218, "keyctl": 219, "clone": 220, "execve": 221, "mmap": 222, "swapon": 224, "mprotect": 226,
    "msync": 227, "mincore": 232, "madvise": 233, "perf_event_open": 241, "prlimit64": 261, "name_to_handle_at": 264,
    "open_by_handle_at": 265, "setns": 268, "process_vm_readv": 270, "process_vm_writev": 271, "kcmp": 272, "finit_module": 273,
    "getrandom": 278, "memfd_create": 279, "bpf": 280, "execveat": 281, "userfaultfd": 282, "membarrier": 283, "rseq": 293,
    "kexec_file_load": 294, "pidfd_send_signal": 424, "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427,
    "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsmount": 432, "pidfd_open": 434, "clone3": 435, "openat2": 437,
    "pidfd_getfd": 438, "process_madvise": 440, "mount_setattr": 442,
}  # fmt: skip

_ARCHITECTURES = {"x86_64": (0xC000003E, _X86_64), "aarch64": (0xC00000B7, _AARCH64)}

_NEVER = [
    "socket",
    "socketpair",
    "connect",
    "bind",
    "listen",
    "ptrace",
    "mount",
    "umount2",
    "unshare",
    "setns",
    "bpf",
    "keyctl",
    "add_key",
    "request_key",
    "io_uring_setup",
    "io_uring_enter",
    "io_uring_register",
    "userfaultfd",
    "open_by_handle_at",
    "name_to_handle_at",
    "process_vm_readv",
    "process_vm_writev",
    "process_madvise",
    "perf_event_open",
    "kexec_load",
    "kexec_file_load",
    "init_module",
    "finit_module",
    "delete_module",
    "reboot",
    "swapon",
    "chroot",
    "personality",
    "pidfd_open",
    "pidfd_getfd",
    "pidfd_send_signal",
    "open_tree",
    "move_mount",
    "fsopen",
    "fsmount",
    "mount_setattr",
    "kcmp",
    "vmsplice",
    "memfd_create",
    "io_setup",
    "shmget",
]
"""Denied from the start: nothing that a worker or the interpreter needs."""

_DEADLY = [
    "execve",
    "execveat",
    "fork",
    "vfork",
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "unshare",
    "setns",
    "mount",
    "bpf",
    "kexec_load",
    "init_module",
    "finit_module",
    "io_uring_setup",
    "keyctl",
    "userfaultfd",
    "kill",
    "tkill",
]
"""Tried by nobody but an attacker once stage 2 stands."""

_NEEDED = [
    "read",
    "write",
    "readv",
    "writev",
    "pread64",
    "lseek",
    "close",
    "fstat",
    "recvmsg",
    "sendmsg",
    "recvfrom",
    "sendto",
    "poll",
    "mmap",
    "mprotect",
    "munmap",
    "mremap",
    "brk",
    "madvise",
    "mincore",
    "futex",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sigaltstack",
    "sched_yield",
    "sched_getaffinity",
    "clock_gettime",
    "clock_getres",
    "clock_nanosleep",
    "nanosleep",
    "gettimeofday",
    "times",
    "getrusage",
    "getpid",
    "gettid",
    "getrandom",
    "exit",
    "exit_group",
    "set_robust_list",
    "rseq",
    "membarrier",
    "set_tid_address",
    "getrlimit",
    "setrlimit",
    "prlimit64",
    "sysinfo",
    "tgkill",
    "clone",
]
"""What reading descriptors, computing, threads of a decoder and an orderly end need."""


def stage_one() -> bytes:
    """Return the filter that bubblewrap sets: all but `_NEVER` is allowed; new processes may not take new namespaces."""
    return _program(dict.fromkeys(_NEVER, EPERM) | {"clone3": ENOSYS}, ALLOW)


def stage_two() -> bytes:
    """Return the filter that a worker sets on itself: `_NEEDED` allowed, `_DEADLY` kills, the rest answers EPERM."""
    return _program(dict.fromkeys(_NEEDED, ALLOW) | dict.fromkeys(_DEADLY, KILL) | {"clone3": ENOSYS}, EPERM, checked=True)


def stage_two_with_files() -> bytes:
    """Return the filter of a worker that must open a file by name (SQLite): stage 2, with opening and looking allowed.

    Such a worker sees only the system libraries and the one file that was bound for it, all read only.
    """
    files = ["open", "openat", "stat", "lstat", "newfstatat", "statx", "access", "readlink", "fcntl", "getcwd"]
    return _program(dict.fromkeys((*_NEEDED, *files), ALLOW) | dict.fromkeys(_DEADLY, KILL) | {"clone3": ENOSYS}, EPERM, checked=True)


def _program(actions: dict[str, int], default: int, checked: bool = False) -> bytes:
    arch, numbers = _ARCHITECTURES[platform.machine()]
    code = [_op(_LD, 0, 0, _ARCH), _op(_JEQ, 1, 0, arch), _op(_RET, 0, 0, KILL), _op(_LD, 0, 0, _NR)]
    if platform.machine() == "x86_64":  # the x32 numbers would pass by the table
        code += [_op(_JGE, 0, 1, 0x40000000), _op(_RET, 0, 0, KILL)]
    for name, action in actions.items():
        if name not in numbers:
            continue
        body = _argument_check(name) if checked else []
        body = body or [_op(_RET, 0, 0, action)]
        code += [_op(_JEQ, 0, len(body), numbers[name]), *body]
    code.append(_op(_RET, 0, 0, default))
    return b"".join(code)


def _argument_check(name: str) -> list[bytes]:
    """Return the body for a call that is allowed for some arguments only."""
    if name == "clone":  # threads, yes; processes, no
        return [_op(_LD, 0, 0, _ARG0), _op(_JSET, 0, 1, _CLONE_THREAD), _op(_RET, 0, 0, ALLOW), _op(_RET, 0, 0, KILL)]
    if name in ("mmap", "mprotect"):  # no new code
        return [_op(_LD, 0, 0, _ARG0 + 16), _op(_JSET, 0, 1, _PROT_EXEC), _op(_RET, 0, 0, EPERM), _op(_RET, 0, 0, ALLOW)]
    if name == "prlimit64":  # of this process only
        return [_op(_LD, 0, 0, _ARG0), _op(_JEQ, 0, 1, 0), _op(_RET, 0, 0, ALLOW), _op(_RET, 0, 0, EPERM)]
    if name == "tgkill":  # abort() of this process; another one is not to be reached
        return [_op(_LD, 0, 0, _ARG0), _op(_JEQ, 0, 1, os.getpid()), _op(_RET, 0, 0, ALLOW), _op(_RET, 0, 0, KILL)]
    return []


def _op(code: int, true: int, false: int, k: int) -> bytes:
    return struct.pack("=HBBI", code, true, false, k)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def install(program: bytes) -> None:
    """Set a filter on this process, for good. Raise OSError when the kernel refuses."""
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(program, len(program))
    prog = _Program(len(program) // 8, ctypes.cast(buffer, ctypes.c_void_p))
    pr_set_no_new_privs, pr_set_seccomp, mode_filter = 38, 22, 2
    if libc.prctl(pr_set_no_new_privs, 1, 0, 0, 0) or libc.prctl(pr_set_seccomp, mode_filter, ctypes.byref(prog), 0, 0):
        error = ctypes.get_errno()
        raise OSError(error, f"seccomp: {os.strerror(error)}")

"""Nothing gets out of a worker: each line is an attempt from inside, behind the same walls as a real worker, and none succeeds.

The attempts run with the walls of `sandbox/walls.py` and the limits and filter of `sandbox/child.py`, as the user of the test and,
where that is root, as nobody too. An attempt may be refused or may kill the worker; it must not print `ESCAPED`.
"""

from __future__ import annotations

import functools
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from safelight.sandbox import parent, walls

PRELUDE = """
import ctypes, os, socket, struct, sys, signal, resource, mmap, time
sys.path.insert(0, "/source")
libc = ctypes.CDLL(None, use_errno=True)
def syscall(number, *args):
    r = libc.syscall(number, *args)
    if r == -1: raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return r
from safelight.sandbox import child, limits
OUT = os.dup(1)
child.enter("full")
def escaped(*what):
    os.write(OUT, ("ESCAPED " + repr(what)).encode())
try:
{attempt}
except BaseException as e:
    os.write(OUT, ("refused " + type(e).__name__).encode())
os.write(OUT, b" end")
"""

ATTEMPTS = {
    # files
    "read a file of the host": 'escaped(open("/etc/passwd").read(10))',
    "read a file of the system": 'escaped(open("/usr/bin/env", "rb").read(4))',
    "open by openat": 'escaped(syscall(257, -100, b"/usr/bin/env", 0))',
    "open by openat2": 'how = struct.pack("QQQ", 0, 0, 0); escaped(syscall(437, -100, b"/usr/bin/env", how, 24))',
    "open by old open": 'escaped(syscall(2, b"/usr/bin/env", 0))',
    "open by creat": 'escaped(syscall(85, b"/tmp/x", 0o644))',
    "list a folder": 'escaped(os.listdir("/"))',
    "list processes": 'escaped(os.listdir("/proc"))',
    "look at a file": 'escaped(os.stat("/usr"))',
    "look by statx": 'escaped(syscall(332, -100, b"/usr", 0, 0xfff, ctypes.create_string_buffer(256)))',
    "write a file": 'f = open("/tmp/x", "w"); f.write("x"); f.flush(); escaped()',
    "make a folder": 'os.mkdir("/tmp/d"); escaped()',
    "make a link": 'os.symlink("/etc", "/tmp/l"); escaped()',
    "make a hard link": 'os.link("/usr/bin/env", "/tmp/e"); escaped()',
    "remove a file": 'os.unlink("/usr/bin/env"); escaped()',
    "rename": 'os.rename("/usr/bin/env", "/tmp/env"); escaped()',
    "change rights": 'os.chmod("/tmp", 0o777); escaped()',
    "change the root": 'os.chroot("/tmp"); escaped()',
    "make a device": 'os.mknod("/tmp/dev", 0o600 | 0x6000, os.makedev(8, 0)); escaped()',
    "open by handle": "escaped(syscall(304, 0, ctypes.create_string_buffer(64), 0))",
    "a file in memory": 'escaped(syscall(319, b"x", 0))',
    # processes
    "fork": "pid = os.fork(); escaped(pid)",
    "fork by clone": "escaped(syscall(56, 17, 0, 0, 0, 0))",
    "fork by clone3": "a = (ctypes.c_uint64 * 11)(); a[4] = 17; escaped(syscall(435, a, 88))",
    "vfork": "escaped(syscall(58))",
    "run a program": 'os.execv("/usr/bin/true", ["true"]); escaped()',
    "run a program by execveat": 'escaped(syscall(322, -100, b"/usr/bin/true", 0, 0, 0))',
    "start a shell": 'escaped(os.system("true") == 0)',
    "trace": "escaped(syscall(101, 0, 0, 0, 0))",
    "kill the parent": "os.kill(os.getppid(), 15); escaped()",
    "kill everything": "os.kill(-1, 9); escaped()",
    "signal by tgkill": "escaped(syscall(234, 1, 1, 9))",
    "open a process": "escaped(syscall(434, 1, 0))",
    "take a descriptor of a process": "escaped(syscall(438, 3, 0, 0))",
    "read memory of a process": "escaped(syscall(310, 1, 0, 0, 0, 0, 0))",
    "write memory of a process": "escaped(syscall(311, 1, 0, 0, 0, 0, 0))",
    # network
    "internet": "escaped(socket.socket())",
    "internet v6": "escaped(socket.socket(socket.AF_INET6))",
    "unix socket": "escaped(socket.socket(socket.AF_UNIX))",
    "socket pair": "escaped(socket.socketpair())",
    "netlink": "escaped(socket.socket(16, 3, 0))",
    "raw packets": "escaped(socket.socket(17, 3, 3))",
    "connect over a passed number": 'escaped(syscall(42, 0, b"x" * 16, 16))',
    # the kernel
    "new namespaces": "escaped(syscall(272, 0x10000000))",
    "join a namespace": "escaped(syscall(308, 0, 0))",
    "mount": 'escaped(syscall(165, b"none", b"/tmp", b"tmpfs", 0, 0))',
    "mount by the new calls": 'escaped(syscall(430, b"tmpfs", 0))',
    "keys": "escaped(syscall(250, 0, -3, 0, 0, 0))",
    "bpf": "escaped(syscall(321, 0, 0, 0))",
    "io_uring": "escaped(syscall(425, 8, ctypes.create_string_buffer(120)))",
    "userfaultfd": "escaped(syscall(323, 0))",
    "perf events": "escaped(syscall(298, 0, 0, -1, -1, 0))",
    "load a module": 'escaped(syscall(175, 0, 0, b""))',
    "another personality": "escaped(syscall(135, 0x0040000))",
    "executable memory": "escaped(mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC))",
    "memory made executable": "m = mmap.mmap(-1, 4096); a = ctypes.addressof(ctypes.c_char.from_buffer(m)); "
    "escaped(syscall(10, a, 4096, 7))",
    "a filter that allows": "escaped(syscall(317, 1, 0, 0))",
    "a terminal's input": 'import fcntl; escaped(fcntl.ioctl(OUT, 0x5412, b"x"))',
    "32-bit calls": 'escaped(syscall(0x40000000 + 2, b"/etc/passwd", 0))',
    # limits
    "two GiB": 'b = bytearray(2 << 30); b[::4096] = b"x" * len(b[::4096]); escaped(len(b))',
    "more memory allowed": "resource.setrlimit(resource.RLIMIT_DATA, (4 << 30, 4 << 30)); escaped()",
    "more files allowed": "resource.setrlimit(resource.RLIMIT_NOFILE, (1 << 20, 1 << 20)); escaped()",
    "limits of another process": "escaped(syscall(302, 1, 9, 0, ctypes.create_string_buffer(16)))",
    "root again": "os.setuid(0); escaped(os.getuid())",
    "groups": "os.setgroups([0]); escaped()",
    "capabilities": "escaped(syscall(126, ctypes.create_string_buffer(64), ctypes.create_string_buffer(64)))",
}
"""Name → code. System call numbers are those of x86_64; elsewhere the libc functions alone are tried."""


def behind_walls(code: str, as_nobody: bool) -> tuple[int, str]:
    """Run Python behind the walls of a worker; return its exit code and what it printed."""
    fd = walls.filter_fd()
    try:
        line = walls.command(["-c", code], fd)
        if as_nobody:
            line = as_ordinary_user(line)
        done = subprocess.run(line, pass_fds=[fd], capture_output=True, timeout=60, stdin=subprocess.DEVNULL)
    finally:
        os.close(fd)
    return done.returncode, (done.stdout + done.stderr).decode(errors="replace")


SHOWN = {sys.base_prefix: "/mnt/python", sysconfig.get_paths()["platlib"]: "/mnt/site", str(Path(walls.__file__).parents[1]): "/mnt/source"}
"""What the walls show of this Python and this project, and where everybody can reach it: either may lie in a closed home folder."""

MOUNT = """mount -t tmpfs none /mnt && for pair in "$1=/mnt/python" "$2=/mnt/site" "$3=/mnt/source"; do
mkdir "${pair#*=}" && mount --rbind "${pair%=*}" "${pair#*=}" || exit 1; done; shift 3; exec "$@" """


def as_ordinary_user(line: list[str]) -> list[str]:
    """Return a command line that root starts and nobody runs, in mounts of its own where Python and project can be reached."""
    become = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]
    moved = [SHOWN.get(word, word) if before == "--ro-bind" else word for before, word in zip(["", *line], line, strict=False)]
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", MOUNT, "sh", *SHOWN, *become, *moved]


def indented(attempt: str) -> str:
    return "\n".join("    " + part for part in attempt.split("; "))


@pytest.fixture(params=["as started", "as an ordinary user"])
def as_nobody(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whose walls: those of the user who runs the tests and, where that is root, those of a user without rights, by a user namespace."""
    if request.param == "as started":
        return False
    if os.geteuid() != 0:
        pytest.skip("the tests run as an ordinary user already")
    if not namespaces_allowed():
        pytest.skip("this kernel gives ordinary users no user namespaces")
    monkeypatch.setattr(os, "geteuid", lambda: 65534)
    return True


@functools.cache
def namespaces_allowed() -> bool:
    line = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--", "unshare", "--user", "true"]
    return subprocess.run(line, capture_output=True).returncode == 0


@pytest.mark.parametrize("name", ATTEMPTS)
def test_no_attempt_gets_out(name: str, as_nobody: bool) -> None:
    """The attempt is refused or kills the worker."""
    if os.uname().machine != "x86_64" and "syscall(" in ATTEMPTS[name]:
        pytest.skip("numbers of system calls are those of x86_64")
    code, said = behind_walls(PRELUDE.replace("{attempt}", indented(ATTEMPTS[name])), as_nobody)

    assert "ESCAPED" not in said
    assert "refused" in said or code != 0, said
    assert "bwrap" not in said, said  # the walls were built: it is the attempt that failed


def test_at_least_forty_attempts() -> None:
    """The table is not emptied by accident."""
    assert len(ATTEMPTS) >= 40


def test_the_harness_can_tell(as_nobody: bool) -> None:
    """What is allowed inside is seen as an escape by this harness: the test can fail."""
    _, said = behind_walls(PRELUDE.replace("{attempt}", "    escaped(os.getpid())"), as_nobody)

    assert "ESCAPED" in said
    assert said.endswith("end")


def test_inside_there_is_nothing_of_the_host() -> None:
    """Before the second filter: no host files, no case, no network but a lonely loopback, no environment, an unprivileged uid."""
    code = (
        "import os, socket, sys; print(sorted(os.listdir('/')), os.environ.get('SAFELIGHT_SECRET'), os.getuid(), os.getgroups(), "
        "[n for _, n in socket.if_nameindex()] if False else '', os.path.exists('/etc/passwd'), os.path.exists('/root'), os.path.exists('/home'))"
    )
    os.environ["SAFELIGHT_SECRET"] = "canary"
    try:
        status, said = behind_walls(code, as_nobody=False)
    finally:
        del os.environ["SAFELIGHT_SECRET"]

    assert status == 0, said
    assert "canary" not in said
    assert said.rstrip().endswith("False False False")
    assert "etc" not in said and "home" not in said
    assert os.geteuid() != 0 or " 65534 " in said


def test_network_of_the_host_is_not_there() -> None:
    """A server on the host's loopback is not reached, even before the second filter."""
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(1.0)
    port = server.getsockname()[1]
    _, said = behind_walls(f"import socket; socket.create_connection(('127.0.0.1', {port}), 2); print('ESCAPED')", as_nobody=False)

    assert "ESCAPED" not in said
    with pytest.raises(TimeoutError):
        server.accept()
    server.close()


def test_without_bubblewrap_nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the walls cannot be built, the answer is a refusal that says what to do."""
    from safelight.errors import Refused

    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(Refused, match="bubblewrap"):
        parent.Sandbox("digests")

"""Start a worker behind its walls and speak with it from outside.

Evidence never gets a path in there: the parent opens it read only and passes descriptors. Started by root, the worker becomes
uid 65534 before its first instruction of Python; otherwise bubblewrap gives it a user namespace of its own. Where the walls
cannot be built, `Refused` is raised; `walls=False` (`--without-sandbox`) leaves them out, which the ledger and report say.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import safelight
from safelight.errors import Refused
from safelight.sandbox import limits, protocol, seccomp

GRACE_S = 2.0
"""Seconds that a worker has to end by itself once its channel is closed."""

UNPRIVILEGED = 65534
"""Uid and gid of `nobody` on Linux."""


class WorkerDied(Exception):
    """The worker ended in the middle of a request. `kind` is a problem kind, `reason` says how it ended."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind, self.reason = kind, reason


class RequestFailed(Exception):
    """The worker could not meet the request and said why."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind, self.reason = kind, reason


class Sandbox:
    """One persistent worker. Use it as a context manager; after `WorkerDied` it is gone."""

    def __init__(self, profile: str = "full", walls: bool = True, readable: Path | None = None) -> None:
        self.cpu_ms = 0
        for last in (False, False, True):  # one that is killed while it starts has read nothing: start another
            self._start(profile, walls, readable)
            if self._ready(last):
                return

    def _start(self, profile: str, walls: bool, readable: Path | None) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        filter_fd = _filter_fd() if walls else -1
        entry = ["-m", "safelight.sandbox.child", str(theirs.fileno()), profile]
        inherited = [theirs.fileno(), *([filter_fd] if walls else [])]
        try:
            self._process = subprocess.Popen(
                command(entry, filter_fd, readable) if walls else [sys.executable, "-s", *entry],
                pass_fds=inherited,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=None if walls else {"PATH": os.environ.get("PATH", ""), **_environment()},
            )
        finally:
            theirs.close()
            if walls:
                os.close(filter_fd)
        ours.settimeout(limits.WALL_SILENCE_S)
        self._channel = protocol.Channel(ours, protocol.Answer)

    def _ready(self, last: bool) -> bool:
        """Wait for the first word of the worker. False: it was killed, and this was not the last try. Raise `Refused`."""
        try:
            ready = self._channel.receive()
        except (OSError, protocol.BadFrame) as e:
            ready = e
        if isinstance(ready, protocol.Ready):
            return True
        self.close()
        said = (self._process.stderr.read() if self._process.stderr else b"").decode(errors="replace").strip()[-800:]
        if self._process.returncode == -signal.SIGKILL and not said and not last:
            return False
        raise Refused(
            f"the sandbox cannot be started: {said or ready}. Nothing was read. Evidence is only opened inside the sandbox; "
            "install bubblewrap and allow user namespaces, or decide for `--without-sandbox` (it is written to the ledger)."
        )

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self, orderly: bool = True) -> None:
        """End the worker: its channel ends, and it with it; one that does not is killed."""
        self._channel.sock.close()
        try:
            self._process.wait(timeout=GRACE_S if orderly else 0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def pid(self) -> int:
        """Process id of the outermost process of the worker."""
        return self._process.pid

    def ask(self, request: Any, descriptors: Sequence[int] = ()) -> Iterator[Any]:
        """Send a request and yield its answers up to the last. Raise `RequestFailed` or `WorkerDied`.

        A caller that leaves before the last answer leaves the channel out of step: the worker is ended then.
        """
        whole = False
        try:
            self._channel.send(request, list(descriptors))
            while not whole:
                answer = self._channel.receive()
                match answer:
                    case None:
                        raise self._death()
                    case protocol.Failed(kind=kind, reason=reason):
                        whole = True
                        raise RequestFailed(checked_kind(kind), reason)
                    case protocol.End(cpu_ms=cpu_ms):
                        whole, self.cpu_ms = True, cpu_ms
                    case protocol.Opened() | protocol.ImageDigests():
                        whole = True
                        yield answer
                    case _:
                        yield answer
        except TimeoutError:
            raise WorkerDied("limit.time", f"the worker said nothing for {limits.WALL_SILENCE_S} s") from None
        except (BrokenPipeError, ConnectionResetError):
            raise self._death() from None
        except protocol.BadFrame as e:
            raise WorkerDied("protocol", f"the worker's answer is not valid: {e}"[:300]) from None
        finally:
            if not whole:
                self.close(orderly=False)

    def _death(self) -> WorkerDied:
        try:
            status = self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.close()
            return WorkerDied("crashed", "the worker closed its channel")
        self._channel.sock.close()
        number = status - 128 if status > 128 else -status
        if number in (24, 9) and status != 0:  # SIGXCPU; SIGKILL follows at the hard limit
            kind = "limit.time" if number == 24 else "crashed"
            return WorkerDied(kind, "the CPU seconds of the item are used up" if number == 24 else "the worker was killed")
        return WorkerDied("crashed", f"the worker ended with {f'signal {number}' if number > 0 else f'status {status}'}")


def checked_kind(kind: str) -> str:
    """Return a problem kind that a worker claims, or `protocol` where it is none of the closed list."""
    from safelight.problems import KINDS

    return kind if kind in KINDS else "protocol"


def command(entry: Sequence[str], filter_fd: int, readable: Path | None = None) -> list[str]:
    """Return the command line that starts Python with these arguments behind the walls. `readable`: one file to show as /input."""
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        raise Refused("bubblewrap (`bwrap`) is not installed. Nothing was read. Install the package bubblewrap.")
    walls = ["--die-with-parent", "--new-session", "--clearenv", "--cap-drop", "ALL"]
    drop: list[str] = []
    if os.geteuid() == 0:  # no user namespace: root there would still be root here; become nobody instead
        walls += ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
        walls += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID", "--cap-add", "CAP_SETPCAP"]
        drop = ["/usr/bin/setpriv", f"--reuid={UNPRIVILEGED}", f"--regid={UNPRIVILEGED}", "--clear-groups"]
        drop += ["--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", "--"]
    else:
        walls += ["--unshare-all", "--unshare-user", "--disable-userns"]
    binds = [
        "--ro-bind",
        "/usr",
        "/usr",
        "--symlink",
        "usr/bin",
        "/bin",
        "--symlink",
        "usr/lib",
        "/lib",
        "--symlink",
        "usr/lib64",
        "/lib64",
    ]
    python = "/usr/bin/python3" if sys.base_prefix == "/usr" else "/python/bin/" + Path(os.path.realpath(sys.executable)).name
    if sys.base_prefix == "/usr":
        python = os.path.realpath(sys.executable)
    else:
        binds += ["--ro-bind", sys.base_prefix, "/python"]
    source = Path(safelight.__file__).parent
    binds += ["--ro-bind", sysconfig.get_paths()["platlib"], "/site", "--dir", "/source", "--ro-bind", str(source), "/source/safelight"]
    if readable is not None:
        binds += ["--ro-bind", str(readable.resolve()), "/input"]
    environment = [word for name, value in _environment().items() for word in ("--setenv", name, value)]
    environment += ["--setenv", "PYTHONPATH", "/source:/site", "--setenv", "LD_LIBRARY_PATH", "/python/lib"]
    rest = ["--dev", "/dev", "--perms", "1777", "--tmpfs", "/tmp", "--chdir", "/", "--seccomp", str(filter_fd)]
    return [bwrap, *walls, *binds, *environment, *rest, *drop, python, "-s", "-B", *entry]


def _environment() -> dict[str, str]:
    """One thread per worker, one zone, one language: results depend on nothing outside."""
    return {
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "2",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _filter_fd() -> int:
    """Return a descriptor that holds the first filter, for bubblewrap to read."""
    fd = os.memfd_create("filter", 0)
    os.write(fd, seccomp.stage_one())
    os.lseek(fd, 0, os.SEEK_SET)
    os.set_inheritable(fd, True)
    return fd

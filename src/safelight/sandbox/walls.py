"""The walls of a worker, seen from outside: the command line that starts Python behind them.

Started by root, the worker becomes uid 65534 before its first instruction of Python; otherwise bubblewrap gives it a user namespace of
its own. Where the walls cannot be built, `Refused` is raised.
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

import safelight
from safelight.errors import Refused
from safelight.sandbox import seccomp

UNPRIVILEGED = 65534
"""Uid and gid of `nobody` on Linux."""


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
    variables = {**environment(), "PYTHONPATH": "/source:/site", "LD_LIBRARY_PATH": "/python/lib"}
    setenv = [word for name, value in variables.items() for word in ("--setenv", name, value)]
    rest = ["--dev", "/dev", "--perms", "1777", "--tmpfs", "/tmp", "--chdir", "/", "--seccomp", str(filter_fd)]
    return [bwrap, *walls, *binds, *setenv, *rest, *drop, python, "-s", "-B", *entry]


def environment() -> dict[str, str]:
    """One thread per worker, one zone, one language: results depend on nothing outside."""
    return {
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "2",
        "ORT_DISABLE_TELEMETRY": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def filter_fd() -> int:
    """Return a descriptor that holds the first filter, for bubblewrap to read."""
    fd = os.memfd_create("filter", 0)
    os.write(fd, seccomp.stage_one())
    os.lseek(fd, 0, os.SEEK_SET)
    os.set_inheritable(fd, True)
    return fd

"""Templates: started once behind the walls, they fork workers (`forker.py` is their inside).

A process may share one with all sandboxes that it starts (`share`), and with its children, which are told the number of the control
socket (`adopt`). Where the shared one has died, each sandbox starts one of its own: nothing depends on it but time.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from safelight.sandbox import walls as building

GRACE_S = 2.0
"""Seconds that a template has to end by itself once nobody can ask it any more."""


class Source:
    """Where workers are forked from, known by its control socket."""

    def __init__(self, control: socket.socket) -> None:
        self.control = control

    def fork(self, channel: socket.socket, lifeline: socket.socket) -> None:
        """Ask for a worker on this channel. Raise OSError where the template has ended."""
        socket.send_fds(self.control, [b"f"], [channel.fileno(), lifeline.fileno()], socket.MSG_NOSIGNAL)

    def close(self) -> Any:
        """Ask for no more workers."""
        self.control.close()


class Template(Source):
    """A process of its own that workers are forked from. `readable`: one file that they see as /input."""

    def __init__(self, profile: str, walls: bool, readable: Path | None = None) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        filter_fd = building.filter_fd() if walls else -1
        entry = ["-m", "safelight.sandbox.child", str(theirs.fileno()), profile]
        inherited = [theirs.fileno(), *([filter_fd] if walls else [])]
        try:
            self._process = subprocess.Popen(
                building.command(entry, filter_fd, readable) if walls else [sys.executable, "-s", *entry],
                pass_fds=inherited,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=None if walls else {"PATH": os.environ.get("PATH", ""), **building.environment()},
            )
        finally:
            theirs.close()
            if walls:
                os.close(filter_fd)
        super().__init__(ours)

    def close(self) -> tuple[int, str]:
        """End the template and its workers; return its exit code (minus a signal) and what it said. A second call says nothing more."""
        self.control.close()
        try:
            self._process.wait(timeout=GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stderr is not None
        if self._process.stderr.closed:
            return self._process.returncode, ""
        with self._process.stderr as stderr:
            return self._process.returncode, stderr.read().decode(errors="replace").strip()[-800:]


_shared: dict[tuple[str, bool], Source] = {}


def share(profile: str, walls: bool) -> int:
    """Let all sandboxes of this process come from one template; return the number of its control socket, for children to `adopt`."""
    if (profile, walls) not in _shared:
        _shared[profile, walls] = Template(profile, walls)
    return _shared[profile, walls].control.fileno()


def adopt(number: int, profile: str, walls: bool) -> None:
    """Take part in the template of the parent process."""
    _shared[profile, walls] = Source(socket.socket(fileno=number))


def shared(profile: str, walls: bool) -> Source | None:
    """Return the shared template for a profile; one that has loaded everything serves who wants digests only."""
    return _shared.get((profile, walls)) or (_shared.get(("full", walls)) if profile == "digests" else None)


def unshare() -> None:
    """End what was shared. Workers that still live end too."""
    while _shared:
        _shared.popitem()[1].close()

"""Workers that are forked from one template: they are apart from one another, end when they are told to, and need no template to be shared."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from safelight.sandbox import protocol, template
from safelight.sandbox.parent import Sandbox, WorkerDied


@pytest.fixture
def shared() -> Iterator[template.Template]:
    """A template that this process shares with all its sandboxes."""
    template.share("digests", True)
    one = template._shared["digests", True]
    assert isinstance(one, template.Template)
    yield one
    template.unshare()


def open_image(worker: Sandbox, path: Path) -> None:
    """Open a file as an image in a worker."""
    fd = os.open(path, os.O_RDONLY)
    try:
        assert [type(a) for a in worker.ask(protocol.Segments([b"disk.raw"]), [fd])] == []
    finally:
        os.close(fd)
    assert [type(a) for a in worker.ask(protocol.Open())] == [protocol.Opened]


def test_workers_of_one_template_work_side_by_side(shared: template.Template, tmp_path: Path) -> None:
    """Two workers hold an image of their own each; the end of one is nothing to the other; the first bears the cost of the start."""
    small = tmp_path / "small.raw"
    small.write_bytes(b"stamp" * 1000)
    large = tmp_path / "large.raw"
    large.write_bytes(b"boat" * 9000)
    with Sandbox("digests") as one, Sandbox("digests") as other:
        assert (one._own, other._own) == (None, None)
        open_image(one, small)
        open_image(other, large)
        first = list(one.ask(protocol.DigestImage()))
        assert one.cpu_ms > other.cpu_ms
        one.close()
        assert list(other.ask(protocol.DigestImage())) != first


def test_a_busy_worker_ends_at_once(shared: template.Template, tmp_path: Path) -> None:
    """Closing a worker in the middle of hours of work kills it, and the template says so."""
    huge = tmp_path / "huge.raw"
    huge.touch()
    os.truncate(huge, 1 << 40)
    worker = Sandbox("digests")
    open_image(worker, huge)
    worker._channel.send(protocol.DigestImage())
    worker._lifeline.shutdown(socket.SHUT_WR)
    assert worker._status(60) == -signal.SIGKILL
    worker.close()


def test_a_template_that_is_killed_takes_its_workers_along_and_is_not_needed(shared: template.Template) -> None:
    """A request to a worker of it says that the worker died; the next sandbox starts by itself."""
    worker = Sandbox("digests")
    shared._process.kill()
    worker._lifeline.settimeout(60)
    assert worker._lifeline.recv(1, socket.MSG_PEEK) == b""  # the kernel has ended all of them
    with pytest.raises(WorkerDied) as died:
        list(worker.ask(protocol.Segments([])))
    assert died.value.kind == "crashed"
    with Sandbox("digests") as next_one:
        assert next_one._own is not None
        assert list(next_one.ask(protocol.Segments([]))) == []


def test_a_worker_with_a_template_of_its_own_dies_as_any_other() -> None:
    """Its death is told as one, and closing what has ended is harmless, however often."""
    worker = Sandbox("digests")
    assert worker._own is not None
    worker._lifeline.shutdown(socket.SHUT_WR)
    with pytest.raises(WorkerDied) as died:
        for _ in range(100_000):  # the template kills it when it hears of it: until then it answers
            list(worker.ask(protocol.Segments([])))
    assert died.value.kind == "crashed"
    worker.close()
    worker.close()


def test_a_shared_template_of_everything_serves_who_wants_digests() -> None:
    """The listing needs less than the extraction, and takes its worker from the same template; not the other way round."""
    source = template.Source(socket.socket())
    template._shared["full", False] = source
    try:
        assert template.shared("digests", False) is source
        assert template.shared("full", False) is source
        assert template.shared("digests", True) is None
        assert template.shared("hashset", False) is None
    finally:
        template.unshare()


PROGRAM = """
import os, socket, sys
from safelight.sandbox import forker
asking, asked = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
if os.fork() == 0:
    asking.close()
    mine = forker.fork_workers(asked)
    if mine is not None:
        links = [os.readlink(f"/proc/self/fd/{n}") for n in range(3, 100) if os.path.islink(f"/proc/self/fd/{n}")]
        mine.send(repr(sorted(l for l in links if l.startswith(("socket", "pipe")))).encode())
        mine.recv(1)
        os._exit(7)
    os._exit(0)
asked.close()
held = []
for _ in range(3):
    ours, theirs = socket.socketpair()
    lifeline, end = socket.socketpair()
    socket.send_fds(asking, [b"f"], [theirs.fileno(), end.fileno()])
    own = os.readlink(f"/proc/self/fd/{theirs.fileno()}")
    theirs.close(), end.close()
    held.append((ours, lifeline))
    print(eval(ours.recv(10000)) == [own])
for ours, lifeline in held:
    ours.close()
    print(forker.STATUS.unpack(lifeline.recv(4)))
"""


def test_a_worker_holds_its_own_channel_only() -> None:
    """Neither the control socket, nor a lifeline, nor what belongs to another worker; and its exit code is told."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60)
    assert done.stdout.split("\n") == ["True"] * 3 + ["(7,)"] * 3 + [""], done.stderr

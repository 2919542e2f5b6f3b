"""The main loop of a worker, inside the sandbox: import everything, fork, close the walls, answer requests until the end.

Started as `python -m safelight.sandbox.child CONTROL PROFILE`; `forker.py` makes a worker for each request on the control socket. What
evidence causes leaves as a problem; what is left over (a crash, a limit) ends the worker, and the parent says so. Profiles load no more
than they need: `full`, `descriptor` (which may be given a model), `digests`, `hashset` (and `hashset-file`, which may open the one file that was bound for it).
"""

from __future__ import annotations

import codecs
import functools
import gc
import importlib
import os
import pkgutil
import signal
import socket
import sys
import time
from typing import Any

from safelight.sandbox import forker, limits, protocol, seccomp

BATCH = 256
"""Entries in one `Listed` frame."""

CHUNK = 1 << 20
"""Bytes in one `Chunk` frame."""


CODECS = "ascii cp437 cp850 cp932 cp1251 cp1252 idna latin-1 mac-roman raw-unicode-escape unicode-escape utf-8-sig utf-16 utf-16-be utf-16-le utf-32".split()
"""Text encodings that readers ask for late."""


def main(arguments: list[str]) -> int:
    """Fork workers as long as somebody may ask for one; in a worker, serve its parent. Returns 0 at the end of the requests."""
    os.environ["TZ"] = "UTC"
    time.tzset()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to end
    number, profile = int(arguments[0]), arguments[1]
    warm_up(profile)
    gc.collect()
    gc.freeze()  # what is shared with the workers stays shared
    mine = forker.fork_workers(socket.socket(fileno=number))
    if mine is None:
        return 0
    channel = protocol.Channel(mine, protocol.Request, takes_descriptors=True)
    enter(profile)
    channel.send(protocol.Ready())
    worker = Worker(channel)
    while (request := channel.receive()) is not None:
        worker.answer(request)
    return 0


def warm_up(profile: str) -> None:
    """Import and exercise what this profile needs: later nothing can be opened any more."""
    for name in CODECS:
        codecs.lookup(name)
    if profile.startswith("hashset"):
        from safelight.match import formats, sandboxed  # noqa: F401

        formats.warm_up()
        return
    from safelight.evidence import containers, exhibit, filesystems, volumes  # noqa: F401

    for package in (containers, volumes, filesystems):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    for part in (containers, volumes.shadow, filesystems):
        part.warm_up()
    from safelight.extract import worker

    worker.warm_up(profile)


def enter(profile: str) -> None:
    """Close the walls of this process, for good: limits, then the second filter."""
    silence = os.open(os.devnull, os.O_WRONLY)  # libraries print about evidence; a full pipe would stop them
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    limits.apply()
    seccomp.install(seccomp.stage_two_with_files() if profile == "hashset-file" else seccomp.stage_two())


class Worker:
    """Answers requests over one channel; holds the open image."""

    def __init__(self, channel: protocol.Channel) -> None:
        self.channel = channel
        self.image: Any = None
        self._segments: list[tuple[bytes, int]] = []
        self._held: list[int] = []
        self._descriptor: Any = None

    def answer(self, request: protocol.Request) -> None:
        """Answer one request; what it cannot do is a `Failed`, and the worker lives on."""
        descriptors, self.channel.descriptors = self.channel.descriptors, []
        try:
            match request:
                case protocol.Segments():
                    self._segments += zip(request.names, descriptors, strict=True)
                    descriptors = []
                    self.channel.send(protocol.End(limits.cpu_ms()))
                case protocol.Open():
                    self._open()
                case protocol.List():
                    limits.allow_cpu(limits.CPU_LISTING_S)
                    self._list()
                case protocol.Extract():
                    self._extract(request, descriptors)
                case protocol.Read():
                    limits.allow_cpu(limits.CPU_LISTING_S)
                    self._read(request, descriptors)
                case protocol.Model():
                    limits.allow_cpu(limits.CPU_MODEL_S)
                    self._model(descriptors)
                case protocol.DigestImage():
                    limits.allow_cpu(1 << 30)
                    self._digest()
                case protocol.Import():
                    limits.allow_cpu(1 << 30)
                    self._import(request, descriptors)
        except MemoryError:
            self.channel.send(protocol.Failed("limit.memory", "the worker's memory was used up"))
        except Exception as e:
            self.channel.send(protocol.Failed(*_as_problem(e)))
        finally:
            for fd in descriptors:
                os.close(fd)

    def _open(self) -> None:
        from safelight.evidence.bytesource import FdSource
        from safelight.evidence.exhibit import DiskImage
        from safelight.evidence.source import Segment

        limits.allow_cpu(limits.CPU_LISTING_S)
        self.image, segments, self._segments = None, self._segments, []
        for fd in self._held:
            os.close(fd)
        self._held = [fd for _, fd in segments]
        self.image = DiskImage([Segment(name, FdSource(fd)) for name, fd in segments])
        image = self.image.stream
        stored = [(d.algorithm, d.value) for d in image.stored_digests]
        self.channel.send(protocol.Opened(self.image.container, image.size, stored, list(image.problems)))

    def _list(self) -> None:
        from safelight.evidence.exhibit import VolumeSummary
        from safelight.problems import Problem

        entries: list[Any] = []
        problems: list[Problem] = []
        for found in self.image.listing():
            if isinstance(found, VolumeSummary):
                self.channel.send(protocol.Listed(entries, problems))
                entries, problems = [], []
                self.channel.send(protocol.Volume(found.origin, found.filesystem, found.label, found.offset, found.size, found.accounts))
            elif isinstance(found, Problem):
                problems.append(found)
            else:
                entries.append(found)
            if len(entries) + len(problems) >= BATCH:
                self.channel.send(protocol.Listed(entries, problems))
                entries, problems = [], []
        self.channel.send(protocol.Listed(entries, problems))
        self.channel.send(protocol.End(limits.cpu_ms()))

    def _extract(self, request: protocol.Extract, descriptors: list[int]) -> None:
        from safelight.extract.worker import extract

        for task in request.tasks:
            limits.allow_cpu(limits.item_cpu_seconds(task.size))
            begun = whole = False
            try:
                for item in extract(
                    task, functools.partial(self._source, task.origin, task.descriptor, descriptors), request.only, self._descriptor
                ):
                    self.channel.send(item)
                    begun, whole = True, isinstance(item, protocol.Item) and item.whole
            except Exception as e:  # the border of the sandbox: whatever a parser throws is a problem of this item
                problem = ("limit.memory", "more memory than a worker may have") if isinstance(e, MemoryError) else _as_problem(e)
                self.channel.send(protocol.Late(task.ordinal, 0, [problem]) if begun else protocol.Item(task.ordinal, problems=[problem]))
            if not whole:
                self.channel.send(protocol.Done(task.ordinal))
        self.channel.send(protocol.End(limits.cpu_ms()))

    def _source(self, origin: str, descriptor: int, descriptors: list[int]) -> Any:
        from safelight.evidence.bytesource import FdSource
        from safelight.evidence.origin import parse
        from safelight.extract.worker import entry_steps

        if descriptor >= 0:
            return FdSource(descriptors[descriptor])
        return self.image.content(entry_steps(parse(origin)))

    def _read(self, request: protocol.Read, descriptors: list[int]) -> None:
        from safelight.extract.worker import reopen

        for block in reopen(request.origin, self._source(request.origin, request.descriptor, descriptors)):
            for start in range(0, len(block), CHUNK):
                self.channel.send(protocol.Chunk(bytes(block[start : start + CHUNK])))
        self.channel.send(protocol.End(limits.cpu_ms()))

    def _model(self, descriptors: list[int]) -> None:
        from safelight.evidence.bytesource import FdSource
        from safelight.extract.descriptor import Descriptor

        source = FdSource(descriptors[0])
        self._descriptor = Descriptor(source.read_at(0, source.size))
        self.channel.send(self._descriptor.examined())

    def _digest(self) -> None:
        from safelight.extract.digests import new_digests

        image, digests, offset = self.image.stream, new_digests(), 0
        while offset < image.size:
            block = image.read_at(offset, CHUNK)
            if not block:
                raise OSError(f"the image ends at {offset} of {image.size} bytes")
            digests.update(block)
            offset += len(block)
        self.channel.send(protocol.ImageDigests(digests.md5().hex(), digests.sha1().hex(), digests.sha256().hex()))

    def _import(self, request: protocol.Import, descriptors: list[int]) -> None:
        from safelight.match.sandboxed import event_frames

        for data in event_frames(request.name, request.options, descriptors):
            self.channel.send(protocol.Chunk(data))
        self.channel.send(protocol.End(limits.cpu_ms()))


def _as_problem(e: Exception) -> tuple[str, str]:
    from safelight.evidence.source import Unreadable

    return (e.kind, e.reason) if isinstance(e, Unreadable) else ("crashed", f"the reader failed: {type(e).__name__}: {e}"[:500])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

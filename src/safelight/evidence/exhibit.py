"""An open disk image: its container, its volumes, their file systems. Runs in the sandbox, over descriptors only.

`listing` gives everything in canonical order: volumes in the order of the table, shadow copies behind their volume, entries in
the order of the reader. `content` opens the bytes of one entry again from the steps of its origin.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence

from safelight.evidence.bytesource import Slice
from safelight.evidence.containers import open_image
from safelight.evidence.filesystems import open_filesystem
from safelight.evidence.origin import Step
from safelight.evidence.source import Accounts, ByteSource, Entry, Image, OpenFileSystem, Partition, Segment, Unreadable
from safelight.evidence.volumes import scan
from safelight.evidence.volumes.encryption import identify, is_encrypted
from safelight.evidence.volumes.shadow import stores
from safelight.problems import Problem

OPEN_FILE_SYSTEMS = 8
"""File systems kept open at a time."""


class VolumeSummary:
    """What is said of a volume after its entries: where it is, what it holds, its accounts."""

    def __init__(self, origin: str, offset: int, size: int) -> None:
        self.origin, self.offset, self.size = origin, offset, size
        self.filesystem: str | None = None
        self.label = ""
        self.accounts: Accounts | None = None


class DiskImage:
    """One image exhibit, opened from its segments."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        self.container, self.image = open_image(segments)
        self._partitions: list[Partition | Problem] | None = None
        self._open: OrderedDict[str, OpenFileSystem] = OrderedDict()

    @property
    def stream(self) -> Image:
        return self.image

    def _scan(self) -> list[Partition | Problem]:
        if self._partitions is None:
            self._partitions = list(scan(self.image))
        return self._partitions

    def listing(self) -> Iterator[tuple[str, Entry] | Problem | VolumeSummary]:
        """Yield (origin, entry) pairs, problems and, after each volume, its summary."""
        for problem in self.image.problems:
            yield _placed(problem, self.container)
        for part in self._scan():
            if isinstance(part, Problem):
                yield _placed(part, self.container)
                continue
            origin = f"{self.container}/{part.step}"
            yield from self._volume(origin, Slice(self.image, part.offset, part.size), part.offset)

    def _volume(self, origin: str, source: ByteSource, offset: int) -> Iterator[tuple[str, Entry] | Problem | VolumeSummary]:
        summary = VolumeSummary(origin, offset, source.size)
        if words := is_encrypted(source):  # first: some show a small, true file system in front of the encrypted one
            yield Problem("encrypted", words, origin, False)
        try:
            filesystem = open_filesystem(source)
        except Unreadable as e:
            if words:
                yield summary
                return
            kind, reason = identify(source) or (e.kind, e.reason)
            yield Problem(kind, reason, origin, False)
            yield summary
            return
        summary.filesystem, summary.label = filesystem.name, filesystem.label
        yield from _entries(origin, filesystem)
        summary.accounts = filesystem.accounts()
        yield summary
        if filesystem.name == "ntfs" and "/vss:" not in origin:  # a shadow copy holds the store it came from, without end
            yield from self._shadow_copies(origin, source)

    def _shadow_copies(self, origin: str, source: ByteSource) -> Iterator[tuple[str, Entry] | Problem | VolumeSummary]:
        for store in stores(source):
            if isinstance(store, Problem):
                yield _placed(store, origin)
            else:
                yield from self._volume(f"{origin}/{store.step}", store.source, 0)

    def content(self, steps: Sequence[Step]) -> ByteSource:
        """Open the bytes of an entry by its steps, container first. Raise `Unreadable`."""
        *volume, entry = steps
        if not volume or volume[0].kind != self.container:
            raise Unreadable("corrupt", f"the origin does not begin in a {self.container} container")
        return self._filesystem(volume[1:]).content(entry.argument)

    def _filesystem(self, steps: Sequence[Step]) -> OpenFileSystem:
        key = "/".join(f"{s.kind}:{s.argument}" for s in steps)
        if key not in self._open:
            self._open[key] = open_filesystem(self._volume_source(steps))
            if len(self._open) > OPEN_FILE_SYSTEMS:
                self._open.popitem(last=False)
        self._open.move_to_end(key)
        return self._open[key]

    def _volume_source(self, steps: Sequence[Step]) -> ByteSource:
        source: ByteSource = self.image
        for step in steps:
            text = f"{step.kind}:{step.argument}" if step.argument else step.kind
            if step.kind == "vss":
                found = [s.source for s in stores(source) if not isinstance(s, Problem) and s.step == text]
            else:
                parts = [p for p in self._scan() if isinstance(p, Partition) and p.step == text]
                found = [Slice(self.image, p.offset, p.size) for p in parts]
            if not found:
                raise Unreadable("corrupt", f"the exhibit has no {text}")
            source = found[0]
        return source


def _entries(origin: str, filesystem: OpenFileSystem) -> Iterator[tuple[str, Entry] | Problem]:
    place = 0
    for entry in filesystem.entries():
        if isinstance(entry, Problem):
            yield _placed(entry, origin)
        else:
            place += 1
            yield f"{origin}/{filesystem.name}:{entry.address}@{place}", entry


def _placed(problem: Problem, origin: str) -> Problem:
    place = f"{origin}/{problem.origin}" if problem.origin else origin
    return Problem(problem.kind, problem.reason, place, problem.complete)

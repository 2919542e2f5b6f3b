"""One name of the Sleuth Kit and its record, made into entries exactly as `fls` prints them.

On NTFS one name gives an entry for each $DATA stream and each index root; elsewhere one name is one entry. A deleted name is
compared with its record: a record in use again, or one that was counted on by more than the deletion itself (NTFS raises the
sequence number by one on deletion), is that of another file, so the name is kept without content.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from safelight.evidence.filesystems.allocation import AllocationMap
from safelight.evidence.filesystems.tsk_image import LIBRARY_ERRORS
from safelight.evidence.source import Entry, Unreadable

ALLOCATED = 1  # TSK_FS_META_FLAG_ALLOC, TSK_FS_NAME_FLAG_ALLOC
META_TYPES = ("unknown", "file", "directory", "fifo", "device", "device", "symlink", "unknown", "socket", "whiteout", "virtual", "virtual")
NAME_TYPES = ("unknown", "fifo", "device", "directory", "device", "file", "symlink", "socket", "unknown", "whiteout", "virtual", "virtual")
REGULAR, DIRECTORY, LINK, VIRTUAL, VIRTUAL_DIRECTORY = 1, 2, 6, 10, 11  # TSK_FS_META_TYPE_ENUM
NTFS_DATA, NTFS_INDEX_ROOT = 128, 144
SHOWN = (1, NTFS_DATA, NTFS_INDEX_ROOT, 4352)  # attributes that can be an entry
SPARSE_OR_FILLER = 3  # TSK_FS_ATTR_RUN_FLAG_FILLER | _SPARSE
SAME_SEQUENCE = -1
"""Sequence number of a name that is not from a folder but from the record itself."""
MAX_LINK = 65536
MAX_RUNS = 4_000_000
"""Runs of one attribute that are looked at: more than a file of 16 TB in 4-KiB pieces has none here."""


class Name(NamedTuple):
    """A name in a folder: bytes as stored, in use or not, record, TSK name type, sequence number the name was given for."""

    name: bytes
    live: bool
    address: int
    type: int
    sequence: int


class Stream(NamedTuple):
    """An attribute that `fls` would print (or the only one), with its blocks."""

    kind: int
    id: int
    name: bytes
    size: int
    runs: list[tuple[int, int]]
    capacity: int  # blocks of all runs, sparse ones too; -1 for content that stands in the record


class Place(NamedTuple):
    """Where names are found: the prefix of their paths, whether below `$OrphanFiles`, whether below a deleted folder."""

    prefix: bytes
    orphan: bool
    deleted: bool


class Rules(NamedTuple):
    """What differs between file systems for one entry."""

    reader: str
    ntfs: bool
    fat: bool
    time_basis: str
    block_size: int
    allocation: AllocationMap | None


def nanoseconds(seconds: int, nano: int) -> int | None:
    """Join both parts of a time; the epoch itself means that there is none."""
    return None if seconds == 0 and nano == 0 else seconds * 1_000_000_000 + nano


def streams_of(file: Any) -> list[Stream]:
    """Return all attributes with the runs that occupy blocks (sparse and filler runs do not)."""
    found = []
    for a in file:
        info = a.info
        kind, resident = int(info.type), int(info.flags) & 4
        if resident and kind not in SHOWN:
            continue
        runs: list[tuple[int, int]] = []
        capacity = -1
        if not resident:  # TSK_FS_ATTR_RES: the content stands in the record
            capacity = 0
            for r in a:
                capacity += int(r.len)
                if not int(r.flags) & SPARSE_OR_FILLER:
                    runs.append((int(r.addr), int(r.len)))
                    if len(runs) > MAX_RUNS:
                        break
        found.append(Stream(kind, int(info.id), info.name or b"", int(info.size), runs, capacity))
    return found


class Described(NamedTuple):
    """The entries of a name, its TSK metadata type (-1: none) and the bytes on the volume that its record holds in all."""

    entries: list[Entry]
    meta_type: int
    bytes_held: int
    links: int
    in_use: bool


def describe(name: Name, file: Any | None, place: Place, rules: Rules) -> Described:
    """Make the entries of one name; `file` is the opened record or None where there is none."""
    path = place.prefix + name.name
    meta = file.info.meta if file is not None else None
    if meta is None:
        return _bare(name, path, place, rules)
    problems: list[tuple[str, str]] = []
    try:
        streams = streams_of(file)
    except LIBRARY_ERRORS as e:
        streams = []
        problems.append(("corrupt", f"the attributes cannot be read: {' '.join(str(e).split())[:200]}"))
    base = _Base(name, meta, path, place, rules, problems)
    if base.kind == LINK and not base.link and 0 < int(meta.size) <= MAX_LINK:
        base.link = _link(file, int(meta.size), problems)
    held = sum(length for s in streams for _, length in s.runs) * rules.block_size
    entries = list(base.entries(streams, held))
    return Described(entries, base.kind, held, int(meta.nlink), base.in_use)


def _link(file: Any, size: int, problems: list[tuple[str, str]]) -> bytes:
    """Read the target of a symbolic link from its blocks (the library leaves it out where the link has extents)."""
    try:
        target: bytes = file.read_random(0, size)
    except LIBRARY_ERRORS as e:
        problems.append(("corrupt", f"the target of the link cannot be read: {' '.join(str(e).split())[:200]}"))
        return b""
    return target.split(b"\0", 1)[0]


def _bare(name: Name, path: bytes, place: Place, rules: Rules) -> Described:
    """A name without a record."""
    reason = "the record of this name cannot be read" if name.live else "a deleted name without a record"
    entry = Entry(
        address=str(name.address),
        path=path,
        state="live" if name.live else "orphan" if place.orphan else "deleted",
        type=NAME_TYPES[name.type] if 0 <= name.type < len(NAME_TYPES) else "unknown",
        time_basis=rules.time_basis,
        reader=rules.reader,
        has_content=False,
        problems=(("corrupt" if name.live else "name-only", reason),),
    )
    return Described([entry], -1, 0, 0, False)


class _Base:
    """What the entries of one name share."""

    def __init__(self, name: Name, meta: Any, path: bytes, place: Place, rules: Rules, problems: list[tuple[str, str]]) -> None:
        self.name, self.meta, self.path, self.rules, self.problems = name, meta, path, rules, problems
        self.kind = int(meta.type)
        self.link: bytes = (meta.link or b"") if self.kind == LINK else b""
        in_use = self.in_use = bool(int(meta.flags) & ALLOCATED)
        self.readable = True
        self.state = "live" if name.live else "orphan" if place.orphan else "deleted"
        if not name.live:
            distance = int(meta.seq) - name.sequence if rules.ntfs and name.sequence != SAME_SEQUENCE else 0
            if in_use:
                self._forget("the record is in use again: what stands there is not the content of this name")
            elif distance not in (0, 1):
                self._forget(f"the record was used again and freed (sequence number {name.sequence} for the name, {int(meta.seq)} now)")
        elif rules.ntfs and in_use and name.sequence not in (SAME_SEQUENCE, int(meta.seq)) and name.sequence:
            problems.append(("reallocated", f"the name is for sequence number {name.sequence}, the record has {int(meta.seq)}"))
        elif not in_use:
            problems.append(("corrupt", "the name is in use and its record is not"))
        self.times = {
            "mtime": nanoseconds(int(meta.mtime), int(meta.mtime_nano)),
            "atime": nanoseconds(int(meta.atime), int(meta.atime_nano)),
            "ctime": nanoseconds(int(meta.ctime), int(meta.ctime_nano)),
            "btime": nanoseconds(int(meta.crtime), int(meta.crtime_nano)),
        }

    def _forget(self, reason: str) -> None:
        self.readable = False
        self.problems.append(("reallocated", reason))

    def entries(self, streams: list[Stream], held: int) -> Iterator[Entry]:
        """Yield what `fls` prints: on NTFS each $DATA and index root, else one line."""
        if not self.rules.ntfs:
            main = next((s for s in streams if s.kind in (1, 4352)), None)
            yield self._entry(str(self.name.address), self.path, main, held)
            return
        shown = [s for s in streams if s.kind in (NTFS_DATA, NTFS_INDEX_ROOT)]
        if not shown:
            yield self._entry(str(self.name.address), self.path, None, held)
        for s in shown:
            path = self.path
            if s.name and not (s.kind == NTFS_INDEX_ROOT and s.name == b"$I30"):
                path += b":" + s.name
            own = sum(length for _, length in s.runs) * self.rules.block_size
            if s.kind == NTFS_INDEX_ROOT:  # the index stands in $INDEX_ALLOCATION (160) of the same name
                own += sum(n for o in streams if o.kind == 160 and o.name == s.name for _, n in o.runs) * self.rules.block_size
            yield self._entry(f"{self.name.address}-{s.kind}-{s.id}", path, s, own)

    def _type(self, stream: Stream | None) -> str:
        if self.rules.fat and self.name.name.endswith(b"(Volume Label Entry)"):
            return "label"
        if self.rules.ntfs and stream is not None:
            if stream.kind == NTFS_DATA and stream.name:
                return "stream"
            if stream.kind == NTFS_DATA and self.kind == DIRECTORY:
                return "file"
            if stream.kind == NTFS_INDEX_ROOT and self.kind != DIRECTORY:
                return "stream"
        kind = META_TYPES[self.kind] if 0 <= self.kind < len(META_TYPES) else "unknown"
        if kind == "unknown" and 0 <= self.name.type < len(NAME_TYPES):
            kind = NAME_TYPES[self.name.type]
        return kind

    def _entry(self, address: str, path: bytes, stream: Stream | None, allocated: int) -> Entry:
        kind = self._type(stream)
        content = self.readable and kind in ("file", "stream", "symlink", "label", "unknown", "virtual") and self.kind != VIRTUAL_DIRECTORY
        if content and stream is None and int(self.meta.size) > 0:
            content = False
            self.problems.append(("corrupt", "the record has no content attribute"))
        state, note, problems = self.state, "", tuple(self.problems)
        if content and not self.name.live:
            state, note, more = self._deleted(stream)
            problems += more
        if content and stream is not None and self.rules.fat and 0 <= stream.capacity * self.rules.block_size < stream.size:
            reason = f"clusters are known for {stream.capacity * self.rules.block_size} of {stream.size} bytes only"
            problems += (("truncated", reason),)
        return Entry(
            address=address,
            path=path,
            size=stream.size if stream is not None else int(self.meta.size),
            allocated=allocated,
            state=state,
            type=kind,
            time_basis=self.rules.time_basis,
            reader=self.rules.reader,
            has_content=content,
            note=note,
            link=self.link,
            problems=problems,
            **self.times,
        )

    def _deleted(self, stream: Stream | None) -> tuple[str, str, tuple[tuple[str, str], ...]]:
        """Look every cluster of a deleted file up: (state, note, problems)."""
        if stream is None or stream.size == 0:
            return self.state, "", ()
        allocation = self.rules.allocation
        if allocation is None:
            return self.state, "allocation not checked", ()
        try:
            used = sum(allocation.in_use(first, length) for first, length in stream.runs)
        except Unreadable as e:
            return self.state, "allocation not checked", ((e.kind, f"the allocation of its clusters cannot be read: {e}"),)
        units = sum(-(-length // allocation.unit) for _, length in stream.runs)
        if used:
            reason = f"{used} of {units} clusters are in use again"
            return "overwritten", "", (("overwritten", reason),)
        if self.rules.fat and units > 1:
            return self.state, "assumed contiguous", ()
        return self.state, "clusters free", ()

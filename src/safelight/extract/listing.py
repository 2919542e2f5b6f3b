"""The list step of one exhibit, on the trusted side: entries from the sandbox (or from a folder) become listed shards.

The cut into shards follows from the list alone, so it is the same whatever works on it: a shard ends at a number of
entries or bytes of readable content, small at first and growing with the listing (`shard_room`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from safelight.case import Case, Exhibit, Part
from safelight.errors import Refused
from safelight.escape import readable
from safelight.evidence.folder import Folder, open_untouched
from safelight.evidence.origin import item_id
from safelight.evidence.source import Accounts, Entry
from safelight.facts.layout import Layout
from safelight.facts.making import making
from safelight.facts.writer import TableWriter, Written
from safelight.problems import Problem
from safelight.sandbox import protocol
from safelight.sandbox.parent import RequestFailed, Sandbox, WorkerDied, checked_kind

SHARD_ITEMS, SHARD_BYTES = 500, 16 << 20
"""Room of the first shards: a stick is spread over all workers, and little is lost when the run is stopped."""

SHARDS_OF_A_SIZE, DOUBLINGS = 16, 5
"""After so many shards the room doubles, so often at most: a large disk ends at 16,000 entries or 512 MiB a shard, and neither the
ledger nor the cost of a shard grows with it."""


def shard_room(number: int) -> tuple[int, int]:
    """Return how many entries and how many bytes of readable content shard `number` (from 0) takes."""
    doubled = min(number // SHARDS_OF_A_SIZE, DOUBLINGS)
    return SHARD_ITEMS << doubled, SHARD_BYTES << doubled


Found = tuple[str, Entry] | Problem | protocol.Volume | protocol.End
"""What a listing gives: entries with their origins, problems, volumes, and the end of the worker that listed."""

SEGMENTS = 200
"""Segments handed over in one message: the kernel passes at most 253 descriptors at a time (SCM_MAX_FD)."""


def open_part(exhibit: Exhibit, part: Part) -> int:
    """Open one segment of an image read only. Raise `Refused` where it is gone or has another size."""
    try:
        fd = open_untouched(part.path)
    except OSError as e:
        raise Refused(
            f"{part.path}, a part of exhibit {exhibit.label}, cannot be opened: {e.strerror or e}. The case is unharmed; "
            "bring the evidence back to that path and run again."
        ) from None
    size = os.fstat(fd).st_size
    if size != part.size:
        os.close(fd)
        raise Refused(f"{part.path} has {size} bytes; {part.size} when it was added. Nothing was read from it.")
    return fd


def open_folder(exhibit: Exhibit) -> Folder:
    """Return a folder exhibit. Raise `Refused` where it is not there: its files are not to be called unreadable then."""
    root = Path(exhibit.parts[0].path)
    if not root.is_dir():
        raise Refused(
            f"{root}, exhibit {exhibit.key}, is not there (is its medium mounted?). The case is unharmed; bring it back and run again."
        )
    return Folder(root)


def open_image(worker: Sandbox, exhibit: Exhibit) -> protocol.Opened:
    """Open an image exhibit in a worker. Raise `RequestFailed` or `WorkerDied`."""
    for first in range(0, len(exhibit.parts), SEGMENTS):
        parts, descriptors = exhibit.parts[first : first + SEGMENTS], list[int]()
        try:
            descriptors += (open_part(exhibit, part) for part in parts)
            names = [os.fsencode(Path(part.path).name) for part in parts]
            for _ in worker.ask(protocol.Segments(names), descriptors):
                pass
        finally:
            for fd in descriptors:
                os.close(fd)
    (opened,) = worker.ask(protocol.Open())
    assert isinstance(opened, protocol.Opened)
    return opened


def list_exhibit(case: Case, exhibit: Exhibit, walls: bool, progress: Callable[[int], None]) -> dict[str, Any]:
    """List one exhibit into its folder of facts and return the counts and digests for the ledger.

    Where the worker is killed from outside (for want of memory, by an operator), the listing begins once more, and the ledger says so by
    `begun`: 2; a second time it ends there.
    """
    target = Layout(case.folder).listed(exhibit.key)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        return _list(case, exhibit, target, _image(exhibit, walls, last=False), progress)
    except _Killed:
        return {**_list(case, exhibit, target, _image(exhibit, walls, last=True), progress), "begun": 2}


def _list(case: Case, exhibit: Exhibit, target: Path, image: Iterator[Found], progress: Callable[[int], None]) -> dict[str, Any]:
    with making(case, target) as made:
        table = _ListWriter(made.folder, exhibit)
        found = _folder(exhibit) if exhibit.form == "folder" else image
        for answer in found:
            table.take(answer)
            progress(table.ordinal)
        summary = table.close()
        made.files = summary["files"]
    return summary


def _folder(exhibit: Exhibit) -> Iterator[Found]:
    folder = open_folder(exhibit)
    yield from folder.listing()
    yield protocol.Volume("folder", "folder", "", 0, folder.accounts.bytes_covered or 0, folder.accounts)


class _Killed(Exception):
    """The worker was killed from outside, and there is another try."""


def _image(exhibit: Exhibit, walls: bool, last: bool) -> Iterator[Found]:
    """Yield what the sandbox lists. An image that cannot be opened, or that kills its reader, is a problem of the exhibit.

    Raise `_Killed` where the worker was killed from outside and this is not the `last` try.
    """
    with Sandbox("digests", walls) as worker:
        try:
            opened = open_image(worker, exhibit)
            origin = opened.container
        except (RequestFailed, WorkerDied) as e:
            _not_killed(e, last)
            yield Problem(checked_kind(e.kind), e.reason, "", False)
            return
        try:
            for answer in worker.ask(protocol.List()):
                match answer:
                    case protocol.Listed():
                        yield from answer.problems
                        yield from answer.entries
                    case protocol.Volume():
                        yield answer
            yield protocol.End(worker.cpu_ms)
        except (RequestFailed, WorkerDied) as e:
            _not_killed(e, last)
            yield Problem(checked_kind(e.kind), f"the listing ended here: {e.reason}", origin, False)


def _not_killed(e: RequestFailed | WorkerDied, last: bool) -> None:
    if isinstance(e, WorkerDied) and e.killed and not last:
        raise _Killed from None


class _ListWriter:
    """Writes the shards of a listing, its problems and its volumes."""

    def __init__(self, folder: Path, exhibit: Exhibit) -> None:
        self.folder, self.exhibit = folder, exhibit
        self.ordinal = 0
        self._shard: TableWriter | None = None
        self._room = shard_room(0)
        self._shards = self._in_shard = self._bytes = self._numbered = self._cpu_ms = 0
        self._written: dict[str, Written] = {}
        self._problems = TableWriter(folder / "problems.parquet", "problems")
        self._volumes = TableWriter(folder / "volumes.parquet", "volumes")
        self._kinds: dict[str, int] = {}

    def take(self, found: Found) -> None:
        """Write one thing that the listing gave."""
        match found:
            case Problem():
                self._problem(-1, None, self.exhibit.prefix + found.origin, found.kind, found.reason, found.complete)
            case protocol.Volume():
                self._volume(found)
            case protocol.End():
                self._cpu_ms = found.cpu_ms
            case (origin, entry):
                self._entry(origin, entry)

    def _entry(self, origin: str, entry: Entry) -> None:
        size = max(entry.size or 0, 0) if entry.has_content else 0
        items, room = self._room
        if self._shard is None or self._in_shard >= items or (self._in_shard and self._bytes + size > room):
            self._next_shard()
        assert self._shard is not None
        origin = self.exhibit.prefix + origin
        key = item_id(self.exhibit.label, origin)
        self._shard.add(listed_row(self.exhibit, self.ordinal, key, origin, entry))
        for kind, reason in entry.problems:
            self._problem(self.ordinal, key, origin, checked_kind(kind), reason, True)
        self._in_shard, self._bytes = self._in_shard + 1, self._bytes + size
        self.ordinal += 1

    def _next_shard(self) -> None:
        self._end_shard()
        self._shard = TableWriter(self.folder / f"{self._shards:06d}.parquet", "items")
        self._room = shard_room(self._shards)
        self._shards, self._in_shard, self._bytes = self._shards + 1, 0, 0

    def _end_shard(self) -> None:
        if self._shard is not None:
            self._written[self._shard.path.name] = self._shard.close()
            self._shard = None

    def _problem(self, ordinal: int, key: bytes | None, origin: str, kind: str, reason: str, complete: bool) -> None:
        self._kinds[kind] = self._kinds.get(kind, 0) + 1
        where = (self.exhibit.label, self.exhibit.source, ordinal, 0, self._numbered, key, origin)
        self._problems.add((*where, "list", kind, _text(reason), complete))
        self._numbered += 1

    def _volume(self, v: protocol.Volume) -> None:
        a = v.accounts or Accounts(entries_walk=0)
        known = v.accounts is not None
        self._volumes.add(
            (
                self.exhibit.label,
                self.exhibit.source,
                self.exhibit.prefix + v.origin,
                v.filesystem,
                _text(v.label),
                _i64(v.offset),
                _i64(v.size),
                _i64(a.entries_walk) if known else None,
                _i64(a.entries_table),
            )
            + (_i64(a.deleted) if known else None, _i64(a.orphans) if known else None)
            + (_i64(a.bytes_allocated), _i64(a.bytes_covered), " ".join(a.readers))
        )

    def close(self) -> dict[str, Any]:
        """Finish all files; return counts and digests."""
        self._end_shard()
        self._written["problems.parquet"] = self._problems.close()
        self._written["volumes.parquet"] = self._volumes.close()
        return {
            "items": self.ordinal,
            "shards": self._shards,
            "worker_cpu_ms": self._cpu_ms,
            "problems": dict(sorted(self._kinds.items())),
            "files": {name: [w.rows, w.sha256, w.logical] for name, w in sorted(self._written.items())},
        }


def listed_row(exhibit: Exhibit, ordinal: int, key: bytes, origin: str, e: Entry) -> tuple[Any, ...]:
    """Return the row of the items table for an entry that is not extracted yet."""
    kind, reason = e.problems[0] if e.problems else (None, None)
    times = tuple(_i64(t) for t in (e.mtime, e.atime, e.ctime, e.btime))
    has_time = any(t is not None for t in times)
    return (
        (
            key,
            exhibit.label,
            exhibit.source,
            ordinal,
            0,
            None,
            origin,
            e.path,
            readable(e.path),
            _i64(e.size),
            _i64(e.allocated),
            e.state,
            e.type,
        )
        + (*times, e.time_basis if has_time else None, e.reader, e.note or None, e.has_content, e.link or None, None)
        + (checked_kind(kind) if kind else None, _text(reason) if reason else None)
    )


def _i64(value: int | None) -> int | None:
    """Return a number that fits the column; a claim beyond 63 bits is no number (the reader's problem says so)."""
    return value if value is None or -(1 << 63) <= value < 1 << 63 else None


def _text(text: str) -> str:
    """Return text that UTF-8 can hold: names in it may carry bytes that are none."""
    return text.encode("utf-8", "backslashreplace").decode()

"""File systems by the Sleuth Kit (pytsk3): a walk that gives what `fls -r -p` prints, deleted and orphaned names too.

The walk holds a stack of its own, follows a folder only as long as it is not on its own path, and follows one folder a bounded
number of times in all, so that loops and braids of hostile trees end. What the library cannot read becomes a problem on the
entry or one of the volume, and the walk goes on with the neighbours. Folders beyond a size are not listed by the library,
whose cost is quadratic in the names of a folder and which gives up at 1,000,000, but by our own linear parser.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, NamedTuple

import msgspec

from safelight.evidence.filesystems.allocation import AllocationMap
from safelight.evidence.filesystems.tsk_entry import (
    DIRECTORY,
    VIRTUAL_DIRECTORY,
    Described,
    Name,
    Place,
    Rules,
    describe,
)
from safelight.evidence.filesystems.tsk_image import LIBRARY_ERRORS, OpenFiles, failure, open_image
from safelight.evidence.source import Accounts, ByteSource, Entry, Unreadable
from safelight.problems import Problem

MAX_DEPTH = 1024
MAX_VISITS = 8
"""How often one folder is followed: two deleted folders may lead to the same one (seen in practice), a braid leads 2^n times."""
BATCH = 8192
FULL_FOLDER = 1_000_000
"""Where the library stops listing a folder, without an error (MAX_DIR_SIZE_TO_PROCESS)."""
FALSE_ORPHANS, FALSE_ORPHANS_PER_ENTRY = 10_000, 10
"""Implausible orphans that are listed one by one: this many, and so many for each other entry."""
EARLIEST, LATEST = 0, 4_102_444_800 * 1_000_000_000  # 1970 to 2100
MAX_DOUBTFUL = 100_000
READER = "tsk"


class Findings:
    """What the walk counts, for the accounts."""

    def __init__(self) -> None:
        self.walk = self.deleted = self.orphans = self.covered = 0
        self.files = self.directories = 0
        self.implausible = self.false_orphans = 0
        self.seen: set[int] = set()  # live records with several names, folders
        self.live = bytearray()  # one bit per live record that was named, where the format has a table

    def mark(self, number: int, bit_limit: int) -> None:
        if 0 <= number < bit_limit:
            if number >> 3 >= len(self.live):
                self.live.extend(bytes((number >> 3) + 1 - len(self.live) + 4096))
            self.live[number >> 3] |= 1 << (number & 7)

    def named(self, number: int) -> bool:
        return number >> 3 < len(self.live) and bool(self.live[number >> 3] >> (number & 7) & 1)


class Table(NamedTuple):
    """What a metadata table says: records in use, those without a name, bytes in use, bytes that the tables themselves hold."""

    in_use: int | None = None
    named: int | None = None
    unnamed: tuple[int, ...] = ()
    bytes_allocated: int | None = None
    bytes_covered: int | None = None
    tolerance: int = 0


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """What a format adds to the walk.

    `large`: folder number and size to names, or None where the format has no parser of its own; `large_size`: bytes of a folder
    from which it is used. `orphans`: names to list in place of the library's `$OrphanFiles`, `orphans_are_own` whether they are
    found without it. `missed`: names in use that the
    listing of a folder (number, names in use it gave, deleted names with a record in use) did not give as such. `table`: after
    the walk, what the metadata table says. `is_possible`: whether a record may be opened at all. `direct`: content
    of a record without the library, or None.
    """

    name: str
    label: str = ""
    time_basis: str = "utc"
    allocation: AllocationMap | None = None
    large: Callable[[TskFileSystem, int, int], Iterator[Name]] | None = None
    large_size: int = 1 << 62
    orphans: Callable[[TskFileSystem], Iterator[Name | Problem]] | None = None
    orphans_are_own: bool = False
    missed: Callable[[TskFileSystem, int, int, set[tuple[int, bytes]], Findings], Iterator[Name]] | None = None
    table: Callable[[TskFileSystem, Findings], Table] | None = None
    table_limit: int = 0
    is_possible: Callable[[int], bool] | None = None
    direct: Callable[[int], ByteSource | None] | None = None
    problems: tuple[Problem, ...] = ()


class Frame:
    """A folder that is being listed."""

    def __init__(self, names: Iterator[tuple[Name, Any]], address: int, place: Place, shown: bytes) -> None:
        self.names, self.address, self.place, self.shown = names, address, place, shown
        self.live = 0
        self.doubtful: set[tuple[int, bytes]] = set()  # deleted names whose record is in use
        self.completed = False


def _plausible(name: Name, entry: Entry, volume_size: int) -> bool:
    """Whether an orphan can be what is left of a file: times, size and name are possible."""
    if any(t is not None and not EARLIEST <= t < LATEST for t in (entry.mtime, entry.atime, entry.ctime, entry.btime)):
        return False
    if (entry.size or 0) > volume_size:
        return False
    return not any(c < 0x20 or c in b'^"*/:<>?\\|\x7f' for c in name.name) and b"\xef\xbf\xbd" not in name.name


class TskFileSystem:
    """An opened volume; see `OpenFileSystem`."""

    def __init__(self, volume: ByteSource, tsk_type: int | None, profile: Callable[[TskFileSystem], Profile]) -> None:
        import pytsk3

        self.volume = volume
        self.image = open_image(volume)
        try:
            self.fs = pytsk3.FS_Info(self.image) if tsk_type is None else pytsk3.FS_Info(self.image, 0, tsk_type)
        except LIBRARY_ERRORS as e:
            raise failure(self.image, e) from e
        info = self.fs.info
        self.block_size, self.root = int(info.block_size), int(info.root_inum)
        self.first_record, self.last_record = int(info.first_inum), int(info.last_inum)
        self.tsk_type = int(info.ftype)
        self.files = OpenFiles(self.fs, self.image)
        self.profile = profile(self)
        self.name, self.label = self.profile.name, self.profile.label
        self.rules = Rules(
            reader=READER,
            ntfs=self.name == "ntfs",
            fat=self.name in ("fat12", "fat16", "fat32", "exfat"),
            time_basis=self.profile.time_basis,
            block_size=self.block_size,
            allocation=self.profile.allocation,
        )
        self.files.is_possible = self.profile.is_possible
        self.files.cut = self.rules.fat
        self.met_large = False
        self.braided = False
        self.named_free: set[int] = set()  # free records that a name led to: they are no orphans
        self._accounts: Accounts | None = None

    def content(self, address: str) -> ByteSource:
        if self.profile.direct is not None and address.isdecimal() and len(address) < 12:
            source = self.profile.direct(int(address))
            if source is not None:
                return source
        return self.files.content(address)

    def accounts(self) -> Accounts:
        if self._accounts is None:
            raise RuntimeError("accounts are known after the entries were exhausted")
        return self._accounts

    def entries(self) -> Iterator[Entry | Problem]:
        """Yield every name in the order of the folders, each folder before what is in it, then what does not add up."""
        from safelight.evidence.filesystems.tsk_accounts import closing

        found = Findings()
        self.met_large = False
        self.braided = False
        self.named_free.clear()
        yield from self.profile.problems
        declared = int(self.fs.info.block_count) * self.block_size
        allocation = self.profile.allocation
        unit = self.block_size * (allocation.unit if allocation is not None else 1)
        if declared - self.volume.size >= unit:  # less is the rest behind the last cluster, which holds nothing
            yield Problem("truncated", f"the file system has {declared} bytes, the volume {self.volume.size}", "", False)
        yield from self._walk(found)
        self._accounts = yield from closing(self, found)

    def _walk(self, found: Findings) -> Iterator[Entry | Problem]:
        visits: dict[int, int] = {}
        on_path = {self.root}
        deleted_seen: set[int] = set()
        stack = [Frame(self._names(self.root, self._size_of(self.root)), self.root, Place(b"", False, False), b"/")]
        while stack:
            frame = stack[-1]
            try:
                name, file = next(frame.names)
            except StopIteration:
                if self.profile.missed is not None and not frame.completed and not frame.place.orphan and not frame.place.deleted:
                    frame.completed = True
                    more = self.profile.missed(self, frame.address, frame.live, frame.doubtful, found)
                    frame.names = self._with_records(more)
                    continue
                on_path.discard(stack.pop().address)
                continue
            except Unreadable as e:
                yield Problem(e.kind, f"folder {frame.shown!r} (record {frame.address}) cannot be listed to its end: {e}", "", False)
                on_path.discard(stack.pop().address)
                continue
            if isinstance(name, Problem):
                yield name
                continue
            if name.name in (b".", b".."):
                if self.rules.ntfs and name.name == b".":
                    yield from self._streams_of_dot(name, file, frame.place, found)
                continue
            described = describe(name, file, frame.place, self.rules)
            frame.live += name.live and described.meta_type not in (10, VIRTUAL_DIRECTORY)
            if not name.live and described.in_use and len(frame.doubtful) < MAX_DOUBTFUL:
                frame.doubtful.add((name.address, name.name))
            if not described.in_use and described.meta_type != -1 and not frame.place.orphan:
                self.named_free.add(name.address)
            if frame.place.orphan and self._is_false(name, described, found):
                found.false_orphans += 1
                continue
            yield from self._counted(name, described, frame.place, found, deleted_seen)
            # A deleted name whose folder is in use again does not lead there: the folder has names of its own (`fls` does the same).
            of_another = not name.live and described.in_use
            if described.meta_type in (DIRECTORY, VIRTUAL_DIRECTORY) and name.address not in on_path and not of_another:
                yield from self._descend(name, described, frame, stack, on_path, visits)

    def _is_false(self, name: Name, described: Described, found: Findings) -> bool:
        """Whether an orphan is implausible and the budget for such is used up: it is counted only."""
        if described.meta_type == VIRTUAL_DIRECTORY or all(_plausible(name, e, self.volume.size) for e in described.entries):
            return False
        found.implausible += 1
        return found.implausible > FALSE_ORPHANS + FALSE_ORPHANS_PER_ENTRY * (found.walk - found.orphans)

    def _streams_of_dot(self, name: Name, file: Any, place: Place, found: Findings) -> Iterator[Entry]:
        """Yield the $DATA streams of a folder by its own name `.`, which `fls` prints beside those by its name."""
        if file is not None:
            for entry in describe(name, file, place, self.rules).entries:
                if "-128-" in entry.address:
                    found.walk += 1
                    yield entry

    def _descend(
        self, name: Name, described: Described, frame: Frame, stack: list[Frame], on_path: set[int], visits: dict[int, int]
    ) -> Iterator[Problem]:
        """Put a folder on the stack, unless it was followed too often or lies too deep."""
        path = frame.place.prefix + name.name
        if not name.live and not described.bytes_held and not any(e.size for e in described.entries):
            return  # a deleted folder whose size and blocks are gone (ext4): there is nothing to list
        times = visits[name.address] = visits.get(name.address, 0) + 1
        if times > MAX_VISITS:
            self.braided = True
            if times == MAX_VISITS + 1:
                yield Problem(
                    "limit.entries", f"folder {path[:200]!r} (record {name.address}) was followed {MAX_VISITS} times already", "", False
                )
            return
        if len(stack) >= MAX_DEPTH:
            yield Problem("limit.depth", f"folder {path[:200]!r} lies more than {MAX_DEPTH} levels deep and was not listed", "", False)
            return
        orphans = described.meta_type == VIRTUAL_DIRECTORY
        place = Place(path + b"/", frame.place.orphan or orphans, frame.place.deleted or not name.live)
        names = self._orphan_names(name.address) if orphans else self._names(name.address, self._folder_size(described))
        on_path.add(name.address)
        stack.append(Frame(names, name.address, place, path[:200]))

    def _counted(self, name: Name, described: Described, place: Place, found: Findings, deleted_seen: set[int]) -> Iterator[Entry]:
        """Count the entries of a name and pass them on; a deleted address that was seen before says so."""
        live = name.live and not place.orphan and not place.deleted
        for number, entry in enumerate(described.entries):
            found.walk += 1
            if place.orphan:
                found.orphans += 1
            if entry.state != "live":
                found.deleted += 1
                if number == 0 and entry.has_content and name.address in deleted_seen:
                    doubled = ("duplicate-address", f"another deleted name claims record {name.address} too")
                    entry = msgspec.structs.replace(entry, problems=(*entry.problems, doubled))
            yield entry
        if not name.live:
            deleted_seen.add(name.address)
        if live and described.meta_type not in (-1, VIRTUAL_DIRECTORY, 10):
            shared = described.links > 1 or described.meta_type == DIRECTORY
            if not shared or name.address not in found.seen:
                found.covered += described.bytes_held
                found.directories += described.meta_type == DIRECTORY
                found.files += described.meta_type != DIRECTORY
                if shared:
                    found.seen.add(name.address)
            found.mark(name.address, self.profile.table_limit)

    def _size_of(self, number: int) -> int:
        try:
            return sum(int(a.info.size) for a in self.files.open(number))
        except (Unreadable, *LIBRARY_ERRORS):
            return 0  # a guess for the choice of the reader only; opening the folder says what is wrong

    def _folder_size(self, described: Described) -> int:
        return max([described.bytes_held, *(e.size or 0 for e in described.entries)])

    def _names(self, number: int, size: int) -> Iterator[tuple[Any, Any]]:
        """List one folder: names with their opened records."""
        if self.profile.large is not None and size >= self.profile.large_size:
            self.met_large = True
            return self._with_records(self.profile.large(self, number, size))
        return self._library_first(number, size)

    def _library_first(self, number: int, size: int) -> Iterator[tuple[Any, Any]]:
        """List by the library; when it refuses the folder, by our parser, and say so."""
        given = False
        try:
            for pair in self.library_names(number):
                given = True
                yield pair
        except Unreadable as e:
            if given or self.profile.large is None or e.kind in ("unreadable", "truncated"):
                raise
            yield Problem("second-reader", f"the library gives up on folder {number} ({e}); our own parser lists it", "", False), None
            yield from self._with_records(self.profile.large(self, number, size))

    def _orphan_names(self, number: int) -> Iterator[tuple[Any, Any]]:
        """List the orphans: by our own search where the format has one (the library's is quadratic and walks everything again)."""
        own = self.profile.orphans
        if self.braided and not self.profile.orphans_are_own:
            # The library walks the whole tree first, without a bound: for a braid of 40 levels that never ends.
            words = "folders lead to each other so often that the library cannot search for orphans"
            return iter([(Problem("limit.entries", words, "", False), None)])
        return self.library_names(number) if own is None else self._with_records(own(self))

    def folder_names(self, number: int) -> Iterator[tuple[Any, Any]]:
        """List one folder: (name or problem, opened record or None)."""
        return self._names(number, self._size_of(number))

    def _with_records(self, names: Iterator[Name | Problem] | Iterator[Name]) -> Iterator[tuple[Any, Any]]:
        """Open the records of names: a batch at a time by record number, since a folder in the order of hashes jumps over the table."""
        while batch := list(islice(names, BATCH)):
            order = sorted(range(len(batch)), key=lambda i: getattr(batch[i], "address", -1))
            opened: list[Any] = [None] * len(batch)
            for i in order:
                name = batch[i]
                if not isinstance(name, Problem):
                    opened[i] = self._record(name)
            for i, name in enumerate(batch):
                yield name, opened[i]
                opened[i] = None

    def _record(self, name: Name) -> Any | None:
        """Open the record of a name; None where there is none (the entry then says so)."""
        if not name.address and not (name.live and self.rules.ntfs):
            return None
        if self.profile.is_possible is not None and not self.profile.is_possible(name.address):
            return None
        try:
            file = self.fs.open_meta(name.address)
        except LIBRARY_ERRORS:
            self.image.error = None
            return None
        return file if file.info.meta is not None else None

    def library_names(self, number: int) -> Iterator[tuple[Any, Any]]:
        """List one folder by the library: (name, opened record or None); raise `Unreadable` where it gives up."""
        self.image.error = None
        try:
            directory = self.fs.open_dir(inode=number)
        except LIBRARY_ERRORS as e:
            raise failure(self.image, e) from e
        while True:
            try:
                file = next(directory)
            except StopIteration:
                break
            except LIBRARY_ERRORS as e:
                raise failure(self.image, e) from e
            n = file.info.name
            if n is None:
                continue
            sequence = int(n.meta_seq)
            name = Name(n.name or b"", bool(int(n.flags) & 1), int(n.meta_addr), int(n.type), sequence)
            if name.name == b".." or (name.name == b"." and not self.rules.ntfs):
                continue
            yield name, file if file.info.meta is not None else self._record(name)
        if int(directory.info.names_used) >= FULL_FOLDER:
            words = f"the library stops at {FULL_FOLDER} names of a folder (record {number}); there may be more"
            yield Problem("limit.entries", words, "", False), None

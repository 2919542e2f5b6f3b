"""Deleted files of XFS: removed names that still stand in folders, freed inodes, and inodes in use without a name.

What is left of an inode is told by `xfs_remains.py`. A record that cannot be read costs that record: its neighbours are listed.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator

from safelight.evidence.filesystems.xfs_folder import DATA_MAGICS, FolderName, block_names, owner
from safelight.evidence.filesystems.xfs_groups import Groups
from safelight.evidence.filesystems.xfs_remains import Problems, Remains, Runs, remains, times
from safelight.evidence.filesystems.xfs_structures import MAX_FOLDER_BLOCKS, XfsVolume
from safelight.evidence.filesystems.yal_formats import MODES
from safelight.evidence.source import ByteSource, Entry, Unreadable
from safelight.problems import Problem

READER = "xfs-inodes"
ORPHANS = b"$OrphanFiles/"
ADDRESS = "free-"
MAX_ENTRIES = 4_000_000
"""Deleted entries of one volume; beyond it they are one problem."""
MAX_DEPTH = 64
MAX_FAILURES = 1000
"""Lists that cannot be read before the search ends: a superblock may claim millions of groups."""
CUT = "zeros at the end cut off"


class DeletedFiles:
    """Finds them. `names_in` belongs to the walk of the live folders, `orphans` comes after it, `content` opens an address of either."""

    def __init__(self, xfs: XfsVolume, volume: ByteSource) -> None:
        self._xfs, self._volume, self._groups = xfs, volume, Groups(xfs)
        self._named: set[int] = set()
        self._visited: set[int] = set()
        self._room = MAX_ENTRIES

    def names_in(self, number: int, prefix: bytes) -> Iterator[Entry | Problem]:
        """Yield the removed names of a folder in use, and what deleted folders among them hold."""
        try:
            raw = self._xfs.inode(number)
            if raw[5] not in (2, 3):
                return
            for block in self._xfs.folder_blocks(raw):
                for name in block_names(block, self._xfs.has_filetype):
                    if not name.live:
                        yield from self._named_entry(name, number, prefix, "deleted", 0)
        except Unreadable as e:
            yield Problem(e.kind, f"removed names of {prefix[:200]!r} cannot be read: {e}", "", False)

    def orphans(self) -> Iterator[Entry | Problem]:
        """Yield freed inodes with extents that no name led to, and inodes in use without a name; folders first, so that names are found."""
        failures: list[Unreadable] = []
        for group in range(self._xfs.groups):
            for part in (self._unlinked(group), self._freed(group)):
                try:
                    yield from part
                except Unreadable as e:
                    failures.append(e)
            if self._room <= 0 or len(failures) >= MAX_FAILURES:
                break
        if failures:
            words = f"{len(failures)} lists of freed inodes or of inodes without a name cannot be read; the first: {failures[0]}"
            words += "; the rest was not tried" if len(failures) >= MAX_FAILURES else ""
            yield Problem(failures[0].kind, words, "", False)
        if self._room <= 0:
            yield Problem("limit.entries", f"more than {MAX_ENTRIES} deleted entries; the rest are not listed", "", False)

    def content(self, address: str) -> ByteSource:
        """Open `free-NUMBER`. Raise `Unreadable`."""
        digits = address.removeprefix(ADDRESS)
        if not digits.isdecimal() or len(digits) > 20:
            raise Unreadable("corrupt", f"no such address: {address[:60]!r}")
        left = remains(self._xfs, int(digits))
        if left is None or not left.is_whole:
            raise Unreadable("corrupt", f"no content is left of inode {digits}")
        return Runs(self._xfs, self._volume, left)

    def _freed(self, group: int) -> Iterator[Entry | Problem]:
        """Yield the freed inodes of a group of which something is left; those without extents never were files, or were empty."""
        files: list[int] = []
        for is_folder in (True, False):
            for number in self._groups.free_inodes(group) if is_folder else files:
                if number in self._named or self._room <= 0:
                    continue
                path = ORPHANS + b"OrphanFile-%d" % number
                try:
                    left = remains(self._xfs, number)
                except Unreadable as e:
                    yield self._unread(number, path, e)
                    continue
                if left is not None and (not is_folder or self._is_folder(number, left)):
                    yield from self._entry(number, left, path, "directory" if is_folder else "unknown", "orphan", 0)
                elif left is not None and len(files) < self._room:
                    files.append(number)

    def _unread(self, number: int, path: bytes, error: Unreadable) -> Entry:
        self._room -= 1
        problem = (error.kind, f"the freed inode cannot be read: {error}")
        return Entry(
            address=f"{ADDRESS}{number}", path=path, state="orphan", type="unknown", reader=READER, has_content=False, problems=(problem,)
        )

    def _named_entry(self, name: FolderName, folder: int, prefix: bytes, state: str, depth: int) -> Iterator[Entry | Problem]:
        """Yield the entry of a removed name. Where half of the inode number is lost, that of the folder goes first."""
        if self._room <= 0:
            return
        numbers = [high << 32 | name.inode for high in dict.fromkeys((folder >> 32, 0))] if name.is_cut else [name.inode]
        why: tuple[str, str] | None = None
        for number in numbers:
            left = None
            try:
                if self._groups.inode_state(number) == "used":
                    why = why or ("reallocated", "the inode is in use: by another file, or by this one under another name")
                else:
                    left = remains(self._xfs, number)
            except Unreadable as e:
                why = why or (e.kind, str(e))
            if left is not None:
                yield from self._entry(number, left, prefix + name.name, name.kind, state, depth)
                return
        self._room -= 1
        yield Entry(
            address=f"{ADDRESS}{numbers[0]}", path=prefix + name.name, state=state, type=name.kind, reader=READER, has_content=False,
            problems=(why or ("name-only", "a deleted name of whose inode nothing is left"),),
        )  # fmt: skip

    def _entry(self, number: int, left: Remains, path: bytes, kind: str, state: str, depth: int) -> Iterator[Entry | Problem]:
        """Yield the entry of an inode that is not in use; of a folder also what stands in it."""
        self._named.add(number)
        self._room -= 1
        kind = left.kind if left.kind != "unknown" else kind
        note, problems = self._allocation(left)
        is_folder = kind == "directory"
        is_overwritten = any(k == "overwritten" for k, _ in problems)
        mtime, atime, ctime, btime = times(left.raw)
        yield Entry(
            address=f"{ADDRESS}{number}", path=path, size=None if is_folder else left.size, allocated=left.blocks * self._xfs.block_size,
            state="overwritten" if is_overwritten and not is_folder else state, type=kind, mtime=mtime, atime=atime, ctime=ctime, btime=btime,
            reader=READER, has_content=left.is_whole and kind in ("file", "symlink", "unknown"),
            note=", ".join(n for n in (note, CUT if left.is_cut else "") if n), problems=left.problems + problems,
        )  # fmt: skip
        if not is_folder or number in self._visited:
            return
        self._visited.add(number)
        if depth >= MAX_DEPTH:
            yield Problem("limit.depth", f"deleted folder {path[:200]!r} was not listed", "", False)
            return
        yield from self._names_of_deleted(number, left, path + b"/", "orphan" if path.startswith(ORPHANS) else "deleted", depth + 1)

    def _allocation(self, left: Remains) -> tuple[str, Problems]:
        """Look every block up: (note, problems)."""
        if not left.runs:
            return "", ()
        try:
            used = sum(self._groups.blocks_in_use(x.block, x.blocks) for x in left.runs)
        except Unreadable as e:
            return "allocation not checked", ((e.kind, f"the allocation of its blocks cannot be read: {e}"),)
        return ("", (("overwritten", f"{used} of {left.blocks} blocks are in use again"),)) if used else ("clusters free", ())

    def _names_of_deleted(self, number: int, left: Remains, prefix: bytes, state: str, depth: int) -> Iterator[Entry | Problem]:
        """Yield what stands in a deleted folder: names in use when it went and names that were removed before. Foreign blocks end it."""
        try:
            if left.inline is not None:
                for inode, name in self._xfs.short_names(left.raw):
                    yield from self._named_entry(FolderName(inode, name, "unknown", live=False), number, prefix, state, depth)
            for block in self._blocks(number, left):
                for found in block_names(block, self._xfs.has_filetype):
                    yield from self._named_entry(found, number, prefix, state, depth)
        except Unreadable as e:
            yield Problem(e.kind, f"names of the deleted folder {prefix[:200]!r} cannot be read: {e}", "", False)

    def _blocks(self, number: int, left: Remains) -> Iterator[bytes]:
        """Yield the blocks of a deleted folder as far as they are its own. Raise `Unreadable`."""
        size, seen = self._xfs.folder_block, 0
        for x in left.runs:
            start = self._xfs.offset(x.block)
            for at in range(start, start + x.blocks * self._xfs.block_size, size):
                block, seen = self._xfs.read(at, size), seen + 1
                if block[:4] not in DATA_MAGICS or owner(block) not in (number, None) or seen > MAX_FOLDER_BLOCKS:
                    return
                yield block

    def _is_folder(self, number: int, left: Remains) -> bool:
        if left.kind != "unknown":
            return left.kind == "directory"
        try:
            return next(self._blocks(number, left), None) is not None
        except Unreadable:
            return False  # its entry gets the problem when its content is read

    def _unlinked(self, group: int) -> Iterator[Entry]:
        """Yield inodes that are in use and have no name: deleted while a program held them open, then the machine stopped."""
        for number in self._groups.unlinked(group):
            raw = self._xfs.inode(number)
            kind = MODES.get(stat.S_IFMT(int.from_bytes(raw[2:4], "big")), "unknown")
            mtime, atime, ctime, btime = times(raw)
            self._room -= 1
            yield Entry(
                address=str(number), path=ORPHANS + b"OrphanFile-%d" % number, size=int.from_bytes(raw[56:64], "big"),
                allocated=self._xfs.held(number), state="orphan", type=kind, mtime=mtime, atime=atime, ctime=ctime, btime=btime, reader=READER,
                has_content=kind in ("file", "symlink"), note="deleted while open",
            )  # fmt: skip

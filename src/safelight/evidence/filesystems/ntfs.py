"""NTFS by the Sleuth Kit; accounts over the MFT and `$Bitmap`; large folders by our own parser; second reader libfsntfs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from safelight.evidence.filesystems.first_second import head, open_by
from safelight.evidence.source import ByteSource, OpenFileSystem, Unreadable
from safelight.problems import Problem

if TYPE_CHECKING:
    from safelight.evidence.filesystems.ntfs_folder import Freed
    from safelight.evidence.filesystems.tsk import Findings, Profile, Table, TskFileSystem
    from safelight.evidence.filesystems.tsk_entry import Name

MFT_RECORD, VOLUME_RECORD, BITMAP_RECORD, FIRST_USER_RECORD = 0, 3, 6, 24
DATA, VOLUME_NAME = 128, 0x60
PIECE = 1 << 20
MAX_UNNAMED = 1_000_000


class Ntfs:
    """NTFS."""

    name = "ntfs"

    def detect(self, volume: ByteSource) -> bool:
        return head(volume, 3, 8) == b"NTFS    "

    def open(self, volume: ByteSource) -> OpenFileSystem:
        return open_by(volume, open_tsk, open_yal)


def open_tsk(volume: ByteSource) -> OpenFileSystem:
    import pytsk3

    from safelight.evidence.filesystems.tsk import TskFileSystem

    return TskFileSystem(volume, pytsk3.TSK_FS_TYPE_NTFS_DETECT, _profile)


def open_yal(volume: ByteSource) -> OpenFileSystem:
    from safelight.evidence.filesystems.yal import YalFileSystem

    return YalFileSystem(volume, "ntfs")


def _profile(fs: TskFileSystem) -> Profile:
    from safelight.evidence.filesystems.allocation import Bitmap
    from safelight.evidence.filesystems.ntfs_folder import LARGE_FOLDER
    from safelight.evidence.filesystems.tsk import Profile

    allocation, label, problems = None, "", []
    try:
        allocation = Bitmap(fs.files.content(attribute(fs, BITMAP_RECORD, DATA)), int(fs.fs.info.block_count))
    except Unreadable as e:
        problems.append(Problem(e.kind, f"$Bitmap cannot be opened, so deleted files are not checked against it: {e}", "", False))
    try:
        label = fs.files.content(attribute(fs, VOLUME_RECORD, VOLUME_NAME)).read_at(0, 256).decode("utf-16-le", "replace")
    except Unreadable:
        label = ""  # a volume without a name has no such attribute
    return Profile(
        name="ntfs",
        label=label,
        allocation=allocation,
        large=LargeFolders(),
        large_size=LARGE_FOLDER,
        orphans=orphans,
        orphans_are_own=True,
        table=table,
        table_limit=min(fs.last_record + 1, 1 << 30),
        problems=tuple(problems),
    )


def attribute(fs: TskFileSystem, record: int, kind: int) -> str:
    """Return the address of the first attribute of a type without a name."""
    for a in fs.files.open(record):
        if int(a.info.type) == kind and not a.info.name:
            return f"{record}-{kind}-{int(a.info.id)}"
    raise Unreadable("corrupt", f"record {record} has no attribute {kind}")


def record_size(volume: ByteSource) -> int:
    """Return the bytes of an MFT record by the boot sector: clusters, or a negative power of two (offset 64)."""
    boot = volume.read_at(0, 512)
    sector, per_cluster, raw = int.from_bytes(boot[11:13], "little"), boot[13], boot[64]
    clusters = 1 << (256 - per_cluster) if per_cluster > 128 else per_cluster
    size = 1 << (256 - raw) if raw > 127 else raw * clusters * sector
    if size not in (512, 1024, 2048, 4096, 8192, 16384):
        raise Unreadable("corrupt", f"MFT records of {size} bytes")
    return size


def mft_pieces(fs: TskFileSystem) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield per piece of the MFT: first record number, which rows are records, records (bytes, one row each; no fix-ups applied).

    What is used of them (flags at 22, base record at 32, sequence at 16) does not lie in the last two bytes of a sector.
    """
    size = record_size(fs.volume)
    content = fs.files.content(attribute(fs, MFT_RECORD, DATA))
    for offset in range(0, content.size - size + 1, PIECE):
        raw = content.read_at(offset, PIECE)
        rows = np.frombuffer(raw[: len(raw) // size * size], np.uint8).reshape(-1, size)
        yield offset // size, (rows[:, :4] == np.frombuffer(b"FILE", np.uint8)).all(axis=1), rows


def u16(rows: np.ndarray, at: int) -> np.ndarray:
    """Return one little-endian 16-bit column."""
    return rows[:, at].astype(np.uint16) | rows[:, at + 1].astype(np.uint16) << 8


class LargeFolders:
    """Lists large folders; the map of free records is made at the first one."""

    def __init__(self) -> None:
        self._freed: Freed | None = None

    def __call__(self, fs: TskFileSystem, number: int, size: int) -> Iterator[Name]:
        from safelight.evidence.filesystems.ntfs_folder import Freed, names
        from safelight.evidence.filesystems.tsk_entry import Name

        if self._freed is None:
            self._freed = Freed(fs)
        content, record = fs.files.content(attribute(fs, MFT_RECORD, DATA)), record_size(fs.volume)
        yield from names(fs, number, self._freed, lambda n: content.read_at(n * record, record))
        if number == fs.root:
            yield Name(b"$OrphanFiles", True, fs.last_record, 11, 0)


def orphans(fs: TskFileSystem) -> Iterator[Name | Problem]:
    """Yield the free MFT records that no name led to."""
    from safelight.evidence.filesystems.ntfs_folder import file_names
    from safelight.evidence.filesystems.tsk_orphans import lost

    def candidates() -> Iterator[tuple[int, bool]]:
        for first, is_record, rows in mft_pieces(fs):
            flags = u16(rows, 22)
            for row in np.flatnonzero(is_record & (flags & 1 == 0) & ~rows[:, 32:38].any(axis=1)):
                number = first + int(row)
                if is_used(fs, number):
                    yield number, bool(flags[row] & 2)

    content, record = fs.files.content(attribute(fs, MFT_RECORD, DATA)), record_size(fs.volume)

    def name_of(number: int) -> bytes | None:
        return next((name for _, _, name in file_names(content.read_at(number * record, record))), None)

    yield from lost(fs, candidates(), name_of)


def is_used(fs: TskFileSystem, number: int) -> bool:
    """Whether a free record was ever used: the library says so by its change time (TSK_FS_META_FLAG_USED)."""
    try:
        return bool(int(fs.files.open(number).info.meta.flags) & 4)
    except Unreadable:
        return False  # `fls` does not list what cannot be opened either


def table(fs: TskFileSystem, found: Findings) -> Table:
    """Count the base records in use and find those without a name; the bytes in use are the set bits of `$Bitmap`."""
    from safelight.evidence.filesystems.tsk import Table

    unnamed: list[int] = []
    in_use = named = 0
    for first, is_record, rows in mft_pieces(fs):
        used = is_record & ((u16(rows, 22) & 1) == 1) & ~rows[:, 32:38].any(axis=1)
        for row in np.flatnonzero(used):
            number = first + int(row)
            in_use += 1
            if number < FIRST_USER_RECORD or found.named(number):
                named += 1
            elif len(unnamed) < MAX_UNNAMED:
                unnamed.append(number)
    allocation = fs.profile.allocation
    return Table(
        in_use=in_use,
        named=named,
        unnamed=tuple(unnamed),
        bytes_allocated=allocation.total_in_use() * fs.block_size if allocation is not None else None,
        bytes_covered=found.covered + _root(fs),
    )


def _root(fs: TskFileSystem) -> int:
    """Bytes of the root folder, which has no name of its own."""
    return sum(int(r.len) for a in fs.files.open(fs.root) for r in a if not int(r.flags) & 3 and not int(a.info.flags) & 4) * fs.block_size

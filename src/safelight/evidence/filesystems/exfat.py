"""exFAT by the Sleuth Kit; second reader libfsfat. Times are taken as local times without a zone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from safelight.evidence.filesystems.first_second import head, open_by
from safelight.evidence.source import ByteSource, OpenFileSystem, Unreadable

if TYPE_CHECKING:
    from safelight.evidence.filesystems.tsk import TskFileSystem
    from safelight.evidence.filesystems.tsk_entry import Name


class ExFat:
    """exFAT."""

    name = "exfat"

    def detect(self, volume: ByteSource) -> bool:
        return head(volume, 3, 8) == b"EXFAT   "

    def open(self, volume: ByteSource) -> OpenFileSystem:
        return open_by(volume, open_tsk, open_yal)


def open_tsk(volume: ByteSource) -> OpenFileSystem:
    import pytsk3

    from safelight.evidence.filesystems.allocation import Bitmap, exfat_bitmap
    from safelight.evidence.filesystems.fat import orphans
    from safelight.evidence.filesystems.fat_folder import LARGE_FOLDER, exfat_names, virtual_names
    from safelight.evidence.filesystems.tsk import Findings, Profile, Table, TskFileSystem

    def table(fs: TskFileSystem, found: Findings) -> Table:
        allocation = fs.profile.allocation
        if not isinstance(allocation, Bitmap):
            return Table()
        root = fs.files.open(fs.root)
        own = sum(int(r.len) for a in root for r in a) * fs.block_size
        return Table(
            bytes_allocated=allocation.total_in_use() * allocation.unit * fs.block_size,
            bytes_covered=found.covered + own,
        )

    def profile(fs: TskFileSystem) -> Profile:
        if fs.tsk_type != int(pytsk3.TSK_FS_TYPE_EXFAT):
            raise Unreadable("unsupported", f"not an exFAT volume (type {fs.tsk_type})")
        allocation = exfat_bitmap(volume)
        heap = allocation.first_block if allocation is not None else 0

        def large(fs: TskFileSystem, number: int, _: int) -> Iterator[Name]:
            yield from exfat_names(fs, number, heap)
            if number == fs.root:
                yield from virtual_names(fs, head(volume, 110, 1)[0])

        return Profile(
            name="exfat",
            label=label(fs),
            time_basis="local?",
            allocation=allocation,
            large=large if heap else None,
            large_size=LARGE_FOLDER,
            orphans=orphans,
            table=table,
        )

    return TskFileSystem(volume, pytsk3.TSK_FS_TYPE_EXFAT, profile)


def label(fs: TskFileSystem) -> str:
    """Return the label: entry 0x83 of the root folder, up to 11 UTF-16 letters."""
    head_of_root = fs.files.content(str(fs.root)).read_at(0, 4096)
    for at in range(0, len(head_of_root) - 31, 32):
        if head_of_root[at] == 0x83:
            return head_of_root[at + 2 : at + 2 + 2 * min(11, head_of_root[at + 1])].decode("utf-16-le", "replace")
    return ""


def open_yal(volume: ByteSource) -> OpenFileSystem:
    from safelight.evidence.filesystems.yal import YalFileSystem

    return YalFileSystem(volume, "exfat")

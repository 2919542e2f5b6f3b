"""FAT12, FAT16 and FAT32 by the Sleuth Kit; second reader libfsfat. Times are local times without a zone."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING

from safelight.evidence.filesystems.first_second import head, open_by
from safelight.evidence.source import ByteSource, OpenFileSystem, Unreadable
from safelight.problems import Problem

if TYPE_CHECKING:
    from safelight.evidence.filesystems.allocation import FatTable
    from safelight.evidence.filesystems.tsk import TskFileSystem
    from safelight.evidence.filesystems.tsk_entry import Name


class Fat:
    """FAT12, FAT16, FAT32."""

    name = "fat"

    def detect(self, volume: ByteSource) -> bool:
        """A boot sector with a plausible parameter block; FAT has no signature of its own (Microsoft, FAT specification 1.03)."""
        boot = head(volume, 0, 512)
        if len(boot) < 512 or boot[510:512] != b"\x55\xaa" or boot[3:11] in (b"NTFS    ", b"EXFAT   "):
            return False
        sector, per_cluster, reserved, fats = struct.unpack_from("<HBHB", boot, 11)
        return sector in (512, 1024, 2048, 4096) and per_cluster in (1, 2, 4, 8, 16, 32, 64, 128) and reserved > 0 and fats in (1, 2, 3, 4)

    def open(self, volume: ByteSource) -> OpenFileSystem:
        return open_by(volume, open_tsk, open_yal)


def open_tsk(volume: ByteSource) -> OpenFileSystem:
    import pytsk3

    from safelight.evidence.filesystems.allocation import FatTable, fat_table
    from safelight.evidence.filesystems.fat_folder import LARGE_FOLDER, fat_names, virtual_names
    from safelight.evidence.filesystems.tsk import Findings, Profile, Table, TskFileSystem

    names = {int(pytsk3.TSK_FS_TYPE_FAT12): "fat12", int(pytsk3.TSK_FS_TYPE_FAT16): "fat16", int(pytsk3.TSK_FS_TYPE_FAT32): "fat32"}

    def table(fs: TskFileSystem, found: Findings) -> Table:
        allocation = fs.profile.allocation
        if not isinstance(allocation, FatTable):
            return Table()
        unit = allocation.unit * fs.block_size
        root = fs.files.open(fs.root)
        own = sum(int(r.len) for a in root for r in a) * fs.block_size if fs.name == "fat32" else 0
        return Table(bytes_allocated=allocation.total_in_use() * unit, bytes_covered=found.covered + own)

    def profile(fs: TskFileSystem) -> Profile:
        name = names.get(fs.tsk_type)
        if name is None:
            raise Unreadable("unsupported", f"not a FAT volume (type {fs.tsk_type})")
        boot = volume.read_at(0, 512)
        label = boot[71:82] if name == "fat32" else boot[43:54]
        allocation = fat_table(volume, name)

        def large(fs: TskFileSystem, number: int, _: int) -> Iterator[Name]:
            yield from fat_names(fs, number, first_sector(fs, allocation, name))
            if number == fs.root:
                yield from virtual_names(fs, boot[16])

        return Profile(
            name=name,
            label=label.decode("cp437").rstrip(" \0"),
            time_basis="local?",
            allocation=allocation,
            large=large,
            large_size=LARGE_FOLDER,
            orphans=orphans,
            table=table,
        )

    return TskFileSystem(volume, pytsk3.TSK_FS_TYPE_FAT_DETECT, profile)


def first_sector(fs: TskFileSystem, allocation: FatTable | None, name: str) -> int:
    """Return the sector whose first slot is record 3: the root folder of FAT12 and FAT16, the first cluster of FAT32."""
    if allocation is None:
        raise Unreadable("corrupt", "the boot sector does not tell where the data begin")
    return allocation.first_block if name == "fat32" else allocation.root_block


def orphans(fs: TskFileSystem) -> Iterator[Name | Problem]:
    """Yield the library's orphans; without those that a name led to, since it takes the end of a large folder for orphans."""
    for name, _ in fs.library_names(fs.last_record):
        if isinstance(name, Problem) or not fs.met_large or name.address not in fs.named_free:
            yield name


def open_yal(volume: ByteSource) -> OpenFileSystem:
    from safelight.evidence.filesystems.yal import YalFileSystem

    return YalFileSystem(volume, "fat")

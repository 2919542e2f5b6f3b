"""ext2, ext3 and ext4 by the Sleuth Kit; folders and lost records by our own parser; second reader libfsext."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from safelight.evidence.filesystems.first_second import head, open_by
from safelight.evidence.source import ByteSource, OpenFileSystem, Unreadable
from safelight.problems import Problem

if TYPE_CHECKING:
    from safelight.evidence.filesystems.ext_structures import ExtVolume
    from safelight.evidence.filesystems.tsk import Findings, Profile, Table, TskFileSystem
    from safelight.evidence.filesystems.tsk_entry import Name

SUPERBLOCK = 1024
RO_COMPAT, BIGALLOC = 100, 0x200  # s_feature_ro_compat (super.rst)
MAX_FOLDER = 1 << 31
"""Bytes of a folder that are listed; the kernel itself stops at 2 GiB without `largedir`."""
PIECE = 1 << 20
MAX_UNNAMED = 1_000_000


class Ext:
    """ext2, ext3, ext4."""

    name = "ext"

    def detect(self, volume: ByteSource) -> bool:
        return head(volume, SUPERBLOCK + 56, 2) == b"\x53\xef"

    def open(self, volume: ByteSource) -> OpenFileSystem:
        return open_by(volume, open_tsk, open_yal)


def open_tsk(volume: ByteSource) -> OpenFileSystem:
    import pytsk3

    from safelight.evidence.filesystems.ext_content import direct
    from safelight.evidence.filesystems.ext_structures import BlockBitmaps, ExtVolume
    from safelight.evidence.filesystems.tsk import Profile, TskFileSystem

    whole, volume = volume, without_bigalloc(volume)
    names = {int(pytsk3.TSK_FS_TYPE_EXT2): "ext2", int(pytsk3.TSK_FS_TYPE_EXT3): "ext3", int(pytsk3.TSK_FS_TYPE_EXT4): "ext4"}

    def profile(fs: TskFileSystem) -> Profile:
        name = names.get(fs.tsk_type)
        if name is None:
            raise Unreadable("unsupported", f"not an ext volume (type {fs.tsk_type})")
        label = head(volume, SUPERBLOCK + 120, 16).split(b"\0")[0].decode("utf-8", "replace")
        try:
            ext = ExtVolume(whole)
        except Unreadable as e:
            words = f"the superblock cannot be used for accounts and large folders: {e}"
            return Profile(name=name, label=label, problems=(Problem(e.kind, words, "", False),))
        return Profile(
            name=name,
            label=label,
            allocation=BlockBitmaps(ext),
            large=_folder(ext),
            large_size=0,  # always: opening a damaged inode, as the library does while it lists, may never end
            missed=lambda fs, number, live, doubtful, found: missed(fs, ext, number, live, doubtful, found),
            orphans=lambda fs: orphans(fs, ext),
            orphans_are_own=True,
            table=lambda _, found: table(ext, found),
            is_possible=ext.is_possible,
            direct=lambda number: direct(ext, number),
            table_limit=min(ext.inodes + 1, 1 << 30),
        )

    return TskFileSystem(volume, pytsk3.TSK_FS_TYPE_EXT_DETECT, profile)


class Overlaid:
    """A volume with a few bytes of one place replaced, for a library that refuses what it need not refuse."""

    def __init__(self, volume: ByteSource, at: int, replaced: bytes) -> None:
        self.size = volume.size
        self._volume, self._at, self._replaced = volume, at, replaced

    def read_at(self, offset: int, size: int) -> bytes:
        data = self._volume.read_at(offset, size)
        first, last = max(offset, self._at), min(offset + len(data), self._at + len(self._replaced))
        if first >= last:
            return data
        return data[: first - offset] + self._replaced[first - self._at : last - self._at] + data[last - offset :]


def without_bigalloc(volume: ByteSource) -> ByteSource:
    """Hide the feature `bigalloc` from the library, which refuses it: inodes, extents and folders are the same with it, only a bit of
    the block bitmap stands for a cluster of several blocks, and the bitmaps are read by `BlockBitmaps`."""
    sb = bytearray(head(volume, SUPERBLOCK, 1024))
    features = int.from_bytes(sb[RO_COMPAT : RO_COMPAT + 4], "little")
    if len(sb) < 1024 or not features & BIGALLOC:
        return volume
    sb[RO_COMPAT : RO_COMPAT + 4] = (features & ~BIGALLOC).to_bytes(4, "little")
    sb[28:32], sb[36:40] = sb[24:28], sb[32:36]  # s_log_cluster_size, s_clusters_per_group: those of blocks
    if not any(sb[24:28]):  # blocks of 1 KiB begin at 0 here; the library looks for the descriptors behind the first data block
        sb[20:24] = (1).to_bytes(4, "little")
    return Overlaid(volume, SUPERBLOCK, bytes(sb))


def open_yal(volume: ByteSource) -> OpenFileSystem:
    from safelight.evidence.filesystems.yal import YalFileSystem

    return YalFileSystem(volume, "ext")


def _folder(ext: ExtVolume) -> Callable[[TskFileSystem, int, int], Iterator[Name]]:
    def names(fs: TskFileSystem, number: int, size: int) -> Iterator[Name]:
        from safelight.evidence.filesystems.ext_structures import distinct
        from safelight.evidence.filesystems.tsk_entry import Name

        yield from distinct(_records(fs, ext, number))
        if number == fs.root:
            yield Name(b"$OrphanFiles", True, fs.last_record, 11, 0)

    return names


def _records(fs: TskFileSystem, ext: ExtVolume, number: int) -> Iterator[Name]:
    from safelight.evidence.filesystems.ext_structures import folder_block

    content = fs.files.content(str(number))
    deleted = not int(fs.files.open(number).info.meta.flags) & 1
    last = fs.last_record
    if content.size > MAX_FOLDER:
        raise Unreadable("corrupt", f"a folder of {content.size} bytes")
    for offset in range(0, content.size, PIECE):
        piece = content.read_at(offset, PIECE)
        for at in range(0, len(piece), ext.block_size):
            yield from folder_block(piece[at : at + ext.block_size], last, ext.has_filetype, deleted)


def missed(fs: TskFileSystem, ext: ExtVolume, number: int, live: int, doubtful: set[tuple[int, bytes]], found: Findings) -> Iterator[Name]:
    """Yield the names in use of a folder that the listing did not give as such; mostly there are none, and they are counted only."""
    from safelight.evidence.filesystems.ext_structures import DIRENT_TYPES, chained
    from safelight.evidence.filesystems.tsk_entry import Name

    def names() -> Iterator[tuple[int, bytes, int]]:
        content = fs.files.content(str(number))
        if content.size > MAX_FOLDER:
            return
        for offset in range(0, content.size, PIECE):
            piece = content.read_at(offset, PIECE)
            for at in range(0, len(piece), ext.block_size):
                for inode, name, kind in chained(piece[at : at + ext.block_size], ext.inodes):
                    if name not in (b".", b".."):
                        yield inode, name, kind

    if not int(fs.files.open(number).info.meta.flags) & 1 or (not doubtful and sum(1 for _ in names()) <= live):
        return
    for inode, name, kind in names():
        if (inode, name) in doubtful or not found.named(inode):
            yield Name(name, True, inode, DIRENT_TYPES[kind] if ext.has_filetype and kind < 8 else 0, 0)


def orphans(fs: TskFileSystem, ext: ExtVolume) -> Iterator[Name | Problem]:
    """Yield the free inodes that were used once (ctime not zero) and that no name led to, in order (ils.c, tsk_fs_dir_find_orphans)."""
    from safelight.evidence.filesystems.tsk_orphans import lost

    def candidates() -> Iterator[tuple[int, bool]]:
        for first, used, inodes in ext.inode_tables():
            written = inodes[:, 12:16].any(axis=1)
            folders = (inodes[:, 1] & 0xF0) == 0x40
            for row in np.flatnonzero(written & ~used):
                yield first + int(row), bool(folders[row])

    yield from lost(fs, candidates())


def table(ext: ExtVolume, found: Findings) -> Table:
    """Count the inodes in use and the bytes they hold by their own account (`i_blocks`), and find those without a name."""
    from safelight.evidence.filesystems.ext_structures import inodes_in_use
    from safelight.evidence.filesystems.tsk import Table

    unnamed: list[int] = []
    in_use = named = blocks = 0
    shared: set[int] = set()  # blocks of extended attributes, which several inodes may share and each counts
    huge = bool(ext.ro_compat & 8)
    for first, used, inodes in ext.inode_tables():
        for row in np.flatnonzero(used):
            number = first + int(row)
            in_use += 1
            special = number < ext.first_inode or number in ext.hidden_inodes
            named += special or found.named(number)
            inode = inodes[row]
            sectors = int.from_bytes(inode[28:32].tobytes(), "little")
            if huge:
                sectors += int.from_bytes(inode[116:118].tobytes(), "little") << 32
                if int.from_bytes(inode[32:36].tobytes(), "little") & 0x40000:  # EXT4_HUGE_FILE_FL: in blocks
                    sectors *= ext.block_size // 512
            acl = int.from_bytes(inode[104:108].tobytes(), "little") | int.from_bytes(inode[118:120].tobytes(), "little") << 32
            if acl in shared:
                blocks -= ext.block_size
            elif acl and len(shared) < MAX_UNNAMED:
                shared.add(acl)
            if special or found.named(number):
                blocks += sectors * 512
            elif len(unnamed) < MAX_UNNAMED:
                unnamed.append(number)
    if in_use != inodes_in_use(ext):
        raise Unreadable("corrupt", "the inode bitmaps changed while they were read")
    free_inodes_say = ext.inodes - ext.free_inodes
    covered = blocks + ext.own_blocks() * ext.block_size
    return Table(
        in_use=free_inodes_say if in_use == free_inodes_say else in_use,
        named=named,
        unnamed=tuple(unnamed),
        bytes_allocated=None if ext.bigalloc else (ext.blocks - ext.free_blocks) * ext.block_size,
        bytes_covered=covered,
    )

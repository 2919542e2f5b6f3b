"""HFS+ and HFSX by the Sleuth Kit; second reader libfshfs. Deleted files are not found (the catalogue forgets them)."""

from __future__ import annotations

import struct

from safelight.evidence.filesystems.first_second import head, open_by
from safelight.evidence.source import ByteSource, OpenFileSystem, Unreadable

VOLUME_HEADER = 1024  # Apple TN1150, Volume Header
FIRST_USER_RECORD = 16
TABLE_LIMIT = 1 << 26


class Hfs:
    """HFS+ and HFSX."""

    name = "hfs+"

    def detect(self, volume: ByteSource) -> bool:
        return head(volume, VOLUME_HEADER, 2) in (b"H+", b"HX", b"BD")

    def open(self, volume: ByteSource) -> OpenFileSystem:
        return open_by(volume, open_tsk, open_yal)


def open_tsk(volume: ByteSource) -> OpenFileSystem:
    import pytsk3

    from safelight.evidence.filesystems.tsk import Findings, Profile, Table, TskFileSystem

    def table(fs: TskFileSystem, found: Findings) -> Table:
        """Counters of the volume header; the header, its copy and the reserved sectors are no file (TN1150)."""
        header = head(volume, VOLUME_HEADER, 512)
        if header[:2] not in (b"H+", b"HX") or len(header) < 512:
            return Table()
        files, folders, block_size, total, free = struct.unpack_from(">5I", header, 32)
        if not block_size or free > total:
            raise Unreadable("corrupt", "the counters of the volume header are impossible")
        named = int.from_bytes(found.live, "little") >> FIRST_USER_RECORD
        own = (-(-1536 // block_size) + -(-1024 // block_size)) * block_size
        return Table(
            in_use=files + folders,
            named=named.bit_count() if fs.last_record < TABLE_LIMIT else None,
            bytes_allocated=(total - free) * block_size,
            bytes_covered=found.covered + own,
        )

    def profile(fs: TskFileSystem) -> Profile:
        return Profile(name="hfs+", label=label(volume), table=table, table_limit=TABLE_LIMIT)

    return TskFileSystem(volume, pytsk3.TSK_FS_TYPE_HFS_DETECT, profile)


def label(volume: ByteSource) -> str:
    """Return the name of the volume, by libfshfs (the Sleuth Kit does not tell it)."""
    from safelight.evidence.filesystems.yal import YalFileSystem

    try:
        return YalFileSystem(volume, "hfs+").label
    except Unreadable:
        return ""  # what is wrong with the volume is said by the first reader


def open_yal(volume: ByteSource) -> OpenFileSystem:
    from safelight.evidence.filesystems.yal import YalFileSystem

    return YalFileSystem(volume, "hfs+")

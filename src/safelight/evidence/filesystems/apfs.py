"""APFS by libfsapfs: the volumes of a container. One volume: its paths as they are; several: each below its name."""

from __future__ import annotations

import struct

from safelight.evidence.filesystems.first_second import head
from safelight.evidence.source import ByteSource, OpenFileSystem
from safelight.problems import Problem


class Apfs:
    """APFS. No deleted entries and no accounts: the library gives neither."""

    name = "apfs"

    def detect(self, volume: ByteSource) -> bool:
        return head(volume, 32, 4) == b"NXSB"

    def open(self, volume: ByteSource) -> OpenFileSystem:
        from safelight.evidence.filesystems.walked import Hooks
        from safelight.evidence.filesystems.yal import YalFileSystem

        # nx_block_size and nx_block_count of the container superblock (Apple File System Reference)
        block_size, blocks = struct.unpack("<IQ", head(volume, 36, 12).ljust(12, b"\0"))
        problems: tuple[Problem, ...] = ()
        if block_size * blocks > volume.size:
            problems = (Problem("truncated", f"the container has {block_size * blocks} bytes, the volume {volume.size}", "", False),)
        return YalFileSystem(volume, "apfs", Hooks(problems=problems))

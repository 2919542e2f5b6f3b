"""XFS by libfsxfs, else by our own parser; names that are not UTF-8, deleted files and the accounts, by our own parser of the structures."""

from __future__ import annotations

from safelight.evidence.filesystems.first_second import head, open_by
from safelight.evidence.source import ByteSource, OpenFileSystem
from safelight.problems import Problem

GAP = "the second reader lists all that it can reach from the root folder"
SPECIAL_INODES = 3  # the root folder, and the bitmap and summary of the real-time section, which have no name


class Xfs:
    """XFS."""

    name = "xfs"

    def detect(self, volume: ByteSource) -> bool:
        return head(volume, 0, 4) == b"XFSB"

    def open(self, volume: ByteSource) -> OpenFileSystem:
        from safelight.evidence.filesystems.walked import Hooks
        from safelight.evidence.filesystems.xfs_deleted import DeletedFiles
        from safelight.evidence.filesystems.xfs_structures import XfsVolume
        from safelight.evidence.filesystems.xfs_walk import XfsInodes
        from safelight.evidence.filesystems.yal import YalFileSystem

        xfs = XfsVolume(volume)

        problems: tuple[Problem, ...] = ()
        declared = xfs.blocks * xfs.block_size
        if declared > volume.size:
            problems = (Problem("truncated", f"the file system has {declared} bytes, the volume {volume.size}", "", False),)

        def table(records: int, covered: int) -> tuple[int | None, int | None, int | None, int, list[Problem]]:
            """Counters of the superblock; a volume that was not unmounted cleanly may have older ones (lazy counters)."""
            in_use = xfs.inodes - xfs.free_inodes
            problems = []
            if in_use != records + SPECIAL_INODES:
                words = f"the volume counts {in_use} inodes in use, the walk found {records} and {SPECIAL_INODES} have no name by design"
                problems.append(Problem("accounts", words))
            own = xfs.inodes * xfs.inode_size + xfs.log_blocks * xfs.block_size + xfs.held(xfs.root)
            # Per group: four headers, the roots of up to six trees, the free list; trees grow by a part of a percent.
            tolerance = xfs.groups * 32 * xfs.block_size + xfs.blocks * xfs.block_size // 500
            return in_use, (xfs.blocks - xfs.free_blocks) * xfs.block_size, own, tolerance, problems

        gone = DeletedFiles(xfs, volume)
        hooks = Hooks(xfs.names, xfs.held, table, problems, removed=gone.names_in, orphans=gone.orphans, content=gone.content)
        return open_by(volume, lambda v: YalFileSystem(v, "xfs", hooks), lambda v: XfsInodes(xfs, v, hooks), GAP)

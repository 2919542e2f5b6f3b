"""What only the Sleuth Kit knows (UFS, YAFFS2 …), as it comes: without accounts, without a second reader."""

from __future__ import annotations

from safelight.evidence.source import ByteSource, OpenFileSystem, Unreadable

NAMES = {0x10: "ufs1", 0x20: "ufs1b", 0x40: "ufs2", 0x4000: "yaffs2"}  # TSK_FS_TYPE_ENUM


class Other:
    """Any other file system that the Sleuth Kit recognises."""

    name = "other"

    def detect(self, volume: ByteSource) -> bool:
        return volume.size >= 4096

    def open(self, volume: ByteSource) -> OpenFileSystem:
        import pytsk3

        from safelight.evidence.filesystems.tsk import Profile, TskFileSystem

        refused = Unreadable("unsupported", "no file system is recognised")
        for kind in (pytsk3.TSK_FS_TYPE_FFS_DETECT, pytsk3.TSK_FS_TYPE_YAFFS2_DETECT):
            try:
                return TskFileSystem(volume, kind, lambda fs: Profile(name=NAMES.get(fs.tsk_type, "other")))
            except Unreadable as e:
                refused = Unreadable("unsupported", f"no file system is recognised ({e})")
        raise refused

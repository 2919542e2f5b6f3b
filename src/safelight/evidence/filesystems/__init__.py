"""File systems: `FILESYSTEMS` lists the formats in the order in which they are asked, `open_filesystem` opens a volume.

A format is one file here, one line in the tuple, and one subclass of `tests/kits/filesystem_kit.py`. Order matters only where
two formats could both say yes: those with a strong signature stand before FAT (whose boot sector has none), and the last
member lets the Sleuth Kit guess (UFS, YAFFS2 …).
"""

from __future__ import annotations

import codecs
import importlib
import os
import time

from safelight.evidence.filesystems.apfs import Apfs
from safelight.evidence.filesystems.exfat import ExFat
from safelight.evidence.filesystems.ext import Ext
from safelight.evidence.filesystems.fat import Fat
from safelight.evidence.filesystems.hfs import Hfs
from safelight.evidence.filesystems.iso9660 import Iso9660
from safelight.evidence.filesystems.ntfs import Ntfs
from safelight.evidence.filesystems.other import Other
from safelight.evidence.filesystems.xfs import Xfs
from safelight.evidence.source import ByteSource, FileSystem, OpenFileSystem, Unreadable

FILESYSTEMS: tuple[FileSystem, ...] = (
    Ntfs(),
    ExFat(),
    Apfs(),
    Xfs(),
    Ext(),
    Hfs(),
    Iso9660(),  # an isohybrid image has a boot sector as well, but no FAT
    Fat(),
    Other(),
)


def open_filesystem(volume: ByteSource) -> OpenFileSystem:
    """Open a volume with the first format that recognises and can read it.

    Raise `Unreadable`: kind `unsupported` where no format recognises the volume, else the error of the first format that did.
    """
    refused: Unreadable | None = None
    for member in FILESYSTEMS:
        if not member.detect(volume):
            continue
        try:
            return member.open(volume)
        except Unreadable as e:
            refused = refused or Unreadable(e.kind, f"{member.name}: {e}", e.offset, e.size)
    raise refused or Unreadable("unsupported", "no file system is recognised", 0, 0)


def warm_up() -> None:
    """Import every library and set the time zone, before a sandbox forbids opening files.

    FAT and ISO 9660 times are local times; the Sleuth Kit turns them into instants by the time zone of the process. It has to
    be UTC, so that a stored time comes out as if it were UTC, on every machine alike.
    """
    os.environ["TZ"] = "UTC"
    time.tzset()
    time.localtime()
    for name in LIBRARIES + PARTS:
        importlib.import_module(name)
    for codec in CODECS:
        codecs.lookup(codec)


LIBRARIES = ("numpy", "pytsk3", "pyfsapfs", "pyfsext", "pyfsfat", "pyfshfs", "pyfsntfs", "pyfsxfs", "msgspec")
PARTS = tuple(
    f"safelight.evidence.filesystems.{name}"
    for name in (
        *(
            "allocation",
            "ext_content",
            "ext_structures",
            "fat_folder",
            "first_second",
            "iso9660_records",
            "iso9660_sessions",
            "ntfs_folder",
            "tsk",
            "tsk_accounts",
        ),
        *("tsk_entry", "tsk_image", "tsk_orphans", "yal", "yal_formats"),
        *("xfs_deleted", "xfs_folder", "xfs_groups", "xfs_remains", "xfs_structures", "xfs_walk", "walked"),
    )
)
"""Modules that the formats import when they open a volume."""
CODECS = ("ascii", "cp437", "utf-8", "utf-16-le", "utf-16-be")
"""Python finds a codec by importing a file at its first use."""

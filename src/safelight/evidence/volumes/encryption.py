"""What a volume is when no file system reader takes it: encrypted, a part of a set, or a format that is not read yet.

Ask before the file system readers too: a BitLocker To Go volume shows a small FAT file system in front of the encrypted data.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

from safelight.evidence.source import ByteSource, Unreadable

SIGNATURES: tuple[tuple[int, bytes, str, str], ...] = (
    # BitLocker: libbde documentation, "Volume header". The two GUIDs are those of BitLocker To Go and of used-space-only volumes.
    (3, b"-FVE-FS-", "encrypted", "BitLocker"),
    (424, bytes.fromhex("3bd66749292ed84a8399f6a339e3d001"), "encrypted", "BitLocker To Go"),
    (424, bytes.fromhex("3b4da89280dd0e4d9e4eb1e3284eaed8"), "encrypted", "BitLocker (used space only)"),
    # LUKS on-disk format 1.2.3 and LUKS2 format specification.
    (0, b"LUKS\xba\xbe\0\1", "encrypted", "LUKS1"),
    (0, b"LUKS\xba\xbe\0\2", "encrypted", "LUKS2"),
    (0x4000, b"SKUL\xba\xbe\0\2", "encrypted", "LUKS2 (first header damaged)"),
    # libfvde documentation, "Physical volume header": signature and checksum algorithm.
    (88, b"CS\1\0\0\0", "encrypted", "CoreStorage (FileVault 2)"),
    (0, b"encrdev", "encrypted", "Apple encrypted device"),
    (0x10040, b"_BHRfS_M", "unsupported", "Btrfs"),
    (0, b"hsqs", "unsupported", "squashfs"),
    (0, b"sqsh", "unsupported", "squashfs"),
    (3, b"ReFS\0\0\0\0", "unsupported", "ReFS"),
    (0xFF6, b"SWAPSPACE2", "unsupported", "Linux swap"),
    (0xFF6, b"SWAP-SPACE", "unsupported", "Linux swap"),
    (0, b"\xfc\x4e\x2b\xa9", "unsupported", "Linux software RAID (md 1.1), one member of a set"),
    (0x1000, b"\xfc\x4e\x2b\xa9", "unsupported", "Linux software RAID (md 1.2), one member of a set"),
    (0x400, b"\x10\x20\xf5\xf2", "unsupported", "F2FS"),
    (0x400, b"\xe2\xe1\xf5\xe0", "unsupported", "EROFS"),
    (0x8000, b"JFS1", "unsupported", "JFS"),
    (0x10034, b"ReIsEr", "unsupported", "ReiserFS"),
    (0x10034, b"ReIs", "unsupported", "ReiserFS"),
    (0x255C, b"\x54\x19\x01\x00", "unsupported", "UFS1"),
    (0x1055C, b"\x19\x01\x54\x19", "unsupported", "UFS2"),
    (0x100000, b"\x0d\xd0\x01\xc0", "unsupported", "VMFS"),
    (0x1018, b"\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81", "unsupported", "bcache"),
    (0x400, b"BD", "unsupported", "classic HFS"),
    (0xC00, b"PRIVHEAD", "unsupported", "Windows dynamic disk (LDM)"),
    (0x1000, b"SPACEDB ", "unsupported", "Windows Storage Spaces, one member of a pool"),
    (0x200, b"\x57\x45\x56\x82", "unsupported", "BSD disklabel (its partitions are not listed)"),  # disklabel.h, DISKMAGIC
    (0, b"bluestore block device", "unsupported", "Ceph BlueStore"),
)
"""(offset, bytes, problem kind, words)."""

LVM_SECTORS = range(4)
ZFS_UBERBLOCKS = 128
ZFS_MAGIC = 0x00BAB10C
SAMPLE = 1 << 16
HIGH_ENTROPY = 7.99
"""Bits a byte over 64 KiB: random data has 7.997, JPEG and deflate 7.9 to 7.99 with headers between."""


def identify(volume: ByteSource) -> tuple[str, str] | None:
    """Return (problem kind, words) of what the volume is, None where nothing is known about it. Never raises."""
    for probe in (_signature, _lvm, _raid_at_end, _zfs, _entropy):
        try:
            found = probe(volume)
        except Unreadable:
            continue
        if found is not None:
            return found
    return None


def is_encrypted(volume: ByteSource) -> str | None:
    """Return the name of the encryption where a signature says so, else None: to be asked before the file systems."""
    try:
        found = _signature(volume)
    except Unreadable:
        return None
    return found[1] if found is not None and found[0] == "encrypted" else None


def _signature(volume: ByteSource) -> tuple[str, str] | None:
    for offset, signature, kind, words in SIGNATURES:
        if volume.size >= offset + len(signature) and volume.read_at(offset, len(signature)) == signature:
            return kind, words
    return None


def _lvm(volume: ByteSource) -> tuple[str, str] | None:
    """The label stands in one of the first four sectors (LVM2, `label.h`)."""
    for sector in LVM_SECTORS:
        label = volume.read_at(sector * 512, 32)
        if label[:8] == b"LABELONE" and label[24:32] == b"LVM2 001":
            return "unsupported", "LVM2 physical volume"
    return None


def _raid_at_end(volume: ByteSource) -> tuple[str, str] | None:
    """md 1.0 and 0.90 have their superblock at the end (Linux, `md_p.h` and `md.c`)."""
    sectors = volume.size // 512
    for at, version in ((((sectors - 16) & ~7) * 512, "1.0"), ((volume.size & ~0xFFFF) - 0x10000, "0.90")):
        if at > 0 and volume.read_at(at, 4) in (b"\xfc\x4e\x2b\xa9", b"\xa9\x2b\x4e\xfc"):
            return "unsupported", f"Linux software RAID (md {version}), one member of a set"
    return None


def _zfs(volume: ByteSource) -> tuple[str, str] | None:
    """Uberblocks of the first label: 128 slots of 1 KiB from 128 KiB on, in the byte order of the writer."""
    slots = volume.read_at(128 << 10, ZFS_UBERBLOCKS << 10)
    for slot in range(0, len(slots) - 8, 1024):
        word = slots[slot : slot + 8]
        if int.from_bytes(word, "little") == ZFS_MAGIC or int.from_bytes(word, "big") == ZFS_MAGIC:
            return "unsupported", "ZFS, a member of a pool"
    return None


def entropy(data: bytes) -> float:
    """Shannon entropy in bits a byte."""
    total = len(data)
    return -sum(n / total * math.log2(n / total) for n in Counter(data).values()) if total else 0.0


def _samples(volume: ByteSource) -> Iterator[bytes]:
    for part in (0, 1, 2, 3):
        yield volume.read_at(volume.size * part // 4, SAMPLE)


def _entropy(volume: ByteSource) -> tuple[str, str] | None:
    """VeraCrypt and plain dm-crypt have no signature; they look random everywhere, from the first byte on."""
    if volume.size < 4 * SAMPLE:
        return None
    if all(entropy(sample) >= HIGH_ENTROPY for sample in _samples(volume)):
        return "unsupported", "unknown, high entropy (an encrypted volume without a signature looks like this)"
    return None

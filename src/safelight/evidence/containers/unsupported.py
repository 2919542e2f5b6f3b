"""Image formats that are recognised and not read. Without them their bytes would be taken for a raw disk, without a word."""

from __future__ import annotations

from collections.abc import Sequence

from safelight.evidence.source import Image, Segment, Unreadable

name = "unsupported"

SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    # Signatures as given in the format documents of libewf (EWF2, L01), in AFFLIB, in AD1, in the Parallels format document, in QEMU
    # (block/qed.h, bochs.c, cloop.c), in "Windows Imaging File Format" (Microsoft), in partclone.
    (0, b"EVF2\r\n\x81\x00", "EWF2 (Ex01)"),
    (0, b"LEF2\r\n\x81\x00", "EWF2 logical evidence (Lx01)"),
    (0, b"LVF\x09\x0d\x0a\xff\x00", "EWF logical evidence (L01)"),
    (0, b"AFF10\r\n\x00", "AFF"),
    (0, b"ADSEGMENTEDFILE\x00", "AccessData logical image (AD1)"),
    (0, b"ADCRYPT\x00", "AccessData encrypted image"),
    (0, b"WithoutFreeSpace", "Parallels disk"),
    (0, b"WithouFreSpacExt", "Parallels disk"),
    (0, b"QED\0", "QED"),
    (0, b"Bochs Virtual HD Image", "Bochs disk"),
    (0, b"#!/bin/sh\n#V2.0 Format\n", "cloop"),
    (0, b"\xbe\xba\xfe\xca\0\0\0\0", "VMware SESparse extent"),
    (0, b"MSWIM\0\0\0", "Windows imaging (WIM)"),
    (0, b"partclone-image", "Partclone"),
    (0, b"encrcdsa", "encrypted DMG"),
    (0, b"sprs", "macOS sparse image"),
)
"""(offset, bytes, name of the format)."""

ENCRYPTED = frozenset({"AccessData encrypted image", "encrypted DMG"})


def format_of(segments: Sequence[Segment]) -> str | None:
    """Return the name of the unsupported format, or None."""
    head = segments[0].source.read_at(0, 512)
    for offset, signature, words in SIGNATURES:
        if head[offset : offset + len(signature)] == signature:
            return words
    # AFF4 is a ZIP whose first members name the volume; a disk never starts with a local file header.
    if head[:4] == b"PK\x03\x04" and (b"container.description" in head or b"information.turtle" in head):
        return "AFF4"
    return None


def detect(segments: Sequence[Segment]) -> bool:
    """Whether this is a format that we know and do not read."""
    return format_of(segments) is not None


def open(segments: Sequence[Segment]) -> Image:  # the name is that of the protocol
    """Raise `Unreadable` naming the format."""
    words = format_of(segments)
    raise Unreadable("encrypted" if words in ENCRYPTED else "unsupported", f"{words} images are not read")

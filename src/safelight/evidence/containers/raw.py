"""Raw images, whole or split: the bytes are the disk. No signature, no check, so this member is asked last.

A raw image cannot tell that its end is missing; the partition table and the file system can, and their readers do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from safelight.evidence.bytesource import Concat
from safelight.evidence.source import ByteSource, Segment, StoredDigest
from safelight.problems import Problem

name = "raw"

OTHER_FORMATS = re.compile(rb"\.(?:(e\d\d|s\d\d|ex\d\d|l\d\d|lx\d\d|qcow2?|vhdx?|avhdx?|vdi|vmdk|aff4?|ad1))$", re.IGNORECASE)
RAW_EXTENT = re.compile(rb"-(?:flat|f\d{3,4})\.vmdk$", re.IGNORECASE)
"""Names that promise another format than raw. A `.dmg` may be raw (read/write images are), and so are flat extents of VMDK."""


class RawImage:
    """All segments, one after the other."""

    stored_digests: Sequence[StoredDigest] = ()

    def __init__(self, segments: Sequence[Segment]) -> None:
        self.problems: Sequence[Problem] = tuple(_mismatch(segments[0].name))
        source: ByteSource = segments[0].source if len(segments) == 1 else Concat([s.source for s in segments])
        self.size = source.size
        self.read_at = source.read_at


def _mismatch(stored: bytes) -> Iterator[Problem]:
    """A damaged E01 or a fixed VHD without its footer would otherwise be listed as an odd raw disk, without a word."""
    promised = OTHER_FORMATS.search(stored)
    if promised and not RAW_EXTENT.search(stored):
        words = f"named .{promised[1].decode('ascii')}, but nothing in it is of that format: read as a raw disk"
        yield Problem("type-mismatch", words, complete=False)


def detect(segments: Sequence[Segment]) -> bool:
    """Take everything: raw is what no other format claims."""
    return True


def open(segments: Sequence[Segment]) -> RawImage:  # the name is that of the protocol
    """Join the segments in the order given."""
    return RawImage(segments)

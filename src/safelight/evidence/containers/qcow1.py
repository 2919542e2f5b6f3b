"""QCOW version 1 by libqcow. Its version 2 and 3 are read by `qcow2`: libqcow returns zeros for deflated clusters of version 3."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import partial

from safelight.evidence.containers.libyal import LibyalImage, files_of, guarded
from safelight.evidence.source import Image, Segment, Unreadable

name = "qcow1"


def detect(segments: Sequence[Segment]) -> bool:
    """Whether the first segment is QCOW version 1."""
    return segments[0].source.read_at(0, 8) == b"QFI\xfb\0\0\0\1"


def warm_up() -> None:
    """Import libqcow."""
    import pyqcow  # noqa: F401


def open(segments: Sequence[Segment]) -> Image:  # the name is that of the protocol
    """Open an image without backing file and encryption; others are refused by name."""
    import pyqcow

    # Header of version 1 (QEMU, block/qcow.c): magic, version, backing file (u64, u32), mtime, size, cluster bits, …, crypt method.
    head = segments[0].source.read_at(0, 48)
    if len(head) < 48:
        raise Unreadable("truncated", f"header of {len(head)} bytes")
    if struct.unpack_from(">Q", head, 8)[0]:
        raise Unreadable("missing-part", "the image needs a backing file")
    if struct.unpack_from(">I", head, 36)[0]:
        raise Unreadable("encrypted", "AES (QCOW)")
    handle, files = pyqcow.file(), files_of(segments[:1])
    guarded(partial(handle.open_file_object, files[0]), files)
    return LibyalImage(handle, files)

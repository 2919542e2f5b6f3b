"""Apple disk images (UDIF) by libmodi; compressions that it does not know end in `Unreadable`.

A UDIF image is known by the `koly` block at its end. An image without one (read/write) is a raw disk.
"""

from __future__ import annotations

from collections.abc import Sequence

from safelight.evidence.containers.libyal import LibyalImage, files_of, guarded
from safelight.evidence.source import Image, Segment

name = "dmg"

TRAILER = 512


def detect(segments: Sequence[Segment]) -> bool:
    """Whether a `koly` block of version 4 and 512 bytes stands at the end."""
    source = segments[0].source
    tail = source.read_at(max(0, source.size - TRAILER), TRAILER)
    return len(tail) == TRAILER and tail[:12] == b"koly\0\0\0\4\0\0\2\0"


def warm_up() -> None:
    """Import libmodi."""
    import pymodi  # noqa: F401


def open(segments: Sequence[Segment]) -> Image:  # the name is that of the protocol
    """Open a UDIF image in one file."""
    import pymodi

    handle, files = pymodi.handle(), files_of(segments[:1])
    guarded(lambda: handle.open_file_object(files[0]), files)
    return LibyalImage(handle, files)

"""PDQ of decoded pixels: thin Python over the kernel, and distances between hashes.

A hash is 32 bytes in the order of its published hexadecimal text. See docs/methods/pictures.md for what is hashed.
"""

from __future__ import annotations

from typing import NamedTuple

MATCH_DISTANCE = 31
"""Upstream's threshold: hashes at most this far apart show the same picture."""
USABLE_QUALITY = 50
"""Upstream discards hashes of lower quality: their bits are noise."""


class Hashes(NamedTuple):
    """The eight hashes in the order of records.TRANSFORMS (one without turns) and the quality 0..100."""

    hashes: tuple[bytes, ...]
    quality: int


def hash_pixels(pixels: bytes | memoryview, width: int, height: int, channels: int, turns: bool = True) -> Hashes:
    """Hash rows of one (luma) or three (RGB) bytes a pixel without padding."""
    from safelight.native import _pdq

    hasher = _pdq.Hasher(width, height, channels, turns)
    hasher.rows(pixels)
    return Hashes(*hasher.finish())


def distance(a: bytes, b: bytes) -> int:
    """Return the number of bits that differ."""
    return (int.from_bytes(a, "big") ^ int.from_bytes(b, "big")).bit_count()


def nearest(hashes: tuple[bytes, ...], other: bytes) -> int:
    """Return the smallest distance between `other` and any of the hashes (all turns of one picture)."""
    return min(distance(h, other) for h in hashes)

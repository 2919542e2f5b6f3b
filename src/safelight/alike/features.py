"""Local features of a picture: a few hundred corners with 256 comparisons each, from its luma at no more than `SIDE` pixels.

What PDQ misses (crops, turns by some degrees, stickers, pictures inside pictures) still has many of its corners. The kernel computes in
whole numbers, so the same pixels give the same bytes everywhere; its plain twin is `native/features_twin.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL import Image

SIDE = 640
"""Pixels of the long side of the plane that corners are looked for in; smaller pictures are taken as they are."""

ENLARGED = 480
"""Pictures whose long side is shorter are enlarged towards it, at most twice: of a small crop else little more than the edge is left."""

MOST = 400
"""Corners of one picture at most: 38 bytes each, 15,200 bytes a picture."""

LEAST_SIDE = 64
"""Pictures whose short side is smaller have no features: nothing of a patch of 35 pixels is left in them."""

POINT = np.dtype([("x", "<u2"), ("y", "<u2"), ("level", "u1"), ("turn", "u1")])
"""One point: place in 1/16 pixel of the plane, level of the pyramid (each 4/5 of the one before), angle in 64ths of a turn."""


class Features(NamedTuple):
    """Size of the plane in pixels, points of 6 bytes (`POINT`) and as many descriptors of 32 bytes."""

    width: int
    height: int
    points: bytes
    descriptors: bytes

    @property
    def number(self) -> int:
        return len(self.descriptors) // 32


def find(plane: NDArray[np.uint8]) -> Features:
    """Return the features of an (height, width) luma plane with sides of up to 2,048 pixels."""
    from safelight.native import _features

    height, width = plane.shape
    points, descriptors = _features.extract(np.ascontiguousarray(plane).data, width, height, MOST)
    return Features(width, height, points, descriptors)


def reduced(luma: Image.Image, side: int = SIDE) -> Image.Image:
    """Return a picture of mode L whose long side is at most `side`, each pixel the mean of those it stands for; small ones are enlarged."""
    from PIL import Image

    longest = max(luma.size)
    if longest < ENLARGED:
        side = min(2 * longest, ENLARGED)
    elif longest <= side:
        return luma
    size = max(1, round(luma.width * side / longest)), max(1, round(luma.height * side / longest))
    return luma.resize(size, Image.Resampling.BOX if longest >= 2 * side else Image.Resampling.BILINEAR)


def of_image(luma: Image.Image) -> Features | None:
    """Return the features of a picture of mode L; None where it is too small."""
    small = reduced(luma)
    if min(small.size) < LEAST_SIDE:
        return None
    return find(np.asarray(small, np.uint8))


def points_of(features: Features) -> NDArray[np.void]:
    """Return the points as a structured array."""
    return np.frombuffer(features.points, POINT)

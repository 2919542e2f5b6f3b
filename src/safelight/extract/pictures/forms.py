"""Further forms of a loaded picture for matching: without its uniform border, and as its 512 x 512 nearest pixels.

The kernel of the JPEG path does the same on its luma plane (`native/pdq_forms.h`, which says where the rules come from). Here a
picture is read in strips of lines, so that no second copy of it is made; pictures without a border cost four strips.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from safelight.extract.pictures.pdq import Hashes, hash_pixels
from safelight.native import _pdq
from safelight.native.pdq_twin import LEAST_SIDE, NEAREST_SIDE, ROUNDS

if TYPE_CHECKING:
    from PIL import Image

Box = tuple[int, int, int, int]
Crop = Callable[[int, int, int, int], "Image.Image"]
"""Returns the rectangle (left, top, right, bottom) as L or RGB."""
STRIP = 16
BAND_PIXELS = 1 << 20


class Nearest:
    """Collects the 512 x 512 nearest pixels of a picture that comes in bands; `hashes` is None up to 512 x 512."""

    def __init__(self, width: int, height: int, mode: str) -> None:
        self._wanted = max(width, height) > NEAREST_SIDE
        self._rows = np.arange(NEAREST_SIDE) * height // NEAREST_SIDE
        self._columns = np.arange(NEAREST_SIDE) * width // NEAREST_SIDE
        self._pixels = np.zeros((NEAREST_SIDE, NEAREST_SIDE) + ((3,) if mode == "RGB" else ()), np.uint8) if self._wanted else None

    def take(self, band: bytes, height: int, top: int) -> None:
        """Take the pixels of the band of `height` rows from `top` on."""
        if self._pixels is None:
            return
        chosen = np.flatnonzero((self._rows >= top) & (self._rows < top + height))
        pixels = np.frombuffer(band, np.uint8).reshape(height, -1, *self._pixels.shape[2:])
        self._pixels[chosen] = pixels[self._rows[chosen] - top][:, self._columns]

    def hashes(self) -> Hashes | None:
        if self._pixels is None:
            return None
        return hash_pixels(self._pixels.tobytes(), NEAREST_SIDE, NEAREST_SIDE, 3 if self._pixels.ndim == 3 else 1)


def find_box(width: int, height: int, crop: Crop) -> Box | None:
    """Return (left, top, width, height) of what is left without uniform lines at the edges; None where nothing is to be cut."""
    left, top, right, bottom = 0, 0, width, height
    for _ in range(ROUNDS):
        before = left, top, right, bottom
        top += _cut(bottom - top, lambda a, b: _lines(crop(left, top + a, right, top + b)))  # noqa: B023
        bottom -= _cut(bottom - top, lambda a, b: _lines(crop(left, bottom - b, right, bottom - a))[::-1])  # noqa: B023
        left += _cut(right - left, lambda a, b: _lines(crop(left + a, top, left + b, bottom)).T)  # noqa: B023
        right -= _cut(right - left, lambda a, b: _lines(crop(right - b, top, right - a, bottom)).T[::-1])  # noqa: B023
        if min(right - left, bottom - top) < LEAST_SIDE:
            return None
        if before == (left, top, right, bottom):
            break
    return (left, top, right - left, bottom - top) if (right - left, bottom - top) != (width, height) else None


def _cut(size: int, strip: Callable[[int, int], NDArray[np.uint8]]) -> int:
    """Return how many of the first lines are uniform; it ends where fewer than LEAST_SIDE lines would be left to look at."""
    done, most = 0, size - LEAST_SIDE + 1
    while done < most:
        lines = np.ascontiguousarray(strip(done, min(done + STRIP, most)))
        flat = _pdq.uniform(lines.data, lines.shape[1])
        if 0 in flat:
            return done + flat.index(0)
        done += len(flat)
    return max(0, most)


def _lines(picture: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(picture if picture.mode == "L" else picture.convert("L"))


def hash_box(box: Box, mode: str, crop: Crop) -> Hashes:
    """Hash a rectangle of the picture."""
    left, top, width, height = box
    hasher = _pdq.Hasher(width, height, 1 if mode == "L" else 3, True)
    rows = max(1, BAND_PIXELS // width)
    for y in range(top, top + height, rows):
        hasher.rows(crop(left, y, left + width, min(y + rows, top + height)).tobytes())
    return Hashes(*hasher.finish())

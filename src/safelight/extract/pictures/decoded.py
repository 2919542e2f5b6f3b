"""What a decode leaves, and the budgets that are checked before one begins.

Nothing of the full-size picture outlives a decode: hashes and one small picture do. Budgets are by header, so the same file
is refused on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from safelight.extract.pictures.pdq import Hashes

if TYPE_CHECKING:
    from PIL import Image

MAX_PIXELS = 178_000_000
"""Pixels of one picture; the size at which Pillow's own limit raises an error."""
MAX_SIDE = 1_400_000
"""Longest side: with MAX_PIXELS it keeps the exact sums of the kernel within 64 bits."""
MEMORY = 760 << 20
"""Bytes that a decoder may need for one picture; a worker has 900 MiB, libraries and data included."""
COEFFICIENT_BYTES = 600 << 20
"""Bytes of coefficients that a JPEG of several scans may hold in memory."""

PIXEL_BYTES = {
    "image/png": 4,
    "image/gif": 5,
    "image/bmp": 4,
    "image/webp": 16,
    "image/tiff": 8,
    "image/heic": 12,
    "image/heif": 12,
    "image/avif": 12,
    "image/jp2": 20,
    "image/x-jp2-codestream": 20,
    "image/jxl": 20,
    "image/jpeg": 8,
    "image/vnd.adobe.photoshop": 10,
}
"""Bytes of memory per pixel while decoding a colour picture, copies inside the library included (see bench and docs)."""
GREY_BYTES = {"image/png": 2, "image/tiff": 4, "image/bmp": 2, "image/jp2": 12, "image/x-jp2-codestream": 12}
"""The same for pictures of one channel."""


@dataclass
class Decoded:
    """Size, mode and library of a decode; hashes and small picture are None where no pixel could be decoded."""

    width: int
    height: int
    mode: str = ""
    decoder: str = ""
    complete: bool = False
    hashes: Hashes | None = None
    white: Hashes | None = None
    trimmed: Hashes | None = None
    trimmed_box: tuple[int, int, int, int] | None = None
    nearest: Hashes | None = None
    small: Image.Image | None = None


def over_pixels(width: int, height: int) -> str | None:
    """Return in words why a picture of this size is not decoded by anyone, or None."""
    if width * height > MAX_PIXELS:
        return f"{width} x {height} pixels, more than {MAX_PIXELS}"
    return f"a side of {max(width, height)} pixels" if max(width, height) > MAX_SIDE else None


def over_budget(media_type: str, width: int, height: int, mode: str) -> str | None:
    """Return in words why a library may not decode a picture of this size, or None."""
    pixels = width * height
    reason = over_pixels(width, height)
    if reason:
        return reason
    grey = mode in ("1", "L", "P", "I;16") and media_type in GREY_BYTES
    each = GREY_BYTES[media_type] if grey else PIXEL_BYTES.get(media_type, 16)
    if pixels * each > MEMORY:
        return f"{width} x {height} pixels need {pixels * each >> 20} MiB to decode"
    return None

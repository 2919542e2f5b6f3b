"""The three small pictures that people see first, each a JPEG made from the one small picture that the decode left.

`protected` holds no more than 24 grey points on its long side (information that is gone cannot be sharpened back),
`drawing` shows edges only, `small` is the picture itself. All three are turned as EXIF says, so that they stand upright.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from PIL import Image

SIDE = 192
"""Pixels of the long side."""
PROTECTED_POINTS = 24
QUALITY = 80

_DARK_EDGES = [255 - min(255, 4 * v) for v in range(256)]
"""Edges four times as strong, dark on white."""


class Renditions(NamedTuple):
    """JPEG bytes."""

    protected: bytes
    drawing: bytes
    small: bytes


def make(picture: Image.Image, orientation: int | None) -> Renditions:
    """Make the renditions of a picture of mode L or RGB; deterministic for one version of Pillow."""
    from PIL import Image, ImageFilter, ImageOps

    turned = turn(_fit(picture, SIDE), orientation)
    grey = turned.convert("L")
    points = _fit(grey, PROTECTED_POINTS)
    protected = points.resize(grey.size, Image.Resampling.BICUBIC)
    edges = grey.filter(ImageFilter.GaussianBlur(1)).filter(ImageFilter.FIND_EDGES)
    drawing = edges.point(_DARK_EDGES)
    if min(drawing.size) > 4:  # the outermost pixels have no neighbours: the filter leaves them unfiltered
        drawing = ImageOps.expand(ImageOps.crop(drawing, 2), 2, 255)
    return Renditions(encode(protected), encode(drawing), encode(turned))


def _fit(picture: Image.Image, side: int) -> Image.Image:
    from PIL import Image

    longest = max(picture.size)
    if longest <= side:
        return picture
    size = (max(1, round(picture.width * side / longest)), max(1, round(picture.height * side / longest)))
    return picture.resize(size, Image.Resampling.BOX if longest >= 4 * side else Image.Resampling.BILINEAR)


def turn(picture: Image.Image, orientation: int | None) -> Image.Image:
    """Turn by an EXIF orientation."""
    from PIL import Image

    method = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }.get(orientation or 1)
    return picture if method is None else picture.transpose(method)


def encode(picture: Image.Image) -> bytes:
    """Return JPEG bytes of fixed settings, without metadata."""
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=QUALITY, subsampling=2, optimize=False, progressive=False)
    return out.getvalue()

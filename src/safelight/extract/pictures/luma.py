"""The second look at a picture: its luma at a moderate size, from which features and panels are taken; its colours, for a descriptor.

The layout is read and the budgets are checked as in the first look, whose problems are not told again. JPEG is decoded at the
scale that is needed; transparent pictures are laid on white, as a viewer shows them.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from safelight.extract.pictures import decoders, read_layout
from safelight.extract.pictures.decoded import Decoded, over_budget, over_pixels
from safelight.extract.pictures.jpeg import read_jpeg
from safelight.extract.pictures.raws import RAW_TYPES

if TYPE_CHECKING:
    from PIL import Image

    from safelight.extract.pictures.layouts import Layout

SIDE = 1280
"""Pixels of the long side that a plane has at least, where the picture has so many; at most twice that."""


class Luma:
    """A plane of mode L, and the size of the picture that it stands for."""

    def __init__(self, plane: Image.Image, width: int, height: int) -> None:
        self.plane, self.width, self.height = plane, width, height


def read_luma(data: bytes | memoryview, media_type: str) -> Luma | None:
    """Return the luma of a picture; None where it cannot be decoded (the first look has said why)."""
    decoded = _decoded(data, media_type, "L", SIDE)
    return None if decoded is None or decoded[1].small is None else Luma(decoded[1].small, *decoded[0])


def read_colour(data: bytes | memoryview, media_type: str, side: int) -> Image.Image | None:
    """Return a picture in RGB, its long side of `side` to twice as many pixels, where it has so many; None where it cannot be decoded."""
    decoded = _decoded(data, media_type, "RGB", side)
    return decoded[1].small if decoded is not None else None


def _decoded(data: bytes | memoryview, media_type: str, mode: str, side: int) -> tuple[tuple[int, int], Decoded] | None:
    """Return the size of a picture as stored, and its reduced pixels."""
    view = memoryview(data)
    if not len(view) or media_type == "image/svg+xml":
        return None
    layout, _ = read_layout(view, media_type)
    if layout.refused:
        return None
    if media_type in RAW_TYPES:
        view, media_type, layout = _preview(view, layout)
    sequence = media_type.endswith("-sequence") or (layout.frames > 1 and not layout.width)
    if (layout.width <= 0 or layout.height <= 0) and not sequence:
        return None
    if over_pixels(layout.width, layout.height) or over_budget(media_type, layout.width, layout.height, layout.mode):
        return None
    decoded = decoders.decode(view, media_type, layout, partial(_reduced, mode=mode, side=side), side, mode)
    return None if decoded is None else ((layout.width or decoded.width, layout.height or decoded.height), decoded)


def _preview(view: memoryview, layout: Layout) -> tuple[memoryview, str, Layout]:
    """Return the preview with the most pixels of a raw file as a JPEG."""
    inner = [(read_jpeg(view[at : at + size]), view[at : at + size]) for at, size in layout.previews]
    best, data = max(inner, key=lambda p: p[0].width * p[0].height, default=(layout, view[:0]))
    if data and best.width:
        return data, "image/jpeg", best
    layout.width = layout.height = 0
    return view, "image/jpeg", layout


def _reduced(image: Image.Image, decoder: str, mode: str, side: int) -> Decoded:
    """Bring a decoded picture to L or RGB, band by band, its long side below twice `side`."""
    from PIL import Image

    width, height = image.size
    factor = max(1, max(width, height) // side)
    has_alpha = image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info
    size = -(-width // factor), -(-height // factor)
    plane, on_white, transparent = Image.new(mode, size), Image.new(mode, size) if has_alpha else None, False
    rows = max(1, decoders.BAND_PIXELS // (width * factor)) * factor
    levels = decoders.levels_of(image)
    for top in range(0, height, rows):
        band = image.crop((0, top, width, min(height, top + rows)))
        plain, white, seen = decoders.flatten(band, mode, levels, has_alpha)
        transparent = transparent or seen
        for picture, target in ((plain, plane), (white, on_white)):
            if picture is not None and target is not None:
                target.paste(picture.reduce(factor) if factor > 1 else picture, (0, top // factor))
    shown = on_white if on_white is not None and transparent else plane
    return Decoded(width, height, mode, decoder, True, small=shown)

"""The recall corpus: a fixed set of planted copies, each edit and each distance at the edge, made by code.

`PICTURES` are drawn; each stands on a list by its PDQ (by the reference's own library, of the pixels as they are). `copies` makes what a
seized disk might hold instead of the picture itself. What the method promises of each stands beside it: a match with the list by a form,
or a link with the picture inside the case. A build that loses one has lost what the documentation promises.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

COUNT = 4
SIZE = (880, 660)
Edit = Callable[[Image.Image, Image.Image], Image.Image]


def drawn(number: int) -> Image.Image:
    """Return picture `number`: slopes, edges and texture of every size, harmless."""
    rng = np.random.default_rng(7_000 + number)
    width, height = SIZE
    total = np.zeros((height, width, 3))
    for cells in (4, 9, 20, 45):
        small = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        total += np.asarray(small.resize(SIZE, Image.Resampling.BICUBIC), np.float64) / cells**0.4
    total -= total.min()
    image = Image.fromarray((total * (255 / total.max())).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(90):
        x, y = int(rng.integers(0, width)), int(rng.integers(0, height))
        corners = [(x + int(rng.integers(-60, 60)), y + int(rng.integers(-60, 60))) for _ in range(int(rng.integers(3, 6)))]
        draw.polygon(corners, fill=tuple(int(v) for v in rng.integers(0, 256, 3)))
    return image


def coded(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


class Copy(NamedTuple):
    """A planted file: name, bytes, the picture that it is a copy of; `forms` that may match the list, `relations` that link it in the case."""

    name: str
    data: bytes
    of: int
    forms: tuple[str, ...] = ()
    relations: tuple[str, ...] = ()


TURNS = list(Image.Transpose)
CODINGS: dict[str, tuple[str, dict[str, object]]] = {
    "q90.jpg": ("JPEG", {"quality": 90}),
    "q50.jpg": ("JPEG", {"quality": 50}),
    "q20.jpg": ("JPEG", {"quality": 20}),
    "progressive.jpg": ("JPEG", {"quality": 80, "progressive": True}),
    "lossless.png": ("PNG", {"compress_level": 1}),
    "q60.webp": ("WEBP", {"quality": 60}),
    "raw.bmp": ("BMP", {}),
    "deflate.tif": ("TIFF", {"compression": "tiff_deflate"}),
}
SIZES = (0.25, 0.5, 0.75, 1.5)


def _bordered(image: Image.Image, other: Image.Image, paper: int = 255) -> Image.Image:
    page = Image.new("RGB", (image.width + 120, image.height + 80), (paper,) * 3)
    page.paste(image, (60, 40))
    return page


def _barred(image: Image.Image, other: Image.Image) -> Image.Image:
    page = Image.new("RGB", (image.width, image.height + 160))
    page.paste(image, (0, 80))
    return page


def _screenshot(image: Image.Image, other: Image.Image) -> Image.Image:
    page = Image.new("RGB", (540, 1100), (246, 246, 248))
    draw = ImageDraw.Draw(page)
    draw.rectangle((0, 0, 540, 90), fill=(230, 230, 235))
    draw.text((60, 30), "Holiday group", fill=(20, 20, 20), font_size=28)
    page.paste(image.resize((480, 360), Image.Resampling.LANCZOS), (30, 200))
    for n in range(5):
        draw.rounded_rectangle((40, 640 + 80 * n, 300 + 30 * n, 690 + 80 * n), 12, fill=(215, 240, 215))
        draw.text((55, 650 + 80 * n), "see you there at nine", fill=(20, 20, 20), font_size=22)
    return page


def _collage(image: Image.Image, other: Image.Image) -> Image.Image:
    page = Image.new("RGB", (880, 340), (255, 255, 255))
    for n, part in enumerate((other, image)):
        page.paste(part.resize((427, 320), Image.Resampling.LANCZOS), (9 + 436 * n, 10))
    return page


def _sticker(image: Image.Image, other: Image.Image) -> Image.Image:
    image = image.copy()
    ImageDraw.Draw(image).ellipse((430, 230, 770, 570), fill=(255, 210, 40), outline=(0, 0, 0), width=4)
    return image


def _turned(image: Image.Image, degrees: float) -> Image.Image:
    return image.rotate(degrees, Image.Resampling.BICUBIC)


def _mirrored(image: Image.Image) -> Image.Image:
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


BY_FORM: dict[str, tuple[Edit, tuple[str, ...]]] = {
    "white-border": (_bordered, ("trimmed",)),
    "black-border": (lambda i, o: _bordered(i, o, 0), ("trimmed",)),
    "black-bars": (_barred, ("trimmed",)),
    "screenshot": (_screenshot, ("panel",)),
    "collage": (_collage, ("panel",)),
    "mirrored-collage": (lambda i, o: _collage(_mirrored(i), o), ("panel",)),
}
"""Edits after which a list by PDQ still knows the picture, and by which form of the copy."""

IN_THE_CASE: dict[str, tuple[Edit, tuple[str, ...]]] = {
    "crop-10": (lambda i, o: i.crop((88, 66, 792, 594)), ("contains",)),
    "crop-quarter": (lambda i, o: i.crop((220, 165, 660, 495)), ("contains",)),
    "crop-corner": (lambda i, o: i.crop((440, 0, 880, 330)), ("contains",)),
    "crop-quarter-mirrored": (lambda i, o: _mirrored(i.crop((220, 165, 660, 495))), ("contains",)),
    "turned-3": (lambda i, o: _turned(i, 3), ("same picture",)),
    "turned-10": (lambda i, o: _turned(i, 10), ("same picture",)),
    "turned-10-mirrored": (lambda i, o: _mirrored(_turned(i, -10)), ("same picture",)),
    "sticker": (_sticker, ("same picture",)),
    "sticker-mirrored": (lambda i, o: _mirrored(_sticker(i, o)), ("same picture",)),
    "screenshot-crop": (lambda i, o: _screenshot(i.crop((88, 66, 792, 594)), o), ("part of", "shares a part", "contains")),
}
"""Edits that no list by PDQ survives: the picture itself must be in the case; the relation as it looks from the picture."""


def copies() -> Iterator[Copy]:
    """Yield all planted files but those of the distance edges."""
    pictures = [drawn(n) for n in range(COUNT)]
    for number, image in enumerate(pictures):
        other = pictures[(number + 1) % COUNT]
        for name, (kind, options) in CODINGS.items():
            yield Copy(f"{number}-{name}", coded(image, kind, **options), number, ("full",))
        for factor in SIZES:
            size = round(image.width * factor), round(image.height * factor)
            data = coded(image.resize(size, Image.Resampling.LANCZOS), "JPEG", quality=85)
            yield Copy(f"{number}-scaled-{factor}.jpg", data, number, ("full",))
        for turn in TURNS:
            yield Copy(f"{number}-{turn.name.lower()}.jpg", coded(image.transpose(turn), "JPEG", quality=92), number, ("full",))
        for name, (edit, forms) in BY_FORM.items():
            yield Copy(f"{number}-{name}.jpg", coded(edit(image, other), "JPEG", quality=88), number, forms)
        for name, (edit, relations) in IN_THE_CASE.items():
            yield Copy(f"{number}-{name}.jpg", coded(edit(image, other), "JPEG", quality=88), number, (), relations)


def transparent(number: int) -> tuple[bytes, Image.Image]:
    """Return a PNG with a transparent half, and what a viewer shows of it: the picture on white."""
    image = drawn(20 + number).convert("RGBA")
    rng = np.random.default_rng(number)
    alpha = Image.fromarray(rng.integers(0, 2, (3, 4), dtype=np.uint8) * 255).resize(SIZE, Image.Resampling.NEAREST)
    image.putalpha(alpha)
    white = Image.new("RGB", SIZE, (255, 255, 255))
    white.paste(image, mask=alpha)
    return coded(image, "PNG", compress_level=1), white


def nearest_512(image: Image.Image) -> Image.Image:
    """Return the 512 x 512 pixels that the C++ tool takes of a larger picture: the nearest, aspect ignored."""
    pixels = np.asarray(image)
    rows, columns = (np.arange(512) * n // 512 for n in pixels.shape[:2])
    return Image.fromarray(pixels[rows][:, columns])


EDGES = {0: True, 1: True, 30: True, 31: True, 32: False}
"""Bits between a picture and an entry of the list, and whether it is found."""


def flipped(value: bytes, bits: int, seed: int) -> bytes:
    """Return a hash that differs in so many bits, spread evenly."""
    number = int.from_bytes(value, "big")
    step = 256 // bits if bits else 1
    for n in range(bits):
        number ^= 1 << ((n * step + seed) % 256)
    return number.to_bytes(32, "big")

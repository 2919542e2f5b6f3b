"""Draw harmless pictures by code: mountains, boats, stamps and flowers. The same number gives the same picture on every machine.

They stand for photos in the demo, so they have slopes, edges and texture, and two different numbers never look alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

Colour = tuple[int, int, int]
SKIES: tuple[tuple[Colour, Colour], ...] = (
    ((70, 120, 190), (235, 225, 205)),
    ((35, 45, 95), (240, 150, 110)),
    ((120, 175, 215), (250, 245, 230)),
    ((60, 80, 110), (200, 205, 210)),
)


def mountains(number: int, width: int = 1200, height: int = 900) -> Image.Image:
    """Draw ridges one behind the other under a sun."""
    rng = np.random.default_rng(1000 + number)
    picture = _sky(rng, width, height)
    draw = ImageDraw.Draw(picture)
    _sun(draw, rng, width, height)
    near = np.array(rng.integers(15, 70, 3))
    for step in range(5):
        base = height * (0.42 + 0.12 * step)
        line = base - _ridge(rng, width, height * (0.26 - 0.035 * step), rough=0.55)
        shade = near + (np.array((170, 180, 195)) - near) * (1 - step / 4) * 0.8
        points = [(0, height), *((x, float(y)) for x, y in enumerate(line)), (width, height)]
        draw.polygon(points, fill=_rgb(shade))
        if step < 2:
            _snow(draw, line, base - height * (0.13 - 0.03 * step))
    return _grain(picture, rng)


def boats(number: int, width: int = 1200, height: int = 900) -> Image.Image:
    """Draw sailing boats on the sea."""
    rng = np.random.default_rng(2000 + number)
    picture = _sky(rng, width, height)
    draw = ImageDraw.Draw(picture)
    _sun(draw, rng, width, height)
    horizon = int(height * rng.uniform(0.42, 0.6))
    deep = np.array((20, 70, 110)) + rng.integers(-15, 30, 3)
    for row in range(horizon, height):
        light = 1 - (row - horizon) / (height - horizon)
        wave = 12 * math.sin(row * 0.21) + 7 * math.sin(row * 0.053 + number)
        draw.line([(0, row), (width, row)], fill=_rgb(deep + 85 * light + wave))
    for _ in range(int(rng.integers(2, 6))):
        size = float(rng.uniform(0.10, 0.30)) * height
        x, y = float(rng.uniform(0.1, 0.9)) * width, horizon + float(rng.uniform(0.05, 0.75)) * (height - horizon)
        _boat(draw, rng, x, y, size)
    return _grain(picture, rng)


def stamp(number: int, width: int = 900, height: int = 1100) -> Image.Image:
    """Draw a postage stamp: a perforated edge, a motif in one colour, a value."""
    rng = np.random.default_rng(3000 + number)
    picture = Image.new("RGB", (width, height), (52, 48, 46))
    draw = ImageDraw.Draw(picture)
    edge, hole = width // 14, width // 40
    draw.rectangle([edge, edge, width - edge, height - edge], fill=(246, 240, 224))
    for x in range(edge, width - edge + 1, hole * 3):
        for y in (edge, height - edge):
            draw.ellipse([x - hole, y - hole, x + hole, y + hole], fill=(52, 48, 46))
    for y in range(edge, height - edge + 1, hole * 3):
        for x in (edge, width - edge):
            draw.ellipse([x - hole, y - hole, x + hole, y + hole], fill=(52, 48, 46))
    motif = (mountains, boats, flower)[number % 3](500 + number, width - 4 * edge, height - 6 * edge)
    ink = Image.new("RGB", motif.size, _rgb(rng.integers(20, 150, 3)))
    grey = motif.convert("L")
    picture.paste(Image.composite(Image.new("RGB", motif.size, (246, 240, 224)), ink, grey), (2 * edge, 2 * edge))
    draw.rectangle([2 * edge, 2 * edge, width - 2 * edge - 1, height - 4 * edge - 1], outline=(40, 35, 35), width=4)
    for bar in range(int(rng.integers(2, 7))):
        draw.rectangle(
            [2 * edge + bar * 60, height - int(3.4 * edge), 2 * edge + bar * 60 + 36, height - 2 * edge],
            fill=_rgb(rng.integers(20, 120, 3)),
        )
    return _grain(picture, rng)


def flower(number: int, width: int = 1000, height: int = 1000) -> Image.Image:
    """Draw a few flowers on a meadow."""
    rng = np.random.default_rng(4000 + number)
    picture = _sky(rng, width, height)
    draw = ImageDraw.Draw(picture)
    draw.rectangle([0, int(height * 0.62), width, height], fill=_rgb(np.array((60, 120, 50)) + rng.integers(-30, 40, 3)))
    for _ in range(int(rng.integers(3, 6))):
        x, y = float(rng.uniform(0.12, 0.88)) * width, float(rng.uniform(0.2, 0.65)) * height
        radius, petals = float(rng.uniform(0.07, 0.17)) * height, int(rng.integers(5, 11))
        draw.line([(x, y), (x + radius * 0.3, height)], fill=(40, 85, 35), width=max(4, int(radius / 9)))
        colour = _rgb(rng.integers(90, 250, 3))
        for petal in range(petals):
            angle = 2 * math.pi * petal / petals + number
            px, py, r = x + radius * 0.62 * math.cos(angle), y + radius * 0.62 * math.sin(angle), radius * 0.42
            draw.ellipse([px - r, py - r, px + r, py + r], fill=colour, outline=(60, 40, 60), width=3)
        draw.ellipse(
            [x - radius * 0.3, y - radius * 0.3, x + radius * 0.3, y + radius * 0.3], fill=(240, 200, 60), outline=(90, 60, 20), width=3
        )
    return _grain(picture, rng)


MOTIFS: dict[str, Callable[[int], Image.Image]] = {"mountains": mountains, "boats": boats, "stamp": stamp, "flower": flower}


def _sky(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    top, bottom = SKIES[int(rng.integers(0, len(SKIES)))]
    t = np.linspace(0, 1, height)[:, None, None]
    column = np.array(top) * (1 - t) + np.array(bottom) * t
    return Image.fromarray(np.broadcast_to(column, (height, width, 3)).astype(np.uint8).copy())


def _sun(draw: ImageDraw.ImageDraw, rng: np.random.Generator, width: int, height: int) -> None:
    x, y, r = float(rng.uniform(0.1, 0.9)) * width, float(rng.uniform(0.08, 0.3)) * height, float(rng.uniform(0.03, 0.08)) * height
    draw.ellipse([x - r, y - r, x + r, y + r], fill=(255, 240, 190))


def _ridge(rng: np.random.Generator, width: int, tall: float, rough: float) -> Any:
    """Return a line of heights by midpoint displacement."""
    line, spread = rng.uniform(0, 1, 2), 0.6
    while len(line) < width:
        middle = (line[1:] + line[:-1]) / 2 + rng.normal(0, spread, len(line) - 1) * 0.5
        longer = np.empty(len(line) * 2 - 1)
        longer[::2], longer[1::2] = line, middle
        line, spread = longer, spread * rough
    line = line[:width]
    return (line - line.min()) / max(float(np.ptp(line)), 1e-6) * tall


def _snow(draw: ImageDraw.ImageDraw, line: Any, limit: float) -> None:
    for x, y in enumerate(line):
        if y < limit:
            draw.line([(x, float(y)), (x, float(y + (limit - y) * (0.55 + 0.25 * math.sin(x * 0.17))))], fill=(240, 244, 250))


def _boat(draw: ImageDraw.ImageDraw, rng: np.random.Generator, x: float, y: float, size: float) -> None:
    hull = [(x - size * 0.6, y), (x + size * 0.6, y), (x + size * 0.4, y + size * 0.24), (x - size * 0.4, y + size * 0.24)]
    draw.polygon(hull, fill=_rgb(rng.integers(20, 160, 3)))
    draw.line([(x, y), (x, y - size * 1.25)], fill=(60, 40, 25), width=max(3, int(size / 28)))
    draw.polygon(
        [(x + size * 0.05, y - size * 1.2), (x + size * 0.05, y - size * 0.08), (x + size * 0.58, y - size * 0.08)],
        fill=_rgb(rng.integers(180, 256, 3)),
    )
    draw.polygon(
        [(x - size * 0.05, y - size * 1.0), (x - size * 0.05, y - size * 0.08), (x - size * 0.45, y - size * 0.08)],
        fill=_rgb(rng.integers(150, 250, 3)),
    )


def _grain(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    pixels = np.asarray(picture.filter(ImageFilter.GaussianBlur(0.8))).astype(np.float32)
    return Image.fromarray(np.clip(pixels + rng.normal(0, 4, (*pixels.shape[:2], 1)), 0, 255).astype(np.uint8))


def _rgb(values: object) -> Colour:
    r, g, b = np.clip(np.asarray(values), 0, 255).astype(int).tolist()
    return r, g, b

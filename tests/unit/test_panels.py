"""Panels: rectangles in screenshots and collages are found where they are, and match hash lists as the form `panel`."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw
from test_features import scene

from safelight.alike import panels
from safelight.extract.pictures.pdq import distance
from safelight.native import pdq_twin

Box = tuple[int, int, int, int]


def screenshot(inner: Image.Image, dark: bool) -> tuple[Image.Image, Box]:
    """A phone screen with a picture in it, and where it is."""
    paper, ink = (20, 235) if dark else (245, 15)
    page = Image.new("L", (540, 1080), paper)
    draw = ImageDraw.Draw(page)
    draw.rectangle((0, 0, 540, 90), fill=paper + (15 if dark else -15))
    draw.text((60, 30), "Holiday group", fill=ink, font_size=28)
    page.paste(inner.convert("L"), (70, 180))
    for n in range(5):
        draw.rounded_rectangle((40, 620 + 80 * n, 300 + 30 * n, 670 + 80 * n), 12, fill=paper + (30 if dark else -30))
        draw.text((55, 630 + 80 * n), "see you there at nine", fill=ink, font_size=22)
    return page, (70, 180, inner.width, inner.height)


def nearest(page: Image.Image, inner: Image.Image) -> tuple[int, Box | None]:
    """Return the least distance of a panel of the page to the picture, and its box."""
    wanted, _ = pdq_twin.hashes(np.asarray(inner.convert("L"), np.uint8))
    found = [(min(distance(h, wanted[0]) for h in p.hashes), p.box) for p in panels.find(page)]
    return min(found, default=(256, None))


@pytest.mark.parametrize("dark", [False, True])
def test_a_picture_in_a_screenshot_is_found_to_the_pixel(dark: bool) -> None:
    """The rectangle is that of the picture, so its PDQ is that of the picture."""
    inner = scene(1, 400, 300)
    page, box = screenshot(inner, dark)
    assert (0, box) == nearest(page, inner)


@pytest.mark.parametrize("gap", [0, 6])
@pytest.mark.parametrize("below", [False, True])
def test_both_pictures_of_a_collage_are_found(gap: int, below: bool) -> None:
    """Two pictures side by side or below one another, with and without a gutter."""
    one, two = scene(2, 400, 300), scene(3, 400, 300)
    page = Image.new("L", (400, 600 + gap) if below else (800 + gap, 300), 255)
    page.paste(one.convert("L"), (0, 0))
    page.paste(two.convert("L"), (0, 300 + gap) if below else (400 + gap, 0))
    for inner in (one, two):
        bits, _ = nearest(page, inner)
        assert bits <= 10


def test_a_picture_without_panels_has_none() -> None:
    """Noise, one colour, a single picture: nothing to cut."""
    rng = np.random.default_rng(1)
    planes = [rng.integers(0, 256, (400, 600), dtype=np.uint8), np.full((400, 600), 9, np.uint8), np.zeros((3, 900), np.uint8)]
    assert [[], [], []] == [list(panels.find(Image.fromarray(p))) for p in planes]
    assert list(panels.find(scene(4).convert("L"))) == []


def test_work_and_panels_are_bounded() -> None:
    """A sheet of 400 small pictures gives no more than the most panels, all within the sheet."""
    page = Image.new("L", (1600, 1600), 255)
    tile = scene(5, 74, 74).convert("L")
    for n in range(400):
        page.paste(tile, (n % 20 * 80, n // 20 * 80))
    found = list(panels.find(page))
    assert len(found) <= panels.MOST
    assert all(x >= 0 and y >= 0 and x + w <= 1600 and y + h <= 1600 for x, y, w, h in (p.box for p in found))

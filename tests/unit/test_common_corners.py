"""What many unrelated pictures bear (captions, stickers, the frame of an app) links none of them; a picture in many forms stays linked."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageDraw
from test_alike import EDITS, corners
from test_features import found, scene

from safelight.alike import common, features, frames, geometry, index


def plain(seed: int) -> Image.Image:
    """A picture with little to see: a caption on it is most of what there is."""
    rng = np.random.default_rng(seed)
    image = Image.fromarray(rng.integers(90, 170, (3, 4), dtype=np.uint8)).resize((400, 300), Image.Resampling.BICUBIC).convert("RGB")
    draw = ImageDraw.Draw(image)
    for _ in range(18):
        x, y = rng.integers(30, 370), rng.integers(30, 270)
        points = [(int(x + rng.integers(-28, 28)), int(y + rng.integers(-28, 28))) for _ in range(4)]
        draw.polygon(points, fill=tuple(int(v) for v in rng.integers(0, 256, 3)))
    return image


def captioned(image: Image.Image) -> Image.Image:
    page = Image.new("RGB", (image.width, image.height + 60), (255, 255, 255))
    page.paste(image, (0, 60))
    ImageDraw.Draw(page).text((8, 12), "WHEN YOU SEE IT AGAIN", fill=0, font_size=30)
    return page


def stickered(image: Image.Image) -> Image.Image:
    image = image.copy()
    draw = ImageDraw.Draw(image)
    draw.ellipse((60, 50, 215, 165), fill=(255, 210, 40), outline=(0, 0, 0), width=3)
    for x in (100, 150):
        draw.ellipse((x, 80, x + 20, 105), fill=(0, 0, 0))
    draw.arc((95, 80, 180, 150), 20, 160, fill=(0, 0, 0), width=5)
    return image


def framed(image: Image.Image) -> Image.Image:
    """Head and keys of an app round a picture."""
    page = Image.new("RGB", (440, 560), (240, 240, 240))
    draw = ImageDraw.Draw(page)
    draw.rectangle((0, 0, 440, 60), fill=(120, 20, 60))
    draw.text((15, 10), "PICTURE BOARD", fill=(255, 255, 255), font_size=32)
    for n, word in enumerate(("Home", "Newest", "Upload", "Rules", "About", "Log in")):
        draw.text((12 + n % 3 * 140, 430 + n // 3 * 60), word, fill=(20, 20, 60), font_size=28)
    page.paste(image, (20, 90))
    return page


def verified(gallery: list[features.Features]) -> list[common.Link]:
    """Link a gallery as a case is linked, before common corners are known."""
    candidates = zip(*(column.tolist() for column in index.candidates(corners(gallery))), strict=True)
    return list(common.verified(candidates, gallery.__getitem__))


def linked(gallery: list[features.Features]) -> set[tuple[int, int]]:
    return {(a, b) for a, b, s in common.judged(verified(gallery), gallery.__getitem__) if s.relation != "frame"}


@pytest.mark.parametrize("overlay", [captioned, stickered, framed])
@pytest.mark.parametrize("make", [scene, plain])
def test_an_overlay_links_no_two_pictures(make: Callable[[int], Image.Image], overlay: Callable[[Image.Image], Image.Image]) -> None:
    """14 pictures with the same caption, sticker or app: each is linked with its own original and with no other."""
    images = [make(700 + n).resize((400, 300)) for n in range(14)]
    gallery = [found(i) for i in images] + [found(overlay(i)) for i in images]
    pairs = linked(gallery)
    assert {(a, b) for a, b in pairs if b - a != 14} == set()
    assert len(pairs) >= (14 if make is scene else 8)


def test_common_corners_are_those_of_the_overlay() -> None:
    """Only corners on the caption are common; of pictures without it none is."""
    images = [plain(800 + n) for n in range(14)]
    gallery = [found(i) for i in images] + [found(captioned(i)) for i in images]
    links = verified(gallery)
    assert sum(a >= 14 for a, _, _ in links) >= 20
    numbers = common.common_corners(links)
    assert len(numbers) >= 10
    assert min(numbers) >= 14
    for picture, corner in numbers.items():
        y = features.points_of(gallery[picture])["y"][corner] / 16 / gallery[picture].height
        assert (y < 60 / 360 + 0.02).all()


def test_a_picture_in_many_forms_stays_linked() -> None:
    """One picture, 24 times: crops, turns, mirrored, under a sticker and a caption. No corner of it becomes common by that."""
    image = scene(900)
    forms = [edit(image) for edit in EDITS]
    forms += [image.crop((20 * n, 10 * n, 400 - 12 * n, 300 - 8 * n)) for n in range(1, 9)]
    forms += [image.rotate(3 * n, Image.Resampling.BICUBIC) for n in range(1, 8)]
    forms += [stickered(image), captioned(image), framed(image), stickered(image.rotate(4)), captioned(image.crop((30, 30, 380, 290)))]
    gallery = [found(i) for i in (image, *forms)] + [found(scene(910 + n)) for n in range(10)]
    links = verified(gallery)
    assert common.common_corners(links) == {}
    assert {(0, n) for n in range(1, len(forms) + 1)} <= linked(gallery)


def test_a_frame_needs_no_third_picture() -> None:
    """Two different pictures in one web page share its frame and no more; one of them under a sticker is still the same picture."""
    one, two = (
        geometry.shared(found(framed(scene(920))), found(framed(scene(921)))),
        geometry.shared(found(scene(920)), found(stickered(scene(920)))),
    )
    assert one is None or one.relation == "frame"
    assert two is not None
    assert two.relation == "same"


def site(image: Image.Image) -> Image.Image:
    """A page of one web site: head, side bar and foot hold more corners than the picture in it."""
    page = Image.new("RGB", (660, 640), (244, 244, 246))
    draw = ImageDraw.Draw(page)
    draw.rectangle((0, 0, 660, 100), fill=(120, 20, 60))
    draw.text((15, 5), "PICTURE BOARD", fill=(255, 255, 255), font_size=48)
    draw.text((15, 62), "all that people send us, every day", fill=(255, 220, 220), font_size=28)
    for n, word in enumerate(("Home", "Newest", "Popular", "Random", "Upload", "Contact", "Log in", "Rules")):
        draw.rectangle((478, 112 + 58 * n, 655, 160 + 58 * n), fill=(215, 220, 235), outline=(90, 90, 120))
        draw.text((490, 116 + 58 * n), word, fill=(20, 20, 60), font_size=34)
    draw.text((10, 580), "Terms Privacy Imprint Board 2016 Help", fill=(60, 60, 60), font_size=30)
    page.paste(image.resize((440, 440)), (20, 120))
    return page


@pytest.mark.parametrize("count", [2, 5])
def test_few_pages_of_one_site_are_not_linked(count: int) -> None:
    """Too few for their corners to be common: the frame is told by the rectangle in it that agrees nowhere; each finds its own picture."""
    images = [scene(930 + n) for n in range(count)]
    gallery = [found(i) for i in images] + [found(site(i)) for i in images]
    judged = list(common.judged(verified(gallery), gallery.__getitem__))
    pages = {(a, b): s.relation for a, b, s in judged if a >= count}
    assert len(pages) == count * (count - 1) // 2 and set(pages.values()) == {"frame"}
    assert {(a, b) for a, b, s in judged if s.relation != "frame"} == {(n, n + count) for n in range(count)}


def test_what_shares_more_than_strips_is_no_frame() -> None:
    """A collage with another second picture, one with another picture in the middle, a large sticker, a poor copy, the same page twice."""
    one, two, three, four = (scene(940 + n) for n in range(4))

    def beside(*images: Image.Image) -> Image.Image:
        page = Image.new("RGB", (400 * len(images), 300))
        for n, image in enumerate(images):
            page.paste(image, (400 * n, 0))
        return page

    covered = one.copy()
    covered.paste(two.resize((200, 150)), (100, 75))
    pairs = [
        (beside(one, two), beside(one, three)),
        (beside(two, one), beside(three, one)),
        (beside(one, two, four), beside(one, three, four)),
        (one, covered),
        (one, one.resize((100, 75)).resize((400, 300))),
        (site(one), site(one).resize((330, 310))),
    ]
    for left, right in pairs:
        shared = geometry.shared(found(left), found(right))
        assert shared is not None and shared.relation != "frame"


def test_the_largest_rectangle_is_that_of_brute_force() -> None:
    """Over random cells: as large as any that is found by looking at each."""
    rng = np.random.default_rng(4)
    for share in (0.01, 0.02, 0.04, 0.1):
        cells = rng.random((frames.GRID, frames.GRID)) < share
        sizes = [
            (bottom - top) * (right - left)
            for top in range(frames.GRID)
            for bottom in range(top + 1, frames.GRID + 1)
            for left in range(frames.GRID)
            for right in range(left + 1, frames.GRID + 1)
            if not cells[top:bottom, left:right].any()
        ]
        hole = frames._largest_without(cells)
        if max(sizes) < frames.HOLE * frames.GRID**2:
            assert hole is None
        else:
            assert hole is not None
            top, left, bottom, right = hole
            assert (bottom - top) * (right - left) == max(sizes) and not cells[top:bottom, left:right].any()

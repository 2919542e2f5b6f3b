"""Forms of a picture beside the plain one: without its border, its 512 x 512 nearest pixels; kernel, strips and twin agree."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from safelight.extract.pictures import extract_picture
from safelight.extract.pictures.decoders import measure
from safelight.extract.pictures.pdq import distance
from safelight.native import _pdq, pdq_twin

Plane = NDArray[np.uint8]


def texture(height: int, width: int, seed: int = 1) -> Plane:
    """A picture with structure of every size, so that its hash is good."""
    rng = np.random.default_rng(seed)
    total = np.zeros((height, width))
    for cells in (3, 6, 12, 24):
        small = Image.fromarray(rng.integers(0, 256, (cells, cells), dtype=np.uint8)).resize((width, height), Image.Resampling.BICUBIC)
        total += np.asarray(small, np.float64) / cells**0.5
    total -= total.min()
    return (total * (255 / max(total.max(), 1))).astype(np.uint8)


@st.composite
def framed(draw: st.DrawFn) -> Plane:
    """Pictures within up to four borders of any width, flat or with little noise; some are nothing but border."""
    height, width = draw(st.integers(5, 400)), draw(st.integers(5, 400))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    level, noise = draw(st.integers(0, 255)), draw(st.sampled_from((0, 3, 12, 40)))
    plane = np.clip(level + rng.integers(-noise, noise + 1, (height, width)), 0, 255).astype(np.uint8)
    top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
    inner = plane[top : draw(st.integers(top, height)), left : draw(st.integers(left, width))]
    if draw(st.booleans()):
        inner[:] = rng.integers(0, 256, inner.shape, dtype=np.uint8)
    else:
        inner[:] = texture(max(1, inner.shape[0]), max(1, inner.shape[1]), draw(st.integers(0, 9)))[: inner.shape[0], : inner.shape[1]]
    return plane


@settings(max_examples=150, deadline=None)
@given(framed())
def test_kernel_strips_and_twin_cut_the_same_border(plane: Plane) -> None:
    """The C kernel, the strips of the other decoders and the plain twin give one rectangle and one set of hashes."""
    height, width = plane.shape
    box = pdq_twin.trim(plane)
    trimmed, nearest = _pdq.forms(plane.tobytes(), width, height)
    strips = measure(Image.fromarray(plane), "test")
    assert strips.trimmed_box == box
    assert nearest is None
    if box is None:
        assert (trimmed, strips.trimmed) == (None, None)
        return
    left, top, inner_width, inner_height = box
    hashes = pdq_twin.hashes(plane[top : top + inner_height, left : left + inner_width])
    assert trimmed == (*hashes, box)
    assert strips.trimmed == hashes


@pytest.mark.parametrize("shape", [(513, 400), (100, 600), (1025, 2049), (700, 700)])
def test_nearest_pixels_are_those_of_the_twin(shape: tuple[int, int]) -> None:
    """Kernel and bands hash the 512 x 512 pixels that the twin picks, whatever the bands."""
    plane = texture(*shape)
    wanted = pdq_twin.hashes(pdq_twin.nearest(plane))
    _, nearest = _pdq.forms(plane.tobytes(), shape[1], shape[0])
    assert nearest == wanted
    assert measure(Image.fromarray(plane), "test").nearest == wanted
    colour = np.stack([plane, plane[::-1], np.roll(plane, 40, axis=1)], axis=2)
    assert measure(Image.fromarray(colour), "test").nearest == pdq_twin.hashes(pdq_twin.nearest(colour))


def saved(picture: Image.Image, form: str) -> bytes:
    out = io.BytesIO()
    picture.save(out, form, quality=92)
    return out.getvalue()


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
@pytest.mark.parametrize("border", ["white", "bars", "frame of noise"])
def test_a_bordered_picture_has_the_hash_of_the_picture(border: str, form: str) -> None:
    """White borders, black bars and a noisy frame are cut from JPEG and PNG alike; the hash is that of the picture within."""
    inner = texture(600, 900)
    wanted = pdq_twin.hashes(inner)[0][0]
    canvas = np.full((760, 1000), 255 if border == "white" else 0, np.uint8)
    if border == "frame of noise":
        canvas = np.random.default_rng(3).integers(60, 70, canvas.shape, dtype=np.uint8)
    left = 0 if border == "bars" else 50
    picture = canvas[:, :900].copy() if border == "bars" else canvas
    picture[80:680, left : left + 900] = inner
    media_type = f"image/{form.lower()}"
    found = extract_picture(saved(Image.fromarray(picture).convert("RGB"), form), media_type).picture
    assert found is not None
    assert found.trimmed is not None
    assert distance(wanted, found.trimmed.hashes[0]) <= 4
    assert distance(wanted, found.pdq or b"") > 31
    assert found.trimmed.box is not None
    assert np.abs(np.array(found.trimmed.box) - [left, 80, 900, 600]).max() <= 2  # an edge of JPEG blocks may ring


def test_what_shows_nothing_has_no_further_form() -> None:
    """A blank page and a small picture without border have neither form; a transparent margin is cut as it is seen, white."""
    blank = extract_picture(saved(Image.new("RGB", (300, 200), "white"), "PNG"), "image/png").picture
    assert blank is not None
    assert (blank.trimmed, blank.nearest) == (None, None)
    plain = extract_picture(saved(Image.fromarray(texture(400, 300)), "PNG"), "image/png").picture
    assert plain is not None
    assert (plain.trimmed, plain.nearest) == (None, None)
    canvas = np.random.default_rng(5).integers(0, 256, (400, 500, 4), dtype=np.uint8)  # noise below the transparency
    canvas[..., 3] = 0
    canvas[50:350, 80:420, :3] = texture(300, 340)[..., None]
    canvas[50:350, 80:420, 3] = 255
    floating = extract_picture(saved(Image.fromarray(canvas), "PNG"), "image/png").picture
    assert floating is not None
    assert floating.trimmed is not None
    assert (80, 50, 340, 300) == floating.trimmed.box
    assert pdq_twin.hashes(texture(300, 340))[0][0] == floating.trimmed.hashes[0]


def test_uniform_lines_are_those_of_the_twin() -> None:
    """The kernel that reads lines in strips calls the same ones uniform as the plain twin; what is no whole line is refused."""
    rng = np.random.default_rng(3)
    for _ in range(300):
        rows, n, spread = int(rng.integers(0, 20)), int(rng.integers(1, 300)), int(rng.integers(1, 60))
        lines = (rng.integers(0, spread, (rows, n)) + rng.integers(0, 190)).astype(np.uint8)
        lines[rng.random((rows, n)) < 0.02] = 255
        assert pdq_twin.uniform(lines).tolist() == [flat == 1 for flat in _pdq.uniform(lines.tobytes(), n)]
    for width in (0, -1, 3):
        with pytest.raises(ValueError):
            _pdq.uniform(bytes(4), width)

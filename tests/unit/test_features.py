"""Local features: kernel and twin agree bit by bit, mirrored pictures need no second extraction, verdicts hold on what is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from safelight.alike import features, geometry
from safelight.native import _features, features_twin

Plane = NDArray[np.uint8]


def scene(seed: int, width: int = 400, height: int = 300) -> Image.Image:
    """A picture of many different shapes, harmless and made by code."""
    rng = np.random.default_rng(seed)
    image = Image.fromarray(rng.integers(60, 200, (6, 8, 3), dtype=np.uint8)).resize((width, height), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    for _ in range(110):
        x, y = rng.integers(0, width), rng.integers(0, height)
        points = [(int(x + rng.integers(-35, 35)), int(y + rng.integers(-35, 35))) for _ in range(rng.integers(3, 6))]
        draw.polygon(points, fill=tuple(int(v) for v in rng.integers(0, 256, 3)))
    return image


def found(image: Image.Image) -> features.Features:
    seen = features.of_image(image.convert("L"))
    assert seen is not None
    return seen


@st.composite
def planes(draw: st.DrawFn) -> Plane:
    """Planes of any small size: noise, steps, flat, scenes."""
    width, height = draw(st.integers(1, 110)), draw(st.integers(1, 110))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(("noise", "two", "flat", "scene")))
    if kind == "noise":
        return rng.integers(0, 256, (height, width), dtype=np.uint8)
    if kind == "two":
        return (rng.integers(0, 2, (height, width)) * 255).astype(np.uint8)
    if kind == "flat":
        return np.full((height, width), 77, np.uint8)
    return np.asarray(scene(int(rng.integers(1000))).convert("L").crop((0, 0, width, height)), np.uint8)


@settings(max_examples=25, deadline=None)
@given(planes(), st.integers(1, 120))
def test_kernel_and_twin_find_the_same_features(plane: Plane, most: int) -> None:
    """Points and descriptors of the C kernel equal those of the plain twin, whatever the plane."""
    height, width = plane.shape
    assert features_twin.extract(plane, most) == _features.extract(plane.tobytes(), width, height, most)


def test_kernel_and_twin_agree_over_all_levels() -> None:
    """A picture large enough for several levels of the pyramid."""
    plane = np.asarray(scene(1, 210, 170).convert("L"), np.uint8)
    points, descriptors = _features.extract(plane.tobytes(), 210, 170, 300)
    assert features_twin.extract(plane, 300) == (points, descriptors)
    assert len({points[n] for n in range(4, len(points), 6)}) >= 5


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("edit", ["crop", "turn", "other"])
def test_kernel_and_twin_give_the_same_verdict(edit: str, mirrored: bool) -> None:
    """Pairs, inliers, cells, map, boxes and areas are equal to the last bit."""
    image = scene(2, 260, 200)
    other = {"crop": image.crop((60, 40, 230, 180)), "turn": image.rotate(12), "other": scene(3, 260, 200)}[edit]
    if mirrored:
        other = other.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    planes = [np.asarray(i.convert("L"), np.uint8) for i in (image, other)]
    a, b = (_features.extract(p.tobytes(), p.shape[1], p.shape[0], 120) for p in planes)
    assert features_twin.compare(*a, *b, mirrored) == _features.compare(*a, *b, mirrored)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 40), st.integers(0, 40), st.booleans())
def test_any_bytes_are_features(seed: int, n: int, m: int, mirrored: bool) -> None:
    """Stored features are as hostile as what made them: any bytes give the verdict of the twin, no more."""
    rng = np.random.default_rng(seed)
    a, b = ((rng.bytes(6 * k), rng.bytes(32 * k)) for k in (n, m))
    same = rng.bytes(32) * min(n, m)
    b = (b[0], same + b[1][len(same) :]) if rng.integers(2) else b
    assert features_twin.compare(*a, *b, mirrored) == _features.compare(*a, *b, mirrored)


def test_features_of_the_mirrored_picture_are_bits_exchanged() -> None:
    """The descriptor of a corner of the mirrored picture is that of the corner with neighbouring bits exchanged."""
    plane = np.asarray(scene(4, 200, 160).convert("L"), np.uint8)
    own, other = (
        features_twin.unpack(*_features.extract(np.ascontiguousarray(p).tobytes(), 200, 160, 60), m)
        for p, m in ((plane, True), (plane[:, ::-1], False))
    )
    first = {(x + 200, y, n): bits.tobytes() for x, y, n, bits in zip(own.x, own.y, own.level, own.bits, strict=True) if n == 0}
    second = {(x, y, n): bits.tobytes() for x, y, n, bits in zip(other.x, other.y, other.level, other.bits, strict=True) if n == 0}
    common = first.keys() & second.keys()
    assert len(common) >= 10
    assert sum(first[k] == second[k] for k in common) >= 0.9 * len(common)


@pytest.mark.parametrize(("bad", "size"), [(b"", (0, 0)), (b"1234", (2, 3)), (b"1" * 2049, (2049, 1)), (b"12", (-1, -2))])
def test_a_plane_of_another_size_is_refused(bad: bytes, size: tuple[int, int]) -> None:
    """The kernel believes no size that the bytes do not have."""
    with pytest.raises(ValueError, match="plane"):
        _features.extract(bad, *size, 10)
    with pytest.raises(ValueError, match="points"):
        _features.compare(b"12345", b"", b"", b"", False)
    with pytest.raises(ValueError, match="points"):
        _features.compare(b"", b"", b"123456", b"1" * 31, False)


EDITS = {
    "crop to a quarter": (lambda i: i.crop((100, 70, 300, 220)), "b-in-a"),
    "turned by 10 degrees": (lambda i: i.rotate(10, Image.Resampling.BICUBIC), "same"),
    "turned by 90 degrees": (lambda i: i.transpose(Image.Transpose.ROTATE_90), "same"),
    "stretched": (lambda i: i.resize((400, 400)), "same"),
    "on a wall": (lambda i: _on_a_wall(i), "a-in-b"),
}


def _on_a_wall(image: Image.Image) -> Image.Image:
    wall = Image.new("RGB", (900, 900), (200, 190, 180))
    wall.paste(image, (300, 420))
    return wall


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("name", list(EDITS))
def test_edits_are_found_with_their_relation(name: str, mirrored: bool) -> None:
    """Crops, turns and pictures inside pictures are found, mirrored too, and the relation says which lies in which."""
    edit, relation = EDITS[name]
    image = scene(5)
    edited = edit(image)
    if mirrored:
        edited = edited.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    link = geometry.shared(found(image), found(edited))
    assert link is not None
    assert (relation, mirrored) == (link.relation, link.mirrored)
    back = geometry.shared(found(edited), found(image))
    assert back is not None
    assert {"a-in-b": "b-in-a", "b-in-a": "a-in-b"}.get(relation, relation) == back.relation


def test_the_map_leads_from_one_picture_to_the_other() -> None:
    """A crop at a known place: the map moves points by that place, the box lies within it."""
    image = scene(6)
    a, b = found(image), found(image.crop((80, 50, 330, 250)))
    link = geometry.shared(a, b)
    assert link is not None
    scale_a, scale_b = a.width / 400, b.width / 250
    x, y = 200 * scale_a, 150 * scale_a
    m = link.map
    assert abs((200 - 80) * scale_b - (m[0] * x + m[1] * y + m[2])) < 2
    assert abs((150 - 50) * scale_b - (m[3] * x + m[4] * y + m[5])) < 2
    assert all(80 * scale_a - 5 <= v <= 330 * scale_a + 5 for v in link.box_a[::2])


def test_different_pictures_share_nothing() -> None:
    """No two of 40 pictures made of like shapes are linked: 780 pairs, both ways round."""
    seen = [found(scene(100 + n, 320, 240)) for n in range(40)]
    assert [] == [(i, j) for i in range(40) for j in range(i) if geometry.shared(seen[i], seen[j]) is not None]

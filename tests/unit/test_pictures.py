"""The picture extractor on pictures made here: modes, formats, turns, thumbnails, tails, damage, budgets."""

from __future__ import annotations

import io
import os
import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from safelight.extract.filetype import detect
from safelight.extract.pictures import extract_picture
from safelight.extract.pictures.decoded import MAX_PIXELS
from safelight.extract.pictures.pdq import distance, hash_pixels
from safelight.records import PictureResult


def scene(width: int = 640, height: int = 480, seed: int = 3) -> Image.Image:
    """A picture with slopes, blocks and noise (PDQ quality 100)."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)).resize((width, height), Image.Resampling.BICUBIC)
    out = np.asarray(coarse).astype(np.int16) + rng.normal(0, 3, (height, width, 1)).astype(np.int16)
    return Image.fromarray(np.clip(out, 0, 255).astype(np.uint8))


def saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def extract(data: bytes) -> PictureResult:
    return extract_picture(data, detect(data[:65536], len(data), data[-65536:]).media_type)


def reference(picture: Image.Image) -> bytes:
    pixels = picture.convert("RGB")
    return hash_pixels(pixels.tobytes(), *pixels.size, 3, False).hashes[0]


LOSSLESS: dict[str, Callable[[Image.Image], bytes]] = {
    "png": lambda p: saved(p, "PNG"),
    "bmp": lambda p: saved(p, "BMP"),
    "tiff": lambda p: saved(p, "TIFF"),
    "tiff-lzw": lambda p: saved(p, "TIFF", compression="tiff_lzw"),
    "webp": lambda p: saved(p, "WEBP", lossless=True),
    "jp2": lambda p: saved(p, "JPEG2000"),
}


@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_formats_give_the_hash_of_their_pixels(name: str) -> None:
    """Every lossless format gives the very hash of the pixels that were saved, with all renditions and no problem."""
    picture = scene()
    result = extract(LOSSLESS[name](picture))
    assert result.problems == []
    found = result.picture
    assert found is not None
    assert (found.width, found.height, found.frames, found.complete) == (640, 480, 1, True)
    assert reference(picture) == found.pdq == found.pdq_transforms[0]
    assert found.pdq_quality == 100
    for rendition in (found.protected, found.drawing, found.small):
        assert Image.open(io.BytesIO(rendition)).size == (192, 144)
    assert {"L"} == {Image.open(io.BytesIO(r)).mode for r in (found.protected, found.drawing)}


@pytest.mark.parametrize("options", [{"subsampling": 0}, {"subsampling": 1}, {"subsampling": 2}, {"progressive": True}, {"quality": 40}])
def test_jpeg_hash_is_near_that_of_its_decoded_colours(options: dict[str, object]) -> None:
    """The luma plane of a JPEG gives the hash of its RGB pixels within 10 bits; the small picture shows the colours."""
    data = saved(scene(), "JPEG", **options)
    found = extract(data).picture
    assert found is not None
    assert found.pdq is not None
    assert distance(reference(Image.open(io.BytesIO(data))), found.pdq) <= 10
    assert found.decoder == "libjpeg-turbo"
    small = np.asarray(Image.open(io.BytesIO(found.small)), np.int16)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB").resize((192, 144), Image.Resampling.BOX), np.int16)
    assert np.abs(small - expected).mean() < 4


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (5, 5), (17, 9), (191, 193), (777, 333)])
def test_odd_sizes_of_jpeg_are_whole(size: tuple[int, int]) -> None:
    """Sizes that are no multiple of a block decode without damage; below 5 pixels the hash is zero."""
    for subsampling in (0, 2):
        result = extract(saved(scene(*size), "JPEG", subsampling=subsampling))
        assert result.problems == []
        assert result.picture is not None
        assert result.picture.complete
        assert (result.picture.pdq == bytes(32)) == (min(size) < 5)


def test_modes_are_brought_to_colours_first(shared: Path) -> None:
    """Grey, palette, 1 bit, CMYK, grey with alpha and 16-bit grey hash like the colours they stand for."""
    picture = scene()
    grey = reference(picture.convert("L"))
    sixteen = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
    for data, mode in ((saved(picture.convert("L"), "PNG"), "L"), (saved(sixteen, "PNG"), "I;16"), (saved(sixteen, "TIFF"), "I;16")):
        found = extract(data).picture
        assert found is not None
        assert (mode, grey) == (found.mode, found.pdq)
    for name in ("1.png", "P.png", "CMYK.jpg"):
        found = extract((shared / "pdq" / name).read_bytes()).picture
        original = extract((shared / "pdq" / "bridge-1-original.jpg").read_bytes()).picture
        assert found is not None
        assert original is not None
        assert distance(original.pdq or b"", found.pdq or b"") <= 2, name


def test_transparency_is_ignored_and_laid_on_white_as_well() -> None:
    """`pdq` ignores alpha, `pdq_white` is that of the picture on white; an opaque alpha gives no second hash."""
    picture = scene()
    alpha = Image.fromarray(np.tile(np.linspace(0, 255, 640).astype(np.uint8), (480, 1)))
    veiled = picture.copy()
    veiled.putalpha(alpha)
    found = extract(saved(veiled, "PNG")).picture
    assert found is not None
    assert found.pdq == reference(picture)
    white = Image.new("RGB", picture.size, "white")
    white.paste(picture, mask=alpha)
    assert found.white is not None and found.white.hashes[0] == reference(white)
    opaque = extract(saved(picture.convert("RGBA"), "PNG")).picture
    assert opaque is not None
    assert opaque.white is None


def test_orientation_turns_renditions_and_not_the_hash() -> None:
    """All eight orientations of one scene look alike in `small`; the hash is that of the stored pixels."""
    picture = scene(320, 240)
    backward = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    seen = []
    for orientation, method in backward.items():
        stored = picture if method is None else picture.transpose(Image.Transpose(method))
        exif = Image.Exif()
        exif[0x0112] = orientation
        found = extract(saved(stored, "JPEG", exif=exif, quality=95)).picture
        assert found is not None
        assert found.exif is not None
        assert orientation == found.exif.orientation
        seen.append(np.asarray(Image.open(io.BytesIO(found.small)), np.int16))
    assert all(s.shape == seen[0].shape and np.abs(s - seen[0]).mean() < 3 for s in seen)


def with_thumbnail(picture: Image.Image, thumbnail: Image.Image) -> bytes:
    """A JPEG whose EXIF holds a thumbnail (IFD1 built by hand)."""
    inner = saved(thumbnail, "JPEG", quality=70)
    first = struct.pack("<HHHII", 1, 0x0112, 3, 1, 1) + struct.pack("<I", 26)
    second = struct.pack("<H", 2) + struct.pack("<HHII", 0x0201, 4, 1, 56) + struct.pack("<HHII", 0x0202, 4, 1, len(inner)) + bytes(4)
    return saved(picture, "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0" + first + second + inner)


def test_only_a_thumbnail_that_shows_something_else_is_handed_on() -> None:
    """The picture's own thumbnail stays inside, also letterboxed; one of another scene becomes a child."""
    picture, other = scene(900, 600), scene(900, 600, seed=8)
    own = picture.resize((160, 107))
    boxed = Image.new("RGB", (160, 120))
    boxed.paste(own, (0, 6))
    for thumbnail in (own, boxed, picture.rotate(90, expand=True).resize((107, 160))):
        assert extract(with_thumbnail(picture, thumbnail)).embedded == []
    result = extract(with_thumbnail(picture, other.resize((160, 107))))
    assert [("thumbnail", saved(other.resize((160, 107)), "JPEG", quality=70))] == [(e.step, e.data) for e in result.embedded]
    assert result.problems == []


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP"])
def test_a_file_behind_the_end_is_noted_and_handed_on(kind: str) -> None:
    """A JPEG behind the end of a picture becomes a child at its offset; text is only noted; padding is nothing."""
    data, hidden = saved(scene(), kind), saved(scene(80, 60), "JPEG")
    result = extract(data + hidden)
    assert [(f"tail:{len(data)}", hidden)] == [(e.step, e.data) for e in result.embedded]
    assert [k for k, _ in result.problems] == ["trailing-data"]
    noted = extract(data + b"some words of text")
    assert (noted.embedded, [k for k, _ in noted.problems]) == ([], ["trailing-data"])
    assert (extract(data + bytes(5000)).embedded, extract(data + bytes(5000)).problems) == ([], [])


def test_a_film_in_a_makers_trailer_is_found() -> None:
    """A motion photo: the MP4 begins somewhere inside the tail."""
    data = saved(scene(), "JPEG")
    film = struct.pack(">I4s4sI4s", 20, b"ftyp", b"mp42", 0, b"mp42") + bytes(100)
    result = extract(data + b"\x00\x00\x30\x0a\x10\x00\x00\x00MotionPhoto_Data" + film)
    assert [(f"tail:{len(data) + 24}", film)] == [(e.step, e.data) for e in result.embedded]


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("part", [0.3, 0.7, 0.95])
def test_cut_jpeg_keeps_what_is_there(progressive: bool, part: float) -> None:
    """A JPEG cut anywhere in its scans gives a picture marked incomplete and the problem `truncated`."""
    data = saved(scene(), "JPEG", progressive=progressive)
    result = extract(data[: int(len(data) * part)])
    assert result.picture is not None
    assert not result.picture.complete
    assert result.picture.pdq is not None
    assert "truncated" in [k for k, _ in result.problems]


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP", "TIFF"])
def test_cut_pictures_of_other_formats_are_told(kind: str) -> None:
    """Cut in the middle: the size is known, the picture is incomplete, and the problem says truncated."""
    data = saved(scene(), kind)
    result = extract(data[: len(data) // 2])
    assert result.picture is not None
    assert not result.picture.complete
    assert {"truncated"} & {k for k, _ in result.problems}


def test_frames_are_counted_and_not_believed() -> None:
    """GIF, APNG, WebP and TIFF count what is there."""
    frames = [scene(60, 40, seed=s) for s in range(5)]
    for kind in ("GIF", "PNG", "WEBP", "TIFF"):
        data = saved(frames[0], kind, save_all=True, append_images=frames[1:])
        found = extract(data).picture
        assert found is not None
        assert found.frames == 5, kind


def test_claimed_size_is_refused_by_the_header() -> None:
    """A PNG that claims more pixels than the budget is not decoded, and its claim is kept as a fact."""
    body = struct.pack(">IIBBBBB", 20_000, 9_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + body + struct.pack(">I", zlib.crc32(b"IHDR" + body))
    result = extract(b"\x89PNG\r\n\x1a\n" + chunk + saved(scene(8, 8), "PNG")[33:])
    assert result.picture is not None
    assert (result.picture.width, result.picture.height, result.picture.pdq) == (20_000, 9_000, None)
    assert MAX_PIXELS < 20_000 * 9_000
    assert [k for k, _ in result.problems] == ["limit.pixels"]


def test_the_same_bytes_give_the_same_answer() -> None:
    """Facts and renditions are equal for two runs, whatever was extracted in between."""
    data = saved(scene(), "JPEG")
    first = extract(data)
    extract(saved(scene(50, 50), "PNG")[:-20])
    assert first == extract(memoryview(data).tobytes())


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "GIF", "WEBP"])
def test_random_damage_never_raises(kind: str) -> None:
    """150 random damages of a small picture each end in an answer; an incomplete picture always has a problem."""
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    good = saved(scene(90, 70), kind, **({} if kind == "GIF" else {"exif": exif}))
    rng = random.Random(5)
    for _ in range(150):
        data = bytearray(good)
        for _ in range(rng.randint(1, 12)):
            data[rng.randrange(4, len(data))] = rng.randrange(256)
        result = extract_picture(bytes(data), f"image/{kind.lower()}")
        assert result.picture is None or result.picture.complete or result.problems


def test_decoding_does_not_leak() -> None:
    """Four hundred decodes, good and broken, leave the memory of the process where it was."""
    good = saved(scene(800, 600), "JPEG", progressive=True)
    broken = good[: len(good) // 2] + bytes(200) + good[len(good) // 2 :]

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    for _ in range(40):
        extract(good), extract(broken), extract(good[:5000])
    before = resident()
    for _ in range(130):
        extract(good), extract(broken), extract(good[:5000])
    assert resident() - before < 8 << 20


def test_turns_of_avif_come_from_its_boxes() -> None:
    """Pillow writes EXIF orientation as irot and imir: all eight AVIF files of one scene look alike."""
    picture = scene(320, 240)
    backward = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    seen = []
    for orientation, method in backward.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        stored = picture if method is None else picture.transpose(Image.Transpose(method))
        found = extract(saved(stored, "AVIF", exif=exif, quality=90)).picture
        assert found is not None
        seen.append(np.asarray(Image.open(io.BytesIO(found.small)), np.int16))
    assert all(s.shape == seen[0].shape and np.abs(s - seen[0]).mean() < 4 for s in seen)


def test_second_frame_header_behind_the_data_is_harmless() -> None:
    """Regression: libjpeg takes over the component count of a second frame header before it refuses it (found by fuzzing)."""
    good = saved(scene(120, 90), "JPEG")
    header = struct.pack(">2sHBHHB", b"\xff\xc0", 8 + 3 * 200, 8, 4000, 4000, 200) + b"\x01\x11\x00" * 200
    result = extract(good[:-2] + header + b"\xff\xd9")
    assert result.picture is not None
    assert result.picture.pdq == (extract(good).picture or result.picture).pdq
    assert "corrupt" in [k for k, _ in result.problems]

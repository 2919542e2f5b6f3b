"""Pictures of formats that are rare on phones and usual on computers: each gives the hash of the pixels that were saved, or is named."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable

import imagecodecs
import numpy as np
import pytest
from PIL import Image
from test_pictures import extract, reference, saved, scene

from safelight.extract.filetype import detect
from safelight.extract.pictures.pdq import distance


def photoshop(picture: Image.Image, version: int = 1, depth: int = 8, resources: bytes = b"") -> bytes:
    """A flat Photoshop file with plain samples, plane after plane."""
    planes = b"".join(plane.tobytes() for plane in picture.split())
    head = struct.pack(">4sH6xHIIHH", b"8BPS", version, 3, picture.height, picture.width, depth, 3)
    return head + struct.pack(">II", 0, len(resources)) + resources + struct.pack(">IH", 0, 0) + planes


def resource(number: int, data: bytes) -> bytes:
    return b"8BIM" + struct.pack(">HHI", number, 0, len(data)) + data + b"\0" * (len(data) & 1)


def sun(picture: Image.Image) -> bytes:
    swapped = np.asarray(picture)[..., ::-1].tobytes()
    return struct.pack(">8I", 0x59A66A95, picture.width, picture.height, 24, len(swapped), 1, 0, 0) + swapped


LOSSLESS: dict[str, Callable[[Image.Image], bytes]] = {
    "psd": photoshop,
    "tga": lambda p: saved(p, "TGA"),
    "tga-rle": lambda p: saved(p, "TGA", compression="tga_rle"),
    "pcx": lambda p: saved(p, "PCX"),
    "ppm": lambda p: saved(p, "PPM"),
    "ppm-comment": lambda p: b"P6\n# by hand\n640 480\n255\n" + p.tobytes(),
    "qoi": lambda p: saved(p, "QOI"),
    "sgi": lambda p: saved(p, "SGI"),
    "dds": lambda p: saved(p, "DDS"),
    "sun": sun,
    "dib": lambda p: saved(p, "DIB"),
}


@pytest.mark.parametrize("name", LOSSLESS)
def test_plain_formats_give_the_hash_of_their_pixels(name: str) -> None:
    """The very hash of the pixels, all renditions, no problem."""
    picture = scene()
    data = LOSSLESS[name](picture)
    result = extract(data)
    assert detect(data, len(data)).kind == "image"
    assert result.problems == []
    found = result.picture
    assert found is not None
    assert (found.width, found.height, found.complete) == (640, 480, True)
    assert found.pdq == reference(picture)
    assert Image.open(io.BytesIO(found.small or b"")).size == (192, 144)


def test_grey_map_and_icon_bundle() -> None:
    """A PGM gives the hash of its grey; of a bundle of icons the largest is taken."""
    grey = scene().convert("L")
    found = extract(saved(grey, "PPM")).picture
    assert found is not None
    assert found.pdq == reference(grey)
    icon = scene(1024, 1024)
    found = extract(saved(icon, "ICNS")).picture
    assert found is not None
    assert (found.width, found.pdq) == (1024, reference(icon))


def test_photoshop_metadata_and_thumbnail() -> None:
    """EXIF and XMP of the image resources are read; a thumbnail that shows something else becomes an item."""
    exif = Image.Exif()
    exif[0x10F] = "Maker"
    other = b"\0" * 28 + saved(scene(160, 120, seed=9), "JPEG")
    parts = resource(1058, exif.tobytes().removeprefix(b"Exif\0\0")) + resource(1036, other)
    result = extract(photoshop(scene(), resources=parts))
    assert result.picture is not None
    assert result.picture.exif is not None
    assert result.picture.exif.make == "Maker"
    assert [e.name for e in result.embedded] == [b"thumbnail.jpg"]


def test_photoshop_that_no_library_reads_is_shown_by_its_thumbnail() -> None:
    """Large documents (PSB) and 16 bits: the thumbnail is hashed; without one the problem says so."""
    small = saved(scene().resize((160, 120)), "JPEG", quality=95)
    thumbnail = resource(1036, bytes(28) + small)
    found = extract(photoshop(scene(), version=2, resources=thumbnail)).picture
    assert found is not None
    assert (found.width, found.height) == (640, 480)
    assert found.pdq is not None
    assert distance(found.pdq, reference(Image.open(io.BytesIO(small)))) <= 10
    result = extract(photoshop(scene(), version=2))
    assert [kind for kind, _ in result.problems] == ["unsupported"]


@pytest.mark.parametrize(
    "coded",
    [
        lambda a: imagecodecs.jpegls_encode(a),
        lambda a: imagecodecs.jpegls_encode(a[..., 1]),
        lambda a: imagecodecs.ljpeg_encode(a[..., 1]),
        lambda a: imagecodecs.jpeg_encode(a, lossless=True),
        lambda a: imagecodecs.jpeg_encode(a[..., 1].astype(np.uint16) * 16, bitspersample=12),
    ],
)
def test_rare_processes_of_jpeg(coded: Callable[[np.ndarray], bytes]) -> None:
    """JPEG-LS, lossless and 12-bit JPEG, as scanners and hospitals write them, are read, by the second reader where Pillow cannot."""
    pixels = np.asarray(scene())
    data = coded(pixels)
    result = extract(data)
    assert {kind for kind, _ in result.problems} <= {"second-reader"}
    assert result.picture is not None
    assert result.picture.complete
    assert result.picture.pdq is not None
    whole = imagecodecs.jpegls_decode(data) if b"\xff\xf7" in data[:64] else imagecodecs.jpeg_decode(data)
    shown = whole if whole.dtype == np.uint8 else (whole >> 4).astype(np.uint8)
    assert distance(result.picture.pdq, reference(Image.fromarray(shown))) <= 2


def tiff(samples: np.ndarray, form: int, compression: int = 1) -> bytes:
    """A TIFF of one strip; `form`: 1 unsigned, 3 floating."""
    height, width, count = samples.shape
    bits = samples.dtype.itemsize * 8
    fields = [(256, 4, width), (257, 4, height), (259, 3, compression), (262, 3, 2 if count == 3 else 1), (277, 3, count), (278, 4, height)]
    body = samples.tobytes()
    fields += [(279, 4, len(body)), (339, 3, form), (258, 3, bits), (273, 4, 0)]
    many = {258: struct.pack("<3H", bits, bits, bits), 339: struct.pack("<3H", form, form, form)} if count == 3 else {}
    at = 8 + 2 + 12 * len(fields) + 4
    extra, entries = b"", []
    for tag, kind, value in sorted(fields):
        if tag in many:
            entries.append(struct.pack("<HHII", tag, 3, 3, at + len(extra)))
            extra += many[tag]
        else:
            entries.append(struct.pack("<HHII", tag, kind, 1, value))
    place = at + len(extra)
    entries = [struct.pack("<HHII", 273, 4, 1, place) if e[:2] == struct.pack("<H", 273) else e for e in entries]
    return struct.pack("<2sHIH", b"II", 42, 8, len(fields)) + b"".join(entries) + bytes(4) + extra + body


@pytest.mark.parametrize("kind", ["f4", "f2", "u4"])
def test_tiff_of_wide_samples(kind: str) -> None:
    """Floating colours (0 to 1) and 32 bits without sign give the hash of the same picture in 8 bits."""
    pixels = np.asarray(scene())
    if kind == "u4":
        grey = pixels[..., 1]
        data, want = tiff((grey.astype(np.uint32) * 0x01010101)[..., None], 1), Image.fromarray(grey)
    else:
        data, want = tiff((pixels / 255).astype(kind), 3), Image.fromarray(pixels)
    found = extract(data).picture
    assert found is not None
    assert found.pdq is not None
    assert distance(found.pdq, reference(want)) <= 2


def test_tiff_of_an_unknown_compression_is_no_black_picture() -> None:
    """One reader leaves black, without an error, where it does not know the compression: such a file has a problem, and no hash."""
    result = extract(tiff(np.asarray(scene()), 1, compression=34712))
    assert [kind for kind, _ in result.problems] == ["unsupported"]
    assert result.picture is not None
    assert result.picture.pdq is None


@pytest.mark.parametrize("name", LOSSLESS)
def test_cut_in_the_header(name: str) -> None:
    """A file that ends in its header or just behind it has a problem, and what is shown of it is blank and matches nothing."""
    data = LOSSLESS[name](scene())
    for length in range(4, 40, 3):
        result = extract(data[:length])
        assert result.problems or detect(data[:length], length).kind != "image"
        if result.picture is not None:
            assert not result.picture.complete
            assert not result.picture.pdq_quality

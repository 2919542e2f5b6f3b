"""Hostile pictures end as their manifest says, each in a child of its own with memory and CPU bounded."""

from __future__ import annotations

import gzip
import os
import resource
from pathlib import Path

import msgspec
import pytest

from safelight.extract.filetype import detect, extension_mismatch
from safelight.extract.pictures import extract_picture, warm_up
from safelight.records import PictureResult

ADDRESS_SPACE, CPU_SECONDS, RESIDENT = 2 << 30, 10, 900 << 20

# name: (problems of which one must be there, is a picture with pixels required, steps of children)
EXPECTED: dict[str, tuple[set[str], bool, list[str]]] = {
    "bmp_claims_2gpx.bmp": ({"limit.pixels"}, False, []),
    "empty.jpg": ({"empty"}, False, []),
    "gif_100000_frames.gif.gz": ({"limit.frames"}, False, []),
    "gif_claims_65535.gif": ({"limit.pixels"}, False, []),
    "gif_no_trailer.gif": ({"truncated"}, False, []),
    "heic_claims_huge_grid.heic": ({"corrupt", "limit.pixels"}, False, []),
    "jpeg_claims_65500.jpg": ({"limit.pixels"}, False, []),
    "jpeg_exif_65k_x200.jpg.gz": ({"limit.metadata"}, True, []),
    "jpeg_exif_all_types_bad.jpg": ({"metadata"}, True, []),
    "jpeg_exif_ifd_loop.jpg": ({"metadata"}, True, []),
    "jpeg_exif_stored_xss.jpg": (set(), True, []),
    "jpeg_named.txt": (set(), True, []),
    "jpeg_only_soi.jpg": ({"corrupt"}, False, []),
    "jpeg_progressive_many_scans.jpg.gz": ({"limit.time"}, True, []),
    "jpeg_truncated_in_scan.jpg": ({"truncated"}, False, []),
    "jpeg_with_html_tail.jpg": ({"trailing-data"}, True, []),
    "jpeg_xmp_billion_laughs.jpg": ({"metadata"}, True, []),
    "jpeg_xmp_deep.jpg": ({"limit.depth"}, True, []),
    "jpeg_xmp_xxe.jpg": ({"metadata"}, True, []),
    "no_extension": (set(), True, []),
    "png_apng_million_frames.png": (set(), True, []),
    "png_bad_crc.png": ({"corrupt"}, False, []),
    "png_bomb_12000_rgb.png": (set(), True, []),
    "png_bomb_20000_1bit.png": ({"limit.pixels"}, False, []),
    "png_claims_60000.png": ({"limit.pixels"}, False, []),
    "png_iccp_bomb.png": ({"limit.metadata"}, True, []),
    "png_named.jpg": (set(), True, []),
    "png_trailing_zip.png": ({"trailing-data"}, True, ["tail:85"]),
    "png_truncated.png": ({"truncated"}, True, []),
    "png_zero_width.png": ({"corrupt"}, False, []),
    "png_ztxt_bomb.png": ({"limit.metadata"}, True, []),
    "polyglot_gif_zip.gif": ({"trailing-data"}, True, ["tail:35"]),
    "polyglot_pdf_jpeg.pdf": (set(), True, []),
    "svg_billion_laughs.svg": ({"unsupported"}, False, []),
    "svg_claims_huge.svg": ({"unsupported"}, False, []),
    "svg_external_refs.svg": ({"external-reference"}, False, []),
    "svg_script.svg": ({"active-content"}, False, []),
    "svg_use_bomb.svg": ({"unsupported"}, False, []),
    "tiff_500_pages_then_loop.tif": ({"corrupt"}, True, []),
    "tiff_count_overflow.tif": ({"corrupt"}, False, []),
    "tiff_ifd_cycle_of_two.tif": ({"corrupt"}, True, []),
    "tiff_ifd_points_to_itself.tif": ({"corrupt"}, True, []),
    "tiff_strip_offset_outside.tif": ({"corrupt"}, False, []),
    "tiff_subifd_cycle.tif": ({"corrupt"}, True, []),
}
MISMATCHED = ("html_named.jpg", "jpeg_named.txt", "mz_named.jpg", "png_named.jpg", "polyglot_pdf_jpeg.pdf", "playlist_named.mp4")


def in_a_child(data: bytes, kind: str) -> tuple[PictureResult, int]:
    """Extract in a forked child under limits; return the answer and the bytes by which its memory grew at most."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        # what the test process has mapped already does not count: it depends on which tests ran before
        grown = ADDRESS_SPACE + int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (grown, grown))
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
        os.dup2(os.open("/dev/null", os.O_WRONLY), 2)
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak of the process that was forked
        before = memory("VmRSS")
        result = extract_picture(data, kind)
        with os.fdopen(write, "wb") as pipe:
            pipe.write(msgspec.msgpack.encode((result, memory("VmHWM") - before)))
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(child, 0)
    assert status == 0, f"the child ended with status {status}"
    return msgspec.msgpack.decode(answer, type=tuple[PictureResult, int])


def memory(what: str) -> int:
    """Return a figure of /proc/self/status in bytes."""
    return next(int(line.split()[1]) << 10 for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(what))


@pytest.fixture(scope="module")
def hostile(shared: Path) -> Path:
    warm_up()
    return shared / "hostile"


def load(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


@pytest.mark.parametrize("name", EXPECTED)
def test_hostile_picture_ends_as_the_manifest_says(hostile: Path, name: str) -> None:
    """One of the allowed problems is there, the picture is kept where it must be, children are found, limits hold."""
    data = load(hostile / name)
    kind = detect(data[:65536], len(data), data[-65536:])
    result, resident = in_a_child(data, kind.media_type)
    kinds = {k for k, _ in result.problems}
    problems, required, steps = EXPECTED[name]
    assert not problems or kinds & problems, result.problems
    assert required == (result.picture is not None and bool(result.picture.small)), result.problems
    assert steps == [e.step for e in result.embedded]
    assert resident < RESIDENT
    assert result.picture is None or result.picture.complete or kinds


def test_every_hostile_picture_has_an_expectation(hostile: Path) -> None:
    """No picture of the hostile set is left out of the table above."""
    pictures = {
        p.name for p in hostile.iterdir() if p.is_file() and p.name.split("_")[0] in ("bmp", "gif", "heic", "jpeg", "png", "svg", "tiff")
    }
    assert pictures - set(EXPECTED) == set()


@pytest.mark.parametrize("name", MISMATCHED)
def test_misnamed_files_are_told(hostile: Path, name: str) -> None:
    """The content contradicts the extension."""
    data = load(hostile / name)
    assert extension_mismatch(name.encode(), detect(data[:65536], len(data), data[-65536:])) is not None


def test_values_of_hostile_exif_are_stored_as_they_are(hostile: Path) -> None:
    """Script, template, formula and SQL texts stay verbatim: nothing is cleaned, nothing is resolved."""
    data = load(hostile / "jpeg_exif_stored_xss.jpg")
    picture = extract_picture(data, "image/jpeg").picture
    assert picture is not None
    assert picture.exif is not None
    texts = [v for v in (picture.exif.make, picture.exif.model, picture.exif.software, *picture.exif.rest.values()) if v]
    assert len(texts) >= 5
    assert all(t.encode() in data for t in texts)


def test_no_file_of_the_machine_is_in_an_answer(hostile: Path) -> None:
    """External entities of XMP and SVG are not read: /etc/hostname is nowhere."""
    secret = Path("/etc/hostname").read_text().strip() if Path("/etc/hostname").exists() else "no such text"
    for name in ("jpeg_xmp_xxe.jpg", "svg_external_refs.svg"):
        data = load(hostile / name)
        kind = detect(data[:65536], len(data)).media_type
        assert secret not in str(extract_picture(data, kind))


def test_fuzzer_corpus_ends_in_answers(hostile: Path) -> None:
    """Every file of the public fuzzer corpora gives an answer within the limits, and an incomplete one says why."""
    seen = 0
    for path in sorted((hostile / "corpus").iterdir()):
        data = path.read_bytes()
        kind = detect(data[:65536], len(data), data[-65536:])
        if kind.kind != "image":
            continue
        result, resident = in_a_child(data, kind.media_type)
        assert resident < RESIDENT, path.name
        assert result.problems or (result.picture is not None and result.picture.complete), path.name
        seen += 1
    assert seen >= 90

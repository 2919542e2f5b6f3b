"""Structure of PDF: good documents of several kinds are silent, each trap is told, bombs and loops cost little."""

from __future__ import annotations

import re
import time
import zlib
from pathlib import Path

import pytest

from safelight.evidence.bytesource import MemorySource
from safelight.extract import structure

TYPE = "application/pdf"
CATALOGUE = b"<</Type/Catalog/Pages 2 0 R>>"
PAGES = b"<</Type/Pages/Kids[3 0 R]/Count 1>>"
PAGE = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 4 0 R>>"


def check(data: bytes) -> list[tuple[str, str]]:
    return structure.check(MemorySource(data), TYPE)


def kinds(data: bytes) -> list[str]:
    return [kind for kind, _ in check(data)]


def stream(data: bytes, more: bytes = b"") -> bytes:
    return b"<</Length %d%s>>stream\n%s\nendstream" % (len(data), more, data)


CONTENT = stream(zlib.compress(b"BT ET"), b"/Filter/FlateDecode")


def document(*objects: bytes, trailer: bytes = b"", before: bytes = b"") -> bytes:
    """Return a document with a classic table; objects are numbered from 1, which is the catalogue."""
    out, places = bytearray(before + b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"), []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1) + b"".join(b"%010d 00000 n \n" % at for at in places)
    return bytes(out) + b"trailer\n<</Size %d/Root 1 0 R%s>>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, trailer, start)


def packed(*objects: bytes, extra: bytes = b"") -> bytes:
    """Return a document whose objects (from number 1) lie in an object stream and whose table is a stream."""
    offsets, body = [], b""
    for number, content in enumerate(objects, 1):
        offsets.append(b"%d %d" % (number, len(body)))
        body += content + b" "
    index = b" ".join(offsets) + b" "
    out = b"%PDF-1.5\n" + extra
    out += (
        b"10 0 obj\n"
        + stream(zlib.compress(index + body), b"/Type/ObjStm/N %d/First %d/Filter/FlateDecode" % (len(objects), len(index)))
        + b"\nendobj\n"
    )
    start = len(out)
    table = b"/Type/XRef/Size 12/W[1 2 1]/Root 1 0 R/Filter/FlateDecode"
    return out + b"11 0 obj\n" + stream(zlib.compress(bytes(48)), table) + b"\nendobj\nstartxref\n%d\n%%%%EOF" % start


GOOD = document(CATALOGUE, PAGES, PAGE, CONTENT)


def updated(base: bytes, body: bytes) -> bytes:
    """Append one change in the way of ISO 32000, 7.5.6."""
    previous = int(re.findall(rb"startxref\s+(\d+)", base)[-1])
    place = len(base)
    out = base + b"3 0 obj\n" + body + b"\nendobj\n"
    table = b"xref\n3 1\n%010d 00000 n \ntrailer\n<</Size 5/Root 1 0 R/Prev %d>>\n" % (place, previous)
    return out + table + b"startxref\n%d\n%%%%EOF\n" % len(out)


def test_good_documents_are_silent() -> None:
    """Classic, packed, changed, with links, with outlines of the word JavaScript, with a line end too many."""
    link = b"<</Type/Annot/Subtype/Link/A<</S/URI/URI(http://example.org/)>>>>"
    words = b"<</Title(/S /JavaScript in a title is no action: JavaScript, Launch)/Count 0>>"
    assert check(GOOD) == []
    assert check(GOOD + b"\n\n\0\0") == []
    assert check(updated(updated(GOOD, PAGE), PAGE)) == []
    assert check(packed(CATALOGUE, PAGES, PAGE)) == []
    assert check(document(CATALOGUE, PAGES, PAGE, CONTENT, link)) == []
    assert kinds(document(CATALOGUE, PAGES, PAGE, CONTENT, words.replace(b"/S /", b""))) == []
    tree = document(CATALOGUE, b"<</Kids[3 0 R 4 0 R]/Count 2>>", b"<</Parent 2 0 R/Kids 5 0 R/Count 1>>", PAGE, b"[6 0 R]", PAGE)
    assert check(tree) == []


@pytest.mark.parametrize(
    "path", ["libtasn1-doc/libtasn1.pdf", "libimage-exiftool-perl/html/MIE1.1-20070121.pdf", "shared-mime-info/shared-mime-info-spec.pdf"]
)
def test_documents_of_the_system_are_silent(path: str) -> None:
    """Documents that TeX, FOP and an office program made, where they are installed."""
    file = Path("/usr/share/doc") / path
    if not file.exists():
        pytest.skip(f"{file} is not installed")
    assert check(file.read_bytes()) == []


@pytest.mark.parametrize(
    ("part", "wanted"),
    [
        (b"<</S/JavaScript/JS(app.alert)>>", "active-content"),
        (b"<</S /J#61vaScript /JS 9 0 R>>", "active-content"),
        (b"<</S/Launch/F(cmd.exe)>>", "active-content"),
        (b"<</Type/Annot/Subtype/RichMedia>>", "active-content"),
        (b"<</S/SubmitForm/F(http://canary.invalid/hit)>>", "external-reference"),
        (b"<</S/GoToR/F(\\\\\\\\host\\\\share\\\\x.pdf)>>", "external-reference"),
        (b"<</FS/URL/F(http://canary.invalid/hit)>>", "external-reference"),
        (b"<</Type/Page/MediaBox [0 0 -10000000 10000000.0]>>", "limit.pixels"),
    ],
)
def test_what_acts_and_reaches_out_is_told(part: bytes, wanted: str) -> None:
    """Actions are seen in plain objects, in packed objects, and behind a stream that does not end."""
    assert kinds(document(CATALOGUE, PAGES, PAGE, CONTENT, part)) == [wanted]
    assert kinds(packed(CATALOGUE, PAGES, PAGE, part)) == [wanted]
    assert wanted in kinds(document(CATALOGUE, PAGES, PAGE, b"<</Length 9>>stream\n" + part))


def test_the_content_of_streams_is_no_action() -> None:
    """The same letters in the bytes of a picture mean nothing."""
    assert check(document(CATALOGUE, PAGES, PAGE, stream(b"/S/JavaScript /S/Launch /MediaBox[0 0 9999999 1]"))) == []


def test_a_cut_document_is_truncated() -> None:
    """Cut in the middle, at the table, in a change, and a linearised one that has its first tables."""
    assert kinds(GOOD[: len(GOOD) // 2]) == ["truncated"]
    assert kinds(GOOD[:-8]) == ["truncated"]
    assert kinds(updated(GOOD, PAGE)[: len(GOOD) + 40]) == ["truncated"]
    linear = (
        b"%PDF-1.4\n1 0 obj<</Linearized 1/L 90000/H[1 2]/O 3/E 4/N 1/T 5>>endobj\nxref\n0 1\n0000000000 65535 f \ntrailer<</Root 2 0 R>>\n"
    )
    assert kinds(linear + b"startxref\n0\n%%EOF\n" + b"9 0 obj null endobj\n" * 200) == ["truncated"]


def test_damaged_ends_are_told() -> None:
    """No startxref, a startxref that names nothing, tables in a loop, bytes behind the end."""
    assert check(GOOD.replace(b"startxref", b"startless")) == [("corrupt", "there is no startxref: the table of objects is not named")]
    start = int(re.findall(rb"startxref\s+(\d+)", GOOD)[0])
    assert kinds(GOOD.replace(b"startxref\n%d" % start, b"startxref\n%d" % (start // 2))) == ["corrupt"]
    assert kinds(GOOD.replace(b"startxref\n%d" % start, b"startxref\n99999999")) == ["corrupt"]
    loop = document(CATALOGUE, PAGES, PAGE, CONTENT, trailer=b"/Prev %010d" % start)
    assert check(loop) == [("corrupt", f"the tables of objects form a loop at {start}")]
    assert kinds(GOOD + b"PK\x03\x04 an archive that was put behind") == ["trailing-data"]


def test_page_trees_that_do_not_end_are_told() -> None:
    """A node that is its own child, also through others and in packed objects; a page that stands twice is none."""
    assert kinds(document(CATALOGUE, b"<</Kids[2 0 R]/Count 1>>")) == ["corrupt"]
    assert kinds(document(CATALOGUE, b"<</Kids[3 0 R]/Count 99999999>>", b"<</Kids[2 0 R]/Count 9>>")) == ["corrupt"]
    assert kinds(packed(CATALOGUE, b"<</Kids[3 0 R]/Count 9>>", b"<</Kids[2 0 R]/Count 9>>")) == ["corrupt"]
    assert check(document(CATALOGUE, b"<</Kids[3 0 R 3 0 R]/Count 2>>", PAGE, CONTENT)) == []
    assert kinds(document(b"<</Type/Catalog>>", PAGES)) == ["corrupt"]
    assert kinds(GOOD.replace(b"/Root 1 0 R", b"/Root 9 0 R")) == ["corrupt"]


def test_bombs_are_limits() -> None:
    """50 MB behind three layers, and 40 MB of objects in one stream, are told in a fraction of a second."""
    layers = zlib.compress(zlib.compress(zlib.compress(bytes(50 << 20), 9), 9), 9)
    began = time.process_time()
    triple = document(CATALOGUE, PAGES, PAGE, stream(layers, b"/Filter[/FlateDecode/FlateDecode/FlateDecode]"))
    assert check(triple) == [("limit.bytes", "a stream that is packed 3 times unpacks to more than 16777216 bytes")]
    assert kinds(packed(CATALOGUE, PAGES, PAGE, bytes(40 << 20))) == ["limit.bytes"]
    assert time.process_time() - began < 3  # packing included
    assert check(document(CATALOGUE, PAGES, PAGE, stream(zlib.compress(bytes(50 << 20)), b"/Filter/FlateDecode"))) == []  # a blank page
    twice = zlib.compress(zlib.compress(b"BT ET"))
    assert check(document(CATALOGUE, PAGES, PAGE, stream(twice, b"/Filter[/FlateDecode/FlateDecode]"))) == []


def test_encryption_is_told() -> None:
    """An encrypted document says so; that its packed objects cannot be read is no damage."""
    assert kinds(document(CATALOGUE, PAGES, PAGE, CONTENT, b"<</Filter/Standard/V 2/R 3>>", trailer=b"/Encrypt 5 0 R")) == ["encrypted"]


@pytest.mark.parametrize(
    "piece", [b"<<>>stream\n", b">>stream\nendstream ", b"trailer<<", b"1 0 obj/Kids[", b"/F[/F", b"1 1 ", b"/a#", b"/MediaBox[1 ", b" "]
)
def test_costs_are_bounded(piece: bytes) -> None:
    """6 MiB of anything take less than 2 s of CPU: no pattern goes back and forth."""
    data = (b"%PDF-1.7\n" + piece * ((6 << 20) // len(piece)))[: (6 << 20) - 60] + b"\ntrailer<</Root 1 0 R>>startxref 5\n%%EOF"
    began = time.process_time()
    check(data)
    assert time.process_time() - began < 2


def test_a_large_document_is_looked_at_from_both_ends() -> None:
    """Of 20 MB 6 MiB are read: an action in the tail is seen, the page tree is not judged."""
    objects = [CATALOGUE, PAGES, PAGE, *(stream(bytes(1 << 20)) for _ in range(20))]
    assert check(document(*objects)) == []
    assert kinds(document(*objects, b"<</S/JavaScript/JS(x)>>")) == ["active-content"]

"""File types by content: files made here by real writers, the shared sets, and the comparison with names."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import sqlite3
import tarfile
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from safelight.extract.filetype import FileType, detect, extension_mismatch

KINDS = {"image", "video", "audio", "document", "archive", "database", "message", "program", "text", "other", "empty"}


def kind(data: bytes) -> FileType:
    return detect(data[:65536], len(data), data[-65536:])


def zipped(*names: str, stored: str = "") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in names:
            archive.writestr(name, stored if name == "mimetype" else "x")
    return out.getvalue()


def tarred() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a"), io.BytesIO())
    return out.getvalue()


MAIL = b"Return-Path: <a@x.invalid>\r\nFrom: a@x.invalid\r\nTo: b@x.invalid\r\nSubject: s\r\n\r\nbody\r\n"
OPEN_TEXT = "application/vnd.oasis.opendocument.text"
WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
MADE: list[tuple[bytes, str, str]] = [
    (b"", "application/x-empty", "empty"),
    (zipped("a.txt"), "application/zip", "archive"),
    (zipped("[Content_Types].xml", "_rels/.rels", "word/document.xml"), WORD, "document"),
    (zipped("mimetype", "content.xml", stored=OPEN_TEXT), OPEN_TEXT, "document"),
    (zipped("mimetype", "x.html", stored="application/epub+zip"), "application/epub+zip", "document"),
    (zipped("classes.dex", "AndroidManifest.xml"), "application/vnd.android.package-archive", "archive"),
    (tarred(), "application/x-tar", "archive"),
    (gzip.compress(b"x"), "application/gzip", "archive"),
    (bz2.compress(b"x"), "application/x-bzip2", "archive"),
    (lzma.compress(b"x"), "application/x-xz", "archive"),
    (b"Rar!\x1a\x07\x01\x00" + bytes(30), "application/vnd.rar", "archive"),
    (b"7z\xbc\xaf\x27\x1c\x00\x04" + bytes(30), "application/x-7z-compressed", "archive"),
    (b"%PDF-1.7\n", "application/pdf", "document"),
    (b"<!DOCTYPE html><html></html>", "text/html", "document"),
    (b"<?xml version='1.0'?><svg xmlns='x'></svg>", "image/svg+xml", "image"),
    (MAIL, "message/rfc822", "message"),
    (b"From a@x Sat Jan  1 00:00:00 2000\n" + MAIL, "application/mbox", "message"),
    (b"!BDN" + bytes(600), "application/vnd.ms-outlook-pst", "message"),
    (b"\x7fELF\x02\x01\x01" + bytes(60), "application/x-elf", "program"),
    (b"MZ" + bytes(58) + b"\x40\0\0\0PE\0\0" + bytes(60), "application/vnd.microsoft.portable-executable", "program"),
    (b"#!/bin/sh\necho\n", "text/x-shellscript", "text"),
    (b"plain words\n", "text/plain", "text"),
    (b"MZ is how this sentence begins, and it is no program at all, just a long line of text.\n", "text/plain", "text"),
    (b"words with one \x00 and \xff\xfe\n" * 3, "text/plain", "text"),
    (b"\x00\x00\x00\x18ftypheic\0\0\0\0mif1heic", "image/heic", "image"),
    (b"\x00\x00\x00\x18ftypmif1\0\0\0\0mif1avif", "image/avif", "image"),
    (b"\x00\x00\x00\x18ftypcrx \0\0\0\x01crx isom", "image/x-canon-cr3", "image"),
    (b"\x00\x00\x00\x14ftypqt  \0\0\0\0qt  ", "video/quicktime", "video"),
    (b"\x00\x00\x00\x14ftypisom\0\0\0\0isom", "video/mp4", "video"),
    (b"\x00\x00\x00\x14ftypM4A \0\0\0\0isom", "audio/mp4", "audio"),
    (b"RIFF\x10\0\0\0AVI LIST", "video/x-msvideo", "video"),
    (b"RIFF\x10\0\0\0WAVEfmt ", "audio/x-wav", "audio"),
    (b"\x1aE\xdf\xa3\x93\x42\x82\x88matroska", "video/x-matroska", "video"),
    (b"ID3\x03\0\0\0\0\0\0", "audio/mpeg", "audio"),
    ((b"\xff\xfb\x90\x00" + bytes(413)) * 3, "audio/mpeg", "audio"),
    (b"\x47" + (bytes(187) + b"\x47") * 5, "video/mp2t", "video"),
    (random.Random(3).randbytes(3000), "application/octet-stream", "other"),
]


@pytest.mark.parametrize(("data", "media_type", "family"), MADE, ids=[m[1] + str(i) for i, m in enumerate(MADE)])
def test_type_and_kind_by_content(data: bytes, media_type: str, family: str) -> None:
    """Each format made here is named, and belongs to its kind."""
    found = kind(data)
    assert (media_type, family) == (found.media_type, found.kind)


def test_pictures_and_databases_of_real_writers(tmp_path: Path) -> None:
    """What Pillow and SQLite write is named."""
    for name, media_type in {
        "JPEG": "image/jpeg",
        "PNG": "image/png",
        "GIF": "image/gif",
        "WEBP": "image/webp",
        "BMP": "image/bmp",
        "TIFF": "image/tiff",
        "AVIF": "image/avif",
        "JPEG2000": "image/jp2",
        "ICO": "image/vnd.microsoft.icon",
        "PDF": "application/pdf",
    }.items():
        out = io.BytesIO()
        Image.new("RGB", (16, 16)).save(out, name)
        assert (media_type, "signature") == (kind(out.getvalue()).media_type, kind(out.getvalue()).typed_by)
    with sqlite3.connect(tmp_path / "a.db") as database:
        database.execute("create table t (x)")
    assert kind((tmp_path / "a.db").read_bytes()).kind == "database"


def test_shared_photos_are_all_images_of_their_extension(shared: Path) -> None:
    """86 photos: every one an image by signature, none contradicting its name."""
    photos = [p for p in (shared / "photos").iterdir() if p.is_file() and p.suffix != ".md"]
    assert len(photos) == 86
    for path in photos:
        data = path.read_bytes()
        found = kind(data)
        assert (found.kind, found.typed_by) == ("image", "signature"), path.name
        assert extension_mismatch(path.name.encode(), found) is None, path.name


def test_shared_films_are_all_videos_of_their_extension(shared: Path) -> None:
    """The films of the shared set are videos by signature, and no false alarm is raised."""
    for path in (shared / "video").iterdir():
        if path.suffix.lower() in (".mp4", ".mov", ".mkv", ".webm", ".avi", ".flv", ".3gp", ".ts", ".asf", ".wmv", ".mpg"):
            found = kind(path.read_bytes())
            assert (found.kind, found.typed_by) == ("video", "signature"), path.name
            assert extension_mismatch(path.name.encode(), found) is None, path.name


@pytest.mark.parametrize(
    ("name", "data"),
    [
        (b"a.docx", MADE[2][0]),
        (b"A.ZIP", MADE[2][0]),
        (b"a.apk", MADE[5][0]),
        (b"dir.jpg/readme", b"plain words\n"),
        (b"a.jpg", b""),
        (b"a.jpg", MADE[-1][0]),
        (b"a.doc", b"{\\rtf1 x}"),
        (b"a.doc", MADE[2][0]),
        (b"a.txt", b"<!DOCTYPE html><html></html>"),
        (b"a.unknown", MADE[1][0]),
        (b".jpg.bak", b"plain words\n"),
        (b"\xff\xfe.jpeg", b"\xff\xd8\xff\xe0"),
    ],
)
def test_no_false_alarm(name: bytes, data: bytes) -> None:
    """Families, siblings, unknown extensions, empty and unrecognised content are no contradiction."""
    assert extension_mismatch(name, kind(data)) is None


@pytest.mark.parametrize(
    ("name", "data"),
    [
        (b"a.jpg", MADE[1][0]),
        (b"a.JPG", b"%PDF-1.7\n"),
        (b"a.txt", b"\xff\xd8\xff\xe0"),
        (b"x/a.pdf", b"\xff\xd8\xff\xe0"),
        (b"a.mp4", b"#EXTM3U\n"),
        (b"holiday.png", MADE[19][0]),
        (b"a.exe", MADE[1][0]),
    ],
)
def test_contradictions_are_told(name: bytes, data: bytes) -> None:
    """A well-known extension over other content is told, with both in words."""
    reason = extension_mismatch(name, kind(data))
    assert reason is not None
    assert kind(data).media_type in reason


def test_any_bytes_have_a_type() -> None:
    """Random, cut and damaged heads always end in one of the kinds."""
    rng = random.Random(9)
    for _ in range(1500):
        base = bytearray(rng.choice(MADE)[0][:600] or b"\0")
        for _ in range(rng.randint(0, 8)):
            base[rng.randrange(len(base))] = rng.randrange(256)
        data = bytes(base[: rng.randint(1, len(base))])
        assert detect(data, rng.choice((len(data), 10**12)), data[-10:]).kind in KINDS

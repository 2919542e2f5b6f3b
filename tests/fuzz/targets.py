"""One target for each parser of untrusted bytes: seeds made by code, and a call that may refuse, record a problem, but not crash.

`run.py` mutates the seeds; a coverage-guided fuzzer can call the same functions (`TARGETS[name].call`).
"""

from __future__ import annotations

import gzip
import io
import json
import sqlite3
import struct
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from safelight.evidence.bytesource import MemorySource
from safelight.evidence.source import Segment, Unreadable
from safelight.extract.pictures.decoders import HEIC_SAMPLE

sys.path.insert(0, str(Path(__file__).parents[1]))
from small_archives import ewf, rar5

MOST = 2_000
"""Things taken from an iterator: a target must not run for ever because an input is endless by right."""


class Target(NamedTuple):
    """Seeds, and the call that is held to its promise: it returns or raises one of `refuses`."""

    seeds: Callable[[], list[bytes]]
    call: Callable[[bytes], Any]
    refuses: tuple[type[BaseException], ...] = (Unreadable,)


def picture(form: str, **options: Any) -> bytes:
    out = io.BytesIO()
    Image.effect_mandelbrot((64, 48), (-2, -1.5, 1, 1.5), 40).convert("RGB").save(out, form, **options)
    return out.getvalue()


def with_exif() -> bytes:
    exif = Image.Exif()
    exif[0x10F], exif[0x110] = "Maker", "Model"
    exif.get_ifd(0x8769)[0x9003] = "2026:01:02 03:04:05"
    exif.get_ifd(0x8825)[1] = "N"
    return picture("JPEG", exif=exif)


PLAIN = ("TGA", "PCX", "PPM", "QOI", "SGI", "DDS", "ICNS", "DIB")


def photoshop() -> bytes:
    """A flat Photoshop file with a thumbnail among its resources."""
    body = bytes(28) + picture("JPEG")
    resources = b"8BIM" + struct.pack(">HHI", 1036, 0, len(body)) + body + bytes(len(body) & 1)
    head = struct.pack(">4sH6xHIIHH", b"8BPS", 1, 3, 48, 64, 8, 3)
    return head + struct.pack(">II", 0, len(resources)) + resources + struct.pack(">IH", 0, 0) + bytes(3 * 48 * 64)


def plain_picture(data: bytes) -> Any:
    """Each reader of `plain.py` by the magic of the seed it came from: all of them get the bytes."""
    from safelight.extract.pictures import extract_picture
    from safelight.extract.pictures.plain import PLAIN as readers

    return [extract_picture(data, media_type) for media_type in readers]


def parcel() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("a/letter.txt", "a letter\n" * 50)
        z.writestr("b.jpg", picture("JPEG"))
    return out.getvalue()


def tarball() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as t:
        info = tarfile.TarInfo("a.txt")
        info.size = 9
        t.addfile(info, io.BytesIO(b"a letter\n"))
    return out.getvalue()


def database() -> bytes:
    db = sqlite3.connect(":memory:")
    db.executescript("create table t(a, b); insert into t values (1, 'x'), (2, zeroblob(3000));")
    return db.serialize()


def film() -> bytes:
    def box(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", 8 + len(body)) + kind + body

    moov = box(b"moov", box(b"mvhd", bytes(100)) + box(b"trak", box(b"mdia", box(b"mdhd", bytes(24)))))
    return box(b"ftyp", b"isom\0\0\0\0isommp42") + moov + box(b"mdat", bytes(64))


def disk() -> bytes:
    gpt = b"EFI PART" + struct.pack("<IIIIQQQQ16sQIII", 0x10000, 92, 0, 0, 1, 63, 34, 62, bytes(16), 2, 4, 128, 0)
    entry = bytes(range(16)) + bytes(16) + struct.pack("<QQQ", 34, 50, 0) + "part".encode("utf-16-le").ljust(72, b"\0")
    gpt = gpt[:16] + struct.pack("<I", zlib.crc32(gpt[:16] + bytes(4) + gpt[20:92])) + gpt[20:]
    protective = bytes(446) + bytes([0, 0, 2, 0, 0xEE, 0, 0, 0]) + struct.pack("<II", 1, 63) + bytes(48) + b"\x55\xaa"
    return protective + gpt.ljust(512, b"\0") + (entry * 4).ljust(512 * 32, b"\0") + bytes(512 * 30)


def qcow2() -> bytes:
    head = struct.pack(">4sIQIIQIIQQIIQ", b"QFI\xfb", 2, 0, 0, 9, 4096, 0, 1, 512, 1024, 1, 0, 0)
    return head.ljust(512, b"\0") + struct.pack(">Q", 1536 | 1 << 63).ljust(1024, b"\0") + struct.pack(">Q", 2048 | 1 << 63) + bytes(2048)


def pictures(media_type: str) -> Callable[[bytes], Any]:
    def call(data: bytes) -> Any:
        from safelight.extract.pictures import extract_picture

        return extract_picture(data, media_type)

    return call


def archive(media_type: str) -> Callable[[bytes], Any]:
    def call(data: bytes) -> None:
        from safelight.extract import archives

        budget = archives.Budget(bytes_left=1 << 22, entries_left=500)
        for member in islice(archives.members(MemorySource(data), media_type, budget), MOST):
            try:
                if isinstance(member, archives.Member):
                    for _ in islice(member.blocks(), MOST):
                        pass
            except Unreadable:
                continue

    return call


def checked(media_type: str) -> Callable[[bytes], Any]:
    def call(data: bytes) -> Any:
        from safelight.extract import structure

        return structure.check(MemorySource(data), media_type)

    return call


def image(data: bytes) -> None:
    from safelight.evidence.containers import open_image

    _, opened = open_image([Segment(b"disk.img", MemorySource(data))])
    for offset in range(0, min(opened.size, 1 << 20), 1 << 16):
        opened.read_at(offset, 1 << 16)


def volumes(data: bytes) -> Any:
    from safelight.evidence.volumes import scan
    from safelight.evidence.volumes.encryption import identify

    return scan(MemorySource(data)), identify(MemorySource(data))


def filetype(data: bytes) -> Any:
    from safelight.extract.filetype import detect, extension_mismatch

    return extension_mismatch(b"a.jpg", detect(data[:65536], len(data)))


def hashset(data: bytes) -> None:
    from safelight.match.entries import Options
    from safelight.match.formats import FORMATS

    for known in FORMATS:
        if not known.needs_path and known.detect(data[:65536], "list.txt"):
            for _ in islice(known.records(io.BytesIO(data), Options(name="list.txt")), MOST):
                pass


def hashset_refusals() -> tuple[type[BaseException], ...]:
    from safelight.match.entries import Refused

    return (Refused,)


MD5 = b"0cc175b9c0f1b6a831c399e269772661"
VICS = json.dumps(
    {"@odata.context": "x/DataModels/2.0.xml/US/$metadata#Media", "value": [{"MediaID": 1, "MD5": MD5.decode(), "Category": 1}] * 3}
)

TARGETS: dict[str, Target] = {
    "jpeg": Target(lambda: [with_exif(), picture("JPEG", progressive=True), picture("JPEG", subsampling=0)], pictures("image/jpeg")),
    "png": Target(lambda: [picture("PNG")], pictures("image/png")),
    "gif": Target(lambda: [picture("GIF")], pictures("image/gif")),
    "webp": Target(lambda: [picture("WEBP")], pictures("image/webp")),
    "plain pictures": Target(lambda: [photoshop(), *(picture(form) for form in PLAIN)], plain_picture),
    "tiff": Target(lambda: [picture("TIFF"), picture("TIFF", compression="tiff_lzw")], pictures("image/tiff")),
    "bmp": Target(lambda: [picture("BMP")], pictures("image/bmp")),
    "heif": Target(lambda: [HEIC_SAMPLE], pictures("image/heic")),
    "zip": Target(lambda: [parcel()], archive("application/zip")),
    "tar": Target(lambda: [tarball()], archive("application/x-tar")),
    "gzip": Target(lambda: [gzip.compress(tarball())], archive("application/gzip")),
    "rar": Target(lambda: [rar5((b"one.txt", b"first"), copies=((b"two.txt", b"one.txt"),)), rar5((b"a", b"b"), volume=1)],
                  archive("application/vnd.rar")),
    "ewf": Target(lambda: [ewf(bytes(70_000) + bytes(range(256)) * 200)[:-1] + b"\0", ewf(b"text" * 30_000)], image),
    "film": Target(lambda: [film()], checked("video/mp4")),
    "sqlite": Target(lambda: [database()], checked("application/vnd.sqlite3")),
    "pdf": Target(lambda: [b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\n"
                           b"xref\n0 1\n0000000000 65535 f \ntrailer<</Root 1 0 R/Size 3>>\nstartxref\n99\n%%EOF"], checked("application/pdf")),
    "mail": Target(lambda: [b"From: a@example.org\nTo: b@example.org\nMIME-Version: 1.0\n"
                            b"Content-Type: multipart/mixed; boundary=x\n\n--x\n\nhello\n--x--\n"], checked("message/rfc822")),
    "json": Target(lambda: [VICS.encode()], checked("application/json")),
    "container": Target(lambda: [qcow2(), b"conectix" + bytes(504), b"KDMV" + bytes(508)], image),
    "volumes": Target(lambda: [disk()], volumes),
    "filetype": Target(lambda: [parcel(), film(), with_exif(), database()], filetype),
    "hashset": Target(lambda: [VICS.encode(), MD5 + b"  a.jpg\n", b"hash;type\n" + MD5 + b";md5\n", b"%%%% HASHDEEP-1.0\n%%%% size,md5,filename\n1,"
                               + MD5 + b",a\n"], hashset, hashset_refusals()),
}  # fmt: skip

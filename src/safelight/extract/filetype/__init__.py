"""What kind of file these bytes are: our own signatures for the types that decide what happens, libmagic for the rest.

Detection looks at bytes only, never at a name; the name is compared afterwards (`extension_mismatch`). Signatures are the
published magic numbers of the formats; the order of the tests matters only where a comment says so.
"""

from __future__ import annotations

import re
import struct
from typing import Any

from safelight.extract.filetype import prose
from safelight.extract.filetype.extensions import extension_mismatch
from safelight.extract.filetype.signatures import (
    ARCHIVES,
    ATOMS,
    BRANDS,
    DATABASES,
    DOCUMENTS,
    MAGIC,
    MESSAGES,
    OLE_MARKS,
    PROGRAMS,
    ZIP_MARKS,
    FileType,
)
from safelight.extract.structure.texttype import text_type

__all__ = ["FileType", "by_ending", "detect", "extension_mismatch", "kind_of", "warm_up"]

HEAD_BYTES = 65536
"""So much of the head is looked at; more is ignored."""


def kind_of(media_type: str) -> str:
    """Return the kind a media type belongs to."""
    main = media_type.partition("/")[0]
    if main in ("image", "audio", "video"):
        return "document" if media_type == "image/vnd.djvu" else main
    for kind, marks in (
        ("message", MESSAGES),
        ("database", DATABASES),
        ("document", DOCUMENTS),
        ("program", PROGRAMS),
        ("archive", ARCHIVES),
    ):
        if any(mark in media_type for mark in marks):
            return kind
    if main == "text" or media_type in ("application/json", "application/xml", "application/javascript", "application/vnd.apple.mpegurl"):
        return "text"
    return "other"


def _iso_media(head: bytes) -> str | None:
    """Boxed files: the major brand decides; where it is generic (`mif1` …) or unknown, the compatible brands are asked."""
    if len(head) < 8:
        return None
    size, name = struct.unpack(">I4s", head[:8])
    if name == b"ftyp":
        major = head[8:12]
        brands = [head[i : i + 4] for i in range(16, min(max(size, 16), 256, len(head)), 4)]
        if major in (b"mif1", b"msf1", b"mif2") or major not in BRANDS:
            for brand in brands:
                if brand in (b"heic", b"heix", b"avif", b"avis", b"hevc"):
                    return BRANDS[brand]
        if major not in BRANDS and b"crx " in brands:
            return "image/x-canon-cr3"
        return BRANDS.get(major, "video/mp4")
    return "video/quicktime" if name in ATOMS and (size == 1 or size >= 8) else None


def _riff(head: bytes) -> str | None:
    if head[:4] not in (b"RIFF", b"RIFX", b"RF64"):
        return None
    return {b"WEBP": "image/webp", b"AVI ": "video/x-msvideo", b"WAVE": "audio/x-wav"}.get(head[8:12])


def _tiff(head: bytes) -> str | None:
    """TIFF and the raw formats inside it: Canon marks CR2 at byte 8, DNG has tag 50706, the others are told by the maker."""
    if head[:4] not in (b"II*\x00", b"MM\x00*"):
        return None
    if head[8:11] == b"CR\x02":
        return "image/x-canon-cr2"
    order = "<" if head[:1] == b"I" else ">"
    tags, make, small = _tiff_first_tags(head, order)
    if 50706 in tags:
        return "image/x-adobe-dng"
    # a raw file has its pixels in SubIFDs and a reduced picture (NewSubfileType 1) in IFD0
    if make.startswith(b"NIKON") and 330 in tags and small:
        return "image/x-nikon-nef"
    if make.startswith(b"SONY") and 330 in tags and small:
        return "image/x-sony-arw"
    if make.startswith(b"PENTAX") and 330 in tags and small:
        return "image/x-pentax-pef"
    return "image/tiff"


def _tiff_first_tags(head: bytes, order: str) -> tuple[set[int], bytes, bool]:
    tags: set[int] = set()
    make, small = b"", False
    (at,) = struct.unpack_from(order + "I", head, 4) if len(head) >= 8 else (0,)
    if at < 8 or at + 2 > len(head):
        return tags, make, small
    (count,) = struct.unpack_from(order + "H", head, at)
    for i in range(min(count, 200)):
        entry = head[at + 2 + 12 * i : at + 14 + 12 * i]
        if len(entry) < 12:
            break
        tag, _, size, value = struct.unpack(order + "HHII", entry)
        tags.add(tag)
        if tag == 271:
            make = head[value : value + min(size, 64)] if size > 4 else entry[8 : 8 + size]
        elif tag == 254:
            small = bool(value & 1)
    return tags, make, small


def _zip_family(head: bytes) -> str:
    """Name the documents and programs that are ZIP archives by the names of their first members."""
    if head[30:38] == b"mimetype" and head[38:60].startswith(b"application/"):
        declared = re.match(rb"application/[\w.+-]{1,80}", head[38:140])
        text = declared.group().decode("ascii") if declared else ""
        if "opendocument" in text:  # the text of the member runs into the next record: cut at PK
            return text.partition("PK")[0]
        if "epub" in text:
            return "application/epub+zip"
    names = _zip_names(head)
    for mark, media_type in ZIP_MARKS:
        if any(name.startswith(mark) for name in names):
            return media_type
    return "application/zip"


def _zip_names(head: bytes, most: int = 64) -> list[bytes]:
    names, at = [], 0
    for _ in range(most):
        at = head.find(b"PK\x03\x04", at)
        if at < 0 or at + 30 > len(head):
            break
        (length,) = struct.unpack_from("<H", head, at + 26)
        names.append(head[at + 30 : at + 30 + length])
        at += 30
    return names


def _ole(head: bytes, tail: bytes) -> str:
    for mark, media_type in OLE_MARKS:
        wide = mark.encode("utf-16-le")
        if wide in head or wide in tail:
            return media_type
    return "application/x-ole-storage"


def _bmp_or_program(head: bytes, size: int) -> str | None:
    if head[:2] == b"BM" and len(head) >= 18:
        (info,) = struct.unpack_from("<I", head, 14)
        if info in (12, 40, 52, 56, 64, 108, 124):
            return "image/bmp"
    if head[:2] == b"MZ" and len(head) >= 64:
        (new,) = struct.unpack_from("<I", head, 60)
        if head[new : new + 4] == b"PE\x00\x00" or head[new : new + 2] in (b"NE", b"LE", b"LX"):
            return "application/vnd.microsoft.portable-executable"
        return "application/x-dosexec" if b"\x00" in head[2:64] else None
    return None


def _mpeg_audio_or_transport(head: bytes) -> str | None:
    """MP3 without a tag (two frame headers that agree) and MPEG transport streams (sync every 188 or 192 bytes)."""
    for first, step in ((0, 188), (4, 192)):
        if len(head) >= first + 4 * step and all(head[first + i * step] == 0x47 for i in range(4)):
            return "video/mp2t"
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer, rate, sampling = head[1] >> 3 & 3, head[1] >> 1 & 3, head[2] >> 4, head[2] >> 2 & 3
    if layer == 0 and head[1] & 0xF6 == 0xF0:
        return "audio/aac"
    if version != 3 or layer != 1 or rate in (0, 15) or sampling == 3:
        return None
    rates = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
    length = 144000 * rates[rate] // (44100, 48000, 32000)[sampling] + (head[2] >> 1 & 1)
    return "audio/mpeg" if head[length : length + 1] == b"\xff" and head[length + 1 : length + 2] == head[1:2] else None


_HTML = re.compile(rb"\s*(?:<!--.{0,512}?-->\s*)?<(?:!doctype\s+html|html|head|body|script|iframe|table|h1)[\s>]", re.I | re.S)
_SVG = re.compile(rb"\s*(?:<\?xml.{0,256}?\?>\s*)?(?:<!--.{0,512}?-->\s*)?(?:<!DOCTYPE\s.{0,4096}?)?<svg[\s>]", re.I | re.S)
_MAIL = re.compile(rb"(?:[A-Za-z][A-Za-z0-9-]{1,60}:[ \t][^\r\n]{0,2000}(?:\r?\n[ \t][^\r\n]{0,2000}){0,50}\r?\n){2,}")
_MAIL_FIELDS = (b"\nfrom:", b"\nto:", b"\nsubject:", b"\nreceived:", b"\nmessage-id:", b"\nmime-version:", b"\nreturn-path:", b"\ndate:")


def _markup_or_mail(head: bytes) -> str | None:
    start = head[:8192].removeprefix(b"\xef\xbb\xbf")
    if start[:5] == b"From " and b"\nFrom:" in head[:8192]:
        return "application/mbox"
    if _HTML.match(start):
        return "text/html"
    if _SVG.match(start):
        return "image/svg+xml"
    lower = b"\n" + start.lower()
    if sum(field in lower for field in _MAIL_FIELDS) >= (2 if b"\nmime-version:" in lower else 3) and _MAIL.match(start):
        return "message/rfc822"
    return None


def _by_signature(head: bytes, size: int, tail: bytes) -> str | None:
    for at, magic, media_type in MAGIC:
        if head.startswith(magic, at):
            if media_type == "application/zip":
                return _zip_family(head)
            if media_type == "application/x-ole-storage":
                return _ole(head, tail)
            if media_type == "video/x-matroska":
                return "video/webm" if b"webm" in head[:64] else media_type
            return "video/ogg" if magic == b"OggS\x00" and b"theora" in head[:64] else media_type
    return (
        _iso_media(head)
        or _riff(head)
        or _tiff(head)
        or _bmp_or_program(head, size)
        or _mpeg_audio_or_transport(head)
        or _markup_or_mail(head)
    )


def by_ending(tail: bytes) -> str | None:
    """Name what is known by its last bytes: a ZIP archive with something before it or split, a disk image of Apple, a fixed VHD."""
    if tail[-22:-18] == b"PK\x05\x06":
        return "application/zip"
    if tail[-512:].startswith(b"koly"):
        return "application/x-apple-diskimage"
    return "application/x-vhd" if tail[-512:].startswith(b"conectix") else None


def _is_text(head: bytes) -> bool:
    """Whether few bytes are controls, in the whole head and in its first bytes: a binary header may stand before values that look like text."""
    return _few_controls(head) and _few_controls(head[:512])


def _few_controls(head: bytes) -> bool:
    control = sum(head.count(bytes([c])) for c in range(32) if c not in (9, 10, 12, 13, 27))
    return control * 20 <= len(head) and (b"\x00" not in head or head.count(b"\x00") * 20 <= len(head))


def detect(head: bytes, size: int, tail: bytes = b"") -> FileType:
    """Say what `size` bytes are that begin with `head` (64 KiB are enough) and end with `tail` (may be empty)."""
    if size == 0 or not head:
        return FileType("application/x-empty", "empty", "none")
    head = head[:HEAD_BYTES]
    found = _by_signature(head, size, tail)
    if found:
        return FileType(found, kind_of(found), "signature")
    if ending := by_ending(tail):
        return FileType(ending, "archive", "signature")
    guessed = _libmagic(head)
    if guessed and guessed not in ("application/octet-stream", "text/plain", "application/x-empty", "inode/x-empty"):
        return FileType(guessed, kind_of(guessed), "libmagic")
    if deep := text_type(head):
        return FileType(deep, kind_of(deep), "signature")
    if guessed == "text/plain" or _is_text(head):
        return FileType("text/plain", "text", "text")
    return FileType("application/octet-stream", "other", "none")


_magic: Any = None
_MIME_TYPE, _NO_TABLES = 0x10, 0x80010
"""Flags of magic.h: tell the media type; the same without its test for CSV, which is wrong on a piece of a text."""


def warm_up() -> None:
    """Load libmagic and its database while files may still be opened."""
    global _magic
    if _magic is None:
        import magic

        _magic = magic.Magic(mime=True)
        _libmagic(b"%!PS-Adobe-3.0\n")
        _libmagic(b"prose")


def _libmagic(head: bytes) -> str | None:
    warm_up()
    from magic import magic_setflags

    short = prose.is_prose(head)
    magic_setflags(_magic.cookie, _NO_TABLES if short else _MIME_TYPE)
    found = _magic.from_buffer(head[: prose.BEGINNING] if short else head)
    return found if isinstance(found, str) and "/" in found else None

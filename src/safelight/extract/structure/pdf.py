"""PDF: whether it is whole, whether its page tree ends, what it would run or fetch, bombs; told by a bounded scan of the bytes.

Facts: ISO 32000-1:2008 (7.5 file structure, 7.7.3 page tree, 12.6 actions, Annex F linearisation). Nothing is drawn. Streams are
stepped over, but for object streams and for streams that are packed twice and more (ISO 32000 knows no need for that): those
are unpacked up to `UNPACKED` bytes. Of a file over `WHOLE` bytes the head and the tail are looked at and the page tree is not.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from safelight.extract.structure import pdf_text
from safelight.extract.structure.pdf_text import Text
from safelight.extract.structure.reading import Found, Reader

WHOLE = 6 << 20
"""A file up to this size is read as a whole, of a larger one half of it from each end."""

MAX_NODES = 20_000
"""Nodes of the page tree that are visited."""

MAX_SECTIONS = 512
"""Cross-reference sections that are followed; each save by increment adds one."""

MAX_SIDE = 200_000
"""Points: Acrobat's own limit is 14,400 (ISO 32000-1 Annex C.2), plans go beyond it, nothing goes beyond 70 m."""

UNPACKED = 16 << 20
"""Bytes that one stream, or all object streams together, may unpack to."""

_ACTIVE = (
    (re.compile(rb"/S\s{0,20}/JavaScript(?!\w)|/JS\s{0,20}(?:[(<]|\d{1,10}\s+\d{1,5}\s+R)"), "JavaScript"),
    (re.compile(rb"/S\s{0,20}/Launch(?!\w)"), "an action that starts a program or opens a file (Launch)"),
    (re.compile(rb"/Subtype\s{0,20}/RichMedia(?!\w)"), "a rich media program"),
)
_OUTSIDE = (
    (re.compile(rb"/S\s{0,20}/SubmitForm(?!\w)"), "a form that is sent elsewhere"),
    (re.compile(rb"/S\s{0,20}/ImportData(?!\w)"), "data to import from another file"),
    (re.compile(rb"/S\s{0,20}/GoToR(?!\w)"), "a place in another file (GoToR)"),
    (re.compile(rb"/FS\s{0,20}/URL(?!\w)"), "a file at an address"),
)
_MEDIA_BOX = re.compile(rb"/MediaBox\s{0,20}\[\s{0,20}" + rb"\s+".join([rb"([+-]?[\d.]{1,20})"] * 4))
_REF = re.compile(rb"(\d{1,10})\s+\d{1,5}\s+R(?!\w)")
_KIDS = re.compile(rb"/Kids\s{0,20}(?:\[([^\]]*+)\]|(\d{1,10})\s+\d{1,5}\s+R)")
_START = re.compile(rb"startxref\s{1,20}(\d{1,15})")
_TABLE = re.compile(rb"xref\s|\d{1,10}\s{1,5}\d{1,5}\s{1,5}obj")
_LINEAR = re.compile(rb"/Linearized\s{0,5}[\d.]{1,8}.{0,400}?/L\s{1,5}(\d{1,15})", re.S)


class _Ends(NamedTuple):
    """Where the file says that its tables are, and whether it is cut."""

    start: int | None
    cut: bool


def check(reader: Reader, found: list[Found]) -> None:
    """Look at what the file holds, at its page tree, at its end, then at the chain of its tables."""
    size = reader.size
    whole = size <= WHOLE
    windows = [reader.piece(0, size)] if whole else [reader.piece(0, WHOLE // 2), reader.piece(size - WHOLE // 2, WHOLE // 2)]
    text = pdf_text.split(windows)
    if text.encrypted:
        found.append(("encrypted", "the document is encrypted (it may open without a password)"))
    elif not pdf_text.unpack_objects(text, UNPACKED):
        found.append(("limit.bytes", f"object streams unpack to more than {UNPACKED} bytes"))
    _content(text, found)
    ends = _ends(windows[0], windows[-1], size, text, found)
    if whole and not ends.cut:
        _pages(text, found)
    if ends.start is not None:
        _tables(reader, found, ends.start)


def _content(text: Text, found: list[Found]) -> None:
    """Look for programs, references, impossible pages and bombs."""
    parts = (text.plain, *text.unpacked)
    for kind, patterns, words in (("active-content", _ACTIVE, "holds"), ("external-reference", _OUTSIDE, "names")):
        named = [what for pattern, what in patterns if any(pattern.search(part) for part in parts)]
        if named:
            found.append((kind, f"the document {words} {', '.join(named)}"))
    for part in parts:
        for box in _MEDIA_BOX.finditer(part):
            sides = [_number(box[3]) - _number(box[1]), _number(box[4]) - _number(box[2])]
            if max(map(abs, sides)) > MAX_SIDE:
                found.append(("limit.pixels", f"a page of {sides[0]:.0f} x {sides[1]:.0f} points"))
                break
    layers = pdf_text.packed_again(text, UNPACKED)
    if layers:
        found.append(("limit.bytes", f"a stream that is packed {layers} times unpacks to more than {UNPACKED} bytes"))


def _number(text: bytes) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _ends(head: bytes, tail: bytes, size: int, text: Text, found: list[Found]) -> _Ends:
    """Look at the end of the file: `startxref` and `%%EOF`, and the length that a linearised file states of itself."""
    linear = _LINEAR.search(head[:2048])
    if linear and int(linear[1]) > size and b"%%EOF" not in tail[-1024:]:  # programs that change the file leave the old length
        found.append(("truncated", f"the document was made for {int(linear[1])} bytes, the file has {size}"))
        return _Ends(None, True)
    places = list(_START.finditer(tail[-(1 << 20) :]))
    if not places:
        cut = not text.trailers and b"%%EOF" not in tail[-2048:]
        words = "the document ends without table or trailer" if cut else "there is no startxref: the table of objects is not named"
        found.append(("truncated" if cut else "corrupt", words))
        return _Ends(None, cut)
    end = tail.rfind(b"%%EOF")
    behind = tail[end + 5 :].strip(b"\0 \t\r\n\x1a") if end >= 0 else b""
    if end < 0 or re.search(rb"\d\s+\d{1,5}\s+obj\b", behind[:4096]):
        found.append(("truncated", "the document goes on behind its last %%EOF and has no end" if end >= 0 else "there is no %%EOF"))
        return _Ends(None, True)
    if len(behind) >= 16:
        found.append(("trailing-data", f"{len(behind)} bytes behind the end of the document"))
    return _Ends(int(places[-1][1]), False)


def _pages(text: Text, found: list[Found]) -> None:
    """Walk the page tree from the catalogue; each node is visited once."""
    if not text.roots:
        found.append(("corrupt", "no trailer names the catalogue of the document"))
        return
    objects = pdf_text.objects(text)
    catalogues = [objects[root] for root in reversed(text.roots) if root in objects]
    if not catalogues:
        if not text.encrypted and text.complete:
            found.append(("corrupt", f"the catalogue (object {text.roots[-1]}) is not there"))
        return
    pages = re.compile(rb"/Pages\s{1,20}(\d{1,10})\s+\d{1,5}\s+R")
    first = next(filter(None, map(pages.search, catalogues)), None)
    if first is None:
        found.append(("corrupt", "the catalogue names no pages"))
        return
    waiting, visited = [int(first[1])], set[int]()
    while waiting and len(visited) < MAX_NODES:
        number = waiting.pop()
        node = objects.get(number, b"")
        kids = _KIDS.match(node, max(node.find(b"/Kids"), 0))
        if number in visited:
            if kids:
                found.append(("corrupt", f"the page tree comes back to object {number}: it is a loop"))
                return
            continue
        visited.add(number)
        if kids:
            array = kids[1] if kids[1] is not None else objects.get(int(kids[2]), b"")
            waiting += [int(r) for r in _REF.findall(array)][:MAX_NODES]
            del waiting[MAX_NODES * 4 :]


def _tables(reader: Reader, found: list[Found], at: int) -> None:
    """Follow the chain of cross-reference sections by /Prev."""
    visited: set[int] = set()
    for _ in range(MAX_SECTIONS):
        if at in visited:
            found.append(("corrupt", f"the tables of objects form a loop at {at}"))
            return
        visited.add(at)
        # startxref of some writers is off by a few bytes, and every reader takes that
        near = max(0, at - 16)
        table = _TABLE.search(reader.at(near, 64))
        dictionary = b""
        if table is not None and table[0].startswith(b"xref"):
            dictionary = _trailer_at(reader, near + table.start())
        elif table is not None:
            dictionary = reader.at(near + table.start(), 2048).partition(b"stream")[0]
            table = table if b"/XRef" in dictionary else None
        if table is None:
            if len(visited) == 1 and at:
                found.append(("corrupt", f"startxref names {at}, there is no table"))
            return
        before = re.search(rb"/Prev\s{1,20}(\d{1,15})", dictionary)
        if before is None:
            return
        at = int(before[1])


def _trailer_at(reader: Reader, at: int) -> bytes:
    """Step over the subsections of a classic table (20 bytes an entry) and return the trailer behind it."""
    at += 4
    for _ in range(MAX_NODES):
        line = reader.at(at, 64)
        section = re.match(rb"\s*\d{1,10} {1,3}(\d{1,10})\s*", line)
        if section is None:
            start = line.find(b"trailer")
            return reader.at(at + start, 2048).partition(b"startxref")[0] if start >= 0 else b""
        at += section.end() + 20 * int(section[1])
    return b""

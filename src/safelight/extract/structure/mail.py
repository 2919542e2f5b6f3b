"""Mail: how deep the parts of a message are nested, told from header blocks and boundary lines without decoding a part.

Facts: RFC 5322 (header blocks, folding), RFC 2046 section 5.1 (boundaries: at most 70 characters; an outer one ends the inner).
The first 8 MiB are looked at, in pieces.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from safelight.extract.structure.reading import BUDGET, Found, Reader

MAX_DEPTH = 50
"""Chains of forwarded mail reach some dozen levels; parsers of mail that recurse fail at some hundred."""

PIECE = 1 << 20

_EVENT = re.compile(
    rb"^(?:(?P<blank>(?:\r?\n)++)"
    rb"|--(?P<boundary>[^\r\n]{1,200})"
    rb"|(?P<type>content-type:[^\r\n]{0,500}(?:\r?\n[ \t][^\r\n]{0,500}){0,10})"
    rb"|(?P<sender>(?-i:From ))[^\r\n])",
    re.M | re.I,
)
_BOUNDARY = re.compile(rb"""boundary\s*=\s*(?:"([^"\r\n]{1,200})"|([^\s;"]{1,200}))""", re.I)
_MULTIPART = re.compile(rb"content-type:\s*multipart/", re.I)
_MESSAGE = re.compile(rb"content-type:\s*message/(?:rfc822|global)", re.I)
_NESTED = re.compile(rb"""content-type:[ \t]*multipart/[\w.+-]{1,40}[^\r\n]{0,200}(?:\r?\n[ \t][^\r\n]{0,200}){0,5}""", re.I)


def check(reader: Reader, found: list[Found]) -> None:
    """Say where the parts of one message are nested too deep."""
    _nesting(reader, found, many=False)


def check_mbox(reader: Reader, found: list[Found]) -> None:
    """The same for a file of messages: each begins with a line `From `."""
    _nesting(reader, found, many=True)


class _Nesting:
    """The boundaries that are open (None: a message in a part), and whether the scan is inside a header block."""

    def __init__(self) -> None:
        self.open: list[bytes | None] = []
        self.places: dict[bytes, int] = {}
        self.in_header, self.holds_message = True, False

    def blank(self) -> None:
        """An empty line ends a header block; behind that of message/rfc822 another one begins."""
        self.in_header, self.holds_message = self.holds_message, False

    def typed(self, header: bytes) -> None:
        """Take a Content-Type that stands in a header block."""
        if _MULTIPART.match(header):
            named = _BOUNDARY.search(header)
            if named:
                name = (named[1] or named[2]).rstrip()
                self.places.setdefault(name, len(self.open))
                self.open.append(name)
        elif _MESSAGE.match(header):
            self.holds_message = True
            self.open.append(None)

    def boundary(self, line: bytes) -> None:
        """Take a line that begins with two hyphens: a boundary that is open begins a part or ends its multipart."""
        line = line.rstrip()
        place = self.places.get(line)
        keep = 1
        if place is None and line.endswith(b"--"):
            place, keep = self.places.get(line[:-2]), 0
        if place is None:
            return
        while len(self.open) > place + keep:
            name = self.open.pop()
            if name is not None and self.places.get(name) == len(self.open):
                del self.places[name]
        self.in_header, self.holds_message = bool(keep), False


def _nesting(reader: Reader, found: list[Found], many: bool) -> None:
    state = _Nesting()
    for event in _events(reader):
        if event["blank"] is not None:
            state.blank()
        elif event["boundary"] is not None:
            state.boundary(event["boundary"])
        elif event["type"] is not None and state.in_header:
            state.typed(event["type"])
            if len(state.open) > MAX_DEPTH:
                found.append(("limit.depth", f"parts are nested deeper than {MAX_DEPTH} levels"))
                return
        elif event["sender"] is not None and many and not state.in_header:
            state = _Nesting()


def _events(reader: Reader) -> Iterator[re.Match[bytes]]:
    """Yield empty lines, boundary lines and Content-Type headers; lines over 1 MiB are looked at in parts."""
    offset, rest = 0, b""
    while offset < min(reader.size, BUDGET):
        piece = reader.piece(offset, min(PIECE, BUDGET - offset))
        if not piece:
            return
        offset += len(piece)
        text = rest + piece
        last = offset >= min(reader.size, BUDGET)
        # a header that goes on must not be cut: the piece ends before the last line that is not a continuation
        end = len(text) if last else _line_end(text)
        yield from _EVENT.finditer(text, 0, end)
        rest = text[end:]


def _line_end(text: bytes) -> int:
    """Return the start of the last line that begins a header or a line of text, at most 16 kB before the end."""
    at = len(text)
    for _ in range(64):
        at = text.rfind(b"\n", max(0, len(text) - 16384), at)
        if at < 0:
            return len(text)
        if text[at + 1 : at + 2] not in (b"", b" ", b"\t", b"\r", b"\n"):
            return at + 1
    return len(text)


def media_type(head: bytes) -> str | None:
    """Recognise a message that begins at once with nested multiparts: a Content-Type with its boundary, then that boundary."""
    header = _NESTED.match(head)
    named = _BOUNDARY.search(header[0]) if header else None
    if header is None or named is None:
        return None
    boundary = re.escape(named[1] or named[2])
    return (
        "message/rfc822"
        if re.search(rb"\r?\n\r?\n(?:[^\r\n]{0,1000}\r?\n){0,50}--" + boundary + rb"\s", head[header.end() : 8192])
        else None
    )

"""Lines and rows of text files of any encoding, in bounded memory.

The encoding is decided as FORMATS.md T3 says: byte-order mark, then NUL in every second byte, then strict UTF-8 over the whole
file, then cp1252. An unclosed quote or an endless line must not swallow the rest of a file, so quoted fields may span few lines only.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

CHUNK = 1 << 18
LONGEST_LINE = 1 << 20
MOST_JOINED = 16

BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


class Line(NamedTuple):
    """One line without its end. `ended` is False only for a last line without a newline; `cut` when it was longer than allowed."""

    number: int
    text: str
    ended: bool = True
    cut: bool = False


def encoding_of(stream: BinaryIO) -> tuple[str, int]:
    """Return (encoding, length of the byte-order mark). Reads the stream once from the start; leaves it at an undefined place."""
    stream.seek(0)
    head = stream.read(4096)
    for bom, name in BOMS:
        if head.startswith(bom):
            return name, len(bom)
    half = len(head) // 2
    if half >= 4:
        even, odd = head[0 : 2 * half : 2].count(0), head[1 : 2 * half : 2].count(0)
        if odd * 10 >= half * 8 and even * 10 < half:
            return "utf-16-le", 0
        if even * 10 >= half * 8 and odd * 10 < half:
            return "utf-16-be", 0
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        block = head
        while block:
            decoder.decode(block)
            block = stream.read(CHUNK)
    except UnicodeDecodeError:
        return "cp1252", 0
    return "utf-8", 0


def decoder_of(encoding: str) -> codecs.IncrementalDecoder:
    """Return a decoder that never raises: what cannot be decoded becomes U+FFFD, which no hash may hold."""
    return codecs.getincrementaldecoder("utf-8" if encoding == "utf-8-sig" else encoding)("replace")


def lines(stream: BinaryIO, encoding: str, skip: int, number: int = 0) -> Iterator[Line]:
    """Yield the lines of a text from byte `skip` on; ends are CR LF, LF or CR. `number`: of lines before them."""
    stream.seek(skip)
    newlines = io.IncrementalNewlineDecoder(decoder_of(encoding), translate=True)
    rest, cut, final = "", False, False
    while not final:
        block = stream.read(CHUNK)
        final = not block
        parts = (rest + newlines.decode(block, final=final)).split("\n")
        rest = parts.pop()
        for part in parts:
            number += 1
            yield Line(number, part[:LONGEST_LINE], True, cut or len(part) > LONGEST_LINE)
            cut = False
        if len(rest) > LONGEST_LINE:
            rest, cut = rest[:LONGEST_LINE], True
    if rest.strip("\x00\x1a"):
        yield Line(number + 1, rest, False, cut)


class Row(NamedTuple):
    """One row of a table. `line` is where it starts; `ended` as in `Line`; `open_quote` when a quote was never closed."""

    line: int
    fields: list[str]
    ended: bool
    open_quote: bool


def _split(text: str, delimiter: str) -> list[str]:
    if '"' not in text:
        return text.split(delimiter)
    try:
        return next(csv.reader([text], delimiter=delimiter, strict=False), [])
    except csv.Error:  # a field beyond the limit of the csv module: split plainly, the values are judged anyway
        return text.split(delimiter)


def rows(source: Iterator[Line], delimiter: str) -> Iterator[Row]:
    """Yield the rows of a delimited table; blank lines are not rows. A quoted field may span `MOST_JOINED` lines; where the quote
    is still open then, its first line is a row of its own and reading goes on with the next line."""
    waiting: list[Line] = []
    while True:
        line = waiting.pop(0) if waiting else next(source, None)
        if line is None:
            return
        if not line.text.strip(" \t\x00\x1a"):
            continue
        text, ended, open_quote = line.text, line.ended, line.text.count('"') % 2 == 1
        if open_quote:
            taken: list[Line] = []
            while open_quote and len(taken) < MOST_JOINED and len(text) < LONGEST_LINE:
                more = waiting.pop(0) if waiting else next(source, None)
                if more is None:
                    break
                taken.append(more)
                text, ended = f"{text}\n{more.text}", more.ended
                open_quote = text.count('"') % 2 == 1
            if open_quote:
                text, ended, waiting = line.text, line.ended, taken + waiting
        yield Row(line.number, text.split(delimiter) if open_quote else _split(text, delimiter), ended, open_quote)


def head_text(head: bytes) -> str:
    """Decode the first bytes of a file for detection, lines ended by LF as `lines` ends them; whatever they are, this gives text."""
    encoding, skip = encoding_of(io.BytesIO(head))
    return decoder_of(encoding).decode(head[skip:]).replace("\r\n", "\n").replace("\r", "\n")

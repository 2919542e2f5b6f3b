"""Lines of text by columns: plain lines become blocks, all others go to the reader that judges one line at a time.

The kernel `native/_hexcolumns.c` says which lines are plain. What it does not understand as a whole (an open quote, a line without end)
ends this way; the caller reads on from there, line by line. The result is the same, record for record; the kit holds it to that.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from safelight.match.entries import WIDTHS, Block, Event
from safelight.match.formats.text import LONGEST_LINE, Line, decoder_of
from safelight.match.values import EMPTY, TRIVIAL, clean

CHUNK = 4 << 20
PLAIN, ODD, BLANK = 0, 1, 2
CATEGORY = 255
ASCII_LIKE = ("utf-8", "utf-8-sig", "cp1252")
"""Encodings of `encoding_of` in which the bytes of ASCII stand for nothing else."""
HEADS = b"".join(sorted({d[:8] for d in EMPTY | TRIVIAL}))
"""First bytes of the digests that the readers must judge."""
MOST_RUNS = 400
"""Runs of plain lines in one chunk, beyond which all its lines are judged one by one: a block has its price."""


class Judge(Protocol):
    """Judges one line. `position`: the records so far; it counts its own. None where a line is no record."""

    position: int

    def line(self, line: Line) -> Event | None: ...


class Form(NamedTuple):
    """What the columns hold. `delimiter`: its byte, -1 where a line is one value. `spec`: a byte a column, its digest width, 0, or 255."""

    delimiter: int
    spec: bytes
    methods: list[str]

    @property
    def has_category(self) -> bool:
        return CATEGORY in self.spec


def form_of(delimiter: str, fields: list[str | None]) -> Form | None:
    """Return the form of a table whose columns are digests, perhaps a category, and what is passed over; None for any other."""
    kinds = [f for f in fields if f is not None]
    methods = [f for f in kinds if f in WIDTHS]
    if len(delimiter) != 1 or not delimiter.isascii() or len(fields) > 256 or len(set(kinds)) < len(kinds) or not methods:
        return None
    if any(k not in WIDTHS and k != "category" for k in kinds):
        return None
    return Form(ord(delimiter), bytes(CATEGORY if f == "category" else WIDTHS.get(f or "", 0) for f in fields), methods)


class Lines:
    """Reads the lines of a stream as blocks and events. Where it stops: `offset` byte, `number` of lines before it."""

    def __init__(self, stream: BinaryIO, encoding: str, offset: int, number: int, form: Form, judge: Judge) -> None:
        self.stream, self.form, self.judge = stream, form, judge
        self.offset, self.number = offset, number
        self.decoder = decoder_of(encoding)

    def events(self) -> Iterator[Event]:
        """Yield what is in the lines."""
        from safelight.native import _hexcolumns

        self.stream.seek(self.offset)
        rest = b""
        while block := self.stream.read(CHUNK):
            text = rest + block
            flags, ends, digests, categories, used, stopped = _hexcolumns.lines(text, self.form.delimiter, self.form.spec, HEADS)
            yield from self._chunk(text, np.frombuffer(flags, np.uint8), np.frombuffer(ends, "<u4"), digests, categories)
            self.offset += used
            rest = text[used:]
            if stopped or len(rest) > 2 * LONGEST_LINE + CHUNK:
                return

    def _chunk(self, text: bytes, flags: NDArray[np.uint8], ends: NDArray[np.uint32], digests: bytes, categories: bytes) -> Iterator[Event]:
        odd = np.flatnonzero(flags == ODD)
        if len(odd) > MOST_RUNS:
            odd = np.flatnonzero(flags != BLANK)
            flags = np.where(flags == BLANK, BLANK, ODD).astype(np.uint8)
        plain = np.flatnonzero(flags == PLAIN)
        edges = np.searchsorted(plain, odd)
        width = sum(WIDTHS[m] for m in self.form.methods)
        done = 0
        for line, until in [*zip(odd.tolist(), edges.tolist(), strict=True), (-1, len(plain))]:
            if until > done:
                yield self._block(plain[done:until], digests[done * width : until * width], categories[done * 8 : until * 8])
                done = until
            if line >= 0:
                raw = text[ends[2 * line] : ends[2 * line + 1]]
                self.decoder.reset()
                said = self.decoder.decode(raw, final=True)
                event = self.judge.line(Line(self.number + line + 1, said[:LONGEST_LINE], True, len(said) > LONGEST_LINE))
                if event is not None:
                    yield event
        self.number += len(flags)

    def _block(self, lines: NDArray[np.int64], digests: bytes, categories: bytes) -> Block:
        """Return the block of some plain lines (their numbers within the chunk) and count them."""
        first = self.judge.position + 1
        self.judge.position += len(lines)
        block = Block(
            positions=np.arange(first, first + len(lines), dtype="<i8").tobytes(),
            lines=(lines + (self.number + 1)).astype("<i8").tobytes(),
            methods=self.form.methods,
            digests=digests,
        )
        if self.form.has_category:
            _categories(block, np.frombuffer(categories, "<u8"))
        return block


def _categories(block: Block, codes: NDArray[np.uint64]) -> None:
    """Number the categories of a block: the kernel gives the text of each as 8 bytes."""
    different, number = np.unique(codes, return_inverse=True)
    texts = [clean(int(code).to_bytes(8, "little").rstrip(b"\0").decode("ascii")) or None for code in different]
    if len(texts) > 60_000:  # the writer refuses so many; let it say so record by record
        texts, number = texts[:60_001], np.minimum(number, 60_000)
    block.categories, block.category_of = texts, number.astype("<u2").tobytes()

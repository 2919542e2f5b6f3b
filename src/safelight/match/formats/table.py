"""Records of delimited tables: map the header to fields, judge each row. Shared by CSV, ICSE, NSRL 2, HashKeeper and PDQ tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from safelight.match.entries import Event, Fact, NeedsColumns, Options, Record, Skip
from safelight.match.formats.columnar import ASCII_LIKE, Lines, form_of
from safelight.match.formats.text import Line, Row, decoder_of, encoding_of, lines, rows
from safelight.match.schemes import header_words
from safelight.match.values import BY_LENGTH, DIRT, Judged, algorithm, clean, flag, judged_record, short_text

DELIMITERS = (";", "\t", ",", "|")
HASH_FIELDS = ("md5", "sha1", "sha256", "sha512", "pdq", "photodna", "value")
KEPT = ("name", "size", "comments", "special_code")


def header_key(cell: str) -> str:
    """Normalise a header cell for comparison."""
    return " ".join(cell.strip(DIRT).lower().split())


def delimiter_of(header: str) -> str:
    """Return the delimiter of a header line: the one that occurs most often outside quotes; `;` before others on a tie."""
    bare = "".join(header.split('"')[::2])
    return max(DELIMITERS, key=lambda d: (bare.count(d), -DELIMITERS.index(d)))


def fields_of(header: list[str], columns: dict[str, str]) -> list[str | None]:
    """Return the field of each column; None for a column that is not known. The user's `columns` go before the words we know."""
    chosen = {header_key(word): field for word, field in columns.items()}
    words = header_words()
    return [chosen.get(f"#{n}", chosen.get(key, words.get(key))) for n, key in enumerate(map(header_key, header), 1)]


class Reader:
    """Turns rows into records by a list of fields. `width`: columns a whole row has; fewer on an unfinished last line is a cut."""

    def __init__(self, fields: list[str | None], options: Options, delimiter: str, as_pdq: bool = False) -> None:
        self.fields, self.delimiter = fields, delimiter
        self.width = len(fields)
        self.untyped = "pdq" if as_pdq else options.declared_type
        self.position = 0

    def line(self, line: Line) -> Event | None:
        """Judge one line that is a row of its own."""
        row = next(rows(iter((line,)), self.delimiter), None)
        return None if row is None else self.record(row)

    def record(self, row: Row) -> Record | Skip:
        """Judge one row."""
        self.position += 1
        judged = Judged()
        record = Record(position=self.position, line=row.line)
        declared, typed = self.untyped, False
        if "type" in self.fields:
            at = self.fields.index("type")
            word = clean(row.fields[at]) if at < len(row.fields) else ""
            declared, typed = (algorithm(word) if word else self.untyped), bool(word)
        for field, cell in zip(self.fields, row.fields, strict=False):
            if field is None or field == "type":
                continue
            if field == "value":
                if typed and declared is None:
                    continue  # the source names a type that is no file hash
                judged.add(declared, cell)
            elif field in HASH_FIELDS:
                judged.add(field, cell)
            else:
                self.other(record, field, cell)
        result = judged_record(judged, record)
        if not row.ended and self.is_cut(row, result):
            return Skip(position=self.position, line=row.line, reason="truncated")
        return result

    def is_cut(self, row: Row, result: Record | Skip) -> bool:
        """Say whether a last line without a newline looks cut: an open quote, columns missing, or a hash that is too short."""
        bad = "bad_hash" in result.rejected if isinstance(result, Record) else result.reason == "bad_hash"
        return row.open_quote or len(row.fields) < self.width or bad

    @staticmethod
    def other(record: Record, field: str, cell: str) -> None:
        """Take over a cell that is no hash."""
        text = clean(cell)
        if field == "category":
            record.category, record.category_stated = (text[:200] or None), True
        elif field.startswith("flag:"):
            record.flags[field[5:]] = flag(cell)
        elif not text:
            return
        elif field == "quality":
            record.quality = int(text) if text.isascii() and text.isdigit() and len(text) < 5 else None
        elif field == "media_id":
            record.media_id = text[:200]
        elif field == "series":
            record.series = short_text(text)
        elif field in KEPT:
            record.extra[field] = short_text(text)


def open_table(stream: BinaryIO, options: Options) -> tuple[str, str, list[str] | None, Iterator[Row]]:
    """Return (encoding, delimiter, header or None where the file is empty, rows below it). Honours a first line `sep=;`."""
    encoding, skip = encoding_of(stream)
    if options.encoding:
        encoding = options.encoding
    source = lines(stream, encoding, skip)
    first = next(source, None)
    while first is not None and not first.text.strip():
        first = next(source, None)
    if first is None:
        return encoding, options.delimiter or ",", None, iter(())
    delimiter = options.delimiter
    text = first.text.strip(DIRT)
    if text.lower().startswith("sep=") and len(text) <= 5:
        delimiter = delimiter or (first.text.lstrip("\ufeff").rstrip("\r\n")[4:5] or "\t")
        first = next(source, None)
        if first is None:
            return encoding, delimiter, None, iter(())
    delimiter = delimiter or delimiter_of(first.text)
    head = iter((first,))
    everything = rows((line for part in (head, source) for line in part), delimiter)
    if any(word.startswith("#") for word in options.columns):  # columns by number: there is no header
        return encoding, delimiter, [""] * max(int(w[1:]) for w in options.columns if w.startswith("#")), everything
    top = next(everything, None)
    return encoding, delimiter, top.fields if top else None, everything


def table(stream: BinaryIO, options: Options, as_pdq: bool = False) -> Iterator[Event]:
    """Yield the events of a delimited table with a header."""
    encoding, delimiter, header, body = open_table(stream, options)
    yield Fact("encoding", encoding)
    yield Fact("delimiter", delimiter)
    if header is None:
        return
    fields = fields_of(header, options.columns)
    if not any(field in HASH_FIELDS for field in fields):
        raise NeedsColumns(header)
    reader = Reader(fields, options, delimiter, as_pdq)
    for row in body:
        yield reader.record(row)


def table_blocks(stream: BinaryIO, options: Options) -> Iterator[Event]:
    """Yield the events of `table`, plain rows as blocks where the columns are digests, a category and what is passed over."""
    encoding, delimiter, header, _ = open_table(stream, options)
    fields = fields_of(header, options.columns) if header is not None else []
    place = below_header(stream, encoding, options) if encoding in ASCII_LIKE else None
    form = form_of(delimiter, typed(fields, stream, place[0], delimiter, options)) if place else None
    if form is None or place is None:
        yield from table(stream, options)
        return
    yield Fact("encoding", encoding)
    yield Fact("delimiter", delimiter)
    reader = Reader(fields, options, delimiter)
    fast = Lines(stream, encoding, *place, form, reader)
    yield from fast.events()
    for row in rows(lines(stream, encoding, fast.offset, fast.number), delimiter):
        yield reader.record(row)


def typed(fields: list[str | None], stream: BinaryIO, offset: int, delimiter: str, options: Options) -> list[str | None]:
    """Return the fields with the untyped value as what it is declared to be, or what its length in the first row says."""
    if "value" not in fields:
        return fields
    method = options.declared_type
    if method is None:
        stream.seek(offset)
        cells = stream.read(4096).decode("ascii", "replace").replace("\r", "\n").lstrip("\n").split("\n")[0].split(delimiter)
        at = fields.index("value")
        method = BY_LENGTH.get(len(clean(cells[at]))) if at < len(cells) else None
    return [method if f == "value" and method else f for f in fields]


def below_header(stream: BinaryIO, encoding: str, options: Options) -> tuple[int, int] | None:
    """Return (offset, lines before it) of the first row of a table whose header is one plain line near the start; else None."""
    _, skip = encoding_of(stream)
    stream.seek(skip)
    head = stream.read(65536)
    number = at = 0
    for wanted in ("sep", "header"):
        while True:
            end = min((e for e in (head.find(b"\n", at), head.find(b"\r", at)) if e >= 0), default=-1)
            if end < 0 or end + 1 >= len(head):
                return None
            text = decoder_of(encoding).decode(head[at:end], final=True)
            if any(ord(c) < 32 and c != "\t" for c in text):
                return None
            start, number = at, number + 1
            at = end + 2 if head[end : end + 2] == b"\r\n" else end + 1
            if text.strip():
                break
        if wanted == "sep" and not (text.strip(DIRT).lower().startswith("sep=") and len(text.strip(DIRT)) <= 5):
            break
    if any(word.startswith("#") for word in options.columns):  # there is no header: the line is a row
        return skip + start, number - 1
    return (skip + at, number) if text.count('"') % 2 == 0 else None

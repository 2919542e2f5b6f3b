"""Plain lists: GNU and BSD checksum lines, hashdeep, one bare value a line (FORMATS.md 2.6, trap T5)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

from safelight.match.entries import WIDTHS, Event, Fact, Options, Record, Skip
from safelight.match.formats.columnar import ASCII_LIKE, Form, Lines
from safelight.match.formats.text import Line, encoding_of, head_text, lines
from safelight.match.values import BY_LENGTH, DIRT, Judged, algorithm, judged_record, short_text

GNU = re.compile(r"\\?([0-9A-Fa-f]{32}|[0-9A-Fa-f]{40}|[0-9A-Fa-f]{64}|[0-9A-Fa-f]{128}) [ *]\S", re.ASCII)
BSD = re.compile(r"([A-Za-z0-9-]{3,12}) \((.*)\) = (\S*)")
BARE = re.compile(r"[0-9A-Fa-f]{32,128}\Z", re.ASCII)


def first_lines(head: bytes, most: int = 20) -> list[str]:
    """Return the first lines that are neither blank nor comments; the last line of a cut head is left out."""
    text = head_text(head)
    parts = text.split("\n")
    whole = parts[:-1] if len(head) >= 65536 else parts
    found = [p.strip("\ufeff\r\x00 \t") for p in whole[: most * 4]]
    return [p for p in found if p and not p.startswith(("#", "//"))][:most]


def text_lines(stream: BinaryIO, options: Options) -> tuple[str, Iterator[Line]]:
    """Return (encoding, lines that are not blank)."""
    encoding, skip = encoding_of(stream)
    source = lines(stream, options.encoding or encoding, skip)
    return encoding, (line for line in source if line.text.strip(DIRT))


def judge_line(
    position: int, line: Line, values: list[tuple[str | None, str]], name: str = "", fields_missing: bool = False
) -> Record | Skip:
    """Judge the values of one line; an unfinished last line with a bad hash or missing fields is cut."""
    judged = Judged()
    for declared, value in values:
        judged.add(declared, value)
    record = Record(position=position, line=line.number)
    if name:
        record.extra["name"] = short_text(name)
    result = judged_record(judged, record)
    bad = "bad_hash" in judged.rejected
    if not line.ended and (bad or fields_missing):
        return Skip(position=position, line=line.number, reason="truncated")
    return result


class GnuSum:
    """`HASH  name` and `HASH *name`; a leading backslash says that the name is escaped. 64 digits are SHA-256 only where the
    user or the file name says so (T5)."""

    name = "gnu-sum"
    needs_path = False

    def detect(self, head: bytes, name: str) -> bool:
        found = first_lines(head)
        return bool(found) and sum(GNU.match(f) is not None for f in found) * 2 > len(found)

    def records(self, stream: BinaryIO, options: Options) -> Iterator[Event]:
        encoding, source = text_lines(stream, options)
        yield Fact("encoding", encoding)
        declared = options.declared_type or ("sha256" if "sha256" in options.name.lower() else None)
        algorithms: dict[str, int] = {}
        position = 0
        for line in source:
            if line.text.startswith("#"):
                continue
            position += 1
            escaped = line.text.startswith("\\")
            value, _, name = line.text[escaped:].partition(" ")
            if escaped:
                name = re.sub(r"\\(.)", lambda m: {"n": "\n", "r": "\r"}.get(m[1], m[1]), name)
            event = judge_line(position, line, [(declared, value)], name[1:], fields_missing=not name)
            if isinstance(event, Record):
                for found, _ in event.digests:
                    algorithms[found] = algorithms.get(found, 0) + 1
            yield event
        if len(algorithms) == 1:
            yield Fact("algo", next(iter(algorithms)))


class BsdSum:
    """`SHA1 (name) = HASH`: the line names the algorithm."""

    name = "bsd-sum"
    needs_path = False

    def detect(self, head: bytes, name: str) -> bool:
        found = first_lines(head)
        return bool(found) and sum(BSD.match(f) is not None for f in found) * 2 > len(found)

    def records(self, stream: BinaryIO, options: Options) -> Iterator[Event]:
        encoding, source = text_lines(stream, options)
        yield Fact("encoding", encoding)
        algorithms: set[str] = set()
        position = 0
        for line in source:
            position += 1
            found = BSD.match(line.text)
            if found is None:
                yield judge_line(position, line, [(options.declared_type, line.text)])
                continue
            declared = algorithm(found[1])
            if declared is None:
                yield Skip(position=position, line=line.number, reason="no_hash")
                continue
            algorithms.add(declared)
            yield judge_line(position, line, [(declared, found[3])], found[2], fields_missing=not found[3])
        if len(algorithms) == 1:
            yield Fact("algo", algorithms.pop())


class HashDeep:
    """hashdeep: the second header line names the columns, the last column takes all further commas."""

    name = "hashdeep"
    needs_path = False

    def detect(self, head: bytes, name: str) -> bool:
        return head_text(head[:256]).lstrip("\ufeff").startswith("%%%% HASHDEEP")

    def records(self, stream: BinaryIO, options: Options) -> Iterator[Event]:
        encoding, source = text_lines(stream, options)
        yield Fact("encoding", encoding)
        fields: list[str] = []
        position = 0
        for line in source:
            text = line.text.strip("\r")
            if text.startswith("%%%%"):
                if not text.startswith("%%%% HASHDEEP"):
                    fields = text[4:].strip().split(",")
                continue
            if text.startswith("##"):
                continue
            position += 1
            cells = text.split(",", max(len(fields) - 1, 0))
            values = [(algorithm(f), c) for f, c in zip(fields, cells, strict=False) if algorithm(f)]
            name = cells[-1] if fields and len(cells) == len(fields) else ""
            yield judge_line(position, line, values, name, fields_missing=len(cells) < len(fields))


class ListJudge:
    """Judges the lines of a bare list."""

    def __init__(self, declared: str | None) -> None:
        self.declared, self.position = declared, 0

    def line(self, line: Line) -> Event | None:
        if not line.text.strip(DIRT) or line.text.lstrip(DIRT).startswith(("#", "//")):
            return None
        self.position += 1
        return judge_line(self.position, line, [(self.declared, line.text)])


class PlainList:
    """One bare value a line, `#` comments. The length decides the type unless the user declares one; 64 digits are ambiguous."""

    name = "list"
    needs_path = False

    def detect(self, head: bytes, name: str) -> bool:
        found = first_lines(head)
        return bool(found) and sum(BARE.match(f.strip(DIRT)) is not None for f in found) * 2 > len(found)

    def records(self, stream: BinaryIO, options: Options) -> Iterator[Event]:
        encoding, source = text_lines(stream, options)
        yield Fact("encoding", encoding)
        judge = ListJudge(options.declared_type)
        yield from (event for line in source if (event := judge.line(line)) is not None)

    def blocks(self, stream: BinaryIO, options: Options) -> Iterator[Event]:
        """The same, plain lines of the type that most of the first lines have as blocks."""
        encoding, skip = encoding_of(stream)
        yield Fact("encoding", encoding)
        encoding = options.encoding or encoding
        stream.seek(skip)
        lengths = [len(f.strip(DIRT)) for f in first_lines(stream.read(65536))] if encoding in ASCII_LIKE else []
        method = options.declared_type or BY_LENGTH.get(max(set(lengths), key=lengths.count) if lengths else 0)
        judge, number = ListJudge(options.declared_type), 0
        if lengths and method in WIDTHS:
            fast = Lines(stream, encoding, skip, 0, Form(-1, bytes([WIDTHS[method]]), [method]), judge)
            yield from fast.events()
            skip, number = fast.offset, fast.number
        yield from (event for line in lines(stream, encoding, skip, number) if (event := judge.line(line)) is not None)

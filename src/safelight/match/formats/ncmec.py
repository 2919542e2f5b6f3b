"""NCMEC hash-sharing API v2, XML, read as a stream by local names (FORMATS.md 2.8). Entity declarations are refused, not expanded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO
from xml.parsers import expat

from safelight.match.entries import Event, Fact, Incomplete, Options, Record, Refused, Skip, Warn
from safelight.match.formats.text import head_text
from safelight.match.values import Judged, algorithm, clean, judged_record, short_text

CHUNK = 1 << 16
ENTRIES = ("image", "video", "deletedimage", "deletedvideo")
MOST_TEXT = 1 << 16
LARGEST_TOKEN = 16 << 20


class _Entry:
    """One image or video while it is read."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.judged = Judged()
        self.member = self.member_name = self.id = self.classification = self.time = ""

    def event(self, position: int, line: int) -> Record | Skip:
        if self.kind.startswith("deleted"):
            return Skip(position=position, line=line, reason="tombstone")
        record = Record(position=position, line=line, scope=self.kind)
        record.media_id = f"{self.member}/{self.kind}/{self.id}"[:200] if self.id else None
        if self.classification:
            record.category, record.category_stated = self.classification[:200], True
        record.scheme = "ncmec-industry"
        for key, value in (("member", self.member_name), ("timestamp", self.time)):
            if value:
                record.extra[key] = value
        return judged_record(self.judged, record)


class _Walk:
    """Follows the elements by local name; text is collected for leaves only, and bounded."""

    def __init__(self) -> None:
        self.path: list[str] = []
        self.depth = 0
        self.text: list[str] = []
        self.text_size = 0
        self.entry: _Entry | None = None
        self.entry_depth = 0
        self.href = ""
        self.positions = 0
        self.stated = 0
        self.more = False
        self.out: list[Record | Skip] = []
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.StartElementHandler = self.start
        self.parser.EndElementHandler = self.end
        self.parser.CharacterDataHandler = self.characters
        self.parser.EntityDeclHandler = self.entity
        self.parser.buffer_text = True

    def entity(self, *unused: object) -> None:
        raise Refused("the XML declares entities; such a file is not read")

    def start(self, name: str, attributes: dict[str, str]) -> None:
        local = name.rpartition(" ")[2].lower()[:64]
        self.depth += 1
        if self.depth <= 16:
            self.path.append(local)
        self.text, self.text_size = [], 0
        self.href = attributes.get("href", "")
        if self.entry is None and local in ENTRIES:
            self.entry, self.entry_depth = _Entry(local), self.depth
        elif self.entry is None and local in ("images", "videos"):
            count = attributes.get("count", "")
            self.stated += int(count) if count.isascii() and count.isdigit() and len(count) < 12 else 0
        elif self.entry is not None and local == "member":
            self.entry.member = attributes.get("id", "")[:64]

    def characters(self, data: str) -> None:
        if self.text_size < MOST_TEXT:
            self.text.append(data[: MOST_TEXT - self.text_size])
            self.text_size += len(data)

    def end(self, name: str) -> None:
        local = name.rpartition(" ")[2].lower()[:64]
        text = "".join(self.text)
        entry = self.entry
        if entry is None:
            self.more = self.more or (local == "next" and "paging" in self.path and bool(text.strip()))
        elif self.depth == self.entry_depth:
            self.positions += 1
            self.out.append(entry.event(self.positions, self.parser.CurrentLineNumber))
            self.entry = None
        elif self.depth == self.entry_depth + 1:
            self.entry_field(entry, local, clean(text))
        elif self.depth == self.entry_depth + 2 and self.path[-2] == "fingerprints":
            self.fingerprint(entry, local, text)
        self.text, self.text_size, self.href = [], 0, ""
        if self.depth <= 16:
            self.path.pop()
        self.depth -= 1

    @staticmethod
    def entry_field(entry: _Entry, local: str, text: str) -> None:
        if local == "id":
            entry.id = text[:120]
        elif local == "classification":
            entry.classification = text
        elif local == "timestamp":
            entry.time = text[:64]
        elif local == "member":
            entry.member_name = short_text(text)

    def fingerprint(self, entry: _Entry, local: str, text: str) -> None:
        known = algorithm(local)
        if known:
            entry.judged.add(known, text)
        elif clean(text):
            entry.judged.add_opaque(local.replace("-", "_"), clean(text).encode())
        elif self.href:
            entry.judged.add_opaque(local.replace("-", "_") + "_ref", short_text(self.href).encode())


class NcmecEntries:
    """A query result of the hash-sharing API. The key of an entry is (member, kind, id); a deletion removes no other member's."""

    name = "ncmec-hashsharing-v2"
    needs_path = False

    def detect(self, head: bytes, name: str) -> bool:
        text = head_text(head)
        return "<queryResult" in text and ("hashsharing" in text or "<fingerprints" in text or "<images" in text)

    def records(self, stream: BinaryIO, options: Options) -> Iterator[Event]:
        walk, fed, cut = _Walk(), 0, ""
        stream.seek(0)
        try:
            while block := stream.read(CHUNK):
                before = walk.parser.CurrentByteIndex
                walk.parser.Parse(block, False)
                yield from walk.out
                walk.out.clear()
                fed = 0 if walk.parser.CurrentByteIndex > before else fed + len(block)
                if fed > LARGEST_TOKEN:
                    raise Refused("one XML token is larger than 16 MiB")
            walk.parser.Parse(b"", True)
        except expat.ExpatError as error:
            cut = f"not valid XML from here on: {error}"
        yield from walk.out
        if cut:
            if walk.entry is not None:
                yield Skip(position=walk.positions + 1, reason="truncated", line=walk.parser.CurrentLineNumber)
            yield Incomplete(cut)
        yield Fact("more_pages", walk.more)
        if walk.more:
            yield Incomplete("paging/next present: one page of several")
        if not cut and walk.stated and walk.stated != walk.positions:
            yield Warn(f"the file says {walk.stated} entries and holds {walk.positions}")

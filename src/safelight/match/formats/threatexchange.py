"""ThreatExchange and HMA: local signal files and threat-update pages (FORMATS.md 2.7)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from safelight.match.entries import Event, Fact, Incomplete, Options, Record, Skip, Warn
from safelight.match.formats.json_stream import Cut, JsonTokens
from safelight.match.formats.lists import first_lines, judge_line, text_lines
from safelight.match.formats.text import head_text
from safelight.match.values import Judged, judged_record, short_text

SIGNAL = re.compile(r"([A-Za-z_0-9]{2,40})\s+(\S+)")
SIGNALS: dict[str, tuple[str, str | None]] = {
    "pdq": ("pdq", None),
    "hash_pdq": ("pdq", None),
    "video_md5": ("md5", "video"),
    "hash_video_md5": ("md5", "video"),
    "hash_md5": ("md5", None),
    "hash_sha1": ("sha1", None),
    "hash_sha256": ("sha256", None),
    "video_sha256": ("sha256", "video"),
    "hash_video_sha256": ("sha256", "video"),
}
"""Signal names and indicator types that are hashes of files; HASH_PDQ_OCR, HASH_TEXT_TLSH, HASH_URL_MD5, URI … are not."""
NOT_FILES = ("raw_text", "text", "url", "uri", "trend_query", "hash_pdq_ocr", "pdq_ocr", "hash_text_tlsh", "hash_url_md5", "vpdq")
MOST_KEPT = 64


class SignalFile:
    """One `TYPE VALUE` a line."""

    name = "tx-local-file"
    needs_path = False

    def detect(self, head: bytes, name: str) -> bool:
        matches = [SIGNAL.fullmatch(line) for line in first_lines(head)]
        known = [m for m in matches if m and (m[1].lower() in SIGNALS or m[1].lower() in NOT_FILES)]
        return bool(matches) and len(known) * 2 > len(matches)

    def records(self, stream: BinaryIO, options: Options) -> Iterator[Event]:
        encoding, source = text_lines(stream, options)
        yield Fact("encoding", encoding)
        position = 0
        for line in source:
            if line.text.startswith("#"):
                continue
            position += 1
            word, _, value = line.text.strip().partition(" ")
            if not value:  # a bare value: the type is the declared one
                yield judge_line(position, line, [(options.declared_type, word)], fields_missing=word.lower() in SIGNALS)
                continue
            known = SIGNALS.get(word.lower())
            if known is None:
                yield Skip(position=position, line=line.number, reason="no_hash")
                continue
            event = judge_line(position, line, [(known[0], value)])
            if isinstance(event, Record):
                event.scope = known[1]
            yield event


class Item:
    """One element of `data` while it is read: bounded, only the fields that matter."""

    __slots__ = ("descriptors", "fields", "owner", "tags")

    def __init__(self) -> None:
        self.fields: dict[str, Any] = {}
        self.descriptors = False
        self.owner = ""
        self.tags: list[str] = []

    def event(self, position: int) -> Record | Skip:
        if self.fields.get("should_delete") is True or not self.descriptors:
            return Skip(position=position, reason="tombstone")
        known = SIGNALS.get(str(self.fields.get("type")).lower())
        if known is None:
            return Skip(position=position, reason="no_hash")
        judged = Judged()
        judged.add(known[0], self.fields.get("indicator"))
        scope = "video" if "media_type_video" in self.tags else known[1]
        record = Record(position=position, scope=scope)
        identity = self.fields.get("id")
        record.media_id = None if identity is None else str(identity)[:200]
        for key, value in (("owner", self.owner), ("tags", ", ".join(self.tags)), ("last_updated", self.fields.get("last_updated"))):
            if value not in (None, ""):
                record.extra[key] = short_text(value)
        return judged_record(judged, record)


class ThreatUpdates:
    """A page of threat updates. An item that should be deleted, or has no descriptors, is a tombstone."""

    name = "threatexchange-updates"
    needs_path = False

    def detect(self, head: bytes, name: str) -> bool:
        text = head_text(head)
        return text.lstrip("\ufeff \t\r\n").startswith("{") and '"indicator"' in text and '"data"' in text

    def records(self, stream: BinaryIO, options: Options) -> Iterator[Event]:
        tokens, walk = JsonTokens(stream), _UpdateWalk()
        cut = ""
        try:
            for batch in tokens:
                for event, value in batch:
                    walk.token(event, value)
                yield from walk.out
                walk.out.clear()
        except Cut as error:
            cut = str(error)
        if cut:
            if walk.item is not None:
                yield Skip(position=walk.positions + 1, reason="truncated")
            yield Incomplete(cut)
        yield Fact("encoding", tokens.encoding)
        if walk.more:
            yield Incomplete("paging.next present: one page of several")
        if tokens.trailing:
            yield Warn(f"trailing_bytes:{tokens.trailing}")


class _UpdateWalk:
    """Follows root → data → item → descriptors.data → owner / tags.data, no deeper."""

    def __init__(self) -> None:
        self.depth = 0
        self.keys: list[str] = [""]
        self.key = ""
        self.item: Item | None = None
        self.positions = 0
        self.more = False
        self.out: list[Record | Skip] = []

    def token(self, event: str, value: Any) -> None:
        if event == "map_key":
            self.key = value if len(value) < 256 else ""
        elif event in ("start_map", "start_array"):
            self.depth += 1
            if self.depth < 16:
                del self.keys[self.depth :]
                self.keys.append(self.key)
            self.key = ""
            if event == "start_map" and self.depth == 3 and self.keys[2] == "data":
                self.item = Item()
            elif self.item is not None and self.depth == 4 and self.keys[4] == "descriptors":
                self.item.descriptors = True
        elif event in ("end_map", "end_array"):
            self.depth -= 1
            self.key = ""
            if self.depth == 2 and self.item is not None:
                self.positions += 1
                self.out.append(self.item.event(self.positions))
                self.item = None
        else:
            self.scalar(value)

    def scalar(self, value: Any) -> None:
        item = self.item
        if item is None:
            self.more = self.more or (self.depth == 2 and self.keys[2] == "paging" and self.key == "next" and bool(value))
        elif self.depth == 3:
            if len(item.fields) < MOST_KEPT:
                item.fields[self.key] = value if isinstance(value, bool) else short_text(value)
        elif self.depth < 16 and self.keys[4] == "descriptors" and isinstance(value, str):
            if self.key == "name" and self.keys[-1] == "owner":
                item.owner = item.owner or short_text(value)
            elif self.key == "text" and len(item.tags) < MOST_KEPT:
                item.tags.append(value[:200])

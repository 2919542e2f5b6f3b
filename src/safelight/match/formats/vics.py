"""Project VIC / VICS JSON 1.1 to 2.0 and what comes after, read by content and field names (FORMATS.md 2.1, traps T6 to T10).

Only the Media level is read: elements of a root array, of `value`, or of `Media` inside a case. Hash-like keys in nested objects are
not read. Version, region and fragment come from the data-model URI, wherever it stands; the shape is decided by content.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from safelight.match.entries import Event, Fact, Incomplete, Options, Record, Skip, Warn
from safelight.match.formats.json_stream import Cut, JsonTokens, Token
from safelight.match.formats.text import head_text
from safelight.match.values import Judged, algorithm, flag, judged_record, short_text

URI = re.compile(r"DataModels/(\d{1,3}\.\d{1,3})\.xml(?:/([^/#]{1,64})/\$metadata)?#(\w{1,64})")
KNOWN_VERSIONS = ("1.0", "1.1", "1.2", "1.3", "2.0")
KNOWN_REGIONS = (None, "Default", "US", "UK", "CUSTOM")
FLAGS = {
    "victimidentified": "VictimIdentified",
    "offenderidentified": "OffenderIdentified",
    "isdistributed": "IsDistributed",
    "isprecategorized": "IsPrecategorized",
    "issuspected": "IsSuspected",
    "selfgenerated": "SelfGenerated",
}
HASHES = ("md5", "sha1", "sha256", "sha512", "pdq", "photodna")
EXTRA = ("tags", "comments", "precategorizationsource", "mimetype", "mediasize", "dateupdated", "relativefilepath")
MOST_ALTERNATIVES = 1000
OPEN, CLOSE = ("start_map", "start_array"), ("end_map", "end_array")


def whole(value: Any) -> Any:
    """Return 1 for the 1.0 and 1e0 that some writers make of a whole number; other values as they are."""
    return int(value) if isinstance(value, float) and abs(value) < 1 << 53 and value.is_integer() else value


class Media:
    """One Media object while it is read."""

    __slots__ = ("alternatives", "files", "is_case", "judged", "name", "record", "tags")

    def __init__(self, position: int) -> None:
        self.record = Record(position=position)
        self.judged = Judged()
        self.alternatives = 0
        self.name: tuple[Any, Any] = (None, None)
        self.tags: list[str] = []
        self.files = 0
        self.is_case = False

    def scalar(self, key: str, value: Any) -> None:
        """Take one scalar at Media level; `key` is lower case."""
        record = self.record
        if key in HASHES:
            self.judged.add(key, value)
        elif key in FLAGS:
            record.flags[FLAGS[key]] = flag(value)
        elif key == "category":
            text = "" if value is None else short_text(whole(value)).strip()
            record.category, record.category_stated = (text[:200] or None), True
        elif key == "caseid":
            self.is_case = True
        elif key == "mediaid":
            record.media_id = None if value is None else short_text(whole(value))[:200]
        elif key == "series":
            record.series = None if value is None else short_text(value)
        elif key in EXTRA and value is not None:
            record.extra[key] = short_text(value)

    def alternative(self, key: str, value: Any) -> None:
        """Take one scalar of an element of AlternativeHashes; its `MD5` only names the media again."""
        if key == "hashname":
            self.name = (value, self.name[1])
        elif key == "hashvalue":
            self.name = (self.name[0], value)

    def end_alternative(self) -> None:
        """Judge the alternative hash that just ended."""
        name, value = self.name
        self.name = (None, None)
        self.alternatives += 1
        if value is None or self.alternatives > MOST_ALTERNATIVES:
            return
        known = algorithm(str(name)[:64])
        if known:
            self.judged.add(known, value)
        else:
            self.judged.add_opaque(f"other:{str(name)[:64]}", short_text(value).encode())

    def end(self) -> Record | Skip:
        """Return what the object is."""
        if self.tags:
            self.record.extra["tags"] = short_text(", ".join(self.tags))
        return judged_record(self.judged, self.record)


class Walk:
    """Follows the tokens: root, its elements, Media. `out` collects finished records."""

    def __init__(self) -> None:
        self.depth = 0
        self.keys: list[str] = [""]  # key that leads to each open container, lower case; eleven levels at most
        self.uri = ""
        self.next_link = False
        self.level = 0  # depth of Media objects of the array that is being read; 0 outside
        self.case_level = 0
        self.media: Media | None = None
        self.key = ""
        self.cases = self.positions = self.media_files = 0
        self.out: list[Record | Skip] = []

    def token(self, event: str, value: Any) -> None:
        if event == "map_key":
            self.key = value.lower() if len(value) < 256 else ""
        elif event in OPEN:
            self.opened(event == "start_map")
        elif event in CLOSE:
            self.closed()
        elif self.media is not None:
            if self.depth == self.level:
                self.media.scalar(self.key, value)
            else:
                self.deeper_scalar(self.media, value)
        elif self.depth == 1 and isinstance(value, str):
            self.root_scalar(value)

    def root_scalar(self, value: str) -> None:
        if self.key in ("@odata.context", "odata.metadata", "odata.context", "@odata.metadata"):
            self.uri = value[:1000]
        elif self.key in ("@odata.nextlink", "odata.nextlink"):
            self.next_link = True

    def opened(self, is_map: bool) -> None:
        """A container opens: note its key (as far down as Media needs it) and whether Media objects start here."""
        self.depth += 1
        depth = self.depth
        if depth < 12:
            del self.keys[depth:]
            self.keys.append(self.key if depth > 1 else "")
        self.key = ""
        if self.media is not None and not is_map and depth == self.case_level + 1 == self.level + 1 and self.keys[depth] == "media":
            self.media = None  # the element is a case, not a Media object
        if self.media is not None:
            if is_map and depth == self.level + 2 and self.keys[self.level + 1] == "mediafiles":
                self.media.files += 1
        elif not is_map:
            if depth == 1 or (depth == 2 and self.keys[2] in ("value", "media")):
                self.level = depth + 1
                self.case_level = depth + 1 if not (depth == 2 and self.keys[2] == "media") else 0
            elif self.case_level and depth == self.case_level + 1 and self.keys[depth] == "media":
                self.cases += 1
                self.level = depth + 1
        elif depth == self.level:
            self.media = Media(self.positions + 1)

    def closed(self) -> None:
        self.depth -= 1
        self.key = ""
        media, closing = self.media, self.depth + 1
        if media is None:
            self.left_array(closing)
        elif closing == self.level and media.is_case and not media.judged.digests:
            self.cases += 1  # a case without a Media array
            self.media = None
        elif closing == self.level:
            self.positions += 1
            self.media_files += media.files
            self.out.append(media.end())
            self.media = None
        elif closing == self.level + 2 and self.keys[self.level + 1] == "alternativehashes":
            media.end_alternative()

    def left_array(self, closing: int) -> None:
        """An array of Media or of cases closed: its elements are no longer looked for."""
        if not self.level or closing >= self.level:
            return
        if self.case_level and closing > self.case_level:
            self.level = self.case_level
        else:
            self.level = self.case_level = 0

    def deeper_scalar(self, media: Media, value: Any) -> None:
        """Take a scalar below Media level: alternative hashes, tags, the name of a series; nothing else is read there."""
        below = self.depth - self.level
        if below == 2 and self.keys[self.level + 1] == "alternativehashes":
            media.alternative(self.key, value)
        elif below == 1 and value is not None:
            parent = self.keys[self.level + 1]
            if parent == "tags" and len(media.tags) < 1000:
                media.tags.append(short_text(value))
            elif parent == "series" and self.key in ("name", "seriesname"):
                media.record.series = short_text(value)


def facts(walk: Walk, tokens: JsonTokens) -> Iterator[Event]:
    """Yield what the file says about itself, and what a person should know."""
    found = URI.search(walk.uri)
    version, region, fragment = found.groups() if found else (None, None, None)
    shape = "Cases" if walk.cases else "Media"
    yield Fact("version", version)
    yield Fact("region", region)
    yield Fact("scope", fragment or shape)
    yield Fact("shape", shape)
    yield Fact("data_model", walk.uri or None)
    yield Fact("encoding", tokens.encoding)
    yield Fact("media_files", walk.media_files)
    yield Fact("cases", walk.cases)
    if found is None:
        yield Warn("no data-model URI: scheme must be chosen by the user")
    elif version not in KNOWN_VERSIONS or region not in KNOWN_REGIONS:
        yield Warn("unknown version/region: read by field names, scheme must be chosen by the user")
    if fragment and fragment != shape:
        yield Warn(f"fragment says {fragment}, content is {shape}: content decides")
    if walk.next_link:
        yield Incomplete("nextLink present: one page of several")
    if tokens.trailing:
        yield Warn(f"trailing_bytes:{tokens.trailing}")


class Vics:
    """VICS JSON, as hash set or as case."""

    name = "vics"
    needs_path = False

    def detect(self, head: bytes, name: str) -> bool:
        text = head_text(head).lstrip("\ufeff\x00 \t\r\n").lower()
        if not text.startswith(("{", "[")):
            return False
        return "datamodels/" in text or any(f'"{key}"' in text for key in ("mediaid", "md5", "sha1", "photodna", "caseid", "media"))

    def records(self, stream: BinaryIO, options: Options) -> Iterator[Event]:
        walk, tokens = Walk(), JsonTokens(stream)
        cut = ""
        try:
            batch: list[Token]
            for batch in tokens:
                for event, value in batch:
                    walk.token(event, value)
                yield from walk.out
                walk.out.clear()
        except Cut as error:
            cut = str(error)
        if cut:
            if walk.media is not None:
                yield Skip(position=walk.positions + 1, reason="truncated")
            yield Incomplete(cut)
        yield from facts(walk, tokens)

"""The text of a PDF apart from its streams, its trailers and its objects, with bounds on all of it.

Facts: ISO 32000-1:2008, 7.3 (objects), 7.3.5 (#xx in names), 7.3.8 (streams), 7.5.7 (object streams), 7.5.8 (xref streams).
"""

from __future__ import annotations

import re
import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

MAX_STREAMS = 50_000
MAX_OBJECTS = 200_000
MAX_TRAILERS = 1_000
MAX_OBJECT = 1 << 16
"""Bytes of one object that are looked at: enough for the kids of 6,000 pages."""

MAX_PACKED_AGAIN = 16
"""Streams with two and more layers that are unpacked in one file."""

_STREAM = re.compile(rb">>\s{0,20}stream(?:\r\n|\n|\r)")
_ESCAPED = re.compile(rb"#([0-9A-Fa-f]{2})")
_NAME = re.compile(rb"/[^\s()<>\[\]{}/%]{0,127}#[0-9A-Fa-f]{2}[^\s()<>\[\]{}/%]{0,127}")
_TRAILER = re.compile(rb"trailer\s{0,20}<<")
_ROOT = re.compile(rb"/Root\s{1,20}(\d{1,10})\s+\d{1,5}\s+R")
_ENCRYPT = re.compile(rb"/Encrypt\s{0,20}(?:<<|\d{1,10}\s+\d{1,5}\s+R)")
_OBJECT = re.compile(rb"(?<!\d)(\d{1,10})\s{1,20}\d{1,5}\s{1,20}obj(?!\w)")
_FILTERS = re.compile(rb"/(?:Filter|F)\s{0,20}\[([^\[\]]{0,2000})\]")
_FLATE = re.compile(rb"/(?:FlateDecode|Fl)(?!\w)")


@dataclass(slots=True)
class Text:
    """The parts of a file.

    `plain`: the windows without streams; `streams`: dictionary and packed bytes; `trailers`: their dictionaries; `roots`: the
    objects that they name as catalogue (after changes there may be several); `complete`: all object streams were unpacked.
    """

    plain: bytes = b""
    streams: list[tuple[bytes, memoryview]] = field(default_factory=list)
    trailers: list[bytes] = field(default_factory=list)
    unpacked: list[bytes] = field(default_factory=list)
    packed_objects: dict[int, bytes] = field(default_factory=dict)
    complete: bool = True
    roots: list[int] = field(default_factory=list)
    encrypted: bool = False


def split(windows: list[bytes]) -> Text:
    """Take the windows of a file apart."""
    text, parts = Text(), list[bytes]()
    for window in windows:
        view, at = memoryview(window), 0
        while len(text.streams) < MAX_STREAMS:
            begin = _STREAM.search(window, at)
            if begin is None:
                break
            end = window.find(b"endstream", begin.end())
            if end < 0:  # cut, or made to look so: what follows is looked at like any text
                break
            start = max(at, window.rfind(b"obj", max(at, begin.start() - MAX_OBJECT), begin.start()))
            text.streams.append((_plain_names(window[start : begin.start() + 2]), view[begin.end() : end]))
            parts.append(window[at : begin.start() + 2])
            at = end
        parts.append(window[at:])
    text.plain = _plain_names(b"\n".join(parts))
    places = deque((m.end() for m in _TRAILER.finditer(text.plain)), MAX_TRAILERS)
    text.trailers = [text.plain[at : at + 4096].partition(b"startxref")[0] for at in places]
    text.trailers += [dictionary[-4096:] for dictionary, _ in text.streams if b"/XRef" in dictionary][-MAX_TRAILERS:]
    for trailer in text.trailers:
        named = _ROOT.search(trailer)
        if named and int(named[1]) not in text.roots:
            text.roots.append(int(named[1]))
        text.encrypted = text.encrypted or _ENCRYPT.search(trailer) is not None
    return text


def _plain_names(data: bytes) -> bytes:
    """Write #xx in names as the character that it is: /J#61vaScript is /JavaScript."""
    if b"#" not in data:
        return data
    return _NAME.sub(lambda name: _ESCAPED.sub(lambda m: bytes([int(m[1], 16)]), name[0]), data)


def inflate(data: bytes | memoryview, most: int) -> bytes:
    """Return up to `most` bytes of a Flate stream; b"" where it is damaged."""
    try:
        return zlib.decompressobj().decompress(data, most)
    except zlib.error:
        return b""


def unpack_objects(text: Text, most: int) -> bool:
    """Unpack the object streams; return False where they are more than `most` bytes."""
    left = most
    for dictionary, data in text.streams:
        if b"/ObjStm" not in dictionary:
            continue
        content = inflate(data, left + 1) if _FLATE.search(dictionary) else bytes(data[: left + 1])
        if not content:
            text.complete = False
            continue
        left -= len(content)
        if left < 0:
            text.complete = False
            return False
        content = _plain_names(content)
        text.unpacked.append(content)
        _index(text, dictionary, content)
    return True


def _index(text: Text, dictionary: bytes, content: bytes) -> None:
    """Find the objects in an object stream: pairs of number and offset stand before `/First`."""
    first = re.search(rb"/First\s{1,20}(\d{1,10})", dictionary)
    if first is None or b"#" in dictionary:
        return
    numbers = content[: int(first[1])].split()[: MAX_OBJECTS * 2]
    if not all(len(n) < 11 and n.isdigit() for n in numbers):
        return
    pairs = [(int(a), int(first[1]) + int(b)) for a, b in zip(numbers[::2], numbers[1::2], strict=False)]
    if any(pairs[i][1] > pairs[i + 1][1] for i in range(len(pairs) - 1)):
        return  # objects that lie on one another
    for number, at, behind in _runs(pairs, len(content)):
        if len(text.packed_objects) < MAX_OBJECTS:
            text.packed_objects[number] = content[at : min(behind, at + MAX_OBJECT)]


def _runs(places: list[tuple[int, int]], end: int) -> Iterator[tuple[int, int, int]]:
    """Yield (number, start, end) of objects that follow one another."""
    for index, (number, at) in enumerate(places):
        yield number, at, places[index + 1][1] if index + 1 < len(places) else end


def objects(text: Text) -> dict[int, bytes]:
    """Return the objects by number; the last one in the file counts."""
    found = dict(text.packed_objects)
    places = []
    for match in _OBJECT.finditer(text.plain):
        places.append((int(match[1]), match.end()))
        if len(places) >= MAX_OBJECTS:
            break
    for number, at, behind in _runs(places, len(text.plain)):
        found[number] = text.plain[at : min(behind, at + MAX_OBJECT)]
    return found


def packed_again(text: Text, most: int) -> int:
    """Return the layers of a stream that is packed twice and more and unpacks to more than `most` bytes; 0 where there is none."""
    tried = 0
    for dictionary, data in text.streams:
        filters = _FILTERS.search(dictionary)
        layers = len(_FLATE.findall(filters[1])) if filters else 0
        if layers < 2 or tried >= MAX_PACKED_AGAIN:
            continue
        tried += 1
        content: bytes | memoryview = data
        for _ in range(min(layers, 16)):
            content = inflate(content, most + 1)
            if len(content) > most:
                return layers
            if not content:
                break
    return 0

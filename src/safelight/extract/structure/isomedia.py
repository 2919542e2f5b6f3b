"""ISO base media and QuickTime films (MP4, MOV, 3GP, M4A): boxes by their headers, tables against their boxes, data references.

Facts: ISO/IEC 14496-12 (boxes, tables, dref, encryption marks of 23001-7), Apple QuickTime File Format (alis, rmra, cmov,
32-bit terminators). No sample is read, and nothing is sampled by a claimed length or count.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from safelight.extract.structure.reading import Found, Reader, quoted

MAX_BOXES = 20_000
"""Headers looked at in one file; the rest of a film in so many fragments is not walked."""

MAX_DEPTH = 24
"""A track is nested 6 to 8 deep; deeper than this is not walked."""

CONTAINERS = frozenset((b"moov", b"trak", b"mdia", b"minf", b"stbl", b"dinf", b"edts", b"mvex", b"moof", b"traf", b"rmra", b"rmda"))
"""Boxes that hold boxes and nothing else: here a child that does not fit is damage."""

TOP = frozenset(
    (b"moov", b"moof", b"mdat", b"mfra", b"sidx", b"free", b"skip", b"wide", b"meta", b"uuid", b"udta", b"emsg", b"styp", b"pnot")
)
"""Boxes that may stand last in a film; anything else that ends beyond the file is no box but something put behind it."""

LOOSE = frozenset((b"udta", b"meta", b"gmhd", b"tref"))
"""Boxes that hold boxes in most films and other things in some: a child that does not fit ends the walk in silence."""

TABLES: dict[bytes, int] = {b"stts": 8, b"ctts": 8, b"stsc": 12, b"stco": 4, b"co64": 8, b"stss": 4}
"""Bytes of an entry; version and flags (4), then the count (4), stand before the entries."""

ENCRYPTED = frozenset((b"encv", b"enca", b"enct", b"encs", b"drms", b"drmi"))
"""Sample entries of encrypted tracks: Common Encryption and FairPlay."""


class Box(NamedTuple):
    """A box: type, first byte of the header and of the body, end as claimed, end as far as parent and file go, depth."""

    type: bytes
    at: int
    start: int
    claimed: int
    end: int
    depth: int


class _Film:
    """What the walk has seen of one file."""

    def __init__(self, reader: Reader, found: list[Found]) -> None:
        self.reader, self.found = reader, found
        self.boxes = self.tracks = 0
        self.seen: set[bytes] = set()
        self.whole = True
        """Whether the walk came to the end of the file: only then may it say that something is missing."""

    def header(self, at: int, end: int, depth: int) -> Box | str | None:
        """Return the box at an offset, None where no box can follow (padding, a terminator), or what is wrong with it."""
        data = self.reader.at(at, 16)
        if end - at < 8 or len(data) < 8 or not data[:8].strip(b"\0"):
            return None
        size, kind = struct.unpack_from(">I4s", data)
        start = at + 8
        if size == 1:
            if len(data) < 16 or end - at < 16:
                return f"the 64-bit size of box {quoted(kind)} at {at} is cut"
            size, start = struct.unpack_from(">Q", data, 8)[0], at + 16
        elif size == 0 and depth == 0:
            size = end - at
        if not all(32 <= c < 127 or c == 0xA9 for c in kind):
            return f"there is no box at {at}"
        if size < start - at:
            return f"box {quoted(kind)} at {at} claims {size} bytes"
        return Box(kind, at, start, at + size, min(at + size, end), depth)


def check(reader: Reader, found: list[Found]) -> None:
    """Walk the top of the file, then the tree below the boxes that describe the film."""
    film = _Film(reader, found)
    cut = _top(film)
    if not film.whole:
        return
    if not film.seen & {b"moov", b"moof"}:
        missing = "there is no moov box: nothing says what the film holds"
        if cut:
            found[-1] = ("truncated", f"{found[-1][1]}; {missing}")
        else:
            found.append(("corrupt", missing))
    elif b"moov" in film.seen and not film.tracks and not film.seen & {b"moof", b"cmov", b"rmra"} and not cut:
        found.append(("corrupt", "the film has no track"))


def _top(film: _Film) -> bool:
    """Walk the boxes of the file; return whether it ends before a box does."""
    at, size = 0, film.reader.size
    while at < size:
        if film.boxes >= MAX_BOXES:
            film.whole = False
            return False
        film.boxes += 1
        box = film.header(at, size, 0)
        if box is None:
            return False
        complete = b"moov" in film.seen and film.seen & {b"mdat", b"moof"}
        if complete and (isinstance(box, str) or (box.claimed > size and box.type not in TOP)):
            film.found.append(("trailing-data", f"{size - at} bytes behind the last box, at {at}"))
            return False
        if isinstance(box, str):
            film.found.append(("corrupt", box))
            film.whole = False
            return False
        film.seen.add(box.type)
        if box.claimed > size:
            film.found.append(("truncated", f"box {quoted(box.type)} at {at} ends at {box.claimed}, the file has {size} bytes"))
        if box.type in (b"moov", b"moof"):
            _tree(film, box)
        if box.claimed > size:
            return True
        at = box.claimed
    return False


def _tree(film: _Film, root: Box) -> None:
    """Walk the boxes below one box, in order of the file, with a stack of places instead of recursion."""
    stack = [(root, _body(film, root))]
    while stack:
        parent, at = stack.pop()
        if parent.end - at < 8:
            continue
        if film.boxes >= MAX_BOXES:
            film.whole = False
            return
        film.boxes += 1
        box = film.header(at, parent.end, parent.depth + 1)
        if box is None:
            continue
        strict = parent.type in CONTAINERS
        if isinstance(box, str) or (box.claimed > parent.end and parent.claimed == parent.end):
            if strict:
                reason = box if isinstance(box, str) else f"box {quoted(box.type)} at {at} is longer than its {quoted(parent.type)}"
                film.found.append(("corrupt", reason))
                film.whole = False  # what seems to be missing may stand behind the damage
            continue
        film.seen.add(box.type)
        stack.append((parent, box.claimed))
        _look(film, box)
        if box.type in CONTAINERS or box.type in LOOSE:
            if box.depth >= MAX_DEPTH:
                film.found.append(("limit.depth", f"boxes are nested deeper than {MAX_DEPTH} levels"))
                film.whole = False
                return
            stack.append((box, _body(film, box)))


def _body(film: _Film, box: Box) -> int:
    """Return where the children begin: `meta` has version and flags before them in MP4, not in QuickTime."""
    if box.type == b"meta" and film.reader.at(box.start, 4) == b"\0\0\0\0":
        return box.start + 4
    return box.start


def _look(film: _Film, box: Box) -> None:
    """Hold one box against itself. A box that is cut by the end of the file is damage already told."""
    if box.type == b"trak":
        film.tracks += 1
    if box.claimed != box.end:
        return
    room = box.end - box.start
    if box.type in TABLES:
        _table(film, box, 4, TABLES[box.type])
    elif box.type == b"stsz" and room >= 12 and film.reader.at(box.start + 4, 4) == b"\0\0\0\0":
        _table(film, box, 8, 4)
    elif box.type == b"elst":
        _table(film, box, 4, 20 if film.reader.at(box.start, 1) == b"\1" else 12)
    elif box.type == b"dref":
        _references(film, box)
    elif box.type == b"rdrf" and room >= 12:
        kind = film.reader.at(box.start + 4, 4)
        name = film.reader.at(box.start + 12, min(room - 12, 200)).split(b"\0")[0]
        film.found.append(
            ("external-reference", f"the film is a reference to another one: {kind.decode('latin-1').strip()} {quoted(name)}")
        )
    elif box.type == b"stsd":
        _descriptions(film, box)


def _table(film: _Film, box: Box, at: int, entry: int) -> None:
    """Compare the count of a table with the room that its box has; nothing is allocated or read by the count."""
    data = film.reader.at(box.start + at, 4)
    room = box.end - box.start - at - 4
    if len(data) < 4 or room < 0:
        film.found.append(("corrupt", f"table {quoted(box.type)} at {box.at} has no room for its count"))
        return
    count = int.from_bytes(data, "big")
    if count * entry > room:
        film.found.append(("corrupt", f"table {quoted(box.type)} at {box.at} claims {count} entries, there is room for {room // entry}"))


def _references(film: _Film, box: Box) -> None:
    """Look for data references that are not to the file itself (flag 1). A reference without a name names nothing."""
    data = film.reader.at(box.start, 8)
    if len(data) < 8:
        return
    count = int.from_bytes(data[4:], "big")
    if count * 12 > box.end - box.start - 8:
        film.found.append(("corrupt", f"the data references at {box.at} claim {count} entries, there is no room for them"))
    at = box.start + 8
    for _ in range(min(count, 64)):
        entry = film.header(at, box.end, box.depth + 1)
        if not isinstance(entry, Box) or entry.claimed > box.end:
            return
        flags = film.reader.at(entry.start, 4)
        name = film.reader.at(entry.start + 4, min(entry.end - entry.start - 4, 512)).strip(b"\0")
        if entry.type in (b"url ", b"urn ", b"alis", b"rsrc") and len(flags) == 4 and not flags[3] & 1 and name:
            scheme = entry.type.decode("ascii").strip()
            shown = f" {quoted(name)}" if scheme in ("url", "urn") else ""
            film.found.append(("external-reference", f"a track has its samples in another file: {scheme}{shown}"))
        at = entry.claimed


def _descriptions(film: _Film, box: Box) -> None:
    """Look for sample descriptions of encrypted tracks."""
    count = int.from_bytes(film.reader.at(box.start + 4, 4), "big")
    at = box.start + 8
    for _ in range(min(count, 16)):
        entry = film.header(at, box.end, box.depth + 1)
        if not isinstance(entry, Box):
            return
        if entry.type in ENCRYPTED:
            film.found.append(("encrypted", f"a track is encrypted ({entry.type.decode('ascii')})"))
        at = entry.claimed

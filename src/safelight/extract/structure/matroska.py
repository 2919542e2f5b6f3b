"""Matroska and WebM: the EBML header and the elements of the segment, by their headers.

Facts: RFC 8794 (EBML), RFC 9559 (Matroska). Clusters are stepped over by their length; one of unknown length ends the walk.
"""

from __future__ import annotations

from typing import NamedTuple

from safelight.extract.structure.reading import Found, Reader, listed

MAX_ELEMENTS = 20_000
"""Element headers looked at in one file."""

EBML, SEGMENT, CLUSTER, TRACKS, INFO = 0x1A45DFA3, 0x18538067, 0x1F43B675, 0x1654AE6B, 0x1549A966
TRACK, ENCODINGS, ENCODING, ENCRYPTION = 0xAE, 0x6D80, 0x6240, 0x5035
OTHER_FILES = (0x3C83AB, 0x3E83BB)
"""PrevFilename and NextFilename: films that a player is to go on with."""

KNOWN = frozenset((EBML, SEGMENT, CLUSTER, TRACKS, INFO, 0x114D9B74, 0x1C53BB6B, 0x1043A770, 0x1941A469, 0x1254C367, 0xEC, 0xBF))
"""What may stand at the top and in a segment: also SeekHead, Cues, Chapters, Attachments, Tags, Void, CRC-32."""

MASTERS = frozenset((TRACKS, TRACK, ENCODINGS, ENCODING, INFO))
"""Elements that are gone into; the path down to ContentEncryption is 5 deep, none holds itself."""


class Element(NamedTuple):
    """An element: its id (with the length marker), header offset, first byte of the body, end (None: unknown)."""

    id: int
    at: int
    start: int
    end: int | None


def _element(reader: Reader, at: int) -> Element | None:
    """Return the element at an offset; None where there can be none."""
    data = reader.at(at, 12)
    if len(data) < 2 or data[0] < 0x10:
        return None  # an id has at most 4 bytes: one of the first four bits is its marker
    width = 9 - data[0].bit_length()
    if len(data) < width + 1 or not data[width]:
        return None
    length = 9 - data[width].bit_length()
    raw = data[width : width + length]
    if len(raw) < length:
        return None
    value = int.from_bytes(raw, "big") & (1 << 7 * length) - 1
    start = at + width + length
    unknown = value == (1 << 7 * length) - 1
    return Element(int.from_bytes(data[:width], "big"), at, start, None if unknown else start + value)


def check(reader: Reader, found: list[Found]) -> None:
    """Walk the header, then the segment."""
    head = _element(reader, 0)
    if head is None or head.id != EBML or head.end is None or head.end > reader.size:
        found.append(("corrupt" if reader.size > 64 else "truncated", "the EBML header is damaged"))
        return
    at = head.start
    for _ in range(64):
        if at >= head.end:
            break
        element = _element(reader, at)
        if element is None or element.end is None or element.end > head.end:
            found.append(("corrupt", f"there is no element of the EBML header at {at}"))
            return
        at = element.end
    at = head.end
    for _ in range(64):  # Void and CRC-32 may stand before the segment
        element = _element(reader, at)
        if element is None or element.id not in KNOWN:
            found.append(("truncated", "the file ends behind its header") if at + 2 > reader.size else ("corrupt", f"no segment at {at}"))
            return
        if element.id == SEGMENT:
            break
        if element.end is None:
            return
        at = element.end
    else:
        return
    _segment(reader, found, element)


def _segment(reader: Reader, found: list[Found], segment: Element) -> None:
    size = reader.size
    cut = segment.end is not None and segment.end > size
    if cut:
        found.append(("truncated", f"the segment ends at {segment.end}, the file has {size} bytes"))
    end = size if segment.end is None else min(segment.end, size)
    at, tracks, described = segment.start, False, 0
    for _ in range(MAX_ELEMENTS):
        if at >= end:
            break
        element = _element(reader, at)
        stranger = element is not None and element.id not in KNOWN  # allowed, if it fits (RFC 8794, section 6.2)
        if element is None or (stranger and (element.end is None or element.end > end)):
            if end - at >= 12 and not cut:
                found.append(("corrupt", f"there is no element of a segment at {at}"))
                return
            break
        tracks = tracks or element.id == TRACKS
        if element.id in (TRACKS, INFO) and described < 8:
            described += 1
            _inside(reader, found, element)
        if element.end is None:
            return  # a live recording: where it ends is told by what follows only
        if element.end > end:
            if not cut:
                cut = True
                found.append(("truncated", f"the element at {element.at} ends at {element.end}, behind the end at {end}"))
            break
        at = element.end
    else:
        return
    if not tracks:
        found.append(("truncated" if cut else "corrupt", "there are no tracks"))


def _inside(reader: Reader, found: list[Found], root: Element) -> None:
    """Look below the tracks and the info for encryption and for names of other files."""
    stack = [(root.start, min(root.end if root.end is not None else reader.size, reader.size))]
    names: list[bytes] = []
    for _ in range(MAX_ELEMENTS):
        if not stack:
            break
        at, end = stack.pop()
        element = _element(reader, at) if end - at >= 2 else None
        if element is None or element.end is None or element.end > end:
            continue
        stack.append((element.end, end))
        if element.id == ENCRYPTION:
            found.append(("encrypted", "a track is encrypted (ContentEncryption)"))
        elif element.id in OTHER_FILES:
            names.append(reader.at(element.start, min(element.end - element.start, 512)))
        elif element.id in MASTERS:
            stack.append((element.start, element.end))
    if names:
        found.append(("external-reference", f"the film names others to go on with: {listed(names)}"))

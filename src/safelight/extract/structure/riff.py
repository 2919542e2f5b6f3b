"""RIFF files: AVI (also OpenDML in several parts) and WAV, by the headers of their chunks.

Facts: Microsoft RIFF and AVI references, OpenDML 1.02, EBU Tech 3306 (RF64). A recorder that was cut off leaves sizes of 0, a
stream sizes of all ones; such sizes are taken as unknown.
"""

from __future__ import annotations

import struct

from safelight.extract.structure.reading import Found, Reader, quoted

MAX_CHUNKS = 20_000
UNKNOWN = 0x7FFFF000
"""Sizes from here on are placeholders of streams (0x7FFFF000 and more, 0xFFFFFFFF)."""


def check(reader: Reader, found: list[Found]) -> None:
    """Walk the chunks of the first part of the file, then the headers of the other parts."""
    head = reader.at(0, 12)
    if len(head) < 12:
        found.append(("truncated", f"the RIFF header needs 12 bytes, there are {len(head)}"))
        return
    order = ">" if head[:4] == b"RIFX" else "<"
    (size,) = struct.unpack_from(order + "I", head, 4)
    unknown = not size or size >= UNKNOWN or head[:4] == b"RF64"
    end = reader.size if unknown else 8 + size
    cut = end > reader.size + 1  # one byte may be missing: writers forget the padding of the last odd chunk
    if cut:
        found.append(("truncated", f"the RIFF part ends at {end}, the file has {reader.size} bytes"))
    seen = _chunks(reader, found, order, min(end, reader.size), cut or unknown)
    if seen is None:
        return
    wanted = (b"hdrl", b"movi") if head[8:12] == b"AVI " else (b"fmt ", b"data")
    for name in wanted:
        if name not in seen:
            found.append(("truncated" if cut else "corrupt", f"there is no {quoted(name)}"))
    if b"hdrl" in seen and b"strl" not in seen:
        found.append(("corrupt", "the film has no stream"))
    if not cut:
        _other_parts(reader, found, end + (end & 1))


def _other_parts(reader: Reader, found: list[Found], at: int) -> None:
    """Hold the further parts of an OpenDML film (2 GB each, as a rule) against the length of the file."""
    for _ in range(MAX_CHUNKS):
        header = reader.at(at, 12)
        if header[:4] != b"RIFF" or header[8:] != b"AVIX":
            return
        end = at + 8 + int.from_bytes(header[4:8], "little")
        if end > reader.size + 1:
            found.append(("truncated", f"the RIFF part at {at} ends at {end}, the file has {reader.size} bytes"))
        at = end + (end & 1)


def _chunks(reader: Reader, found: list[Found], order: str, end: int, open_end: bool) -> set[bytes] | None:
    """Return the names of the chunks and lists of the first part, with those in `hdrl`; None where there are too many."""
    seen: set[bytes] = set()
    at = 12
    for _ in range(MAX_CHUNKS):
        header = reader.at(at, 12) if end - at >= 8 else b""
        if len(header) < 8 or not header[:4].strip(b"\0"):
            return seen
        name, size = struct.unpack_from(order + "4sI", header)
        if not all(32 <= c < 127 for c in name):
            if not open_end:
                found.append(("corrupt", f"there is no chunk at {at}"))
            return seen
        kind = header[8:12] if name == b"LIST" and len(header) == 12 else name
        behind = at + 8 + size
        if behind > end + 1:
            seen.add(kind)
            streamed = kind in (b"movi", b"data") and size >= UNKNOWN
            if not open_end and not streamed:
                found.append(("corrupt", f"chunk {quoted(kind)} at {at} ends at {behind}, its part at {end}"))
            return seen
        # the first list of headers is gone into: what is in it stands in a row with what follows it
        at = at + 12 if kind == b"hdrl" and kind not in seen else behind + (size & 1)
        seen.add(kind)
    return None

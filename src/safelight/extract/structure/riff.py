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
    """Walk the parts of the file, then the chunks of the first."""
    head = reader.at(0, 12)
    if len(head) < 12:
        found.append(("truncated", f"the RIFF header needs 12 bytes, there are {len(head)}"))
        return
    order = ">" if head[:4] == b"RIFX" else "<"
    (size,) = struct.unpack_from(order + "I", head, 4)
    unknown = not size or size >= UNKNOWN or head[:4] == b"RF64"
    end = reader.size if unknown else 8 + size
    # one byte may be missing: writers forget the padding of the last odd chunk
    if end > reader.size + 1:
        found.append(("truncated", f"the RIFF part ends at {end}, the file has {reader.size} bytes"))
    seen = _chunks(reader, found, order, 12, min(end, reader.size), end > reader.size + 1 or unknown)
    if seen is None:
        return
    cut = end > reader.size + 1
    wanted = (b"hdrl", b"movi") if head[8:12] == b"AVI " else (b"fmt ", b"data")
    for name in wanted:
        if name not in seen:
            found.append(("truncated" if cut else "corrupt", f"there is no {quoted(name)}"))
    if b"hdrl" in seen and b"strl" not in seen:
        found.append(("corrupt", "the film has no stream"))


def _chunks(reader: Reader, found: list[Found], order: str, at: int, end: int, open_end: bool) -> set[bytes] | None:
    """Return the names of chunks and lists between two offsets, with those of `hdrl`; None where there are too many."""
    seen: set[bytes] = set()
    inner: int | None = None
    for _ in range(MAX_CHUNKS):
        if end - at < 8:
            return seen
        header = reader.at(at, 12)
        if len(header) < 8:
            return seen
        name, size = struct.unpack_from(order + "4sI", header)
        if not name.strip(b"\0"):
            return seen
        if not all(32 <= c < 127 for c in name):
            if not open_end:
                found.append(("corrupt", f"there is no chunk at {at}"))
            return seen
        kind = header[8:12] if name == b"LIST" and len(header) == 12 else name
        seen.add(kind)
        if at + 8 + size > end:
            last = kind in (b"movi", b"data")
            if not open_end and not (last and (not size or size >= UNKNOWN)) and at + 8 + size > end + 1:
                found.append(("corrupt", f"chunk {quoted(kind)} at {at} ends at {at + 8 + size}, behind its part at {end}"))
            return seen
        if kind == b"hdrl" and inner is None:
            inner = at + 8 + size
            at += 12
            continue
        if inner is not None and at >= inner:
            inner = -1
        at += 8 + size + (size & 1)
    return None

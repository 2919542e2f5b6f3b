"""ASF films (WMV, WMA): the objects of the header, script commands that send a player elsewhere, encryption.

Facts: Microsoft, Advanced Systems Format specification 1.20, sections 2, 3.6 (script commands), 3.14-3.16 (encryption).
"""

from __future__ import annotations

import struct
import uuid

from safelight.extract.structure.reading import Found, Reader, listed

MAX_OBJECTS = 2_000
MAX_COMMANDS = 256


def _guid(text: str) -> bytes:
    return uuid.UUID(text).bytes_le


HEADER = _guid("75B22630-668E-11CF-A6D9-00AA0062CE6C")
DATA = _guid("75B22636-668E-11CF-A6D9-00AA0062CE6C")
SCRIPT = _guid("1EFB1A30-0B62-11D0-A39B-00A0C90348F6")
STREAM = _guid("B7DC0791-A9B7-11CF-8EE6-00C00C205365")
ENCRYPTION = {
    _guid("2211B3FB-BD23-11D2-B4B7-00A0C955FC6E"): "Content Encryption",
    _guid("298AE614-2622-4C17-B935-DAE07EE9289C"): "Extended Content Encryption",
}
OUTSIDE = frozenset(("url", "urlandexit", "filename"))
"""Commands that make a player open an address or a file."""


def check(reader: Reader, found: list[Found]) -> None:
    """Walk the objects of the header; hold the data object against the length of the file."""
    head = reader.at(0, 30)
    if len(head) < 30 or head[:16] != HEADER:
        found.append(("truncated", "the header object is cut"))
        return
    (size,) = struct.unpack_from("<Q", head, 16)
    if size < 30:
        found.append(("corrupt", f"the header object claims {size} bytes"))
        return
    if size > reader.size:
        found.append(("truncated", f"the header object ends at {size}, the file has {reader.size} bytes"))
    streams, whole = _header(reader, found, min(size, reader.size))
    if whole and not streams:
        found.append(("corrupt", "the film has no stream"))
    data = reader.at(size, 24)
    if len(data) == 24 and data[:16] == DATA:
        end = size + struct.unpack_from("<Q", data, 16)[0]
        if end > reader.size:
            found.append(("truncated", f"the data object ends at {end}, the file has {reader.size} bytes"))


def _header(reader: Reader, found: list[Found], end: int) -> tuple[int, bool]:
    """Return the number of streams, and whether all objects of the header were seen."""
    at, streams = 30, 0
    for _ in range(MAX_OBJECTS):
        if end - at < 24:
            return streams, end - at == 0
        data = reader.at(at, 24)
        (size,) = struct.unpack_from("<Q", data, 16)
        if size < 24 or at + size > end:
            if end < reader.size or size < 24:
                found.append(("corrupt", f"the object at {at} of the header claims {size} bytes"))
            return streams, False
        kind = data[:16]
        streams += kind == STREAM
        if kind in ENCRYPTION:
            found.append(("encrypted", f"the film is encrypted ({ENCRYPTION[kind]})"))
        elif kind == SCRIPT:
            _commands(reader.at(at + 24, min(size - 24, 1 << 16)), found)
        at += size
    return streams, False


def _commands(data: bytes, found: list[Found]) -> None:
    """Look for script commands that open something outside the film."""
    if len(data) < 20:
        return
    commands, types = struct.unpack_from("<HH", data, 16)
    at, names = 20, list[str]()
    for _ in range(min(types, MAX_COMMANDS)):
        if at + 2 > len(data):
            return
        length = struct.unpack_from("<H", data, at)[0] * 2
        names.append(data[at + 2 : at + 2 + length].decode("utf-16-le", "replace").strip("\0").lower())
        at += 2 + length
    targets: list[bytes] = []
    for _ in range(min(commands, MAX_COMMANDS)):
        if at + 8 > len(data):
            break
        kind, words = struct.unpack_from("<HH", data, at + 4)
        text = data[at + 8 : at + 8 + words * 2].decode("utf-16-le", "replace").strip("\0")
        if kind < len(names) and names[kind] in OUTSIDE:
            targets.append(text.encode("utf-8", "backslashreplace"))
        at += 8 + words * 2
    if targets:
        found.append(("active-content", "script commands make a player open something; nothing was opened"))
        found.append(("external-reference", f"script commands name {listed(targets)}"))

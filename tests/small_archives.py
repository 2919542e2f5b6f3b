"""Small archives and images by code, for tests and as seeds of the fuzzer."""

from __future__ import annotations

import struct
import zlib


def rar5(*files: tuple[bytes, bytes], volume: int | None = None, more: bool = False, copies: tuple[tuple[bytes, bytes], ...] = ()) -> bytes:
    """A RAR5 archive of stored files by code; `volume` numbers it from 0, `more`: its last file
    goes on in the next; `copies`: (name, target) of references to repeated files."""

    def number(value: int) -> bytes:
        out = bytearray()
        while value > 0x7F:
            out.append(value & 0x7F | 0x80)
            value >>= 7
        return bytes([*out, value])

    def block(kind: int, flags: int, fields: bytes, data: bytes = b"") -> bytes:
        body = number(kind) + number(flags | 2 * bool(data)) + (number(len(data)) if data else b"") + fields
        body = number(len(body)) + body
        return zlib.crc32(body).to_bytes(4, "little") + body + data

    main = number(0) if volume is None else number(3 if volume else 1) + (number(volume) if volume else b"")
    out = b"Rar!\x1a\x07\x01\x00" + block(1, 0, main)
    for i, (name, data) in enumerate(files):
        cut = more and i == len(files) - 1
        fields = number(4) + number(len(data) * (1 + cut)) + number(0o100644) + zlib.crc32(data).to_bytes(4, "little")
        out += block(2, 16 * cut, fields + number(0) + number(1) + number(len(name)) + name, data)
    for name, target in copies:
        fields = number(0) + number(0) + number(0o100644) + number(0) + number(1) + number(len(name)) + name
        record = number(5) + number(5) + number(0) + number(len(target)) + target
        extra = number(len(record)) + record
        out += block(2, 3, number(len(extra)) + number(0) + fields + extra)
    return out + block(5, 0, number(int(more)))


def ewf(data: bytes, per_table: int = 2) -> bytes:
    """An E01 of one segment with stored and deflated chunks of 32 KiB, a table for so many of them."""

    def section(kind: bytes, body: bytes, at: int, last: bool = False) -> bytes:
        head = kind.ljust(16, b"\0") + struct.pack("<QQ", at if last else at + 76 + len(body), 76 + len(body)) + bytes(40)
        return head + checked(head) + body

    def checked(body: bytes) -> bytes:
        return struct.pack("<I", zlib.adler32(body))

    out = b"EVF\x09\x0d\x0a\xff\x00" + struct.pack("<BHH", 1, 1, 0)
    chunks = [data[i : i + 32768] for i in range(0, len(data), 32768)]
    volume = struct.pack("<IIIIQ", 1, len(chunks), 64, 512, len(data) // 512).ljust(1048, b"\0")
    out += section(b"volume", volume + checked(volume), len(out))
    for first in range(0, len(chunks), per_table):
        packed, offsets, start = b"", [], len(out) + 76
        for chunk in chunks[first : first + per_table]:
            deflated = zlib.compress(chunk)
            is_short = len(deflated) < len(chunk)
            offsets.append(len(packed) | (1 << 31 if is_short else 0))
            packed += deflated if is_short else chunk + checked(chunk)
        out += section(b"sectors", packed, len(out))
        head, rows = struct.pack("<I4xQ4x", len(offsets), start), struct.pack(f"<{len(offsets)}I", *offsets)
        for kind in (b"table", b"table2"):
            out += section(kind, head + checked(head) + rows + checked(rows), len(out))
    return out + section(b"done", b"", len(out), last=True)

"""The outside of PNG, GIF, WebP, BMP and ICO files: size, frames, metadata blocks, where the picture ends, what is broken.

Each reader walks the file's own structure with fixed limits before any decoder sees it, so that a claim in a header costs
nothing. Facts: PNG third edition (W3C), GIF89a, WebP container (RFC 9649), BMP (DIB headers).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

MAX_FRAMES = 10_000
MAX_BLOCKS = 200_000
MAX_ICC = 8 << 20
MAX_TEXT = 1 << 20
"""An expanded text block of a PNG beyond this is a metadata bomb."""


@dataclass
class Layout:
    """What the structure of a file says. `end` is the offset behind the picture (None: unknown or the data are cut),
    `bits` of a sample where a second reader must know them (0: whole bytes)."""

    width: int = 0
    height: int = 0
    frames: int = 1
    mode: str = ""
    end: int | None = None
    turn: int | None = None
    exif: list[bytes | memoryview] = field(default_factory=list)
    xmp: list[bytes | memoryview] = field(default_factory=list)
    text: dict[str, str] = field(default_factory=dict)
    problems: list[tuple[str, str]] = field(default_factory=list)
    previews: list[tuple[int, int]] = field(default_factory=list)
    thumbnails: list[bytes] = field(default_factory=list)
    damaged: bool = False
    refused: bool = False
    clean: bytes | None = None
    bits: int = 0

    def problem(self, kind: str, reason: str) -> None:
        if len(self.problems) < 50 and (kind, reason) not in self.problems:
            self.problems.append((kind, reason))

    def damage(self, kind: str, reason: str) -> None:
        self.damaged = True
        self.problem(kind, reason)


def _expand(data: bytes | memoryview, limit: int) -> tuple[bytes, bool]:
    """Inflate at most `limit` bytes; True beside them where more would come."""
    worker = zlib.decompressobj()
    try:
        out = worker.decompress(bytes(data), limit + 1)
    except zlib.error:
        return b"", False
    return out[:limit], len(out) > limit


def _png_text(layout: Layout, kind: bytes, body: memoryview) -> None:
    raw = bytes(body)
    key, _, rest = raw.partition(b"\x00")
    name = "PNG:" + key[:79].decode("latin-1")
    if kind == b"tEXt":
        value = rest[:4096].decode("latin-1")
    elif kind == b"zTXt":
        out, more = _expand(rest[1:], MAX_TEXT)
        if more:
            layout.problem("limit.metadata", f"text block {name} expands beyond {MAX_TEXT} bytes")
        value = out[:4096].decode("latin-1")
    else:
        packed, _, rest = rest[:1] == b"\x01", rest[:2], rest[2:]
        rest = rest.partition(b"\x00")[2].partition(b"\x00")[2]
        out, more = _expand(rest, MAX_TEXT) if packed else (rest[:MAX_TEXT], len(rest) > MAX_TEXT)
        if more:
            layout.problem("limit.metadata", f"text block {name} is longer than {MAX_TEXT} bytes")
        elif key == b"XML:com.adobe.xmp":
            layout.xmp.append(out)
            return
        value = out[:4096].decode("utf-8", "replace")
    if len(layout.text) < 100:
        layout.text.setdefault(name, value)


_PNG_MODES = {0: "L", 2: "RGB", 3: "P", 4: "LA", 6: "RGBA"}
_PNG_KEPT = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})


def read_png(data: memoryview) -> Layout:
    """Walk the chunks; `clean` is the same picture without metadata and with right checksums, for the decoder."""
    layout = Layout()
    kept: list[bytes] = [bytes(data[:8])]
    at, frames, claimed, blocks, pixels = 8, 0, 0, 0, 0
    while at + 12 <= len(data) and blocks < MAX_BLOCKS:
        blocks += 1
        length, kind = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + 8 + length]
        if at + 12 + length > len(data):
            layout.damage("truncated", f"PNG chunk {kind!r} ends beyond the data")
            if kind == b"IDAT":
                kept.append(_chunk(kind, body))
            break
        if zlib.crc32(data[at + 4 : at + 8 + length]) != struct.unpack_from(">I", data, at + 8 + length)[0]:
            layout.damage("corrupt", f"checksum of PNG chunk {kind!r} is wrong")
        if kind in _PNG_KEPT:
            kept.append(_chunk(kind, body))
        if kind == b"IHDR" and length >= 13 and not layout.width:
            layout.width, layout.height, depth, colour = struct.unpack_from(">IIBB", body)
            layout.mode = "1" if (depth, colour) == (1, 0) else "I;16" if (depth, colour) == (16, 0) else _PNG_MODES.get(colour, "")
        elif kind == b"IDAT":
            pixels += length
        elif kind == b"acTL" and length >= 8:
            (claimed,) = struct.unpack_from(">I", body)
        elif kind == b"fcTL":
            frames += 1
        else:
            _png_metadata(layout, kind, body)
        at += 12 + length
        if kind == b"IEND":
            layout.end = at
            break
    if layout.end is None and not layout.damaged:
        layout.damage("truncated", "PNG without its end chunk")
    layout.frames = max(1, min(frames, MAX_FRAMES))
    if claimed > MAX_FRAMES or frames > MAX_FRAMES:
        layout.problem("limit.frames", f"animation claims {claimed} frames, {frames} are there")
    layout.clean = b"".join(kept) + (b"" if layout.end is not None else _chunk(b"IEND", b""))
    return layout


def _png_metadata(layout: Layout, kind: bytes, body: memoryview) -> None:
    if kind == b"eXIf":
        layout.exif.append(body)
    elif kind in (b"tEXt", b"zTXt", b"iTXt"):
        _png_text(layout, kind, body)
    elif kind == b"iCCP":
        _, more = _expand(bytes(body).partition(b"\x00")[2][1:], MAX_ICC)
        if more:
            layout.problem("limit.metadata", f"colour profile expands beyond {MAX_ICC} bytes")


def _chunk(kind: bytes, body: bytes | memoryview) -> bytes:
    return struct.pack(">I4s", len(body), kind) + bytes(body) + struct.pack(">I", zlib.crc32(body, zlib.crc32(kind)))


def _gif_blocks(data: memoryview, at: int) -> int:
    """Skip data sub-blocks; return the offset behind their end mark, or -1 where the data end first."""
    while at < len(data):
        size = data[at]
        at += 1 + size
        if size == 0:
            return at
    return -1


def read_gif(data: memoryview) -> Layout:
    """Walk the blocks and count frames; the size is the largest of the canvas and the reach of the frames."""
    layout = Layout(mode="P")
    if len(data) < 13:
        layout.damage("truncated", "GIF ends in its header")
        return layout
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    at = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    frames = 0
    reach_x, reach_y = width, height
    while 0 <= at < len(data):
        mark = data[at]
        if mark == 0x3B:
            layout.end = at + 1
            break
        if mark == 0x21:
            at = _gif_blocks(data, at + 2)
        elif mark == 0x2C and at + 10 > len(data):
            break
        elif mark == 0x2C:
            left, top, wide, high, local = struct.unpack_from("<HHHHB", data, at + 1)
            reach_x, reach_y = max(reach_x, left + wide), max(reach_y, top + high)
            following = _gif_blocks(data, at + 11 + (3 << (local & 7) + 1 if local & 0x80 else 0))
            frames += 1 if following >= 0 else 0
            at = following
            if frames >= MAX_FRAMES:
                layout.problem("limit.frames", f"more than {MAX_FRAMES} frames")
                break
        else:
            layout.damage("corrupt", f"GIF block of unknown kind 0x{mark:02x} at {at}")
            break
    if layout.end is None and not layout.problems:
        layout.damage("truncated", "GIF ends before its trailer")
    layout.width, layout.height, layout.frames = reach_x, reach_y, max(1, frames)
    return layout


def read_webp(data: memoryview) -> Layout:
    """Walk the RIFF chunks."""
    layout = Layout(mode="RGB")
    size = struct.unpack_from("<I", data, 4)[0] if len(data) >= 12 else 0
    end = 8 + size + (size & 1)
    if end > len(data) + 1:
        layout.damage("truncated", "WebP ends before its RIFF size")
    else:
        layout.end = min(end, len(data))
    at, frames, blocks = 12, 0, 0
    while at + 8 <= min(end, len(data)) and blocks < MAX_BLOCKS:
        blocks += 1
        kind, length = struct.unpack_from("<4sI", data, at)[0], struct.unpack_from("<I", data, at + 4)[0]
        body = data[at + 8 : at + 8 + length]
        _webp_chunk(layout, bytes(kind), body)
        frames += kind == b"ANMF"
        at += 8 + length + (length & 1)
    layout.frames = max(1, min(frames, MAX_FRAMES))
    if frames > MAX_FRAMES:
        layout.problem("limit.frames", f"{frames} frames")
    if not layout.width:
        layout.damage("corrupt", "WebP without a picture")
    return layout


def _webp_chunk(layout: Layout, kind: bytes, body: memoryview) -> None:
    if kind == b"VP8X" and len(body) >= 10:
        layout.width = 1 + int.from_bytes(body[4:7], "little")
        layout.height = 1 + int.from_bytes(body[7:10], "little")
        layout.mode = "RGBA" if body[0] & 0x10 else "RGB"
    elif kind == b"VP8 " and len(body) >= 10:
        wide, high = struct.unpack_from("<HH", body, 6)
        layout.width, layout.height = max(layout.width, wide & 0x3FFF), max(layout.height, high & 0x3FFF)
    elif kind == b"VP8L" and len(body) >= 5:
        bits = int.from_bytes(body[1:5], "little")
        layout.width, layout.height = max(layout.width, 1 + (bits & 0x3FFF)), max(layout.height, 1 + (bits >> 14 & 0x3FFF))
        if bits >> 28 & 1:
            layout.mode = "RGBA"
    elif kind == b"EXIF":
        layout.exif.append(body)
    elif kind == b"XMP ":
        layout.xmp.append(body)


def read_bmp(data: memoryview) -> Layout:
    """Read the DIB header; old OS/2 headers have 16-bit sizes."""
    layout = Layout(mode="RGB")
    if len(data) < 26:
        layout.damage("truncated", "BMP ends in its header")
        return layout
    (info,) = struct.unpack_from("<I", data, 14)
    if info == 12:
        wide, high, _, depth = struct.unpack_from("<HHHH", data, 18)
    elif len(data) >= 30:
        wide, high, _, depth = struct.unpack_from("<iiHH", data, 18)
    else:
        wide, high, depth = 0, 0, 0
    layout.width, layout.height = abs(wide), abs(high)
    layout.mode = {1: "1", 4: "P", 8: "P"}.get(depth, "RGB")
    claimed, offset = struct.unpack_from("<I", data, 2)[0], struct.unpack_from("<I", data, 10)[0]
    plain = info == 12 or (len(data) >= 34 and struct.unpack_from("<I", data, 30)[0] in (0, 3))
    needed = offset + (layout.width * depth + 31) // 32 * 4 * layout.height if plain else 0
    if needed > len(data):
        layout.damage("truncated", f"BMP needs {needed} bytes, there are {len(data)}")
    elif needed or claimed:
        layout.end = max(needed, claimed) if max(needed, claimed) <= len(data) else None
    return layout


def read_ico(data: memoryview) -> Layout:
    """Take the largest entry of the directory (a side of 0 means 256); the picture inside is checked by the decoder."""
    layout = Layout(mode="RGBA")
    count = struct.unpack_from("<H", data, 4)[0] if len(data) >= 6 else 0
    for i in range(min(count, 256)):
        entry = data[6 + 16 * i : 22 + 16 * i]
        if len(entry) == 16:
            layout.width, layout.height = max(layout.width, entry[0] or 256), max(layout.height, entry[1] or 256)
    return layout


READERS: dict[str, Callable[[memoryview], Layout]] = {
    "image/png": read_png,
    "image/gif": read_gif,
    "image/webp": read_webp,
    "image/bmp": read_bmp,
    "image/vnd.microsoft.icon": read_ico,
}

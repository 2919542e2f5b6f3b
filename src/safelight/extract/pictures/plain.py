"""The outside of the formats that Pillow alone reads: Photoshop, TGA, PCX, PNM, QOI, SGI, DDS, Sun raster, icons, BMP without a file header.

Only the size is taken (and of Photoshop files the metadata), so that a claim is refused before a decoder sees it. Facts: Adobe Photoshop
File Formats Specification (2019), Truevision TGA 2.0, ZSoft PCX 5, Netpbm's manual pages, QOI 1.0, SGI image file format 1.00, Microsoft's
DDS programming guide, Sun's rasterfile(5), Apple's icon types as `iconutil` writes them.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator

from safelight.extract.pictures.layouts import Layout, read_bmp

MAX_RESOURCES = 2_000
MAX_METADATA = 8 << 20
PSD_MODES = {0: "1", 1: "L", 2: "P", 3: "RGB", 4: "CMYK", 7: "RGB", 8: "L", 9: "LAB"}
EXIF, XMP, THUMBNAIL = 1058, 1060, 1036


def _header(data: memoryview, form: str, at: int, name: str) -> tuple[int, ...] | Layout:
    """Return fields at a place, or a layout that says that the file ends in its header."""
    if at + struct.calcsize(form) <= len(data):
        return struct.unpack_from(form, data, at)
    layout = Layout()
    layout.damage("truncated", f"{name} ends in its header")
    return layout


def _sized(form: str, at: int, name: str, modes: dict[int, str] | None = None) -> Callable[[memoryview], Layout]:
    """Return a reader of a header whose fields are width, height and, where `modes` says what it means, one more."""

    def read(data: memoryview) -> Layout:
        fields = _header(data, form, at, name)
        if isinstance(fields, Layout):
            return fields
        return Layout(width=fields[0], height=fields[1], mode=modes.get(fields[2], "RGBA") if modes else "RGBA")

    return read


def read_photoshop(data: memoryview) -> Layout:
    """Size, EXIF, XMP and the thumbnail of the image resources; the thumbnail stands in where no library reads the pixels."""
    fields = _header(data, ">IIHH", 14, "Photoshop file")
    if isinstance(fields, Layout):
        return fields
    height, width, depth, mode = fields
    layout = Layout(width=width, height=height, mode=PSD_MODES.get(mode, "RGB"))
    for name, at, size in _resources(data):
        body = data[at : at + size]
        if name == EXIF:
            layout.exif.append(body)
        elif name == XMP and not layout.xmp:
            layout.xmp.append(body)
        elif name == THUMBNAIL and bytes(body[28:30]) == b"\xff\xd8":
            layout.thumbnails.append(bytes(body[28:]))
            if depth not in (1, 8) or data[5] != 1:
                layout.previews.append((at + 28, size - 28))
    return layout


def _resources(data: memoryview) -> Iterator[tuple[int, int, int]]:
    """Yield number, place and size of the image resources within bounds."""
    at, total = 26, 0
    if at + 4 > len(data):
        return
    at += 4 + struct.unpack_from(">I", data, at)[0]
    if at + 4 > len(data):
        return
    end = min(len(data), at + 4 + struct.unpack_from(">I", data, at)[0])
    at += 4
    for _ in range(MAX_RESOURCES):
        if at + 12 > end or bytes(data[at : at + 4]) != b"8BIM":
            return
        (number,) = struct.unpack_from(">H", data, at + 4)
        start = at + 6 + (1 + data[at + 6] + 1 & ~1)
        if start + 4 > end:
            return
        (size,) = struct.unpack_from(">I", data, start)
        total += size
        if start + 4 + size > end or total > MAX_METADATA:
            return
        yield number, start + 4, size
        at = start + 4 + size + (size & 1)


def read_pcx(data: memoryview) -> Layout:
    """The window of the header: both corners are inside."""
    fields = _header(data, "<HHHH", 4, "PCX file")
    if isinstance(fields, Layout):
        return fields
    left, top, right, bottom = fields
    return Layout(width=max(0, right - left + 1), height=max(0, bottom - top + 1), mode="RGB")


_PNM = re.compile(rb"P([1-6])(?:\s+(?:#[^\n]{0,4096}\n\s*)*)(\d{1,9})(?:\s+(?:#[^\n]{0,4096}\n\s*)*)(\d{1,9})\s")


def read_pnm(data: memoryview) -> Layout:
    """Magic number, width and height in decimal, comments between them."""
    found = _PNM.match(data[:16_384])
    layout = Layout()
    if found is None:
        layout.damage("corrupt", "PNM without a size")
        return layout
    layout.width, layout.height = int(found[2]), int(found[3])
    layout.mode = {b"1": "1", b"4": "1", b"2": "L", b"5": "L"}.get(found[1], "RGB")
    return layout


def read_dib(data: memoryview) -> Layout:
    """A bitmap without its file header, as the clipboard and programs keep it: 14 bytes are put before it to read it."""
    layout = read_bmp(memoryview(b"BM" + bytes(12) + bytes(data[:64])))
    return Layout(width=layout.width, height=layout.height, mode=layout.mode)


ICON_SIDES = {
    b"icp4": 16, b"icp5": 32, b"icp6": 64, b"ic07": 128, b"ic08": 256, b"ic09": 512, b"ic10": 1024, b"ic11": 32, b"ic12": 64, b"ic13": 256,
    b"ic14": 512, b"is32": 16, b"il32": 32, b"ih32": 48, b"it32": 128,
}  # fmt: skip


def read_icns(data: memoryview) -> Layout:
    """The largest icon of the bundle."""
    layout = Layout(mode="RGBA")
    at = 8
    for _ in range(256):
        if at + 8 > len(data):
            break
        kind, size = bytes(data[at : at + 4]), struct.unpack_from(">I", data, at + 4)[0]
        layout.width = layout.height = max(layout.width, ICON_SIDES.get(kind, 0))
        if size < 8:
            break
        at += size
    if not layout.width:
        layout.problem("unsupported", "no icon of a known type")
    return layout


def read_dds(data: memoryview) -> Layout:
    """Height stands before width here."""
    layout = _sized("<II", 12, "DDS file")(data)
    layout.width, layout.height = layout.height, layout.width
    return layout


PLAIN: dict[str, Callable[[memoryview], Layout]] = {
    "image/vnd.adobe.photoshop": read_photoshop,
    "image/x-tga": _sized("<HH", 12, "TGA file"),
    "image/x-pcx": read_pcx,
    "image/x-portable-pixmap": read_pnm,
    "image/x-portable-greymap": read_pnm,
    "image/x-portable-bitmap": read_pnm,
    "image/x-qoi": _sized(">IIB", 4, "QOI file", {3: "RGB"}),
    "image/x-sgi": _sized(">HHH", 6, "SGI file", {1: "L", 3: "RGB"}),
    "image/vnd.ms-dds": read_dds,
    "image/x-sun-raster": _sized(">III", 4, "Sun raster", {1: "1", 8: "P", 24: "RGB"}),
    "image/x-icns": read_icns,
    "image/x-ms-bmp": read_dib,
}

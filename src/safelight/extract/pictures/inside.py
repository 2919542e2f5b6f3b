"""What a picture carries inside: previews, thumbnails that show something else, and bytes behind its end.

A thumbnail is handed on when it does not look like its picture (rule in `differs`): the picture may have been cropped or
painted over by a program that left the old thumbnail. A tail is handed on when it begins like a file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from safelight.extract.filetype import detect
from safelight.extract.pictures.decoded import Decoded
from safelight.extract.pictures.exif import MAX_THUMBNAIL, Found
from safelight.extract.pictures.jpeg import decode_jpeg, read_jpeg
from safelight.extract.pictures.layouts import Layout
from safelight.extract.pictures.pdq import MATCH_DISTANCE, USABLE_QUALITY, hash_pixels, nearest
from safelight.records import Embedded

if TYPE_CHECKING:
    from PIL import Image

MAX_PREVIEW_BYTES = 64 << 20
MAX_TAIL = 256 << 20
TAIL_KINDS = frozenset({"image", "video", "audio", "archive", "document", "database", "program", "message"})
TAIL_MARKS = (b"PK\x03\x04", b"Rar!\x1a\x07", b"7z\xbc\xaf\x27\x1c", b"\xff\xd8\xff", b"\x89PNG\r\n", b"ftyp")
ASPECT_TOLERANCE = 0.2


def previews(view: memoryview, layout: Layout) -> list[Embedded]:
    """Hand on the second pictures of an MPO and the previews of a raw file."""
    out: list[Embedded] = []
    room = MAX_PREVIEW_BYTES
    for number, (at, size) in enumerate(layout.previews, 1):
        if 0 < size <= room and at + size <= len(view):
            room -= size
            out.append(Embedded(step=f"preview:{number}", name=f"preview-{number}.jpg".encode(), data=bytes(view[at : at + size])))
        else:
            layout.problem("limit.bytes", f"preview {number} of {size} bytes was left out")
    return out


def remember_thumbnail(layout: Layout, thumbnail: bytes) -> None:
    """Keep an EXIF thumbnail for `thumbnails`, first in line."""
    if thumbnail:
        layout.thumbnails.insert(0, thumbnail)


def thumbnails(layout: Layout, found: Found | None, decoded: Decoded | None) -> list[Embedded]:
    """Hand on thumbnails that do not look like the picture."""
    candidates = list(layout.thumbnails)
    if found is not None and found.thumbnail and not layout.previews:
        candidates.append(found.thumbnail)
    out: list[Embedded] = []
    for number, data in enumerate(dict.fromkeys(candidates)):
        if len(data) > MAX_THUMBNAIL or len(out) >= 4:
            continue
        if _is_other(data, layout, decoded):
            step = "thumbnail" if number == 0 else f"thumbnail:{number + 1}"
            out.append(Embedded(step=step, name=b"thumbnail.jpg", data=data))
    return out


def _is_other(data: bytes, layout: Layout, decoded: Decoded | None) -> bool:
    inner = read_jpeg(memoryview(data))
    if not 0 < inner.width * inner.height <= 4_000_000:
        layout.problem("metadata", "the embedded thumbnail has no usable size")
        return False
    own = decode_jpeg(memoryview(data), inner)
    if own is None or own.hashes is None:
        layout.problem("metadata", "the embedded thumbnail cannot be decoded")
        return False
    return decoded is None or decoded.hashes is None or differs(decoded, own)


def differs(picture: Decoded, thumbnail: Decoded) -> bool:
    """Say whether a thumbnail shows something else than its picture.

    Picture and thumbnail are brought to the same few points, so that PDQ filters both alike. With both qualities >= 50 they
    differ when the nearest of the eight turns is more than 31 bits away, for the whole thumbnail and for its middle without
    black bars (cameras letterbox 3:2 pictures into 4:3 thumbnails). Otherwise PDQ says nothing: then they differ when the
    aspect ratios (either way up) are more than 20 % apart, or the qualities more than 30.
    """
    assert picture.hashes is not None and thumbnail.hashes is not None
    qualities = picture.hashes.quality, thumbnail.hashes.quality
    small, whole = picture.small, thumbnail.small
    if min(qualities) < USABLE_QUALITY or small is None or whole is None:
        ratio = picture.width * thumbnail.height / (picture.height * thumbnail.width)
        turned = picture.height * thumbnail.height / (picture.width * thumbnail.width)
        off = min(max(r, 1 / r) for r in (ratio, turned)) - 1
        return off > ASPECT_TOLERANCE or abs(qualities[0] - qualities[1]) > 30
    middle = _without_bars(picture, whole)
    return not _alike(small, whole) and (middle is None or not _alike(small, middle))


def _alike(small: Image.Image, thumbnail: Image.Image) -> bool:
    """Compare two pictures by PDQ of what both surely have: 24 or 32 points a side.

    Cameras make thumbnails by leaving out pixels, so their own 64 x 64 samples are noise; measured on 26 true pairs and 650
    false ones of the test photos: true <= 26 (three more by other framing 58..84), false >= 92.
    """
    from PIL import Image

    for points in (24, 32):
        pixels = []
        for picture in (small, thumbnail):
            coarse = picture.convert("L").resize((points, points), Image.Resampling.BOX)
            pixels.append(coarse.resize((128, 128), Image.Resampling.BICUBIC).tobytes())
        turns = hash_pixels(pixels[0], 128, 128, 1).hashes
        if nearest(turns, hash_pixels(pixels[1], 128, 128, 1, False).hashes[0]) <= MATCH_DISTANCE:
            return True
    return False


def _without_bars(picture: Decoded, thumbnail: Image.Image) -> Image.Image | None:
    """Cut the middle of a thumbnail at the aspect ratio of its picture; None where that is all of it."""
    wide, high = thumbnail.size
    inner_high, inner_wide = round(wide * picture.height / picture.width), round(high * picture.width / picture.height)
    if inner_high < high - 1:
        top = (high - inner_high) // 2
        return thumbnail.crop((0, top, wide, top + max(5, inner_high)))
    if inner_wide < wide - 1:
        left = (wide - inner_wide) // 2
        return thumbnail.crop((left, 0, left + max(5, inner_wide), high))
    return None


def behind_the_end(view: memoryview, layout: Layout) -> list[Embedded]:
    """Note bytes behind the end of the picture (padding of one byte value is none) and hand on files among them."""
    if layout.end is None:
        return []
    end = max([layout.end, *(at + size for at, size in layout.previews)])
    tail = view[end:]
    sample = bytes(tail[:65536])
    if not len(tail) or (not sample.strip(sample[:1]) and _is_padding(tail)):
        return []
    layout.problem("trailing-data", f"{len(tail)} bytes behind the end of the picture at {end}")
    start = _file_start(tail, sample)
    if start is None or len(tail) - start > MAX_TAIL:
        return []
    kind = detect(bytes(tail[start : start + 65536]), len(tail) - start)
    name = f"tail-{end + start}.{kind.media_type.rpartition('/')[2]}".encode()
    return [Embedded(step=f"tail:{end + start}", name=name, data=bytes(tail[start:]))]


def _is_padding(tail: memoryview) -> bool:
    first = bytes(tail[:1])
    return all(not bytes(tail[i : i + 65536]).strip(first) for i in range(0, len(tail), 65536))


def _file_start(tail: memoryview, sample: bytes) -> int | None:
    """Offset of the first thing in the tail that has the signature of a file: at once, or behind a maker's trailer."""
    first = detect(sample, len(tail), bytes(tail[-65536:]) if len(tail) > 65536 else sample)
    if first.typed_by == "signature" and first.kind in TAIL_KINDS and first.media_type not in ("text/html", "image/svg+xml"):
        return 0
    searched = bytes(tail[: 16 << 20])
    places = [(searched.find(mark), mark) for mark in TAIL_MARKS]
    for at, mark in sorted(p for p in places if p[0] >= 0):
        start = at - 4 if mark == b"ftyp" else at
        if start >= 0 and detect(searched[start : start + 65536], len(tail) - start).kind in TAIL_KINDS:
            return start
    return None

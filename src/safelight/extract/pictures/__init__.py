"""The picture extractor: bytes in, facts and renditions out, everything that went wrong as problems.

`extract_picture` reads the structure first (size, metadata, where the picture ends), refuses what is over the budget, decodes
once, and hands on what hides inside: thumbnails that show something else, previews, bytes behind the end. It opens no file
and starts no thread or process; `warm_up` loads all libraries before the sandbox closes.
"""

from __future__ import annotations

import codecs

from safelight.extract import filetype
from safelight.extract.pictures import boxes, decoders, inside
from safelight.extract.pictures.decoded import Decoded, over_budget, over_pixels
from safelight.extract.pictures.exif import MAX_TAGS, Found, read_exif
from safelight.extract.pictures.jpeg import JpegLayout, decode_jpeg, read_jpeg
from safelight.extract.pictures.layouts import MAX_FRAMES, READERS, Layout
from safelight.extract.pictures.pdq import Hashes
from safelight.extract.pictures.plain import PLAIN
from safelight.extract.pictures.raws import RAW_TYPES, read_raw, read_tiff
from safelight.extract.pictures.renditions import Renditions, make
from safelight.extract.pictures.svg import refuse_svg
from safelight.extract.pictures.xmp import Refused, read_xmp
from safelight.records import Embedded, Exif, PdqForm, Picture, PictureResult

BOXED = {
    "image/heic": boxes.read_heif,
    "image/heif": boxes.read_heif,
    "image/heic-sequence": boxes.read_heif,
    "image/heif-sequence": boxes.read_heif,
    "image/avif": boxes.read_heif,
    "image/jp2": boxes.read_jp2,
    "image/x-jp2-codestream": boxes.read_jp2,
    "image/jxl": boxes.read_jxl,
}
LARGEST_SIDE = 2**31 - 1


def extract_picture(data: bytes | memoryview, media_type: str) -> PictureResult:
    """Extract one picture; `media_type` is what `filetype.detect` said. Never raises on evidence."""
    view = memoryview(data)
    if len(view) == 0:
        return PictureResult(problems=[("empty", "no bytes")])
    if media_type == "image/svg+xml":
        return PictureResult(problems=refuse_svg(bytes(view[: 4 << 20])))
    layout, found = read_layout(view, media_type)
    decoded = _decode(view, media_type, layout)
    exif = _metadata(layout, found)
    embedded = inside.previews(view, layout)
    embedded += inside.thumbnails(layout, found, decoded)
    embedded += inside.behind_the_end(view, layout)
    picture = _picture(media_type, layout, decoded, exif)
    return PictureResult(picture=picture, embedded=embedded, problems=layout.problems)


def read_layout(view: memoryview, media_type: str) -> tuple[Layout, Found | None]:
    """Read the structure of a file of any picture type, with the EXIF that the structure itself is made of (TIFF, raw)."""
    if media_type == "image/jpeg":
        return read_jpeg(view), None
    if reader := READERS.get(media_type) or PLAIN.get(media_type):
        return reader(view), None
    if media_type in BOXED:
        layout = BOXED[media_type](view)
        layout.frames = boxes.count_samples(view)
        if layout.frames > MAX_FRAMES:
            layout.problem("limit.frames", f"more than {MAX_FRAMES} pictures in a sequence")
            layout.frames = MAX_FRAMES
        return layout, None
    if media_type == "image/tiff":
        return read_tiff(view)
    if media_type in RAW_TYPES:
        return read_raw(view, media_type)
    layout = Layout()
    layout.problem("unsupported", f"no picture reader for {media_type}")
    return layout, None


def _decode(view: memoryview, media_type: str, layout: Layout) -> Decoded | None:
    """Check the budget by the header, then decode; raw files are decoded as their largest preview."""
    if layout.refused or any(kind == "unsupported" for kind, _ in layout.problems):
        return None
    if media_type in RAW_TYPES:
        return _decode_preview(view, layout)
    sequence = media_type.endswith("-sequence") or (layout.frames > 1 and not layout.width)
    if (layout.width <= 0 or layout.height <= 0) and not sequence:
        if not layout.damaged:
            layout.damage("corrupt", f"size of {layout.width} x {layout.height} pixels")
        return None
    reason = over_pixels(layout.width, layout.height)
    if reason is None and isinstance(layout, JpegLayout) and not layout.rare:
        decoded = decode_jpeg(view, layout)  # holds no plane of the whole picture: only pixels and coefficients are limited
        if decoded is not None:
            return decoded
    reason = reason or over_budget(media_type, layout.width, layout.height, layout.mode)
    if reason:
        layout.damage("limit.pixels", reason)
        return None
    decoded = decoders.decode(view, media_type, layout)
    if decoded is None and media_type in ("image/tiff", "image/vnd.adobe.photoshop") and layout.previews:
        decoded = _decode_preview(view, layout)
    return decoded


def _decode_preview(view: memoryview, layout: Layout) -> Decoded | None:
    """Decode the preview with the most pixels; the size stays that of the raw picture."""
    best: tuple[int, memoryview, JpegLayout] | None = None
    for at, size in layout.previews:
        inner = read_jpeg(view[at : at + size])
        pixels = inner.width * inner.height
        if inner.components in (1, 3) and pixels and (best is None or pixels > best[0]):
            best = (pixels, view[at : at + size], inner)
    if best is None:
        layout.damage("unsupported", "no embedded preview; sensor data are not developed")
        return None
    _, data, inner = best
    decoded = None if over_pixels(inner.width, inner.height) else decode_jpeg(data, inner)
    for kind, reason in inner.problems:
        layout.problem(kind, f"preview: {reason}")
    if decoded is None or decoded.hashes is None:
        layout.damage("unsupported", "the embedded preview cannot be decoded; sensor data are not developed")
        return None
    if not layout.width:
        layout.width, layout.height = decoded.width, decoded.height
    if not layout.exif and inner.exif:
        layout.exif.extend(inner.exif)
    decoded.decoder = "libjpeg-turbo (preview)"
    return decoded


def _metadata(layout: Layout, found: Found | None) -> Exif | None:
    """Join EXIF, XMP and text blocks into one record."""
    exif = found.exif if found is not None else None
    for blob in layout.exif:
        part = read_exif(blob)
        if part is None:
            layout.problem("metadata", "EXIF without a TIFF head")
            continue
        if part.faults:
            layout.problem("metadata", "EXIF: " + "; ".join(part.faults[:5]))
        if part.limited:
            layout.problem("limit.metadata", f"more than {MAX_TAGS} EXIF tags")
        inside.remember_thumbnail(layout, part.thumbnail)
        exif = part.exif if exif is None else exif
    properties = dict(layout.text)
    for packet in layout.xmp:
        try:
            properties.update((f"XMP:{k}", v) for k, v in read_xmp(packet).items())
        except Refused as refused:
            layout.problem(refused.kind, refused.reason)
    if properties:
        exif = exif if exif is not None else Exif()
        room = MAX_TAGS - len(exif.rest)
        exif.rest.update(list(properties.items())[: max(0, room)])
        exif.serial = exif.serial or properties.get("XMP:exifEX:BodySerialNumber") or properties.get("XMP:aux:SerialNumber")
        exif.lens_serial = exif.lens_serial or properties.get("XMP:exifEX:LensSerialNumber") or properties.get("XMP:aux:LensSerialNumber")
    return exif


def _picture(media_type: str, layout: Layout, decoded: Decoded | None, exif: Exif | None) -> Picture | None:
    width = layout.width or (decoded.width if decoded else 0)
    height = layout.height or (decoded.height if decoded else 0)
    if not 0 < width <= LARGEST_SIDE or not 0 < height <= LARGEST_SIDE:
        return None
    picture = Picture(width=width, height=height, frames=layout.frames, mode=layout.mode, complete=False, exif=exif)
    if decoded is None:
        return picture
    picture.decoder, picture.mode = decoded.decoder, decoded.mode or layout.mode
    if decoded.hashes is not None and decoded.small is not None:
        picture.complete = decoded.complete
        picture.pdq, picture.pdq_quality = decoded.hashes.hashes[0], decoded.hashes.quality
        picture.pdq_transforms = list(decoded.hashes.hashes)
        picture.white, picture.nearest = _form(decoded.white), _form(decoded.nearest)
        picture.trimmed = _form(decoded.trimmed, decoded.trimmed_box)
        drawn: Renditions = make(decoded.small, _upright(media_type, layout, exif))
        picture.protected, picture.drawing, picture.small = drawn
    return picture


def _form(found: Hashes | None, box: tuple[int, int, int, int] | None = None) -> PdqForm | None:
    return PdqForm(list(found.hashes), found.quality, box) if found is not None else None


def _upright(media_type: str, layout: Layout, exif: Exif | None) -> int | None:
    """HEIC is turned by its decoder; AVIF says its turn by irot and imir, and EXIF must then be ignored (ISO 23008-12)."""
    if media_type in decoders.HEIF:
        return 1
    return layout.turn if layout.turn is not None else exif.orientation if exif is not None else None


def warm_up() -> None:
    """Import and exercise every codec once, so that nothing is loaded lazily behind the closed door."""
    for name in ("utf-8", "latin-1", "ascii", "utf-16-le", "utf-16-be", "iso2022_jp"):
        b"".decode(name)
        codecs.lookup(name)
    read_xmp(b'<x xmlns="adobe:ns:meta/"/>')
    filetype.warm_up()
    decoders.warm_up()


__all__ = ["Embedded", "extract_picture", "read_layout", "warm_up"]

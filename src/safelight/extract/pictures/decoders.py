"""Decoding by libraries: Pillow with one named format at a time, pi-heif for HEIC, imagecodecs as the second reader.

A decode is strict first; when the data break off, the library is asked once more for the part that is there. Pixels are
handed to the PDQ kernel in bands, so no second copy of the picture is made. Any exception of a library is the answer to
hostile bytes: it becomes a reason, never a crash of the run.
"""

from __future__ import annotations

import base64
import io
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from safelight.extract.pictures.decoded import MAX_PIXELS, Decoded, over_budget
from safelight.extract.pictures.layouts import Layout
from safelight.extract.pictures.pdq import Hashes
from safelight.extract.pictures.renditions import SIDE

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

FORMATS = {
    "image/jpeg": ("JPEG",),
    "image/png": ("PNG",),
    "image/gif": ("GIF",),
    "image/webp": ("WEBP",),
    "image/bmp": ("BMP", "DIB"),
    "image/tiff": ("TIFF",),
    "image/avif": ("AVIF",),
    "image/jp2": ("JPEG2000",),
    "image/x-jp2-codestream": ("JPEG2000",),
    "image/vnd.microsoft.icon": ("ICO",),
    "image/vnd.adobe.photoshop": ("PSD",),
    "image/x-tga": ("TGA",),
    "image/x-pcx": ("PCX",),
    "image/x-portable-pixmap": ("PPM",),
    "image/x-portable-greymap": ("PPM",),
    "image/x-portable-bitmap": ("PPM",),
    "image/x-qoi": ("QOI",),
    "image/x-sgi": ("SGI",),
    "image/vnd.ms-dds": ("DDS",),
    "image/x-sun-raster": ("SUN",),
    "image/x-icns": ("ICNS",),
    "image/x-ms-bmp": ("DIB",),
}
HEIF = ("image/heic", "image/heif", "image/heic-sequence", "image/heif-sequence")
SECOND = {  # not AVIF: avif_decode of imagecodecs 2026.3.6 ends the process on damaged sequences (found by fuzzing)
    "image/jpeg": "jpeg_decode",
    "image/png": "png_decode",
    "image/gif": "gif_decode",
    "image/webp": "webp_decode",
    "image/tiff": "tiff_decode",
    "image/jp2": "jpeg2k_decode",
    "image/x-jp2-codestream": "jpeg2k_decode",
    "image/jxl": "jpegxl_decode",
}
READ_ONLY = ("PSD", "SUN")
"""Formats that Pillow does not write; their readers need nothing that the others do not load."""
BAND_PIXELS = 1 << 20


@contextmanager
def _settings(partial: bool) -> Iterator[None]:
    """Pillow's limits are ours while it runs; its warnings are not wanted on stderr."""
    from PIL import AvifImagePlugin, Image, ImageFile

    AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # the sandbox forbids threads
    before = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
    Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = MAX_PIXELS // 2, partial  # twice the value is its error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = before


Take = Callable[["Image.Image", str], Decoded]
"""What is done with the pixels of a decoded picture, and the name of the library: `measure`, or another use."""


def decode(
    data: bytes | memoryview, media_type: str, layout: Layout, take: Take | None = None, side: int = 0, mode: str = "L"
) -> Decoded | None:
    """Decode with the first library that can; None (and problems in `layout`) where none can.

    `take` is given the picture (default: `measure`). `side`: where the format allows, decode no larger than needed for so many pixels, in this mode.
    """
    use = take or measure
    source = layout.clean if layout.clean is not None else data
    attempts: list[tuple[str, Callable[[], Decoded]]] = []
    if media_type in FORMATS:
        attempts += [
            ("Pillow", lambda: _pillow(source, media_type, False, use, side, mode)),
            ("Pillow, partial", lambda: _pillow(source, media_type, True, use, side, mode)),
        ]
    if media_type in HEIF:
        attempts.append(("pi-heif", lambda: _heif(data, use)))
    # arrays of four channels do not say whether they are CMYK, and a size that no header gave cannot be budgeted
    # and of damaged files Pillow's partial decode keeps what is there
    if media_type in SECOND and layout.width > 0 and not layout.problems and not (layout.mode == "CMYK" and media_type == "image/jpeg"):
        second = getattr(layout, "rare", "") or SECOND[media_type]
        attempts.append(("imagecodecs", lambda: _second(data, second, layout, use)))
    if not attempts:
        layout.damage("unsupported", f"no decoder for {media_type}")
        return None
    reasons: list[str] = []
    for name, attempt in attempts:
        try:
            found = attempt()
        except MemoryError:
            layout.damage("limit.memory", f"{name}: not enough memory")
            return None
        except Exception as error:  # libraries answer hostile bytes with any exception; it is recorded below
            reasons.append(f"{name}: {_words(error)}"[:300])
            continue
        if reasons and name == "imagecodecs" and not layout.damaged:
            layout.problem("second-reader", f"{reasons[0]}; decoded by imagecodecs")
        elif reasons:
            layout.damage(_kind(reasons, layout, media_type), reasons[0])
        found.complete = not layout.damaged and name != "Pillow, partial"
        return found
    layout.damage(_kind(reasons, layout, media_type), "; ".join(dict.fromkeys(reasons))[:600])
    return None


def _words(error: Exception) -> str:
    """Name an exception without addresses of memory: the same file must give the same words everywhere."""
    return f"{type(error).__name__}: {re.sub(r'<[^<>]* at 0x[0-9a-f]+>', 'the data', str(error))}"


def _kind(reasons: list[str], layout: Layout, media_type: str) -> str:
    text = " ".join(reasons).lower()
    if "budget" in text or "decompressionbomb" in text.replace(" ", ""):
        return "limit.pixels"
    if any(k == "truncated" for k, _ in layout.problems) or "truncated" in text or "end of file" in text:
        return "truncated"
    if not layout.damaged and media_type in ("image/avif", "image/vnd.adobe.photoshop") and "cannot identify" in text:
        return "unsupported"  # the outside is sound, the coding is one the libraries do not know
    if "unsupported" in text or "not supported" in text or "not implemented" in text:
        return "unsupported"
    return "corrupt"


def _check(media_type: str, width: int, height: int, mode: str) -> None:
    reason = over_budget(media_type, width, height, mode)
    if reason:
        raise ValueError(f"beyond the budget: {reason}")


def _pillow(data: bytes | memoryview, media_type: str, partial: bool, take: Take, side: int, mode: str) -> Decoded:
    from PIL import Image

    with _settings(partial), Image.open(io.BytesIO(data), formats=FORMATS[media_type]) as image:
        _check(media_type, image.width, image.height, image.mode)
        if side:
            image.draft(mode, (side, side))  # JPEG only: grey, and scaled in the frequency domain
        image.load()
        return take(_unsigned(image), "Pillow")


def _unsigned(image: Image.Image) -> Image.Image:
    """Bring unsigned TIFF samples of 32 bits, which Pillow takes for signed ones, to their high byte."""
    import numpy as np
    from PIL import Image

    tags = getattr(image, "tag_v2", {})
    if image.mode != "I" or tags.get(258) != (32,) or tags.get(339, (1,)) not in ((1,), 1):
        return image
    return Image.fromarray((np.asarray(image).view(np.uint32) >> 24).astype(np.uint8))


def _heif(data: bytes | memoryview, take: Take) -> Decoded:
    import pi_heif

    pi_heif.options.DECODE_THREADS = 1
    pi_heif.options.THUMBNAILS = pi_heif.options.DEPTH_IMAGES = pi_heif.options.AUX_IMAGES = False
    opened = pi_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=True)
    primary = opened[opened.primary_index]
    width, height = primary.size
    _check("image/heic", width, height, primary.mode)
    return take(primary.to_pillow(), "pi-heif")


def _second(data: bytes | memoryview, name: str, layout: Layout, take: Take) -> Decoded:
    """Decode the first page by imagecodecs; arrays of any shape are brought to L, RGB or RGBA of 8 bits."""
    import numpy as np
    from PIL import Image

    options: dict[str, Any] = {"numthreads": 1} if name in ("jpegxl_decode", "jpeg2k_decode") else {}
    if name in ("tiff_decode", "gif_decode", "webp_decode", "jpegxl_decode"):
        options["index"] = 0
    array = _tiff_array(bytes(data), layout.mode, options) if name == "tiff_decode" else _array(name, bytes(data), options)
    while array.ndim > 3 or (array.ndim == 3 and array.shape[2] > 4):
        array = array[0]
    if array.size == 0 or array.ndim < 2:
        raise ValueError("no pixels")
    if array.dtype.kind == "f":
        array = (np.clip(np.nan_to_num(array), 0, 1) * 255 + 0.5).astype(np.uint8)
    elif array.dtype != np.uint8:
        array = (array >> max(0, (layout.bits or 8 * array.dtype.itemsize) - 8)).astype(np.uint8)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    return take(Image.fromarray(np.ascontiguousarray(array)), "imagecodecs")


def _array(name: str, data: bytes, options: dict[str, Any]) -> np.ndarray[Any, Any]:
    import imagecodecs
    import numpy as np

    return np.asarray(getattr(imagecodecs, name)(data, **options))


def _tiff_array(data: bytes, mode: str, options: dict[str, Any]) -> np.ndarray[Any, Any]:
    """Decode a page as it is stored, then as RGB where its values are not colours (palettes, CMYK, YCbCr).

    The way to RGB tells no error of a strip: it leaves black, a whole picture of it where the compression is unknown. So the stored
    samples come first, and their error counts. Floats and 32 bits have no way to RGB and are taken as stored.
    """
    stored = _array("tiff_decode", data, {**options, "asrgb": False})
    if mode in ("I;16", "F") or stored.dtype.kind == "f" or stored.dtype.itemsize > 2:
        planes_first = stored.ndim == 3 and stored.shape[0] in (3, 4) and stored.shape[2] > 4
        return stored.transpose(1, 2, 0) if planes_first else stored
    return _array("tiff_decode", data, {**options, "asrgb": True})


def measure(image: Image.Image, decoder: str) -> Decoded:
    """Hash a loaded picture and reduce it, band by band."""
    from PIL import Image

    from safelight.extract.pictures import forms
    from safelight.native import _pdq

    width, height = image.size
    factor = max(1, max(width, height) // SIDE)
    channels = 1 if image.mode in ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "F") and "transparency" not in image.info else 3
    has_alpha = image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info
    small_size = -(-width // factor), -(-height // factor)
    mode = "L" if channels == 1 else "RGB"
    small = Image.new(mode, small_size)
    small_white = Image.new(mode, small_size) if has_alpha else None
    hasher = _pdq.Hasher(width, height, channels, True)
    hasher_white = _pdq.Hasher(width, height, channels, True) if has_alpha else None
    rows = max(1, BAND_PIXELS // (width * factor)) * factor
    levels, transparent = levels_of(image), False
    nearest = forms.Nearest(width, height, mode)
    for top in range(0, height, rows):
        band = image.crop((0, top, width, min(height, top + rows)))
        plain, white, seen = flatten(band, mode, levels, has_alpha)
        transparent = transparent or seen
        pixels = plain.tobytes()
        nearest.take(pixels, plain.height, top)
        for picture, target, kernel in ((plain, small, hasher), (white, small_white, hasher_white)):
            if picture is not None and target is not None and kernel is not None:
                kernel.rows(pixels if picture is plain else picture.tobytes())
                target.paste(picture.reduce(factor) if factor > 1 else picture, (0, top // factor))
    found = Hashes(*hasher.finish())
    laid = Hashes(*hasher_white.finish()) if hasher_white is not None and transparent else None
    # what a viewer shows is the picture on white; where that is blank, what hides below the transparency is shown instead
    if laid is not None and small_white is not None and (laid.quality >= 10 or found.quality < laid.quality):
        small = small_white
    decoded = Decoded(width, height, image.mode, decoder, True, found, laid, small=small, nearest=nearest.hashes())

    def crop(left: int, top: int, right: int, bottom: int) -> Image.Image:
        plain, white, _ = flatten(image.crop((left, top, right, bottom)), mode, levels, has_alpha)
        return white if white is not None and transparent else plain

    decoded.trimmed_box = forms.find_box(width, height, crop)
    if decoded.trimmed_box is not None:
        decoded.trimmed = forms.hash_box(decoded.trimmed_box, mode, crop)
    return decoded


def levels_of(image: Image.Image) -> tuple[float, float]:
    """For whole numbers of 32 bits and floats: the range that becomes 0..255."""
    if image.mode == "F":
        low, high = image.getextrema()
        return float(low), float(high)  # type: ignore[arg-type]
    if image.mode == "I":
        high = int(image.getextrema()[1])  # type: ignore[arg-type]
        return 0.0, 255.0 if high <= 255 else 65535.0 if high <= 65535 else float(2**31 - 1)
    return 0.0, 255.0


def flatten(band: Image.Image, mode: str, levels: tuple[float, float], has_alpha: bool) -> tuple[Image.Image, Image.Image | None, bool]:
    """Return a band as L or RGB with transparency ignored, the same laid on white, and whether any pixel is transparent.

    16-bit grey keeps its high byte (threatexchange clips it instead); CMYK, palettes and 1 bit become RGB or L first: hashing
    their raw values gives a negative, palette numbers and a blank (research: 254 and 38 bits away).
    """
    import numpy as np
    from PIL import Image

    if band.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(band) >> 8).astype(np.uint8)), None, False
    if band.mode in ("I", "F"):
        low, high = levels
        scaled = (np.nan_to_num(np.asarray(band, np.float64)) - low) * (255.0 / (high - low) if high > low else 0.0)
        return Image.fromarray(np.clip(scaled, 0, 255).astype(np.uint8)), None, False
    if band.mode == "LAB":
        return band.getchannel("L").convert(mode), None, False
    if not has_alpha:
        return band.convert(mode), None, False
    full = band.convert("RGBA")
    alpha = full.getchannel("A")
    white = Image.new("RGB", full.size, (255, 255, 255))
    white.paste(full.convert("RGB"), mask=alpha)
    return full.convert("RGB").convert(mode), white.convert(mode), int(alpha.getextrema()[0]) < 255  # type: ignore[arg-type]


HEIC_SAMPLE = base64.b64decode(
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAVZtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAAACJpbG9jAAAAAERAAAEA"
    "AQAAAAABegABAAAAAAAAADsAAAAjaWluZgAAAAAAAQAAABVpbmZlAgAAAAABAABodmMxAAAAAA5waXRtAAAAAAABAAAA1mlwcnAAAAC3aXBjbwAAAHhodmND"
    "AQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMAAAMAHroCQGEAAQArQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbqSSmubgIaDAgA"
    "AAMAyAAAAwAIQGIAAQAHRAHBcrAiQAAAABNjb2xybmNseAABAA0ABoAAAAAUaXNwZQAAAAAAAABAAAAAQAAAABBwaXhpAAAAAAMICAgAAAAXaXBtYQAAAAAA"
    "AAABAAEEgQIDBAAAAENtZGF0AAAANygBrwtg+sg1iOfMKdNGsNW5ajuNWS0utILKFq8yPn7cgojNNkxLX2ujViaB33qltawR+w1J6TQ="
)
"""A gradient of 64 × 64 pixels as HEIC, made by code: the library decodes only, so the codec is exercised on a picture made elsewhere."""


def warm_up() -> None:
    """Import every library and decode one tiny picture of each format, so that plug-ins and tables are in memory."""
    import imagecodecs
    import numpy as np
    from PIL import Image, ImageFilter, ImageOps

    from safelight.native import _jpeg, _pdq

    del ImageFilter, ImageOps, _jpeg, _pdq
    Image.init()
    grey = np.full((16, 16, 3), 128, np.uint8)
    picture = Image.fromarray(grey)
    for media_type, names in FORMATS.items():
        if names[0] in READ_ONLY:
            continue
        out = io.BytesIO()
        picture.save(out, names[0])
        decode(out.getvalue(), media_type, Layout())
    for name in sorted({*SECOND.values(), "jpegls_decode"}):
        coded = getattr(imagecodecs, name.replace("_decode", "_encode"))(grey)
        getattr(imagecodecs, name)(coded)
    decode(HEIC_SAMPLE, "image/heic", Layout())

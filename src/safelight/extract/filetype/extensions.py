"""Whether a name fits its content: extensions of media, documents, archives and programs against detected types.

Only well-known extensions are judged, and whole families pass together (a docx is a ZIP, a DNG a TIFF): a false alarm in
every second row would hide the true ones.
"""

from __future__ import annotations

from safelight.extract.filetype.signatures import OLE_MARKS, FileType

FAMILIES: tuple[tuple[str, str], ...] = (
    ("jpg jpeg jpe jfif mpo thm", "image/jpeg"),
    ("png apng", "image/png"),
    ("gif", "image/gif"),
    ("webp", "image/webp"),
    ("bmp dib", "image/bmp image/x-ms-bmp"),
    ("psd psb", "image/vnd.adobe.photoshop"),
    (
        "tif tiff dng nef cr2 arw pef srw",
        "image/tiff image/x-adobe-dng image/x-nikon-nef image/x-canon-cr2 image/x-sony-arw image/x-pentax-pef",
    ),
    ("heic heif hif heics heifs avif avifs", "image/heic image/heif image/avif image/heic-sequence image/heif-sequence"),
    ("jxl", "image/jxl"),
    ("jp2 jpx j2k jpf j2c", "image/jp2 image/x-jp2-codestream"),
    ("mp4 m4v mov qt 3gp 3g2 m4a m4b f4v", "video/mp4 video/quicktime video/3gpp video/3gpp2 audio/mp4"),
    ("avi", "video/x-msvideo"),
    ("mkv webm mka mk3d", "video/x-matroska video/webm"),
    ("wmv wma asf", "video/x-ms-asf"),
    ("flv", "video/x-flv"),
    ("mp3", "audio/mpeg"),
    ("wav", "audio/x-wav"),
    ("flac", "audio/flac audio/ogg"),
    ("ogg oga ogv opus", "audio/ogg video/ogg"),
    ("pdf", "application/pdf"),
    ("zip docx xlsx pptx docm xlsm pptm odt ods odp epub jar apk ipa", "application/zip"),
    ("doc xls ppt msg dot xlt", "application/x-ole-storage"),
    ("7z", "application/x-7z-compressed"),
    ("rar cbr", "application/vnd.rar"),
    ("gz tgz", "application/gzip"),
    ("bz2 tbz2", "application/x-bzip2"),
    ("xz txz", "application/x-xz"),
    ("tar", "application/x-tar"),
    ("exe dll sys scr cpl", "application/vnd.microsoft.portable-executable"),
    ("pst ost", "application/vnd.ms-outlook-pst"),
)
_EXPECTED: dict[str, frozenset[str]] = {e: frozenset(types.split()) for names, types in FAMILIES for e in names.split()}
_TEXT_EXTENSIONS = frozenset(("txt", "log", "csv", "ini", "md"))


def _family(media_type: str) -> set[str]:
    """The type and the container it is made of: a docx is also a ZIP, an xls also an OLE store."""
    out = {media_type}
    if any(mark in media_type for mark in ("officedocument", "opendocument", "epub", "java-archive", "android.package")):
        out.add("application/zip")
    if media_type in {m for _, m in OLE_MARKS}:
        out.add("application/x-ole-storage")
    return out


def extension_mismatch(name: bytes, ft: FileType) -> str | None:
    """Return in words how the well-known extension of `name` contradicts its content, or None.

    Unknown extensions, empty files and content that nothing recognised (damaged or encrypted) are no contradiction; office
    files under the extension of a sibling format (docx as doc, rtf as doc) are ordinary and pass.
    """
    base = name.rsplit(b"/", 1)[-1]
    extension = base.rpartition(b".")[2].decode("ascii", "replace").lower() if b"." in base else ""
    if ft.kind == "empty" or ft.typed_by == "none":
        return None
    if extension in _TEXT_EXTENSIONS:
        wrong = ft.kind in ("image", "video", "audio", "archive", "program", "database") and ft.typed_by == "signature"
        return f"named .{extension}, content is {ft.media_type}" if wrong and ft.media_type != "image/svg+xml" else None
    expected = _EXPECTED.get(extension)
    if expected is None or expected & _family(ft.media_type):
        return None
    if "application/x-ole-storage" in expected and ft.kind in ("document", "text"):
        return None
    return f"named .{extension}, content is {ft.media_type}"

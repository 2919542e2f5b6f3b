"""The signatures of the types that decide what happens: magic numbers, brands, marks inside ZIP and OLE files, kinds.

Facts as published by the formats; libmagic knows the rest.
"""

from __future__ import annotations

from typing import NamedTuple


class FileType(NamedTuple):
    """A media type, the kind it belongs to (see records.CONTENTS) and how it was found: signature, libmagic, text, none."""

    media_type: str
    kind: str
    typed_by: str


MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (0, b"FUJIFILMCCD-RAW ", "image/x-fuji-raf"),
    (0, b"IIU\x00", "image/x-panasonic-rw2"),
    (0, b"IIRO", "image/x-olympus-orf"),
    (0, b"IIRS", "image/x-olympus-orf"),
    (0, b"MMOR", "image/x-olympus-orf"),
    (6, b"HEAPCCDR", "image/x-canon-crw"),
    (0, b"II+\x00\x08\x00\x00\x00", "image/tiff"),
    (0, b"MM\x00+\x00\x08\x00\x00", "image/tiff"),
    (0, b"\x00\x00\x00\x0cJXL \r\n\x87\n", "image/jxl"),
    (0, b"\xff\x0a", "image/jxl"),
    (0, b"\x00\x00\x00\x0cjP  \r\n\x87\n", "image/jp2"),
    (0, b"\xff\x4f\xff\x51\x00", "image/x-jp2-codestream"),
    (0, b"8BPS\x00\x01", "image/vnd.adobe.photoshop"),
    (0, b"8BPS\x00\x02", "image/vnd.adobe.photoshop"),
    (0, b"\x01\xda\x00\x01", "image/x-sgi"),
    (0, b"\x01\xda\x01\x01", "image/x-sgi"),
    (0, b"\x01\xda\x00\x02", "image/x-sgi"),
    (0, b"\x01\xda\x01\x02", "image/x-sgi"),
    (0, b"\x59\xa6\x6a\x95", "image/x-sun-raster"),
    (0, b"DDS \x7c\x00\x00\x00", "image/vnd.ms-dds"),
    (0, b"qoif", "image/x-qoi"),
    (0, b"SQLite format 3\x00", "application/vnd.sqlite3"),
    (0, b"%PDF-", "application/pdf"),
    (0, b"PK\x03\x04", "application/zip"),
    (0, b"PK\x05\x06", "application/zip"),
    (0, b"PK\x07\x08PK", "application/zip"),
    (0, b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (0, b"Rar!\x1a\x07\x00", "application/vnd.rar"),
    (0, b"Rar!\x1a\x07\x01\x00", "application/vnd.rar"),
    (0, b"\x1f\x8b\x08", "application/gzip"),
    (4, b"1AY&SY", "application/x-bzip2"),
    (4, b"\x17\x72\x45\x38\x50\x90", "application/x-bzip2"),
    (0, b"\xfd7zXZ\x00", "application/x-xz"),
    (0, b"\x28\xb5\x2f\xfd", "application/zstd"),
    (0, b"MSCF\x00\x00\x00\x00", "application/vnd.ms-cab-compressed"),
    (0, b"EVF\x09\x0d\x0a\xff\x00", "application/x-ewf"),
    (0, b"EVF2\x0d\x0a\x81\x00", "application/x-ewf"),
    (0, b"QFI\xfb", "application/x-qemu-disk"),
    (0, b"KDMV", "application/x-vmdk"),
    (0, b"COWD", "application/x-vmdk"),
    (0, b"# Disk DescriptorFile", "application/x-vmdk"),
    (0, b"conectix", "application/x-vhd"),
    (0, b"vhdxfile", "application/x-vhdx"),
    (0, b"MSWIM\x00\x00\x00", "application/x-ms-wim"),
    (257, b"ustar", "application/x-tar"),
    (0, b"\x1aE\xdf\xa3", "video/x-matroska"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c", "video/x-ms-asf"),
    (0, b"FLV\x01", "video/x-flv"),
    (0, b"\x00\x00\x01\xba", "video/mpeg"),
    (0, b"\x00\x00\x01\xb3", "video/mpeg"),
    (0, b"OggS\x00", "audio/ogg"),
    (0, b"fLaC", "audio/flac"),
    (0, b"ID3\x02", "audio/mpeg"),
    (0, b"ID3\x03", "audio/mpeg"),
    (0, b"ID3\x04", "audio/mpeg"),
    (0, b"#!AMR", "audio/amr"),
    (0, b"!BDN", "application/vnd.ms-outlook-pst"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage"),
    (0, b"\x7fELF", "application/x-elf"),
    (0, b"\xcf\xfa\xed\xfe", "application/x-mach-binary"),
    (0, b"{\\rtf", "application/rtf"),
    (0, b"#EXTM3U", "application/vnd.apple.mpegurl"),
    (0, b"ffconcat version", "text/plain"),
    (0, b"\x00\x00\x01\x00\x01\x00", "image/vnd.microsoft.icon"),
)

BRANDS = {
    b"heic": "image/heic", b"heix": "image/heic", b"heim": "image/heic", b"heis": "image/heic",
    b"hevc": "image/heic-sequence", b"hevx": "image/heic-sequence", b"hevm": "image/heic-sequence", b"hevs": "image/heic-sequence",
    b"mif1": "image/heif", b"mif2": "image/heif", b"msf1": "image/heif-sequence",
    b"avif": "image/avif", b"avis": "image/avif", b"crx ": "image/x-canon-cr3",
    b"qt  ": "video/quicktime", b"M4A ": "audio/mp4", b"M4B ": "audio/mp4", b"jp2 ": "image/jp2",
    b"3gp4": "video/3gpp", b"3gp5": "video/3gpp", b"3gp6": "video/3gpp", b"3g2a": "video/3gpp2",
}  # fmt: skip
"""Major brands of ISO 14496-12 files (mp4ra.org); all others are MP4."""

ATOMS = (b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot", b"udta")
"""First atoms of QuickTime files older than `ftyp`."""

ZIP_MARKS: tuple[tuple[bytes, str], ...] = (
    (b"word/", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    (b"xl/", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    (b"ppt/", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
    (b"AndroidManifest.xml", "application/vnd.android.package-archive"),
    (b"META-INF/MANIFEST.MF", "application/java-archive"),
)
OLE_MARKS: tuple[tuple[str, str], ...] = (
    ("WordDocument", "application/msword"),
    ("Workbook", "application/vnd.ms-excel"),
    ("PowerPoint Document", "application/vnd.ms-powerpoint"),
    ("__properties_version1.0", "application/vnd.ms-outlook"),
)

DOCUMENTS = (
    "msword",
    "officedocument",
    "opendocument",
    "ms-excel",
    "ms-powerpoint",
    "pdf",
    "rtf",
    "epub",
    "postscript",
    "html",
    "ole-storage",
)
DISK_IMAGES = ("x-ewf", "x-qemu-disk", "x-vmdk", "x-vhd", "x-ms-wim", "x-apple-diskimage")
ARCHIVES = ("zip", "x-7z", "rar", "gzip", "bzip2", "-xz", "zstd", "x-tar", "cab", "x-lzma", "x-compress", "java-archive", "android.package",
            "x-cpio", "x-archive", "x-lha", "x-iso9660", "x-arj", "x-ace", "x-stuffit", *DISK_IMAGES)  # fmt: skip
PROGRAMS = (
    "x-elf",
    "dosexec",
    "portable-executable",
    "mach-binary",
    "x-executable",
    "x-sharedlib",
    "x-pie",
    "x-object",
    "wasm",
    "x-java-applet",
)
MESSAGES = ("message/", "mbox", "ms-outlook")
DATABASES = ("sqlite", "msaccess", "x-dbf", "x-bdb", "x-esedb")

"""Every record and its Arrow schema. Nothing else in the program defines columns.

Each table is a tuple of `Column(name, type, doc)`; the Arrow schema, the DuckDB views and `docs/reference/tables.md` follow from
it. Digests are raw bytes, times are ns since 1970 with a basis, names are kept raw beside a readable form.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec


class Column(NamedTuple):
    """One column: its name, its type (`bin16 bin20 bin32 bin text i8 i16 i32 i64 f64 bool list<bin32> map`), what it says."""

    name: str
    type: str
    doc: str


ITEMS = (
    Column("item_id", "bin16", "SHA-256 of exhibit and origin, first 16 bytes: the place, named"),
    Column("exhibit", "text", "label of the exhibit"),
    Column("source", "i32", "number of the image or folder within the exhibit, from 1"),
    Column("ordinal", "i64", "position in the listing of the source (canonical order); members follow their archive"),
    Column("member", "i64", "0 for a listed entry, else the number of the member below it, in order of reading"),
    Column("parent_id", "bin16", "the archive, picture or document that holds this item; null for an entry of a file system"),
    Column("origin", "text", "the chain of steps from the exhibit to the bytes; opens them again"),
    Column("path_raw", "bin", "path inside the volume, bytes as stored"),
    Column("path", "text", "the same, readable: control, bidi and invalid characters are escaped"),
    Column("size", "i64", "bytes of content as the metadata say; null where unknown"),
    Column("allocated", "i64", "bytes allocated on the volume; null where unknown"),
    Column("state", "text", "live, deleted, orphan, overwritten, carved, embedded"),
    Column("type", "text", "file, directory, symlink, stream, virtual, label, device, fifo, socket, member, thumbnail, unknown"),
    Column("mtime", "i64", "last change of content, ns since 1970"),
    Column("atime", "i64", "last access, ns since 1970"),
    Column("ctime", "i64", "last change of metadata, ns since 1970"),
    Column("btime", "i64", "creation, ns since 1970"),
    Column("time_basis", "text", "utc, or local? where the file system stores local time without a zone"),
    Column("reader", "text", "the library that gave this entry"),
    Column("note", "text", "how sure the content is, e.g. assumed contiguous"),
    Column("readable", "bool", "whether there is content to read"),
    Column("link", "bin", "target of a symbolic link, bytes as stored"),
    Column("sha256", "bin32", "the content; null where there is none or it could not be read"),
    Column("problem", "text", "kind of the first problem of this item; null where there is none"),
    Column("reason", "text", "its reason, in words; all problems stand in their own table"),
)

CONTENTS = (
    Column("sha256", "bin32", "SHA-256"),
    Column("sha1", "bin20", "SHA-1"),
    Column("md5", "bin16", "MD5"),
    Column("size", "i64", "bytes"),
    Column("media_type", "text", "type by content; null after a run that was told to digest only"),
    Column("kind", "text", "image video audio document archive database message program text other empty"),
    Column("typed_by", "text", "signature, libmagic, decoder"),
)

PICTURES = (
    Column("sha256", "bin32", "the content"),
    Column("width", "i32", "pixels, as stored (before orientation)"),
    Column("height", "i32", "pixels, as stored"),
    Column("frames", "i32", "frames or pages"),
    Column("orientation", "i8", "EXIF orientation 1..8; null where not given"),
    Column("mode", "text", "how the pixels are stored: RGB, L, CMYK, P, LA, RGBA, 1, I;16 …"),
    Column("decoder", "text", "library that decoded the pixels"),
    Column("complete", "bool", "false where the picture is damaged and only a part was decoded"),
    Column("pdq", "bin32", "PDQ hash from full-size luma, alpha ignored"),
    Column("pdq_quality", "i16", "PDQ quality 0..100"),
    Column("pdq_transforms", "list<bin32>", "the eight exact turns and flips, see TRANSFORMS; the first is pdq itself"),
    Column("pdq_white", "bin32", "PDQ of the picture laid on white, where it has transparent pixels"),
    Column("pdq_white_quality", "i16", "its quality"),
    Column("pdq_white_transforms", "list<bin32>", "its eight turns and flips"),
    Column("pdq_trimmed", "bin32", "PDQ of the picture without its uniform border, where it has one (laid on white, if transparent)"),
    Column("pdq_trimmed_quality", "i16", "its quality"),
    Column("pdq_trimmed_transforms", "list<bin32>", "its eight turns and flips"),
    Column("trimmed_box", "text", "what was left of the picture: left,top,width,height in pixels as stored"),
    Column("pdq_nearest", "bin32", "PDQ of its 512 x 512 nearest pixels, as the C++ reference tool makes it; null up to 512 x 512"),
    Column("pdq_nearest_quality", "i16", "its quality"),
    Column("pdq_nearest_transforms", "list<bin32>", "its eight turns and flips"),
    Column("pack", "i32", "number of the pack of renditions (shard) of the exhibit"),
    Column("protected_at", "i64", "offset of the protected rendition in the pack of the shard"),
    Column("protected_size", "i32", "its length in bytes"),
    Column("drawing_at", "i64", "offset of the drawing rendition"),
    Column("drawing_size", "i32", "its length"),
    Column("small_at", "i64", "offset of the small rendition"),
    Column("small_size", "i32", "its length"),
    Column("exif_make", "text", "maker of the camera"),
    Column("exif_model", "text", "model of the camera"),
    Column("exif_serial", "text", "serial number of the camera body"),
    Column("exif_lens_serial", "text", "serial number of the lens"),
    Column("exif_software", "text", "software that wrote the file"),
    Column("exif_taken", "i64", "DateTimeOriginal (else DateTimeDigitized), ns since 1970, as if UTC when the basis is local?"),
    Column("exif_taken_basis", "text", "offset (OffsetTimeOriginal given; the instant is UTC) or local?"),
    Column("exif_gps_lat", "f64", "degrees north"),
    Column("exif_gps_lon", "f64", "degrees east"),
    Column("exif_gps_alt", "f64", "metres above sea level"),
    Column("exif_gps_time", "i64", "GPS time stamp, ns since 1970 UTC"),
    Column("exif", "map", "all other tags that were read, name to text"),
)

PROBLEMS = (
    Column("exhibit", "text", "label of the exhibit"),
    Column("source", "i32", "number of the image or folder within the exhibit"),
    Column("ordinal", "i64", "the listed entry it belongs to; -1 for a volume or container"),
    Column("member", "i64", "the member below that entry"),
    Column("number", "i64", "several problems of one item, in order"),
    Column("item_id", "bin16", "the item; null for a volume or container"),
    Column("origin", "text", "the place"),
    Column("step", "text", "open, list, extract"),
    Column("kind", "text", "one of the closed list in docs/reference/problems.md"),
    Column("reason", "text", "what happened, in words"),
    Column("complete", "bool", "whether the neighbours are complete"),
)

VOLUMES = (
    Column("exhibit", "text", "label of the exhibit"),
    Column("source", "i32", "number of the image or folder within the exhibit"),
    Column("volume", "text", "origin of the volume"),
    Column("filesystem", "text", "ntfs, ext4 …; null where none was recognised"),
    Column("label", "text", "volume label, readable"),
    Column("offset", "i64", "bytes from the start of the layer below"),
    Column("size", "i64", "bytes"),
    Column("entries_walk", "i64", "names found over the directory tree"),
    Column("entries_table", "i64", "records in use in the metadata table; null where the format has none"),
    Column("deleted", "i64", "deleted names among the entries"),
    Column("orphans", "i64", "entries without a folder"),
    Column("bytes_allocated", "i64", "bytes in use by the volume's own account"),
    Column("bytes_covered", "i64", "bytes of those that listed items cover"),
    Column("readers", "text", "libraries that listed it"),
)

MATCHES = (
    Column("sha256", "bin32", "the content"),
    Column("set", "text", "name of the hash set"),
    Column("version", "text", "its version"),
    Column("as", "text", "illegal, irrelevant, other: what the unit took it as"),
    Column("method", "text", "md5, sha1, sha256, pdq"),
    Column("distance", "i16", "bits that differ; 0 for digests"),
    Column("transform", "text", "turn or flip under which the picture matched; identity"),
    Column("form", "text", "full, white, trimmed or nearest: which form of the picture matched; panel: a rectangle inside it did"),
    Column("entry", "i64", "record position in the source of the set"),
    Column("category", "text", "category as stated, scheme:code; null where none"),
    Column("box", "text", "of the form panel: left,top,width,height of the rectangle in pixels as stored; else null"),
)

STACKS = (
    Column("sha256", "bin32", "the content"),
    Column("stack", "bin32", "its stack: SHA-256 of the representative"),
    Column("distance", "i16", "bits between this picture and the representative"),
    Column("size", "i64", "contents in the stack"),
    Column("rank", "i64", "place in the stack for people, from 1: most pixels, then highest PDQ quality, then smallest SHA-256"),
    Column("pdq", "bin32", "the hash by which it was stacked; null where it has none, or one of too low quality, and stands alone"),
)

FEATURES = (
    Column("sha256", "bin32", "the content"),
    Column("width", "i32", "pixels of the picture that the features are of, as stored"),
    Column("height", "i32", "pixels, as stored"),
    Column("plane_width", "i32", "pixels of the reduced picture that the points are places in"),
    Column("plane_height", "i32", "pixels"),
    Column("points", "bin", "6 bytes a point: x and y in 1/16 pixel of the plane (u16 LE), level of the pyramid, angle in 1/64 turn"),
    Column("descriptors", "bin", "32 bytes a point, in the same order: 256 comparisons of brightness around it"),
)

PANELS = (
    Column("sha256", "bin32", "the content: a screenshot or collage"),
    Column("number", "i16", "its panels from 1, the largest first"),
    Column("panel_left", "i32", "place of the rectangle in pixels of the picture as stored"),
    Column("panel_top", "i32", "pixels"),
    Column("panel_width", "i32", "pixels"),
    Column("panel_height", "i32", "pixels"),
    Column("pdq", "bin32", "PDQ of what is in it"),
    Column("pdq_quality", "i16", "its quality"),
    Column("pdq_transforms", "list<bin32>", "its eight turns and flips"),
)

VECTORS = (
    Column("sha256", "bin32", "the content"),
    Column("model", "bin32", "SHA-256 of the model that gave the vector"),
    Column(
        "vector", "bin", "numbers as IEEE half floats (LE), brought to length 1; the inner product of two is how alike the model finds them"
    ),
)

ALIKE = (
    Column("a", "bin32", "one content"),
    Column("b", "bin32", "the other; a < b"),
    Column(
        "method",
        "text",
        "features: corners agree on one map; descriptor: the same, brought together by the model alone; panel: PDQ of a rectangle in one",
    ),
    Column("relation", "text", "see RELATIONS"),
    Column("mirrored", "bool", "whether one is the mirror image of the other"),
    Column("inliers", "i32", "corners that agree, apart from one another; null for a panel"),
    Column("seen", "i32", "corners that the less detailed one of the two has where they agree; null for a panel"),
    Column("covered", "f64", "share of the cells of the common part in which corners agree; null for a panel"),
    Column("distance", "i16", "bits between the panel and the other picture; null for features"),
    Column("area_a", "f64", "share of a that the agreeing corners fill, or the panel"),
    Column("area_b", "f64", "share of b"),
    Column("box_a", "text", "left,top,width,height of the common part in pixels of a as stored"),
    Column("box_b", "text", "the same in b"),
    Column("map", "text", "x' = m0 x + m1 y + m2, y' = m3 x + m4 y + m5 from pixels of a to pixels of b; null for a panel"),
)

RELATIONS = {
    "same": "both show the same, mostly whole: another crop, turn, perspective, sticker",
    "a-in-b": "most of a is a part of b: a was cut out of b, or b is a collage or screenshot with a in it",
    "b-in-a": "most of b is a part of a",
    "part": "they share a part",
    "frame": "they share a thing laid on both (head and keys of an app, border, sticker, caption); the rest differs, or many other pictures have it",
}
"""How two pictures that are alike belong together."""

TABLES: dict[str, tuple[Column, ...]] = {
    "items": ITEMS,
    "contents": CONTENTS,
    "pictures": PICTURES,
    "problems": PROBLEMS,
    "volumes": VOLUMES,
    "matches": MATCHES,
    "stacks": STACKS,
    "features": FEATURES,
    "panels": PANELS,
    "vectors": VECTORS,
    "alike": ALIKE,
}

TRANSFORMS = ("identity", "rotate90", "rotate180", "rotate270", "flipx", "flipy", "flipplus1", "flipminus1")
"""Slots of `pdq_transforms`, as in the PDQ reference: rotate90 is counter-clockwise, flipx upside down, flipy left-right."""


class Exif(msgspec.Struct, array_like=True, kw_only=True, omit_defaults=False):
    """What a picture says about itself; text verbatim as stored (decoded, never cleaned)."""

    make: str | None = None
    model: str | None = None
    serial: str | None = None
    lens_serial: str | None = None
    software: str | None = None
    taken: int | None = None
    taken_basis: str | None = None
    gps_lat: float | None = None
    gps_lon: float | None = None
    gps_alt: float | None = None
    gps_time: int | None = None
    orientation: int | None = None
    rest: dict[str, str] = msgspec.field(default_factory=dict)


FORMS = ("full", "white", "trimmed", "nearest")
"""Forms of a picture that are matched, in order of preference where two are as near: `pdq` is full, the others are `pdq_FORM`."""


class PdqForm(msgspec.Struct, array_like=True):
    """One more form of a picture: its eight hashes in the order of TRANSFORMS, the quality, the rectangle (left, top, width, height)."""

    hashes: list[bytes]
    quality: int
    box: tuple[int, int, int, int] | None = None


class Picture(msgspec.Struct, array_like=True, kw_only=True):
    """What was found in a picture; renditions are JPEG bytes (empty where the picture could not be decoded)."""

    width: int
    height: int
    frames: int = 1
    mode: str = ""
    decoder: str = ""
    complete: bool = True
    pdq: bytes | None = None
    pdq_quality: int | None = None
    pdq_transforms: list[bytes] = msgspec.field(default_factory=list)
    white: PdqForm | None = None
    trimmed: PdqForm | None = None
    nearest: PdqForm | None = None
    protected: bytes = b""
    drawing: bytes = b""
    small: bytes = b""
    exif: Exif | None = None


class Embedded(msgspec.Struct, array_like=True, kw_only=True):
    """A stream inside a picture: an embedded thumbnail, a preview of a raw file, an archive behind the end. `step` is its part
    of the origin, e.g. `thumbnail` or `tail:1234`."""

    step: str
    name: bytes
    data: bytes


class Panel(msgspec.Struct, array_like=True):
    """A rectangle inside a picture: left, top, width, height in pixels of the picture, its eight hashes and their quality."""

    box: tuple[int, int, int, int]
    hashes: list[bytes]
    quality: int


class SecondLook(msgspec.Struct, array_like=True, kw_only=True):
    """What the second look found in a picture: features in a plane, panels in pixels of the picture."""

    width: int
    height: int
    plane_width: int = 0
    plane_height: int = 0
    points: bytes = b""
    descriptors: bytes = b""
    panels: list[Panel] = msgspec.field(default_factory=list)


class PictureResult(msgspec.Struct, array_like=True, kw_only=True):
    """The answer of the picture extractor: facts or none, streams inside, problems as (kind, reason)."""

    picture: Picture | None = None
    embedded: list[Embedded] = msgspec.field(default_factory=list)
    problems: list[tuple[str, str]] = msgspec.field(default_factory=list)


def schema(table: str) -> Any:
    """Return the Arrow schema of a table (pyarrow is imported late: the command line starts without it)."""
    import pyarrow as pa

    types = {
        "bin16": pa.binary(16),
        "bin20": pa.binary(20),
        "bin32": pa.binary(32),
        "bin": pa.binary(),
        "text": pa.string(),
        "i8": pa.int8(),
        "i16": pa.int16(),
        "i32": pa.int32(),
        "i64": pa.int64(),
        "f64": pa.float64(),
        "bool": pa.bool_(),
        "list<bin32>": pa.list_(pa.binary(32)),
        "map": pa.map_(pa.string(), pa.string()),
    }
    return pa.schema([pa.field(c.name, types[c.type]) for c in TABLES[table]])

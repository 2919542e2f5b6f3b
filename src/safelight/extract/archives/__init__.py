"""Archives as streams of members: ZIP by an own reader, single compressed streams by their codecs, the rest by libarchive.

No recursion: a member that is an archive itself is for the caller to open, with the same budget. No file is created and no
name of an entry is used as one. `docs/methods/containers.md` says what is read by what.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from safelight.escape import readable
from safelight.evidence.source import ByteSource, Unreadable
from safelight.extract.archives import libarchive, rar
from safelight.extract.archives import streams as archive_streams
from safelight.extract.archives import zip as archive_zip
from safelight.extract.archives.forward import ForwardSource
from safelight.extract.archives.member import BYTES_OUT, DEPTH, ENTRIES, RATIO, RATIO_FREE, Budget, Member
from safelight.problems import Problem

__all__ = [
    "BYTES_OUT",
    "DEPTH",
    "ENTRIES",
    "MEDIA_TYPES",
    "RATIO",
    "RATIO_FREE",
    "Budget",
    "ForwardSource",
    "Member",
    "is_archive",
    "members",
    "open_member",
    "scheme_of",
    "warm_up",
]

MEDIA_TYPES: dict[str, str] = {
    "application/zip": "zip",
    "application/x-zip-compressed": "zip",
    "application/java-archive": "zip",
    "application/vnd.android.package-archive": "zip",
    "application/x-tar": "tar",
    "application/gzip": "gz",
    "application/x-gzip": "gz",
    "application/x-bzip2": "bz2",
    "application/x-xz": "xz",
    "application/x-lzma": "lzma",
    "application/zstd": "zst",
    "application/x-7z-compressed": "7z",
    "application/vnd.rar": "rar",
    "application/x-rar": "rar",
    "application/x-rar-compressed": "rar",
    "application/vnd.ms-cab-compressed": "cab",
    "application/x-cpio": "cpio",
    "application/x-archive": "ar",
    "application/x-lzh-compressed": "lha",
    "application/x-lha": "lha",
    "application/x-compress": "z",
    "application/x-lz4": "lz4",
    "application/x-lzip": "lzip",
    "application/x-iso9660-image": "iso",
}
"""Media type to scheme, the first part of an origin step. Types that end in `+zip` or are Office documents are ZIP too."""

OFFICE = ("application/vnd.openxmlformats-officedocument.", "application/vnd.oasis.opendocument.")
STREAMS = frozenset({"gz", "bz2", "xz", "lzma", "zst"})
FORMATS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "tar": (("tar",), ()),
    "7z": (("7zip",), ()),
    "rar": (("rar", "rar5"), ()),
    "cab": (("cab",), ()),
    "cpio": (("cpio",), ()),
    "ar": (("ar",), ()),
    "lha": (("lha",), ()),
    "z": (("raw",), ("compress",)),
    "lz4": (("raw",), ("lz4",)),
    "lzip": (("raw",), ("lzip",)),
    "iso": (("iso9660",), ()),
}
"""Scheme to the formats and filters of libarchive that are switched on; no others, so that no other parser sees the bytes."""

SEVEN_ZIP = b"7z\xbc\xaf\x27\x1c"


def scheme_of(media_type: str) -> str | None:
    """The scheme that reads a media type, None where none does."""
    if media_type.endswith("+zip") or media_type.startswith(OFFICE):
        return "zip"
    return MEDIA_TYPES.get(media_type)


def is_archive(media_type: str) -> bool:
    """Whether `members` reads this media type."""
    return scheme_of(media_type) is not None


def warm_up() -> None:
    """Load libarchive and all codecs, before the sandbox closes `open`."""
    archive_streams.warm_up()
    libarchive.warm_up()


def members(source: ByteSource, media_type: str, budget: Budget) -> Iterator[Member | Problem]:
    """Yield the members in the order of the archive, and problems of the archive as a whole where they were met.

    Counts one entry of the budget for each member and the bytes that `Member.blocks` gives; does not count depth, the caller
    wraps it in `budget.inside()`. Never raises for what the archive holds: damage and limits end the list with a problem.
    """
    if not budget.bytes_in:
        budget.bytes_in = source.size
    links: set[bytes] = set()
    try:
        for found in _members(source, media_type, budget):
            if isinstance(found, Member):
                if found.link:
                    links.add(found.name.rstrip(b"/"))
                elif links and _through_a_link(found.name, links):
                    found.problems += (("unsafe-name", "the name goes through a link of the archive"),)
            yield found
    except Unreadable as error:
        yield Problem(error.kind, str(error), complete=False)


def _through_a_link(name: bytes, links: set[bytes]) -> bool:
    """Whether a folder on the way to this name is a link of the same archive: unpacking would write where the link points."""
    parts = name.split(b"/")
    return any(b"/".join(parts[:depth]) in links for depth in range(1, min(len(parts), 300)))


def open_member(source: ByteSource, media_type: str, index: int, budget: Budget | None = None) -> Iterator[bytes]:
    """Give the content of member `index` again, in blocks, without a budget unless one is given. Raise `Unreadable`."""
    for member in _members(source, media_type, budget):
        if isinstance(member, Member) and member.index == index:
            yield from member.blocks()
            return
    raise Unreadable("unreadable", f"the archive has no member {index}")


def _members(source: ByteSource, media_type: str, budget: Budget | None) -> Iterator[Member | Problem]:
    scheme = scheme_of(media_type)
    if scheme is None:
        raise Unreadable("unsupported", f"{media_type} is not an archive that is read")
    if not source.size:
        raise Unreadable("empty", "the archive has no bytes")
    if scheme == "zip":
        yield from archive_zip.members(source, budget)
    elif scheme in STREAMS:
        yield from _stream(source, scheme, budget)
    else:
        if scheme == "7z":
            _check_7z(source)
        yield from _by_libarchive(source, scheme, budget)


def _stream(source: ByteSource, scheme: str, budget: Budget | None) -> Iterator[Member | Problem]:
    if budget is not None:
        budget.entry()
    notes: list[Problem] = []
    name, mtime = archive_streams.gzip_header(source.read_at(0, 1 << 12)) if scheme == "gz" else (b"", None)
    yield Member(
        scheme,
        1,
        name,
        lambda: archive_streams.read_stream(source, scheme, lambda kind, reason: notes.append(Problem(kind, reason))),
        budget,
        mtime=mtime,
    )
    yield from notes


def _by_libarchive(source: ByteSource, scheme: str, budget: Budget | None) -> Iterator[Member | Problem]:
    headers: Iterator[rar.Header] = iter(())
    if scheme == "rar":
        headers = rar.headers(source)
        yield from _note_volume(source)
    reader = libarchive.Reader(source, *FORMATS[scheme])
    try:
        for index, entry in enumerate(reader.entries(), 1):
            if budget is not None:
                budget.entry()
            member = _member(reader, entry, scheme, index, budget)
            yield _referring(member, source, next(headers, None), budget) if scheme == "rar" else member
    finally:
        reader.close()


def _referring(member: Member, source: ByteSource, header: rar.Header | None, budget: Budget | None) -> Member:
    """A RAR5 member that is a reference to another one: libarchive 3.6 gives it as an empty file, and a junction as a folder."""
    if header is None or header.name != member.name or header.reference not in ("junction", "hardlink", "copy"):
        return member

    def read() -> Iterator[bytes]:
        reader = libarchive.Reader(source, *FORMATS["rar"])
        try:
            for entry in reader.entries():
                if entry.name == header.target and entry.size is not None:
                    yield from _member(reader, entry, "rar", 0, None).blocks()
                    return
        finally:
            reader.close()
        raise Unreadable("corrupt", f"it refers to {readable(header.target)}, which is no file of this archive")

    scheme, index = member.step.split(":")
    kind = "file" if header.reference == "copy" else "symlink" if header.reference == "junction" else "hardlink"
    return Member(
        scheme, int(index), member.name, read, budget, type=kind, mtime=member.mtime, encrypted=member.encrypted, link=header.target
    )


def _note_volume(source: ByteSource) -> Iterator[Problem]:
    part = rar.volume(source)
    if part.is_one:
        which = f"volume {part.number}" if part.number else "one volume"
        words = f"{which} of a RAR archive of several: volumes are not joined, members that are cut by their end are incomplete"
        yield Problem("missing-part", words, complete=False)


def _member(reader: libarchive.Reader, entry: libarchive.Entry, scheme: str, index: int, budget: Budget | None) -> Member:
    kind, link = entry.type, entry.symlink or b""
    if entry.hardlink is not None:
        kind, link = "hardlink", entry.hardlink
    elif kind == "unknown":
        kind = "file"
    raw = scheme in ("z", "lz4", "lzip")

    def read() -> Iterator[bytes]:
        if entry.encrypted:
            raise Unreadable("encrypted", "the member is encrypted")
        count = 0
        for block in reader.data():
            count += len(block)
            yield block
        if entry.size is not None and count != entry.size:
            raise Unreadable("truncated" if count < entry.size else "corrupt", f"{count} bytes, {entry.size} were announced")
        if entry.size is None and not count and scheme == "rar":
            raise Unreadable("unsupported", "libarchive gives no content for this member")

    return Member(
        scheme,
        index,
        b"" if raw else entry.name,
        read,
        budget,
        size=entry.size,
        type=kind,
        mtime=None if raw else entry.mtime,
        encrypted=entry.encrypted,
        link=link,
    )


def _check_7z(source: ByteSource) -> None:
    """A 7z archive says in its first 32 bytes where its directory ends: libarchive gives no reason when that is missing."""
    head = source.read_at(0, 32)
    if head[:6] == SEVEN_ZIP and len(head) == 32:
        offset, size = struct.unpack_from("<QQ", head, 12)
        if 32 + offset + size > source.size:
            words = f"the directory should end at {32 + offset + size}, the archive has {source.size} bytes"
            raise Unreadable("truncated", f"{words}; it is cut, or the first volume of several, which are not joined")

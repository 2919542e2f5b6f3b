"""The seams of the evidence path: what a byte source, a container, a volume scheme and a file system must offer.

Nothing here opens a path: the trusted parent opens the evidence read only and hands over file descriptors, and each layer
is built on the `read_at` of the layer below. A format is one file and one line in the tuple of its folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import msgspec

from safelight.problems import Problem


class Unreadable(Exception):
    """Bytes that could not be read. Carries a problem kind, so that the caller can record it and go on."""

    def __init__(self, kind: str, reason: str, offset: int = 0, size: int = 0) -> None:
        super().__init__(reason)
        self.kind, self.reason, self.offset, self.size = kind, reason, offset, size


class ByteSource(Protocol):
    """Any readable run of bytes: a disk, a volume, a file."""

    size: int

    def read_at(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes at `offset`; fewer only at the end, b"" beyond it. Raise `Unreadable` on failure.

        Never returns zeros in place of bytes that exist but could not be read. May be called in any order, again and again.
        """
        ...


class Segment(msgspec.Struct, frozen=True):
    """One file of an exhibit as given: the base name (bytes as stored) and its bytes."""

    name: bytes
    source: ByteSource


class StoredDigest(msgspec.Struct, frozen=True):
    """An acquisition digest that the container itself carries: algorithm (md5, sha1, sha256) and lower-case hex."""

    algorithm: str
    value: str


class Image(Protocol):
    """The logical stream of a container, with what the container says about itself."""

    size: int
    stored_digests: Sequence[StoredDigest]
    problems: Sequence[Problem]

    def read_at(self, offset: int, size: int) -> bytes: ...


class Container(Protocol):
    """A disk-image format. `detect` looks at bytes (head or tail), never only at names, must not raise and may not be fooled
    by a short file. `open` raises `Unreadable` (kind `corrupt`, `missing-part`, `unsupported`, `encrypted` …) when it cannot."""

    name: str

    def detect(self, segments: Sequence[Segment]) -> bool: ...
    def open(self, segments: Sequence[Segment]) -> Image: ...


class Partition(msgspec.Struct, frozen=True):
    """One run of a disk. `step` is its place in an origin, e.g. `gpt:2` or `mbr:5`; offsets and sizes in bytes."""

    step: str
    offset: int
    size: int
    type: str
    label: str = ""


class VolumeScheme(Protocol):
    """A partition table. `partitions` yields in table order; damaged entries are yielded as problems."""

    name: str

    def detect(self, disk: ByteSource) -> bool: ...
    def partitions(self, disk: ByteSource) -> Iterator[Partition | Problem]: ...


class Entry(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """One place that a file system knows: a name with its metadata and, perhaps, content.

    `address` reopens the content with `FileSystem.content`, e.g. `42-128-3` (NTFS record, attribute type and id as `fls` prints
    them) or `12`; two hard links share it. `path` is the raw path inside the volume as stored, without a leading slash; an
    alternate stream is `file:stream` as `fls` prints it. Times are ns since 1970; with basis `local?` they are the stored
    local time taken as if it were UTC.
    """

    address: str
    path: bytes
    size: int | None = None
    allocated: int | None = None
    state: str = "live"  # live deleted orphan overwritten carved embedded
    type: str = "file"  # file directory symlink stream virtual label device fifo socket whiteout unknown
    mtime: int | None = None
    atime: int | None = None
    ctime: int | None = None
    btime: int | None = None
    time_basis: str = "utc"  # utc, local?
    reader: str = ""
    has_content: bool = True
    note: str = ""  # e.g. "assumed contiguous", "clusters free"
    link: bytes = b""  # the target of a symbolic link, as stored
    problems: tuple[tuple[str, str], ...] = ()  # (kind, reason) of this entry


class Accounts(msgspec.Struct, frozen=True, kw_only=True):
    """What a volume says about itself against what was listed; None where the format does not tell.

    `entries_walk`: names found over the directory tree; `entries_table`: records in use in the metadata table;
    `bytes_allocated`: bytes the volume says are in use; `bytes_covered`: bytes of those that listed items cover.
    """

    entries_walk: int
    entries_table: int | None = None
    deleted: int = 0
    orphans: int = 0
    bytes_allocated: int | None = None
    bytes_covered: int | None = None
    readers: tuple[str, ...] = ()


class OpenFileSystem(Protocol):
    """An opened volume. `entries` is in canonical order (the same every time) and ends with the accounts known."""

    name: str  # ntfs, ext4, fat16, exfat, hfs+, apfs, xfs, iso9660 …
    label: str

    def entries(self) -> Iterator[Entry | Problem]: ...
    def accounts(self) -> Accounts:
        """Valid after `entries` was exhausted."""
        ...

    def content(self, address: str) -> ByteSource:
        """Open the bytes of an address; raise `Unreadable` when there are none."""
        ...


class FileSystem(Protocol):
    """A file-system format. `open` tries the first reader, then the second, and says so by a `second-reader` problem among
    the entries; it raises `Unreadable` when no reader can."""

    name: str

    def detect(self, volume: ByteSource) -> bool: ...
    def open(self, volume: ByteSource) -> OpenFileSystem: ...

"""QCOW2 versions 2 and 3: an own reader, since pyqcow returns zeros for deflated clusters of version 3 without an error.

Facts from QEMU's docs/interop/qcow2.txt. Reads L1/L2 tables, zlib and zstd clusters, zero clusters and backing files that are
among the segments. External data files and extended L2 entries are refused by name. Snapshots inside are noted, not read.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Callable, Sequence

from safelight.evidence.bytesource import Recent, clamp
from safelight.evidence.source import Image, Segment, StoredDigest, Unreadable
from safelight.problems import Problem

name = "qcow2"

MAGIC = b"QFI\xfb"
MAX_L1 = 32 << 20
"""Bytes of the L1 table, as in QEMU (QCOW_MAX_L1_SIZE)."""

RECENT_L2_BYTES = 16 << 20
RECENT_CLUSTER_BYTES = 8 << 20
MAX_BACKING = 16
OFFSET = 0x00FFFFFFFFFFFE00  # bits 9 to 55 of an L1 or L2 entry
COMPRESSED = 1 << 62
ZERO = 1
DIRTY, CORRUPT, EXTERNAL, COMPRESSION, EXTENDED = (1 << bit for bit in range(5))


def detect(segments: Sequence[Segment]) -> bool:
    """Whether the first segment is QCOW version 2 or 3 (version 1 is `qcow1`)."""
    head = segments[0].source.read_at(0, 8)
    return head[:4] == MAGIC and head[4:] in (b"\0\0\0\2", b"\0\0\0\3")


def warm_up() -> None:
    """Import what compressed clusters need."""
    import zstandard  # noqa: F401
    from zlib_ng import zlib_ng  # noqa: F401


def open(segments: Sequence[Segment]) -> Image:  # the name is that of the protocol
    """Open the first segment; the others are looked through for backing files, by name."""
    if len(segments) > MAX_BACKING:
        raise Unreadable("unsupported", f"{len(segments)} files, a chain of backing files may have {MAX_BACKING}")
    return Qcow2Image(segments)


class _Header:
    """The header, checked."""

    def __init__(self, source_size: int, head: bytes) -> None:
        if len(head) < 72:
            raise Unreadable("truncated", f"header of {len(head)} bytes")
        (self.version, self.backing_at, self.backing_length, self.cluster_bits, self.size, crypt, self.l1_length, self.l1_at) = (
            struct.unpack_from(">IQIIQIIQ", head, 4)
        )
        self.snapshots = struct.unpack_from(">I", head, 60)[0]
        self.features, self.zstd = 0, False
        if self.version == 3:
            if len(head) < 104:
                raise Unreadable("truncated", f"header of {len(head)} bytes")
            self.features = struct.unpack_from(">Q", head, 72)[0]
            length = struct.unpack_from(">I", head, 100)[0]
            if self.features & COMPRESSION:
                method = head[104] if length > 104 and len(head) > 104 else 0
                if method > 1:
                    raise Unreadable("unsupported", f"compression type {method}")
                self.zstd = method == 1
        if crypt:
            raise Unreadable("encrypted", {1: "AES (QCOW)", 2: "LUKS (QCOW)"}.get(crypt, f"method {crypt}"))
        if self.features & EXTERNAL:
            raise Unreadable("unsupported", "the data lie in an external data file")
        if self.features & EXTENDED:
            raise Unreadable("unsupported", "extended L2 entries")
        if self.features >> 5:
            raise Unreadable("unsupported", f"incompatible features {self.features:#x}")
        if not 9 <= self.cluster_bits <= 21:
            raise Unreadable("corrupt", f"clusters of 2^{self.cluster_bits} bytes")
        self.cluster = 1 << self.cluster_bits
        need = -(-self.size // (self.cluster * (self.cluster // 8)))
        if need > self.l1_length or need * 8 > MAX_L1:
            raise Unreadable("corrupt", f"L1 table of {self.l1_length} entries for a disk of {self.size} bytes")
        self.l1_length = need
        if self.l1_at + need * 8 > source_size:
            raise Unreadable("truncated", f"the file ends at {source_size}, the L1 table stands at {self.l1_at}")


class Qcow2Image:
    """The active disk of a QCOW2 file."""

    stored_digests: Sequence[StoredDigest] = ()

    def __init__(self, segments: Sequence[Segment]) -> None:
        self._source = segments[0].source
        head = self._source.read_at(0, 112)
        h = _Header(self._source.size, head)
        self.size, self._cluster, self._bits = h.size, h.cluster, h.cluster_bits
        self._zstd = h.zstd
        self._l1 = _table(self._source.read_at(h.l1_at, h.l1_length * 8))
        # A deflated cluster: offset in the low bits, number of further 512-byte sectors above it.
        self._offset_bits = 62 - (h.cluster_bits - 8)
        self._version = h.version
        self._l2: Recent[array[int]] = Recent(max(4, RECENT_L2_BYTES // h.cluster))
        self._clusters: Recent[bytes] = Recent(max(4, RECENT_CLUSTER_BYTES // h.cluster))
        problems = list(_notes(h))
        self._backing: Image | None = None
        self.backing_name = self._backing_name(h)
        self._orphan = False
        if self.backing_name:
            self._backing = self._open_backing(segments, problems)
        self.problems: Sequence[Problem] = tuple(problems)

    def _backing_name(self, h: _Header) -> bytes:
        if not h.backing_at:
            return b""
        if not 0 < h.backing_length <= 1023:
            raise Unreadable("corrupt", f"name of a backing file of {h.backing_length} bytes")
        return self._source.read_at(h.backing_at, h.backing_length)

    def _open_backing(self, segments: Sequence[Segment], problems: list[Problem]) -> Image | None:
        """Find the backing file by its base name among the other segments; its own backing files are looked for behind it."""
        from safelight.evidence.containers import open_image

        base = self.backing_name.replace(b"\\", b"/").rsplit(b"/", 1)[-1]
        rest = [s for s in segments[1:] if s.name == base] + [s for s in segments[1:] if s.name != base]
        if not rest or rest[0].name != base:
            self._orphan = True
            words = f"the backing file {base.decode('utf-8', 'backslashreplace')} is not there; clusters that lie in it are not read"
            problems.append(Problem("missing-part", words, complete=False))
            return None
        # A raw backing file must not swallow the other segments.
        kind, image = open_image(rest)
        if kind == "raw":
            kind, image = open_image(rest[:1])
        problems.extend(image.problems)
        return image

    def read_at(self, offset: int, size: int) -> bytes:
        """See `ByteSource.read_at`."""
        size = clamp(offset, size, self.size)
        parts: list[bytes] = []
        end = offset + size
        while offset < end:
            part = self._read_run(offset, end)
            parts.append(part)
            offset += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _read_run(self, offset: int, end: int) -> bytes:
        """Bytes from `offset` on: one cluster, or several that lie one behind the other."""
        number, inside = offset >> self._bits, offset & (self._cluster - 1)
        entry = self._entry(number)
        stop = min(end, (number + 1) << self._bits)
        if entry & COMPRESSED:
            return self._compressed(number, entry)[inside : inside + stop - offset]
        at = entry & OFFSET
        if self._version >= 3 and entry & ZERO:
            return bytes(stop - offset)
        if not at:
            while stop < end and not self._entry(stop >> self._bits):
                stop = min(end, stop + self._cluster)
            return self._below(offset, stop - offset)
        if at & (self._cluster - 1):
            raise self._bad(number, f"data at {at}, not on a cluster boundary")
        run = at
        while stop < end:
            following = self._entry(stop >> self._bits)
            run += self._cluster
            if following & COMPRESSED or (self._version >= 3 and following & ZERO) or following & OFFSET != run:
                break
            stop = min(end, stop + self._cluster)
        data = self._source.read_at(at + inside, stop - offset)
        if len(data) < stop - offset:
            raise self._bad(
                number, f"the file ends at {self._source.size}, {stop - offset} bytes should stand at {at + inside}", "truncated"
            )
        return data

    def _entry(self, number: int) -> int:
        """The L2 entry of a cluster; 0 where it is not allocated."""
        per_table = self._cluster // 8
        index, inside = divmod(number, per_table)
        at = self._l1[index] & OFFSET
        if not at:
            return 0
        table = self._l2.get(index)
        if table is None:
            raw = self._source.read_at(at, self._cluster)
            if len(raw) < self._cluster or at & (self._cluster - 1):
                raise self._bad(number, f"L2 table at {at} of a file of {self._source.size} bytes", "truncated" if at >= 0 else "corrupt")
            table = _table(raw)
            self._l2.put(index, table)
        entry: int = table[inside]
        return entry

    def _below(self, offset: int, size: int) -> bytes:
        """Unallocated: the backing file, zeros behind its end, zeros where there is none."""
        if self._orphan:
            raise Unreadable("missing-part", f"bytes {offset} to {offset + size} lie in a backing file that is not there", offset, size)
        if self._backing is None:
            return bytes(size)
        data = self._backing.read_at(offset, size)
        return data if len(data) == size else data + bytes(size - len(data))

    def _compressed(self, number: int, entry: int) -> bytes:
        data = self._clusters.get(number)
        if data is not None:
            return data
        at = entry & ((1 << self._offset_bits) - 1)
        sectors = ((entry & (COMPRESSED - 1)) >> self._offset_bits) + 1
        packed = self._source.read_at(at, sectors * 512 - (at & 511))
        if not packed:
            raise self._bad(number, f"compressed data at {at} of a file of {self._source.size} bytes", "truncated")
        inflate: Callable[[bytes, int], bytes] = _unzstd if self._zstd else _inflate
        try:
            data = inflate(packed, self._cluster)
        except Exception as error:  # the codecs have classes of their own in modules that are imported late
            raise self._bad(number, f"compressed cluster: {error}") from error
        if len(data) != self._cluster:
            short = at + sectors * 512 - (at & 511) > self._source.size
            raise self._bad(number, f"{len(data)} bytes instead of {self._cluster}", "truncated" if short else "corrupt")
        self._clusters.put(number, data)
        return data

    def _bad(self, number: int, why: str, kind: str = "corrupt") -> Unreadable:
        start = number << self._bits
        return Unreadable(
            kind, f"QCOW2 cluster {number}, bytes from {start} of the disk: {why}", start, min(self._cluster, self.size - start)
        )


def _notes(h: _Header) -> Sequence[Problem]:
    notes = []
    if h.snapshots:
        notes.append(Problem("unsupported", f"{h.snapshots} internal snapshots are not read; this is the active disk", complete=False))
    if h.features & DIRTY:
        notes.append(Problem("corrupt", "marked dirty: it was not closed; reference counts may be wrong, the data are read by the tables"))
    if h.features & CORRUPT:
        notes.append(Problem("corrupt", "marked corrupt by QEMU; the data are read by the tables", complete=False))
    return notes


def _table(raw: bytes) -> array[int]:
    table = array("Q", raw)
    if sys.byteorder == "little":
        table.byteswap()
    return table


def _inflate(packed: bytes, size: int) -> bytes:
    """Raw deflate; behind it stand the bytes of other clusters."""
    from zlib_ng import zlib_ng

    data: bytes = zlib_ng.decompressobj(-15).decompress(packed, size)
    return data


def _unzstd(packed: bytes, size: int) -> bytes:
    """One zstd frame, at most `size` bytes of it."""
    import zstandard

    with zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(packed) as reader:
        data: bytes = reader.read(size)
    return data

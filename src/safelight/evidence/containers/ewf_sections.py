"""The section chain of EWF (E01, S01) segment files: what stands where, checked by Adler-32, nothing decompressed but headers.

Facts from "Expert Witness Compression Format" (J. Metz, libewf documentation): a segment file starts with 13 bytes; sections
follow as 76-byte descriptors (type, offset of the next, size, Adler-32). Chunk offsets stand in `table` (and again in `table2`).
"""

from __future__ import annotations

import re
import struct
import zlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

from safelight.evidence.source import ByteSource, Segment, StoredDigest, Unreadable
from safelight.problems import Problem

MAGIC = b"EVF\x09\x0d\x0a\xff\x00"
DESCRIPTOR = 76
MAX_SECTIONS = 1 << 20
"""Sections of one segment file; a real one has a table per 2 GiB of data at most 16,375 (EnCase 1-5) to 65,534 chunks."""

MAX_SEARCHES = 64
"""Broken descriptors of one segment behind which the next sound one is searched for."""
MAX_CHUNK = 1 << 26
MAX_TABLE_ENTRIES = 1 << 24
MAX_HEADER = 1 << 20
DIGEST_LENGTHS = {"md5": 16, "sha1": 20}


def adler_fits(data: bytes, stored: bytes) -> bool:
    """Whether the little-endian Adler-32 `stored` is that of `data`."""
    return zlib.adler32(data) == int.from_bytes(stored, "little")


@dataclass(frozen=True)
class Table:
    """Where the offsets of a run of chunks stand: `at` and, as a second copy, `at2`, are positions of the 24-byte table header."""

    segment: int
    count: int
    at: int
    at2: int | None
    end: int  # where the data of the last chunk end, inside the segment file
    starts: array[int] | None = None  # chunks that were found without a table; the top bit of 64 says deflated


@dataclass
class Volume:
    """Geometry of the medium from a `volume` or `disk` section."""

    chunks: int
    chunk_size: int
    size: int


@dataclass
class Chain:
    """All that the sections of all segments say."""

    volume: Volume | None = None
    tables: list[Table] = field(default_factory=list)
    digests: list[StoredDigest] = field(default_factory=list)
    header: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    gaps: list[tuple[int, str]] = field(default_factory=list)  # (tables before it, problem kind): chunks are lost there
    done: bool = False
    smart: bool = False

    def damaged(self, kind: str, reason: str) -> None:
        self.problems.append(Problem(kind, reason, complete=False))

    def lose(self, kind: str, reason: str) -> None:
        """Note that an unknown number of chunks is lost at this point."""
        self.damaged(kind, reason)
        self.gaps.append((len(self.tables), kind))


def segment_number(head: bytes) -> int | None:
    """Return the number in the 13-byte file header, None where it is not an EWF header."""
    if len(head) < 13 or head[:8] != MAGIC or head[8] != 1 or head[11:13] != b"\0\0":
        return None
    return int.from_bytes(head[9:11], "little")


def read_chain(segments: Sequence[Segment]) -> Chain:
    """Walk the sections of all segments (in order of segment number). Raise `Unreadable` only where no segment is EWF."""
    chain, wanted, whole = Chain(), 1, True
    for index, segment in enumerate(segments):
        number = segment_number(segment.source.read_at(0, 13))
        if number is None:
            raise Unreadable("corrupt", f"{_text(segment.name)} is not an EWF segment")
        if number < wanted:
            raise Unreadable("corrupt", f"segment {number} is there twice")
        if number > wanted:
            which = f"segment {wanted} is" if number == wanted + 1 else f"segments {wanted} to {number - 1} are"
            chain.lose("missing-part", f"{which} not there")
        wanted = number + 1
        whole = _Walk(chain, segment, index).run()
    if not chain.done and whole:
        chain.lose("missing-part", f"segment {wanted} and what follows it are not there")
    return chain


class _Walk:
    """One pass over the sections of one segment file."""

    def __init__(self, chain: Chain, segment: Segment, index: int) -> None:
        self.chain, self.source, self.index = chain, segment.source, index
        self.name = _text(segment.name)
        self.sectors_at: int | None = None
        self.sectors_end: int | None = None
        self.pending: Table | None = None  # a table whose table2 may follow
        self.pending_at: int | None = None  # where its chunks begin

    def run(self) -> bool:
        """Walk; False where the chain of sections breaks off, so that an unknown number of chunks is lost."""
        at, lost, searches = 13, "", 0
        for _ in range(MAX_SECTIONS):
            descriptor = self.source.read_at(at, DESCRIPTOR)
            if len(descriptor) < DESCRIPTOR:
                lost, kind = f"{self.name} ends at {self.source.size}, a section should stand at {at}", "truncated"
                break
            following, size = struct.unpack_from("<QQ", descriptor, 16)
            if adler_fits(descriptor[:72], descriptor[72:]):
                if not self.section(descriptor[:16].split(b"\0", 1)[0], at, size, following):
                    break
                if following > at:
                    at = following
                    continue
                words, start = f"{self.name}: the section at {at} points back to {following}", at + DESCRIPTOR
            else:
                words, start = f"{self.name}: checksum of the section at {at} is wrong", at + 1
            searches += 1
            found = next_section(self.source, start) if searches <= MAX_SEARCHES else None
            if found is None:
                lost, kind = f"{words}; sections behind it are lost", "corrupt"
                break
            self.resumed(found, f"{words}; the next sound section stands at {found}")
            at = found
        self.settle()
        if lost:
            if self.sectors_at is not None and self.sectors_end is not None:
                self.salvage(self.sectors_at, self.sectors_end)
            self.chain.lose(kind, lost)
        return not lost

    def resumed(self, at: int, words: str) -> None:
        """Go on behind a broken descriptor. Chunks may be lost there; the number of chunks of the medium tells (see `EwfImage`)."""
        kind = self.source.read_at(at, 8)
        if kind == b"table\0\0\0" and self.sectors_end is None and not self.chain.smart:
            self.sectors_end = at  # the descriptor of the chunks is broken: they end where their table stands
        elif kind == b"table2\0\0" and self.pending is None and self.sectors_end is not None:
            self.pending = Table(self.index, 0, -1, None, self.sectors_end)  # the first copy is broken, the second is as good
            self.pending_at, self.sectors_at, self.sectors_end = self.sectors_at, None, None
        elif kind not in (b"table\0\0\0", b"table2\0\0"):
            self.settle()
            if self.sectors_at is not None and self.sectors_end is not None:
                self.salvage(self.sectors_at, self.sectors_end)
                self.sectors_at, self.sectors_end = None, None
        self.chain.lose("corrupt", words)

    def section(self, kind: bytes, at: int, size: int, following: int) -> bool:
        """Take one section; False where the chain of this segment ends."""
        body, end = at + DESCRIPTOR, max(following, at + DESCRIPTOR)
        if kind == b"done":
            self.chain.done = True
            return False
        if kind == b"next":
            return False
        if end > self.source.size:
            self.chain.damaged("truncated", f"{self.name} ends at {self.source.size}, inside its section {_text(kind)!r} at {at}")
        if kind in (b"volume", b"disk", b"data"):  # `data` repeats the volume section behind the chunks
            self.volume(body, end - body)
        elif kind == b"sectors":
            self.sectors_at, self.sectors_end = body, at + size if size else end
        elif kind in (b"table", b"table2"):
            self.table(kind, body, end)
        elif kind == b"error2":
            self.errors(self.source.read_at(body, min(end - body, MAX_HEADER)))
        elif kind in (b"hash", b"digest"):
            self.digest(kind, self.source.read_at(body, 80))
        elif kind in (b"header", b"header2"):
            self.header(kind, self.source.read_at(body, min(end - body, MAX_HEADER)))
        return True

    def volume(self, at: int, size: int) -> None:
        if self.chain.volume is not None:
            return
        body = self.source.read_at(at, min(size, 1052))
        if len(body) >= 1052 and adler_fits(body[:1048], body[1048:1052]):
            chunks, per_chunk, sector, sectors = struct.unpack_from("<IIIQ", body, 4)
        elif len(body) >= 94 and adler_fits(body[:90], body[90:94]):
            chunks, per_chunk, sector, sectors = struct.unpack_from("<IIII", body, 4)
            self.chain.smart = body[85:90] == b"SMART"
        else:
            if len(body) >= 94:  # a `data` section of other forms may be shorter and is no loss
                self.chain.damaged("corrupt", f"{self.name}: the volume section at {at} is damaged")
            return
        if not 0 < per_chunk * sector <= MAX_CHUNK:
            self.chain.damaged("corrupt", f"{self.name}: chunks of {per_chunk} sectors of {sector} bytes")
            return
        self.chain.volume = Volume(chunks, per_chunk * sector, sectors * sector)

    def table(self, kind: bytes, body: int, end: int) -> None:
        count = _table_count(self.source.read_at(body, 24))
        if kind == b"table2":
            first, self.pending = self.pending, None
            if first is not None:
                self._add(Table(first.segment, first.count or count or 0, first.at, body, first.end))
            return
        self.settle()
        # In S01 the chunks stand behind the offsets in the table section itself; in E01 in the sectors section before it.
        data_end = end if self.sectors_end is None else self.sectors_end
        self.pending = Table(self.index, count or 0, body, None, data_end)
        self.pending_at, self.sectors_at, self.sectors_end = self.sectors_at, None, None

    def settle(self) -> None:
        """Close a table without a second copy."""
        first, self.pending = self.pending, None
        if first is not None:
            self._add(first)

    def _add(self, table: Table) -> None:
        if not 0 < table.count <= MAX_TABLE_ENTRIES:
            if self.pending_at is not None:
                self.salvage(self.pending_at, table.end)
            self.chain.lose("corrupt", f"{self.name}: both copies of the table at {table.at} are damaged")
            return
        self.chain.tables.append(table)

    def salvage(self, at: int, end: int) -> None:
        """Find chunks whose table is lost: they lie one behind the other, a deflated one ends by itself, a stored one is as long
        as a chunk and its Adler-32. The first that fits neither ends the search."""
        if self.chain.volume is None:
            return
        chunk, starts, end = self.chain.volume.chunk_size, array("Q"), min(end, self.source.size)
        while at < end:
            length, deflated = chunk_length(self.source.read_at(at, min(chunk + 1024, end - at)), chunk)
            if not length:
                break
            starts.append(at | deflated << 63)
            at += length
        if starts:
            words = f"{self.name}: a table is lost; {len(starts)} chunks were found without it"
            self.chain.problems.append(Problem("corrupt", words, complete=False))
            self.chain.tables.append(Table(self.index, len(starts), -1, None, at, starts))

    def errors(self, body: bytes) -> None:
        """Ranges that the acquisition could not read: the image has zeros there, which are not the bytes of the medium."""
        count = int.from_bytes(body[:4], "little")
        if len(body) < 520 or not adler_fits(body[:516], body[516:520]) or not count:
            return
        ranges = list(struct.iter_unpack("<II", body[520 : 520 + 8 * min(count, (len(body) - 520) // 8)]))
        sectors = sum(length for _, length in ranges)
        first = ", ".join(f"{start} to {start + length - 1}" for start, length in ranges[:8])
        words = f"{sectors} sectors could not be read when the image was made and are zeros in it: sectors {first}"
        self.chain.problems.append(Problem("unreadable", words + (" …" if count > 8 else "")))

    def digest(self, kind: bytes, body: bytes) -> None:
        """`hash`: MD5, 16 unknown, Adler-32; `digest`: MD5, SHA-1, 40 zero, Adler-32."""
        length, parts = (36, ("md5",)) if kind == b"hash" else (80, ("md5", "sha1"))
        if len(body) < length or not adler_fits(body[: length - 4], body[length - 4 : length]):
            self.chain.damaged("corrupt", f"{self.name}: the stored digest ({_text(kind)} section) is damaged")
            return
        at = 0
        for algorithm in parts:
            value = body[at : at + DIGEST_LENGTHS[algorithm]]
            at += len(value)
            digest = StoredDigest(algorithm, value.hex())
            if any(value) and digest not in self.chain.digests:
                self.chain.digests.append(digest)

    def header(self, kind: bytes, body: bytes) -> None:
        """Case number, examiner and so on: two rows of tab-separated names and values, deflated; UTF-16 in `header2`."""
        inflater = zlib.decompressobj()
        try:
            text = inflater.decompress(body, MAX_HEADER).decode("utf-16" if kind == b"header2" else "latin-1")
        except (zlib.error, UnicodeDecodeError):
            self.chain.problems.append(Problem("metadata", f"{self.name}: the {_text(kind)} section is damaged"))
            return
        lines = text.splitlines()
        if len(lines) >= 4:
            for key, value in zip(lines[2].split("\t"), lines[3].split("\t"), strict=False):
                if key and value:
                    self.chain.header.setdefault(key, value)


SECTIONS = re.compile(rb"(?:header2?|volume|disk|data|sectors|table2?|next|done|hash|digest|error2|session|xheader|xhash)\0{2,}")
SEARCHED = 1 << 20


def next_section(source: ByteSource, at: int) -> int | None:
    """Return where the next descriptor with a known name and a sound checksum stands, None where there is none."""
    while at + DESCRIPTOR <= source.size:
        piece = source.read_at(at, SEARCHED)
        for match in SECTIONS.finditer(piece):
            place = at + match.start()
            raw = source.read_at(place, DESCRIPTOR)
            if len(raw) == DESCRIPTOR and adler_fits(raw[:72], raw[72:]):
                return place
        at += max(1, len(piece) - DESCRIPTOR)
    return None


def chunk_length(data: bytes, chunk: int) -> tuple[int, bool]:
    """(length of the chunk at the start of `data`, whether it is deflated); length 0 where no sound chunk stands there."""
    if len(data) > 2 and data[0] & 0x0F == 8 and int.from_bytes(data[:2], "big") % 31 == 0:
        inflater = zlib.decompressobj()
        try:
            out = inflater.decompress(data, chunk + 1)
        except zlib.error:
            out = b""
        if inflater.eof and 0 < len(out) <= chunk:
            return len(data) - len(inflater.unused_data), True
    if len(data) >= chunk + 4 and adler_fits(data[:chunk], data[chunk : chunk + 4]):
        return chunk + 4, False
    return 0, False


def _table_count(head: bytes) -> int | None:
    if len(head) < 24 or not adler_fits(head[:20], head[20:24]):
        return None
    return int.from_bytes(head[:4], "little")


def _text(raw: bytes) -> str:
    return raw.decode("ascii", "backslashreplace")

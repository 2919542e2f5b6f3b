"""EWF images (E01, split E01, S01): an own reader, since pyewf returns zeros for a damaged chunk and costs 5 to 8 times the CPU.

Every chunk is checked: a deflated one by its own Adler-32, a stored one by the Adler-32 behind it. A chunk that is damaged or
absent raises `Unreadable` with its range; the others are read. pyewf is asked when the structure is beyond this reader.
"""

from __future__ import annotations

import struct
import sys
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, pairwise

from safelight.evidence.bytesource import Recent, clamp
from safelight.evidence.containers.ewf_sections import Chain, Table, adler_fits, read_chain, segment_number
from safelight.evidence.source import ByteSource, Image, Segment, StoredDigest, Unreadable
from safelight.problems import Problem

name = "ewf"

RECENT_CHUNKS = 64
RECENT_TABLES = 64
DEFLATED = 1 << 31


def detect(segments: Sequence[Segment]) -> bool:
    """Whether the first segment has an EWF file header (of the E01 or S01 kind)."""
    return segment_number(segments[0].source.read_at(0, 13)) is not None


def warm_up() -> None:
    """Import what reading needs."""
    import pyewf  # noqa: F401
    from zlib_ng import zlib_ng  # noqa: F401


def open(segments: Sequence[Segment]) -> Image:  # the name is that of the protocol
    """Open by the own reader; by pyewf where that cannot make out the structure."""
    try:
        return EwfImage(segments)
    except Unreadable as error:
        if error.kind not in ("corrupt", "unsupported"):
            raise
        from safelight.evidence.containers import ewf_second

        try:
            return ewf_second.open(segments, str(error))
        except (OSError, ImportError):
            raise error from None


class _Run:
    """The offsets of one table, decoded: chunk i lies at `starts[i] & ~DEFLATED`, up to `ends[i]`."""

    def __init__(self, starts: list[int], deflated: list[bool], end: int) -> None:
        self.starts, self.deflated = starts, deflated
        self.ends = [*starts[1:], end]


class EwfImage:
    """The medium in the segments; see `header` for what the examiner wrote (keys as stored: c case number, n evidence number,
    a description, e examiner, t notes, av version, ov system, m acquired, u system date)."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        from zlib_ng import zlib_ng

        self._inflate = zlib_ng.decompressobj
        self._adler32 = zlib_ng.adler32
        self._sources = [s.source for s in _in_order(segments)]
        chain = read_chain(_in_order(segments))
        if chain.volume is None:
            raise Unreadable(chain.gaps[0][1] if chain.gaps else "corrupt", "no segment tells the size of the medium")
        self.header = chain.header
        self.stored_digests: Sequence[StoredDigest] = tuple(chain.digests)
        self._chunk = chain.volume.chunk_size
        self._place(chain)
        self.problems: Sequence[Problem] = tuple(chain.problems)
        self._chunks: Recent[bytes] = Recent(RECENT_CHUNKS)
        self._runs: Recent[_Run] = Recent(RECENT_TABLES)

    def _place(self, chain: Chain) -> None:
        """Give each table the number of its first chunk. Behind a gap only the end of the medium tells; what lies between two
        gaps has no place that is known and is lost."""
        assert chain.volume is not None
        # The sector count of a medium acquired by pipe may be 0: then the number of chunks tells, or the chunks themselves.
        known = sum(t.count for t in chain.tables)
        self.size = chain.volume.size or (chain.volume.chunks or known) * self._chunk
        need = -(-self.size // self._chunk)
        if known > need:
            raise Unreadable("corrupt", f"{known} chunks for a medium of {need}")
        if known < need and not chain.gaps:
            chain.lose("corrupt", f"{need - known} of {need} chunks are in no table")
        if known == need and (chain.volume.size or chain.volume.chunks):
            chain.gaps.clear()  # a descriptor was broken, and all chunks are there
        self._lost = chain.gaps[0][1] if chain.gaps else "corrupt"
        head, tail = (chain.gaps[0][0], chain.gaps[-1][0]) if chain.gaps else (len(chain.tables), len(chain.tables))
        if tail > head:
            chain.damaged("corrupt", f"{sum(t.count for t in chain.tables[head:tail])} chunks between two gaps have no place that is known")
        self._tables = chain.tables[:head] + chain.tables[tail:]
        counts = [t.count for t in self._tables]
        starts = list(accumulate(counts, initial=0))[:-1]
        shift = need - sum(counts)  # 0 where nothing is lost
        self._first = [start + (shift if i >= head else 0) for i, start in enumerate(starts)]

    def read_at(self, offset: int, size: int) -> bytes:
        """See `ByteSource.read_at`."""
        size = clamp(offset, size, self.size)
        if not size:
            return b""
        first, last = offset // self._chunk, (offset + size - 1) // self._chunk
        if first == last:
            chunk = self._one(first)
            start = offset - first * self._chunk
            return chunk if len(chunk) == size else chunk[start : start + size]
        parts = self._many(first, last)
        cut = offset - first * self._chunk
        if cut:
            parts[0] = parts[0][cut:]
        parts[-1] = parts[-1][: offset + size - last * self._chunk]
        return b"".join(parts)

    def _one(self, number: int) -> bytes:
        chunk = self._chunks.get(number)
        if chunk is None:
            chunk = self._many(number, number)[0]
            self._chunks.put(number, chunk)
        return chunk

    def _many(self, first: int, last: int) -> list[bytes]:
        """The chunks `first` to `last`; one read below for each run of chunks that lie one behind the other."""
        parts: list[bytes] = []
        while first <= last:
            run, source, low = self._run_of(first)
            inside = first - low
            stop = min(len(run.starts), last - low + 1)
            start, end = run.starts[inside], run.ends[stop - 1]
            if not 0 <= end - start <= (stop - inside) * (2 * self._chunk + 4096):
                raise self._bad(first, low + stop - 1, f"chunk data from {start} to {end}")
            packed = memoryview(source.read_at(start, end - start))
            for i in range(inside, stop):
                parts.append(
                    self._unpack(low + i, packed[run.starts[i] - start : run.ends[i] - start], run.ends[i] - run.starts[i], run.deflated[i])
                )
            first = low + stop
        return parts

    def _unpack(self, number: int, packed: memoryview, length: int, deflated: bool) -> bytes:
        """One chunk, checked."""
        want = min(self._chunk, self.size - number * self._chunk)
        if len(packed) < length or length <= 0:
            raise self._bad(number, number, f"{len(packed)} of {length} stored bytes are there", "truncated")
        if not deflated:
            body, check = packed[:-4], packed[-4:]
            # The last chunk may be stored whole, with padding behind the end of the medium.
            if len(body) < want or self._adler32(body) != int.from_bytes(check, "little"):
                raise self._bad(number, number, "Adler-32 of a stored chunk is wrong")
            return bytes(body[:want])
        inflater = self._inflate()
        try:
            data: bytes = inflater.decompress(packed, self._chunk + 1)
        except Exception as error:  # zlib_ng.error is a class of the module that was imported late
            raise self._bad(number, number, str(error)) from error
        if not inflater.eof or not want <= len(data) <= self._chunk:
            raise self._bad(number, number, f"{len(data)} bytes instead of {want}")
        return data if len(data) == want else data[:want]

    def _bad(self, first: int, last: int, why: str, kind: str = "corrupt") -> Unreadable:
        start, end = first * self._chunk, min((last + 1) * self._chunk, self.size)
        which = f"chunk {first}" if first == last else f"chunks {first} to {last}"
        return Unreadable(kind, f"EWF {which}, bytes {start} to {end} of the medium: {why}", start, end - start)

    def _run_of(self, number: int) -> tuple[_Run, ByteSource, int]:
        index = bisect_right(self._first, number) - 1
        if index < 0 or number >= self._first[index] + self._tables[index].count:
            raise self._bad(number, number, "it is in no part of the image that is there", self._lost)
        table = self._tables[index]
        run = self._runs.get(index)
        if run is None:
            run = self._load(table, self._first[index])
            self._runs.put(index, run)
        return run, self._sources[table.segment], self._first[index]

    def _load(self, table: Table, low: int) -> _Run:
        """Decode a table from its first copy, or from the second where the first is damaged."""
        source = self._sources[table.segment]
        if table.starts is not None:
            places = [s & ~(1 << 63) for s in table.starts]
            return _Run(places, [bool(s >> 63) for s in table.starts], table.end)
        for at in (table.at, table.at2):
            if at is None or at < 0:
                continue
            head = source.read_at(at, 24)
            body = source.read_at(at + 24, table.count * 4 + 4)
            if len(head) < 24 or len(body) < table.count * 4 or not adler_fits(head[:20], head[20:24]):
                continue
            offsets, check = body[: table.count * 4], body[table.count * 4 :]
            # EWF-S01 and the first EnCase versions have no checksum behind the offsets: chunk data follow there at once.
            if struct.unpack_from("<I", head)[0] == table.count and (adler_fits(offsets, check) or self._unchecked(table)):
                return self._decode(offsets, struct.unpack_from("<Q", head, 8)[0], table.end)
        raise self._bad(low, low + table.count - 1, "both copies of their table are damaged")

    def _unchecked(self, table: Table) -> bool:
        return table.at2 is None and table.end > table.at + 24 + 4 * table.count

    def _decode(self, raw: bytes, base: int, end: int) -> _Run:
        """31-bit offsets with the top bit for deflate. EnCase 6.7 lets them run over 2 GiB: from then on all 32 bits are offset
        and the length tells a stored chunk."""
        offsets = array("I", raw)
        if sys.byteorder == "big":
            offsets.byteswap()
        starts = [o & 0x7FFFFFFF for o in offsets]
        deflated = [o >= DEFLATED for o in offsets]
        for i, (before, after) in enumerate(pairwise(starts)):
            if after < before:
                for j in range(i + 1, len(starts)):
                    starts[j] = offsets[j]
                ends = [*starts[1:], end - base]
                deflated[i + 1 :] = [ends[j] - starts[j] != self._chunk + 4 for j in range(i + 1, len(starts))]
                break
        return _Run([s + base for s in starts], deflated, end)


def _in_order(segments: Sequence[Segment]) -> list[Segment]:
    """By segment number, as the files themselves say; names may have been changed."""
    numbered = [(segment_number(s.source.read_at(0, 13)), s) for s in segments]
    for number, segment in numbered:
        if number is None:
            raise Unreadable("corrupt", f"{segment.name.decode('ascii', 'backslashreplace')} is not an EWF segment")
    return [s for _, s in sorted(numbered, key=lambda pair: pair[0] or 0)]

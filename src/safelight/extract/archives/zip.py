"""ZIP archives: an own reader of the central directory, since libarchive folds entries that share one local header into one.

Facts from PKWARE's APPNOTE.TXT. The central directory is believed; where it is gone, local headers are walked. Contents are
checked by CRC-32 and size. Names stay as stored. Nothing is allocated by a claim.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain

from safelight.escape import readable
from safelight.evidence.bytesource import Cached, Slice
from safelight.evidence.source import ByteSource, Unreadable
from safelight.extract.archives.content import METHODS, content
from safelight.extract.archives.member import Budget, Member
from safelight.problems import Problem

SCHEME = "zip"
LOCAL, CENTRAL, END, END64, LOCATOR64, DESCRIPTOR = (b"PK" + t for t in (b"\3\4", b"\1\2", b"\5\6", b"\6\6", b"\6\7", b"\7\x08"))
TAIL = 65535 + 22
MAX_LINK = 4096
MAX_SEARCH = 256 << 20
ENCRYPTED, DESCRIBED, STRONG, MASKED = 1, 1 << 3, 1 << 6, 1 << 13
AES_BITS = {1: 128, 2: 192, 3: 256}
EPOCH_FILETIME = 116_444_736_000_000_000  # 1970 in units of 100 ns since 1601


@dataclass
class Record:
    """An entry of the central directory, or of a local header where there is no directory."""

    name: bytes
    method: int
    flags: int
    crc: int | None
    packed: int
    size: int | None
    local: int  # offset of the local header
    extra: bytes
    date: int
    mode: int = 0  # POSIX mode where the entry was made on Unix
    data: int | None = None  # offset of the data; None: the local header tells
    hidden: bool = False  # in no directory, though there is one
    volume: int = 0  # from 1 on: it begins in this other file of a split archive


@dataclass(frozen=True)
class Directory:
    """Where the central directory stands: from `start` to `end`, offsets inside count from `base`."""

    start: int
    end: int
    base: int
    entries: int
    volume: int = 0  # number of the last volume of a split archive, counted from 0 (APPNOTE 4.4.19); 0: one file


def find_directory(source: ByteSource) -> Directory | None:
    """Find the end record from the end of the file on; other data may stand before the archive (self-extractors, polyglots)."""
    first = max(0, source.size - TAIL)
    tail = source.read_at(first, TAIL)
    at = tail.rfind(END)
    while at >= 0:
        if len(tail) - at >= 22:
            found = _end_record(source, first + at, tail[at : at + 22])
            if found is not None:
                return found
        at = tail.rfind(END, 0, at)
    return None


def _end_record(source: ByteSource, at: int, record: bytes) -> Directory | None:
    entries, size, offset = struct.unpack_from("<HII", record, 10)
    volume = int.from_bytes(record[4:6], "little") % 0xFFFF  # 0xFFFF: see the ZIP64 record
    end = at
    locator = source.read_at(at - 20, 20) if at >= 20 else b""
    if locator[:4] == LOCATOR64:
        stated = struct.unpack_from("<Q", locator, 8)[0]
        # With data before the archive the stated offset is off; the record then stands right before the locator.
        for place in (stated, at - 20 - 56):
            record64 = source.read_at(place, 56) if 0 <= place <= at - 76 else b""
            if record64[:4] == END64:
                entries, size, offset = struct.unpack_from("<QQQ", record64, 32)
                end = place
                break
    for start, base in ((end - size, end - size - offset), (offset, 0)):
        if start < 0 or start + size > end:
            continue
        if source.read_at(start, 4) == CENTRAL or (not entries and not size):
            return Directory(start, end, base, entries, volume)
    return None


def central_records(source: ByteSource, directory: Directory) -> Iterator[Record | Problem]:
    """The entries of the central directory, in its order."""
    cached = Cached(source)
    at, count = directory.start, 0
    while at < directory.end:
        head = cached.read_at(at, 46)
        if len(head) < 46 or head[:4] != CENTRAL:
            break
        made, flags, method, date, crc, packed, size = struct.unpack_from("<H2xHHIIII", head, 4)
        name_length, extra_length, comment_length = struct.unpack_from("<HHH", head, 28)
        attributes, local = struct.unpack_from("<II", head, 38)
        body = cached.read_at(at + 46, name_length + extra_length)
        name, extra = body[:name_length], body[name_length:]
        size, packed, local = _zip64(extra, [size, packed, local])
        mode = attributes >> 16 if made >> 8 in (3, 19) else 0  # made on Unix or macOS
        begins = int.from_bytes(head[34:36], "little")
        elsewhere = begins + 1 if directory.volume and begins < directory.volume else 0
        yield Record(name, method, flags, crc, packed, size, local + directory.base, extra, date, mode, volume=elsewhere)
        count += 1
        at += 46 + name_length + extra_length + comment_length
    if count & 0xFFFF != directory.entries & 0xFFFF:
        yield Problem("corrupt", f"the central directory has {count} entries, {directory.entries} are announced", complete=False)


def local_records(source: ByteSource, start: int = 0) -> Iterator[Record | Problem]:
    """Entries by their local headers from `start` on, one behind the other: for an archive without a directory."""
    at: int | None = _search(source, start, LOCAL)
    if at is None:
        raise Unreadable("corrupt", "neither a central directory nor a local header")
    while at is not None:
        head = source.read_at(at, 30)
        if len(head) < 30 or head[:4] != LOCAL:
            return
        flags, method, date, crc, packed, size, name_length, extra_length = struct.unpack_from("<HHIIIIHH", head, 6)
        body = source.read_at(at + 30, name_length + extra_length)
        if len(body) < name_length + extra_length:
            yield Problem("truncated", f"the archive ends inside the local header at {at}", complete=False)
            return
        name, extra = body[:name_length], body[name_length:]
        size, packed = _zip64(extra, [size, packed])
        data = at + 30 + len(body)
        record = Record(name, method, flags, crc, packed, size, at, extra, date, data=data)
        following: int | None = data + packed
        if flags & DESCRIBED and not packed:
            following = _described(source, record)
        yield record
        at = following if following is None or following < source.size else None


def _described(source: ByteSource, record: Record) -> int | None:
    """Find the data descriptor of a record that was written to a pipe: its packed size must be the distance."""
    assert record.data is not None
    start = record.data
    while (at := _search(source, start, DESCRIPTOR)) is not None:
        body = source.read_at(at, 24)
        for form, length in (("<III", 16), ("<IQQ", 24)):
            if len(body) >= length:
                crc, packed, size = struct.unpack_from(form, body, 4)
                if packed == at - record.data:
                    record.crc, record.packed, record.size = crc, packed, size
                    return at + length
        start = at + 4
    record.crc, record.packed, record.size = None, source.size - record.data, None
    return None


def _search(source: ByteSource, at: int, signature: bytes) -> int | None:
    """Offset of the next signature; pieces grow, so that a near one costs little and a far one is found at full speed."""
    piece = 1 << 12
    while at < source.size:
        data = source.read_at(at, piece)
        found = data.find(signature)
        if found >= 0:
            return at + found
        if len(data) < piece:
            return None
        at += piece - len(signature) + 1
        piece = min(1 << 20, piece * 2)
    return None


def _fields(extra: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        yield kind, extra[at + 4 : at + 4 + length]
        at += 4 + length


def _zip64(extra: bytes, values: list[int]) -> list[int]:
    """Replace each value that is all ones by the next 64-bit value of the ZIP64 extra field."""
    for kind, body in _fields(extra):
        if kind == 1:
            at = 0
            for i, value in enumerate(values):
                if value == 0xFFFFFFFF and at + 8 <= len(body):
                    values[i] = struct.unpack_from("<Q", body, at)[0]
                    at += 8
            break
    return values


def times(record: Record) -> tuple[int | None, str]:
    """(mtime in ns, basis): from the NTFS or Unix extra field (UTC), else the DOS date, which is local without a zone."""
    for kind, body in _fields(record.extra):
        if kind == 0x000A and len(body) >= 32 and body[4:8] == b"\1\0\x18\0":
            return (int.from_bytes(body[8:16], "little") - EPOCH_FILETIME) * 100, "utc"
        if kind == 0x5455 and len(body) >= 5 and body[0] & 1:
            return int.from_bytes(body[1:5], "little", signed=True) * 1_000_000_000, "utc"
    clock, day = record.date & 0xFFFF, record.date >> 16
    try:
        moment = datetime(1980 + (day >> 9), day >> 5 & 15, day & 31, clock >> 11, clock >> 5 & 63, (clock & 31) * 2, tzinfo=UTC)
    except ValueError:
        return None, "utc"
    return int(moment.timestamp()) * 1_000_000_000, "local?"


def encryption(record: Record) -> str:
    """The scheme that a record is encrypted with; empty where it is not."""
    if not record.flags & (ENCRYPTED | STRONG | MASKED):
        return ""
    for kind, body in _fields(record.extra):
        if kind == 0x9901 and len(body) >= 7:
            return f"WinZip AES-{AES_BITS.get(body[4], 0)}"
    return "PKWARE strong encryption" if record.flags & (STRONG | MASKED) else "ZipCrypto"


def _local_names(source: ByteSource, record: Record) -> tuple[int, bytes]:
    """(offset of the data, name in the local header); raise where no local header stands."""
    if record.data is not None:
        return record.data, record.name
    if record.volume:
        raise Unreadable("missing-part", f"it begins in volume {record.volume}, another file; volumes are not joined")
    head = source.read_at(record.local, 30) if 0 <= record.local < source.size else b""
    if len(head) < 30 or head[:4] != LOCAL:
        raise Unreadable("corrupt", f"no local header at {record.local}")
    name_length, extra_length = struct.unpack_from("<HH", head, 26)
    return record.local + 30 + name_length + extra_length, source.read_at(record.local + 30, name_length)


def records(source: ByteSource) -> Iterator[Record | Problem]:
    """All entries, by the directory or, where it is gone, by local headers (a problem comes first then)."""
    directory = find_directory(source)
    if directory is not None:
        if directory.volume:
            words = f"the last of {directory.volume + 1} volumes of a split ZIP archive: volumes are not joined"
            yield Problem("missing-part", words, complete=False)
        yield from central_records(source, directory)
        return
    yield Problem("truncated", "the central directory is not there; entries come from local headers", complete=False)
    yield from local_records(source)


def members(source: ByteSource, budget: Budget | None) -> Iterator[Member | Problem]:
    """Members in the order of the directory. See `safelight.extract.archives.members`."""
    spans = array("Q")
    index = 0
    for record in chain(records(source), hidden_records(source, spans)):
        if isinstance(record, Problem):
            yield record
            continue
        index += 1
        if budget is not None:
            budget.entry()
        member, data = _member(source, index, record, budget)
        start = min(max(0, record.local), source.size)
        if record.volume:
            yield member
            continue
        spans.extend((start, min(max(data, start + 30) + record.packed, source.size)))
        yield member
    shared = _overlaps(spans)
    if shared:
        yield Problem("corrupt", f"{shared} entries lie on the bytes of other entries")


def hidden_records(source: ByteSource, spans: array[int]) -> Iterator[Record | Problem]:
    """Local headers that stand between the entries of the directory and are not in it: deleted or hidden members. `spans` (start,
    end) is filled by then."""
    directory = find_directory(source)
    if directory is None or not spans:
        return
    searched, reached = 0, 0
    order = sorted(zip(spans[::2], spans[1::2], strict=True))
    for start, end in [*order, (directory.start, directory.start)]:
        gap = start - reached
        # A data descriptor of up to 24 bytes may stand between two entries.
        if gap > 24 and searched < MAX_SEARCH:
            searched += gap
            at = _search(Slice(source, 0, start), max(0, reached), LOCAL)
            if at is not None:
                for record in local_records(Slice(source, 0, start), at):
                    if isinstance(record, Record):
                        record.hidden = True
                        yield record
        reached = max(reached, end)


def _member(source: ByteSource, index: int, record: Record, budget: Budget | None) -> tuple[Member, int]:
    """The member and the offset of its data, -1 where no local header stands."""
    problems: list[tuple[str, str]] = []
    scheme = encryption(record)
    kind = {0o120000: "symlink", 0o020000: "device", 0o060000: "device", 0o010000: "fifo", 0o140000: "socket"}.get(
        record.mode & 0o170000, "file"
    )
    if record.name.endswith((b"/", b"\\")) and not record.size:
        kind = "directory"
    try:
        data, local_name = _local_names(source, record)
    except Unreadable as error:
        problems.append((error.kind, str(error)))
        data, local_name = -1, record.name
    if record.hidden:
        problems.append(("corrupt", "the member stands in no directory: it was deleted or hidden"))
    if local_name != record.name:
        problems.append(("unsafe-name", f"the local header has another name: {readable(local_name[:200])}"))
    read = _reader(source, record, data, scheme)
    link = b""
    if kind == "symlink" and not scheme:
        try:
            for block in read():
                link += block
                if len(link) > MAX_LINK:
                    break
        except Unreadable as error:
            problems.append((error.kind, str(error)))
    mtime, basis = times(record)
    member = Member(
        SCHEME,
        index,
        record.name,
        read,
        budget,
        size=record.size,
        type=kind,
        mtime=mtime,
        time_basis=basis,
        encrypted=bool(scheme),
        link=link[:MAX_LINK],
        problems=tuple(problems),
    )
    return member, data


def _reader(source: ByteSource, record: Record, data: int, scheme: str) -> Callable[[], Iterator[bytes]]:
    def read() -> Iterator[bytes]:
        if scheme:
            raise Unreadable("encrypted", scheme)
        if data < 0 and record.volume:
            raise Unreadable("missing-part", f"it begins in volume {record.volume}, another file")
        if data < 0:
            raise Unreadable("corrupt", f"no local header at {record.local}")
        if record.method not in METHODS:
            raise Unreadable("unsupported", f"ZIP compression method {record.method}")
        if data + record.packed > source.size:
            # With its directory the archive is whole, so the claim is wrong; without it the end is missing.
            kind = "truncated" if record.data is not None else "corrupt"
            if kind == "corrupt":
                raise Unreadable(kind, f"{record.packed} bytes at {data}, the archive has {source.size}")
        yield from content(source, record.method, data, record.packed, record.size, record.crc)

    return read


def _overlaps(spans: array[int]) -> int:
    """How many spans (start, end) begin before the end of those before them."""
    shared, reached = 0, 0
    for start, end in sorted(zip(spans[::2], spans[1::2], strict=True)):
        shared += start < reached
        reached = max(reached, end)
    return shared

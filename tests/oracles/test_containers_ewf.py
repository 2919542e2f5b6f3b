"""EWF images written by code here, read by the own reader and by libewf: forms that ewfacquirestream does not make."""

from __future__ import annotations

import io
import random
import struct
import zlib
from pathlib import Path

import pytest

from safelight.evidence.bytesource import MemorySource
from safelight.evidence.containers import open_image
from safelight.evidence.source import Segment, Unreadable

CHUNK = 32768
MAGIC = b"EVF\x09\x0d\x0a\xff\x00"
pyewf = pytest.importorskip("pyewf")


def adler(data: bytes) -> bytes:
    return struct.pack("<I", zlib.adler32(data))


class Writer:
    """A small EWF writer: one segment, tables of `per_table` chunks, E01 or S01."""

    def __init__(
        self, data: bytes, *, smart: bool = False, per_table: int = 1000, stored: bool = False, errors: tuple[tuple[int, int], ...] = ()
    ) -> None:
        self.out = bytearray(MAGIC + struct.pack("<BHH", 1, 1, 0))
        self.data, self.smart, self.stored = data, smart, stored
        chunks = [data[i : i + CHUNK] for i in range(0, len(data), CHUNK)]
        self.section(b"header", zlib.compress(b"1\r\nmain\r\nc\tn\ta\te\tt\r\nC\tN\tA\tE\tT\r\n\r\n"))
        if smart:
            body = struct.pack("<IIIII", 1, len(chunks), 64, 512, len(data) // 512) + bytes(65) + b"SMART"
        else:
            body = struct.pack("<IIIIQ", 1, len(chunks), 64, 512, len(data) // 512).ljust(1048, b"\0")
        self.section(b"volume", body + adler(body))
        for first in range(0, len(chunks), per_table):
            self.table(chunks[first : first + per_table])
        if errors:
            head = struct.pack("<I", len(errors)) + bytes(512)
            rows = b"".join(struct.pack("<II", *e) for e in errors)
            self.section(b"error2", head + adler(head) + rows + adler(rows))
        self.section(b"done", b"", last=True)

    def section(self, kind: bytes, body: bytes, last: bool = False) -> None:
        at = len(self.out)
        size = 76 + len(body)
        head = kind.ljust(16, b"\0") + struct.pack("<QQ", at if last else at + size, size) + bytes(40)
        self.out += head + adler(head) + body

    def table(self, chunks: list[bytes]) -> None:
        packed, offsets = b"", []
        start = len(self.out) + 76
        if self.smart:
            start += 24 + 4 * len(chunks) + 4
        for chunk in chunks:
            deflated = b"" if self.stored and not self.smart else zlib.compress(chunk)
            use = deflated and (self.smart or len(deflated) < len(chunk))
            offsets.append(len(packed) | (0x80000000 if use else 0))
            packed += deflated if use else chunk + adler(chunk)
        if self.smart:
            offsets = [(o & 0x7FFFFFFF) + start | 0x80000000 for o in offsets]
        head = struct.pack("<I4xQ4x", len(offsets), 0 if self.smart else start)
        rows = struct.pack(f"<{len(offsets)}I", *offsets)
        if self.smart:
            self.section(b"table", head + adler(head) + rows + adler(rows) + packed)
            return
        self.section(b"sectors", packed)
        for kind in (b"table", b"table2"):
            self.section(kind, head + adler(head) + rows + adler(rows))


def disk(chunks: int) -> bytes:
    noise = random.Random(chunks)
    return b"".join(noise.randbytes(CHUNK) if i % 3 == 0 else (b"%06d text " % i * 3277)[:CHUNK] for i in range(chunks))


def by_libewf(data: bytes) -> bytes:
    handle = pyewf.handle()
    handle.open_file_objects([io.BytesIO(data)])
    return bytes(handle.read_buffer_at_offset(handle.get_media_size(), 0))


@pytest.mark.parametrize("options", [{}, {"per_table": 7}, {"stored": True}, {"stored": True, "per_table": 3}], ids=str)
def test_written_here_read_by_both(options: dict[str, int]) -> None:
    """Several tables in a segment, all stored or mixed: libewf and the own reader give the disk."""
    want = disk(40)
    data = bytes(Writer(want, **options).out)  # type: ignore[arg-type]
    assert want == by_libewf(data)
    name, image = open_image([Segment(b"x.E01", MemorySource(data))])
    assert (name, want, []) == ("ewf", image.read_at(0, len(want)), list(image.problems))


def test_smart_form() -> None:
    """EWF-S01 keeps its chunks inside the table section; the own reader gives the disk, and libewf the same where it takes it."""
    want = disk(20)
    data = bytes(Writer(want, smart=True).out)
    _, image = open_image([Segment(b"x.s01", MemorySource(data))])
    assert want == image.read_at(0, len(want))
    try:
        second = by_libewf(data)
    except OSError:
        pytest.skip("libewf does not take the S01 that is written here")
    assert want == second


def test_acquisition_errors_are_problems() -> None:
    """Sectors that could not be read at acquisition are named: the zeros in the image are not the medium's."""
    want = disk(4)
    _, image = open_image([Segment(b"x.E01", MemorySource(bytes(Writer(want, errors=((10, 2), (100, 8))).out)))])
    assert [p.kind for p in image.problems] == ["unreadable"]
    assert "10 sectors" in image.problems[0].reason


def test_damage_where_libewf_gives_zeros() -> None:
    """libewf 20260924 returns zeros for a damaged chunk; the own reader raises corrupt for it and reads the others."""
    want = disk(9)
    data = bytearray(Writer(want, stored=True).out)
    at = bytes(data).index(want[CHUNK : CHUNK + 64])
    data[at + 1000] ^= 1
    _, image = open_image([Segment(b"x.E01", MemorySource(data))])
    with pytest.raises(Unreadable) as caught:
        image.read_at(0, len(want))
    assert (caught.value.kind, caught.value.offset, caught.value.size) == ("corrupt", CHUNK, CHUNK)
    assert want[:CHUNK] + want[2 * CHUNK :] == image.read_at(0, CHUNK) + image.read_at(2 * CHUNK, len(want))


def test_a_lost_table_is_replaced_by_a_search() -> None:
    """With both copies of one table of several damaged, its chunks are found in the sectors section and all is read."""
    want = disk(30)
    data = bytearray(Writer(want, per_table=10).out)
    at = -1
    for _ in range(2):  # the second table and its copy
        at = bytes(data).index(b"table\0\0\0\0\0\0\0\0\0\0\0", at + 1)
    for copy in (at, bytes(data).index(b"table2", at)):
        data[copy + 76] ^= 0xFF
    _, image = open_image([Segment(b"x.E01", MemorySource(data))])
    assert want == image.read_at(0, len(want))
    assert {p.kind for p in image.problems} == {"corrupt"}


def test_second_reader_takes_over_and_says_so() -> None:
    """When the own reader cannot make out the structure and libewf can, the image says second-reader, and whole zero chunks raise."""
    from safelight.evidence.containers import ewf_second

    want = disk(3) + bytes(CHUNK)
    image = ewf_second.open([Segment(b"x.E01", MemorySource(bytes(Writer(want).out)))], "for the test")
    assert [p.kind for p in image.problems] == ["second-reader"]
    assert want[: 3 * CHUNK] == image.read_at(0, 3 * CHUNK)
    with pytest.raises(Unreadable):
        image.read_at(3 * CHUNK + 5, 100)


@pytest.mark.parametrize("name", ["ext2.E01", "image.E01", "ewf.E01"])
def test_shared_images_against_libewf(name: str, evidence) -> None:  # type: ignore[no-untyped-def]
    """Random reads of the shared E01 images are those of libewf."""
    path: Path = evidence(name)
    data = path.read_bytes()
    whole = by_libewf(data)
    _, image = open_image([Segment(b"x.E01", MemorySource(data))])
    rnd = random.Random(4)
    assert len(whole) == image.size
    for _ in range(200):
        at, size = rnd.randrange(len(whole)), rnd.randrange(100_000)
        assert whole[at : at + size] == image.read_at(at, size)

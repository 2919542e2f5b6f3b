"""Partition tables made by code here, compared with `mmls` of the Sleuth Kit, and damaged in the ways that disks are."""

from __future__ import annotations

import random
import re
import shutil
import struct
import subprocess
import uuid
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safelight.evidence.bytesource import FdSource, MemorySource
from safelight.evidence.source import Partition, Unreadable
from safelight.evidence.volumes import SCHEMES, scan
from safelight.problems import Problem

SECTORS = 20000
LINUX = uuid.UUID("0fc63daf-8483-4772-8e79-3d69d8477de4")
needs_mmls = pytest.mark.skipif(shutil.which("mmls") is None, reason="mmls is not installed")


def mbr_sector(*entries: tuple[int, int, int, int]) -> bytearray:
    """A boot sector with entries (status, type, start, length)."""
    sector = bytearray(512)
    for i, (status, kind, start, length) in enumerate(entries):
        struct.pack_into("<B3xB3xII", sector, 446 + 16 * i, status, kind, start, length)
    sector[510:] = b"\x55\xaa"
    return sector


def mbr_disk() -> bytearray:
    """Two primary partitions and an extended one with three logical ones."""
    disk = bytearray(SECTORS * 512)
    disk[:512] = mbr_sector((0x80, 0x07, 63, 2000), (0, 0x83, 2100, 900), (0, 0x05, 4000, 9000))
    for i, at in enumerate((4000, 6000, 8000)):
        link = ((0, 0x05, at - 4000 + 2000, 2000),) if i < 2 else ()
        disk[at * 512 : at * 512 + 512] = mbr_sector((0, 0x83, 63, 1500), *link)
    return disk


def gpt_disk(sector: int = 512, sectors: int = SECTORS) -> bytearray:
    """Three partitions, one slot left free, both copies of the table."""
    disk = bytearray(sectors * sector)
    disk[:512] = mbr_sector((0, 0xEE, 1, sectors - 1))
    entries = bytearray(128 * 128)
    for slot, first, last, label in ((0, 40, 999, "EFI"), (1, 1000, 4999, "root ü"), (3, 6000, 8999, "data")):
        body = LINUX.bytes_le + uuid.UUID(int=slot + 1).bytes_le + struct.pack("<QQQ", first, last, 0) + label.encode("utf-16-le")
        entries[slot * 128 : slot * 128 + len(body)] = body
    size = -(-len(entries) // sector)
    for here, there, table in ((1, sectors - 1, 2), (sectors - 1, 1, sectors - 1 - size)):
        fields = struct.pack("<QQQQ16sQIII", here, there, 34, sectors - 34, uuid.UUID(int=9).bytes_le, table, 128, 128, zlib.crc32(entries))
        head = b"EFI PART" + struct.pack("<III", 0x10000, 92, 0) + bytes(4) + fields
        head = head[:16] + struct.pack("<I", zlib.crc32(head)) + head[20:]
        disk[here * sector : here * sector + len(head)] = head
        disk[table * sector : table * sector + len(entries)] = entries
    return disk


def apm_disk() -> bytearray:
    """A driver descriptor, the map, an HFS partition and free space."""
    disk = bytearray(SECTORS * 512)
    disk[:4] = b"ER" + struct.pack(">H", 512)
    rows = (("Apple", "Apple_partition_map", 1, 63), ("disk image", "Apple_HFS", 64, 9000), ("", "Apple_Free", 9064, 900))
    for i, (label, kind, start, length) in enumerate(rows, 1):
        body = struct.pack(">2sHIII32s32s", b"PM", 0, len(rows), start, length, label.encode(), kind.encode())
        disk[i * 512 : i * 512 + len(body)] = body
    return disk


def partitions(disk: bytes | bytearray, sector_size: int = 512) -> list[Partition]:
    return [p for p in scan(MemorySource(disk), sector_size) if isinstance(p, Partition)]


def problems(disk: bytes | bytearray) -> list[str]:
    return [p.kind for p in scan(MemorySource(disk)) if isinstance(p, Problem)]


def spans(found: list[Partition], sector: int = 512) -> list[tuple[int, int]]:
    return [(p.offset // sector, p.size // sector) for p in found]


def mmls_spans(disk: bytes | bytearray, folder: Path, *options: str) -> list[tuple[int, int]]:
    """Slots of `mmls` that are partitions, (start, length) in sectors; tables, free space and containers left out."""
    path = folder / "disk.raw"
    path.write_bytes(disk)
    out = subprocess.run(["mmls", *options, str(path)], capture_output=True, text=True, check=True).stdout
    rows = [re.match(r"\d+:\s+(\d+(?::\d+)?)\s+(\d+)\s+\d+\s+(\d+)\s+(.*)", line) for line in out.splitlines()]
    return [(int(r[2]), int(r[3])) for r in rows if r and r[4] not in ("Apple_partition_map", "Apple_Free")]


@needs_mmls
@pytest.mark.parametrize("make", [mbr_disk, gpt_disk, apm_disk])
def test_partitions_are_those_of_mmls(make: Callable[[], bytearray], tmp_path: Path) -> None:
    """MBR with logical partitions, GPT and APM give the same runs as the Sleuth Kit, without a problem."""
    disk = make()
    assert mmls_spans(disk, tmp_path) == spans(partitions(disk))
    assert problems(disk) == []


@needs_mmls
def test_gpt_of_4096_byte_sectors(tmp_path: Path) -> None:
    """The sector size is found by the place of the header."""
    disk = gpt_disk(4096, 10000)
    assert mmls_spans(disk, tmp_path, "-b", "4096") == spans(partitions(disk), 4096)
    assert problems(disk) == []


@needs_mmls
@pytest.mark.parametrize(("at", "words"), [(1080, b"\x53\xef"), (510, b"\x55\xaa"), (0, b"XFSB")])
def test_mbr_of_4096_byte_sectors(at: int, words: bytes, tmp_path: Path) -> None:
    """The unit is the one by which a volume begins where an entry says; where none does, or one does by 512, it is 512."""
    disk = bytearray(10000 * 4096)
    disk[:512] = mbr_sector((0, 0x83, 256, 2000), (0, 0x83, 4096, 2000))
    small = [(p.offset, p.size) for p in partitions(disk)]
    assert small == [(256 * 512, 2000 * 512), (4096 * 512, 2000 * 512)]
    disk[256 * 4096 + at : 256 * 4096 + at + len(words)] = words
    assert mmls_spans(disk, tmp_path, "-b", "4096") == spans(partitions(disk), 4096)
    disk[4096 * 512 + at : 4096 * 512 + at + len(words)] = words
    assert small == [(p.offset, p.size) for p in partitions(disk)]


def test_steps_and_labels() -> None:
    """Steps are slots: a free slot keeps its number, logical partitions count from 5; labels are decoded."""
    assert [p.step for p in partitions(mbr_disk())] == ["mbr:1", "mbr:2", "mbr:5", "mbr:6", "mbr:7"]
    assert [(p.step, p.label) for p in partitions(gpt_disk())] == [("gpt:1", "EFI"), ("gpt:2", "root ü"), ("gpt:4", "data")]
    assert {p.type for p in partitions(gpt_disk())} == {str(LINUX)}
    assert [(p.step, p.type, p.label) for p in partitions(apm_disk())] == [("apm:2", "Apple_HFS", "disk image")]


def test_schemes_are_members() -> None:
    """Each scheme has a name, detects its own disk and not the others' (a GPT disk also has an MBR)."""
    own = {"gpt": gpt_disk(), "mbr": mbr_disk(), "apm": apm_disk()}
    assert list(own) == [s.name for s in SCHEMES]
    for scheme in SCHEMES:
        assert {n for n, disk in own.items() if scheme.detect(MemorySource(disk))} - {"gpt"} == {scheme.name} - {"gpt"}


@pytest.mark.parametrize(
    "name", ["tsk_volume_system.raw", "6-fat-undel.dd", "daylight.dd", "fat32.img", "ntfs_cp.img", "iso9660.raw", "ext4k.img"]
)
def test_shared_disks(name: str, evidence: Callable[[str], Path], shared: Path) -> None:
    """Volumes of the shared images start where `mmls` says; FAT, NTFS, ext and ISO volumes without a table are one run."""
    import json

    truth = json.loads((shared / "evidence" / "truth.json").read_text())[name]
    with evidence(name).open("rb") as file:
        found = [p for p in scan(FdSource(file.fileno())) if isinstance(p, Partition)]
    assert {v["sector"] for v in truth["volumes"]} <= {p.offset // 512 for p in found}
    if name != "tsk_volume_system.raw":
        assert [p.step for p in found] == ["whole"]


def test_damaged_primary_gpt_uses_the_backup() -> None:
    """A changed entry or a wiped header is a problem; the partitions come from the backup."""
    want = partitions(gpt_disk())
    for start, length in ((2 * 512 + 40, 1), (512, 92), (512 + 40, 4)):
        disk = gpt_disk()
        for i in range(start, start + length):
            disk[i] ^= 0xFF
        assert want == partitions(disk)
        assert problems(disk) == ["corrupt"]


def test_cut_gpt_disk_says_so() -> None:
    """A disk whose end is missing has no backup table and a partition beyond its end, which is still offered."""
    disk = gpt_disk()[: 8000 * 512]
    assert spans(partitions(gpt_disk())) == spans(partitions(disk))
    assert problems(disk) == ["corrupt", "truncated"]


def test_both_gpt_copies_damaged() -> None:
    """Entries are offered all the same, as corrupt and incomplete."""
    disk = gpt_disk()
    disk[2 * 512 + 56] ^= 1
    disk[(SECTORS - 1 - 32) * 512 + 56] ^= 1
    assert spans(partitions(gpt_disk())) == spans(partitions(disk))
    assert problems(disk) == ["corrupt", "corrupt"]


def test_wiped_protective_mbr() -> None:
    """A GPT without its protective MBR is read, with a problem."""
    disk = gpt_disk()
    disk[:512] = bytes(512)
    assert partitions(gpt_disk()) == partitions(disk)
    assert problems(disk) == ["corrupt"]


def test_hybrid_mbr_adds_what_the_gpt_does_not_name() -> None:
    """An MBR entry that the GPT has too is not given twice, another one is."""
    disk = gpt_disk()
    disk[:512] = mbr_sector((0, 0xEE, 1, 39), (0x80, 0x83, 1000, 4000), (0, 0x0B, 9500, 400))
    assert [p.step for p in partitions(disk)] == ["gpt:1", "gpt:2", "gpt:4", "mbr:3"]
    assert problems(disk) == []


def test_gpt_under_a_newer_mbr() -> None:
    """Two tables that do not know each other: all runs are offered, and the contradiction is a problem."""
    disk = gpt_disk()
    disk[:512] = mbr_sector((0x80, 0x07, 2048, 9000))
    assert [p.step for p in partitions(disk)] == ["gpt:1", "gpt:2", "gpt:4", "mbr:1"]
    assert problems(disk) == ["corrupt"]


def test_loop_of_extended_records_ends() -> None:
    """A chain that comes back to its start gives each partition once and a problem."""
    disk = mbr_disk()
    disk[8000 * 512 : 8001 * 512] = mbr_sector((0, 0x83, 63, 1500), (0, 0x05, 2000, 2000))
    assert [p.step for p in partitions(disk)] == ["mbr:1", "mbr:2", "mbr:5", "mbr:6", "mbr:7"]
    assert problems(disk) == ["corrupt"]


def test_lost_extended_record() -> None:
    """Without its second record the chain ends with a problem; what came before is kept."""
    disk = mbr_disk()
    disk[6000 * 512 + 510] = 0
    assert [p.step for p in partitions(disk)] == ["mbr:1", "mbr:2", "mbr:5"]
    assert problems(disk) == ["corrupt"]


def test_partition_beyond_the_end_is_offered() -> None:
    """A partition that ends behind the disk is offered whole; a partition that starts there too."""
    disk = mbr_disk()[: 2500 * 512]
    disk[:512] = mbr_sector((0, 0x07, 63, 2000), (0, 0x83, 2100, 900))
    assert spans(partitions(disk)) == [(63, 2000), (2100, 900)]
    assert problems(disk) == ["truncated"]


@pytest.mark.parametrize(
    "head",
    [
        b"\xeb\x58\x90MSDOS5.0" + struct.pack("<HBHB", 512, 8, 32, 2),
        b"\xeb\x3c\x90mkfs.fat" + struct.pack("<HBHB", 512, 4, 1, 2),
        b"\xeb\x52\x90NTFS    " + struct.pack("<HBHB", 512, 8, 0, 0),
        b"\xeb\x76\x90EXFAT   " + bytes(11),
        b"\xeb\x58\x90-FVE-FS-" + struct.pack("<HBHB", 512, 8, 0, 0),
    ],
)
def test_boot_sector_of_a_volume_is_no_partition_table(head: bytes) -> None:
    """Boot code where the table would be is not read as partitions."""
    disk = bytearray(random.Random(1).randbytes(512)) + bytes(SECTORS * 512)
    disk[: len(head)] = head
    disk[21] = 0xF8
    disk[510:512] = b"\x55\xaa"
    # The worst case: one entry of the code looks sound.
    struct.pack_into("<B3xB3xII", disk, 446, 0x80, 0x20, 100, 500)
    assert [p.step for p in partitions(disk)] == ["whole"]


def test_fake_mbr_over_fat() -> None:
    """`mkfs.fat --mbr` writes an entry that starts at sector 0: the disk is one volume."""
    disk = mbr_sector((0x80, 0x06, 0, SECTORS)) + bytes(SECTORS * 512)
    assert [p.step for p in partitions(disk)] == ["whole"]


def test_isohybrid_offers_the_disc_and_the_partition() -> None:
    """An ISO image with an MBR is offered whole, and its EFI partition as well."""
    disk = mbr_sector((0x80, 0x17, 0, SECTORS), (0, 0xEF, 500, 900)) + bytes(SECTORS * 512)
    disk[0x8001:0x8006] = b"CD001"
    assert [p.step for p in partitions(disk)] == ["whole", "mbr:2"]


def test_unreadable_sector_is_a_problem() -> None:
    """A disk whose first sector cannot be read is one run with a problem."""

    class Bad:
        size = 1 << 20

        def read_at(self, offset: int, size: int) -> bytes:
            raise Unreadable("unreadable", "bad sector", offset, size)

    found = scan(Bad())
    assert [p.step if isinstance(p, Partition) else p.kind for p in found] == ["whole", "unreadable"]


@settings(max_examples=300, deadline=None, database=None, derandomize=True)
@given(
    st.sampled_from(["mbr", "gpt", "apm"]),
    st.lists(st.tuples(st.integers(0, 64 * 512), st.integers(0, 255)), max_size=12),
    st.integers(0, SECTORS * 512),
)
def test_any_damage_ends_in_partitions_or_problems(kind: str, changes: list[tuple[int, int]], length: int) -> None:
    """Any bytes give a bounded list with at least one run; nothing is raised."""
    disk = {"mbr": mbr_disk, "gpt": gpt_disk, "apm": apm_disk}[kind]()
    for at, value in changes:
        disk[at] = value
    found = scan(MemorySource(disk[:length]))
    assert any(isinstance(p, Partition) for p in found)
    assert len(found) < 6000

"""Differencing and overlay images with their parents: a VHD written by code, and `add --parent` from the command line to the items."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from command import Command
from kits.container_kit import disk_bytes, memory_segments
from safelight.evidence.containers import open_image
from safelight.evidence.source import Unreadable

needs_qemu = pytest.mark.skipif(shutil.which("qemu-img") is None, reason="qemu-img is not installed")
BLOCK = 2 << 20


def convert(raw: Path, target: Path, form: str) -> Path:
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", form, str(raw), str(target)], check=True, capture_output=True)
    return target


def _sealed(data: bytearray, at: int) -> bytes:
    """Put the checksum of a VHD structure at its place: the complement of the sum of the other bytes."""
    data[at : at + 4] = bytes(4)
    data[at : at + 4] = (~sum(data) & 0xFFFFFFFF).to_bytes(4, "big")
    return bytes(data)


def differencing_vhd(parent: Path, target: Path, block: int, sector: int, data: bytes) -> Path:
    """Write a differencing VHD that holds `data` from `sector` of `block` on (VHD specification, "Dynamic Disk Header Format")."""
    footer = bytearray(parent.read_bytes()[:512])
    identifier, stamp = bytes(footer[68:84]), footer[24:28]
    footer[60:64], footer[68:84] = (4).to_bytes(4, "big"), bytes(b ^ 1 for b in identifier)
    entries = -(-int.from_bytes(footer[48:56], "big") // BLOCK)
    header = bytearray(1024)
    header[:16] = b"cxsparse" + b"\xff" * 8
    header[16:36] = struct.pack(">QIII", 1536, 0x10000, entries, BLOCK)
    header[40:60] = identifier + stamp
    name = parent.name.encode("utf-16-be")
    header[64 : 64 + len(name)] = name
    size = -(-entries * 4 // 512) * 512
    table = bytearray(b"\xff" * size)
    table[block * 4 : block * 4 + 4] = ((1536 + size) // 512).to_bytes(4, "big")
    bitmap, body = bytearray(512), bytearray(BLOCK)
    for s in range(sector, sector + len(data) // 512):
        bitmap[s // 8] |= 0x80 >> s % 8
    body[sector * 512 : sector * 512 + len(data)] = data
    sealed = _sealed(footer, 64)
    target.write_bytes(sealed + _sealed(header, 36) + table + bitmap + body + sealed)
    return target


@needs_qemu
@pytest.mark.parametrize(("sector", "count"), [(100, 10), (96, 8), (15, 1), (0, 3), (1000, 777)])
def test_differencing_vhd_with_its_parent(sector: int, count: int, tmp_path: Path) -> None:
    """Sectors of the child where it has them, those of the parent elsewhere, also in one group of eight; alone it is a missing part."""
    raw = tmp_path / "disk.raw"
    raw.write_bytes(disk_bytes())
    base = convert(raw, tmp_path / "base.vhd", "vpc")
    data = b"\x5a" * (count * 512)
    child = differencing_vhd(base, tmp_path / "child.vhd", 1, sector, data)
    want, at = bytearray(disk_bytes()), BLOCK + sector * 512
    want[at : at + len(data)] = data
    image = open_image(memory_segments([child, base]))[1]
    assert image.read_at(0, len(want)) == bytes(want)
    for offset, size in ((at - 700, 2000), (BLOCK - 3, 7), (at + len(data) - 1, 5000)):
        assert image.read_at(offset, size) == bytes(want[offset : offset + size])
    with pytest.raises(Unreadable, match=r"base\.vhd") as caught:
        open_image(memory_segments([child]))
    assert caught.value.kind == "missing-part"


@needs_qemu
def test_a_chain_of_differencing_vhd_and_a_stranger_as_parent(tmp_path: Path) -> None:
    """Child over child over disk; a file with the name of the parent and another identifier is refused, a cut child is an error."""
    raw = tmp_path / "disk.raw"
    raw.write_bytes(disk_bytes())
    base = convert(raw, tmp_path / "base.vhd", "vpc")
    middle = differencing_vhd(base, tmp_path / "middle.vhd", 0, 100, b"m" * 5120)
    top = differencing_vhd(middle, tmp_path / "top.vhd", 0, 105, b"t" * 1024)
    want = bytearray(disk_bytes())
    want[51200:56320] = b"m" * 5120
    want[53760:54784] = b"t" * 1024
    assert open_image(memory_segments([top, middle, base]))[1].read_at(0, len(want)) == bytes(want)
    (tmp_path / "stranger").mkdir()
    stranger = convert(raw, tmp_path / "stranger" / "base.vhd", "vpc")
    with pytest.raises(Unreadable, match="identifier"):
        open_image(memory_segments([middle, stranger]))
    wrong = bytearray(middle.read_bytes())
    wrong[600] ^= 1
    middle.write_bytes(wrong)
    with pytest.raises(Unreadable, match="checksum"):
        open_image(memory_segments([middle, base]))


@needs_qemu
@pytest.mark.parametrize("form", ["qcow2", "vmdk"])
def test_an_overlay_is_listed_over_its_parent(form: str, safelight: Command, tmp_path: Path) -> None:
    """`add --parent` gives the items of the parent with the name of the overlay; with the same digests."""
    from images import iso

    base, top = convert(iso(), tmp_path / f"base.{form}", form), tmp_path / f"top.{form}"
    subprocess.run(["qemu-img", "create", "-q", "-f", form, "-F", form, "-b", str(base), str(top)], check=True, capture_output=True)
    safelight("new", safelight.case)
    safelight("add", safelight.case, top, "--parent", base, "--exhibit", "A")
    safelight("run", safelight.case, "-q")
    found = {(r["path"], r["sha256"]) for r in safelight.find()}
    plain = Command(tmp_path / "plain").made(base)
    assert found == {(r["path"], r["sha256"]) for r in plain.find()}
    assert len(found) > 80


def test_a_raw_image_has_no_parent(safelight: Command, tmp_path: Path) -> None:
    """The files of a raw image are joined; a parent behind it would be taken for its end."""
    for name in ("disk.dd", "base.dd"):
        (tmp_path / name).write_bytes(bytes(4096))
    safelight("new", safelight.case)
    done = safelight("add", safelight.case, tmp_path / "disk.dd", "--parent", tmp_path / "base.dd", expect=(2,), SAFELIGHT_TRACE="")
    assert b"has no --parent" in done.stderr


def test_a_later_segment_is_refused_in_words(safelight: Command, tmp_path: Path) -> None:
    """The second file of a split image is no fault of the program."""
    for name in ("disk.001", "disk.002"):
        (tmp_path / name).write_bytes(bytes(4096))
    safelight("new", safelight.case)
    done = safelight("add", safelight.case, tmp_path / "disk.002", expect=(2,), SAFELIGHT_TRACE="")
    assert b"disk.001 is. Nothing was added" in done.stderr


@needs_qemu
def test_parents_are_added_without_a_trace(safelight: Command) -> None:
    """The format of the child is told from its first bytes: its access time and that of the parent stay what they were."""
    raw = safelight.folder / "disk.raw"
    raw.write_bytes(disk_bytes())
    base = convert(raw, safelight.folder / "base.vhd", "vpc")
    child = differencing_vhd(base, safelight.folder / "child.vhd", 1, 0, b"x" * 512)
    for path in (base, child):
        os.utime(path, ns=(10**18, 10**18 + 1))
    safelight("new", safelight.case)
    safelight("add", safelight.case, child, "--parent", base, "--exhibit", "A")
    assert [path.stat().st_atime_ns for path in (base, child)] == [10**18, 10**18]

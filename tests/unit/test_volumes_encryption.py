"""Volumes that no file system reader takes: named by their signatures; shadow copies against `vshadowinfo`."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kits.container_kit import memory_segments
from safelight.evidence.bytesource import FdSource, MemorySource
from safelight.evidence.containers import open_image
from safelight.evidence.volumes.encryption import SIGNATURES, identify, is_encrypted
from safelight.evidence.volumes.shadow import Store, stores
from safelight.problems import KINDS


@pytest.mark.parametrize("row", SIGNATURES, ids=lambda r: r[3])
def test_each_signature_is_found(row: tuple[int, bytes, str, str]) -> None:
    """A volume with the signature at its place is named with a kind of the closed list."""
    offset, signature, kind, words = row
    volume = bytearray(2 << 20)
    volume[offset : offset + len(signature)] = signature
    found = identify(MemorySource(volume))
    assert found is not None
    assert kind in KINDS
    assert (kind, words.split(" ")[0]) == (found[0], found[1].split(" ")[0])
    assert is_encrypted(MemorySource(volume)) == (found[1] if kind == "encrypted" else None)


def test_lvm_md_and_zfs() -> None:
    """Labels that may stand in several places are found: LVM2, md 1.0 and 0.90 at the end, a ZFS uberblock."""
    lvm = bytearray(1 << 20)
    lvm[512:544] = b"LABELONE" + bytes(16) + b"LVM2 001"
    raid10 = bytearray(1 << 20)
    raid10[((2048 - 16) & ~7) * 512 :][:4] = b""
    at = ((2048 - 16) & ~7) * 512
    raid10[at : at + 4] = b"\xfc\x4e\x2b\xa9"
    raid090 = bytearray((1 << 20) + 5000)
    raid090[(1 << 20) - 0x10000 : (1 << 20) - 0x10000 + 4] = b"\xfc\x4e\x2b\xa9"
    zfs = bytearray(1 << 20)
    zfs[(128 << 10) + 5 * 1024 :][:8] = b""
    zfs[(128 << 10) + 5120 : (128 << 10) + 5128] = (0x00BAB10C).to_bytes(8, "big")
    words = [identify(MemorySource(v)) for v in (lvm, raid10, raid090, zfs)]
    assert [w and w[1].split(",")[0] for w in words] == [
        "LVM2 physical volume",
        "Linux software RAID (md 1.0)",
        "Linux software RAID (md 0.90)",
        "ZFS",
    ]


def test_random_bytes_have_high_entropy_and_zeros_are_nothing() -> None:
    """Random bytes everywhere are named as unknown with high entropy; zeros, text and half-random volumes are not."""
    noise = random.Random(3).randbytes(1 << 20)
    found = identify(MemorySource(noise))
    assert found is not None
    assert "high entropy" in found[1]
    assert identify(MemorySource(bytes(1 << 20))) is None
    assert identify(MemorySource(noise[: 1 << 19] + bytes(1 << 19))) is None
    assert identify(MemorySource(b"")) is None


@pytest.mark.parametrize("name", ["ext4k.img", "fat32.img", "ntfs_cp.img", "apfs.raw", "iso9660.raw", "daylight.dd"])
def test_readable_file_systems_are_not_named(name: str, evidence: Callable[[str], Path]) -> None:
    """A volume that a file system reader takes is nothing for this list."""
    with evidence(name).open("rb") as file:
        assert identify(FdSource(file.fileno())) is None


def test_volumes_made_by_the_real_tools(tmp_path: Path) -> None:
    """What mkswap, mksquashfs and mkfs.btrfs write is named (each where its tool is installed)."""
    made = {}
    for tool, arguments, words in (("mkswap", (), "Linux swap"), ("mkfs.btrfs", ("-q",), "Btrfs"), ("mkfs.f2fs", ("-q",), "F2FS")):
        path = shutil.which(tool) or shutil.which(tool, path="/usr/sbin:/sbin")
        if path is None:
            continue
        image = tmp_path / tool
        with image.open("wb") as out:
            out.truncate(130 << 20)
        subprocess.run([path, *arguments, str(image)], check=True, capture_output=True)
        with image.open("rb") as file:
            found = identify(FdSource(file.fileno()))
        made[words] = found and found[1]
    if not made:
        pytest.skip("none of the tools is installed")
    assert {w: w for w in made} == made


def test_shadow_copies_are_those_of_vshadowinfo(evidence: Callable[[str], Path], tmp_path: Path) -> None:
    """Two stores with the times that vshadowinfo prints, each an NTFS volume of the size of the whole."""
    _, image = open_image(memory_segments([evidence("vsstest.qcow2")]))
    found = stores(image)
    assert all(isinstance(s, Store) for s in found)
    got = [s for s in found if isinstance(s, Store)]
    assert [s.step for s in got] == ["vss:1", "vss:2"]
    assert [(image.size, b"NTFS    ")] * 2 == [(s.source.size, s.source.read_at(3, 8)) for s in got]
    assert got[0].source.read_at(0, 1 << 20) != got[1].source.read_at(0, 1 << 20)
    if shutil.which("vshadowinfo") is None or shutil.which("qemu-img") is None:
        pytest.skip("vshadowinfo or qemu-img is not installed")
    raw = tmp_path / "vss.raw"
    subprocess.run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", str(evidence("vsstest.qcow2")), str(raw)], check=True)
    out = subprocess.run(["vshadowinfo", str(raw)], check=True, capture_output=True, text=True).stdout
    times = re.findall(r"Creation time\s*: (.+?)\.(\d{9}) UTC", out)
    want = [int(datetime.strptime(t, "%b %d, %Y %H:%M:%S").replace(tzinfo=UTC).timestamp()) * 10**9 + int(ns) for t, ns in times]
    assert want == [s.created_ns for s in got]


def test_volume_without_shadow_copies_has_none() -> None:
    """No header, no stores, no problem; a header over garbage is a problem."""
    assert stores(MemorySource(bytes(1 << 16))) == []
    volume = bytearray(1 << 16)
    volume[0x1E00:0x1E10] = bytes.fromhex("6b87083876c1484eb7ae04046e6cc752")
    assert [getattr(p, "kind", None) for p in stores(MemorySource(volume))] == ["corrupt"]

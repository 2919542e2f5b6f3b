"""Whole disks through the command: partition tables with several file systems, encrypted volumes, damaged and verified images."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from command import Command

SECTOR = 512
MIB = 1 << 20


def tool(*words: object) -> None:
    """Run a program, or skip where it is not installed."""
    if shutil.which(str(words[0])) is None:
        pytest.skip(f"{words[0]} is not installed")
    subprocess.run([str(w) for w in words], check=True, capture_output=True)


def filesystems(folder: Path) -> dict[str, bytes]:
    """Make an ext4, a FAT16 and an XFS volume by their own tools, each with one file `where.txt` that names it."""
    made = {}
    for name, size in (("ext4", 8 * MIB), ("fat16", 16 * MIB), ("xfs", 320 * MIB)):
        tree, image = folder / f"{name}.tree", folder / f"{name}.img"
        tree.mkdir()
        (tree / "where.txt").write_text(f"on {name}\n")
        with image.open("wb") as file:
            file.truncate(size)
        if name == "ext4":
            tool("mke2fs", "-q", "-t", "ext4", "-d", tree, image)
        elif name == "fat16":
            tool("mkfs.vfat", "-F", "16", image)
            tool("mcopy", "-i", image, tree / "where.txt", "::where.txt")
        else:
            (folder / "proto").write_text(f"/stand/diskboot\n0 0\nd--755 0 0\nwhere.txt ---644 0 0 {tree / 'where.txt'}\n$\n")
            tool("mkfs.xfs", "-q", "-f", "-p", folder / "proto", image)
        made[name] = image.read_bytes()
    return made


def mbr(volumes: list[tuple[int, bytes]], encrypted: bytes) -> bytes:
    """Lay volumes one behind the other, from 1 MiB on, into a disk with an MBR; an encrypted one comes last."""
    start, table, body = 2048, b"", b""
    for kind, data in [*volumes, (0x83, encrypted)]:
        count = len(data) // SECTOR
        table += bytes([0, 0, 0, 0, kind, 0, 0, 0]) + start.to_bytes(4, "little") + count.to_bytes(4, "little")
        body += data
        start += count
    return b"\0" * 446 + table + b"\x55\xaa" + b"\0" * (2048 - 1) * SECTOR + body


def test_each_volume_of_a_disk_is_read_and_the_encrypted_one_is_named(safelight: Command, tmp_path: Path) -> None:
    """A disk with ext4, FAT16, XFS and LUKS: three files from three readers, and a problem that says LUKS."""
    parts = filesystems(tmp_path)
    luks = b"LUKS\xba\xbe\0\x01aes\0".ljust(4 * MIB, b"\x5a")
    disk = tmp_path / "disk.raw"
    disk.write_bytes(mbr([(0x83, parts["ext4"]), (0x06, parts["fat16"]), (0x83, parts["xfs"])], luks))
    safelight.made(disk)
    status = safelight.status()

    assert {"on ext4\n", "on fat16\n", "on xfs\n"} == {
        safelight("cat", safelight.case, i["item_id"]).stdout.decode() for i in safelight.find() if i["path"].endswith("where.txt")
    }
    assert {"ext4", "fat16", "xfs", None} == {v["filesystem"] for v in status["volumes"]}
    problems = safelight("status", safelight.case).stdout.decode()
    assert 1 == status["problems"]["encrypted"], problems


@pytest.mark.parametrize("form", ["qcow2 -c", "vmdk", "vpc", "vhdx", "e01"])
def test_a_container_changes_nothing(form: str, safelight: Command, tmp_path: Path, evidence: Callable[[str], Path]) -> None:
    """The same disk in a container gives the same paths, states and digests as raw, down to the deleted files."""
    raw = evidence("fat32.img")
    if form == "e01":
        if shutil.which("ewfacquirestream") is None:
            pytest.skip("ewfacquirestream is not installed")
        words = ["ewfacquirestream", "-q", "-c", "best", "-t", str(tmp_path / "disk"), "-f", "encase6", "-S", "1.4G"]
        with raw.open("rb") as stream:
            subprocess.run([*words, "-e", "E", "-D", "d", "-N", "n", "-C", "1", "-E", "1"], stdin=stream, check=True, capture_output=True)
        packed = tmp_path / "disk.E01"
    else:
        kind, *options = form.split()
        packed = tmp_path / f"disk.{'vhd' if kind == 'vpc' else kind}"
        extra = ["-o", "force_size=on"] if kind == "vpc" else []
        tool("qemu-img", "convert", "-f", "raw", "-O", kind, *extra, *options, raw, packed)
    safelight("new", safelight.case)
    safelight("add", safelight.case, raw, "--exhibit", "raw")
    safelight("add", safelight.case, packed, "--exhibit", "packed")
    safelight("run", safelight.case, "-q")
    seen = [[(i["path"], i["state"], i["size"], i["sha256"]) for i in safelight.find("--exhibit", e)] for e in ("raw", "packed")]

    assert len(seen[0]) > 30
    assert seen[0] == seen[1]


def test_acquisition_digest_is_verified_and_a_flipped_byte_found(
    safelight: Command, tmp_path: Path, evidence: Callable[[str], Path]
) -> None:
    """`add --verify` and `verify --full` check the digest that an E01 carries; one changed byte of the file is exit code 4."""
    image = tmp_path / "image.E01"
    shutil.copy(evidence("image.E01"), image)
    safelight("new", safelight.case)
    added = safelight("add", safelight.case, image, "--exhibit", "A", "--verify", expect=(0,))
    safelight("run", safelight.case, "-q")
    safelight("verify", safelight.case, "--full", expect=(0,))
    raw = bytearray(image.read_bytes())
    raw[len(raw) // 2] ^= 1
    image.write_bytes(raw)

    assert b"are right" in added.stderr
    found = safelight("verify", safelight.case, "--full", expect=(4,)).stdout.decode()
    assert "changed: evidence" in found


def test_damaged_chunk_costs_its_files_only(safelight: Command, tmp_path: Path) -> None:
    """One broken chunk of an E01: the file in it is a problem without a false digest, its neighbours are whole."""
    if shutil.which("ewfacquirestream") is None:
        pytest.skip("ewfacquirestream is not installed")
    tree, raw = tmp_path / "tree", tmp_path / "raw"
    tree.mkdir()
    for number in range(8):
        (tree / f"{number}.bin").write_bytes(hashlib.shake_128(bytes([number])).digest(300_000))
    with raw.open("wb") as file:
        file.truncate(8 * MIB)
    tool("mke2fs", "-q", "-t", "ext4", "-d", tree, raw)
    words = ["ewfacquirestream", "-q", "-c", "none", "-t", str(tmp_path / "d"), "-f", "encase6", "-S", "1.4G", "-e", "E", "-D", "d"]
    with raw.open("rb") as stream:
        subprocess.run([*words, "-N", "n", "-C", "1", "-E", "1"], stdin=stream, check=True, capture_output=True)
    image = tmp_path / "d.E01"
    data = bytearray(image.read_bytes())
    where = data.find(hashlib.shake_128(bytes([4])).digest(300_000)[100_000:100_064])
    assert where > 0
    data[where] ^= 0xFF
    image.write_bytes(data)
    safelight.made(image)
    items = {i["path"]: i for i in safelight.find("--path", "*.bin")}

    for number in range(8):
        whole = hashlib.sha256((tree / f"{number}.bin").read_bytes()).hexdigest()
        item = items[f"{number}.bin"]
        if number == 4:
            assert item["sha256"] != whole
            assert "corrupt" == item["problem"]["kind"]
        else:
            assert (whole, None) == (item["sha256"], item["problem"])


def test_evidence_keeps_its_bytes_and_times(safelight: Command, tmp_path: Path, evidence: Callable[[str], Path]) -> None:
    """After add, run, cat, report and verify --full the image and the folder have the same digests, times and rights."""
    image, folder = tmp_path / "ext4k.img", tmp_path / "phone"
    shutil.copy(evidence("ext4k.img"), image)
    (folder / "DCIM").mkdir(parents=True)
    (folder / "DCIM" / "a.txt").write_text("a\n")

    def state() -> list[tuple[object, ...]]:
        paths = [image, folder, folder / "DCIM", folder / "DCIM" / "a.txt"]
        found = [(p, p.stat().st_mtime_ns, p.stat().st_ctime_ns, p.stat().st_atime_ns, p.stat().st_mode) for p in paths]
        return [*found, (hashlib.sha256(image.read_bytes()).hexdigest(),)]

    state()  # the read of the digest itself may touch the access time once
    before = state()
    safelight.made(image, folder)
    safelight("cat", safelight.case, safelight.find("--live", "--kind", "text")[0]["item_id"])
    safelight("verify", safelight.case, "--full", expect=(0,))

    assert before == state()


def test_an_image_of_many_segments_is_one_disk(safelight: Command, tmp_path: Path, evidence: Callable[[str], Path]) -> None:
    """A raw image in 768 segments gives what the whole one gives: more descriptors than one message or the usual limit takes."""
    whole = evidence("ext4k.img")
    raw = whole.read_bytes()
    for number in range(len(raw) // 32_768 + 1):
        piece = raw[number * 32_768 : (number + 1) * 32_768]
        if piece:
            (tmp_path / f"disk.{number + 1:03d}").write_bytes(piece)
    safelight("new", safelight.case)
    safelight("add", safelight.case, whole, "--exhibit", "whole")
    added = safelight("add", safelight.case, tmp_path / "disk.001", "--exhibit", "split")
    safelight("run", safelight.case, "-q")
    seen = [[(i["path"], i["state"], i["size"], i["sha256"]) for i in safelight.find("--exhibit", e)] for e in ("whole", "split")]

    assert b"768 file(s)" in added.stderr
    assert seen[0] == seen[1]

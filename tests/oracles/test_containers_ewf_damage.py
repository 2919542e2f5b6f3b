"""EWF whose section descriptors are broken, by code; and every format that ewfacquire writes, against the raw disk."""

from __future__ import annotations

import random
import shutil
import struct
import subprocess
from itertools import combinations
from pathlib import Path

import pytest

import images
from kits.filesystem_kit import FileSource
from oracles.test_containers_ewf import CHUNK, Writer
from safelight.evidence.bytesource import MemorySource
from safelight.evidence.containers import open_image
from safelight.evidence.containers.segments import collect_segments
from safelight.evidence.source import Image, Segment, Unreadable

MEDIUM = b"".join(random.Random(i).randbytes(CHUNK) if i % 3 else bytes([i]) * CHUNK for i in range(20))
FORMATS = ("ewf", "smart", "ftk", "encase1", "encase2", "encase3", "encase4", "encase5", "encase6", "linen5", "linen6", "ewfx")


def descriptors(image: bytes) -> list[tuple[int, bytes]]:
    """Where each section stands, and its name."""
    found, at = [], 13
    while True:
        name = image[at : at + 16].rstrip(b"\0")
        found.append((at, name))
        following = struct.unpack_from("<Q", image, at + 16)[0]
        if following <= at:
            return found
        at = following


def opened(image: bytes) -> Image:
    return open_image([Segment(b"x.E01", MemorySource(image))])[1]


def test_one_broken_descriptor_costs_nothing() -> None:
    """With the descriptor of any one section broken but that of the geometry, all bytes of the medium are read, and a problem says so."""
    whole = bytes(Writer(MEDIUM, per_table=5).out)
    for at, name in descriptors(whole):
        if name == b"volume":
            continue
        broken = bytearray(whole)
        broken[at + 40] ^= 0xFF  # inside the part that the checksum covers
        image = opened(bytes(broken))
        assert image.read_at(0, image.size) == MEDIUM, name
        assert "checksum of the section" in image.problems[0].reason, name


def test_two_broken_descriptors_give_no_wrong_byte() -> None:
    """With any two broken, each chunk is read right or refused; nothing is read as zeros, and most is read."""
    whole = bytes(Writer(MEDIUM, per_table=5).out)
    places = [(at, name) for at, name in descriptors(whole) if name != b"volume"]
    for first, second in combinations(places, 2):
        broken = bytearray(whole)
        for at, _ in (first, second):
            broken[at + 40] ^= 0xFF
        image = opened(bytes(broken))
        assert image.problems
        right = 0
        for chunk in range(len(MEDIUM) // CHUNK):
            try:
                data = image.read_at(chunk * CHUNK, CHUNK)
            except Unreadable:
                continue
            assert data == MEDIUM[chunk * CHUNK : (chunk + 1) * CHUNK], (first, second, chunk)
            right += 1
        assert right >= 15, (first, second, right)


@pytest.mark.parametrize("name", FORMATS)
def test_formats_of_ewfacquire(name: str, tmp_path: Path) -> None:
    """Each format of ewfacquire, split, in each compression, gives the disk; the stored MD5 is handed on."""
    if shutil.which("ewfacquire") is None:
        pytest.skip("ewfacquire is not installed")
    disk = tmp_path / "disk.raw"
    disk.write_bytes(images.content(5, 2_600_000) + bytes(1_400_000) + b"text " * 200_000 + bytes(192))
    for level in ("none", "empty-block", "fast", "best"):
        folder = tmp_path / level
        folder.mkdir()
        subprocess.run(
            ["ewfacquire", "-u", "-q", "-c", level, "-t", "x", "-f", name, "-S", "1MiB", *"-e E -D d -N n -C 1 -E 1".split(), disk],
            cwd=folder,
            check=True,
            capture_output=True,
        )
        first = sorted(folder.iterdir())[0]
        kind, image = open_image([Segment(p.name.encode(), FileSource(p)) for p in collect_segments(first)])
        assert kind == "ewf"
        assert image.read_at(0, image.size) == disk.read_bytes(), level
        assert image.problems == ()
        assert "md5" in [d.algorithm for d in image.stored_digests]


def test_more_than_99_segments(tmp_path: Path) -> None:
    """135 segments: behind .E99 follow .EAA to .EBJ; all belong to the image."""
    disk = tmp_path / "disk.raw"
    disk.write_bytes(images.content(6, 130 << 20))
    images.run(
        *("ewfacquirestream", "-q", "-c", "none", "-t", "x", "-f", "encase6", "-S", "1MiB", *"-e E -D d -N n -C 1 -E 1".split()),
        input=disk.read_bytes(),
        cwd=tmp_path,
    )
    files = collect_segments(tmp_path / "x.E01")
    assert (len(files), files[99].name) == (135, "x.EAA")
    image = open_image([Segment(p.name.encode(), FileSource(p)) for p in files])[1]
    with disk.open("rb") as raw:
        for at in range(0, image.size, 4 << 20):
            assert image.read_at(at, 4 << 20) == raw.read(4 << 20)

"""Deflate64 in ZIP, written by 7z: the bytes that went in; damage, a cut and a bomb end in words."""

from __future__ import annotations

import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
from test_archives import failure, listed

from images import content
from safelight.evidence.bytesource import MemorySource
from safelight.evidence.source import Unreadable
from safelight.extract.archives import Member
from safelight.extract.archives.content import BLOCK
from safelight.extract.archives.content import content as unpacked

pytestmark = pytest.mark.skipif(shutil.which("7z") is None, reason="7z is not installed")


def _packed(folder: Path, data: bytes) -> tuple[bytes, zipfile.ZipInfo]:
    """The packed bytes of one member, and its entry."""
    (folder / "member").write_bytes(data)
    subprocess.run(["7z", "a", "-tzip", "-mm=Deflate64", "x.zip", "member"], cwd=folder, check=True, capture_output=True)
    raw = (folder / "x.zip").read_bytes()
    entry = zipfile.ZipFile(folder / "x.zip").infolist()[0]
    start = 30 + int.from_bytes(raw[26:28], "little") + int.from_bytes(raw[28:30], "little")
    return raw[start : start + entry.compress_size], entry


@pytest.mark.parametrize("data", [b"abc" * 100_000, content(1, 70_000) + b"x" * 200_000 + content(2, 70_000) * 3, bytes(8 << 20)])
def test_bytes_are_those_that_went_in(data: bytes, tmp_path: Path) -> None:
    """In bounded blocks; distances beyond 32 KiB occur (a repeated part of 70,000 random bytes is packed once or so)."""
    packed, entry = _packed(tmp_path, data)
    assert entry.compress_type == 9
    blocks = list(unpacked(MemorySource(packed), 9, 0, len(packed), len(data), entry.CRC))
    assert b"".join(blocks) == data
    assert max(map(len, blocks)) <= BLOCK


def test_damage_and_a_cut_are_errors(tmp_path: Path) -> None:
    """Every end of a cut stream, and changed bytes, raise `Unreadable`."""
    packed, entry = _packed(tmp_path, content(3, 20_000) + b"y" * 3000)
    for cut in (0, 1, 100, len(packed) - 1):
        with pytest.raises(Unreadable):
            list(unpacked(MemorySource(packed[:cut]), 9, 0, cut, entry.file_size, entry.CRC))
    for place in range(0, len(packed), 997):
        wrong = bytearray(packed)
        wrong[place] ^= 0x55
        with pytest.raises(Unreadable) as caught:
            list(unpacked(MemorySource(bytes(wrong)), 9, 0, len(wrong), entry.file_size, entry.CRC))
        assert caught.value.kind == "corrupt"


def test_deflate64_in_pieces_and_cut(tmp_path: Path) -> None:
    """Runs of one byte come out in bounded blocks; of a cut stream comes what is there, with its problem."""
    (tmp_path / "big").write_bytes(bytes(3_000_000) + os.urandom(100_000))
    subprocess.run(["7z", "a", "-tzip", "-mm=Deflate64", "x.zip", "big"], cwd=tmp_path, check=True, capture_output=True)
    data = (tmp_path / "x.zip").read_bytes()
    (member,) = (m for m in listed(data, "application/zip") if isinstance(m, Member))
    blocks = list(member.blocks())
    assert b"".join(blocks) == (tmp_path / "big").read_bytes()
    assert max(map(len, blocks)) <= 1 << 20
    assert failure(data[:60_000], "application/zip", 1) == "corrupt"

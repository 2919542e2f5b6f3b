"""What lies in evidence and is known by its ending or is an image of a disk: opened where it is an archive, told where it is not."""

from __future__ import annotations

import io
import subprocess
import zipfile
from pathlib import Path

import pytest

import images
from safelight.evidence.bytesource import MemorySource
from safelight.extract.worker import extract
from safelight.sandbox.protocol import Item, Late, Task


def items(data: bytes, name: bytes = b"file") -> list[Item]:
    """Extract one file; return it and its members, with the problems that came late."""
    found: dict[int, Item] = {}
    for answer in extract(Task(0, "file:1", name, len(data)), lambda: MemorySource(data), "everything"):
        if isinstance(answer, Late):
            found[answer.member].problems += answer.problems
        else:
            found[answer.member] = answer
    return list(found.values())


def parcel(name: str = "letter.txt") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        z.writestr(name, "a letter")
    return out.getvalue()


def test_iso_image_inside_is_read_as_an_archive(tmp_path: Path) -> None:
    """Its files are items with their long names; isoinfo names the same."""
    tree = tmp_path / "tree"
    (tree / "folder").mkdir(parents=True)
    (tree / "folder" / "a long name of a letter.txt").write_text("a letter")
    images.run("genisoimage", "-quiet", "-R", "-J", "-o", tmp_path / "x.iso", tree)
    holder, *inside = items((tmp_path / "x.iso").read_bytes(), b"x.iso")
    assert holder.problems == []
    listed = subprocess.run(["isoinfo", "-R", "-f", "-i", tmp_path / "x.iso"], check=True, capture_output=True, text=True).stdout.split(
        "\n"
    )
    assert {i.name.decode() for i in inside if i.type == "file"} == {line[1:] for line in listed if line.endswith(".txt")}
    assert [i.length for i in inside if i.name.endswith(b"letter.txt")] == [8]


@pytest.mark.parametrize("form", ["qcow2", "vmdk", "vpc", "vhdx"])
def test_disk_images_inside_are_told(form: str, tmp_path: Path) -> None:
    """A virtual disk among the files of an exhibit is no silent file: the problem says what to do."""
    images.run("qemu-img", "create", "-q", "-f", form, tmp_path / "disk", "8M")
    (item,) = items((tmp_path / "disk").read_bytes(), b"disk")
    assert [kind for kind, _ in item.problems] == ["unsupported"]
    assert "add it as an exhibit" in item.problems[0][1]


def test_known_by_its_ending() -> None:
    """A ZIP archive with other bytes before it is opened; behind a program it is told."""
    holder, letter = items(b"\x07\x01" * 50_000 + parcel())
    assert holder.media_type == "application/zip"
    assert letter.name == b"letter.txt"
    (program,) = items(Path("/bin/true").resolve().read_bytes() + parcel(), b"setup")
    assert program.kind == "program"
    assert [kind for kind, _ in program.problems] == ["trailing-data"]

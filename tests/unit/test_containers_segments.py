"""Which files belong to one image, by their names; a gap is an error, a stranger beside the image is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from safelight.evidence.containers.segments import SegmentGap, collect_segments


def names(folder: Path, first: str, *files: str) -> list[str]:
    for file in files:
        (folder / file).write_bytes(b"x")
    return [p.name for p in collect_segments(folder / first)]


@pytest.mark.parametrize(
    ("first", "files", "want"),
    [
        ("a.E01", ["a.E01", "a.E02", "a.E03", "b.E02", "a.txt"], ["a.E01", "a.E02", "a.E03"]),
        ("a.e01", ["a.e01", "a.e02"], ["a.e01", "a.e02"]),
        ("a.E01", ["a.E01", "a.e02"], ["a.E01", "a.e02"]),
        ("a.E01", ["a.E01", "a.EXE"], ["a.E01"]),
        ("a.s01", ["a.s01", "a.s02"], ["a.s01", "a.s02"]),
        ("a.001", ["a.001", "a.002", "a.003"], ["a.001", "a.002", "a.003"]),
        ("a.000", ["a.000", "a.001"], ["a.000", "a.001"]),
        ("a.dd.001", ["a.dd.001", "a.dd.002", "a.dd"], ["a.dd.001", "a.dd.002"]),
        ("a.00", ["a.00", "a.01", "a.02"], ["a.00", "a.01", "a.02"]),
        ("a.01", ["a.01", "a.02", "a.003"], ["a.01", "a.02"]),
        ("report.10", ["report.10", "report.11"], ["report.10"]),
        ("a.aa", ["a.aa", "a.ab", "a.ac", "a.dd"], ["a.aa", "a.ab", "a.ac"]),
        ("a.aaa", ["a.aaa", "a.aab"], ["a.aaa", "a.aab"]),
        ("a.vmdk", ["a.vmdk", "a-s001.vmdk", "a-s002.vmdk", "b-s001.vmdk"], ["a.vmdk", "a-s001.vmdk", "a-s002.vmdk"]),
        ("a.vmdk", ["a.vmdk", "a-flat.vmdk"], ["a.vmdk", "a-flat.vmdk"]),
        ("disk.dd", ["disk.dd", "disk.001"], ["disk.dd"]),
        ("disk", ["disk"], ["disk"]),
        ("setup.exe", ["setup.exe"], ["setup.exe"]),
        ("phone.123", ["phone.123"], ["phone.123"]),
    ],
)
def test_files_of_an_image(first: str, files: list[str], want: list[str], tmp_path: Path) -> None:
    """The set in order, and nothing else."""
    assert want == names(tmp_path, first, *files)


def test_ewf_goes_on_with_letters(tmp_path: Path) -> None:
    """Behind E99 come EAA, EAB … and FAA behind EZZ."""
    files = [f"a.E{i:02}" for i in range(1, 100)]
    files += [f"a.E{x}{y}" for x in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" for y in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"] + ["a.FAA", "a.FAB"]
    assert files == names(tmp_path, "a.E01", *files)


@pytest.mark.parametrize(
    ("first", "files", "missing"),
    [
        ("a.E01", ["a.E01", "a.E03"], "a.E02"),
        ("a.E02", ["a.E01", "a.E02"], "a.E01"),
        ("a.E02", ["a.E02"], "a.E01"),
        ("a.001", ["a.001", "a.003"], "a.002"),
        ("a.002", ["a.001", "a.002"], "a.001"),
        ("a.003", ["a.002", "a.003"], "a.001"),
        ("a.aa", ["a.aa", "a.ac"], "a.ab"),
    ],
)
def test_a_gap_is_an_error_that_names_the_file(first: str, files: list[str], missing: str, tmp_path: Path) -> None:
    """A missing file in the middle, or a start in the middle, is refused."""
    with pytest.raises(SegmentGap, match=missing.replace(".", r"\.")):
        names(tmp_path, first, *files)


def test_absent_file_is_not_found(tmp_path: Path) -> None:
    """A path that is not there is an error of the caller."""
    with pytest.raises(FileNotFoundError):
        collect_segments(tmp_path / "a.E01")

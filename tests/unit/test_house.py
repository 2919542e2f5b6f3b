"""What is in the project says nothing of the machine or the way it was made on: no paths of somebody's folders."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OF_A_MACHINE = re.compile(rb"/(?:root|home/[a-z][a-z0-9_-]*)/[A-Za-z0-9._-]|pytest-of-")
"""Folders of one account, and folders that a tool makes for one run."""


def tracked() -> list[Path]:
    """Return the files that git tracks: nothing that was built or installed here is judged."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    return [path for name in names.decode().split("\0") if name and (path := ROOT / name).is_file()]


def test_no_file_names_a_folder_of_a_machine() -> None:
    """Sources, tests, tools and pages hold no path of the account or the run that made them."""
    files = [path for path in tracked() if path != Path(__file__).resolve()]
    named = [f"{path.relative_to(ROOT)}: {m.group().decode()}" for path in files for m in OF_A_MACHINE.finditer(path.read_bytes())]

    assert len(files) > 300
    assert named == []


@pytest.mark.parametrize("text", [b"see /root/x", b"/home/anna/case", b"/tmp/pytest-of-anna/0"])
def test_such_a_path_is_seen(text: bytes) -> None:
    """The pattern finds what it is for."""
    assert OF_A_MACHINE.search(text)

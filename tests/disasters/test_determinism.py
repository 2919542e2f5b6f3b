"""The same evidence gives the same bytes, whatever the number of workers, their order, the zone, the language or the hash seed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from command import Command
from small import made, make_folder


@pytest.mark.parametrize(("workers", "env"), [(2, {}), (3, {"TZ": "Asia/Kolkata", "LANG": "C", "PYTHONHASHSEED": "7"})])
def test_same_bytes(workers: int, env: dict[str, str], tmp_path: Path, evidence: Callable[[str], Path]) -> None:
    """One, two and three workers make equal files of facts, renditions and stacks."""
    folder, image = make_folder(tmp_path / "phone", 1_500), evidence("ext4k.img")
    one, other = Command(tmp_path / "one"), Command(tmp_path / "other")
    for run in (one, other):
        run.folder.mkdir()
        run("new", run.case)
        run("add", run.case, folder, image, "--exhibit", "A")
    one("run", one.case, "--workers", 1, "-q")
    other("run", other.case, "--workers", workers, "-q", **env)

    assert len(made(one.case)) > 12
    assert made(one.case) == made(other.case)


def test_run_again_changes_nothing(tmp_path: Path) -> None:
    """A second run of a finished case writes no fact and reads no evidence."""
    run = Command(tmp_path)
    folder = make_folder(tmp_path / "phone", 50)
    run.made(folder)
    before = made(run.case)
    (folder / "d1" / "note1.txt").write_text("changed after the run")
    run("run", run.case, "-q")

    assert made(run.case) == before

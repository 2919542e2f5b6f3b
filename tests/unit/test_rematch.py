"""Backwards: new and changed sets against the stored facts of all cases, without a byte of evidence."""

from __future__ import annotations

import fcntl
import json
import shutil
from hashlib import md5
from pathlib import Path
from typing import Any

import pytest

from command import Command


def rows(done: Any) -> dict[tuple[str, str], tuple[int, int, list[str]]]:
    """Return (case, set) → (new contents, new items, exhibits)."""
    read = [json.loads(line) for line in done.stdout.splitlines()]
    return {(Path(r["case"]).name, r["set"]): (r["new_contents"], r["new_items"], r["exhibits"]) for r in read}


@pytest.fixture
def unit(safelight: Command, tmp_path: Path) -> Command:
    """Three cases, run without any set, whose evidence is gone; the scope of the third hides a folder."""
    for name in ("x", "y", "z"):
        folder = tmp_path / f"phone-{name}"
        for sub in ("a", "b"):
            (folder / sub).mkdir(parents=True)
            (folder / sub / "same.bin").write_bytes(b"same")
            (folder / sub / "own.bin").write_bytes(f"{name}{sub}".encode())
        case = tmp_path / "cases" / f"{name}.case"
        case.parent.mkdir(exist_ok=True)
        safelight("new", case)
        safelight("add", case, folder, "--exhibit", name.upper(), *(("--scope-path", "a/*") if name == "z" else ()))
        safelight("run", case, "-q")
        folder.rename(tmp_path / f"away-{name}")
    return safelight


def add(unit: Command, name: str, *contents: bytes) -> None:
    path = unit.folder / "list.txt"
    path.write_text("".join(f"{md5(c).hexdigest()}\n" for c in contents))
    unit("hashset", "add", path, "--as", "illegal", "--name", name)


def rematch(unit: Command, expect: tuple[int, ...] = (0,)) -> Any:
    return unit("rematch", "--cases", unit.folder / "cases", "--format", "jsonl", expect=expect)


def test_a_new_set_finds_what_is_stored_and_says_it_once(unit: Command) -> None:
    """What is new, by case and set, within the scope; a second time there is nothing; then `find` knows it."""
    add(unit, "A", b"same", b"xb", b"zb", b"nowhere")

    assert rows(rematch(unit)) == {("x.case", "A"): (2, 3, ["X"]), ("y.case", "A"): (1, 2, ["Y"]), ("z.case", "A"): (1, 1, ["Z"])}
    assert rows(rematch(unit)) == {}
    out = unit("find", unit.folder / "cases" / "x.case", "--known", "illegal", "--format", "jsonl").stdout
    assert ["a/same.bin", "b/own.bin", "b/same.bin"] == sorted(json.loads(line)["path"] for line in out.splitlines())


def test_a_new_version_gives_only_what_the_old_one_did_not(unit: Command) -> None:
    """Entries that stay are not new again; entries that are gone are gone; the ledger tells both, and the case verifies."""
    add(unit, "A", b"same", b"xa")
    rematch(unit)
    add(unit, "A", b"same", b"xb")
    assert rows(rematch(unit)) == {("x.case", "A"): (1, 1, ["X"])}
    found = [
        json.loads(line)["path"]
        for line in unit("find", unit.folder / "cases" / "x.case", "--known", "illegal", "--format", "jsonl").stdout.splitlines()
    ]
    assert ["a/same.bin", "b/own.bin", "b/same.bin"] == sorted(found)
    (unit.folder / "away-x").rename(unit.folder / "phone-x")
    unit("verify", unit.folder / "cases" / "x.case", expect=(0,))


def test_a_rematch_is_what_a_run_would_have_found(unit: Command) -> None:
    """The match tables are byte for byte those of a run."""
    add(unit, "A", b"same", b"xa")
    rematch(unit)
    case = unit.folder / "cases" / "x.case"
    table = case / "matches" / "A-1" / "matches.parquet"
    before = table.read_bytes()
    shutil.rmtree(table.parent)
    assert rows(rematch(unit)) == {("x.case", "A"): (2, 3, ["X"])}
    assert before == table.read_bytes()


def test_a_case_that_is_run_or_broken_is_said_and_the_others_go_on(unit: Command) -> None:
    """One case is locked, one cannot be read: two problems, exit code 1, the third is matched."""
    add(unit, "A", b"same")
    (unit.folder / "cases" / "y.case" / "case.toml").write_text("format = 99\n")
    with (unit.folder / "cases" / "x.case" / "run.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = rematch(unit, expect=(1,))
    said = [sum(name in line for line in done.stderr.splitlines()) for name in (b"x.case", b"y.case", b"z.case")]
    assert (rows(done), said) == ({("z.case", "A"): (1, 1, ["Z"])}, [1, 1, 0])


def test_an_empty_library_drops_nothing(unit: Command) -> None:
    """A library without a ready set is wrong use: what was matched stays."""
    add(unit, "A", b"same")
    rematch(unit)
    shutil.rmtree(unit.folder / "library" / "sets" / "A")
    rematch(unit, expect=(2,))
    assert (unit.folder / "cases" / "x.case" / "matches" / "A-1" / "matches.parquet").is_file()


def test_a_damaged_set_is_not_verified(unit: Command) -> None:
    """A set that is not what was written: exit code 4, and no claim about it."""
    add(unit, "A", b"same")
    add(unit, "B", b"xa")
    (unit.folder / "library" / "sets" / "B" / "1" / "md5.keys").write_bytes(b"")
    done = rematch(unit, expect=(4,))
    assert b"B 1" in done.stderr

"""The report as a file: its entry in the ledger, what it refuses to overwrite or to rest on, its pictures, its rows of the ledger."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from test_report import PICTURES, MadeCase, filled, report, text_of

from safelight.cli import report as command
from safelight.errors import NotVerified, Usage
from safelight.ledger import LedgerError
from safelight.report import history


@pytest.fixture
def made(tmp_path: Path) -> MadeCase:
    """The filled case in a folder of the test."""
    return filled(tmp_path)


def test_making_it_is_a_disclosure(made: MadeCase, tmp_path: Path) -> None:
    """The ledger holds the SHA-256 of the very file, the purpose and the exhibits; the report prints the head before that entry."""
    page = report(made, tmp_path / "r.html", "--purpose", "Prosecutor, 12 Js 345/26")
    entry = list(made.case.ledger.entries())[-1]
    assert ("disclose", "report", "r.html") == (entry["what"], entry["shows"], entry["file"])
    assert hashlib.sha256((tmp_path / "r.html").read_bytes()).hexdigest() == entry["sha256"]
    assert "Prosecutor, 12 Js 345/26" == entry["purpose"]
    assert ["A", "B"] == entry["exhibits"]
    assert entry["prev"] in page
    assert "Prosecutor, 12 Js 345/26" in page
    assert entry["seq"] == made.case.ledger.verify()


def test_no_file_without_its_entry(made: MadeCase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the ledger cannot be written there is no report, not even a temporary one."""

    def refuse(*_: Any, **__: Any) -> None:
        raise LedgerError(0, "disk on fire")

    monkeypatch.setattr("safelight.ledger.Ledger.append", refuse)
    with pytest.raises(LedgerError):
        report(made, tmp_path / "r.html")
    assert [] == [p for p in tmp_path.iterdir() if "html" in p.name]


def test_never_overwrites_silently(made: MadeCase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default name is the case's in the current folder; a file of that name stays until --force."""
    (tmp_path / "desk").mkdir()
    monkeypatch.chdir(tmp_path / "desk")
    target = tmp_path / "desk" / "op-report.html"
    target.write_text("mine")
    words = [str(made.case.folder), "--library", str(made.library)]
    with pytest.raises(Usage, match="--force"):
        command.command.main(words, standalone_mode=False)
    assert "mine" == target.read_text()
    command.command.main([*words, "--force"], standalone_mode=False)
    assert target.read_text().startswith("<!doctype html>")
    assert ["op-report.html"] == [p.name for p in target.parent.iterdir()]


@pytest.mark.parametrize("place", ["case", "evidence", "evidence/deep", "missing"])
def test_case_and_evidence_are_left_alone(tmp_path: Path, place: str) -> None:
    """A report is not written into the case, nor into (or in place of) evidence, nor into a folder that is not there."""
    (tmp_path / "evidence" / "deep").mkdir(parents=True)
    made = MadeCase(tmp_path)
    made.exhibit("A", path=str(tmp_path / "evidence"))
    made.finish()
    folder = made.case.folder if place == "case" else tmp_path / place
    with pytest.raises(Usage):
        report(made, folder / "r.html", "--force")
    assert not (folder / "r.html").exists()


def test_changed_facts_are_not_reported(made: MadeCase, tmp_path: Path) -> None:
    """Where a table of facts or a line of the ledger is not what it was, no report is made."""
    table = made.case.facts / "extract-1" / "A" / "tables" / "items-0000.parquet"
    whole = table.read_bytes()
    table.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(NotVerified, match="items-0000"):
        report(made, tmp_path / "r.html")
    table.write_bytes(whole)
    lines = made.case.ledger.path.read_text().replace("Operation Test", "Operation Best")
    made.case.ledger.path.write_text(lines)
    with pytest.raises(LedgerError):
        report(made, tmp_path / "r.html")
    assert not (tmp_path / "r.html").exists()


def test_pictures_are_protected_ones_only(made: MadeCase, tmp_path: Path) -> None:
    """Without --pictures there is no picture; with it one of each stack, of protected renditions only, and the number is said."""
    assert "<img" not in report(made, tmp_path / "none.html")
    page = report(made, tmp_path / "r.html", "--pictures")
    shown = re.findall(r'<img src="data:image/jpeg;base64,([^"]+)"', page)
    assert {b64encode(PICTURES["protected"]).decode()} == set(shown)
    # four pictures, two of them in one stack
    assert 3 == len(shown)
    page = report(made, tmp_path / "few.html", "--pictures", "--limit-pictures", "1")
    assert 1 == page.count("<img")
    assert re.search(r"0 of \d stacks? are shown, the largest first", text_of(page))


def test_a_changed_pack_is_not_shown_from(made: MadeCase, tmp_path: Path) -> None:
    """Nothing is shown from a pack that is not what the ledger says; that is said on the page, and the other packs are shown from."""
    pack = made.case.folder / "renditions" / "A" / "000000.pack"
    pack.write_bytes(pack.read_bytes()[:-1] + b"\1")
    page = report(made, tmp_path / "a.html", "--pictures", "--exhibit", "A")
    assert 0 == page.count("<img")
    assert "not what the ledger says" in page
    assert 1 == report(made, tmp_path / "b.html", "--pictures", "--exhibit", "B").count("<img")


@pytest.mark.parametrize(
    "place", [{"protected_at": 10**9}, {"protected_at": -1}, {"protected_size": 5}, {"protected_size": 10**9}, {"pack": 7}]
)
def test_renditions_are_read_within_bounds(tmp_path: Path, place: dict[str, Any]) -> None:
    """A rendition whose place is outside of its pack, or that is no whole JPEG, is not shown."""
    made = MadeCase(tmp_path)
    made.exhibit("A")
    made.item("A", "x.jpg", b"x", exif=place)
    made.finish()
    page = report(made, tmp_path / "r.html", "--pictures")
    assert 0 == page.count("<img")
    assert "1 picture is not shown" in page


def test_the_ledger_is_folded_and_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shards and looks in a row are one row with their sums; a long ledger is cut in the middle, with the number left out."""
    made = MadeCase(tmp_path)
    made.exhibit("A")
    for shard in range(40):
        made.case.ledger.append(
            "shard", exhibit="A", step="extract-1", shard=shard, files={}, counts={"items": 10, "bytes": 5, "problems": 1}
        )
    past = history.History(made.case)
    assert ["new", "collect", "shard"] == [r.what for r in past.first_rows]
    assert (3, 42) == (past.first_rows[2].first, past.first_rows[2].last)
    assert "A, extract-1: 40 shards, 400 items, 200 bytes, 40 problems" == past.first_rows[2].about
    assert set(range(40)) == past.shards["A", "extract-1"]

    monkeypatch.setattr(history, "ROWS", 10)
    for number in range(30):
        made.case.ledger.append("verify", command="safelight verify", depth="quick", findings=[], count=number)
    past = history.History(made.case)
    assert (5, 5, 23) == (len(past.first_rows), len(past.last_rows), past.rows_left_out)
    assert "23 rows in the middle are not printed" in report(made, tmp_path / "r.html")


def test_ledger_entry_kinds_are_said_in_words(made: MadeCase) -> None:
    """Every kind of entry has words; an unknown one shows its members."""
    assert "in the sandbox; everything; PDQ distance 31; 1 worker(s)" in [r.about for r in history.History(made.case).first_rows]
    assert "shows x, n 3" == history.about({"what": "later", "at": "", "who": "", "shows": "x", "n": 3})

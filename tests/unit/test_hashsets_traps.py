"""The ten traps of hash-set import (FORMATS.md section 7), one test each, with the exact figures of expected.json."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from kits.hashset_kit import assert_expected, importer
from safelight.match.entries import Options, Refused
from safelight.match.library import Library
from safelight.match.report import ImportReport

EXPECTED = Path(__file__).resolve().parents[3] / "shared" / "data" / "formats" / "expected.json"
FILES: dict[str, Any] = json.loads(EXPECTED.read_text())["files"] if EXPECTED.is_file() else {}

Run = Callable[..., ImportReport]


@pytest.fixture
def run(tmp_path: Path, shared: Path) -> Run:
    """Import a trap by name, assert all its figures and that the accounts add up, return the report."""
    into = importer(tmp_path)

    def check(name: str, expected: dict[str, Any] | None = None, **more: Any) -> ImportReport:
        report = into(shared / "formats" / "traps" / name, **more)
        assert_expected(report, FILES[f"traps/{name}"] if expected is None else expected)
        assert report.adds_up()
        return report

    return check


def entries(tmp_path: Path, report: ImportReport) -> list[dict[str, Any]]:
    folder = Library(tmp_path / "library").set_folder(report.name) / report.version
    rows: list[dict[str, Any]] = pq.read_table(folder / "entries.parquet").to_pylist()
    return rows


def test_trap_1_digests_of_nothing(run: Run) -> None:
    """Digests of zero bytes are skipped, or rejected where another value is left; trivial content is flagged."""
    report = run("t01_empty_input.json")

    assert report.positions == {"empty_input": [(2, 0), (4, 0)]}
    assert report.rejected_positions == {"empty_input": [(3, 0)]}


def test_trap_2_dirty_hex(run: Run) -> None:
    """Dirt at both ends is stripped, nothing is repaired inside; the six refused lines are named."""
    report = run("t02_dirty_hex.csv")

    assert {"bad_hash": [(n, n + 1) for n in range(7, 13)]} == report.positions


@pytest.mark.parametrize("name", sorted(Path(k).name for k in FILES if "/t03_" in k))
def test_trap_3_encodings_and_delimiters(name: str, run: Run) -> None:
    """Whatever the encoding and delimiter, the same three values come out, and both are reported."""
    run(name)


def test_trap_3_names_are_the_same_in_all_encodings(run: Run, tmp_path: Path) -> None:
    """A file name with æ and quotes is the same in UTF-8, UTF-16 and cp1252."""
    wanted = ["båt.jpg", 'havn "nær".jpg', "öl.jpg"]
    for name in ("t03_utf8_bom.csv", "t03_utf16be_bom.csv", "t03_utf16le_nobom.csv", "t03_cp1252.csv", "t03_sep_line.csv"):
        names = [dict(e["extra"])["name"] for e in entries(tmp_path, run(name))]
        assert [wanted[0], wanted[1]] == names[:2] and names[2].endswith("l.jpg")


def test_trap_4_placeholders_and_swapped_columns(run: Run) -> None:
    """Fakes and words for nothing are no hashes, and a length never overrules the column."""
    run("t04_placeholders.csv")


def test_trap_5_sixty_four_digits(run: Run) -> None:
    """64 digits are PDQ or SHA-256 only where the source or the user says so."""
    run("t05_sixtyfour_hex_typed.csv")
    figures = FILES["traps/t05_sixtyfour_hex_untyped.txt"]
    for version, (case, declared) in enumerate([("without_declared_type", None), ("declared_pdq", "pdq"), ("declared_sha256", "sha256")]):
        report = run("t05_sixtyfour_hex_untyped.txt", figures[case], options=Options(declared_type=declared), version=str(version))
        assert report.format == "list"


def test_trap_6_conflicts_are_kept(run: Run, tmp_path: Path) -> None:
    """Contradicting assertions are counted and all kept, each with its position."""
    report = run("t06_conflicts.json")

    rows = entries(tmp_path, report)
    assert list(range(1, 10)) == [r["position"] for r in rows]
    assert [r["category"] for r in rows] == ["1", "2", "1", "1", "0", "1", "1", "1", "3"]


@pytest.mark.parametrize("name", sorted(Path(k).name for k in FILES if "/t07" in k))
def test_trap_7_wrappers(name: str, run: Run, tmp_path: Path) -> None:
    """Every wrapper gives the two Media and nothing from deeper levels."""
    report = run(name)

    rows = entries(tmp_path, report)
    assert [r["digests"][0]["value"].hex() for r in rows] == ["561b8c5b91e12d5a508242eac274c0e3", "1129b212a7a4419d5825ce41ad594df8"]
    if name.startswith("t07g"):
        assert dict(rows[0]["extra"])["dateupdated"] == "2026-03-01T10:00:00.000+01:00Z"


@pytest.mark.parametrize("name", sorted(Path(k).name for k in FILES if "/t08" in k))
def test_trap_8_truncation(name: str, run: Run, tmp_path: Path) -> None:
    """A cut file is incomplete and not matched with until a person confirms it; a missing last newline is no cut."""
    report = run(name)
    library = Library(tmp_path / "library")
    if report.state == "complete":
        library.open(name)
        return
    with pytest.raises(Refused, match="confirm"):
        library.open(name)
    assert [i.state for i in library.list()] == ["to confirm"]
    library.confirm(name, by="ab")
    assert report.version == library.open(name).version


def test_trap_9_photodna_is_opaque(run: Run, tmp_path: Path) -> None:
    """PhotoDNA is stored as bytes, counted, and never raises a matchable number."""
    report = run("t09_photodna.json")

    assert {"md5", "sha256"} == set(Library(tmp_path / "library").open(report.name).indexes)
    assert {144} == {len(o["value"]) for e in entries(tmp_path, report) for o in e["opaque"] or []}


def test_trap_10_nist_caid_is_a_list_of_known(run: Run) -> None:
    """NIST's "CAID" is known software media: it suggests itself as known and is refused as illegal."""
    report = run("t10_nist_caid.json", as_=None)

    assert (report.scheme, report.as_) == ("nist-caid", "known")
    with pytest.raises(Refused, match="cannot be taken as illegal"):
        run("t10_nist_caid.json", as_="illegal")
    with pytest.raises(Refused, match="cannot be taken as illegal"):
        run("t10_nist_caid.json", as_="illegal", scheme="vics-us")

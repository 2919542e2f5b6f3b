"""The gate: the scope of an exhibit is honoured by each command that shows evidence, and each look is a row."""

from __future__ import annotations

import json

from command import Command
from small import make_folder


def test_scope_is_honoured_everywhere(safelight: Command) -> None:
    """With a scope of pictures in d0 only, find, status, why, cat and report show nothing else."""
    folder = make_folder(safelight.folder / "phone", 300)
    safelight("new", safelight.case)
    safelight("add", safelight.case, folder, "--exhibit", "all")
    scoped = make_folder(safelight.folder / "second", 300)
    safelight("add", safelight.case, scoped, "--exhibit", "part", "--scope-order", "17/26", "--scope-path", "d2/*", "--scope-kind", "image")
    safelight("run", safelight.case, "-q")
    part = safelight.find("--exhibit", "part")
    hidden = next(i for i in safelight.find("--exhibit", "all") if i["path"] == "d1/note1.txt")

    assert {("d2/stamp100.jpg", "image")} >= {(i["path"], i["kind"]) for i in part}
    assert len(part) >= 1
    facts = json.loads(safelight("why", safelight.case, hidden["sha256"], "--format", "json").stdout)
    assert {"all"} == {p["exhibit"] for c in facts["contents"] for p in c["places"]}
    report = safelight.folder / "r.html"
    safelight("report", safelight.case, "--output", report)
    assert "part" in report.read_text()
    assert safelight.status()["exhibits"]["part"]["totals"]["items"] == len(part)


def test_item_outside_the_scope_is_not_given(safelight: Command) -> None:
    """An item that the scope excludes cannot be opened, even by its id."""
    from safelight.evidence.origin import file_step, item_id

    folder = make_folder(safelight.folder / "phone", 30)
    safelight("new", safelight.case)
    safelight("add", safelight.case, folder, "--exhibit", "A", "--scope-path", "d0/*")
    safelight("run", safelight.case, "-q")
    outside = item_id("A", f"folder/{file_step(b'd1/note1.txt')}").hex()

    refused = safelight("cat", safelight.case, outside, expect=(3,))
    assert b"within its scope" in refused.stderr
    assert b"" == refused.stdout
    allowed = item_id("A", f"folder/{file_step(b'd0/note7.txt')}").hex()
    assert b"note 7\n" == safelight("cat", safelight.case, allowed).stdout


def test_each_look_is_a_row_with_purpose(safelight: Command) -> None:
    """find, why, cat and status write who looked, what for, and with which command."""
    folder = make_folder(safelight.folder / "phone", 20)
    safelight.made(folder)
    item = safelight.find("--purpose", "review of 14 May")[0]
    safelight("why", safelight.case, item["item_id"])
    rows = [json.loads(line) for line in (safelight.case / "ledger.jsonl").read_text().splitlines()]
    looks = [r for r in rows if r["what"] in ("consult", "disclose")]

    assert ["items", "why"] == [r["shows"] for r in looks]
    assert "review of 14 May" == looks[0]["purpose"]
    assert {"tester"} == {r["who"] for r in looks}


def test_scope_belongs_to_one_source(safelight: Command) -> None:
    """Two sources of one exhibit with different scopes: each is kept within its own."""
    first, second = make_folder(safelight.folder / "first", 8), make_folder(safelight.folder / "second", 8)
    safelight("new", safelight.case)
    safelight("add", safelight.case, first, "--exhibit", "A")
    safelight("add", safelight.case, second, "--exhibit", "A", "--scope-path", "d0/*")
    safelight("run", safelight.case, "-q")
    shown = [(i["origin"].startswith("source:2/"), i["path"]) for i in safelight.find()]

    assert {"d0/stamp0.jpg", "d0/note7.txt"} == {path for second_source, path in shown if second_source}
    assert "d1/note1.txt" in {path for second_source, path in shown if not second_source}

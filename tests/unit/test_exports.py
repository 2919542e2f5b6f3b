"""What is sent back, read by other readers: VICS (our own reader of hash sets, and byte for byte what was not ours), CSV, CASE/UCO."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from command import Command
from reviewing import Serving, reviewed_case

URI = "http://github.com/VICSDATAMODEL/ProjectVic/DataModels/2.0.xml/US/$metadata#Cases"


@pytest.fixture(scope="module")
def case(module_safelight: Command) -> Path:
    """A case in which known illegal contents are category 1, all others of the camera folder 0, one of them flagged and noted."""
    folder = reviewed_case(module_safelight, module_safelight.folder)
    with Serving(module_safelight, folder, "--user", "anna") as running:
        browser = running.browser()
        browser.decide_all(browser.view(known=["illegal"]), category="1")
        browser.decide_all(browser.view(known=["new"], path="DCIM/*"), category="0")
        view = browser.view(category=["0"], stacked=False)
        browser.decide(view, 0, note="=HYPERLINK(1)", add_flags=["victim"], add_tags=["boat"])
        made = browser.post("/api/exports", {"format": "csv", "filter": {"category": ["1"]}})
        assert made["sha256"] == hashlib.sha256((folder / made["file"]).read_bytes()).hexdigest()
    return folder


def exported(run: Command, case: Path, form: str, target: Path, *words: Any) -> bytes:
    run("export", case, "--format", form, "-o", target, *words)
    return target.read_bytes()


def contents(run: Command, case: Path, *words: str) -> dict[str, dict[str, Any]]:
    out = run("find", case, "--format", "jsonl", *words).stdout.splitlines()
    return {i["md5"]: i for i in map(json.loads, out)}


def test_vics_is_read_back_by_the_reader_of_hash_sets(module_safelight: Command, case: Path, tmp_path: Path) -> None:
    """Digests and categories of the export are those that were decided, and no undecided content is in it."""
    document = json.loads(exported(module_safelight, case, "vics", tmp_path / "out.json"))
    (made,) = document["value"]
    expected = {d.upper(): i["decision"]["category"] for d, i in contents(module_safelight, case, "--status", "final").items()}
    assert expected == {m["MD5"]: str(m["Category"]) for m in made["Media"]}
    assert made["TotalMediaFiles"] == len(made["Media"]) == len({m["MediaID"] for m in made["Media"]})
    assert all(isinstance(m["MediaSize"], int) and m["RelativeFilePath"].startswith("VIC_Files\\") for m in made["Media"])
    assert 1 == sum(m["VictimIdentified"] == "true" for m in made["Media"])
    report = json.loads(
        module_safelight(
            "hashset", "add", tmp_path / "out.json", "--as", "other", "--case-as-set", "--format", "json", expect=(0, 1)
        ).stdout
    )
    assert (len(expected), {}) == (report["records_stored"], report["skipped"])
    module_safelight("hashset", "remove", "out", expect=(0, 1, 2))


def test_shape_is_that_of_the_golden_file(module_safelight: Command, case: Path, shared: Path, tmp_path: Path) -> None:
    """Members and their types are those of a file that was checked by hand."""
    golden = json.loads((shared / "formats/outputs/vics20_export_us.json").read_text("utf-8"))
    made = json.loads(exported(module_safelight, case, "vics", tmp_path / "out.json"))
    assert golden["@odata.context"] == made["@odata.context"]
    kinds = {n: type(v) for n, v in golden["value"][0]["Media"][0].items()}
    for media in made["value"][0]["Media"]:
        assert {n: type(v) for n, v in media.items() if n in kinds}.items() <= kinds.items()
        assert set(golden["value"][0]["Media"][1]) <= set(media)


def test_a_vics_file_comes_back_with_all_that_was_not_ours(module_safelight: Command, case: Path, tmp_path: Path) -> None:
    """MediaIDs, order, unknown members, odd types and an unmatched record stay; only what a decision says changes."""
    known = contents(module_safelight, case, "--known", "illegal")
    medias: list[dict[str, Any]] = [
        {"MediaID": 900 - n, "Category": 2, "MD5": md5.upper(), "Odd": {"a": [1, None, 2.5]}, "Comments": "theirs", "MediaFiles": []}
        for n, md5 in enumerate(sorted(known))
    ]
    medias.append({"MediaID": 5, "Category": 2, "MD5": "0" * 31 + "1", "Unmatched": True})
    source = {"@odata.context": URI, "value": [{"CaseID": "x", "TotalMediaFiles": "99", "Unknown": "é", "Media": medias}], "tail": 1}
    (tmp_path / "in.json").write_text(json.dumps(source), "utf-8")
    back = json.loads(exported(module_safelight, case, "vics", tmp_path / "back.json", "--onto", tmp_path / "in.json"))
    old, new = medias, back["value"][0]["Media"]
    assert medias[-1] == new[len(known)]
    for before, after in zip(old[:-1], new, strict=False):
        assert 1 == after["Category"]
        ours = {"Category", "DateUpdated"}
        assert {k: v for k, v in before.items() if k not in ours} == {k: v for k, v in after.items() if k not in ours}
    added = [m["MediaID"] for m in new[len(old) :]]
    assert added == list(range(901, 901 + len(added))) and len(added) > 0
    assert (str(len(new)), "é", 1) == (back["value"][0]["TotalMediaFiles"], back["value"][0]["Unknown"], back["tail"])


def test_files_of_another_scheme_are_refused(module_safelight: Command, case: Path, shared: Path, tmp_path: Path) -> None:
    """Codes of two schemes are never mixed; what is no VICS file is refused too, and nothing is written."""
    for source in (
        shared / "formats/hashsets/vics20_cases_uk.json",
        shared / "formats/outputs/case_minimal.jsonld",
        tmp_path / "none.json",
    ):
        refused = module_safelight("export", case, "--format", "vics", "--onto", source, "-o", tmp_path / "out.json", expect=(3,))
        assert b"No export was written" in refused.stderr
    assert not (tmp_path / "out.json").exists()


def test_csv_is_safe_and_whole(module_safelight: Command, case: Path, tmp_path: Path) -> None:
    """One row for each place; BOM; a note that is a formula is none in a spreadsheet."""
    raw = exported(module_safelight, case, "csv", tmp_path / "out.csv")
    assert raw.startswith(b"\xef\xbb\xbf") and b"\r\n" in raw
    rows = list(csv.DictReader(io.StringIO(raw.decode("utf-8-sig"))))
    found = [json.loads(line) for line in module_safelight("find", case, "--status", "final", "--format", "jsonl").stdout.splitlines()]
    assert sorted((i["item_id"], i["decision"]["category"]) for i in found) == sorted((r["item_id"], r["category"]) for r in rows)
    assert ["'=HYPERLINK(1)"] == sorted({r["note"] for r in rows} - {""})


def test_case_uco_conforms(module_safelight: Command, case: Path, tmp_path: Path) -> None:
    """`case_validate` finds the graph conforming (its exit code is what counts), and each place is a file in it."""
    raw = exported(module_safelight, case, "case", tmp_path / "out.jsonld")
    validator = shutil.which("case_validate", path=str(Path(sys.executable).parent))
    assert validator, "case-utils is a development dependency"
    done = subprocess.run([validator, tmp_path / "out.jsonld"], capture_output=True, check=False)
    assert 0 == done.returncode, done.stdout.decode()[-2000:]
    nodes = json.loads(raw)["@graph"]
    found = module_safelight("find", case, "--status", "final", "--format", "jsonl").stdout.splitlines()
    assert len(found) == sum(n["@type"] == "uco-observable:File" for n in nodes)
    assert raw == exported(module_safelight, case, "case", tmp_path / "again.jsonld"), "the same decisions give the same file"


def test_an_export_is_a_disclosure(module_safelight: Command, case: Path, tmp_path: Path) -> None:
    """Its SHA-256 stands in the ledger; a file that exists is left alone; nothing is written into evidence or the case."""
    raw = exported(module_safelight, case, "csv", tmp_path / "out.csv", "--purpose", "court")
    last = json.loads((case / "ledger.jsonl").read_text().splitlines()[-1])
    assert ("disclose", "export", "court", hashlib.sha256(raw).hexdigest()) == (
        last["what"],
        last["shows"],
        last["purpose"],
        last["sha256"],
    )
    module_safelight("export", case, "--format", "csv", "-o", tmp_path / "out.csv", expect=(2,))
    module_safelight("export", case, "--format", "csv", "-o", case / "facts" / "x.csv", expect=(2,))
    module_safelight("export", case, "--format", "csv", "-o", case.parent / "phone" / "x.csv", expect=(2,))
    module_safelight("verify", case, expect=(0,))

"""What a user sees of each command: its output, its exit code, its row in the ledger."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest

from command import Command
from small import make_folder

KEYS = (
    "item_id exhibit origin path path_raw_hex size state kind media_type md5 sha1 sha256 pdq pdq_quality exif mtime atime ctime btime "
    "time_basis matches stack problem"
).split()
MATCH_KEYS = "set version as method distance transform entry category".split()


@pytest.fixture(scope="module")
def folder(module_safelight: Command) -> Path:
    """A phone folder with hostile names beside ordinary ones, a link, and a file that nobody may read."""
    made = make_folder(module_safelight.folder / "phone", 120)
    (made / "d1" / "=cmd(calc)!A0.txt").write_text("formula\n")
    (made / "d1" / "rtl\u202egpj.exe").write_text("bidi\n")
    (os.fsencode(made) + b"/d1/bad\xff\x1b[31m.txt").decode("utf-8", "surrogateescape")
    with open(os.fsencode(made) + b"/d1/bad\xff\x1b[31m.txt", "w") as file:
        file.write("bytes\n")
    (made / "d2" / "link").symlink_to("/etc/passwd")
    os.mkfifo(made / "d2" / "pipe")
    (made / "d2" / "empty.jpg").touch()
    return made


@pytest.fixture(scope="module")
def run(module_safelight: Command, folder: Path) -> Command:
    """A case with that folder and two hash sets, run once."""
    known = hashlib.md5((folder / "d0" / "stamp0.jpg").read_bytes()).hexdigest()
    (module_safelight.folder / "known.txt").write_text(f"{known}  stamp0.jpg\n")
    plain = hashlib.sha256((folder / "d1" / "note1.txt").read_bytes()).hexdigest()
    (module_safelight.folder / "plain.txt").write_text(f"{plain}  note1.txt\n")
    module_safelight("hashset", "add", module_safelight.folder / "known.txt", "--as", "illegal", "--owner", "unit")
    module_safelight("hashset", "add", module_safelight.folder / "plain.txt", "--as", "irrelevant", "--type", "sha256")
    return module_safelight.made(folder)


def test_find_prints_every_item_with_its_stable_object(run: Command, folder: Path) -> None:
    """Without filters: one object a line for every name below the folder and every member, all keys present."""
    names = sum(len(d) + len(f) for _, d, f in os.walk(os.fsencode(folder)))
    items = run.find()

    assert names == sum(1 for i in items if i["parent_id"] is None)
    assert all(set(KEYS) <= set(i) for i in items)
    assert len({i["item_id"] for i in items}) == len(items)


def test_digests_are_those_of_hashlib(run: Command, folder: Path) -> None:
    """MD5, SHA-1 and SHA-256 of each file are what hashlib says of it, and names are the bytes on disk."""
    wrong = []
    for item in run.find("--live"):
        path = os.path.join(os.fsencode(folder), bytes.fromhex(item["path_raw_hex"]))
        if item["type"] == "file":
            with open(path, "rb") as file:
                data = file.read()
            digests = [hashlib.new(a, data).hexdigest() for a in ("md5", "sha1", "sha256")]
            if digests != [item["md5"], item["sha1"], item["sha256"]] or len(data) != item["size"]:
                wrong.append(item["path"])

    assert wrong == []


def test_links_and_pipes_are_recorded_not_followed(run: Command) -> None:
    """A symbolic link has its target and no content of it; a FIFO blocks nobody."""
    items = {i["path"]: i for i in run.find("--path", "d2/*")}

    assert ("symlink", "/etc/passwd", None) == (items["d2/link"]["type"], items["d2/link"]["link"], items["d2/link"]["sha256"])
    assert "fifo" == items["d2/pipe"]["type"]
    assert "empty" == items["d2/empty.jpg"]["problem"]["kind"]


def test_filters_select(run: Command) -> None:
    """Kind, known, path, problem, digest and set select what they say."""
    assert {"image"} == {i["kind"] for i in run.find("--kind", "image")}
    known = run.find("--known", "illegal")
    assert {"d0/stamp0.jpg", "d3/parcel.zip/inner/stamp.jpg"} == {i["path"] for i in known}
    assert all(set(MATCH_KEYS) <= set(m) for i in known for m in i["matches"])
    assert {("known", "illegal", "md5", 0)} == {(m["set"], m["as"], m["method"], m["distance"]) for i in known for m in i["matches"]}
    assert ["d1/note1.txt"] == [i["path"] for i in run.find("--set", "plain")]
    assert known == run.find("--digest", known[0]["md5"].upper())
    assert all(i["path"].startswith("d1/") for i in run.find("--path", "*/d1/*"))
    assert len(run.find("--path", "*/d1/*")) > 10
    new = run.find("--known", "new")
    assert new and all(not i["matches"] and i["sha256"] for i in new)


def test_hostile_names_are_text_everywhere(run: Command) -> None:
    """No control or bidi character reaches a terminal, no formula a spreadsheet, and JSON lines stay lines."""
    table = run("find", run.case).stdout.decode()
    sheet = run("find", run.case, "--format", "csv").stdout.decode("utf-8-sig")
    cells = [cell for row in csv.reader(io.StringIO(sheet)) for cell in row]

    assert "\x1b" not in table + sheet and "\u202e" not in table + sheet
    assert not [c for c in cells if c.startswith(("=", "+", "@"))]
    assert any("bad\\xff\\x1b[31m.txt" in i["path"] for i in run.find("--path", "d1/bad*"))


def test_why_tells_places_matches_stack(run: Command) -> None:
    """`why` of a digest: both places, the match with its entry, the stack."""
    digest = run.find("--known", "illegal")[0]["sha256"]
    facts = json.loads(run("why", run.case, digest, "--format", "json").stdout)["contents"][0]
    text = run("why", run.case, digest[:12]).stdout.decode()

    assert 2 == len(facts["places"])
    assert facts["stack"]["size"] >= 1
    assert "known" in text and "parcel.zip/inner/stamp.jpg" in text


def test_cat_gives_the_bytes_and_enters_the_ledger(run: Command, folder: Path) -> None:
    """The bytes of a file and of a member of a ZIP, by origin; each is a row of kind disclose."""
    stamp = (folder / "d0" / "stamp0.jpg").read_bytes()
    before = ledger(run)
    for item in run.find("--known", "illegal"):
        assert stamp == run("cat", run.case, item["item_id"], "--purpose", "test").stdout
    rows = [e for e in ledger(run)[len(before) :] if e["what"] == "disclose"]

    assert 2 == len(rows)
    assert {"test"} == {e["purpose"] for e in rows}
    assert {hashlib.sha256(stamp).hexdigest()} == {e["sha256"] for e in rows}


def test_status_counts_what_find_lists(run: Command) -> None:
    """Totals, problems, known and accounts add up with the items."""
    status, items = run.status(), run.find()

    assert len(items) == status["totals"]["items"]
    assert len({i["sha256"] for i in items if i["sha256"]}) == status["totals"]["contents"]
    assert {"illegal": 1, "irrelevant": 1} == status["known"]
    assert sum(1 for i in items if i["problem"]) <= sum(status["problems"].values())
    assert ["folder"] == [v["filesystem"] for v in status["volumes"]]
    assert {"md5": 1} == {k: v for k, v in status["matchable"]["known"].items() if v}


def test_verify_names_what_was_done_to_the_case(run: Command, tmp_path: Path) -> None:
    """A changed, a missing and an added file of facts, a changed exhibit: exit 4, and the name of each."""
    import shutil

    run("verify", run.case, expect=(0,))
    run("verify", run.case, "--full", expect=(0,))
    for deed, word in (("change", "changed"), ("remove", "missing"), ("add", "added")):
        case = tmp_path / f"{deed}.case"
        shutil.copytree(run.case, case)
        victim = case / "facts" / "extract-1" / "A" / "tables" / "contents-0000.parquet"
        if deed == "change":
            raw = bytearray(victim.read_bytes())
            raw[len(raw) // 2] ^= 1
            victim.write_bytes(raw)
        elif deed == "remove":
            victim.unlink()
        else:
            victim = victim.with_name("contents-0001.parquet")
            victim.write_bytes(b"PAR1")
        said = run("verify", case, expect=(4,)).stdout.decode()
        assert f"{word}: facts/extract-1/A/tables/{victim.name}" in said
    case = tmp_path / "pack.case"
    shutil.copytree(run.case, case)
    (case / "renditions" / "A" / "000007.pack").write_bytes(b"more")
    assert "added: renditions/A/000007.pack" in run("verify", case, expect=(4,)).stdout.decode()


def test_changed_evidence_is_found(run: Command, folder: Path) -> None:
    """`verify --full` finds a file of a folder that is not what it was; `cat` of it says so and fails."""
    note = folder / "d5" / "note5.txt"
    before = note.read_text()
    item = next(i for i in run.find() if i["path"] == "d5/note5.txt")
    note.write_text("note 9\n")
    try:
        said = run("verify", run.case, "--full", expect=(4,)).stdout.decode()
        run("cat", run.case, item["item_id"], expect=(4,))
    finally:
        note.write_text(before)

    assert "changed: evidence" in said and "note5.txt" in said


def test_added_set_is_matched_without_reading_evidence(run: Command, folder: Path, tmp_path: Path) -> None:
    """A set that is added later is matched by the next run, with the evidence out of reach; a removed one loses its matches."""
    note = hashlib.sha1((folder / "d2" / "note2.txt").read_bytes()).hexdigest()
    (tmp_path / "late.txt").write_text(f"{note} *note2.txt\n")
    run("hashset", "add", tmp_path / "late.txt", "--as", "other")
    hidden = folder.rename(folder.with_name("gone"))
    try:
        run("run", run.case, "-q")
        found = [i["path"] for i in run.find("--known", "other")]
        run("hashset", "remove", "late")
        run("run", run.case, "-q")
        after = run.find("--known", "other")
    finally:
        hidden.rename(folder)

    assert ["d2/note2.txt"] == found
    assert [] == after


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("status", "no.case"), 2, "is not a case"),
        (("add", "{case}", "/no/such/file"), 2, "does not exist"),
        (("add", "{case}", "{case}"), 2, "keep evidence and case apart"),
        (("cat", "{case}", "zz"), 3, "hexadecimal"),
        (("cat", "{case}", "00000000000000000000000000000000"), 3, "nothing in this case"),
        (("run", "{case}", "--workers", "0"), 2, "workers"),
        (("new", "{case}"), 2, "not empty"),
        (("find", "{case}", "--format", "xml"), 2, "xml"),
    ],
)
def test_wrong_use_has_words_and_a_code(run: Command, words: tuple[str, ...], code: int, said: str) -> None:
    """Each error has its exit code and says what to do; none prints a traceback."""
    done = run(*(w.format(case=run.case) for w in words), expect=(code,), SAFELIGHT_TRACE="")

    assert said in done.stderr.decode()
    assert "Traceback" not in done.stderr.decode()


def ledger(run: Command) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run.case / "ledger.jsonl").read_text().splitlines()]


def test_digests_only_digests_everything_and_a_later_run_does_the_rest(safelight: Command) -> None:
    """`run --only digests`, in the sandbox: every file has its digests, no type, no problem; a whole run then replaces it."""
    folder = make_folder(safelight.folder / "phone", 150)
    safelight("new", safelight.case)
    safelight("add", safelight.case, folder, "--exhibit", "A")
    safelight("run", safelight.case, "--only", "digests", "-q", expect=(0,))
    first = {i["path"]: i for i in safelight.find() if i["type"] == "file"}
    safelight("run", safelight.case, "-q")
    second = {i["path"]: i for i in safelight.find() if i["type"] == "file"}

    assert 151 == len(first)
    assert all(i["md5"] and i["sha1"] and i["sha256"] and not i["media_type"] and not i["problem"] for i in first.values())
    assert {p: i["sha256"] for p, i in first.items()} == {p: i["sha256"] for p, i in second.items()}
    assert "image/jpeg" == second["d0/stamp0.jpg"]["media_type"]

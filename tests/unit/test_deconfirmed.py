"""The unit's negative list and floods: marked and quarantined matches are kept, said, and not counted as known."""

from __future__ import annotations

import json
from hashlib import md5, sha1, sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from command import Command
from safelight.ledger import LedgerError
from safelight.match.deconfirmed import NegativeList
from safelight.match.entries import Refused
from safelight.match.importer import import_set
from safelight.match.library import Library

DATA = [b"one", b"two", b"three"]


def add(unit: Command, name: str, *contents: bytes, kind: str = "illegal") -> None:
    path = unit.folder / "list.csv"
    path.write_text("md5,sha1\n" + "".join(f"{md5(c).hexdigest()},{sha1(c).hexdigest()}\n" for c in contents))
    unit("hashset", "add", path, "--as", kind, "--name", name)


@pytest.fixture
def unit(safelight: Command, tmp_path: Path) -> Command:
    """A case with three files that an illegal set knows."""
    folder = tmp_path / "phone"
    folder.mkdir()
    for data in DATA:
        (folder / f"{data.decode()}.bin").write_bytes(data)
    add(safelight, "A", *DATA)
    return safelight.made(folder)


def known(unit: Command) -> dict[str, str]:
    """Return path → what it counts as, as `find` prints it."""
    import csv
    import io

    text = unit("find", unit.case, "--format", "csv").stdout.decode("utf-8-sig")
    return {r["path"]: r["known"] for r in csv.DictReader(io.StringIO(text)) if r["sha256"]}


def test_a_deconfirmed_entry_is_kept_and_not_counted(unit: Command) -> None:
    """find, why, status and report show it as deconfirmed, with who and why; nothing is lost; the mark can be taken back."""
    before = unit.find("--known", "illegal")
    unit("hashset", "deconfirm", "A", 2, "--why", "a holiday", SAFELIGHT_USER="ab")

    assert {"one.bin": "illegal", "two.bin": "deconfirmed", "three.bin": "illegal"} == known(unit)
    assert {"one.bin", "three.bin"} == {i["path"] for i in unit.find("--known", "illegal")}
    (item,) = unit.find("--known", "deconfirmed")
    assert [("a holiday", True)] * 2 == [(m["deconfirmed"], m["deconfirmed_by"].startswith("ab, ")) for m in item["matches"]]
    assert b"deconfirmed: entry 2 of A: a holiday (ab" in unit("why", unit.case, md5(b"two").hexdigest()).stdout
    facts = unit.status()
    assert ({"illegal": 2, "deconfirmed": 1}, {"A": 2}, 0) == (facts["known"], facts["deconfirmed"], facts["totals"]["new"])
    unit("report", unit.case, "--output", unit.folder / "r.html")
    page = (unit.folder / "r.html").read_text()
    assert "found to be wrong by a person" in page and "a holiday" in page
    assert unit("hashset", "verify", expect=(0,)).stdout.endswith(b"1 entries of the negative list\n")

    unit("hashset", "reconfirm", "A", 2, "--why", "it is one")
    assert before == unit.find("--known", "illegal")
    unit("hashset", "reconfirm", "A", 2, "--why", "again", expect=(2,))
    assert 2 == len((unit.folder / "library" / "deconfirmed" / "ledger.jsonl").read_text().splitlines())


def test_a_mark_for_one_content_leaves_the_others(unit: Command) -> None:
    """Content × entry: the same entry still counts for another content."""
    unit("hashset", "deconfirm", "A", 1, "--content", sha256(b"two").hexdigest(), "--why", "no")
    assert set(known(unit).values()) == {"illegal"}
    unit("hashset", "deconfirm", "A", 1, "--content", sha256(b"one").hexdigest(), "--why", "no")
    assert known(unit)["one.bin"] == "deconfirmed"


def test_a_mark_goes_along_to_the_next_version(unit: Command) -> None:
    """The entry stands elsewhere in the new version, and is marked there; an entry that another set has too counts there."""
    unit("hashset", "deconfirm", "A", 3, "--why", "no")
    add(unit, "A", b"new", b"three", b"one", b"three")
    unit("rematch", "--cases", unit.folder)
    (mark,) = json.loads(unit("hashset", "deconfirmed", "--format", "json").stdout)
    assert {"1": [3], "2": [2, 4]} == mark["entries"]
    assert {"one.bin": "illegal", "two.bin": "new", "three.bin": "deconfirmed"} == known(unit)
    add(unit, "B", b"three", kind="other")
    unit("rematch", "--cases", unit.folder)
    assert known(unit)["three.bin"] == "other"


def test_marks_need_an_entry_and_a_reason(unit: Command) -> None:
    """No such entry, no reason, no such set, a bad content: wrong use, and the list stays as it is."""
    for words in (("A", 4, "--why", "x"), ("A", 1, "--why", " "), ("C", 1, "--why", "x"), ("A", 1, "--why", "x", "--content", "ab")):
        unit("hashset", "deconfirm", *words, expect=(2,))
    assert json.loads(unit("hashset", "deconfirmed", "--format", "json").stdout) == []


def test_a_tampered_list_is_refused(unit: Command) -> None:
    """A line that was changed is found by `hashset verify`; one that cannot be read stops whoever would look without it."""
    unit("hashset", "deconfirm", "A", 1, "--why", "yes")
    ledger = unit.folder / "library" / "deconfirmed" / "ledger.jsonl"
    ledger.write_text(ledger.read_text().replace("yes", "no!"))
    unit("hashset", "verify", expect=(4,))
    ledger.write_text("{}\n")
    unit("status", unit.case, expect=(4,))


def test_an_entry_that_hits_too_much_is_quarantined(safelight: Command, tmp_path: Path) -> None:
    """Above the number of the case, matches by look stand behind one line with the count; digests of the same set still count."""
    folder = tmp_path / "phone"
    folder.mkdir()
    rng = np.random.default_rng(1)
    page = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize((320, 240), Image.Resampling.BICUBIC)
    for n in range(6):
        page.putpixel((n, 0), (n, 255, 0))
        page.save(folder / f"{n}.png")
    Image.new("RGB", (64, 64), (9, 9, 9)).save(folder / "blank.png")
    from safelight.extract.pictures import extract_picture

    shown = extract_picture((folder / "0.png").read_bytes(), "image/png").picture
    assert shown is not None and shown.pdq is not None
    (tmp_path / "a.csv").write_text(f"pdq,md5\n{shown.pdq.hex()},\n,{md5((folder / '3.png').read_bytes()).hexdigest()}\n")
    safelight("hashset", "add", tmp_path / "a.csv", "--as", "illegal", "--name", "A")
    safelight.made(folder)
    assert safelight.status()["known"] == {"illegal": 6}
    settings = safelight.case / "case.toml"
    settings.write_text(settings.read_text().replace("[policies]\n", "[policies]\nflood = 5\n"))
    facts = safelight.status()

    assert facts["known"] == {"illegal": 1, "quarantined": 5}
    assert [("A", 1, 6)] == [(f["set"], f["entry"], f["contents"]) for f in facts["floods"]]
    assert facts["low_information"]["below the quality gate"] == 1
    assert b"quarantined: entry 1 of A 1 (illegal) hits 6 contents" in safelight("status", safelight.case).stdout
    assert 5 == len(safelight.find("--known", "quarantined"))
    assert all(m["flood"] == 6 for i in safelight.find("--known", "quarantined") for m in i["matches"])
    safelight("report", safelight.case, "--output", tmp_path / "r.html")
    assert "quarantined" in (tmp_path / "r.html").read_text()


def test_the_list_is_append_only_under_a_lock(tmp_path: Path) -> None:
    """While another writer is at work nothing is marked; a missing tail is found."""
    (tmp_path / "x.txt").write_text(md5(b"x").hexdigest() + "\n")
    library = Library(tmp_path / "l")
    import_set(library, tmp_path / "x.txt", name="s", as_="illegal")
    listed: Any = NegativeList(library)
    with library.writing(), pytest.raises(Refused):
        listed.deconfirm("s", 1, "why")
    listed.deconfirm("s", 1, "why")
    listed.reconfirm("s", 1, "why")
    path = listed.ledger.path
    path.write_text(path.read_text().splitlines()[0] + "\n")
    with pytest.raises(LedgerError):
        listed.ledger.verify()

"""Exports of a case whose names, EXIF, notes, tags, title and exhibit are hostile: parsed again, each says exactly what the evidence holds."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
import uuid
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from command import Command
from hostile_names import FOLDER, WORDS, write
from reviewing import Serving
from safelight.escape import cell, printable, readable

TITLE = "=1+1</title><script>window.taken=1</script>\"'"
EXHIBIT = "<u>A&B'"
FORMULA = re.compile(r"^[=+\-@\t\r＝＋－＠]")


@pytest.fixture(scope="module")
def made(module_safelight: Command) -> tuple[Path, dict[str, bytes], dict[str, str]]:
    """The case, the raw path of each SHA-256 in the evidence, and the note that was written to each."""
    from hashlib import sha256

    run, notes = module_safelight, dict[str, str]()
    evidence = run.folder / "evidence"
    paths = write(evidence)
    run("new", run.case, "--title", TITLE)
    run("add", run.case, evidence, "--exhibit", EXHIBIT)
    run("run", run.case, "--workers", 2, "-q")
    with Serving(run, run.case, "--user", "=anna") as serving:
        browser = serving.browser()
        view = browser.view("path", stacked=False, kind=["any"])
        for n in range(view["count"]):
            digest = browser.get(f"/api/views/{view['view']}/items/{n}")["digests"]["sha256"]
            notes[digest] = printable(WORDS[n % len(WORDS)])
            tag = "".join(c for c in WORDS[n % len(WORDS)] if c.isprintable() and c != ",").strip()[:100]
            set_ = {"category": "1", "note": notes[digest], "add_tags": [tag]}
            body = {"key": str(uuid.uuid4()), "view": view["view"], "target": {"index": n}, "set": set_}
            browser.post("/api/decisions", body)
    raw = {sha256(Path(os.fsdecode(os.path.join(os.fsencode(evidence), p))).read_bytes()).hexdigest(): p for p in paths}
    assert notes.keys() == raw.keys()
    return run.case, raw, notes


def exported(run: Command, case: Path, form: str, target: Path) -> bytes:
    run("export", case, "--format", form, "-o", target)
    return target.read_bytes()


def test_csv(module_safelight: Command, made: Any, tmp_path: Path) -> None:
    """Each row has the raw bytes of its name and the escaped text; no cell is a formula, whether commas or semicolons part the cells."""
    case, raw, notes = made
    text = exported(module_safelight, case, "csv", tmp_path / "out.csv").decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert {r["sha256"]: bytes.fromhex(r["path_raw_hex"]) for r in rows} == raw
    assert {r["sha256"]: r["path"] for r in rows} == {d: cell(readable(p)) for d, p in raw.items()}
    assert {r["sha256"]: r["note"] for r in rows} == {d: cell(n) for d, n in notes.items()}
    assert {r["exhibit"] for r in rows} == {EXHIBIT}
    for comma in (",", ";"):
        cells = [c for row in csv.reader(io.StringIO(text, newline=""), delimiter=comma) for c in row]
        assert [c for c in cells if FORMULA.match(c)] == []
    assert len(text.rstrip("\r\n").split("\r\n")) == len(rows) + 1 == text.count("\n")


def test_vics(module_safelight: Command, made: Any, tmp_path: Path) -> None:
    """File name and path of each Media are those of the evidence, the comment is the note, the title is the case number."""
    case, raw, notes = made
    (found,) = json.loads(exported(module_safelight, case, "vics", tmp_path / "out.json"))["value"]
    from hashlib import md5

    digests = {md5((case.parent / "evidence" / os.fsdecode(p)).read_bytes()).hexdigest().upper(): d for d, p in raw.items()}
    assert found["CaseNumber"] == TITLE
    assert {digests[m["MD5"]]: m["Comments"] for m in found["Media"]} == notes
    assert {digests[m["MD5"]]: m["MediaFiles"][0]["FilePath"] for m in found["Media"]} == {d: f"/{readable(p)}" for d, p in raw.items()}
    assert {m["MediaFiles"][0]["SourceID"] for m in found["Media"]} == {EXHIBIT}


def test_case_uco(module_safelight: Command, made: Any, tmp_path: Path) -> None:
    """The graph conforms by `case_validate`, and each file in it has its path and its SHA-256."""
    case, raw, _ = made
    nodes = json.loads(exported(module_safelight, case, "case", tmp_path / "out.jsonld"))["@graph"]
    files = {}
    for node in nodes:
        if node["@type"] == "uco-observable:File":
            facet, data = node["uco-core:hasFacet"]
            digests = {h["uco-types:hashMethod"]: h["uco-types:hashValue"]["@value"] for h in data["uco-observable:hash"]}
            files[digests["SHA256"].lower()] = facet["uco-observable:filePath"]
    assert files == {d: f"/{readable(p)}" for d, p in raw.items()}
    validator = shutil.which("case_validate", path=str(Path(sys.executable).parent))
    assert validator, "case-utils is a development dependency"
    done = subprocess.run([validator, tmp_path / "out.jsonld"], capture_output=True, check=False)
    assert done.returncode == 0, done.stdout.decode()[-2000:]


class Text(HTMLParser):
    """The elements and the text of a document."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.text: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        assert not [n for n, v in attrs if n.startswith("on") or (n in ("href", "src") and not re.match(r"#|data:image/jpeg;", v or ""))]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_report(module_safelight: Command, made: Any, tmp_path: Path) -> None:
    """The printed report has title, exhibit and the folder as text, and no element that a name could have brought."""
    case, _, _ = made
    module_safelight("report", case, "--output", tmp_path / "out.html")
    read = Text((tmp_path / "out.html").read_text("utf-8"))
    assert not read.tags & {"script", "iframe", "svg", "u", "b", "i", "img", "form", "object", "embed", "link", "base"}
    text = re.sub(r"\s+", " ", "".join(read.text))
    assert [w for w in (TITLE, EXHIBIT, printable(FOLDER)) if re.sub(r"\s+", " ", w) not in text] == []

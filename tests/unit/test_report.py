"""The printed report: what it says, in which order, within which scope; what it enters in the ledger, and when it refuses."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import pytest

from safelight.access import Gate
from safelight.case import Case, Exhibit, Part, Scope
from safelight.cli import report as command
from safelight.errors import Usage
from safelight.facts.writer import TableWriter
from safelight.problems import KINDS
from safelight.records import TABLES
from safelight.report import document, unread

PICTURES = {name: b"\xff\xd8\xff" + name.encode() * 20 + b"\xff\xd9" for name in ("protected", "drawing", "small")}
"""Stand for renditions: the report must carry the first and never the others."""


class MadeCase:
    """A case written by code, as the pipeline would write it: no evidence, no worker, any name one can think of."""

    def __init__(self, folder: Path, title: str = "Operation Test", walls: bool = True) -> None:
        self.library = folder / "library"
        self.library.mkdir(parents=True, exist_ok=True)
        self.case = Case.create(folder / "op.case", title, "safelight new")
        self.rows: dict[str, dict[str, list[dict[str, Any]]]] = {}
        self.walls, self.exhibits = walls, dict[str, Exhibit]()

    def exhibit(self, label: str, scope: Scope | None = None, path: str = "/evidence/phone") -> None:
        """Add a folder as an exhibit."""
        made = Exhibit(
            label=label, form="folder", parts=(Part(path=path, size=0, mtime=0),), added="2026-01-02T03:04:05Z", scope=scope or Scope()
        )
        self.case.write_exhibit(made)
        self.exhibits[label] = made
        self.rows[label] = {name: [] for name in TABLES}
        self.case.ledger.append(
            "collect", command="safelight add", exhibit=label, form="folder", parts=[{"path": path, "size": 0, "sha256": None}]
        )

    def item(
        self, label: str, path: str, data: bytes | None = b"", kind: str = "image", exif: dict[str, Any] | None = None, **more: Any
    ) -> bytes:
        """Add an item with its content and, for a picture, its facts; return its SHA-256."""
        rows = self.rows[label]
        sha256 = hashlib.sha256(data).digest() if data is not None else None
        key = hashlib.sha256(f"{label} {len(rows['items'])}".encode()).digest()[:16]
        base = {
            "item_id": key,
            "exhibit": label,
            "source": 1,
            "ordinal": len(rows["items"]),
            "member": 0,
            "origin": f"folder/{len(rows['items'])}",
        }
        base |= {
            "path_raw": path.encode("utf-8", "surrogateescape"),
            "path": path,
            "size": len(data or b""),
            "state": "live",
            "type": "file",
        }
        rows["items"].append({**base, "time_basis": "utc", "reader": "os", "readable": True, "sha256": sha256, **more})
        if data is not None and sha256 not in {c["sha256"] for c in rows["contents"]}:
            digests = {"sha256": sha256, "sha1": hashlib.sha1(data).digest(), "md5": hashlib.md5(data).digest(), "size": len(data)}
            rows["contents"].append({**digests, "media_type": f"{kind}/x", "kind": kind, "typed_by": "signature"})
            if kind == "image":
                places = {"pack": 0, "protected_at": 0, "drawing_at": 1000, "small_at": 2000} | {
                    f"{n}_size": len(p) for n, p in PICTURES.items()
                }
                rows["pictures"].append({"sha256": sha256, "width": 8, "height": 6, "complete": True, **places, **(exif or {})})
        return sha256 or b""

    def problem(self, label: str, kind: str, reason: str, item: int | None = None, **more: Any) -> None:
        """Add a problem of an item (by its number) or of the volume."""
        rows, key = self.rows[label], None
        if item is not None:
            key = rows["items"][item]["item_id"]
        place = {
            "ordinal": -1 if item is None else item,
            "member": 0,
            "number": len(rows["problems"]),
            "item_id": key,
            "origin": f"folder/{item}",
        }
        rows["problems"].append(
            {"exhibit": label, "source": 1, "step": "extract", "kind": kind, "reason": reason, "complete": True, **place, **more}
        )

    def finish(self, matches: list[dict[str, Any]] | None = None, end: bool = True) -> Case:
        """Write facts, matches, stacks, a pack of renditions and the ledger."""
        settings = {"walls": self.walls, "only": "everything", "distance": 31, "workers": 1}
        self.case.ledger.append("run", command="safelight run", settings=settings, versions={"pyarrow": "1"})
        for label in self.exhibits:
            self._facts(label)
        self._matches(matches or [])
        self._stacks()
        if end:
            self.case.ledger.append("run-end", command="safelight run")
        return self.case

    def _facts(self, label: str) -> None:
        ledger, rows, facts = self.case.ledger, self.rows[label], self.case.facts
        volume = {
            "exhibit": label,
            "source": 1,
            "volume": "folder",
            "filesystem": "folder",
            "entries_walk": len(rows["items"]),
            "readers": "os",
        }
        listed = facts / "list-1" / label
        files = {"volumes.parquet": write(listed / "volumes.parquet", "volumes", [volume])}
        files |= {"problems.parquet": write(listed / "problems.parquet", "problems", [])}
        ledger.append("list", exhibit=label, step="list-1", files=files, items=len(rows["items"]), problems={}, shards=1)
        pack = b"".join(PICTURES[n].ljust(1000, b"\0") for n in ("protected", "drawing", "small"))
        target = self.case.folder / "renditions" / label / "000000.pack"
        target.parent.mkdir(parents=True)
        target.write_bytes(pack)
        made = {"000000.pack": [0, hashlib.sha256(pack).hexdigest(), ""]}
        counts = {"items": len(rows["items"]), "bytes": 1, "problems": len(rows["problems"])}
        ledger.append("shard", exhibit=label, step="extract-1", shard=0, files=made, counts=counts)
        tables = facts / "extract-1" / label / "tables"
        order = {"contents": lambda r: r["sha256"], "pictures": lambda r: r["sha256"]}
        files = {
            f"{t}-0000.parquet": write(tables / f"{t}-0000.parquet", t, sorted(rows[t], key=order[t]) if t in order else rows[t])
            for t in ("items", "contents", "pictures", "problems")
        }
        ledger.append("compact", exhibit=label, step="extract-1", files=files)

    def _matches(self, matches: list[dict[str, Any]]) -> None:
        named = {(m["set"], m.get("version", "1"), m["as"]) for m in matches}
        for number, (name, version, as_) in enumerate(sorted(named)):
            own = [
                {"version": "1", "transform": "identity", "form": "full", "distance": 0, "entry": 1, "method": "md5", **m} for m in matches
            ]
            own = [m for m in own if (m["set"], m["version"], m["as"]) == (name, version, as_)]
            files = {"matches.parquet": write(self.case.folder / "matches" / f"s{number}" / "matches.parquet", "matches", own)}
            said = {"set": name, "version": version, "as": as_, "source_sha256": "ab" * 32, "distance": 31, "quality_gate": 50}
            self.case.ledger.append(
                "match", **said, canaries="all found", matches={"md5": len(own)}, folder=f"matches/s{number}", files=files, key="k"
            )

    def _stacks(self) -> None:
        pictures = sorted({p["sha256"] for rows in self.rows.values() for p in rows["pictures"]})
        rows = [
            {"sha256": p, "stack": pictures[0] if n < 2 else p, "distance": 0, "size": 2 if n < 2 else 1, "rank": 2 if n == 1 else 1}
            for n, p in enumerate(pictures)
        ]
        files = {"stacks.parquet": write(self.case.folder / "stacks" / "stack-1" / "stacks.parquet", "stacks", rows)}
        self.case.ledger.append(
            "stack", pictures=len(rows), stacks=1, distance=31, quality_gate=50, folder="stacks/stack-1", files=files, key="k"
        )


def write(path: Path, table: str, rows: list[dict[str, Any]]) -> list[Any]:
    """Write one table and return what the ledger says of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = TableWriter(path, table)
    for row in rows:
        writer.add([row.get(c.name) for c in TABLES[table]])
    written = writer.close()
    return [written.rows, written.sha256, written.logical]


def report(made: MadeCase, target: Path, *words: str) -> str:
    """Run the command in this process and return the document."""
    command.command.main([str(made.case.folder), "--output", str(target), "--library", str(made.library), *words], standalone_mode=False)
    return target.read_text("utf-8")


def text_of(page: str) -> str:
    """Return the text of a page, without tags, with single blanks."""
    body = re.sub(r"<style>.*?</style>", "", page, flags=re.S)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body)).strip()


def filled(folder: Path) -> MadeCase:
    """Two exhibits, one with a scope; a content in an illegal set, one in two sets, a deleted one, problems, pictures."""
    made = MadeCase(folder)
    made.exhibit("A", path="/evidence/of-a")
    made.exhibit("B", Scope(order="17/26", kinds=("image",)))
    bad = made.item(
        "A", "DCIM/one.jpg", b"one", mtime=1_700_000_000_000_000_000, btime=1_600_000_000_000_000_000, exif={"exif_make": "Acme"}
    )
    made.item("A", "DCIM/copy.jpg", b"one", state="deleted", time_basis="local?", mtime=1_700_000_000_000_000_000)
    both = made.item("A", "wallpaper.jpg", b"two")
    made.item("A", "new.jpg", b"three")
    made.item("A", "unread.doc", None)
    made.item("B", "seen.jpg", b"four")
    made.item("B", "private-letter.txt", b"letter", kind="text")
    made.problem("A", "encrypted", "BitLocker volume", None, complete=False)
    made.problem("A", "truncated", "ends early", 4)
    made.problem("B", "corrupt", "a reason of a private letter", 1)
    made.finish(
        [
            {"sha256": bad, "set": "National", "as": "illegal", "entry": 42, "category": "vics-us:1"},
            {"sha256": bad, "set": "National", "as": "illegal", "entry": 42, "category": "vics-us:1", "method": "sha1"},
            {"sha256": both, "set": "National", "as": "illegal", "entry": 7, "method": "pdq", "distance": 12, "transform": "flipy"},
            {"sha256": both, "set": "Office", "as": "irrelevant", "entry": 3},
        ]
    )
    return made


@pytest.fixture
def made(tmp_path: Path) -> MadeCase:
    """The filled case in a folder of the test."""
    return filled(tmp_path)


def test_what_was_not_read_comes_first(made: MadeCase, tmp_path: Path) -> None:
    """The sections stand in the order that was agreed, and what was not read stands before anything that was found."""
    page = report(made, tmp_path / "r.html")
    ids = re.findall(r'<h2 id="([a-z]+)">', page)
    assert "short unread volumes known sets illegal stacks decisions exhibits ledger methods glossary".split() == ids
    assert "<strong>Not everything was read.</strong>" in page.split("<li>")[1]
    assert page.index("BitLocker volume") < page.index('id="volumes"') < page.index("DCIM/one.jpg")
    assert KINDS["encrypted"] in page
    assert "neighbours may be missing" in page


def test_figures_are_those_of_status(made: MadeCase, tmp_path: Path) -> None:
    """The report counts as `status` does."""
    from safelight.cli.summary import summarise

    facts = document.gather(*document.open_checked(made.case, ""), document.Wish(library=str(made.library)))
    status = summarise(Gate(made.case))
    assert {k: status["totals"][k] for k in ("items", "contents", "pictures", "deleted", "members", "bytes", "unread")} == {
        k: facts["totals"][k] for k in ("items", "contents", "pictures", "deleted", "members", "bytes", "unread")
    }
    assert {**status["known"], "new": status["totals"]["new"]} == {
        k: v["contents"] for k, v in facts["counts"]["total"].items() if v["contents"]
    }
    assert facts["totals"]["contents"] == sum(v["contents"] for v in facts["counts"]["total"].values())
    assert facts["totals"]["with_content"] == sum(v["items"] for v in facts["counts"]["total"].values())
    assert facts["totals"]["items"] == sum(v["items"] for by in facts["counts"]["exhibits"].values() for v in by.values()) + 1  # unread.doc


def test_a_match_says_why(made: MadeCase, tmp_path: Path) -> None:
    """Set, version, entry, method, distance, transform and category stand with each known illegal content, with all its places."""
    text = text_of(report(made, tmp_path / "r.html"))
    hit = text[text.index("Where it lies What it matched") : text.index("7 Stacks")]
    assert "entry 42 by MD5 and SHA-1: equal" in hit
    assert "category vics-us 1 (Child Abuse Material)" in hit
    assert "entry 7 by PDQ: 12 bits of 256 differ, mirrored" in hit
    assert "also in an irrelevant or known set" in hit
    assert hashlib.sha256(b"one").hexdigest() in hit
    assert hit.index("DCIM/one.jpg") < hit.index("DCIM/copy.jpg") < hit.index("wallpaper.jpg")
    assert "new.jpg" not in hit


def test_times_carry_their_basis(made: MadeCase, tmp_path: Path) -> None:
    """An instant says UTC, a time without zone says local?, and the kinds of time are named."""
    text = text_of(report(made, tmp_path / "r.html"))
    assert "content changed 2023-11-14 22:13:20 UTC" in text
    assert "content changed 2023-11-14 22:13:20 local?" in text
    assert "created 2020-09-13 12:26:40 UTC" in text


def test_scope_hides_items_and_their_problems(made: MadeCase, tmp_path: Path) -> None:
    """What an order excludes is neither named nor counted; that there is such a thing is said."""
    page = report(made, tmp_path / "r.html")
    text = text_of(page)
    assert "private" not in page
    assert "1 item lies outside of the scope of an order" in text
    assert "limited: order 17/26 ; kinds of content image" in text
    assert "2 problems of 2 kinds" in text


def test_a_problem_of_no_item_is_shown(tmp_path: Path) -> None:
    """A place that never became an item is not lost where another exhibit has a scope; the count is that of all problems."""
    made = MadeCase(tmp_path)
    made.exhibit("A")
    made.exhibit("B", Scope(order="17/26", kinds=("image",)))
    made.item("A", "a.zip", b"zip", kind="archive")
    made.problem("A", "limit.depth", "not looked into", 0, item_id=bytes(16), member=4)
    made.finish()
    text = text_of(report(made, tmp_path / "r.html"))
    assert "not looked into" in text
    assert "1 problem of 1 kind " in text


def test_one_exhibit_only(made: MadeCase, tmp_path: Path) -> None:
    """With --exhibit nothing of another exhibit is in the file; an unknown label is wrong use."""
    page = report(made, tmp_path / "b.html", "--exhibit", "B")
    assert "Exhibit <bdi" in page
    assert "DCIM" not in page
    assert "/evidence/of-a" not in page
    assert "BitLocker" not in page
    with pytest.raises(Usage, match="there are: A, B"):
        report(made, tmp_path / "c.html", "--exhibit", "C")
    assert not (tmp_path / "c.html").exists()


def test_what_is_not_done_is_said(tmp_path: Path) -> None:
    """A run without its end, and a sandbox that was off, stand on the first page."""
    made = MadeCase(tmp_path, walls=False)
    made.exhibit("A")
    made.item("A", "x.jpg", b"x")
    made.finish(end=False)
    late = Exhibit(label="Z", form="folder", parts=(Part(path="/z", size=0, mtime=0),), added="2026-01-02T03:04:05Z")
    made.case.write_exhibit(late)
    text = text_of(report(made, tmp_path / "r.html"))
    assert "Evidence was parsed WITHOUT the sandbox in 1 run of 1" in text
    assert "The last run has not come to its end" in text
    assert "Exhibit Z is not listed" in text
    assert "2 steps not done" in text
    assert "No hash set was matched" in text


def test_an_empty_case_has_a_report(tmp_path: Path) -> None:
    """A case without exhibits gives a report that says so."""
    made = MadeCase(tmp_path)
    text = text_of(report(made, tmp_path / "r.html"))
    assert "No run was started" in text
    assert "There are no exhibits in this case yet" in text


def test_lists_have_limits_that_are_said(tmp_path: Path) -> None:
    """Beyond 200 places of a kind the rest is counted, with the command that lists it; members with one reason are one place."""
    made = MadeCase(tmp_path)
    made.exhibit("A")
    for number in range(250):
        made.item("A", f"f{number}", None, readable=False)
        made.problem("A", "corrupt", f"reason {number}", number)
    for member in range(1000):
        made.problem("A", "limit.ratio", "too much", 3, member=member)
    made.finish()
    page = report(made, tmp_path / "r.html")
    text = text_of(page)
    assert "and 50 more: safelight find CASE --problem corrupt" in text
    assert unread.PLACES == len(re.findall(r"reason \d+<", page))
    assert "and 999 more below the same entry, for the same reason" in text
    assert "--problem limit.ratio" not in text

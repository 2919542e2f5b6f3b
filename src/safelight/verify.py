"""Check a case against its ledger: each byte of the ledger, each file of facts that it names, and the evidence.

Classes of findings are those of an audit: changed, missing, added. The ledger names what must be there; what is there and is not
named (other than temporary files and facts of an unfinished shard) was added.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safelight.case import Case, Exhibit
from safelight.decisions.check import check as check_decisions
from safelight.durable import TEMPORARY, digest_file
from safelight.evidence.folder import open_untouched
from safelight.facts.layout import LIST_STEP, Layout, only_of
from safelight.ledger import LedgerError

TABLE = "table"


def verify(case: Case, depth: str, walls: bool, command: str) -> tuple[list[str], dict[str, int]]:
    """Return the findings (empty: all is what it was) and what was checked. `depth`: quick, facts or full."""
    counts = {"ledger entries": 0, "files of facts": 0, "parts of evidence": 0}
    try:
        counts["ledger entries"] = case.ledger.verify()
    except LedgerError as e:
        return [str(e)], counts
    findings = list(_facts(case, depth, counts))
    wrong, events = check_decisions(case)
    findings += wrong
    if events:
        counts["decisions and reveals"] = events
    for exhibit in case.exhibits():
        findings += _evidence(case, exhibit, depth, walls, command, counts)
    case.ledger.append("verify", command=command, depth=depth, findings=findings[:100], count=len(findings))
    return findings, counts


def expected_files(case: Case) -> dict[Path, str]:
    """Return each file that the ledger says is there now, with its SHA-256."""
    return _ledger_files(case)[0]


class _InFlight:
    """Folders of facts whose step was stopped between its announcement and its entry (facts/making.py), and folders that were to go."""

    def __init__(self) -> None:
        self._folders: dict[Path, dict[str, str]] = {}

    def take(self, folder: Path, files: dict[str, list[Any]]) -> None:
        """Files with these digests may have come, or may not have gone yet; what was there before may be gone."""
        self._folders[folder] = {name: v[1] for name, v in files.items()}

    def leaving(self, folder: Path, files: dict[str, str]) -> None:
        """A folder with these files is to go (said again where a kill came in between: then `files` is empty)."""
        self._folders[folder] = self._folders.get(folder, {}) | files

    def end(self, folder: Path) -> None:
        """A step has entered what it did there."""
        self._folders.pop(folder, None)

    def may_lack(self, path: Path) -> bool:
        return path.parent in self._folders

    def may_be(self, path: Path) -> bool:
        """Tell whether a file is what was announced, byte for byte."""
        digest = self._folders.get(path.parent, {}).get(path.name)
        return digest is not None and digest_file(path) == digest


def _ledger_files(case: Case) -> tuple[dict[Path, str], _InFlight]:
    """Return each file that the ledger says is there now, with its SHA-256, and what may stand between two entries."""
    layout = Layout(case.folder)
    compacted: set[tuple[str, str]] = set()
    files: dict[Path, str] = {}
    shards: dict[tuple[str, str, int], dict[str, Any]] = {}
    in_flight = _InFlight()
    for e in case.ledger.entries():
        match e["what"]:
            case "making":
                in_flight.take(case.folder / e["folder"], e["files"])
            case "list" if e["step"] == LIST_STEP:
                folder = layout.listed(e["exhibit"])
                in_flight.end(folder)
                files |= {folder / name: v[1] for name, v in e["files"].items()}
            case "shard":
                shards[(e["exhibit"], e["step"], e["shard"])] = e["files"]
            case "compact":
                compacted.add((e["exhibit"], e["step"]))
                folder = layout.tables(e["exhibit"], only_of(e["step"]))
                in_flight.end(folder)
                files |= {folder / name: v[1] for name, v in e["files"].items()}
            case "descriptor" if e["folder"]:  # kept for good: facts that were made with it name it
                in_flight.end(case.folder / e["folder"])
                files |= {case.folder / e["folder"] / name: v[1] for name, v in e["files"].items()}
            case "match" | "stack" | "alike":
                gone = case.folder / e["folder"]
                in_flight.end(gone)
                files = {p: d for p, d in files.items() if p.parent != gone}
                files |= {gone / name: v[1] for name, v in e["files"].items()}
            case "match-removed":
                gone = case.folder / e["folder"]
                in_flight.leaving(gone, {p.name: d for p, d in files.items() if p.parent == gone})
                files = {p: d for p, d in files.items() if p.parent != gone}
    for (exhibit, step, number), named in shards.items():
        for name, v in named.items():
            if name.endswith(".pack"):
                files[layout.pack(exhibit, number)] = v[1]
            elif (exhibit, step) not in compacted:
                files[layout.shard(exhibit, only_of(step), number) / name] = v[1]
    return files, in_flight


def table_files(case: Case) -> dict[Path, str]:
    """Return the files of the table of the review that the ledger says are used now, with their SHA-256."""
    files = dict[str, dict[Path, str]]()
    for e in case.ledger.entries():
        if e["what"] == "table":
            files[e["part"]] = {case.folder / TABLE / name: v[1] for name, v in e["files"].items()}
    return {p: d for part in files.values() for p, d in part.items()}


def _facts(case: Case, depth: str, counts: dict[str, int]) -> Iterator[str]:
    expected, in_flight = _ledger_files(case)
    for path, digest in sorted(expected.items()):
        name = path.relative_to(case.folder)
        counts["files of facts"] += 1
        if not path.is_file():
            if not in_flight.may_lack(path):
                yield f"missing: {name}"
        elif depth != "quick" and digest_file(path) != digest and not in_flight.may_be(path):
            yield f"changed: {name}"
    for path, digest in sorted(table_files(case).items()):  # one that is missing is made again when somebody looks
        if depth != "quick" and path.is_file() and digest_file(path) != digest:
            yield f"changed: {path.relative_to(case.folder)}"
    for root in ("facts", "renditions", "matches", "stacks", "alike", "models"):
        for path in sorted((case.folder / root).rglob("*")):
            if path.is_file() and path not in expected and not _unfinished(case, path) and not in_flight.may_be(path):
                yield f"added: {path.relative_to(case.folder)}"
    collected = {e["exhibit"] for e in case.ledger.entries() if e["what"] == "collect"}
    for path in sorted((case.folder / "exhibits").iterdir()):
        if path.stem not in collected and not path.name.startswith(TEMPORARY):
            yield f"added: exhibits/{path.name}"
    for exhibit in sorted(collected):
        if not (case.folder / "exhibits" / f"{exhibit}.toml").is_file():
            yield f"missing: exhibits/{exhibit}.toml (the ledger holds what it said; `safelight run` writes it again)"


def _unfinished(case: Case, path: Path) -> bool:
    """Tell whether a file belongs to a write in flight or to a shard that a run will make again."""
    parts = path.relative_to(case.folder).parts
    if any(p.startswith(TEMPORARY) for p in parts) or "shards" in parts:
        return True
    return parts[0] == "renditions" and path.suffix == ".pack" and not Layout(case.folder).tables(parts[1], "everything").is_dir()


def _evidence(case: Case, exhibit: Exhibit, depth: str, walls: bool, command: str, counts: dict[str, int]) -> Iterator[str]:
    recorded = next((e for e in case.ledger.entries() if e["what"] == "collect" and e["exhibit"] == exhibit.key), None)
    if recorded is None:  # it is named as added already
        return
    if [(p["path"], p["size"], p["sha256"]) for p in recorded["parts"]] != [(p.path, p.size, p.sha256 or None) for p in exhibit.parts]:
        yield f"changed: exhibits/{exhibit.key}.toml does not say what the ledger says"
        return
    for part in exhibit.parts:
        counts["parts of evidence"] += 1
        path = Path(part.path)
        if exhibit.form == "folder":
            if not path.is_dir():
                yield f"missing: evidence {path}"
            elif depth == "full":
                yield from _folder(case, exhibit)
            continue
        try:
            yield from _part(path, part, depth)
        except OSError as e:
            yield f"missing: evidence {path} ({e.strerror or e})"
    if depth == "full" and exhibit.form == "image":
        from safelight.extract.acquisition import verdict

        found = verdict(case, exhibit, walls, command)
        if found["verdict"] in ("different", "unreadable"):
            yield f"changed: evidence {exhibit.key}: {found['words']}"


def _part(path: Path, part: Any, depth: str) -> Iterator[str]:
    with os.fdopen(open_untouched(path), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size != part.size:
            yield f"changed: evidence {path} has {size} bytes, {part.size} when added"
        elif depth == "full" and part.sha256 and hashlib.file_digest(file, "sha256").hexdigest() != part.sha256:
            yield f"changed: evidence {path}: its SHA-256 is not {part.sha256}"


def _folder(case: Case, exhibit: Exhibit) -> Iterator[str]:
    """Compare each file of a folder exhibit with the SHA-256 that was extracted from it."""
    from safelight.evidence.folder import Folder
    from safelight.facts.reader import Facts

    folder, seen = Folder(Path(exhibit.parts[0].path)), set[str]()
    cursor = Facts(case).con.execute(
        "select origin, path_raw, sha256 from items where exhibit = $e and source = $n and member = 0 order by ordinal",
        {"e": exhibit.label, "n": exhibit.source},
    )
    while rows := cursor.fetchmany(5_000):
        for origin, raw, sha256 in rows:
            seen.add(origin)
            if sha256 is not None:
                yield from _file(folder, bytes(raw), bytes(sha256).hex())
    for found in folder.listing():
        if isinstance(found, tuple) and seen and exhibit.prefix + found[0] not in seen:
            yield f"added: evidence {os.fsdecode(found[1].path)!r} in {exhibit.key}"


def _file(folder: Any, raw: bytes, sha256: str) -> Iterator[str]:
    try:
        with os.fdopen(folder.open(raw), "rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                yield f"changed: evidence {os.fsdecode(raw)!r}"
    except OSError as e:
        yield f"missing: evidence {os.fsdecode(raw)!r} ({e.strerror or e})"

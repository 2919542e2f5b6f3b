"""Where the evidence came from and that nothing has changed: exhibits with their files and verdicts, and the check before printing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from safelight.case import Case, Exhibit, Scope
from safelight.durable import digest_file
from safelight.errors import NotVerified
from safelight.report.history import History
from safelight.verify import expected_files

PARTS = 500
"""Files of one source that are printed."""
ATTEMPTS = 5
"""Checks before giving up, where a run changes facts at the same time."""


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """What was checked: entries of the ledger, files of facts; and the SHA-256 of each pack of renditions, to be checked when shown."""

    entries: int
    files: int
    packs: dict[Path, str]


def exhibits(sources: list[Exhibit], past: History) -> list[dict[str, Any]]:
    """Return each source with its files, what the image says of itself, and the limits of its order."""
    return [
        {
            "exhibit": e,
            "parts": e.parts[:PARTS],
            "parts_left_out": max(0, len(e.parts) - PARTS),
            "bytes": sum(p.size for p in e.parts) if e.form != "folder" else None,
            "by": past.collected.get(e.key, {}).get("who", ""),
            "acquisition": past.acquisitions.get(e.key),
            "scope": scope_words(e.scope),
        }
        for e in sources
    ]


def scope_words(scope: Scope) -> list[str]:
    """Return the limits of a scope in words; empty where there are none."""
    if scope == Scope():
        return []
    said = [f"order {scope.order}" if scope.order else "no order is named"]
    if scope.paths:
        said.append("paths " + ", ".join(scope.paths))
    if scope.kinds:
        said.append("kinds of content " + ", ".join(scope.kinds))
    if scope.since:
        said.append(f"changed on {scope.since} or later")
    if scope.until:
        said.append(f"changed on {scope.until} or before")
    return said


def check(case: Case) -> Checked:
    """Check the ledger and each table of facts that it names, and return what was checked.

    Raise `LedgerError` or `NotVerified`: nobody is given a report that rests on changed facts. Packs are checked when they are shown.
    """
    for attempt in range(ATTEMPTS):
        entries = case.ledger.verify()
        files = expected_files(case)
        packs = {p: d for p, d in files.items() if p.suffix == ".pack"}
        wrong = [p for p, d in files.items() if p not in packs and not _is(p, d)]
        if not wrong:
            return Checked(entries=entries, files=len(files) - len(packs), packs=packs)
        if case.ledger.verify() == entries or attempt == ATTEMPTS - 1:  # else a run went on, and its ledger names other files now
            names = ", ".join(str(p.relative_to(case.folder)) for p in wrong[:5])
            raise NotVerified(
                f"{len(wrong)} file(s) of facts are not what the ledger says: {names}. No report was written; run `safelight verify`."
            )
    raise AssertionError("unreachable")


def _is(path: Path, digest: str) -> bool:
    try:
        return digest_file(path) == digest
    except FileNotFoundError:
        return False

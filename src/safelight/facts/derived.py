"""Derived tables (matches, stacks): made from facts, kept as long as their inputs are the same. The ledger knows their keys: what
stands on disk and not in the ledger was left by a killed run and is made again."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from safelight.case import Case
from safelight.facts.layout import EXTRACT_STEPS, Layout


def is_current(case: Case, folder: str, key: str) -> bool:
    """Tell whether the derived table in this folder of the case was made from these inputs."""
    last = ""
    for entry in case.ledger.entries():
        if entry.get("folder") == folder:
            last = entry.get("key", "")
    return last == key and (case.folder / folder).is_dir()


def input_digest(case: Case, second: bool = False) -> str:
    """Return a digest of the contents and pictures that there are (with what a second look found), from the digests in the ledger."""
    layout, files = Layout(case.folder), dict[str, Any]()
    for entry in case.ledger.entries():
        if entry["what"] == "compact":
            files[f"{entry['exhibit']} {entry['step']}"] = entry["files"]
    used = {f"{e.key} {EXTRACT_STEPS[layout.best(e.key)]}" for e in case.exhibits()}
    if second:
        used |= {f"{e.key} {EXTRACT_STEPS['features']}" for e in case.exhibits()}
    named = {k: v for k, v in files.items() if k in used}
    return hashlib.sha256(msgspec.json.encode(named, order="deterministic")).hexdigest()

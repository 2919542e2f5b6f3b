"""The stack step of a case: its pictures → `stacks/stack-1`. What has the same inputs is not done again.

Where the case was stacked before by the same rules, only what new pictures touch is done again; the result is that of doing it all.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from safelight.case import Case
from safelight.durable import digest_file
from safelight.facts.derived import input_digest, is_current
from safelight.facts.making import making
from safelight.facts.reader import Facts
from safelight.facts.writer import TableWriter, Written
from safelight.match.pdq import QUALITY
from safelight.stack.stacks import Before, Stacks, before_of, read_pictures, stack_batches, stack_pictures

STEP, RULES = "stack-1", 2
"""The folder, and the version of the rules: another one makes stacks anew."""
ROWS = 50_000


def stack_case(case: Case, distance: int, progress: Any) -> dict[str, Any] | None:
    """Stack the pictures of all exhibits and return what the ledger is to say; None where nothing changed."""
    target = case.folder / "stacks" / STEP
    key = hashlib.sha256(f"{STEP} {RULES} {input_digest(case)} {distance}".encode()).hexdigest()
    if is_current(case, f"stacks/{STEP}", key):
        return None
    progress.begin("stack", "", None)
    found = Facts(case).in_order("pictures", ("sha256", "pdq", "pdq_quality", "width", "height"), ROWS)
    pictures = read_pictures(found, QUALITY)
    stacks = stack_pictures(pictures, distance, _before(case, target / "stacks.parquet", distance))
    with making(case, target) as made:
        written = write_stacks(stacks, made.folder / "stacks.parquet")
        made.files = {"stacks.parquet": [written.rows, written.sha256, written.logical]}
    progress.advance(len(pictures.names))
    return {
        "pictures": len(pictures.names),
        "stacks": int((stacks.rank == 1).sum()),
        "distance": distance,
        "quality_gate": QUALITY,
        "rules": RULES,
        "folder": f"stacks/{STEP}",
        "files": made.files,
        "key": key,
    }


def write_stacks(stacks: Stacks, path: Path) -> Written:
    """Write the table of stacks piece by piece: no more than a row group is held."""
    table = TableWriter(path, "stacks")
    for batch in stack_batches(stacks):
        table.add_table(pa.Table.from_batches([batch]))
    return table.close()


def read_before(path: Path) -> Before:
    """Return what a table of stacks says of each distinct hash. Raise ValueError where it contradicts itself."""
    with pq.ParquetFile(path) as file:
        return before_of(lambda name: file.read(columns=[name]).column(name))


def _before(case: Case, path: Path, distance: int) -> Before | None:
    """Return the stacks that there are, where the ledger knows the file, as it is, and it was made by the same rules; else None."""
    said: dict[str, Any] = {}
    for entry in case.ledger.entries():
        if entry.get("folder") == f"stacks/{STEP}":
            said = entry
    same = (said.get("distance"), said.get("quality_gate"), said.get("rules")) == (distance, QUALITY, RULES)
    if not same or not path.is_file() or digest_file(path) != said["files"]["stacks.parquet"][1]:
        return None
    try:
        return read_before(path)
    except ValueError:  # whatever it is, all is done anew
        return None

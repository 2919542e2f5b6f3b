"""The stack step of a case: its pictures → `stacks/stack-1`. What has the same inputs is not done again."""

from __future__ import annotations

import hashlib
from typing import Any

import pyarrow as pa

from safelight.case import Case
from safelight.durable import folder_atomically
from safelight.facts.derived import input_digest, is_current
from safelight.facts.reader import Facts
from safelight.facts.writer import TableWriter
from safelight.match.pdq import QUALITY
from safelight.stack.stacks import stack_batches, stacks

STEP = "stack-1"
ROWS = 50_000


def stack_case(case: Case, distance: int, progress: Any) -> dict[str, Any] | None:
    """Stack the pictures of all exhibits and return what the ledger is to say; None where nothing changed."""
    target = case.folder / "stacks" / STEP
    key = hashlib.sha256(f"{STEP} {input_digest(case)} {distance}".encode()).hexdigest()
    if is_current(case, f"stacks/{STEP}", key):
        return None
    progress.begin("stack", "", None)
    pictures = Facts(case).con.sql("select sha256, pdq, pdq_quality from pictures order by sha256").to_arrow_reader(ROWS)
    rows = stacks(pictures, distance=distance, quality_gate=QUALITY)
    with folder_atomically(target) as folder:
        table = TableWriter(folder / "stacks.parquet", "stacks")
        for batch in stack_batches(rows):
            table.add_table(pa.Table.from_batches([batch]))
        written = table.close()
    progress.advance(len(rows))
    return {
        "pictures": len(rows),
        "stacks": len({r.stack for r in rows}),
        "distance": distance,
        "quality_gate": QUALITY,
        "folder": f"stacks/{STEP}",
        "files": {"stacks.parquet": [written.rows, written.sha256, written.logical]},
        "key": key,
    }

"""The stack step of a case: its pictures → `stacks/stack-1`. What has the same inputs is not done again."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
import pyarrow as pa

from safelight.case import Case
from safelight.durable import folder_atomically, write_atomically
from safelight.facts.reader import Facts
from safelight.facts.writer import TableWriter
from safelight.match.pdq import QUALITY
from safelight.match.step import input_digest
from safelight.stack.stacks import stack_batches, stacks

STEP = "stack-1"
ROWS = 50_000


def stack_case(case: Case, distance: int, progress: Any) -> dict[str, Any] | None:
    """Stack the pictures of all exhibits and return what the ledger is to say; None where nothing changed."""
    target = case.folder / "stacks" / STEP
    key = hashlib.sha256(f"{STEP} {input_digest(case)} {distance}".encode()).hexdigest()
    try:
        if msgspec.json.decode((target / "step.json").read_bytes())["key"] == key:
            return None
    except (FileNotFoundError, msgspec.DecodeError, KeyError, TypeError):
        pass  # not there, or torn: it is made
    progress.begin("stack", "", None)
    pictures = Facts(case).con.sql("select sha256, pdq, pdq_quality from pictures order by sha256").to_arrow_reader(ROWS)
    rows = stacks(pictures, distance=distance, quality_gate=QUALITY)
    with folder_atomically(target) as folder:
        table = TableWriter(folder / "stacks.parquet", "stacks")
        for batch in stack_batches(rows):
            table.add_table(pa.Table.from_batches([batch]))
        written = table.close()
        write_atomically(folder / "step.json", msgspec.json.encode({"key": key}) + b"\n")
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

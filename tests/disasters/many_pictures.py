"""Take the facts of many pictures through compaction, matching and stacking, in a process that may use so many MiB of data.

Usage: python many_pictures.py CASE PICTURES MEBIBYTES. The facts are made by code and written by the real writers; nothing is decoded.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from safelight.case import Case, Exhibit, Part, now
from safelight.facts import compact, memory
from safelight.facts.layout import EXTRACT_STEPS, EXTRACTED, Layout
from safelight.facts.writer import TableWriter
from safelight.match.step import match_case
from safelight.records import schema
from safelight.stack.step import stack_case

SHARD = 10_000
TAGS = [(f"Tag {n}", "x" * 20) for n in range(12)]


class Silent:
    """Is told what goes on, and says nothing."""

    def begin(self, step: str, exhibit: str, total: int | None) -> None: ...
    def advance(self, amount: int, done_bytes: int = 0) -> None: ...


def column(field: Any, count: int, names: Any, noise: np.random.Generator) -> Any:
    """Return so many values of a column: digests and hashes are noise, in all forms and turns, so that no row is small."""
    kind = field.type

    def hashes(number: int, width: int) -> Any:
        return pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), number, [None, pa.py_buffer(noise.bytes(number * width))])

    if field.name == "sha256":
        return pa.FixedSizeBinaryArray.from_buffers(kind, count, [None, pa.py_buffer(names)])
    if pa.types.is_fixed_size_binary(kind):
        return hashes(count, kind.byte_width)
    if pa.types.is_map(kind):
        return pa.array([TAGS] * count, kind)
    if pa.types.is_list(kind):
        return pa.ListArray.from_arrays(pa.array(np.arange(0, 8 * count + 1, 8, np.int32)), hashes(8 * count, 32)).cast(kind)
    if field.name.endswith("quality"):
        return pa.array([100] * count, kind)
    if pa.types.is_integer(kind):
        return pa.array(noise.integers(1, 100, count)).cast(kind)
    return pa.nulls(count, kind) if field.nullable else pa.array([True] * count if pa.types.is_boolean(kind) else ["x"] * count, kind)


def shards(pictures: int) -> Iterator[dict[str, Any]]:
    """Yield the tables of each shard."""
    noise = np.random.default_rng(1)
    for start in range(0, pictures, SHARD):
        count = min(SHARD, pictures - start)
        names = noise.bytes(count * 32)
        tables = {
            t: pa.Table.from_arrays([column(f, count, names, noise) for f in schema(t)], schema=schema(t)) for t in ("contents", "pictures")
        }
        yield {t: tables.get(t, schema(t).empty_table()) for t in EXTRACTED}


def make(case: Case, pictures: int) -> None:
    """Write the shards of one exhibit, as workers leave them."""
    case.write_exhibit(Exhibit(label="A", form="folder", parts=(Part(path="/evidence", size=0, mtime=0),), added=now()))
    layout = Layout(case.folder)
    layout.listed("A").mkdir(parents=True)
    for name in ("volumes", "problems"):
        TableWriter(layout.listed("A") / f"{name}.parquet", name).close()
    for number, tables in enumerate(shards(pictures)):
        folder = layout.shard("A", "everything", number)
        folder.mkdir(parents=True)
        for name, table in tables.items():
            writer = TableWriter(folder / f"{name}.parquet", name)
            writer.add_table(table)
            writer.close()


def main(folder: str, pictures: str, mebibytes: str) -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (int(mebibytes) << 20, int(mebibytes) << 20))
    memory.be_frugal()
    case = Case(Path(folder))
    make(case, int(pictures))
    memory.release()
    files = compact.compact(case, "A", "everything")
    case.ledger.append("compact", exhibit="A", step=EXTRACT_STEPS["everything"], files=files)
    memory.release()
    matched = [case.ledger.append("match", **summary) for summary in match_case(case, None, 31, Silent())]
    memory.release()
    stacked = stack_case(case, 31, Silent())
    assert stacked is not None
    print(files["pictures-0000.parquet"][0], stacked["pictures"], stacked["stacks"], *(e["matches"].get("sha256") for e in matched))


if __name__ == "__main__":
    main(*sys.argv[1:])

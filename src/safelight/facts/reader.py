"""Read facts with DuckDB, in place: one view for each table of `records.TABLES`, over whatever shards and tables are there now.

A user with a notebook can do the same (docs/reference/tables.md). Nothing here writes.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from safelight.case import Case
from safelight.durable import TEMPORARY
from safelight.facts.layout import DESCRIBED, EXTRACTED, SECOND, Layout
from safelight.facts.memory import THREADS
from safelight.facts.models import current
from safelight.facts.sorting import distinct_in_order
from safelight.records import TABLES, schema

MEMORY = "160MB"
"""What a step of a run may use: the coordinator stays below 500 MiB, whatever the size of the case."""

QUERY_MEMORY = "1GB"
"""What a question of a person may use; more is spilled beside the case."""


def connect(case: Path, memory: str = MEMORY) -> duckdb.DuckDBPyConnection:
    """Return a DuckDB connection with bounded memory that spills into the case folder and loads nothing from outside."""
    con = duckdb.connect(":memory:")
    con.execute(f"set memory_limit = '{memory}'")
    con.execute(f"set threads = {THREADS}")
    con.execute("set preserve_insertion_order = true")
    con.execute("set autoinstall_known_extensions = false")
    con.execute("set enable_progress_bar = false")
    con.execute("set TimeZone = 'UTC'")
    con.execute(f"set temp_directory = '{str(case / 'work').replace(chr(39), chr(39) * 2)}'")
    return con


_DISTINCT = {"contents": "sha256", "pictures": "sha256", "features": "sha256", "panels": "sha256, number", "vectors": "sha256"}
"""What names a row of the tables that hold each content once an exhibit."""


def files_now(case: Case) -> dict[str, list[Path]]:
    """Return the files of each table of `records.TABLES` that there are now, those of items in canonical order."""
    files: dict[str, list[Path]] = {name: [] for name in TABLES}
    layout, model = Layout(case.folder), current(case)
    for exhibit in case.exhibits():
        _add_exhibit(layout, exhibit.key, files)
        described = layout.tables(exhibit.key, model.step) if model is not None else None
        if described is not None and described.is_dir():
            for table in DESCRIBED:
                files[table] += sorted(described.glob(f"{table}-*.parquet"))
    for table in ("matches", "alike", "stacks"):
        files[table] = sorted((case.folder / table).glob("*/*.parquet"))
    return files


def _add_exhibit(layout: Layout, label: str, files: dict[str, list[Path]]) -> None:
    """Add the files of one exhibit: its tables, else its shards, and listed shards that are not extracted yet."""
    listed = layout.listed(label)
    if not listed.is_dir():
        return
    files["volumes"].append(listed / "volumes.parquet")
    files["problems"].append(listed / "problems.parquet")
    second = layout.tables(label, "features")
    if second.is_dir():
        for table in SECOND:
            files[table] += sorted(second.glob(f"{table}-*.parquet"))
    only = layout.best(label)
    tables = layout.tables(label, only)
    if tables.is_dir():
        for table in EXTRACTED:
            files[table] += sorted(tables.glob(f"{table}-*.parquet"))
        return
    for number, path in enumerate(layout.list_shards(label)):
        shard = layout.shard(label, only, number)
        if shard.is_dir():
            for table in EXTRACTED:
                files[table].append(shard / f"{table}.parquet")
        else:
            files["items"].append(path)


class Facts:
    """The facts of a case as they are now."""

    def __init__(self, case: Case, memory: str = MEMORY) -> None:
        self.case, self.layout = case, Layout(case.folder)
        self.con = connect(case.folder, memory)
        self.files = files_now(case)
        for table, paths in self.files.items():
            self._view(table, paths)

    def in_pieces(self, table: str, columns: Sequence[str], last_first: bool = False) -> Iterator[tuple[Path, pa.Table]]:
        """Yield (file, columns of a group of its rows) of a table, in the order of its files, which for items is the canonical one.

        `last_first`: the last file first, so that of rows with one name that of the first file comes last, and stands.
        """
        for path in reversed(self.files[table]) if last_first else self.files[table]:
            source = pq.ParquetFile(path)
            for group in range(source.num_row_groups):
                yield path, source.read_row_group(group, list(columns), use_threads=False)

    def in_order(self, table: str, columns: Sequence[str], rows: int) -> Iterator[pa.Table]:
        """Yield columns of a table in ascending SHA-256 (and number, for panels), each content once, in pieces of at most `rows`.

        Memory does not grow with the case: what does not fit is parted into files beside it.
        """
        work = self.case.folder / "work"
        work.mkdir(exist_ok=True)
        key = tuple(_DISTINCT[table].split(", "))
        yield from distinct_in_order(self.files[table], key, work / f"{TEMPORARY}{secrets.token_hex(4)}", columns=columns, rows=rows)

    def _view(self, table: str, paths: list[Path]) -> None:
        if paths:
            quoted = ", ".join("'" + str(p).replace("'", "''") + "'" for p in paths)
            distinct = f"distinct on ({_DISTINCT[table]})" if table in _DISTINCT else ""
            source = f"read_parquet([{quoted}]{', filename = true' if table == 'pictures' else ''})"
            columns = ", ".join(f'"{c.name}"' for c in TABLES[table])
            self.con.execute(f"create view {table} as select {distinct} {columns}{self._exhibit_of_pack(table)} from {source}")
        else:
            empty = schema(table).empty_table()
            if table == "pictures":
                empty = empty.append_column("pack_exhibit", pa.array([], pa.string()))
            self.con.register(table, empty)

    @staticmethod
    def _exhibit_of_pack(table: str) -> str:
        """Pictures need the exhibit whose pack holds their renditions: it stands in the path of the file."""
        if table != "pictures":
            return ""
        return ", regexp_extract(filename, '/facts/[a-z]+-[0-9]+/([^/]+)/', 1) as pack_exhibit"

    def rows(self, query: str, parameters: Any = None) -> list[dict[str, Any]]:
        """Return the result of a query as dictionaries."""
        cursor = self.con.execute(query, parameters or [])
        names = [d[0] for d in cursor.description or []]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

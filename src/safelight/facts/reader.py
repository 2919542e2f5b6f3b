"""Read facts with DuckDB, in place: one view for each table of `records.TABLES`, over whatever shards and tables are there now.

A user with a notebook can do the same (docs/reference/tables.md). Nothing here writes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from safelight.case import Case
from safelight.facts.layout import EXTRACTED, SECOND, Layout
from safelight.records import TABLES, schema

MEMORY = "160MB"
"""What a step of a run may use: the coordinator stays below 500 MiB, whatever the size of the case."""

QUERY_MEMORY = "1GB"
"""What a question of a person may use; more is spilled beside the case."""

THREADS = 2


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


_DISTINCT = {"contents": "sha256", "pictures": "sha256", "features": "sha256", "panels": "sha256, number"}
"""What names a row of the tables that hold each content once an exhibit."""


class Facts:
    """The facts of a case as they are now."""

    def __init__(self, case: Case, memory: str = MEMORY) -> None:
        self.case, self.layout = case, Layout(case.folder)
        self.con = connect(case.folder, memory)
        files: dict[str, list[Path]] = {name: [] for name in TABLES}
        for exhibit in case.exhibits():
            self._exhibit(exhibit.key, files)
        files["matches"] = sorted((case.folder / "matches").glob("*/*.parquet"))
        files["alike"] = sorted((case.folder / "alike").glob("*/*.parquet"))
        files["stacks"] = sorted((case.folder / "stacks").glob("*/*.parquet"))
        for table, paths in files.items():
            self._view(table, paths)

    def _exhibit(self, label: str, files: dict[str, list[Path]]) -> None:
        """Add the files of one exhibit: its tables, else its shards, and listed shards that are not extracted yet."""
        listed = self.layout.listed(label)
        if not listed.is_dir():
            return
        files["volumes"].append(listed / "volumes.parquet")
        files["problems"].append(listed / "problems.parquet")
        second = self.layout.tables(label, "features")
        if second.is_dir():
            for table in SECOND:
                files[table] += sorted(second.glob(f"{table}-*.parquet"))
        only = self.layout.best(label)
        tables = self.layout.tables(label, only)
        if tables.is_dir():
            for table in EXTRACTED:
                files[table] += sorted(tables.glob(f"{table}-*.parquet"))
            return
        for number, path in enumerate(self.layout.list_shards(label)):
            shard = self.layout.shard(label, only, number)
            if shard.is_dir():
                for table in EXTRACTED:
                    files[table].append(shard / f"{table}.parquet")
            else:
                files["items"].append(path)

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

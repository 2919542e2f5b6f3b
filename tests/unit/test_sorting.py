"""Rows in order of a digest, within bounded memory: whatever the parts, the answer is that of sorting all at once."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from safelight.facts.sorting import distinct_in_order
from safelight.facts.writer import TableWriter
from safelight.records import CONTENTS, PANELS

WHERE = [c.name for c in CONTENTS]


def content(name: bytes, size: int) -> tuple[object, ...]:
    return tuple({"sha256": name, "sha1": name[:20], "md5": name[:16], "size": size, "kind": "other"}.get(c) for c in WHERE)


def written(path: Path, rows: list[tuple[bytes, int]]) -> Path:
    table = TableWriter(path, "contents")
    for name, size in rows:
        table.add(content(name, size))
    table.close()
    return path


names = st.one_of(st.binary(min_size=32, max_size=32), st.sampled_from([bytes(32), b"\xff" * 32, b"\x80" + bytes(31), bytes(31) + b"\x01"]))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shards=st.lists(st.lists(st.tuples(names, st.integers(0, 9)), max_size=12), max_size=6),
    part_bytes=st.sampled_from([1, 100, 1000, 1 << 20]),
)
def test_any_parts_give_what_one_sort_gives(shards: list[list[tuple[bytes, int]]], part_bytes: int, tmp_path: Path) -> None:
    """Ascending, one row a digest, that of the first file; NULs at the end count; the spill folder goes."""
    files = [written(tmp_path / f"{n}.parquet", rows) for n, rows in enumerate(shards)]
    first: dict[bytes, int] = {}
    for name, size in (row for rows in shards for row in rows):
        first.setdefault(name, size)
    spill = tmp_path / "spill"
    found = list(distinct_in_order(files, ("sha256",), spill, part_bytes=part_bytes, rows=5))
    assert [(n, first[n]) for n in sorted(first)] == [(r["sha256"], r["size"]) for t in found for r in t.to_pylist()]
    assert all(t.num_rows <= 5 for t in found)
    assert not spill.exists()


def test_columns_are_chosen_and_numbers_are_part_of_the_key(tmp_path: Path) -> None:
    """Only the columns asked for are given; panels of one picture come in order of their number."""
    columns = [c.name for c in PANELS]
    table = TableWriter(tmp_path / "p.parquet", "panels")
    digests = [hashlib.sha256(bytes([n])).digest() for n in range(40)]
    for number in (2, 0, 1, 300):
        for name in digests:
            table.add(tuple({"sha256": name, "number": number}.get(c) for c in columns))
    table.close()
    wanted = [(name, number) for name in sorted(digests) for number in (0, 1, 2, 300)]
    parts = list(
        distinct_in_order([tmp_path / "p.parquet"], ("sha256", "number"), tmp_path / "s", columns=["sha256", "number"], part_bytes=500)
    )
    assert wanted == [(r["sha256"], r["number"]) for t in parts for r in t.to_pylist()]
    assert pa.concat_tables(parts).column_names == ["sha256", "number"]


def test_a_consumer_that_stops_leaves_no_spill(tmp_path: Path) -> None:
    """Who takes only the first piece leaves no files behind."""
    files = [written(tmp_path / "0.parquet", [(hashlib.sha256(bytes([n])).digest(), n) for n in range(200)])]
    pieces = distinct_in_order(files, ("sha256",), tmp_path / "spill", part_bytes=100)
    next(pieces)
    assert (tmp_path / "spill").is_dir()
    pieces.close()  # type: ignore[attr-defined]
    assert not (tmp_path / "spill").exists()


def test_nothing_gives_nothing(tmp_path: Path) -> None:
    """No files, or files without rows, give no rows and no error."""
    assert [] == list(distinct_in_order([], ("sha256",), tmp_path / "spill"))
    with pytest.raises(StopIteration):
        next(distinct_in_order([written(tmp_path / "0.parquet", [])], ("sha256",), tmp_path / "spill"))

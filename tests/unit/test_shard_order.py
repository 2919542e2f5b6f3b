"""The order of work, and files without rows."""

from __future__ import annotations

from pathlib import Path

from safelight.extract.shard import in_working_order
from safelight.facts import writer
from safelight.facts.writer import TableWriter, logical_digest


def test_every_shard_once_large_ones_before_the_last() -> None:
    """A few first, then from the end to the beginning; each once, whatever was done before."""
    for count in range(12):
        assert list(range(count)) == sorted(in_working_order(range(count)))
    assert [0, 1, 2, 3, 8, 7, 6, 5, 4] == in_working_order(range(9))
    assert [2, 3, 5, 8, 13, 11] == in_working_order({13, 2, 3, 11, 5, 8})


def test_an_empty_table_is_the_same_file_again(tmp_path: Path) -> None:
    """The remembered file of a table without rows has the bytes and digests of a written one."""
    writer._EMPTY.clear()
    files = [tmp_path / f"{n}.parquet" for n in range(2)]
    written = [TableWriter(file, "problems").close() for file in files]
    assert written[0] == written[1]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert written[0].logical == logical_digest(files[1])

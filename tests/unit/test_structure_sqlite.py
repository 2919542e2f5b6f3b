"""Structure of SQLite databases: good ones made by SQLite itself are silent, each kind of damage is told."""

from __future__ import annotations

import sqlite3
import struct
from pathlib import Path

import pytest

from safelight.evidence.bytesource import MemorySource
from safelight.extract import structure

TYPE = "application/vnd.sqlite3"


def check(data: bytes) -> list[tuple[str, str]]:
    return structure.check(MemorySource(data), TYPE)


def kinds(data: bytes) -> list[str]:
    return [kind for kind, _ in check(data)]


def made(folder: Path, *statements: str, before: str = "") -> bytes:
    """Return the bytes of a database that SQLite made."""
    path = folder / "made.db"
    path.unlink(missing_ok=True)
    con = sqlite3.connect(path, isolation_level=None)
    for statement in [*before.split(";"), *statements]:
        con.execute(statement)
    con.close()
    return path.read_bytes()


FILL = "insert into t(b) with recursive r(i) as (select 1 union all select i + 1 from r where i < 5000) select hex(randomblob(40)) from r"
TABLES = ("create table t(a integer primary key, b text)", "create index i on t(b)", FILL)

GOOD = {
    "small": ("pragma page_size = 512", TABLES),
    "usual": ("pragma page_size = 4096", TABLES),
    "large pages": ("pragma page_size = 65536", TABLES),
    "auto vacuum": ("pragma auto_vacuum = full", (*TABLES, "delete from t where a % 3")),
    "free pages": ("", (*TABLES, "delete from t where a > 100")),
    "UTF-16": ("pragma encoding = 'UTF-16le'", TABLES),
    "UTF-16 other order": ("pragma encoding = 'UTF-16be'", TABLES),
    "write-ahead log": ("pragma journal_mode = wal", TABLES),
    "without rowid": ("", ("create table w(k text primary key, v blob) without rowid", "insert into w values ('a', zeroblob(9000))")),
    "full text": ("", ("create virtual table f using fts5(body)", "insert into f values ('some words')")),
    "views and triggers": (
        "",
        (
            *TABLES,
            "create view v as select a from t where b > 'a'",
            "create trigger g after insert on t begin delete from t where a = 7; end",
        ),
    ),
    "many tables": ("pragma page_size = 512", tuple(f"create table t{i}(a, b, c default 'a long default text {i}')" for i in range(300))),
    "long text": ("pragma page_size = 512", (f"create table w(k primary key, c default '{'x' * 3000}') without rowid", *TABLES)),
    "overflow": ("", ("create table b(v blob)", "insert into b values (zeroblob(300000))", "insert into b values (zeroblob(70))")),
    "empty": ("", ("create table t(a)", "drop table t")),
}


@pytest.mark.parametrize("name", GOOD)
def test_good_databases_are_silent(name: str, tmp_path: Path) -> None:
    """Whatever SQLite writes by itself is no problem: page sizes, encodings, vacuum, log, indexes, overflow."""
    before, statements = GOOD[name]
    assert check(made(tmp_path, *statements, before=before)) == []


def test_the_header_is_checked(tmp_path: Path) -> None:
    """A page size that is no power of two, too many reserved bytes and wrong fractions are corrupt; 100 bytes must be there."""
    good = made(tmp_path, *TABLES)
    assert kinds(good[:16] + b"\x03\xe7" + good[18:]) == ["corrupt"]
    assert kinds(good[:16] + b"\x02\x00" + good[18:20] + b"\xff" + good[21:]) == ["corrupt"]
    assert kinds(good[:21] + b"\x41" + good[22:]) == ["corrupt"]
    assert kinds(good[:60]) == ["truncated"]


def test_a_cut_database_is_told(tmp_path: Path) -> None:
    """Whole pages that are missing make it truncated, half a page corrupt as well."""
    good = made(tmp_path, *TABLES)
    assert kinds(good[: 10 * 4096]) == ["truncated"]
    assert kinds(good[: 10 * 4096 + 17]) == ["corrupt", "truncated"]


def test_an_overwritten_page_is_told(tmp_path: Path) -> None:
    """Garbage on the root of a table, on a child of it or on the schema is corrupt and names the page."""
    good = made(tmp_path, *TABLES)
    garbage = bytes((i * 37 + 11) & 255 for i in range(4096))
    root = good[:4096] + garbage + good[8192:]
    assert check(root) == [("corrupt", "page 2 (of 't') is no page of a tree")]
    assert kinds(good[:100] + garbage[:200] + good[300:]) == ["corrupt"]
    (child,) = struct.unpack_from(">I", good, 4096 + 8)
    spoiled = bytearray(good)
    spoiled[(child - 1) * 4096 : child * 4096] = garbage
    assert check(bytes(spoiled)) == [("corrupt", f"page {child} (of 't') is no page of a tree")]


def test_a_tree_that_comes_back_is_told(tmp_path: Path) -> None:
    """A child that is its own parent is found, not followed."""
    good = bytearray(made(tmp_path, *TABLES))
    struct.pack_into(">I", good, 4096 + 8, 2)
    assert check(bytes(good)) == [("corrupt", "page 2 stands twice in the trees of the database")]


def test_a_child_beyond_the_file_is_told(tmp_path: Path) -> None:
    """A page number that the file does not have is corrupt."""
    good = bytearray(made(tmp_path, *TABLES))
    struct.pack_into(">I", good, 4096 + 8, 0x7FFFFFFF)
    assert kinds(bytes(good)) == ["corrupt"]


def test_an_index_in_the_place_of_a_table_is_told(tmp_path: Path) -> None:
    """The kind of a page must be that of its tree."""
    good = bytearray(made(tmp_path, "create table t(a)", "insert into t values (1)"))
    good[4096] = 0x0A
    assert check(bytes(good)) == [("corrupt", "page 2 (of 't') is of another kind of tree")]


def test_a_recursive_view_is_active_content(tmp_path: Path) -> None:
    """An endless view under the name of a table is told; the same query in a table definition or a plain view is not."""
    view = "create view message as with recursive r(i) as (select 1 union all select i + 1 from r) select i as id from r"
    assert check(made(tmp_path, view)) == [("active-content", "view 'message' is a recursive query; views are never run")]
    assert kinds(made(tmp_path, view, before="pragma encoding = 'UTF-16le'")) == ["active-content"]
    assert kinds(made(tmp_path, "create view v as with r(i) as (select 1) select i from r")) == []


def test_a_view_that_loads_code_is_active_content(tmp_path: Path) -> None:
    """Functions that load code or write files in a view or a trigger are told."""
    assert kinds(made(tmp_path, "create view v as select load_extension('x')")) == ["active-content"]
    assert kinds(made(tmp_path, "create table load_extension(a)")) == []

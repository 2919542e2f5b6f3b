"""The review table: one row for each content within the scope of the gate, in columns, made from the facts in one go.

A table is a state of the facts; it never changes. While a `run` goes on, newer tables are made beside it, and views keep the one they
were made from. Contents have numbers of the log of decisions (`number`), which stay the same from table to table. Items (places) have
a few columns of their own, in canonical order. About 300 bytes an item where each has a content of its own; docs/methods/order.md has
measured figures.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import duckdb
import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from safelight.access import Gate
from safelight.case import Case
from safelight.decisions.log import Log

Array = NDArray[Any]
Mask = NDArray[np.bool_]
KNOWN = ("new", "illegal", "other", "irrelevant", "known")
"""What a content counts as, by number: in no set, else the first of these that a set says."""

TABLE_MEMORY = "1500MB"
ATTEMPTS = 5
"""A run that compacts takes files away between the look and the read: then all is read again."""

_CONTENTS = """
    select s.number as n, k.sha256, k.size, k.kind, k.media_type, p.width, p.height, p.orientation, p.pdq, p.pdq_quality, p.exif_make, p.exif_model,
        p.exif_serial, p.exif_software, p.exif_taken, p.exif_gps_lat as lat, p.exif_gps_lon as lon, p.pack, p.pack_exhibit,
        p.protected_at, p.protected_size, p.drawing_at, p.drawing_size, p.small_at, p.small_size, t.stack, t.distance, h.known, h.category
    from seen s join contents k using (sha256) left join pictures p using (sha256) left join stacks t using (sha256)
    left join held h using (sha256) order by s.number
"""
_SEEN = """
    create or replace temp table seen as
    select sha256, (row_number() over (order by sha256) - 1)::integer as number
    from (select distinct v.sha256 from visible v join contents using (sha256) where v.sha256 is not null)
"""
_HELD = """
    create or replace temp table held as
    select sha256, min(case "as" when 'illegal' then 1 when 'other' then 2 when 'irrelevant' then 3 else 4 end)::tinyint as known,
        arg_min(category, case when category is null then 1000 else distance end) filter ("as" = 'illegal') as category
    from judged where stands group by sha256
"""
_ITEMS = """
    select s.number as n, v.exhibit, v.state, v.mtime, v.path, left(v.path, length(v.path) - strpos(reverse('/' || v.path), '/') + 1) as folder
    from visible v join seen s using (sha256) order by v.exhibit, v.source, v.ordinal, v.member
"""


class Codes(msgspec.Struct, frozen=True):
    """A column of few different texts: `code` by row (-1 for null) into `names`."""

    code: Array
    names: list[str]

    def number(self, name: str) -> int:
        """Return the code of a name; -2 where no row has it."""
        return self.names.index(name) if name in self.names else -2

    def name(self, row: int) -> str | None:
        code = int(self.code[row])
        return self.names[code] if code >= 0 else None


class Rendition(msgspec.Struct, frozen=True):
    """Where a small picture lies: offsets and lengths by row; length 0 where there is none."""

    at: Array
    size: Array


class Table:
    """One state of the facts. `rows` contents; `items` places. Row r has the content `names[r]`, ascending by SHA-256."""

    def __init__(self, case: Case, purpose: str, log: Log, library: str | None = None) -> None:
        for attempt in range(ATTEMPTS):
            try:
                self._read(Gate(case, purpose, TABLE_MEMORY, library))
                break
            except duckdb.IOException:
                if attempt == ATTEMPTS - 1:
                    raise
        self.number = log.number(self.names)
        self._row = np.full(len(log.numbers), -1, np.int32)
        self._row[self.number] = np.arange(self.rows, dtype=np.int32)

    def row_of(self, numbers: Array) -> Array:
        """Return the row of each number; -1 where the content is not in this table."""
        found = np.full(len(numbers), -1, np.int32)
        inside = numbers < len(self._row)
        found[inside] = self._row[numbers[inside]]
        return found

    def _read(self, gate: Gate) -> None:
        con = gate.facts.con
        con.execute(_SEEN)
        con.execute(_HELD)
        self._contents(con.sql(_CONTENTS).to_arrow_table().combine_chunks())
        self._items(con.sql(_ITEMS).to_arrow_table().combine_chunks())
        self._matches(con)
        con.close()

    def _contents(self, t: pa.Table) -> None:
        self.rows = t.num_rows
        self.names = _fixed(t["sha256"], 32)
        self.size = _numbers(t["size"], np.int64, 0)
        self.kind, self.media_type = _codes(t["kind"]), _codes(t["media_type"])
        self.width, self.height = _numbers(t["width"], np.int32, 0), _numbers(t["height"], np.int32, 0)
        turned = _numbers(t["orientation"], np.int8, 1) >= 5
        self.width, self.height = np.where(turned, self.height, self.width), np.where(turned, self.width, self.height)
        self.pdq = _fixed(t["pdq"], 32)
        self.quality = _numbers(t["pdq_quality"], np.int16, -1)
        make_model = pc.binary_join_element_wise(
            pc.fill_null(t["exif_make"], ""), pc.fill_null(t["exif_model"], ""), " ", null_handling="emit_null"
        )
        said = pc.utf8_trim_whitespace(make_model)
        self.camera = _codes(pc.if_else(pc.equal(said, ""), pa.scalar(None, pa.string()), said))
        self.serial, self.software = _codes(t["exif_serial"]), _codes(t["exif_software"])
        self.taken = _numbers(t["exif_taken"], np.int64, NO_TIME)
        self.lat, self.lon = _numbers(t["lat"], np.float64, np.nan), _numbers(t["lon"], np.float64, np.nan)
        self.pack, self.pack_exhibit = _numbers(t["pack"], np.int32, -1), _codes(t["pack_exhibit"])
        self.renditions = {
            level: Rendition(_numbers(t[f"{level}_at"], np.int64, 0), _numbers(t[f"{level}_size"], np.int32, 0))
            for level in ("protected", "drawing", "small")
        }
        self.stack = _stacks(t["stack"], self.rows)
        self.stack_distance = _numbers(t["distance"], np.int16, 0)
        self.known = _numbers(t["known"], np.uint8, 0)
        self.category = _codes(t["category"])

    def _items(self, t: pa.Table) -> None:
        self.items = t.num_rows
        self.content = _numbers(t["n"], np.int32, -1)
        self.exhibit, self.state = _codes(t["exhibit"]), _codes(t["state"])
        self.mtime = _numbers(t["mtime"], np.int64, NO_TIME)
        self.path: pa.Array = _one(t["path"])
        folders = _codes(t["folder"])
        both = folders.code.astype(np.int64) * (len(self.exhibit.names) + 1) + self.exhibit.code
        kept, first, code = np.unique(both, return_index=True, return_inverse=True)
        self.folder = code.astype(np.int32)
        self.folder_names = [(self.exhibit.names[self.exhibit.code[i]], folders.names[folders.code[i]]) for i in first.tolist()]
        self.folders = len(kept)
        order = np.argsort(self.content, kind="stable").astype(np.int32)
        self.places = np.bincount(self.content, minlength=self.rows).astype(np.int32)
        self.first = order[np.concatenate([[0], np.cumsum(self.places)[:-1]]).astype(np.int64)] if self.rows else np.zeros(0, np.int32)
        self._by_content = order
        self._starts = np.concatenate([[0], np.cumsum(self.places)]).astype(np.int64)

    def items_of(self, row: int) -> Array:
        """Return the items of a content, in canonical order."""
        return self._by_content[self._starts[row] : self._starts[row + 1]]

    def _matches(self, con: duckdb.DuckDBPyConnection) -> None:
        t = con.sql(
            'select distinct s.number as n, m."set" as "set", m.method from judged m join seen s using (sha256) where m.stands order by all'
        )
        found = t.to_arrow_table()
        self.match_row = _numbers(found["n"], np.int32, -1)
        self.match_set, self.match_method = _codes(found["set"]), _codes(found["method"])
        found = con.sql(
            "select distinct s.number as n, p.kind from problems p join visible v using (item_id) join seen s on v.sha256 = s.sha256 order by all"
        ).to_arrow_table()
        self.problem_row, self.problem = _numbers(found["n"], np.int32, -1), _codes(found["kind"])

    @cached_property
    def when(self) -> Array:
        """Time of a content: when it was taken, else the last change of its first place; ns, `NO_TIME` where neither is known."""
        return np.where(self.taken != NO_TIME, self.taken, self.mtime[self.first]) if self.rows else self.taken

    @cached_property
    def device(self) -> Array:
        """Camera with its serial number, as a number; -1 where the picture names no camera."""
        both = self.camera.code.astype(np.int64) * (len(self.serial.names) + 2) + self.serial.code + 1
        return np.where(self.camera.code >= 0, both, -1)

    @cached_property
    def looked_at(self) -> Mask:
        """Which contents are pictures or films."""
        found: Mask = np.isin(self.kind.code, [self.kind.number("image"), self.kind.number("video")])
        return found

    def any_of(self, items: Mask) -> Mask:
        """Return the contents of which at least one of these places is."""
        found = np.zeros(self.rows, bool)
        found[self.content[items]] = True
        return found

    def rank_of_item(self, row: int) -> tuple[str, str]:
        """Return exhibit and path of the first place of a content."""
        item = int(self.first[row])
        return self.exhibit.name(item) or "", self.path[item].as_py()

    def bytes_held(self) -> int:
        """Return the memory of all columns."""
        total = self.path.nbytes
        for value in vars(self).values():
            columns = [value] if isinstance(value, np.ndarray) else []
            columns += [value.code] if isinstance(value, Codes) else []
            columns += [x for r in value.values() for x in (r.at, r.size)] if isinstance(value, dict) else []
            total += sum(c.nbytes for c in columns)
        return int(total)


NO_TIME = np.iinfo(np.int64).min


def _one(column: Any) -> Any:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) and column.num_chunks != 1 else column.chunk(0)


def _numbers(column: Any, kind: Any, absent: Any) -> Array:
    filled = pc.fill_null(column, pa.scalar(absent, column.type)) if column.null_count else column
    found: Array = filled.to_numpy()
    return np.ascontiguousarray(found.astype(kind))


def _fixed(column: Any, width: int) -> NDArray[np.uint8]:
    """Return digests as (n, width) bytes; zeros where there is none."""
    array = pc.fill_null(column, b"\0" * width) if column.null_count else column
    array = array.cast(pa.binary(width))
    chunks = [np.frombuffer(c.buffers()[1], np.uint8)[c.offset * width : (c.offset + len(c)) * width] for c in array.chunks if len(c)]
    return (np.concatenate(chunks) if chunks else np.zeros(0, np.uint8)).reshape(-1, width)


def _codes(column: Any) -> Codes:
    encoded = _one(column.dictionary_encode())
    code = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int32)
    return Codes(code, [str(x) for x in encoded.dictionary.to_pylist()])


def _stacks(column: Any, rows: int) -> Array:
    """Return the stack of each content as a number; a content that is not stacked is a stack of its own."""
    if not rows:
        return np.zeros(0, np.int32)
    encoded = _one(column.dictionary_encode())
    code = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    alone = np.flatnonzero(code < 0)
    code[alone] = len(encoded.dictionary) + np.arange(len(alone))
    found: Array = code.astype(np.int32)
    return found

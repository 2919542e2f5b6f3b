"""The part of the table that hash sets say: what each content counts as, its matches, and the order `first`.

It is made again when a set, a mark of the unit's library or the evidence changes; the other part then stays.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from safelight.access import Gate
from safelight.decisions.numbers import find
from safelight.table.contents import fixed, numbers
from safelight.table.features import KNOWN, features, steps
from safelight.table.file import PIECE, Array, Mapped, Scratch
from safelight.table.ordering import distinct, stable_order
from safelight.table.texts import Dictionary, coded

_FAR = 1000
"""A match that names no category stands behind all that do."""


def make(gate: Gate, contents: Mapped, scratch: Scratch) -> tuple[dict[str, Array], dict[str, int]]:
    """Return the columns of this part, over the rows of the other one."""
    c = contents.columns
    scratch.others.append(contents)
    columns = _matches(gate, c, scratch)
    columns |= features(scratch, c, columns["known"], contents.numbers["stacks"])
    first = columns["order_first"] = scratch.array("order_first", "<i4", contents.numbers["rows"])
    stable_order(scratch, c["order_path"], lambda rows: steps(c, columns, rows), first)
    return columns, {"rows": contents.numbers["rows"]}


def _matches(gate: Gate, c: dict[str, Array], scratch: Scratch) -> dict[str, Array]:
    """Return what the matches that stand say: `known` and `category` by row, and each (row, set, method) once."""
    con, rows = gate.facts.con, len(c["names"])
    names = {
        name: [r[0] for r in con.execute(f'select distinct "{name}" from matches where "{name}" is not null order by 1').fetchall()]
        for name in ("set", "method", "category")
    }
    texts = {name: Dictionary(listed) for name, listed in names.items()}
    known, best = scratch.array("known", "u1", rows, 0), scratch.array("best", "<i8", rows, np.iinfo(np.int64).max)
    pairs, methods = scratch.growing("pairs", "<u8"), max(1, len(names["method"]))
    query = 'select sha256, "set", "as", method, distance, category from judged where stands'
    for batch in con.sql(query).to_arrow_reader(PIECE):
        t = pa.Table.from_batches([batch])
        row = find(c["names"], c["heads"], None, fixed(t["sha256"], 32))
        scratch.worked(len(row))
        inside = np.flatnonzero(row >= 0)
        row, t = row[inside], t.take(pa.array(inside))
        as_ = _classes(t["as"])
        _least(known, row, as_)
        code = {name: texts[name].encode(t[name]).astype(np.int64) for name in names}
        illegal = as_ == KNOWN.index("illegal")
        said = np.where(code["category"] >= 0, numbers(t["distance"], "<i8", 0), _FAR) << 32 | (code["category"] + 1)
        np.minimum.at(best, row[illegal], said[illegal])
        set_ = len(names["set"]) * row + code["set"]
        pairs.add((set_ * methods + code["method"]).astype(np.uint64))
    category = scratch.array("category.code", "<i4", rows)
    for part in scratch.pieces(rows):
        category[part] = np.where(best[part] == np.iinfo(np.int64).max, -1, (best[part] & 0xFFFFFFFF) - 1)
    return {"known": known, **coded(scratch, "category", category, names["category"]), **_pairs(pairs.close(), names, scratch)}


def _classes(as_: Any) -> Array:
    """Return the number of `KNOWN` of each match; what a set is taken as beyond these counts as known."""
    number = {name: n for n, name in enumerate(KNOWN) if n}
    encoded = as_.combine_chunks().dictionary_encode()
    local = np.array([number.get(x, KNOWN.index("known")) for x in encoded.dictionary.to_pylist()], np.uint8)
    found: Array = local[encoded.indices.to_numpy(zero_copy_only=False)]
    return found


def _least(known: Array, row: Array, as_: Array) -> None:
    """Let each row count as the least number that a match says; 0 is none."""
    order = np.lexsort([as_, row])
    own, first = np.unique(row[order], return_index=True)
    said = as_[order][first]
    known[own] = np.where(known[own] == 0, said, np.minimum(known[own], said))


def _pairs(found: Array, names: dict[str, list[str]], scratch: Scratch) -> dict[str, Array]:
    sets, methods = np.uint64(max(1, len(names["set"]))), np.uint64(max(1, len(names["method"])))
    row, set_, method = (scratch.growing(name, "<i4") for name in ("match_row", "set.code", "method.code"))
    for piece in distinct(found, scratch):
        row.add(piece // methods // sets)
        set_.add(piece // methods % sets)
        method.add(piece % methods)
    return {
        "match_row": row.close(),
        **coded(scratch, "match_set", set_.close(), names["set"]),
        **coded(scratch, "match_method", method.close(), names["method"]),
    }

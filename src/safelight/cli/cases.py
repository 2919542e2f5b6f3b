"""All cases of a unit: find them, and ask each, within its gate, which exhibits hold what was asked about."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from safelight.access import Gate
from safelight.match.lookup import Asked

ROWS = 50_000
"""Pictures of a case that are compared at once."""


class Held(NamedTuple):
    """One item of a case that a query hits. `query` is the number of the query in its batch."""

    query: int
    case: str
    exhibit: str
    item: str
    state: str
    path: str
    method: str
    distance: int
    transform: str
    form: str


def cases_below(folder: Path) -> list[Path]:
    """Return the case folders in a folder, at any depth, in order; a case is not looked into. Raise `Usage` where there is none."""
    from safelight.errors import Usage

    found = []
    for place, folders, files in os.walk(folder):
        if "case.toml" in files:
            found.append(Path(place))
            folders.clear()
        folders.sort()
    if not found:
        raise Usage(f"there is no case in {folder}")
    return sorted(found)


def held(gate: Gate, batch: Asked, distance: int) -> Iterator[Held]:
    """Yield the visible items of a case that a batch hits, by query, method, distance and place."""
    import pyarrow as pa

    con = gate.facts.con
    con.execute("create or replace temp table hits (query bigint, sha256 blob, method text, distance int, transform text, form text)")
    for method, (numbers, values) in batch.values.items():
        if method == "pdq":
            _near(gate, numbers, values, distance)
            continue
        raw = pa.FixedSizeBinaryArray.from_buffers(pa.binary(values.shape[1]), len(values), [None, pa.py_buffer(values)]).cast(pa.binary())
        con.register("asked", pa.table({"query": numbers, "value": raw}))
        con.execute(
            f"insert into hits select distinct a.query, c.sha256, '{method}', 0, 'identity', 'full' from asked a join contents c on c.{method} = a.value"
        )
        con.unregister("asked")
    cursor = con.execute(
        """select h.query, i.exhibit, lower(hex(i.item_id)), i.state, i.path, h.method, h.distance, h.transform, h.form
        from (select * from hits qualify row_number() over (partition by query, sha256, method order by distance, form, transform) = 1) h
        join visible i using (sha256) order by h.query, h.method, h.distance, i.exhibit, i.source, i.ordinal, i.member"""
    )
    while rows := cursor.fetchmany(10_000):
        for query, *rest in rows:
            yield Held(query, str(gate.case.folder), *rest)


def _near(gate: Gate, numbers: Any, values: Any, distance: int) -> None:
    """Add the pictures of a case that are near a PDQ hash: the least distance of all their forms and turns."""
    import pyarrow as pa

    from safelight.match.pdq import QUALITY, join_batches
    from safelight.match.pictures import PICTURE_COLUMNS, Queries
    from safelight.records import FORMS, TRANSFORMS

    visible = "sha256 in (select sha256 from visible where sha256 is not null)"
    reader = gate.facts.con.cursor().sql(f"select {', '.join(PICTURE_COLUMNS)} from pictures where pdq is not null and {visible}")
    for batch in reader.to_arrow_reader(ROWS):
        pictures = Queries(batch, QUALITY)
        for query, entry, bits in join_batches(values, pictures.hashes, distance):
            cost = (bits.astype(np.int64) * len(FORMS) + pictures.form[entry]) * len(TRANSFORMS) + pictures.slot[entry]
            order = np.lexsort((cost, pictures.picture[entry], query))
            q, p, c = query[order], pictures.picture[entry][order], cost[order]
            first = np.ones(len(q), bool)
            first[1:] = (q[1:] != q[:-1]) | (p[1:] != p[:-1])
            rest, slot = np.divmod(c[first], len(TRANSFORMS))
            least, form = np.divmod(rest, len(FORMS))
            names = pictures.names[p[first]]
            raw = [n.tobytes() for n in names]
            table = {
                "query": numbers[q[first]],
                "sha256": pa.array(raw, pa.binary()),
                "method": pa.array(["pdq"] * len(raw), pa.string()),
                "distance": pa.array(least, pa.int32()),
                "transform": pa.array([TRANSFORMS[n] for n in slot.tolist()], pa.string()),
                "form": pa.array([FORMS[n] for n in form.tolist()], pa.string()),
            }
            gate.facts.con.register("near", pa.table(table))
            gate.facts.con.execute("insert into hits select * from near")
            gate.facts.con.unregister("near")

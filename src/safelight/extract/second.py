"""Which listed items the second look opens: for each picture of an exhibit the first place where it can be read again."""

from __future__ import annotations

from bisect import bisect_right

import pyarrow.parquet as pq

from safelight.case import Case, Exhibit
from safelight.facts.layout import Layout
from safelight.facts.reader import connect


def wanted_items(case: Case, exhibit: Exhibit) -> dict[int, tuple[int, ...]]:
    """Return by listed shard the ordinals of the items to look at, ascending; shards without any are left out.

    Pictures embedded in pictures (thumbnails, previews) are not looked at: what holds them is.
    """
    layout = Layout(case.folder)
    tables = layout.tables(exhibit.key, "everything")
    items, pictures = (sorted(str(p) for p in tables.glob(f"{table}-*.parquet")) for table in ("items", "pictures"))
    if not items or not pictures:
        return {}
    found = connect(case.folder).execute(
        """
        select distinct ordinal from (
            select i.sha256, i.ordinal from read_parquet($items) i semi join read_parquet($pictures) p using (sha256)
            where i.type <> 'thumbnail'
            qualify row_number() over (partition by i.sha256 order by i.ordinal, i.member) = 1
        ) order by ordinal
        """,
        {"items": items, "pictures": pictures},
    )
    starts = [_first_ordinal(path) for path in layout.list_shards(exhibit.key)]
    shards: dict[int, list[int]] = {}
    while rows := found.fetchmany(50_000):
        for (ordinal,) in rows:
            shards.setdefault(bisect_right(starts, ordinal) - 1, []).append(ordinal)
    return {n: tuple(rows) for n, rows in sorted(shards.items())}


def _first_ordinal(path: object) -> int:
    """Return the first ordinal of a listed shard, from the statistics of the file."""
    column = pq.read_table(path, columns=["ordinal"]).column(0)
    return int(column[0].as_py()) if len(column) else 0

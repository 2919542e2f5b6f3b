"""Links by panels: the PDQ of a rectangle inside one picture of the case against the PDQ of all others, in eight turns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from safelight.facts.reader import Facts
from safelight.match.columns import fixed
from safelight.match.pdq import DISTANCE, QUALITY, join
from safelight.records import TRANSFORMS

MIRRORING = frozenset(["flipx", "flipy", "flipplus1", "flipminus1"])
LINKS = 64
"""Links of one picture at most, the nearest first: a rectangle that a whole case holds (a keyboard) is not linked with all of it."""


def panel_links(facts: Facts) -> Iterator[tuple[Any, ...]]:
    """Yield rows of `records.ALIKE`: one for each two pictures, the one with the panel and the one that is shown in it."""
    panels = facts.con.sql(
        f"""select p.*, f.width, f.height from panels p join pictures f using (sha256)
        where p.pdq_quality >= {QUALITY} order by p.sha256, p.number"""
    ).to_arrow_table()
    if not panels.num_rows:
        return
    pictures = facts.con.sql(
        f"select sha256, pdq, width, height from pictures where pdq is not null and pdq_quality >= {QUALITY} order by sha256"
    ).to_arrow_table()
    hashes, _ = fixed(panels.column("pdq_transforms").combine_chunks().flatten(), 32)
    known, _ = fixed(pictures.column("pdq"), 32)
    query, entry, bits = join(hashes, known, DISTANCE)
    slots = len(TRANSFORMS)
    nearest: dict[tuple[bytes, bytes], tuple[int, int, int]] = {}
    names, others = panels.column("sha256").to_pylist(), pictures.column("sha256").to_pylist()
    for q, e, d in zip(query.tolist(), entry.tolist(), bits.tolist(), strict=True):
        pair, found = (names[q // slots], others[e]), (d, q, e)
        if pair[0] != pair[1] and (pair not in nearest or found < nearest[pair]):
            nearest[pair] = found
    links: dict[bytes, int] = {}
    for (name, other), (d, q, e) in sorted(nearest.items(), key=lambda n: (n[1][0], n[0])):
        links[name] = links.get(name, 0) + 1
        if links[name] <= LINKS:
            yield _row(
                name, other, d, TRANSFORMS[q % slots], panels.slice(q // slots, 1).to_pylist()[0], pictures.slice(e, 1).to_pylist()[0]
            )


def _row(name: bytes, other: bytes, bits: int, transform: str, panel: dict[str, Any], picture: dict[str, Any]) -> tuple[Any, ...]:
    share = round(panel["panel_width"] * panel["panel_height"] / max(1, panel["width"] * panel["height"]), 4)
    box = ",".join(str(panel[f"panel_{side}"]) for side in ("left", "top", "width", "height"))
    whole = f"0,0,{picture['width']},{picture['height']}"
    head, tail = ("panel",), (transform in MIRRORING, None, None, None, bits)
    if name < other:
        return (name, other, *head, "b-in-a", *tail, share, 1.0, box, whole, None)
    return (other, name, *head, "a-in-b", *tail, 1.0, share, whole, box, None)

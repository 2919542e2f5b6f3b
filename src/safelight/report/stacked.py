"""The stacks of a case within the view of the report, and one protected picture of each, where they are asked for."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path
from typing import Any

import msgspec

from safelight.access import Gate
from safelight.durable import digest_file
from safelight.facts.layout import Layout

LARGEST = 10
"""Stacks that are printed of each list."""
RENDITION_BYTES = 1 << 18
"""Most bytes of one protected rendition; those that Safelight makes have a few thousand."""


class Shown(msgspec.Struct, kw_only=True):
    """One protected picture: its content, how many contents of its stack are in view and known illegal or new, JPEG as base64."""

    sha256: bytes
    stack: bytes
    contents: int
    illegal: int
    new: int
    jpeg: str


class Gallery(msgspec.Struct, kw_only=True):
    """The pictures of one class. `stacks`: how many stacks there are; `refused`: renditions that are not what they were."""

    name: str
    stacks: int
    pictures: list[Shown] = msgspec.field(default_factory=list)
    without: int = 0
    refused: int = 0


def summary(gate: Gate) -> dict[str, Any]:
    """Return how many stacks of which size there are, and those that hold known illegal and new pictures together."""
    gate.facts.con.execute(
        """
        create or replace temp table piles as
        select s.stack, count(*) contents, count(*) filter (k.known = 'illegal') illegal, count(*) filter (k.known = 'new') as new
        from stacks s join known_as k using (sha256) group by s.stack
        """
    )
    (totals,) = gate.rows(
        """
        select count(*) stacks, coalesce(sum(contents), 0)::bigint pictures, count(*) filter (illegal > 0) illegal, count(*) filter ("new" > 0) as "new",
            count(*) filter ("new" = contents) only_new, count(*) filter (illegal > 0 and "new" > 0) mixed,
            count(*) filter (contents > 1 and illegal = 0 and "new" > 0) large,
            coalesce(sum("new") filter (illegal > 0), 0)::bigint mixed_pictures from piles
        """
    )
    sizes = gate.rows(
        """
        select case when contents = 1 then '1' when contents <= 5 then '2 to 5' when contents <= 20 then '6 to 20'
            when contents <= 100 then '21 to 100' else 'more than 100' end as size, count(*) stacks, sum(contents)::bigint pictures
        from piles group by 1 order by min(contents)
        """
    )
    largest = f"order by contents desc, stack limit {LARGEST}"
    return {
        **totals,
        "sizes": sizes,
        "mixed_rows": gate.rows(f'select * from piles where illegal > 0 and "new" > 0 {largest}'),
        "large_rows": gate.rows(f'select * from piles where contents > 1 and illegal = 0 and "new" > 0 {largest}'),
    }


def galleries(gate: Gate, limit: int, packs: dict[Path, str]) -> list[Gallery]:
    """Return up to `limit` protected pictures, one a stack: of known illegal ones, then of stacks that hold new pictures only.

    `packs` gives the SHA-256 that the ledger knows of each pack of renditions; a pack that is not that is not shown from. Call
    `summary` first: it makes the table of stacks.
    """
    reader, found = _Packs(gate, packs), []
    for name, condition in (("illegal", "illegal > 0"), ("new", '"new" > 0 and illegal = 0')):
        (total,) = gate.rows(f"select count(*) stacks from piles where {condition}")
        gallery = Gallery(name=name, stacks=total["stacks"])
        for row in _one_each(gate, condition, name, limit):
            reader.add(gallery, row)
        limit -= len(gallery.pictures)
        found.append(gallery)
    return found


def _one_each(gate: Gate, condition: str, known: str, limit: int) -> list[dict[str, Any]]:
    """Return for each stack the picture of the class that is shown first (the largest, sharpest), the largest stacks first."""
    return gate.rows(
        f"""
        with piled as (select * from piles where {condition} order by contents desc, stack limit {limit})
        select x.stack, x.contents, x.illegal, x."new", s.sha256, p.pack, p.pack_exhibit, p.protected_at, p.protected_size
        from piled x join stacks s using (stack) join known_as k using (sha256) left join pictures p using (sha256)
        where k.known = $known
        qualify row_number() over (partition by x.stack order by p.protected_size is null, s.rank) = 1
        order by x.contents desc, x.stack
        """,
        {"known": known},
    )


class _Packs:
    """Reads protected renditions from the packs of a case, within bounds and from unchanged packs only."""

    def __init__(self, gate: Gate, digests: dict[Path, str]) -> None:
        self._layout, self._digests = Layout(gate.case.folder), digests
        self._sound: dict[Path, bool] = {}

    def add(self, gallery: Gallery, row: dict[str, Any]) -> None:
        """Add the picture of a row to the gallery, or count why it is not there."""
        if row["pack"] is None or not row["protected_size"]:
            gallery.without += 1
            return
        jpeg = self._read(
            self._layout.pack(str(row["pack_exhibit"]), int(row["pack"])), int(row["protected_at"]), int(row["protected_size"])
        )
        if jpeg is None:
            gallery.refused += 1
            return
        numbers = {name: int(row[name]) for name in ("contents", "illegal", "new")}
        gallery.pictures.append(Shown(sha256=row["sha256"], stack=row["stack"], jpeg=b64encode(jpeg).decode(), **numbers))

    def _read(self, pack: Path, at: int, size: int) -> bytes | None:
        if at < 0 or not 0 < size <= RENDITION_BYTES or not self._is_sound(pack):
            return None
        with pack.open("rb") as file:
            file.seek(at)
            jpeg = file.read(size)
        return jpeg if len(jpeg) == size and jpeg.startswith(b"\xff\xd8\xff") and jpeg.endswith(b"\xff\xd9") else None

    def _is_sound(self, pack: Path) -> bool:
        if pack not in self._sound:
            known = self._digests.get(pack)
            self._sound[pack] = known is not None and pack.is_file() and digest_file(pack) == known
        return self._sound[pack]

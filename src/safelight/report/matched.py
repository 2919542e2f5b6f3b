"""What the hash sets gave: each set with what it can match, then the contents that count as known illegal, with places and matches."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from safelight.access import Gate
from safelight.match.library import SetInfo
from safelight.report.history import History

CONTENTS = 500
"""Known illegal contents that are printed."""
PLACES = 20
"""Places of one content that are printed."""
MATCHES = 20
"""Matches of one content that are printed."""


def hash_sets(gate: Gate, past: History, sets: Iterable[SetInfo]) -> list[dict[str, Any]]:
    """Return each matched set: what it is, entries that can be matched by which method, contents and items that it gave."""
    shelf = {(s.name, s.version, s.source_sha256): s for s in sets}
    gave: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in gate.rows(
        """
        select m."set", m.version, m.method, count(distinct m.sha256) contents, count(*) matches
        from matches m join known_as using (sha256) group by all order by all
        """
    ):
        gave.setdefault((row["set"], row["version"]), []).append(row)
    found = []
    for m in sorted(past.matched.values(), key=lambda m: (m["as"] != "illegal", m["set"], m["version"])):
        info = shelf.get((m["set"], m["version"], m["source_sha256"]))
        found.append({**m, "info": info, "gave": gave.get((m["set"], m["version"]), [])})
    return found


def illegal(gate: Gate) -> list[dict[str, Any]]:
    """Return up to `CONTENTS` contents that count as known illegal, equal ones first, then by distance, then in canonical order."""
    gate.facts.con.execute(
        f"""
        create or replace temp table chosen as
        with hits as (
            select sha256, min((method = 'pdq', distance)) as distance from judged
            where stands and "as" = 'illegal' and sha256 in (select sha256 from known_as where known = 'illegal') group by sha256
        ), first_place as (
            select sha256, min((exhibit, source, ordinal, member)) as place from shown where sha256 in (select sha256 from hits) group by sha256
        )
        select row_number() over (order by distance, place, sha256) as number, sha256
        from hits join first_place using (sha256) order by number limit {CONTENTS}
        """
    )
    contents = gate.rows(
        """
        select n.number, n.sha256, k.doubtful, c.md5, c.size, c.media_type, p.width, p.height, p.complete, p.exif_make, p.exif_model, p.exif_serial,
            p.exif_taken, p.exif_taken_basis, p.exif_gps_lat, p.exif_gps_lon, s.size as stack_size
        from chosen n join known_as k using (sha256) left join contents c using (sha256) left join pictures p using (sha256)
        left join stacks s using (sha256) order by n.number
        """
    )
    places, matches = _grouped(_places(gate)), _grouped(_matches(gate))
    return [{**c, "places": places.get(c["sha256"], []), **_folded(matches.get(c["sha256"], []))} for c in contents]


def _folded(matches: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the matches with those of one entry by several digests as one, and how many are left out."""
    by_entry: dict[tuple[Any, ...], dict[str, Any]] = {}
    for m in matches:
        key = (m["set"], m["version"], m["entry"], m["category"], m["method"] == "pdq" and (m["transform"], m["form"], m["distance"]))
        by_entry.setdefault(key, {**m, "methods": []})["methods"].append(m["method"])
    left_out = matches[0]["in_all"] - len(matches) if matches else 0
    return {"matches": list(by_entry.values()), "matches_left_out": left_out}


def _places(gate: Gate) -> list[dict[str, Any]]:
    return gate.rows(
        f"""
        select i.sha256, i.item_id, i.exhibit, i.source, i.path, i.origin, i.state, i.mtime, i.atime, i.ctime, i.btime, i.time_basis, i.note, i.size,
            count(*) over (partition by i.sha256) as in_all
        from shown i join chosen using (sha256)
        qualify row_number() over (partition by i.sha256 order by i.exhibit, i.source, i.ordinal, i.member) <= {PLACES}
        order by i.exhibit, i.source, i.ordinal, i.member
        """
    )


def _matches(gate: Gate) -> list[dict[str, Any]]:
    order = """m."as" <> 'illegal', m.distance, m."set", m.version, m.method, m.entry, m.transform"""
    return gate.rows(
        f"""
        select m.*, count(*) over (partition by m.sha256) as in_all from judged m join chosen using (sha256)
        qualify row_number() over (partition by m.sha256 order by {order}) <= {MATCHES} order by {order}
        """
    )


def _grouped(rows: list[dict[str, Any]]) -> dict[bytes, list[dict[str, Any]]]:
    found: dict[bytes, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["sha256"], []).append(row)
    return found

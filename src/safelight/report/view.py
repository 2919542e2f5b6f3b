"""What of a case the report looks at: the items within scope (and of one exhibit, where asked), and what each content counts as.

Everything below works on these two tables, `shown` and `known_as`, so that no section can show what another may not.
"""

from __future__ import annotations

from typing import Any

from safelight.access import COUNTS_AS, Gate, quoted
from safelight.report.wording import KNOWN


def prepare(gate: Gate, exhibit: str | None) -> None:
    """Make the tables `shown` (items) and `known_as` (sha256, known, doubtful: in an illegal and in an irrelevant or known set)."""
    con = gate.facts.con
    only = f"where exhibit = {quoted(exhibit)}" if exhibit else ""
    con.execute(f"create or replace temp view shown as select * from visible {only}")
    con.execute(
        f"""
        create or replace temp table known_as as
        select s.sha256, {COUNTS_AS} as known,
            coalesce(bool_or(m.stands and m."as" = 'illegal') and bool_or(m.stands and m."as" in ('irrelevant', 'known')), false) as doubtful
        from (select distinct sha256 from shown where sha256 is not null) s left join judged m using (sha256) group by s.sha256
        """
    )


def totals(gate: Gate) -> dict[str, int]:
    """Return the counts of items, contents, pictures and bytes."""
    (items,) = gate.rows(
        """
        select count(*) items, count(*) filter (state in ('deleted', 'orphan', 'overwritten')) deleted, count(*) filter (member > 0) members,
            count(sha256) with_content, coalesce(sum(size) filter (sha256 is not null), 0)::bigint bytes,
            count(*) filter (readable and sha256 is null) unread
        from shown
        """
    )
    (contents,) = gate.rows(
        "select count(*) contents, count(*) filter (kind = 'image') pictures, count(*) filter (doubtful) doubtful "
        "from known_as join contents using (sha256)"
    )
    return {**items, **contents}


def counts(gate: Gate) -> dict[str, Any]:
    """Return contents, pictures and items by what they count as: in total and by exhibit."""
    total = {
        r["known"]: {**r, "items": 0}
        for r in gate.rows(
            "select known, count(*) contents, count(*) filter (kind = 'image') pictures from known_as left join contents using (sha256) group by 1"
        )
    }
    rows = gate.rows(
        """
        select p.exhibit, k.known, count(*) contents, count(*) filter (c.kind = 'image') pictures, sum(p.items)::bigint as items
        from (select exhibit, sha256, count(*) as items from shown where sha256 is not null group by 1, 2) p
        join known_as k using (sha256) left join contents c using (sha256) group by all order by p.exhibit
        """
    )
    by_exhibit: dict[str, dict[str, dict[str, Any]]] = {}
    for row in rows:
        by_exhibit.setdefault(row["exhibit"], {})[row["known"]] = row
        total[row["known"]]["items"] += row["items"]
    empty = {"contents": 0, "pictures": 0, "items": 0}
    return {
        "total": {k: total.get(k, empty) for k in KNOWN},
        "exhibits": {label: {k: found.get(k, empty) for k in KNOWN} for label, found in by_exhibit.items()},
    }


def out_of_scope(gate: Gate, exhibit: str | None) -> dict[str, int]:
    """Return per exhibit how many items its scope hides."""
    if not gate.scoped:
        return {}
    only = f"where exhibit = {quoted(exhibit)}" if exhibit else ""
    rows = gate.rows(
        f"""
        select a.exhibit, a.n - coalesce(v.n, 0) as hidden
        from (select exhibit, count(*) n from items {only} group by 1) a left join (select exhibit, count(*) n from shown group by 1) v using (exhibit)
        """
    )
    return {r["exhibit"]: int(r["hidden"]) for r in rows if r["hidden"]}


def floods(gate: Gate) -> list[dict[str, Any]]:
    """Return the entries whose matches by look are quarantined, with the contents in view that they hit."""
    return gate.rows(
        """
        select j."set", j.version, j.entry, count(distinct j.sha256) as contents from judged j join known_as using (sha256)
        where j.flood is not null group by all order by contents desc, 1, 2, 3 limit 100
        """
    )


def deconfirmed(gate: Gate) -> list[dict[str, Any]]:
    """Return the entries that a person deconfirmed, with the contents in view that they hit, who said so and why."""
    return gate.rows(
        """
        select j."set", j.version, j.entry, j.deconfirmed, j.deconfirmed_by, count(distinct j.sha256) as contents
        from judged j join known_as using (sha256) where j.deconfirmed is not null group by all order by 1, 2, 3, 4 limit 100
        """
    )

"""What a case holds, as one structure: `status`, `report` and the last line of `run` print it."""

from __future__ import annotations

from typing import Any

from safelight.access import COUNTS_AS, Gate
from safelight.case import Case
from safelight.facts.reader import MEMORY
from safelight.match.pdq import QUALITY


def totals_line(case: Case) -> tuple[str, int]:
    """Return one line on the whole case, and the number of problems."""
    s = summarise(Gate(case, memory=MEMORY))
    t = s["totals"]
    problems = sum(s["problems"].values())
    known = ", ".join(f"{count} {name}" for name, count in s["known"].items()) or "none known"
    return f"{t['items']} items, {t['contents']} contents ({known}, {t['new']} new), {problems} problems", problems


def summarise(gate: Gate, exhibit: str | None = None) -> dict[str, Any]:
    """Return the figures of a case (or of one exhibit) within its scope."""
    where, names = ("where exhibit = $exhibit", {"exhibit": exhibit}) if exhibit else ("", None)
    con = gate.facts.con
    con.execute(
        "create or replace temp table seen as select distinct sha256 from visible where sha256 is not null "
        + where.replace("where", "and"),
        names,
    )
    con.execute(
        f"""
        create or replace temp table verdict as
        select s.sha256, {COUNTS_AS} as known from seen s left join judged m using (sha256) group by s.sha256
        """
    )
    return {
        "totals": _totals(gate, where, names),
        "known": _known(gate),
        "kinds": _pairs(gate, "select kind, count(*) from seen join contents using (sha256) group by 1 order by 2 desc, 1"),
        "states": _pairs(gate, f"select state, count(*) from visible {where} group by 1 order by 2 desc, 1", names),
        "problems": _pairs(gate, f"select kind, count(*) from {_problems(gate)} {where} group by 1 order by 2 desc, 1", names),
        "floods": floods(gate),
        "deconfirmed": _pairs(
            gate, 'select "set", count(*) from judged where deconfirmed is not null and sha256 in (select sha256 from seen) group by 1'
        ),
        "low_information": _low_information(gate),
        "volumes": gate.rows(f"select * from volumes {where} order by exhibit, source, volume", names),
    }


def floods(gate: Gate) -> list[dict[str, Any]]:
    """Return the entries that hit too many contents by look: their matches are quarantined, each behind one line."""
    return gate.rows(
        """
        select j."set", j.version, j."as", j.entry, count(distinct j.sha256) as contents from judged j
        where j.flood is not null and j.sha256 in (select sha256 from seen) group by all order by contents desc, 1, 2, 4
        """
    )


def _low_information(gate: Gate) -> dict[str, int]:
    """Count pictures whose PDQ says little: below the quality gate (not matched by look), all bits equal, or one hash for so many
    contents that it is that of a template or a blank page (matched; said here)."""
    (row,) = gate.rows(
        f"""
        with own as (
            select pdq, pdq_quality, count(*) over (partition by pdq) as same from pictures where pdq is not null and sha256 in (select sha256 from seen)
        )
        select count(*) filter (pdq_quality < {QUALITY}) as "below the quality gate",
            count(*) filter (lower(hex(pdq)) in ('{"00" * 32}', '{"ff" * 32}')) as "all bits equal",
            count(*) filter (pdq_quality >= {QUALITY} and same > {gate.flood}) as "one hash for many contents"
        from own
        """
    )
    return {name: int(count) for name, count in row.items()}


def _problems(gate: Gate) -> str:
    """Return the problems within the scope: those of visible items, of volumes and of containers."""
    if not gate.scoped:
        return "problems"
    return "(select * from problems where item_id is null or item_id in (select item_id from visible))"


def _totals(gate: Gate, where: str, names: Any) -> dict[str, int]:
    (items,) = gate.rows(
        f"""
        select count(*) items, count(*) filter (state in ('deleted', 'orphan', 'overwritten')) deleted, count(*) filter (member > 0) members,
            count(sha256) with_content, coalesce(sum(size) filter (sha256 is not null), 0)::bigint bytes,
            count(*) filter (readable and sha256 is null) unread
        from visible {where}
        """,
        names,
    )
    (contents,) = gate.rows(
        """
        select count(*) contents, count(*) filter (c.kind = 'image') pictures, count(*) filter (v.known = 'new') as new,
            count(*) filter (v.known = 'new' and c.kind = 'image') new_pictures
        from seen join contents c using (sha256) join verdict v using (sha256)
        """
    )
    (stacks,) = gate.rows("select count(distinct stack) stacks, count(*) filter (size > 1) stacked from stacks join seen using (sha256)")
    return {**items, **contents, **stacks}


def _known(gate: Gate) -> dict[str, int]:
    return _pairs(
        gate,
        """
        select known, count(*) from verdict where known <> 'new' group by 1
        order by case known when 'illegal' then 1 when 'irrelevant' then 2 when 'known' then 3 else 4 end
        """,
    )


def _pairs(gate: Gate, query: str, names: Any = None) -> dict[str, int]:
    return {str(key): int(count) for key, count in (r.values() for r in gate.rows(query, names))}

"""The one gate for looking: everything that shows evidence to a person passes here.

It knows who looks and why, keeps each exhibit within its scope (an order's limits; default: all), and writes the row where the
law asks for one (Directive (EU) 2016/680, article 25: collection, alteration, consultation, disclosure, combination, erasure).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from safelight.case import Case, Scope
from safelight.errors import NotVerified, Refused
from safelight.facts.reader import QUERY_MEMORY, Facts

FLOOD = 1000
"""Contents that one entry may hit by look before its matches are quarantined; `flood` below `[policies]` in case.toml sets another number."""

COUNTS_AS = """
    case when bool_or(m.stands and m."as" = 'illegal') then 'illegal' when bool_or(m.stands and m."as" = 'other') then 'other'
         when bool_or(m.stands and m."as" = 'irrelevant') then 'irrelevant' when bool_or(m.stands) then 'known'
         when bool_or(m.flood is not null) then 'quarantined' when bool_or(m.deconfirmed is not null) then 'deconfirmed' else 'new' end
"""
"""What a content counts as, over its rows `m` of `judged`: illegal before other, irrelevant and known; what a person deconfirmed and
what is quarantined as a flood counts only where nothing else does."""

if TYPE_CHECKING:
    from safelight.decisions.reading import Decisions

EVENTS = ("collect", "change", "consult", "disclose", "combine", "erase")


class Gate:
    """Access of one person for one purpose to the facts of a case. `visible` is the items table within all scopes; `judged` are the
    matches with what the unit's library marks: `deconfirmed` (why) and `deconfirmed_by`, `flood` (contents that the entry hits, where
    there are too many), `stands` where neither is so. `where`: the scopes as a condition on an item and on the kind `c.kind` of its content."""

    def __init__(self, case: Case, purpose: str = "", memory: str = QUERY_MEMORY, library: str | None = None) -> None:
        self.case, self.purpose = case, purpose
        self.facts = Facts(case, memory)
        conditions = [_condition(e.label, e.source, e.scope) for e in case.exhibits()]
        self.where = " or ".join(c for c in conditions if c) or "false"
        scoped = any(e.scope != Scope() for e in case.exhibits())
        join = "left join contents c using (sha256)" if scoped else ""
        self.facts.con.execute(f"create view visible as select i.* from items i {join} where {self.where}")
        self.scoped = scoped
        self._decisions: Decisions | None = None
        self.flood = flood_of(case)
        self._judge(marks_of(library))

    def _judge(self, marked: list[tuple[str, str, int, str, str, str, str]]) -> None:
        import pyarrow as pa

        columns = list(zip(*marked, strict=True)) or [()] * 7
        types = (pa.string(), pa.string(), pa.int64(), pa.string(), pa.string(), pa.string(), pa.string())
        names = ("set", "version", "entry", "sha256", "why", "who", "at")
        self.facts.con.register("marks", pa.table({n: pa.array(list(c), t) for n, c, t in zip(names, columns, types, strict=True)}))
        within = "where method = 'pdq' and sha256 in (select sha256 from visible)" if self.scoped else "where method = 'pdq'"
        self.facts.con.execute(
            f"""
            create temp view floods as select "set", version, entry, count(distinct sha256) as contents
            from matches {within} group by all having contents > {self.flood}
            """
        )
        self.facts.con.execute(
            """
            create temp view judged as
            with marked as (
                select "set", version, entry, sha256, any_value(why) as why, any_value(who || ', ' || "at") as said_by from marks group by all
            )
            select m.*, coalesce(o.why, a.why) as deconfirmed, coalesce(o.said_by, a.said_by) as deconfirmed_by,
                case when m.method = 'pdq' then f.contents end as flood,
                coalesce(o.why, a.why) is null and (m.method <> 'pdq' or f.contents is null) as stands
            from matches m
            left join (select * from marked where sha256 <> '') o
                on (o."set", o.version, o.entry) = (m."set", m.version, m.entry) and o.sha256 = lower(hex(m.sha256))
            left join (select * from marked where sha256 = '') a on (a."set", a.version, a.entry) = (m."set", m.version, m.entry)
            left join floods f on (f."set", f.version, f.entry) = (m."set", m.version, m.entry)
            """
        )

    def with_decisions(self) -> Decisions:
        """Make the table `decided` of what people decided, and return the decisions."""
        from safelight.decisions.reading import Decisions

        if self._decisions is None:
            self._decisions = Decisions(self.case)
            self._decisions.table(self.facts.con)
        return self._decisions

    def log(self, event: str, command: str, **facts: Any) -> None:
        """Write the row of an access to the ledger, before anything is shown."""
        if event not in EVENTS:
            raise ValueError(f"unknown event {event!r}")
        purpose = {"purpose": self.purpose} if self.purpose else {}
        self.case.ledger.append(event, command=command, **purpose, **facts)

    def rows(self, query: str, parameters: Any = None) -> list[dict[str, Any]]:
        """Return rows of a query over `visible` and the other tables."""
        return self.facts.rows(query, parameters)

    def items(self, name: str) -> list[dict[str, Any]]:
        """Return the visible items that a name means: an item id, a digest (MD5, SHA-1, SHA-256), or the beginning of one
        (8 digits or more). Raise `Refused` where it means none."""
        text = name.strip().lower()
        if len(text) < 8 or set(text) - set("0123456789abcdef"):
            raise Refused(f"{name!r} is not an item id or digest: give at least 8 hexadecimal digits (`safelight find` prints them)")
        found = self.rows(
            """
            select i.* from visible i left join contents k using (sha256)
            where starts_with(lower(hex(i.item_id)), $n) or starts_with(lower(hex(i.sha256)), $n)
               or lower(hex(k.md5)) = $n or lower(hex(k.sha1)) = $n
            order by i.exhibit, i.ordinal, i.member limit 10000
            """,
            {"n": text},
        )
        if not found:
            raise Refused(f"nothing in this case (within its scope) is named {name!r}. Look with `safelight find`.")
        return found


def flood_of(case: Case) -> int:
    """Return how many contents one entry may hit by look in this case."""
    return max(1, int(case.settings.get("policies", {}).get("flood", FLOOD)))


def marks_of(library: str | None) -> list[tuple[str, str, int, str, str, str, str]]:
    """Return the negative list of the library as rows: set, version, entry, SHA-256 or empty, why, who, at."""
    from safelight.ledger import LedgerError
    from safelight.match.deconfirmed import NegativeList
    from safelight.match.library import Library

    try:
        return list(NegativeList(Library(library)).rows())
    except (LedgerError, ValueError, KeyError) as e:
        raise NotVerified(f"the negative list of the library cannot be read ({e}). Restore LIBRARY/deconfirmed from a copy.") from None


def _condition(label: str, source: int, scope: Scope) -> str:
    """Return the SQL condition under which a row of this source is visible."""
    parts = [f"exhibit = {quoted(label)} and source = {source}"]
    if scope.paths:
        parts.append("(" + " or ".join(f"('/' || path) glob {quoted(_rooted(g))} or path glob {quoted(g)}" for g in scope.paths) + ")")
    if scope.kinds:
        parts.append("c.kind in (" + ", ".join(quoted(k) for k in scope.kinds) + ")")
    if scope.since:
        parts.append(f"mtime >= epoch_ns({quoted(scope.since)}::timestamp)")
    if scope.until:
        parts.append(f"mtime < epoch_ns({quoted(scope.until)}::timestamp + interval 1 day)")
    return "(" + " and ".join(parts) + ")"


def _rooted(pattern: str) -> str:
    return pattern if pattern.startswith(("/", "*")) else "/" + pattern


def quoted(text: str) -> str:
    """Return a text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"

"""The one gate for looking: everything that shows evidence to a person passes here.

It knows who looks and why, keeps each exhibit within its scope (an order's limits; default: all), and writes the row where the
law asks for one (Directive (EU) 2016/680, article 25: collection, alteration, consultation, disclosure, combination, erasure).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from safelight.case import Case, Scope
from safelight.errors import Refused
from safelight.facts.reader import QUERY_MEMORY, Facts

if TYPE_CHECKING:
    from safelight.decisions.reading import Decisions

EVENTS = ("collect", "change", "consult", "disclose", "combine", "erase")


class Gate:
    """Access of one person for one purpose to the facts of a case. `visible` is the items table within all scopes."""

    def __init__(self, case: Case, purpose: str = "", memory: str = QUERY_MEMORY) -> None:
        self.case, self.purpose = case, purpose
        self.facts = Facts(case, memory)
        conditions = [_condition(e.label, e.source, e.scope) for e in case.exhibits()]
        where = " or ".join(c for c in conditions if c) or "false"
        scoped = any(e.scope != Scope() for e in case.exhibits())
        join = "left join contents c using (sha256)" if scoped else ""
        self.facts.con.execute(f"create view visible as select i.* from items i {join} where {where}")
        self.scoped = scoped
        self._decisions: Decisions | None = None

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

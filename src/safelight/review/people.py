"""What one person sees of what was decided: their own votes always, those of others only after their own (blind), final ones always.

A supervisor sees all votes, since disputes are settled there. Proposals come from the sets that the unit took as illegal.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from safelight.decisions.log import Log
from safelight.decisions.standing import DISPUTED, FINAL, FLAG_NAMES, INDICATIVE, SUPERVISOR, UNDECIDED
from safelight.errors import Usage
from safelight.table.table import KNOWN, Array, Mask, Table

PROPOSED = 1
_STATUS = np.zeros(4, np.int8)
_STATUS[[UNDECIDED, INDICATIVE, FINAL, DISPUTED]] = [0, 2, 3, 4]


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """A user in a role, over the log of decisions. Arrays are by row of a table."""

    user: str
    role: str
    log: Log

    @property
    def is_supervisor(self) -> bool:
        return self.role == SUPERVISOR

    def mine(self, table: Table, rows: Any = slice(None)) -> Array:
        """Return the number of my category; 0 where I have not voted."""
        with self.log.lock:
            return table.by_row(self.log.standing.votes_of(self.user), rows)

    def category(self, table: Table, rows: Any = slice(None)) -> Array:
        """Return the number of the category that stands, as far as I may see it; 0 for none."""
        with self.log.lock:
            standing = self.log.standing
            standing.grow()
            found = table.by_row(standing.standing, rows)
            if self.is_supervisor or self.log.policy.votes == 1:
                return found
            visible = (table.by_row(standing.votes_of(self.user), rows) > 0) | (table.by_row(standing.status, rows) == FINAL)
            return np.where(visible, found, 0)

    def status(self, table: Table, rows: Any = slice(None)) -> Array:
        """Return the status as a number into `filters.STATUSES`."""
        with self.log.lock:
            self.log.standing.grow()
            found = table.by_row(self.log.standing.status, rows)
        if (found > 0).any():
            found = _STATUS[found]
        illegal = table.known[rows] == KNOWN.index("illegal")
        found[(found == 0) & illegal] = PROPOSED
        return found

    def category_numbers(self, codes: list[str]) -> list[int]:
        """Return the numbers of categories; `none` is 0."""
        known = {c: n + 1 for n, c in enumerate(self.log.standing.codes)} | {"none": 0}
        if unknown := [c for c in codes if c not in known]:
            raise Usage(f"category: {unknown[0]!r} is none of {', '.join(known)}")
        return [known[c] for c in codes]

    def flags(self, table: Table, rows: Any = slice(None)) -> Array:
        """Return the flags as bits."""
        with self.log.lock:
            self.log.standing.grow()
            return table.by_row(self.log.standing.flags, rows)

    def flag_bits(self, names: list[str]) -> int:
        if unknown := [n for n in names if n not in FLAG_NAMES]:
            raise Usage(f"flag: {unknown[0]!r} is none of {', '.join(FLAG_NAMES)}")
        return sum(1 << FLAG_NAMES.index(n) for n in set(names))

    def tagged(self, table: Table, tags: list[str]) -> Mask:
        wanted, found = set(tags), np.zeros(table.rows, bool)
        with self.log.lock:
            numbers = np.array([n for n, has in self.log.standing.tags.items() if has & wanted], np.int64)
        rows = table.row_of(numbers)
        found[rows[rows >= 0]] = True
        return found

    def proposed(self, table: Table, rows: Any = slice(None)) -> Array:
        """Return the number of the category that an illegal set states in the scheme of the case; 0 where none does."""
        scheme = self.log.policy.scheme
        numbers = np.zeros(len(table.category.names) + 1, np.uint8)
        for at, text in enumerate(table.category.names):
            name, _, code = text.rpartition(":")
            category = scheme.category(code) if name == scheme.name else None
            if category is not None and category.kind != "uncategorised":
                numbers[at] = self.log.standing.number(code)
        found: Array = np.where(table.known[rows] == KNOWN.index("illegal"), numbers[table.category.code[rows]], 0)
        return found

    def new_members(self, table: Table, rows: Any = slice(None)) -> Mask:
        """Return what nobody has decided, in a stack of which somebody has decided a member."""
        with self.log.lock:
            self.log.standing.grow()
            given = table.by_row(self.log.standing.given)
            decided, here = np.flatnonzero(given), given[rows] == 0
        judged = np.zeros(table.stacks, bool)
        judged[table.stack[decided]] = True
        found: Mask = judged[table.stack[rows]] & here
        return found

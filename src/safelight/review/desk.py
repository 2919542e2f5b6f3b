"""One case as the server has it open: facts as tables, views, the log of decisions, the account of exposure.

The table that `run` made is mapped at the start, or made where it is missing; and again, in the background, when the ledger names new
facts. Only new views are made from it. Everything that shows evidence writes its row to the ledger first (`consult`), with the words of the filter.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import duckdb
import msgspec
import numpy as np

from safelight.access import EVENTS, Gate
from safelight.case import Case
from safelight.decisions.log import Log
from safelight.decisions.numbers import Numbers, digests
from safelight.decisions.policy import Policy, policy_of
from safelight.errors import Refused, Stop
from safelight.review import views as view_making
from safelight.review.errors import gone
from safelight.review.exposure import Exposure
from safelight.review.filters import Filter, Lookup, Selection, words
from safelight.review.kept import KEPT, Kept
from safelight.review.links import linked
from safelight.review.order import Ranking
from safelight.review.people import Person
from safelight.review.progress import Tail
from safelight.review.renditions import Packs
from safelight.review.views import View, Views
from safelight.table.step import ATTEMPTS, open_table, stored
from safelight.table.table import Array, Table

Reply = TypeVar("Reply")

HEAD_EVERY = 500
"""Events after which the head of the log is written to the ledger; and when the server ends."""
REST = 10.0
"""A new table is made at the earliest after so many times the time that the last one took."""


class Desk:
    """A case at work. Safe to be used by several threads."""

    def __init__(self, case: Case, purpose: str = "", library: str | None = None) -> None:
        self.case, self.purpose, self.library = case, purpose, library
        self.policy: Policy = policy_of(case)
        self.tail = Tail(case)
        facts = self.tail.facts()
        table = self._stored()
        self.log = Log(case.folder, self.policy, Numbers(table.names, table.heads) if table else None)
        check_head(case, self.log)
        self.exposure = Exposure(self.log.numbers)
        self.log.watch(self.exposure)
        self.kept = Kept()
        self.log.watch(self.kept)
        self.packs, self.views = Packs(case), Views()
        self._making = threading.Lock()
        self._ranking: Ranking | None = None
        self._facts, self._made, self._took = -1, 0.0, 0.0
        if table is not None:
            self._take(table, facts)
        self._headed = self.log.standing.last
        self.served: dict[str, int] = {"views": 0, "pictures": 0}

    def close(self) -> None:
        """Write what waits, put the head of the log into the ledger, and end."""
        self.write_head()
        self.log.close()
        self.packs.close()

    # facts

    def ranking(self) -> Ranking:
        """Return the newest table with its ranking; makes the first one."""
        found = self._ranking
        if found is not None:
            return found
        with self._making:
            if self._ranking is None:
                self._make()
            assert self._ranking is not None
            return self._ranking

    def _make(self) -> None:
        began = time.monotonic()
        facts = self.tail.facts()
        self._take(open_table(self.case, self.library), facts)
        self._took = time.monotonic() - began

    def _take(self, table: Table, facts: int) -> None:
        with self.log.lock:
            table.number_by(self.log.numbers)
            self.log.standing.grow()
        self._ranking, self._facts, self._made = Ranking(table), facts, time.monotonic()

    def _stored(self) -> Table | None:
        """Return the table that stands in the case; None where the first one is to be made, or it cannot be said what is to be in it."""
        try:
            return stored(self.case, self.library)
        except Stop:  # who asks for the first view is told
            return None

    def renew(self) -> bool:
        """Make a new table in the background where there are new facts; say whether the newest one is of all facts."""
        if self._ranking is None or self.tail.facts() == self._facts:
            return True
        if time.monotonic() - self._made > REST * self._took and self._making.acquire(blocking=False):
            threading.Thread(target=self._renew, name="table", daemon=True).start()
        return False

    def _renew(self) -> None:
        try:
            self._make()
        except Exception:  # facts that move faster than they are read: the next call tries again
            self._made = time.monotonic()
        finally:
            self._making.release()

    # views

    def person(self, user: str, role: str) -> Person:
        return Person(user=user, role=role, log=self.log)

    def view(self, name: str) -> View:
        """Return a view by its name; raise the answer 404 where it is gone."""
        found = self.views.get(name)
        if found is None:
            raise gone("view")
        return found

    def number_at(self, view: str, index: int, person: Person) -> int:
        """Return the number of the content that stands for a tile, or of what a filter relates to that this person kept."""
        if view.startswith(KEPT):
            name = self.kept.content(person.user, view, index)
            if name is None:
                raise gone("filter")
            return int(self.log.number(digests(name))[0])
        found = self.view(view)
        return int(found.table.number[found.head(index)])

    def lookup(self, person: Person) -> Lookup:
        """Return what finds the content that a filter of this person relates to."""
        return lambda view, index: self.number_at(view, index, person)

    def links(self, name: bytes) -> Array:
        """Return the numbers of the contents that the second look links with one."""
        others = self.ask(lambda gate: linked(gate, name))
        return self.log.number(digests(b"".join(others)))

    def select(self, person: Person, wanted: Filter) -> Selection:
        """Return what a filter selects now."""
        return Selection(self.ranking().table, person, wanted, self.lookup(person), self.links)

    def make_view(self, person: Person, wanted: Filter, order: str, stacked: bool) -> View:
        """Make a view, keep it, and write its row to the ledger."""
        self.log.refresh()
        self.renew()
        ranking = self.ranking()
        selection = Selection(ranking.table, person, wanted, self.lookup(person), self.links)
        view = view_making.make(ranking, selection, order, stacked, self.log.standing.last)
        self.consult(person, "review view", filter=words(wanted), order=view.order, tiles=view.count, contents=len(view.members))
        self.views.add(view)
        self.served["views"] += 1
        return view

    def waiting(self, view: View, person: Person) -> int:
        """Return how many contents a fresh view of the same filter would add. What the view's owner decided since is no news."""
        ranking = self.ranking()
        if ranking.table is view.table:
            return 0
        facts_only = msgspec.structs.replace(view.filter, status=[], mine=None, category=[], new_members=False, queue="all")
        rows = np.flatnonzero(Selection(ranking.table, person, facts_only, self.lookup(person), self.links).mask())
        return int((view.table.row_of(ranking.table.number[rows]) < 0).sum())

    @staticmethod
    def as_numbers(number: int) -> Array:
        return np.array([number], np.int64)

    def gate(self) -> Gate:
        """Return a gate of its own for one question; close its connection."""
        return Gate(self.case, self.purpose, library=self.library)

    def ask(self, question: Callable[[Gate], Reply]) -> Reply:
        """Put a question to the facts as they are; once more where a run took files away between the look and the read."""
        for attempt in range(ATTEMPTS):
            gate = self.gate()
            try:
                return question(gate)
            except duckdb.IOException:
                if attempt == ATTEMPTS - 1:
                    raise
            finally:
                gate.facts.con.close()
        raise AssertionError("unreachable")

    # ledger

    def consult(self, person: Person, shows: str, **facts: Any) -> None:
        """Write the row of a look to the ledger, before anything is shown."""
        self.enter("consult", person, shows=shows, **facts)

    def enter(self, event: str, person: Person, **facts: Any) -> None:
        if event not in EVENTS:
            raise ValueError(f"unknown event {event!r}")
        purpose = {"purpose": self.purpose} if self.purpose else {}
        self.case.ledger.append(event, command="safelight serve", reviewer=person.user, role=person.role, **purpose, **facts)

    def write_head(self) -> None:
        """Write the head of the log and the sums of exposure to the ledger, where anything was added."""
        with self.log.lock:
            last, head = self.log.standing.last, self.log.standing.head
        if last > self._headed:
            sums = self.exposure.sums()
            self.case.ledger.append(
                "decisions", command="safelight serve", events=last, head=head,
                reveals=sum(s["reveals"] for s in sums), milliseconds=round(sum(s["seconds"] for s in sums) * 1000),
            )  # fmt: skip
            self._headed = last

    def noted(self, seq: int) -> None:
        """Called after an event was committed, with its number."""
        if seq - self._headed >= HEAD_EVERY:
            self.write_head()

    def undecided(self) -> int:
        """Return how many pictures and films nobody has decided and no set knows as irrelevant."""
        table = self.ranking().table
        return int((open_contents(table, self.log) & table.looked_at).sum())


def open_contents(table: Table, log: Log) -> Array:
    """Return which contents nobody has decided and no set knows as irrelevant or known."""
    with log.lock:
        log.standing.grow()
        found: Array = (table.by_row(log.standing.given) == 0) & (table.known < 3)
        return found


def check_head(case: Case, log: Log) -> None:
    """Raise `Refused` where the ledger knows more decisions than the file has."""
    known: dict[str, Any] | None = None
    for entry in case.ledger.entries():
        if entry["what"] == "decisions":
            known = entry
    if known is None:
        return
    event = log.event(int(known["events"]))
    if event is None or event.hash != known["head"]:
        log.close()
        raise Refused(
            f"decisions.sqlite is not the one that the ledger knows ({known['events']} events). Nothing was changed; run `safelight verify` "
            "and restore the file from a copy."
        )

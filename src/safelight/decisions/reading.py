"""Read what was decided: the state after all events, without the right to write. For commands, reports and exports."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import msgspec
import numpy as np

from safelight.case import Case
from safelight.decisions import database
from safelight.decisions.events import Event
from safelight.decisions.numbers import Longs, Numbers, digests
from safelight.decisions.policy import Policy, policy_of
from safelight.decisions.standing import FLAG_NAMES, STATUS, Standing

BATCH = 5_000


class Watcher(Protocol):
    """Keeps an account of its own of the events: `begin` forgets everything, `take` is given each event in order."""

    def begin(self) -> None: ...
    def take(self, event: Event) -> None: ...


def load(con: sqlite3.Connection, numbers: Numbers, policy: Policy, watchers: Iterable[Watcher] = ()) -> Standing:
    """Make the state from all events: first who undid what, then the decisions that stand, in order."""
    standing, decided = Standing(numbers, policy), list[tuple[Any, bytes]]()
    for watcher in watchers:
        watcher.begin()
    for event in database.events(con):
        said = standing.note(event)
        if event.what == "decide":
            decided.append((said, event.contents))
        for watcher in watchers:
            watcher.take(event)
    touched = list[Longs]()
    standing.grow()  # contents have numbers although nothing was decided of them yet
    for said, contents in decided:
        at = numbers.add(digests(contents))
        standing.grow()
        standing.put(said, at)
        touched.append(at)
    if touched:
        standing.resolve(np.unique(np.concatenate(touched)))
    return standing


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What stands of one content, with the time of the last decision and the last note."""

    sha256: bytes
    category: str | None
    status: str
    votes: int
    flags: tuple[str, ...]
    tags: tuple[str, ...]
    note: str
    at: str


class Decisions:
    """What was decided in a case, as it is now."""

    def __init__(self, case: Case) -> None:
        self.policy = policy_of(case)
        self._con = database.open_readonly(case.folder)
        self.numbers = Numbers()
        self.standing = load(self._con, self.numbers, self.policy) if self._con else Standing(self.numbers, self.policy)

    def close(self) -> None:
        if self._con:
            self._con.close()

    def verdicts(self) -> Iterator[Verdict]:
        """Yield what stands of each content that was decided, flagged, tagged or noted, ascending by SHA-256."""
        if not self._con:
            return
        raw = self.numbers.names_of(np.arange(len(self.numbers))).tobytes()
        names = sorted(raw[at : at + 32] for at in range(0, len(raw), 32))
        for start in range(0, len(names), BATCH):
            part = names[start : start + BATCH]
            last, notes = self._last(part)
            for name, number in zip(part, self.numbers.find(digests(b"".join(part))).tolist(), strict=True):
                if name in last:
                    yield self._verdict(name, number, last[name], notes.get(name, ""))

    def _last(self, names: list[bytes]) -> tuple[dict[bytes, str], dict[bytes, str]]:
        last, notes = dict[bytes, str](), dict[bytes, str]()
        assert self._con
        for name, seq in database.entries_of(self._con, names):
            said = self.standing.said.get(seq)
            if said is None or said.what != "decide" or said.undone:
                continue
            last[name] = said.at
            if said.body.get("note"):
                notes[name] = str(said.body["note"])
        return last, notes

    def _verdict(self, name: bytes, number: int, at: str, note: str) -> Verdict:
        s = self.standing
        bits = int(s.flags[number])
        return Verdict(
            sha256=name,
            category=s.code(int(s.standing[number])),
            status=STATUS[int(s.status[number])],
            votes=int(s.given[number]),
            flags=tuple(f for n, f in enumerate(FLAG_NAMES) if bits >> n & 1),
            tags=tuple(sorted(s.tags.get(number, ()))),
            note=note,
            at=at,
        )

    def table(self, con: Any, name: str = "decided") -> None:
        """Give a DuckDB connection a table of what stands: sha256, category, status, votes, flags, tags, note, decided_at.

        Where several people vote, a category is shown once it is final: who has not voted yet must not know what others think.
        """
        import pyarrow as pa

        kinds = pa.schema(
            [("sha256", pa.binary()), *((n, pa.string()) for n in ("category", "status", "flags", "tags", "note", "decided_at"))]
        )
        kinds = kinds.append(pa.field("votes", pa.int32()))
        open_ = self.policy.votes == 1
        rows = [
            {
                "sha256": v.sha256, "category": v.category if open_ or v.status == "final" else None, "status": v.status,
                "votes": v.votes, "flags": " ".join(v.flags) or None,
                "tags": ", ".join(v.tags) or None, "note": v.note or None, "decided_at": v.at,
            }
            for v in self.verdicts()
        ]  # fmt: skip
        con.register(name, pa.Table.from_pylist(rows, schema=kinds))

    def counts(self) -> dict[str, Any]:
        """Return how many contents have which status and, where it stands, which category."""
        status = np.bincount(self.standing.status[: len(self.numbers)], minlength=len(STATUS)).tolist()
        final = self.standing.standing[: len(self.numbers)][self.standing.status[: len(self.numbers)] == STATUS.index("final")]
        by_category = np.bincount(final, minlength=1).tolist()
        return {
            "scheme": self.policy.scheme.name,
            "votes": self.policy.votes,
            "status": {name: int(n) for name, n in zip(STATUS, status, strict=True) if n and name != "undecided"},
            "categories": {self.standing.code(i) or "": int(n) for i, n in enumerate(by_category) if i and n},
        }

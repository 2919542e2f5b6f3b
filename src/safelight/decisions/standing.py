"""What stands: votes, category, status, flags and tags of each content, in arrays by number, made from the events in their order.

A vote is the last category that a user gave to a content and did not undo. Users of one mind: `indicative`, and `final` once the policy's
number is reached. Users of different minds: `disputed`, until they agree or a supervisor's vote settles it. 15 bytes a content and
1 byte for each user who votes.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from safelight.decisions.events import Event
from safelight.decisions.numbers import Longs, Numbers, digests
from safelight.decisions.policy import FLAGS, Policy

Bytes = NDArray[np.uint8]
UNDECIDED, INDICATIVE, FINAL, DISPUTED = range(4)
STATUS = ("undecided", "indicative", "final", "disputed")
SUPERVISOR = "supervisor"
FLAG_NAMES = tuple(FLAGS)


class Said(msgspec.Struct, kw_only=True):
    """What of an event is kept in memory. `vote`: number of the category (0 takes the vote back), -1 where it says none.
    `each`: a vote for each of its contents, in their order, where proposals were accepted."""

    seq: int
    what: str
    user: str
    role: str
    at: str
    body: dict[str, Any]
    count: int
    vote: int = -1
    each: Bytes | None = None
    undone: bool = False
    target: int = 0


class Standing:
    """The state after all events so far. `codes[n - 1]` is the category of number n."""

    def __init__(self, numbers: Numbers, policy: Policy) -> None:
        self.numbers, self.policy = numbers, policy
        self.codes = [c.code for c in policy.scheme.categories]
        self.votes: dict[str, Bytes] = {}
        self.settled = np.zeros(0, np.uint8)
        self.standing = np.zeros(0, np.uint8)
        self.status = np.zeros(0, np.uint8)
        self.given = np.zeros(0, np.uint8)
        self.flags = np.zeros(0, np.uint32)
        self.tags: dict[int, frozenset[str]] = {}
        self.said: dict[int, Said] = {}
        self.last = 0
        self.head = ""

    def grow(self) -> None:
        """Make the arrays as long as there are numbers, with room for more."""
        if len(self.standing) >= len(self.numbers):
            return
        room = len(self.numbers) + len(self.numbers) // 8 + 1024
        for name in ("settled", "standing", "status", "given", "flags"):
            setattr(self, name, _longer(getattr(self, name), room))
        self.votes = {user: _longer(array, room) for user, array in self.votes.items()}

    def code(self, number: int) -> str | None:
        """Return the category of a number; None for 0."""
        return self.codes[number - 1] if number else None

    def number(self, code: str | None) -> int:
        """Return the number of a category; 0 for none. A category that the scheme does not have (any more) gets a number of its own."""
        if code is None:
            return 0
        if code not in self.codes:
            self.codes.append(code)
        return self.codes.index(code) + 1

    def votes_of(self, user: str) -> Bytes:
        """Return the votes of a user by number of the content; zeros where there are none."""
        self.grow()
        if user not in self.votes:
            self.votes[user] = np.zeros(len(self.standing), np.uint8)
        return self.votes[user]

    def note(self, event: Event) -> Said:
        """Take notice of an event: number its contents, remember what it says, and what an undo or redo does to another."""
        said = Said(
            seq=event.seq, what=event.what, user=event.user, role=event.role, at=event.at, body=event.body, count=len(event.contents) // 32
        )
        if event.what == "decide":
            if "each" in event.body:
                said.each = self._each(event.body)
            elif "category" in event.body:
                said.vote = self.number(event.body["category"])
        elif event.what in ("undo", "redo"):
            said.target = int(event.body["event"])
            self.said[said.target].undone = event.what == "undo"
        if event.what in ("decide", "undo", "redo"):
            self.said[event.seq] = said
        self.last, self.head = event.seq, event.hash
        return said

    def _each(self, body: dict[str, Any]) -> Bytes:
        """Return the votes of an event that accepts proposals: one letter a content, from `a`, into its list of categories."""
        numbers = np.array([self.number(code) for code in body["categories"]], np.uint8)
        return numbers[np.frombuffer(str(body["each"]).encode(), np.uint8) - ord("a")]

    def put(self, said: Said, at: Longs, among: Longs | None = None) -> None:
        """Apply a decision to contents, without looking at what else was said of them: to all of the event in their order, or to a part
        of them (`among`: their places in the event)."""
        if said.undone:
            return
        if said.vote >= 0 or said.each is not None:
            vote = said.vote if said.each is None else said.each if among is None else said.each[among]
            self.votes_of(said.user)[at] = vote
            if said.role == SUPERVISOR:
                self.settled[at] = vote
        self._put_flags(said.body, at)
        self._put_tags(said.body, at)

    def _put_flags(self, body: dict[str, Any], at: Longs) -> None:
        add = sum(1 << FLAG_NAMES.index(f) for f in body.get("add_flags", ()) if f in FLAG_NAMES)
        remove = sum(1 << FLAG_NAMES.index(f) for f in body.get("remove_flags", ()) if f in FLAG_NAMES)
        if add or remove:
            self.flags[at] = (self.flags[at] | np.uint32(add)) & ~np.uint32(remove)

    def _put_tags(self, body: dict[str, Any], at: Longs) -> None:
        add, remove = frozenset(body.get("add_tags", ())), frozenset(body.get("remove_tags", ()))
        if add or remove:
            for n in at.tolist():
                self.tags[n] = (self.tags.get(n, frozenset()) | add) - remove

    def clear(self, at: Longs) -> None:
        """Forget what was said of these contents, before it is said again."""
        for array in self.votes.values():
            array[at] = 0
        self.settled[at] = 0
        self.flags[at] = 0
        if self.tags:
            for n in at.tolist():
                self.tags.pop(n, None)

    def resolve(self, at: Longs) -> None:
        """Say what stands of these contents after their votes have changed."""
        most, least = np.zeros(len(at), np.uint8), np.full(len(at), 255, np.uint8)
        given = np.zeros(len(at), np.uint8)
        for array in self.votes.values():
            vote = array[at]
            given += vote > 0
            most = np.maximum(most, vote)
            least = np.minimum(least, np.where(vote > 0, vote, 255))
        agree, settled = (most == least) & (given > 0), self.settled[at]
        ended = ~agree & (given > 0) & (settled > 0)
        status = np.where(agree & (given >= self.policy.votes) | ended, FINAL, np.where(agree, INDICATIVE, DISPUTED))
        self.status[at] = np.where(given > 0, status, UNDECIDED)
        self.standing[at] = np.where(agree, most, np.where(ended, settled, 0))
        self.given[at] = given

    def of(self, event: Event, add: bool = True) -> Longs:
        """Return the numbers of the contents of an event."""
        names = digests(event.contents)
        found = self.numbers.add(names) if add else self.numbers.find(names)
        self.grow()
        return found


def _longer(array: Any, length: int) -> Any:
    grown = np.zeros(length, array.dtype)
    grown[: len(array)] = array
    return grown

"""What each person had to see: reveals as events, the account of a day, and what had been seen when a decision was made.

A reveal is an event before its pixels leave the server; its end is another. One that was never ended counts to the limit. Sums for
supervisors name nobody. A break is only hinted at, never forced (docs/guide/review.md says what research supports).
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np

from safelight.decisions.events import LEVELS, Event
from safelight.decisions.numbers import Longs, Numbers, digests
from safelight.table.table import Array

LIMIT_MS = 10_000
"""Longest time that one reveal is shown, and what an unended one counts."""


class Day(msgspec.Struct):
    """One person's day (UTC)."""

    reveals: int = 0
    ms: int = 0
    by_level: dict[str, int] = msgspec.field(default_factory=dict)
    decided: int = 0


class Reveal(msgspec.Struct):
    """One reveal: seconds since 1970 of its beginning, and how long it was shown; None while it is open."""

    user: str
    number: int
    level: str
    began: float
    day: str
    ms: int | None = None


class Exposure:
    """The account of all people of a case, made from the events of its log."""

    def __init__(self, numbers: Numbers) -> None:
        self._numbers = numbers
        self._delivered: dict[str, Array] = {}
        self.begin()

    def begin(self) -> None:
        self.reveals: dict[int, Reveal] = {}
        self.days: dict[tuple[str, str], Day] = {}
        self.settings: dict[str, dict[str, Any]] = {}
        self._breaks: dict[str, float] = {}
        self._first: dict[tuple[str, str], float] = {}
        self._seen: dict[str, dict[int, tuple[int, int]]] = {}

    def take(self, event: Event) -> None:
        user, day = event.user, event.at[:10]
        match event.what:
            case "reveal":
                self._reveal(event, user, day)
            case "reveal-end":
                self._end(int(event.body["reveal"]), int(event.body["milliseconds"]))
            case "decide" if event.body.get("category") is not None or "each" in event.body:
                self._day(user, day).decided += len(event.contents) // 32
                self._first.setdefault((user, day), _seconds(event.at))
            case "break":
                self._breaks[user] = _seconds(event.at)
            case "settings":
                self.settings[user] = event.body

    def _day(self, user: str, day: str) -> Day:
        return self.days.setdefault((user, day), Day())

    def _reveal(self, event: Event, user: str, day: str) -> None:
        number = int(self._numbers.add(digests(event.contents))[0])
        level = str(event.body["level"])
        self.reveals[event.seq] = Reveal(user=user, number=number, level=level, began=_seconds(event.at), day=day)
        account = self._day(user, day)
        account.reveals += 1
        account.by_level[level] = account.by_level.get(level, 0) + 1
        account.ms += LIMIT_MS
        self._first.setdefault((user, day), _seconds(event.at))
        seen = self._seen.setdefault(user, {})
        highest, ms = seen.get(number, (0, 0))
        seen[number] = (max(highest, LEVELS.index(level)), ms + LIMIT_MS)

    def _end(self, seq: int, ms: int) -> None:
        reveal = self.reveals.get(seq)
        if reveal is None or reveal.ms is not None:
            return
        reveal.ms = max(0, min(ms, LIMIT_MS))
        less = LIMIT_MS - reveal.ms
        self._day(reveal.user, reveal.day).ms -= less
        highest, spent = self._seen[reveal.user][reveal.number]
        self._seen[reveal.user][reveal.number] = (highest, spent - less)

    def delivered(self, user: str, numbers: Longs) -> None:
        """Note that protected pictures of these contents were given to a user."""
        held = self._delivered.get(user, np.zeros(0, bool))
        if len(held) < len(self._numbers):
            longer = np.zeros(len(self._numbers) + len(self._numbers) // 8 + 1024, bool)
            longer[: len(held)] = held
            held = self._delivered[user] = longer
        held[numbers] = True

    def seen(self, user: str, numbers: Longs) -> tuple[Array, Array]:
        """Return the highest level (number of `LEVELS`) and the milliseconds beyond `protected` of each content, for a user."""
        levels, ms = np.zeros(len(numbers), np.uint8), np.zeros(len(numbers), np.uint32)
        held = self._delivered.get(user)
        if held is not None:
            inside = numbers < len(held)
            levels[inside] = held[numbers[inside]]
        revealed = self._seen.get(user)
        if revealed:
            known = np.fromiter(revealed, np.int64, len(revealed))
            for i in np.flatnonzero(np.isin(numbers, known)).tolist():
                highest, spent = revealed[int(numbers[i])]
                levels[i], ms[i] = max(int(levels[i]), highest), min(spent, 0xFFFFFFFF)
        return levels, ms

    def today(self, user: str, break_minutes: int) -> dict[str, Any]:
        """Return a person's own day."""
        day = datetime.now(UTC).strftime("%Y-%m-%d")
        account = self.days.get((user, day), Day())
        since = max(self._breaks.get(user, 0.0), self._first.get((user, day), 0.0))
        minutes = int((time.time() - since) // 60) if since else 0
        decided = account.decided
        return {
            "reveals": account.reveals,
            "seconds": account.ms / 1000,
            "by_level": account.by_level,
            "decided": decided,
            "per_1000": {
                "reveals": 1000 * account.reveals / decided if decided else None,
                "seconds": account.ms / decided if decided else None,
            },
            "minutes_since_break": minutes,
            "hint": f"{minutes} minutes since the last break" if break_minutes and minutes >= break_minutes else "",
        }

    def sums(self) -> list[dict[str, Any]]:
        """Return the sums of the team by day, without names."""
        found: dict[str, dict[str, Any]] = {}
        for (_, day), account in sorted(self.days.items(), key=lambda d: d[0][1]):
            total = found.setdefault(day, {"day": day, "reveals": 0, "seconds": 0.0, "decided": 0, "by_level": {}})
            total["reveals"] += account.reveals
            total["seconds"] += account.ms / 1000
            total["decided"] += account.decided
            for level, n in account.by_level.items():
                total["by_level"][level] = total["by_level"].get(level, 0) + n
        return list(found.values())


def _seconds(at: str) -> float:
    return datetime.strptime(at, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC).timestamp()

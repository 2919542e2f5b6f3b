"""How a running job gets on, read from the tail of the ledger: steps with rate and time left, problems, and a count of facts."""

from __future__ import annotations

import fcntl
import json
import os
import threading
from datetime import UTC, datetime
from typing import Any

import msgspec

from safelight.case import Case

FACTS = ("list", "shard", "compact", "match", "match-removed", "stack", "collect")


class Step(msgspec.Struct, kw_only=True):
    """One step of one exhibit: how much of it is done since when."""

    step: str
    exhibit: str
    total: int | None
    done: int = 0
    began: float = 0.0
    now: float = 0.0
    first: int = 0
    ended: bool = False


class Tail:
    """Reads what was appended to the ledger since the last time, and keeps the account of the last run."""

    def __init__(self, case: Case) -> None:
        self._case, self._path, self._at = case, case.ledger.path, 0
        self._lock = threading.Lock()
        self._facts = self._last = 0
        self._listed: dict[str, int] = {}
        self._problems: dict[tuple[str, str, int], int] = {}
        self._steps: dict[tuple[str, str], Step] = {}
        self._ended = True

    def facts(self) -> int:
        """Return a number that changes when there are new facts."""
        with self._lock:
            self._read()
            return self._facts

    def position(self) -> int:
        with self._lock:
            self._read()
            return self._last

    def problems(self) -> int:
        with self._lock:
            self._read()
            return sum(self._problems.values())

    def running(self) -> bool:
        """Say whether a run works on the case now: whether it holds the lock."""
        try:
            fd = os.open(self._case.folder / "run.lock", os.O_RDONLY)
        except OSError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
        return False

    def steps(self) -> list[dict[str, Any]]:
        """Return the steps of the last run that are not at their end, and the last that is."""
        with self._lock:
            self._read()
            listed = [s for s in self._steps.values() if not s.ended][:50] or list(self._steps.values())[-1:]
            return [_reply(s) for s in listed]

    def _read(self) -> None:
        try:
            with self._path.open("rb") as file:
                file.seek(self._at)
                raw = file.read()
        except FileNotFoundError:
            return
        whole = raw[: raw.rfind(b"\n") + 1]
        self._at += len(whole)
        for line in whole.splitlines():
            self._take(json.loads(line))

    def _take(self, e: dict[str, Any]) -> None:
        what, at = e["what"], _seconds(str(e["at"]))
        self._last = int(e["seq"])
        self._facts += what in FACTS
        match what:
            case "run":
                self._steps, self._ended = {}, False
            case "run-end":
                self._ended = True
                for step in self._steps.values():
                    step.ended = True
            case "list":
                self._listed[e["exhibit"]] = int(e["shards"])
                self._problems[e["exhibit"], "list", 0] = sum(e["problems"].values())
                self._steps["extract", e["exhibit"]] = Step(step="extract", exhibit=e["exhibit"], total=int(e["shards"]), began=at, now=at)
            case "shard":
                self._problems[e["exhibit"], e["step"], int(e["shard"])] = int(e["counts"].get("problems", 0))
                step = self._steps.setdefault(
                    ("extract", e["exhibit"]),
                    Step(step="extract", exhibit=e["exhibit"], total=self._listed.get(e["exhibit"]), began=at, first=1),
                )
                step.done, step.now = step.done + 1, at
            case "compact":
                if ("extract", e["exhibit"]) in self._steps:
                    self._steps["extract", e["exhibit"]].ended = True
            case "match" | "stack":
                self._steps[what, ""] = Step(step=what, exhibit="", total=None, done=1, began=at, now=at, ended=True)


def _reply(s: Step) -> dict[str, Any]:
    spent, done = s.now - s.began, s.done - s.first
    rate = done / spent if spent > 0 and done > 0 else None
    left = round((s.total - s.done) / rate) if rate and s.total is not None and not s.ended else None
    return {
        "step": s.step, "exhibit": s.exhibit, "done": s.done, "total": s.total, "unit": "shards", "rate": rate, "seconds_left": left,
    }  # fmt: skip


def _seconds(at: str) -> float:
    return datetime.strptime(at, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC).timestamp()

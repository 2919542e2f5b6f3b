"""No decision that was acknowledged is lost or doubled: the server is killed anywhere in a review, with one tab or two, or finds the disk full.

A point is the N-th write or sync of the server, from its start to its end. `SAFELIGHT_KILL_POINTS=0` tries all 200 points.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import signal
import sqlite3
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from command import Command
from disasters.forked import Forked, Forking
from reviewing import Browser, reviewed_case

MOST = 200
POINTS = int(os.environ.get("SAFELIGHT_KILL_POINTS", "20")) or MOST
"""Points to try of all writes and syncs of a review, evenly spread."""
Gone = (OSError, http.client.HTTPException)
"""What a browser meets when the server is gone."""


@pytest.fixture(scope="module")
def made(module_safelight: Command) -> Path:
    """A case that was run and never reviewed."""
    return reviewed_case(module_safelight, module_safelight.folder)


def spread(total: int, wanted: int) -> list[int]:
    return sorted({1 + (total - 1) * n // max(wanted - 1, 1) for n in range(min(wanted, total))})


class Review:
    """A scripted review. `sent` holds what was sent, `heard` what was acknowledged, in order."""

    def __init__(self, seed: str) -> None:
        self._seed, self.sent, self.heard = seed, list[tuple[str, Any]](), list[Any]()

    def run(self, browser: Browser) -> None:
        """Do everything once; ends early when the server dies."""
        for path, body in self.requests(browser):
            self.sent.append((path, body))
            got = browser.send("POST", path, body)
            assert got.status == 200, (path, got.status, got.body)
            self.heard.append(got.json)

    def requests(self, browser: Browser) -> Iterator[tuple[str, Any]]:
        """Yield the requests: single decisions, batches, all at once, undo and redo, flags, tags, notes."""
        view = browser.view(order="path")["view"]
        number = iter(range(10_000))

        def one(target: Any, confirm: str | None = None, **wish: Any) -> Any:
            target = {"index": target} if isinstance(target, int) else target
            return {"key": self.key(next(number)), "view": view, "target": target, "set": wish, "confirm": confirm}

        for index in range(8):
            yield "/api/decisions", one(index, category=str(index % 4), note="seen")
        yield "/api/decisions/batch", [one(index, category="3") for index in range(4, 9)]
        confirm = browser.post("/api/decisions/preview", {"view": view, "target": {"all": True}})["confirm"]
        yield "/api/decisions", one({"all": True}, confirm, category="2", add_flags=["victim"])
        yield "/api/decisions/undo", {"key": self.key(next(number))}
        yield "/api/decisions/undo", {"key": self.key(next(number))}
        yield "/api/decisions/redo", {"key": self.key(next(number))}
        yield "/api/decisions", one(1, category=None)
        yield "/api/decisions", one(2, add_tags=["boat"])
        for index in range(6):
            yield "/api/decisions/batch", [one(index, category="1"), one(index + 6, remove_flags=["victim"], category="0")]
            yield "/api/decisions/undo", {"key": self.key(next(number))}

    def key(self, number: int) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{self._seed} {number}"))


def events_of(answer: Any) -> list[int]:
    return [a["event"] for a in answer] if isinstance(answer, list) else [answer["event"]]


def state(browser: Browser) -> list[tuple[Any, ...]]:
    rows = browser.rows(browser.view(order="path", stacked=False))
    return list(zip(rows["category"], rows["status"], map(tuple, rows["flags"]), strict=True))


def served(forking: Forking, case: Path) -> tuple[Forked, Browser]:
    """Return a server without a fault, and a browser that is logged in."""
    running = forking.start("serve", case, "--no-browser", "--user", "anna")
    browser = running.browser()
    assert browser is not None, running.err.data
    return running, browser.login()


def verified(forking: Forking, case: Path) -> None:
    done = forking.start("verify", case)
    assert done.wait() == 0, done.out.data + done.err.data


@pytest.fixture(scope="module")
def undisturbed(forking: Forking, made: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Any], int]:
    """What stands after each request of an undisturbed review, and how many calls it makes that can be killed."""
    case = tmp_path_factory.mktemp("undisturbed") / "whole.case"
    shutil.copytree(made, case)
    review, states = Review("undisturbed"), list[Any]()
    running, browser = served(forking, case)
    states.append(state(browser))
    for path, body in review.requests(browser):
        browser.post(path, body)
        states.append(state(browser))
    assert running.end() == 0
    shutil.rmtree(case)
    shutil.copytree(made, case)
    counted = forking.start("serve", case, "--no-browser", "--user", "anna", fault="kill-write", at=1 << 40)
    counting = counted.browser()
    assert counting is not None
    review.run(counting.login())
    assert counted.end() == 0
    return states, int(counted.calls.read_text())


@pytest.mark.slow
def test_killed_anywhere(forking: Forking, made: Path, undisturbed: tuple[list[Any], int], tmp_path: Path) -> None:
    """SIGKILL before the N-th write or sync of the server; then the history is what the browser was told, and what was in the air is
    there once or not at all; sent again it is there once."""
    states, total = undisturbed
    assert total >= MOST
    killed = 0
    for point in spread(total, POINTS):
        case = tmp_path / f"{point}.case"
        shutil.copytree(made, case)
        review = Review(str(point))
        running = forking.start("serve", case, "--no-browser", "--user", "anna", fault="kill-write", at=point)
        browser = running.browser()  # None: killed before it had an address, and nothing was said
        if browser is not None:
            with contextlib.suppress(*Gone):
                review.run(browser.login())
        killed += running.end() == -signal.SIGKILL
        check(forking, case, review, states, point)
        shutil.rmtree(case)
    assert killed >= POINTS * 9 // 10


def check(forking: Forking, case: Path, review: Review, states: list[Any], point: int) -> None:
    """Compare what a new server finds with what the browser was told."""
    running, browser = served(forking, case)
    heard = len(review.heard)
    assert state(browser) in states[heard : heard + 1 + (len(review.sent) > heard)], f"killed before call {point}"
    told = [e for answer in review.heard for e in events_of(answer)]
    assert told == list(range(1, len(told) + 1)), "each acknowledged event once, without gaps"
    for path, body in review.sent[heard:]:  # the browser sends again what was not answered, for a view that it makes again
        view = browser.view(order="path")["view"]
        again = [{**b, "view": view} if "view" in b else b for b in (body if isinstance(body, list) else [body])]
        got = browser.send("POST", path, again if isinstance(body, list) else again[0])
        assert got.status in (200, 409), (point, got.body)  # 409: it is saved already, or needs a new preview
    assert running.end() == 0
    verified(forking, case)


class Tab(threading.Thread):
    """One of two tabs of a browser: decides every second picture, again and again, each time by another category."""

    def __init__(self, browser: Browser, first: int, rounds: int = 4) -> None:
        super().__init__()
        self._browser, self._first, self._rounds = browser, first, rounds
        self.said: dict[int, list[str]] = {}
        self.at = -1
        self.events, self.keys, self.open, self.wrong = list[int](), list[str](), "", list[Any]()

    def run(self) -> None:
        with contextlib.suppress(*Gone):
            view = self._browser.view(order="path", stacked=False)
            for n in range(self._rounds * 6):
                index, category = self._first + 2 * (n % 6), str(n % 4)
                self.open, self.at = str(uuid.uuid4()), index
                self.said.setdefault(index, []).append(category)
                body = {"key": self.open, "view": view["view"], "target": {"index": index}, "set": {"category": category}}
                got = self._browser.send("POST", "/api/decisions", body)
                if got.status != 200:
                    self.wrong.append(got.body)
                    return
                self.events.append(got.json["event"])
                self.keys.append(self.open)
                self.open = ""


@pytest.mark.slow
def test_killed_with_two_tabs(forking: Forking, made: Path, tmp_path: Path) -> None:
    """Two tabs decide at the same time when the server is killed: what each was told is there once, in the order of the events."""
    killed = 0
    for point in spread(230, POINTS):
        case = tmp_path / f"{point}.case"
        shutil.copytree(made, case)
        running = forking.start("serve", case, "--no-browser", "--user", "anna", fault="kill-write", at=point)
        browser, tabs = running.browser(), list[Tab]()
        if browser is not None:
            with contextlib.suppress(*Gone):
                browser.login()
                tabs = [Tab(browser, 0), Tab(browser, 1)]
        for tab in tabs:
            tab.start()
        for tab in tabs:
            tab.join()
        killed += running.end() == -signal.SIGKILL
        assert not any(tab.wrong for tab in tabs), tabs[0].wrong + tabs[1].wrong
        two_tabs(forking, case, tabs, point)
        shutil.rmtree(case)
    assert killed >= POINTS // 2


def two_tabs(forking: Forking, case: Path, tabs: list[Tab], point: int) -> None:
    """Compare the events and what stands with what two tabs were told."""
    running, browser = served(forking, case)
    with contextlib.closing(sqlite3.connect(case / "decisions.sqlite")) as con:
        stored = con.execute("select seq, key from events order by seq").fetchall()
    assert [seq for seq, _ in stored] == list(range(1, len(stored) + 1))
    own = {f"anna/{key}": event for tab in tabs for key, event in zip(tab.keys, tab.events, strict=True)}
    open_ = {f"anna/{tab.open}" for tab in tabs if tab.open}
    keys = {key: seq for seq, key in stored}
    assert len(keys) == len(stored), "no key twice"
    assert own.items() <= keys.items(), f"killed before call {point}: something acknowledged is not there, or elsewhere"
    assert keys.keys() - own.keys() <= open_, "nothing is there that was not sent"
    for tab in tabs:
        assert tab.events == sorted(tab.events)
    category = browser.rows(browser.view(order="path", stacked=False))["category"]
    for tab in tabs:
        for index, said in tab.said.items():
            in_the_air = tab.open and index == tab.at
            before = said[-2] if len(said) > 1 else None
            assert category[index] in ((said[-1], before) if in_the_air else (said[-1],)), (point, index, said)
    if not tabs:
        assert not any(category)
    assert running.end() == 0
    verified(forking, case)


@pytest.mark.slow
def test_disk_full_is_said_and_loses_nothing(forking: Forking, made: Path, tmp_path: Path) -> None:
    """ENOSPC at a write: the answer is 503 and says that it is not saved; what was acknowledged is there afterwards, nothing else."""
    told_full = started = 0
    for point in spread(240, POINTS):
        case = tmp_path / f"{point}.case"
        shutil.copytree(made, case)
        running = forking.start("serve", case, "--no-browser", "--user", "anna", fault="enospc", at=point)
        browser = running.browser()
        acknowledged, refused = dict[int, str](), 0
        if browser is None:
            assert running.wait() == 5 and b"space" in running.err.data, (point, running.err.data)
        else:
            started += 1
            acknowledged, refused = full(browser.login())
            os.kill(running.pid, signal.SIGKILL)
        running.wait()
        told_full += refused
        after, fresh = served(forking, case)
        found = fresh.rows(fresh.view(order="path", stacked=False))["category"]
        assert acknowledged == {i: c for i, c in enumerate(found) if c}, point
        assert after.end() == 0
        verified(forking, case)
        shutil.rmtree(case)
    assert told_full > 0 and started > POINTS // 2


def full(browser: Browser) -> tuple[dict[int, str], int]:
    """Decide one picture after the other; return what was acknowledged, and how often the answer was that it is not saved."""
    acknowledged, refused = dict[int, str](), 0
    made_view = browser.send("POST", "/api/views", {"order": "path", "stacked": False})
    assert made_view.status in (200, 503), made_view.body
    for index in range(20 if made_view.status == 200 else 0):
        body = {"key": str(uuid.uuid4()), "view": made_view.json["view"], "target": {"index": index}, "set": {"category": str(index % 4)}}
        got = browser.send("POST", "/api/decisions", body)
        if got.status == 200:
            acknowledged[index] = str(index % 4)
        else:
            assert got.status == 503 and "NOT saved" in got.json["message"], got.body
            refused += 1
    return acknowledged, refused

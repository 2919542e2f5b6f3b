"""No decision that was acknowledged is lost or doubled: the server is killed anywhere in a review, or finds the disk full."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import signal
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from command import Command
from reviewing import Browser, Serving, reviewed_case

POINTS = int(os.environ.get("SAFELIGHT_KILL_POINTS", "12"))
"""Points to try of all writes and syncs of a review, evenly spread; 0 for 200 of them."""


@pytest.fixture(scope="module")
def made(module_safelight: Command) -> Path:
    """A case that was run and never reviewed."""
    return reviewed_case(module_safelight, module_safelight.folder)


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that makes the N-th durable call fail."""
    target = tmp_path_factory.mktemp("faults") / "faults.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", target, Path(__file__).with_name("faults.c"), "-ldl"], check=True)
    return target


class Review:
    """A scripted review. `said` holds what was sent, `heard` what was acknowledged, in order."""

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
        """Yield the requests: single decisions, a stack, bulk, undo and redo, batches, reveals, flags."""
        view = browser.view(order="path")["view"]
        number = iter(range(10_000))

        def one(target: Any, confirm: str | None = None, **wish: Any) -> Any:
            target = {"index": target} if isinstance(target, int) else target
            return {"key": self.key(next(number)), "view": view, "target": target, "set": wish, "confirm": confirm}

        for index in range(4):
            yield "/api/decisions", one(index, category=str(index), note="seen")
        yield "/api/decisions/batch", [one(index, category="3") for index in range(4, 9)]
        confirm = browser.post("/api/decisions/preview", {"view": view, "target": {"all": True}})["confirm"]
        yield "/api/decisions", one({"all": True}, confirm, category="2", add_flags=["victim"])
        yield "/api/decisions/undo", {"key": self.key(next(number))}
        yield "/api/decisions/undo", {"key": self.key(next(number))}
        yield "/api/decisions/redo", {"key": self.key(next(number))}
        yield "/api/decisions", one(1, category=None)
        yield "/api/decisions", one(2, add_tags=["boat"])

    def key(self, number: int) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{self._seed} {number}"))


def events_of(answer: Any) -> list[int]:
    return [a["event"] for a in answer] if isinstance(answer, list) else [answer["event"]]


def state(browser: Browser) -> list[tuple[Any, ...]]:
    rows = browser.rows(browser.view(order="path", stacked=False))
    return list(zip(rows["category"], rows["status"], map(tuple, rows["flags"]), strict=True))


@pytest.fixture(scope="module")
def undisturbed(module_safelight: Command, made: Path, faults: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Any], int]:
    """What stands after each request of an undisturbed review, and how many calls it makes that can be killed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    case, log = folder / "whole.case", folder / "calls"
    shutil.copytree(made, case)
    review, states = Review("undisturbed"), list[Any]()
    preload = {"LD_PRELOAD": str(faults), "FAULT": "kill-write", "FAULT_COMMAND": "serve", "FAULT_AT": "1000000000", "FAULT_LOG": str(log)}
    with Serving(module_safelight, case, "--user", "anna", **preload) as running:
        browser = running.browser()
        states.append(state(browser))
        for path, body in review.requests(browser):
            browser.post(path, body)
            states.append(state(browser))
    return states, int(log.read_text())


@pytest.mark.slow
def test_killed_anywhere(module_safelight: Command, made: Path, faults: Path, undisturbed: tuple[list[Any], int], tmp_path: Path) -> None:
    """SIGKILL before the N-th write or sync of the server; then the history is what the browser was told, and what was in the air is
    there once or not at all; sent again it is there once."""
    states, total = undisturbed
    wanted = POINTS or 200
    killed = 0
    assert total > 40
    for point in sorted({1 + (total - 1) * n // max(wanted - 1, 1) for n in range(min(wanted, total))}):
        case = tmp_path / f"{point}.case"
        shutil.copytree(made, case)
        review = Review(str(point))
        preload = {"LD_PRELOAD": str(faults), "FAULT": "kill-write", "FAULT_COMMAND": "serve", "FAULT_AT": str(point)}
        try:
            running = Serving(module_safelight, case, "--user", "anna", **preload)
        except AssertionError:  # killed before it had an address: nothing was said
            running = None
        if running is not None:
            with contextlib.suppress(OSError, http.client.HTTPException):
                review.run(running.browser())
            running.process.send_signal(signal.SIGTERM)
            running.process.communicate(timeout=60)
            killed += running.process.returncode == -signal.SIGKILL
        check(module_safelight, case, review, states, point)
        shutil.rmtree(case)
    assert killed >= 3


def check(run: Command, case: Path, review: Review, states: list[Any], point: int) -> None:
    """Compare what a new server finds with what the browser was told."""
    with Serving(run, case, "--user", "anna") as running:
        browser = running.browser()
        heard = len(review.heard)
        assert state(browser) in states[heard : heard + 1 + (len(review.sent) > heard)], f"killed before call {point}"
        told = [e for answer in review.heard for e in events_of(answer)]
        assert told == list(range(1, len(told) + 1)), "each acknowledged event once, without gaps"
        for path, body in review.sent[heard:]:  # the browser sends again what was not answered, for a view that it makes again
            view = browser.view(order="path")["view"]
            again = [{**b, "view": view} if "view" in b else b for b in (body if isinstance(body, list) else [body])]
            got = browser.send("POST", path, again if isinstance(body, list) else again[0])
            assert got.status in (200, 409), (point, got.body)  # 409: it is saved already, or needs a new preview
    run("verify", case, expect=(0,))


@pytest.mark.slow
def test_disk_full_is_said_and_loses_nothing(module_safelight: Command, made: Path, faults: Path, tmp_path: Path) -> None:
    """ENOSPC at a write: the answer is 503 and says that it is not saved; what was acknowledged is there afterwards, nothing else."""
    told_full = 0
    for point in (12, 40, 70, 100):
        case = tmp_path / f"{point}.case"
        shutil.copytree(made, case)
        acknowledged = dict[int, str]()
        preload = {"LD_PRELOAD": str(faults), "FAULT": "enospc", "FAULT_COMMAND": "serve", "FAULT_AT": str(point)}
        try:
            running = Serving(module_safelight, case, "--user", "anna", **preload)
        except AssertionError as e:
            assert "space" in str(e), e
            continue
        browser = running.browser()
        made_view = browser.send("POST", "/api/views", {"order": "path", "stacked": False})
        assert made_view.status in (200, 503)
        for index in range(20 if made_view.status == 200 else 0):
            body = {"key": str(uuid.uuid4()), "view": made_view.json["view"], "target": {"index": index}, "set": {"category": "1"}}
            got = browser.send("POST", "/api/decisions", body)
            if got.status == 200:
                acknowledged[index] = "1"
            else:
                assert got.status == 503 and "NOT saved" in got.json["message"], got.body
                told_full += 1
        running.process.kill()
        running.process.communicate()
        with Serving(module_safelight, case, "--user", "anna") as later:
            rows = later.browser()
            found = rows.rows(rows.view(order="path", stacked=False))["category"]
        assert acknowledged == {i: c for i, c in enumerate(found) if c}, point
        module_safelight("verify", case, expect=(0,))
    assert told_full > 0

"""The review works while a run goes on: a view never changes, new results wait, and a fresh view has them."""

from __future__ import annotations

import time
from pathlib import Path

from command import Command
from reviewing import Browser, Serving, reviewed_case
from small import make_folder


def until(browser: Browser, view: str, wanted: int) -> int:
    """Poll as the page does until so many contents wait; return how many do at the end."""
    waiting = 0
    for _ in range(240):
        waiting = browser.get(f"/api/progress?view={view}")["new"][view]
        if waiting >= wanted:
            break
        time.sleep(0.25)
    return waiting


def test_new_results_wait(safelight: Command, tmp_path: Path) -> None:
    """An exhibit that is added and run beneath the reviewer: the view, its tiles and decisions stay; its pictures wait, then come."""
    case = reviewed_case(safelight, tmp_path)
    more = make_folder(tmp_path / "second", 1_200)
    with Serving(safelight, case, "--user", "anna") as running:
        browser = running.browser()
        view = browser.view(order="path")
        browser.decide(view, 0, category="1")
        before = browser.rows(view)
        safelight("add", case, more, "--exhibit", "B")
        run = safelight.start("run", case, "--workers", 1, "-q")
        seen_running = False
        while run.poll() is None:
            progress = browser.get(f"/api/progress?view={view['view']}")
            seen_running |= progress["running"]
            assert before == browser.rows(view)
            browser.decide(browser.view(order="path"), 1, category="2")
            before = browser.rows(view)
            time.sleep(0.05)
        run.communicate()
        assert seen_running
        pictures = len(stamps(safelight, case))
        assert pictures == until(browser, view["view"], pictures)
        assert before == browser.rows(view) and view == browser.get(f"/api/views/{view['view']}")
        fresh = browser.view(order="path")
        assert view["contents"] + pictures == fresh["contents"]
        assert ("1", "2") == tuple(browser.rows(fresh)["category"][:2])
        assert 0 == browser.get(f"/api/progress?view={fresh['view']}")["new"][fresh["view"]]
    safelight("verify", case, expect=(0,))


def stamps(run: Command, case: Path) -> set[str]:
    """Return the contents of pictures that only the second exhibit has."""
    import json

    found = [json.loads(line) for line in run("find", case, "--kind", "image", "--format", "jsonl").stdout.splitlines()]
    return {i["sha256"] for i in found if i["exhibit"] == "B"} - {i["sha256"] for i in found if i["exhibit"] == "A"}

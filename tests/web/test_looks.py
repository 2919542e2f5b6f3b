"""How pages look where room is short: nothing is cut, nothing is out of reach, and what is empty says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from web.looking import until

SIZES = [(1280, 800), (1920, 1080), (640, 400)]
EDGE = """() => { const c = document.querySelector('.plot canvas'); const wide = 2 * devicePixelRatio;
  return c.getContext('2d').getImageData(c.width - wide, 0, wide, c.height).data.every((v) => v === 0); }"""
INK = """() => { const c = document.querySelector('.plot canvas'); const from = Math.round(c.width * 0.8), y = Math.round(c.height * 0.75);
  return c.getContext('2d').getImageData(from, y, c.width - from, c.height - y).data.some((v) => v !== 0); }"""


@pytest.mark.parametrize("size", SIZES)
def test_the_last_label_of_the_time_line_is_whole(watched: Callable[..., Any], fake: Callable[..., Any], size: tuple[int, int]) -> None:
    """There are labels near the right edge, and none of their ink reaches it."""
    _, address = fake(200)
    page = watched(address, viewport={"width": size[0], "height": size[1]}).page("/#/review?as=time")
    until(page, "document.querySelector('.plot canvas') !== null")
    until(page, f"({INK})()")
    assert page.evaluate(EDGE)


@pytest.mark.parametrize("path", ["review", "review?as=time", "review?as=map", "proposals", "problems", "day", "exports", "settings"])
def test_every_control_is_in_sight_at_200_percent(watched: Callable[..., Any], fake: Callable[..., Any], path: str) -> None:
    """In a window of 640 x 400 all pages, the way out, and all of the bar above the list are within the window and not over one another."""
    _, address = fake(200)
    page = watched(address, viewport={"width": 640, "height": 400}).page(f"/#/{path}")
    page.locator("main.middle, main.scroller").wait_for()
    page.get_by_role("button", name="Sign out").wait_for()
    until(page, "!document.body.innerText.includes('Loading …') && !document.body.innerText.includes('Putting the list in order')")
    outside = """[...document.querySelectorAll('header a, header button, .bar button, .bar select, footer button')]
      .filter((e) => e.offsetParent !== null).map((e) => [e.textContent.trim(), e.getBoundingClientRect()])
      .filter(([, b]) => b.left < 0 || b.right > innerWidth || b.top < 0 || b.bottom > innerHeight).map(([t]) => t)"""
    until(page, f"{outside}.length === 0")
    if path.startswith("review"):
        bar = page.locator(".bar").bounding_box()
        assert bar["height"] >= 40
        tile = page.locator("#tile-0")
        tile.scroll_into_view_if_needed()
        box, footer = tile.bounding_box(), page.locator("footer").bounding_box()
        assert bar["y"] + bar["height"] <= box["y"] + 1 and box["y"] + box["height"] <= footer["y"] + 1


def test_a_team_that_has_done_nothing_yet(watched: Callable[..., Any], fake: Callable[..., Any]) -> None:
    """Where there are no sums, words stand in place of an empty table."""
    desk, address = fake(5)
    answers = desk.get
    desk.get = lambda path, q: [] if path == "/api/exposure/sums" else answers(path, q)
    page = watched(address).page("/#/day")
    page.get_by_text("Nobody has looked at anything or decided yet.").wait_for()
    assert page.locator("table").count() == 0

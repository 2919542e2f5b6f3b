"""The grid in a real Chromium, on a list of 1,000,000 tiles: every tile can be reached, few elements exist, a fling loads nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from web.looking import until

MILLION = 1_000_000


def rested(page: Any) -> None:
    """Wait until the grid has come to rest and has put box and position together again."""
    page.wait_for_timeout(400)


def tile(page: Any, number: int) -> Any:
    """The cell of a tile by its number from 1."""
    return page.locator(f"#tile-{number - 1}")


@pytest.fixture
def grid(watched: Callable[..., Any], fake: Callable[..., Any]) -> tuple[Any, Any]:
    """A desk of 1,000,000 and a page that shows it."""
    desk, address = fake(MILLION)
    page = watched(address, viewport={"width": 1600, "height": 1000}).page()
    tile(page, 1).wait_for()
    return desk, page


def in_sight(page: Any, number: int) -> bool:
    """Whether the whole tile is within the grid's window."""
    return bool(
        page.evaluate(
            """(id) => { const g = document.querySelector('.grid').getBoundingClientRect();
            const t = document.getElementById(id)?.getBoundingClientRect();
            return !!t && t.top >= g.top - 1 && t.bottom <= g.bottom + 1; }""",
            f"tile-{number - 1}",
        )
    )


def test_the_last_row_is_reached_by_the_scroll_bar(grid: tuple[Any, Any]) -> None:
    """The bar drawn to its end shows tile 1,000,000, whole; and to its beginning tile 1."""
    _, page = grid
    page.evaluate("const g = document.querySelector('.grid'); g.scrollTop = g.scrollHeight")
    tile(page, MILLION).wait_for()
    assert in_sight(page, MILLION)
    page.evaluate("document.querySelector('.grid').scrollTop = 0")
    tile(page, 1).wait_for()
    assert in_sight(page, 1)


def test_the_last_row_is_reached_by_key_and_the_bar_follows(grid: tuple[Any, Any]) -> None:
    """End goes to the last tile, and the scroll bar stands at its end then."""
    _, page = grid
    page.keyboard.press("End")
    tile(page, MILLION).wait_for()
    assert in_sight(page, MILLION)
    rested(page)
    box = page.evaluate("(() => { const g = document.querySelector('.grid'); return [g.scrollTop + g.clientHeight, g.scrollHeight]; })()")
    assert abs(box[0] - box[1]) <= 2
    assert box[1] <= 8_000_000


def test_go_to_734_000(grid: tuple[Any, Any]) -> None:
    """G, a number with its comma, Enter: that tile has the focus, is in sight, and its row is loaded."""
    _, page = grid
    page.keyboard.press("g")
    page.get_by_label("Number").fill("734,000")
    page.keyboard.press("Enter")
    tile(page, 734_000).wait_for()
    assert in_sight(page, 734_000)
    until(page, "document.querySelector('#tile-733999').getAttribute('aria-label').includes('IMG_0733999')")
    assert page.locator(".grid").get_attribute("aria-activedescendant") == "tile-733999"


def test_a_slow_wheel_passes_every_row_and_a_rest_moves_nothing(grid: tuple[Any, Any]) -> None:
    """From the middle, turns of the wheel move the rows by their pixels; when the hand rests, bar and rows are put together unseen."""
    _, page = grid
    page.keyboard.press("g")
    page.get_by_label("Number").fill("500000")
    page.keyboard.press("Enter")
    tile(page, 500_000).wait_for()
    rested(page)
    page.mouse.move(800, 500)
    top = "document.querySelector('#tile-499999').getBoundingClientRect().top"
    before = page.evaluate(top)
    page.mouse.wheel(0, 120)
    page.wait_for_timeout(120)
    moved = page.evaluate(top)
    rested(page)
    assert before - moved == pytest.approx(120, abs=2)
    assert page.evaluate(top) == pytest.approx(moved, abs=1)


REST = 80
"""Milliseconds after which rows rest (`Pace.REST` of packs.ts), less a margin."""

FLING = """() => new Promise((done) => { const g = document.querySelector('.grid'); let n = 0, last = performance.now(), longest = 0;
const step = () => { g.scrollTop += 4000; longest = Math.max(longest, performance.now() - last); last = performance.now();
if (++n < 40) requestAnimationFrame(step); else done(longest); }; step(); })"""
"""Scrolls through forty frames; the longest time between two of them, in milliseconds."""


def test_a_fling_loads_nothing_and_a_rest_does(grid: tuple[Any, Any]) -> None:
    """While rows fly by nothing is asked for; once they rest, what is in sight is, in at most three requests."""
    desk, page = grid
    for _ in range(20):
        rested(page)
        desk.requests.clear()
        if page.evaluate(FLING) < REST:  # where the machine itself paused for so long, the rows did rest
            break
    else:
        pytest.fail("this machine is too busy to fling: a frame took as long as a rest, twenty times")
    asked = [r for r in desk.requests if "/rows" in r or "/thumbs" in r]
    assert asked == []
    rested(page)
    page.wait_for_timeout(300)
    asked = [r for r in desk.requests if "/rows" in r or "/thumbs" in r]
    assert 1 <= len(asked) <= 5


def test_few_elements(watched: Callable[..., Any], fake: Callable[..., Any]) -> None:
    """A page of 1,000,000 tiles has at most 600 elements, also with the smallest tiles in a large window."""
    desk, address = fake(MILLION)
    for tile_edge, width, height in [(160, 1600, 1000), (128, 1920, 1080)]:
        desk.settings["tile"] = tile_edge
        page = watched(address, viewport={"width": width, "height": height}).page()
        tile(page, 1).wait_for()
        rested(page)
        assert page.evaluate("document.querySelectorAll('*').length") <= 600


def test_elements_are_recycled(grid: tuple[Any, Any]) -> None:
    """Scrolling 200 rows makes no cell: those that left are those that came."""
    _, page = grid
    page.evaluate(
        """() => { window.made = 0;
        const seen = new MutationObserver((list) => list.forEach((m) => { window.made += m.addedNodes.length; }));
        seen.observe(document.querySelector('.mover'), {childList: true}); }"""
    )
    for _ in range(20):
        page.evaluate("document.querySelector('.grid').scrollTop += 1900")
        page.wait_for_timeout(30)
    assert page.evaluate("window.made") == 0


def test_a_resized_window_keeps_the_focus_in_sight(grid: tuple[Any, Any]) -> None:
    """The focused tile stays in sight in a narrow window and at 200 % zoom."""
    _, page = grid
    page.keyboard.press("g")
    page.get_by_label("Number").fill("734000")
    page.keyboard.press("Enter")
    tile(page, 734_000).wait_for()
    for width, height in [(800, 500), (1900, 1000), (640, 400)]:
        page.set_viewport_size({"width": width, "height": height})
        rested(page)
        assert in_sight(page, 734_000)


def test_pixels_are_drawn_and_protected(grid: tuple[Any, Any]) -> None:
    """The canvas of a row holds pixels where the pack had a picture, and none where it had none."""
    _, page = grid
    page.wait_for_timeout(600)
    alpha = """(c) => { const row = document.querySelector('#tile-0').parentElement; const k = row.querySelector('canvas');
    return k.getContext('2d').getImageData(c * 168 + 80, 80, 1, 1).data[3]; }"""
    columns = int(page.locator(".grid").get_attribute("aria-colcount"))
    assert page.evaluate(alpha, 0) == 255
    assert columns > 1 and page.evaluate(alpha, 1) == 255


def test_a_list_of_one_and_of_none(watched: Callable[..., Any], fake: Callable[..., Any]) -> None:
    """One tile is shown; of none the page says what to do."""
    _, one = fake(1)
    page = watched(one).page()
    tile(page, 1).wait_for()
    _, none = fake(0)
    page = watched(none).page()
    page.get_by_text("This case has no contents yet").wait_for()


def test_what_did_not_come_is_asked_for_again(watched: Callable[..., Any], fake: Callable[..., Any]) -> None:
    """When rows cannot be loaded the page says so, tries again by itself, and takes the message away when they come."""
    desk, address = fake(1_000)
    desk.fault = lambda method, path: 503 if path.endswith("/rows") else None
    one = watched(address)
    one.expected = ("503",)
    page = one.page()
    page.locator(".trouble").get_by_text("The disk is full.").wait_for()
    desk.fault = lambda method, path: None
    until(page, "document.querySelector('#tile-0').getAttribute('aria-label').includes('IMG_')")
    page.locator(".trouble").wait_for(state="detached")

"""Deciding, undoing, revealing and blanking in a real Chromium, against a server that refuses and loses answers on demand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from web.looking import until


@pytest.fixture
def desk_page(watched: Callable[..., Any], fake: Callable[..., Any]) -> tuple[Any, Any, Any]:
    """A desk of 500 tiles, the page, and its context."""
    desk, address = fake(500)
    one = watched(address)
    page = one.page()
    page.locator("#tile-0").wait_for()
    until(page, "document.querySelector('#tile-0').getAttribute('aria-label').includes('IMG_')")
    return desk, page, one


def mark(page: Any, index: int) -> str | None:
    """What a tile is marked with."""
    return page.locator(f"#tile-{index}").get_attribute("data-mark")


def saved(page: Any) -> None:
    """Wait until the page says that all is saved."""
    page.locator("[data-state=saved]").wait_for()


def test_a_token_leaves_the_address(watched: Callable[..., Any], fake: Callable[..., Any]) -> None:
    """Signing in by the fragment opens the list, and the token is neither in the address nor in the history."""
    _, address = fake(10)
    page = watched(address).page("/#token=good")
    page.locator("#tile-0").wait_for()
    assert "token" not in page.url
    page.go_back()
    assert "token" not in page.url


def test_a_used_token_says_what_to_do(watched: Callable[..., Any], fake: Callable[..., Any]) -> None:
    """A token that is refused leads to a page that tells how to get another."""
    _, address = fake(10)
    one = watched(address)
    one.expected = ("401",)
    page = one.page("/#token=used")
    page.get_by_text("it prints a new one").wait_for()


def test_a_digit_decides_and_moves_on(desk_page: tuple[Any, Any, Any]) -> None:
    """1 marks the tile and goes to the next; Shift stays; the server has both."""
    desk, page, _ = desk_page
    page.keyboard.press("1")
    assert mark(page, 0) == "1"
    assert page.locator(".grid").get_attribute("aria-activedescendant") == "tile-1"
    page.keyboard.press("Shift+Digit2")
    assert (mark(page, 1), page.locator(".grid").get_attribute("aria-activedescendant")) == ("2", "tile-1")
    saved(page)
    assert desk.decided == {0: "1", 1: "2"}


def test_undo_goes_back(desk_page: tuple[Any, Any, Any]) -> None:
    """Backspace takes the last decision back, on the screen and on the server, and the focus goes back to it."""
    desk, page, _ = desk_page
    for key in "123":
        page.keyboard.press(key)
    page.keyboard.press("Backspace")
    page.keyboard.press("Control+z")
    saved(page)
    assert (mark(page, 0), mark(page, 1), mark(page, 2)) == ("1", None, None)
    assert page.locator(".grid").get_attribute("aria-activedescendant") == "tile-1"
    assert desk.decided == {0: "1", 1: None, 2: None}


def test_undo_after_a_reload(desk_page: tuple[Any, Any, Any]) -> None:
    """What was decided before a reload is undone after it."""
    desk, page, _ = desk_page
    page.keyboard.press("1")
    saved(page)
    page.reload()
    until(page, "document.querySelector('#tile-0')?.dataset.mark === '1'")
    page.keyboard.press("Backspace")
    until(page, "!document.querySelector('#tile-0')?.dataset.mark")
    assert desk.decided == {0: None}


def test_a_failed_save_is_painted_back_and_said(desk_page: tuple[Any, Any, Any]) -> None:
    """A refusal takes the marks away, stops deciding, says what is lost (nothing saved), and saves all when tried again."""
    desk, page, one = desk_page
    one.expected = ("503",)
    page.keyboard.press("4")
    saved(page)
    desk.fault = lambda method, path: 503 if path.startswith("/api/decisions") else None
    page.keyboard.press("1")
    page.get_by_text("decision not saved").wait_for()
    assert "The disk is full." in page.inner_text("footer")
    assert (mark(page, 0), mark(page, 1)) == ("4", None)
    page.keyboard.press("2")
    assert mark(page, 2) is None
    desk.fault = lambda method, path: None
    page.get_by_role("button", name="Try again").click()
    saved(page)
    assert (desk.decided, mark(page, 1)) == ({0: "4", 1: "1"}, "1")


def test_a_lost_answer_saves_once(desk_page: tuple[Any, Any, Any]) -> None:
    """When the answer gets lost on its way, trying again does not decide twice."""
    desk, page, one = desk_page
    one.expected = ("ERR_", "Failed to load")
    desk.lose_answer = lambda path: path == "/api/decisions"
    page.keyboard.press("1")
    page.get_by_text("decision not saved").wait_for()
    desk.lose_answer = lambda path: False
    page.get_by_role("button", name="Try again").click()
    saved(page)
    assert len(desk.events) == 1


def test_a_reload_loses_no_unsent_decision(desk_page: tuple[Any, Any, Any]) -> None:
    """What could not be sent is sent after the reload, with its old key."""
    desk, page, one = desk_page
    one.expected = ("503",)
    desk.fault = lambda method, path: 503 if path.startswith("/api/decisions") else None
    page.keyboard.press("3")
    page.get_by_text("decision not saved").wait_for()
    desk.fault = lambda method, path: None
    page.on("dialog", lambda d: d.accept())
    page.reload()
    until(page, "document.querySelector('#tile-0')?.dataset.mark === '3'")
    assert (desk.decided, len(desk.events)) == ({0: "3"}, 1)


def test_all_in_the_list_after_a_question(desk_page: tuple[Any, Any, Any]) -> None:
    """Ctrl+A and a digit ask, with how many are decided and how; yes decides all at once, one undo takes all back."""
    desk, page, _ = desk_page
    page.keyboard.press("2")
    saved(page)
    page.keyboard.press("Control+a")
    page.keyboard.press("0")
    dialog = page.locator("dialog")
    dialog.get_by_text("500 contents").first.wait_for()
    assert "Exploitive, other" in dialog.inner_text()
    assert set(desk.decided.values()) == {"2"}
    dialog.get_by_role("button", name="Decide").click()
    until(page, "document.querySelector('#tile-3').dataset.mark === '0'")
    saved(page)
    assert set(desk.decided.values()) == {"0"} and len(desk.decided) == 500
    page.keyboard.press("Backspace")
    until(page, "!document.querySelector('#tile-3').dataset.mark && document.querySelector('#tile-0').dataset.mark === '2'")
    assert {c for c in desk.decided.values() if c} == {"2"}


def test_a_selection_of_tiles(desk_page: tuple[Any, Any, Any]) -> None:
    """Shift and arrows select a range, a digit asks about it and decides it."""
    desk, page, _ = desk_page
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    assert [page.locator(f"#tile-{i}").get_attribute("aria-selected") for i in range(4)] == ["true", "true", "true", "false"]
    page.keyboard.press("1")
    page.locator("dialog").get_by_text("3 contents").first.wait_for()
    page.keyboard.press("Escape")
    assert desk.decided == {}
    page.keyboard.press("1")
    page.locator("dialog").get_by_role("button", name="Decide 3").click()
    saved(page)
    assert desk.decided == {0: "1", 1: "1", 2: "1"}


def visible(page: Any) -> int:
    """Width of the revealed picture on the screen; 0 when there is none."""
    return int(
        page.evaluate("(() => { const c = document.querySelector('.layer canvas'); return c.offsetParent === null ? 0 : c.width; })()")
    )


def test_a_reveal_lasts_as_long_as_the_key(desk_page: tuple[Any, Any, Any]) -> None:
    """Space shows a drawing, Shift one step more, and releasing hides it; each look is a row with its time."""
    desk, page, _ = desk_page
    assert visible(page) == 0
    page.keyboard.down("Space")
    until(page, "document.querySelector('.layer canvas').width > 0")
    assert page.locator(".layer").get_attribute("data-level") == "drawing"
    page.keyboard.down("Shift")
    until(page, "document.querySelector('.layer').dataset.level === 'small' && document.querySelector('.layer canvas').width > 0")
    page.keyboard.up("Shift")
    page.keyboard.up("Space")
    assert visible(page) == 0
    page.wait_for_timeout(200)
    assert [(r["index"], r["level"]) for r in desk.reveals] == [(0, "drawing"), (0, "small")]
    assert all(r["ended"] is not None and r["ended"] >= 0 for r in desk.reveals)


@pytest.mark.parametrize("leave", ["blur", "escape", "move", "hidden"])
def test_a_reveal_ends_at_once(desk_page: tuple[Any, Any, Any], leave: str) -> None:
    """Losing the window, blanking, moving on and hiding the tab hide what is shown although the key is still down."""
    desk, page, _ = desk_page
    page.keyboard.down("Space")
    until(page, "document.querySelector('.layer canvas').width > 0")
    if leave == "blur":
        page.evaluate("window.dispatchEvent(new Event('blur'))")
    elif leave == "escape":
        page.keyboard.press("Escape")
    elif leave == "move":
        page.keyboard.press("ArrowRight")
    else:
        page.evaluate(
            "Object.defineProperty(document, 'hidden', {value: true, configurable: true}); document.dispatchEvent(new Event('visibilitychange'))"
        )
    assert visible(page) == 0
    page.wait_for_timeout(150)
    assert [r["ended"] is not None for r in desk.reveals] == [True]


def test_blank_takes_every_pixel_away(desk_page: tuple[Any, Any, Any]) -> None:
    """Escape leaves no pixel and no name on the screen; the same key brings the tiles back."""
    _, page, _ = desk_page
    page.wait_for_timeout(400)
    drawn = "[...document.querySelectorAll('.pixels')].some((c) => c.width && c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((v) => v))"
    assert page.evaluate(drawn)
    page.keyboard.press("Escape")
    assert not page.evaluate(drawn)
    assert page.get_by_text("Blanked.", exact=True).is_visible()
    page.keyboard.press("b")
    until(page, drawn)


def test_a_known_illegal_one_needs_a_reason(watched: Callable[..., Any], fake: Callable[..., Any]) -> None:
    """Looking at what a set knows as illegal asks why first, and the reason goes with the reveal."""
    desk, address = fake(20, known="illegal")
    page = watched(address).page()
    until(page, "document.querySelector('#tile-0')?.dataset.known === 'illegal'")
    page.keyboard.press("Space")
    page.get_by_label("Reason").fill("second opinion")
    page.keyboard.press("Enter")
    page.locator("dialog").wait_for(state="detached")
    assert desk.reveals == []
    page.keyboard.down("Space")
    until(page, "document.querySelector('.layer canvas').width > 0")
    page.keyboard.up("Space")
    assert [r["reason"] for r in desk.reveals] == ["second opinion"]


def test_a_note_tags_and_flags_by_keyboard(desk_page: tuple[Any, Any, Any]) -> None:
    """N, T and F open a sheet each; what is written there is one decision each, and the focus comes back to the grid."""
    desk, page, _ = desk_page
    page.keyboard.press("n")
    page.keyboard.type("1 looks like the kitchen")
    page.get_by_role("button", name="Save").press("Enter")
    page.keyboard.press("t")
    page.keyboard.type("kitchen, -garden")
    page.keyboard.press("Enter")
    page.keyboard.press("f")
    page.get_by_label("Distributed").check()
    page.get_by_role("button", name="Save").click()
    saved(page)
    until(page, "document.activeElement.classList.contains('grid')")
    assert [e["set"] for e in desk.events] == [
        {"note": "1 looks like the kitchen"},
        {"add_tags": ["kitchen"], "remove_tags": ["garden"]},
        {"add_flags": ["distributed"]},
    ]


def test_new_results_wait(desk_page: tuple[Any, Any, Any]) -> None:
    """New results of a running job move nothing; a button says how many wait and shows them."""
    desk, page, _ = desk_page
    desk.running, desk.new = True, 1204
    asked = desk.asked["POST /api/views"]
    button = page.get_by_role("button", name="1,204 new: show")
    button.wait_for(timeout=8000)
    assert desk.asked["POST /api/views"] == asked
    assert "5 s left" in page.inner_text(".strip")
    button.click()
    page.wait_for_timeout(200)
    assert desk.asked["POST /api/views"] == asked + 1


def test_back_works(desk_page: tuple[Any, Any, Any]) -> None:
    """Opening an item, choosing a filter and going Back leads to where one was."""
    _, page, _ = desk_page
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.locator("article").wait_for()
    assert page.url.endswith("item=2")
    page.go_back()
    page.locator("article").wait_for(state="detached")
    page.get_by_label("Name or path contains").fill("kitchen")
    page.keyboard.press("Enter")
    until(page, "location.hash.includes('kept=k.')")
    assert "kitchen" not in page.url
    page.go_back()
    until(page, "document.querySelector('#find').value === ''")


def test_two_tabs(desk_page: tuple[Any, Any, Any]) -> None:
    """Two tabs decide at the same time; both decisions are saved, and an undo in one takes back its own."""
    desk, page, one = desk_page
    other = one.page()
    other.locator("#tile-0").wait_for()
    other.wait_for_timeout(300)
    page.keyboard.press("1")
    other.keyboard.press("ArrowRight")
    other.keyboard.press("2")
    saved(page)
    saved(other)
    page.wait_for_timeout(200)
    page.keyboard.press("Backspace")
    page.wait_for_timeout(300)
    assert desk.decided == {0: None, 1: "2"}


def test_all_by_keyboard(desk_page: tuple[Any, Any, Any]) -> None:
    """Without a mouse: filter by a facet, open an item, look, decide, come back, and reach every page by Tab and Enter."""
    desk, page, _ = desk_page
    page.locator(".value input").first.wait_for()  # the counts come after the list
    page.keyboard.press("/")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    for _ in range(12):
        if page.evaluate("document.activeElement.type === 'checkbox'"):
            break
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.type === 'checkbox'")
    page.keyboard.press("Space")
    until(page, "location.hash.includes('=image')")
    assert desk.reveals == []
    until(
        page, "!(document.querySelector('.panel p.break')?.textContent ?? 'everything').includes('everything')"
    )  # the list in sight is that of the filter
    page.locator(".grid").focus()
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="IMG_0000000.JPG").wait_for()
    page.keyboard.down("Space")
    until(page, "document.querySelector('.layer canvas').width > 0")
    page.keyboard.up("Space")
    page.keyboard.press("1")
    page.get_by_role("heading", name="IMG_0000001.JPG").wait_for()
    page.keyboard.press("Enter")
    page.locator("article").wait_for(state="detached")
    saved(page)
    assert desk.decided == {0: "1"}
    page.get_by_role("link", name="My day").focus()
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="My day").wait_for()


def test_reduced_motion_and_no_picture_by_choice(watched: Callable[..., Any], fake: Callable[..., Any]) -> None:
    """With tiles without pictures nothing is drawn until Space is held, and then the protected picture first, which is no reveal."""
    desk, address = fake(50)
    desk.settings["start_level"] = "none"
    page = watched(address, reduced_motion="reduce").page()
    until(page, "document.querySelector('#tile-0')?.getAttribute('aria-label').includes('IMG_')")
    page.wait_for_timeout(300)
    drawn = "[...document.querySelectorAll('.pixels')].some((c) => c.width && c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((v) => v))"
    assert not page.evaluate(drawn)
    page.keyboard.down("Space")
    until(page, "document.querySelector('.layer canvas').width > 0")
    assert (page.locator(".layer").get_attribute("data-level"), desk.reveals) == ("protected", [])
    page.keyboard.up("Space")
    assert visible(page) == 0

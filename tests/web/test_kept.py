"""Words of a filter in a real Chromium: a reload, Back, a bookmark and a second tab show them again, and no address ever holds one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from web.looking import until

WORD = "<b>kitchen</b>"
FIND = "document.querySelector('#find')"
NOTED = """
window.noted = [];
for (const name of ["pushState", "replaceState"]) {
  const was = history[name].bind(history);
  history[name] = (state, unused, url) => { window.noted.push(`${url} ${JSON.stringify(state)}`); was(state, unused, url); };
}
"""


@pytest.fixture
def kept_page(watched: Callable[..., Any], fake: Callable[..., Any]) -> tuple[Any, Any, Any]:
    """A desk of 50 tiles, a page on which a word was typed and kept, and its context."""
    desk, address = fake(50)
    one = watched(address)
    one.context.add_init_script(NOTED)
    page = one.page("/#/review?kind=image")
    page.locator("#tile-0").wait_for()
    page.get_by_label("Name or path contains").fill(WORD)
    page.keyboard.press("Enter")
    until(page, "location.hash.includes('kept=k.')")
    return desk, page, one


def test_a_reload_shows_the_words_again(kept_page: tuple[Any, Any, Any]) -> None:
    """The word is in the field and in what is asked of the server, beside the rest of the address; it was kept once."""
    desk, page, _ = kept_page
    page.reload()
    until(page, f"{FIND}?.value === {WORD!r}")
    assert desk.filters[-1] == {"kind": ["image"], "text": WORD}
    assert list(desk.kept.values()) == [{"text": WORD}]


def test_a_bookmark_and_a_second_tab(kept_page: tuple[Any, Any, Any]) -> None:
    """The address alone, opened in another tab, is the same filter."""
    desk, page, one = kept_page
    other = one.page(page.url.removeprefix(one.address))
    until(other, f"{FIND}?.value === {WORD!r}")
    assert desk.filters[-1] == {"kind": ["image"], "text": WORD}


def test_back_and_forward(kept_page: tuple[Any, Any, Any]) -> None:
    """Back takes the word away, forward brings it again, also when the answer that names it came too late for its own entry."""
    desk, page, one = kept_page
    one.expected = ("503",)
    page.go_back()
    until(page, f"{FIND}.value === '' && !location.hash.includes('kept')")
    page.go_forward()
    until(page, f"{FIND}.value === {WORD!r}")
    page.get_by_label("Name or path contains").fill("garden")
    desk.fault = lambda method, path: 503 if path == "/api/filters" else None
    page.keyboard.press("Enter")
    until(page, "document.querySelector('[role=alert]')?.textContent.includes('could not be kept')")
    desk.fault = lambda method, path: None
    page.go_back()
    until(page, f"{FIND}.value === {WORD!r}")
    page.go_forward()
    until(page, f"{FIND}.value === 'garden' && location.hash.includes('kept=k.')")


def test_no_word_is_in_an_address_or_a_state_of_the_history(kept_page: tuple[Any, Any, Any]) -> None:
    """Whatever the page wrote into the history, address and state: neither a word, nor a camera, nor the place of a related picture."""
    _, page, _ = kept_page
    page.get_by_label("Path, with * for anything").fill("*/secret/*")
    page.keyboard.press("Enter")
    page.locator(".grid").focus()
    page.keyboard.press("s")
    until(page, "window.noted.length > 4 && location.hash.includes('kept=k.')")
    noted = "\n".join(page.evaluate("window.noted"))
    assert not [w for w in ("kitchen", "secret", "similar", "v1") if w in noted]
    assert page.get_by_text("Similar to DCIM/").is_visible()


def test_a_related_picture_after_a_reload(kept_page: tuple[Any, Any, Any]) -> None:
    """The list of similar ones is asked for by the handle, and says of which picture."""
    desk, page, _ = kept_page
    page.locator(".grid").focus()
    page.keyboard.press("s")
    until(page, "document.body.innerText.includes('Similar to DCIM/')")
    handle = page.url.rpartition("kept=")[2].partition("&")[0]
    page.reload()
    until(page, "document.body.innerText.includes('Similar to DCIM/')")
    assert desk.filters[-1]["similar_to"] == {"view": handle, "index": 0, "distance": 31}


def test_an_unknown_handle_says_so_and_the_rest_works(watched: Callable[..., Any], fake: Callable[..., Any]) -> None:
    """A handle that the server does not have for this person: a clear message, the rest of the filter, and an address without it."""
    desk, address = fake(50)
    one = watched(address)
    one.expected = ("404",)
    page = one.page("/#/review?kind=image&kept=k.ofsomebodyelse&stacked=no")
    page.locator("#tile-0").wait_for()
    page.get_by_text("Not there.").wait_for()
    assert desk.filters[-1] == {"kind": ["image"]}
    until(page, "!location.hash.includes('kept') && location.hash.includes('kind=image') && location.hash.includes('stacked=no')")


def test_words_that_cannot_be_kept_work_until_a_reload(watched: Callable[..., Any], fake: Callable[..., Any]) -> None:
    """When the server cannot keep them the filter works, and the page says what a reload will forget."""
    desk, address = fake(50)
    one = watched(address)
    one.expected = ("503",)
    desk.fault = lambda method, path: 503 if path == "/api/filters" else None
    page = one.page()
    page.locator("#tile-0").wait_for()
    page.get_by_label("Name or path contains").fill(WORD)
    page.keyboard.press("Enter")
    page.get_by_text("could not be kept: The disk is full.").wait_for()
    assert page.get_by_text("It works until the page is loaded again.").is_visible()
    until(page, f"{FIND}.value === {WORD!r}")
    assert desk.filters[-1] == {"text": WORD}

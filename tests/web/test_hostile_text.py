"""Hostile names and EXIF on every page in a real Chromium: nothing runs, nothing is injected, and each name is there as text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from command import Command
from hostile_names import FOLDER, NAMES, WORDS, write
from reviewing import Browser
from reviewing import Serving as Headless
from safelight.escape import printable, readable
from web.looking import until
from web.serving import Serving

PAGES = (
    "review?stacked=no&kind=any", "review?stacked=no&kind=any&as=time", "review?stacked=no&kind=any&as=map", "proposals", "disputes", "problems", "day",
    "exports", "settings",
)  # fmt: skip
OWN = (
    "html head meta title link script noscript body div span main header footer section article aside nav h1 h2 h3 p ul ol li dl dt dd table thead tbody "
    "tr th td strong em code kbd b canvas button a input select option label form textarea fieldset legend dialog svg path rect circle g line text "
    "polyline polygon details summary small bdi figure figcaption img progress style"
).split()
INJECTED = """(own) => [...document.querySelectorAll('*')].flatMap((e) => {
  const ours = location.origin + '/';
  const held = e.closest('.cell, article, aside, table, .stack') && !e.closest('section.panel, dialog');
  const wrong = !own.includes(e.localName)
    || (e.localName === 'script' && !e.src.startsWith(ours + 'assets/'))
    || (e.localName === 'link' && !e.href.startsWith(ours))
    || (['b', 'img', 'style', 'form'].includes(e.localName) && held);
  const acts = [...e.attributes].filter((a) => a.name.startsWith('on') || a.name === 'srcdoc'
    || (['href', 'src'].includes(a.name) && /^\\s*(javascript|data):/i.test(a.value)));
  return [...(wrong ? [e.outerHTML] : []), ...acts.map((a) => `${e.localName} ${a.name}`)];
})"""


def settled(page: Any) -> None:
    """Wait until the page has loaded what it shows."""
    until(page, "!document.body.innerText.includes('Loading …') && !document.body.innerText.includes('Counting …')")
    until(
        page, "!document.body.innerText.includes('Putting the list in order') && !document.querySelector('section.panel[aria-busy=true]')"
    )
    until(
        page,
        "![...document.querySelectorAll('.row:not([hidden]) .cell:not([hidden])')].some((c) => (c.getAttribute('aria-label') ?? '').includes('not loaded'))",
    )


def clean(page: Any, where: str) -> None:
    """Nothing ran, nothing was put in, nothing goes beyond the window, and what is invisible stands there escaped."""
    assert page.evaluate("'taken' in window || document.cookie !== ''") is False, where
    assert page.evaluate("window.violations") == [], where
    assert page.evaluate(INJECTED, OWN) == [], where
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), where
    shown = page.evaluate("document.documentElement.textContent + [...document.querySelectorAll('[aria-label]')].map((e) => e.ariaLabel)")
    assert not [c for c in "\u202e\u2066\u2069\u200f\u061c\x1b\x07\x01\ufeff\u2028\u00ad" if c in shown], where


@pytest.fixture(scope="module")
def case(module_safelight: Command) -> Path:
    """A case whose title, exhibit, files, folder, EXIF, notes and tags are hostile; two people disagree about some of it."""
    run = module_safelight
    write(run.folder / "evidence")
    known = run.folder / "evidence" / FOLDER / "constructor"
    from hashlib import md5

    (run.folder / "known.md5").write_text(md5(known.read_bytes()).hexdigest() + "\n")
    run("hashset", "add", run.folder / "known.md5", "--name", "<i>set</i>", "--as", "illegal")
    run("new", run.case, "--title", "<img src=x onerror=window.taken=1> {{7*191}}", "--votes", 2)
    run("add", run.case, run.folder / "evidence", "--exhibit", "<u>A&B")
    run("run", run.case, "--workers", 2, "-q")
    for user, category in (("<b>anna</b>", "0"), ("bert", "1")):
        with Headless(run, run.case, "--user", user) as serving:
            vote(serving.browser(), category)
    return run.case


def vote(browser: Browser, category: str) -> None:
    """Give each of the first tiles a hostile note and tag and a vote."""
    view = browser.view("path", stacked=False, kind=["any"])
    for n in range(6):
        browser.decide(view, n, category=category, note=WORDS[n], add_tags=[WORDS[n + 1].replace(",", " ").strip()])


@pytest.fixture(scope="module")
def serving(case: Path, module_safelight: Command) -> Iterator[Serving]:
    with Serving(case, module_safelight.folder / "library", "--user", "<b>anna</b>", "--role", "supervisor") as one:
        yield one


@pytest.fixture
def page(watched: Callable[..., Any], serving: Serving) -> Any:
    """A signed-in page on which a dialog of the browser is a fault."""
    one = watched(serving.address)
    found = one.page(serving.another())
    found.on("dialog", lambda d: (one.faults.append(f"dialog: {d.message}"), d.dismiss()))
    found.on("popup", lambda p: one.faults.append(f"popup: {p.url}"))
    found.locator("#tile-0").wait_for()
    found.one = one
    return found


@pytest.mark.parametrize("size", [(1280, 800), (640, 400)])
def test_every_page(page: Any, size: tuple[int, int]) -> None:
    """Each page, also at 200 %: all groups of the filter open, every tile of the list passed by the focus."""
    page.set_viewport_size({"width": size[0], "height": size[1]})
    seen = ""
    for path in PAGES:
        page.goto("about:blank")  # so that the page is loaded anew, and what it waits for is waited for
        page.goto(page.one.address + "/#/" + path)
        page.locator("main.middle, main.scroller").wait_for()
        settled(page)
        if page.locator(".desk").count() and not page.locator("section.panel").count():
            page.get_by_role("button", name="Filter", exact=True).click()
        for button in (
            page.locator("section.panel button.head[aria-expanded=false]"),
            page.locator("section.panel button.small", has_text=" more"),
        ):
            while button.count():
                button.first.click()
                settled(page)
        settled(page)
        clean(page, path)
        seen += page.evaluate("document.body.textContent")
    wanted = [FOLDER, "<u>A&B", "<i>set</i>", "<img src=x onerror=window.taken=1> {{7*191}}", WORDS[1]]
    assert [w for w in wanted if printable(w) not in seen] == []


def test_every_item(page: Any) -> None:
    """The page of each content shows the name of its file and each value of its EXIF as text, letter by letter."""
    every = "/#/review?stacked=no&kind=any&order=path&known=new&known=other&known=illegal"
    page.goto(page.one.address + every)
    settled(page)
    count = int(
        page.evaluate("document.querySelector('.grid').getAttribute('aria-rowcount') && document.body.innerText.match(/of ([0-9,]+)/)[1]")
    )
    names, values = set[str](), set[str]()
    for n in range(count):
        page.goto(f"{page.one.address}{every}&item={n + 1}")
        until(page, f"document.querySelector('article[aria-busy=false]')?.ariaLabel === 'All about tile {n + 1}'")
        settled(page)
        clean(page, f"item {n}")
        names |= set(page.locator(".place strong").all_text_contents())
        values |= set(page.locator("article dd").all_text_contents())
    assert {n.rsplit("/", 1)[-1] for n in names} >= {readable(n) for n in NAMES}
    assert [w for w in WORDS[:27] if printable(w).strip() not in {v.strip() for v in values}] == []


def test_sheets_and_what_is_said(page: Any) -> None:
    """Sheets over a hostile tile: the question before a decision, note, tags, flags, the reason for a look."""
    page.goto(page.one.address + "/#/review?stacked=no&kind=any&order=path")
    settled(page)
    for key in ("n", "t", "f", "?", "g"):
        page.locator(".grid").focus()
        page.keyboard.press(key)
        page.locator("dialog").wait_for()
        clean(page, f"sheet {key}")
        page.keyboard.press("Escape")
        page.locator("dialog").wait_for(state="detached")
    page.locator(".grid").focus()
    page.keyboard.press("Control+a")
    page.keyboard.press("0")
    page.locator("dialog").get_by_role("button", name="Decide").wait_for()
    clean(page, "confirm")
    page.keyboard.press("Escape")


def test_a_hostile_word_is_searched_and_kept(page: Any) -> None:
    """A hostile name typed as a filter finds its file, comes back after a reload, and stands in the field as it was typed."""
    page.goto(page.one.address + "/#/review?stacked=no&kind=any")
    settled(page)
    page.get_by_label("Name or path contains").fill(WORDS[2])
    page.keyboard.press("Enter")
    until(page, "location.hash.includes('kept=k.')")
    page.reload()
    until(page, "document.querySelector('#find')?.value.includes('<svg onload')")
    settled(page)
    assert page.locator("#find").input_value() == WORDS[2]
    assert printable(WORDS[2]) in page.locator("#tile-0").get_attribute("aria-label")
    clean(page, "kept")

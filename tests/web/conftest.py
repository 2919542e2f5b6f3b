"""A real Chromium for the tests of the page: one browser a session, one context a test.

Each page is watched: a violation of the content policy, an error on the console, an exception, or a request to another host fails the
test. Chromium is Debian's; nothing is downloaded. Tests are skipped with a clear message where browser or built page are missing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from web.fake import PAGE, Desk, Server

CHROMIUM = Path("/usr/bin/chromium")
AXE = Path(__file__).resolve().parents[2] / "web/node_modules/axe-core/axe.min.js"

WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (e) => window.violations.push(`${e.violatedDirective}: ${e.blockedURI} ${e.sample}`));
"""


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Debian's Chromium, headless, without a graphics card."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make setup")
    if not CHROMIUM.is_file():
        pytest.skip(f"no Chromium at {CHROMIUM}")
    if not (PAGE / "index.html").is_file():
        pytest.skip("the page is not built: tools/setup.sh test")
    root = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=[*root, "--disable-gpu", "--disable-background-networking"]
        )
        yield started
        started.close()


class Watched:
    """A context of the browser that notes what must not happen."""

    def __init__(self, browser: Any, address: str, **options: Any) -> None:
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
        self.context.add_init_script(WATCH)
        self.host = urlsplit(address).netloc
        self.address = address
        self.faults: list[str] = []
        self.expected: tuple[str, ...] = ()

    def page(self, path: str = "/#/review") -> Any:
        """Open a page and watch it."""
        page = self.context.new_page()
        page.on("console", lambda m: self.faults.append(f"console: {m.text} ({m.location.get('url')})") if m.type == "error" else None)
        page.on("pageerror", lambda e: self.faults.append(f"exception: {e}"))
        page.on(
            "request",
            lambda r: self.faults.append(f"foreign: {r.url}") if r.url.startswith("http") and urlsplit(r.url).netloc != self.host else None,
        )
        page.goto(self.address + path)
        return page

    def check(self) -> None:
        """Fail when something has happened that must not."""
        for page in self.context.pages:
            self.faults += [f"policy: {v}" for v in page.evaluate("window.violations")]
        assert [f for f in self.faults if not any(e in f for e in self.expected)] == []


@pytest.fixture
def watched(browser: Any, fake: Callable[..., tuple[Desk, str]]) -> Iterator[Callable[..., Watched]]:
    """Make watched contexts; all are checked and closed at the end of the test.

    `fake` is asked for so that its servers end after the pages do. A server that is told to end does not accept the next connection any
    more, and the browser logs it as reset when that server is gone: chunks that are asked for 90 ms after the last scroll did so.
    """
    made: list[Watched] = []

    def make(address: str, **options: Any) -> Watched:
        made.append(Watched(browser, address, **options))
        return made[-1]

    yield make
    for one in made:
        one.check()
        one.context.close()


@pytest.fixture
def fake() -> Iterator[Callable[..., tuple[Desk, str]]]:
    """Start fake servers: `fake(count)` → what it knows, and its address."""
    with ExitStack() as stack:

        def start(count: int, **options: Any) -> tuple[Desk, str]:
            desk = Desk(count, **options)
            return desk, stack.enter_context(Server(desk)).address

        yield start


def axe_faults(page: Any) -> list[str]:
    """What axe finds serious or critical, as `rule: element`. axe comes in by the debugger's protocol, past the page's policy."""
    if not AXE.is_file():
        pytest.skip("axe-core is not installed: tools/setup.sh test")
    page.evaluate(AXE.read_text("utf-8") + "; 0")
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{v['id']}: {n['html'][:160]} {n['any'][0]['message'][:160] if n['any'] else ''}"
        for v in found["violations"]
        if v["impact"] in ("serious", "critical")
        for n in v["nodes"][:3]
    ]

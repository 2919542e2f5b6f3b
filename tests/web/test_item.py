"""Look-alikes and the rank within a stack on the page of an item, in a real Chromium against the real server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from PIL import ImageOps

from command import Command
from recall_corpus import drawn
from web.conftest import axe_faults
from web.looking import until
from web.serving import Serving

ARTICLE = "document.querySelector('article[aria-busy=false]')"


@pytest.fixture(scope="module")
def serving(module_safelight: Command) -> Iterator[Serving]:
    """A case in which one picture has crops and smaller copies, looked at a second time."""
    run = module_safelight
    folder = run.folder / "pictures"
    folder.mkdir()
    one = drawn(3).convert("RGB").resize((900, 700))
    one.save(folder / "a whole.jpg", quality=92)
    one.crop((90, 60, 640, 500)).save(folder / "b crop.png")
    ImageOps.mirror(one.crop((100, 100, 700, 600))).save(folder / "c mirrored.png")
    one.resize((450, 350)).save(folder / "d smaller.jpg", quality=90)
    for n in range(4):
        drawn(20 + n).convert("RGB").save(folder / f"other {n}.jpg", quality=90)
    run("new", run.case)
    run("add", run.case, folder, "--exhibit", "A")
    run("run", run.case, "-q", "--features", "--workers", 2)
    with Serving(run.case, run.folder / "library", "--user", "anna") as started:
        yield started


@pytest.fixture
def page(watched: Callable[..., Any], serving: Serving) -> Any:
    """The item of the whole picture, and every request for a look."""
    one = watched(serving.address)
    found = one.page(serving.another())
    found.locator("#tile-0").wait_for()
    found.looks = []
    found.on("request", lambda r: found.looks.append(r.url) if "/api/reveals" in r.url else None)
    found.goto(one.address + "/#/review?stacked=no&order=path&item=1")
    until(found, f"{ARTICLE}?.querySelector('h1').textContent === 'a whole.jpg'")
    return found


def test_the_common_part_is_drawn_over_protected_pictures(page: Any) -> None:
    """Each link says relation and evidence; on demand the part is marked in both protected pictures, and no look was needed."""
    links = page.get_by_label("Look-alikes")
    assert "corners agree" in links.inner_text() and "mirrored" in links.inner_text()
    assert page.locator(".box").count() == 0
    entry = links.locator("li", has_text="b crop.png")
    entry.get_by_role("button", name="Show the common part").click()
    drawn_ones = "[...document.querySelectorAll('article canvas')].filter((c) => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((v) => v))"
    until(page, f"document.querySelectorAll('article .box').length === 2 && {drawn_ones}.length === 2")
    grey = "((d) => { for (let i = 0; i < d.length; i += 4) if (Math.abs(d[i] - d[i + 1]) > 8 || Math.abs(d[i] - d[i + 2]) > 8) return false; return true; })"
    assert page.evaluate(f"{drawn_ones}.every((c) => {grey}(c.getContext('2d').getImageData(0, 0, c.width, c.height).data))")
    box, square = page.locator(".left .box").bounding_box(), page.locator(".left canvas").bounding_box()
    left, right = (box["x"] - square["x"]) / square["width"], (box["x"] + box["width"] - square["x"]) / square["width"]
    assert 0.08 <= left < right <= 0.74
    assert axe_faults(page) == []
    entry.get_by_role("button", name="Show the common part").click()
    until(page, "document.querySelectorAll('article .box').length === 0")
    assert page.looks == []


def test_blanking_takes_the_other_picture_too(page: Any) -> None:
    """Esc leaves no pixel of either picture."""
    page.get_by_label("Look-alikes").get_by_role("button", name="Show the common part").first.click()
    until(page, "document.querySelectorAll('article .box').length === 2")
    page.keyboard.press("Escape")
    until(
        page,
        "![...document.querySelectorAll('article canvas')].some((c) => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((v) => v))",
    )


def test_links_lead_on_and_back(page: Any) -> None:
    """A look-alike opens its own page, which names the first one; Back returns; all of them are a list that a reload restores."""
    page.get_by_label("Look-alikes").get_by_role("button", name="b crop.png").click()
    until(page, f"{ARTICLE}?.querySelector('h1').textContent === 'b crop.png'")
    assert "part of" in page.get_by_label("Look-alikes").locator("li", has_text="a whole.jpg").inner_text()
    page.go_back()
    until(page, f"{ARTICLE}?.querySelector('h1').textContent === 'a whole.jpg'")
    page.get_by_label("Look-alikes").get_by_role("button", name="All as a list").click()
    until(page, "document.body.innerText.includes('Sharing a part with A: a whole.jpg') && location.hash.includes('kept=k.')")
    until(page, "document.querySelectorAll('.row:not([hidden]) .cell:not([hidden])').length === 3")
    page.reload()
    until(page, "document.body.innerText.includes('Sharing a part with A: a whole.jpg')")
    until(page, "document.querySelectorAll('.row:not([hidden]) .cell:not([hidden])').length === 3")


def test_rank_in_the_stack(page: Any) -> None:
    """The largest is number 1 and says why; the smaller one is number 2, says why, and leads to the other and to the list of both."""
    stack = page.get_by_label("Stack", exact=True)
    assert "Number 1 of 2: shown for all of its stack: most pixels first" in stack.inner_text()
    stack.get_by_role("button", name="d smaller.jpg").click()
    until(page, f"{ARTICLE}?.querySelector('h1').textContent === 'd smaller.jpg'")
    assert "Number 2 of 2: fewer pixels than number 1." in stack.inner_text()
    assert "These belong to A: a whole.jpg" in page.get_by_label("Look-alikes").inner_text()
    stack.get_by_role("button", name="All as a list").click()
    until(page, "document.body.innerText.includes('Same stack as A: d smaller.jpg')")

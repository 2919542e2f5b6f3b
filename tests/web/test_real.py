"""The page against the real server: a case of hostile names and pictures, from signing in to the undo after a reload."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from command import Command
from web.conftest import axe_faults
from web.looking import until
from web.serving import Serving

XSS = "<img src=x onerror=document.title='taken'>.jpg"
PAGES = ["review", "review?as=time", "review?as=map", "review?item=1", "proposals", "disputes", "problems", "day", "exports", "settings"]


def picture(file: Path, shade: int) -> None:
    """A harmless picture with a GPS place and a camera."""
    image = Image.effect_mandelbrot((400, 300), (-2.2 + shade / 40, -1.2, 0.8, 1.2), 30)
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "<script>window.taken = 1</script>", "=cmd|' /C calc'!A0"
    exif.get_ifd(0x8825).update({1: "N", 2: (59.0, 54.0, float(shade)), 3: "E", 4: (10.0, 45.0, 0.0)})
    image.save(file, "JPEG", exif=exif)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory, shared: Path) -> Command:
    """A case of pictures with names and EXIF that would run if they were not text, beside what lies in shared/data/hostile."""
    folder = tmp_path_factory.mktemp("web")
    evidence = folder / "evidence"
    (evidence / "<b>bold</b>").mkdir(parents=True)
    for n, name in enumerate(
        [XSS, "{{constructor.constructor('taken=1')()}}.jpg", "evil\u202egpj.exe.jpg", "plain.jpg", "'\"><svg onload=taken=1>.jpg"]
    ):
        picture(evidence / "<b>bold</b>" / name.replace("/", "_"), n)
    for file in sorted((shared / "hostile").glob("*.jpg")):
        if file.stat().st_size < 1_000_000:
            shutil.copy(file, evidence / file.name)
    command = Command(folder)
    media = {
        "MediaID": 1,
        "Category": 1,
        "MD5": hashlib.md5((evidence / "<b>bold</b>" / "plain.jpg").read_bytes()).hexdigest().upper(),
        "MediaSize": 1,
    }
    vics = {"@odata.context": "http://github.com/VICSDataModel/ProjectVic/DataModels/1.3.xml/US/$metadata#Media", "value": [media]}
    (folder / "known.json").write_text(json.dumps(vics), "utf-8")
    command("hashset", "add", folder / "known.json", "--as", "illegal")
    return command.made(evidence)


@pytest.fixture(scope="module")
def serving(hostile: Command) -> Iterator[Serving]:
    """The real server on that case."""
    with Serving(hostile.case, hostile.folder / "library", "--user", "anna", "--role", "supervisor") as one:
        yield one


@pytest.fixture
def signed(watched: Callable[..., Any], serving: Serving) -> tuple[Any, Any]:
    """A signed-in page, and its context."""
    one = watched(serving.address)
    page = one.page(serving.another())
    page.locator("#tile-0").wait_for()
    until(page, "!document.querySelector('#tile-0').getAttribute('aria-label').includes('not loaded')")
    return page, one


def test_from_signing_in_to_the_undo_after_a_reload(signed: tuple[Any, Any], hostile: Command) -> None:
    """A digit is painted, saved, there after a reload, undone after it, and the history holds both."""
    page, _ = signed
    assert "token" not in page.url
    page.keyboard.press("0")
    until(page, "document.querySelector('#tile-0').dataset.mark === '0'")
    page.locator("[data-state=saved]").wait_for()
    page.reload()
    until(page, "document.querySelector('#tile-0')?.dataset.mark === '0'")
    page.keyboard.press("Backspace")
    until(page, "!document.querySelector('#tile-0')?.dataset.mark")
    page.keyboard.press("Control+y")
    until(page, "document.querySelector('#tile-0')?.dataset.mark === '0'")
    page.keyboard.press("Control+z")
    until(page, "!document.querySelector('#tile-0')?.dataset.mark")
    page.keyboard.press("Enter")
    page.get_by_text("(undone)").first.wait_for()


def test_all_at_once_and_back(signed: tuple[Any, Any]) -> None:
    """All of the list are decided after a question, and one undo takes all back."""
    page, _ = signed
    page.keyboard.press("Control+a")
    page.keyboard.press("0")
    page.locator("dialog").get_by_role("button", name="Decide").click()
    until(page, "document.querySelector('#tile-2').dataset.mark === '0'")
    page.locator("[data-state=saved]").wait_for()
    page.keyboard.press("Backspace")
    until(page, "!document.querySelector('#tile-2').dataset.mark")


def test_proposals_are_confirmed_without_a_look(signed: tuple[Any, Any]) -> None:
    """What a hash set knows stands among the proposals with its code, is confirmed in bulk, and no look was needed."""
    page, one = signed
    looks = []
    page.on("request", lambda r: looks.append(r.url) if "/api/reveals" in r.url else None)
    page.goto(one.address + "/#/proposals")
    until(page, "document.querySelector('#tile-0')?.dataset.mark === '1?'")
    page.get_by_role("button", name="Confirm all 1").click()
    page.locator("dialog").get_by_role("button", name="Decide 1 content").click()
    until(page, "document.querySelector('#tile-0').dataset.mark === '1'")
    page.locator("[data-state=saved]").wait_for()
    page.keyboard.press("Backspace")
    until(page, "document.querySelector('#tile-0').dataset.mark === '1?'")
    assert looks == []


def test_a_reveal_of_the_real_server(signed: tuple[Any, Any]) -> None:
    """Space shows a real drawing, Shift the small picture; released, nothing is left; the own day counts both."""
    page, _ = signed
    page.keyboard.down("Space")
    until(page, "document.querySelector('.layer').dataset.level === 'drawing' && document.querySelector('.layer canvas').width > 0")
    page.keyboard.down("Shift")
    until(page, "document.querySelector('.layer').dataset.level === 'small' && document.querySelector('.layer canvas').width > 0")
    page.keyboard.up("Shift")
    page.keyboard.up("Space")
    assert page.evaluate("document.querySelector('.layer canvas').width") == 0
    page.get_by_role("link", name="My day").click()
    page.get_by_text("drawing, less detail").wait_for()


def test_names_and_exif_are_text(signed: tuple[Any, Any]) -> None:
    """Names and EXIF that would run are shown as text on the grid, in the detail and among the problems; nothing runs."""
    page, one = signed
    seen = ""
    for path in PAGES:
        page.goto(one.address + "/#/" + path)
        page.wait_for_timeout(500)
        seen += page.content() + page.inner_text("body")
    for index in range(1, 6):
        page.goto(f"{one.address}/#/review?item={index}")
        page.locator("article h1").wait_for()
        page.wait_for_timeout(150)
        seen += page.inner_text("article")
    assert "onerror=document.title" in seen and "<script>window.taken" in seen
    assert page.evaluate("[document.title.includes('taken') && document.title === 'taken', 'taken' in window]") == [False, False]
    assert page.locator(".cell img, article img, .cell b, article b, article svg").count() == 0


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious(signed: tuple[Any, Any], theme: str) -> None:
    """On every page, light and dark, axe finds nothing serious or critical: roles, names, contrast."""
    page, one = signed
    page.emulate_media(color_scheme=theme)
    found = {}
    for path in PAGES:
        page.goto(one.address + "/#/" + path)
        page.wait_for_timeout(500)
        if faults := axe_faults(page):
            found[path] = faults
    page.goto(one.address + "/#/review")
    for key in ["?", "g", "n", "f"]:
        page.locator("#tile-0").wait_for()
        page.locator(".grid").focus()
        page.keyboard.press(key)
        page.locator("dialog").wait_for()
        if faults := axe_faults(page):
            found[f"sheet {key}"] = faults
        page.keyboard.press("Escape")
    assert found == {}


def test_every_page_at_200_percent(signed: tuple[Any, Any]) -> None:
    """At 200 % zoom of a 1280 window nothing is cut off sideways, and a whole tile is in sight."""
    page, one = signed
    page.set_viewport_size({"width": 640, "height": 400})
    for path in PAGES:
        page.goto(one.address + "/#/" + path)
        page.wait_for_timeout(250)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
    page.goto(one.address + "/#/review")
    page.locator("#tile-0").wait_for()
    box = "document.querySelector('{}').getBoundingClientRect().bottom"
    until(page, f"{box.format('#tile-0')} <= {box.format('.grid')}")


def test_signing_out_ends_it(signed: tuple[Any, Any]) -> None:
    """After signing out the page shows nothing of the case, and a reload does not bring it back."""
    page, one = signed
    one.expected = ("401",)
    page.get_by_role("button", name="Sign out").click()
    page.get_by_text("You are not signed in").wait_for()
    page.reload()
    page.get_by_text("You are not signed in").wait_for()
    assert page.locator(".cell").count() == 0


def test_a_token_works_once(watched: Callable[..., Any], serving: Serving) -> None:
    """The second use of an address is refused, and the page says how to get another."""
    path = serving.another()
    first = watched(serving.address).page(path)
    first.locator("#tile-0").wait_for()
    again = watched(serving.address)
    again.expected = ("401", "403")
    again.page(path).get_by_text("it prints a new one").wait_for()

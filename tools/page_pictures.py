"""Take the pictures of the review page for the README, on the demo case: `make demo`, then `.venv/bin/python tools/page_pictures.py`.

Chromium is Debian's, headless. Pictures are reduced to 256 colours, and are below 200 kB each. The pictures in the case are drawings
made by code (tools/drawings.py).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from web.serving import Serving  # noqa: E402

TARGET = ROOT / "docs/pictures"
LIMIT = 200_000


def shoot(page: Any, name: str) -> None:
    """Write what the page shows as docs/pictures/NAME.png."""
    TARGET.mkdir(exist_ok=True)
    file = TARGET / f"{name}.png"
    page.screenshot(path=str(file))
    with Image.open(file) as full:
        small = full.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    small.save(file, optimize=True)
    if file.stat().st_size > LIMIT:
        raise SystemExit(f"{file} has {file.stat().st_size} bytes, more than {LIMIT}")
    print(f"{file.relative_to(ROOT)}: {file.stat().st_size // 1000} kB")


def main() -> None:
    """Take all of them."""
    from playwright.sync_api import sync_playwright

    demo = ROOT / "demo"
    if not (demo / "harbour.case").is_dir():
        raise SystemExit("the demo case is missing: make demo")
    root = ["--no-sandbox"] if os.geteuid() == 0 else []
    with Serving(demo / "harbour.case", demo / "library", "--user", "A. Vogt") as serving, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=[*root, "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1280, "height": 800}, color_scheme="light")
        page.goto(serving.sign_in)
        page.locator("#tile-0").wait_for()
        page.wait_for_timeout(1500)
        for key in ["0", "0", "4", "0", "2"]:
            page.keyboard.press(key)
        page.locator("[data-state=saved]").wait_for()
        page.wait_for_timeout(500)
        shoot(page, "review-grid")
        for _ in range(5):
            page.keyboard.press("Backspace")
        page.locator("[data-state=saved]").wait_for()
        page.goto(serving.address + "/#/review?as=map")
        page.wait_for_timeout(2000)
        page.emulate_media(color_scheme="dark")
        page.wait_for_timeout(500)
        shoot(page, "review-map")
        page.goto(serving.address + "/#/proposals?item=1")
        page.wait_for_timeout(1500)
        page.emulate_media(color_scheme="light")
        page.wait_for_timeout(500)
        shoot(page, "review-item")
        browser.close()


if __name__ == "__main__":
    main()

"""What the review page costs in a real Chromium, without a graphics card, on a list of 1,000,000 tiles.

    .venv/bin/python bench/review_page.py [--count 1000000] [--frames 300] [--width 1600 --height 1000] [--tile 160] [--bare]

The list comes from the small server of tests/web, so that the figures are the page's and the browser's alone (bench/review.py has those of
the real server). CPU is user and system time of all processes of the browser, from /proc; wall times on a shared machine are upper
bounds. Frames are asked for by requestAnimationFrame; `1 row a frame` is a hard steady scroll, at which nothing is loaded.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from web.fake import Desk, Server

TICK = os.sysconf("SC_CLK_TCK")

SCROLL = """([frames, pixels]) => new Promise((done) => {
  const g = document.querySelector('.grid'); const gaps = []; let n = 0; let last = performance.now();
  const step = (now) => { gaps.push(now - last); last = now; g.scrollTop += pixels;
    if (++n < frames) requestAnimationFrame(step); else done(gaps.slice(1)); };
  requestAnimationFrame(step); })"""

KEYS = """() => { window.painted = [];
  window.addEventListener('keydown', (e) => { const at = e.timeStamp;
    requestAnimationFrame(() => { const c = new MessageChannel();
      c.port1.onmessage = () => window.painted.push(performance.now() - at); c.port2.postMessage(0); }); }, true); }"""


def cpu() -> float:
    """CPU seconds of all descendants of this process that are a browser."""
    parents: dict[int, tuple[int, str, float]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                head, _, tail = (entry / "stat").read_text().rpartition(")")
            except OSError:
                continue
            fields = tail.split()
            parents[int(entry.name)] = (int(fields[1]), head.partition("(")[2], (int(fields[11]) + int(fields[12])) / TICK)

    def ours(pid: int) -> bool:
        while pid in parents:
            if pid == os.getpid():
                return True
            pid = parents[pid][0]
        return False

    return sum(seconds for pid, (_, name, seconds) in parents.items() if "chrom" in name and ours(pid))


def p95(values: list[float]) -> float:
    """The 95th percentile."""
    return sorted(values)[int(len(values) * 0.95)] if values else float("nan")


def elements(page: Any, selector: str) -> int:
    """How many elements there are."""
    return int(page.evaluate("(s) => document.querySelectorAll(s).length", selector))


def scroll(page: Any, desk: Desk, frames: int, pixels: float, what: str) -> None:
    """Scroll by so many pixels a frame and print a line."""
    page.evaluate("document.querySelector('.grid').scrollTop = 100000")
    page.wait_for_timeout(1500)
    desk.requests.clear()
    before = cpu()
    gaps = page.evaluate(SCROLL, [frames, pixels])
    used = (cpu() - before) * 1000 / frames
    loaded = sum("/rows" in r or "/thumbs" in r for r in desk.requests)
    print(f"{what:26} {used:10.1f} {statistics.median(gaps):12.1f} {p95(gaps):10.1f} {loaded:9}")


def keys(page: Any, presses: int) -> None:
    """Decide tile after tile and print how long it took until it was painted, and until it was saved."""
    page.evaluate(KEYS)
    saved = []
    for n in range(presses):
        page.keyboard.press("0123"[n % 4])
        at = page.evaluate("performance.now()")
        page.locator("[data-state=saved]").wait_for()
        saved.append(page.evaluate("performance.now()") - at)
    painted = page.evaluate("window.painted")
    print(f"key to painted: median {statistics.median(painted):.1f} ms, p95 {p95(painted):.1f} ms of {len(painted)} keys")
    print(f"key to `saved` by the fake server, with the wait of this script: median {statistics.median(saved):.1f} ms")


def jumps(page: Any, times: int) -> None:
    """Jump about and print elements and memory."""
    page.evaluate(
        """(times) => new Promise((done) => { const g = document.querySelector('.grid'); let n = 0, x = 1;
        const step = () => { x = (x * 48271) % 2147483647; g.scrollTop = (x / 2147483647) * (g.scrollHeight - g.clientHeight);
          if (++n < times) requestAnimationFrame(step); else done(); }; step(); })""",
        times,
    )
    page.wait_for_timeout(1000)
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    heap = page.evaluate("performance.memory.usedJSHeapSize") / 1e6
    print(f"after {times:,} random jumps: {elements(page, '*')} elements, {heap:.1f} MB of JavaScript heap")


def main() -> None:
    """Print the tables."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--width", type=int, default=1600)
    parser.add_argument("--height", type=int, default=1000)
    parser.add_argument("--tile", type=int, default=160, choices=(128, 160, 192, 256))
    parser.add_argument("--bare", action="store_true", help="fold the filter and the details away")
    wanted = parser.parse_args()
    desk = Desk(wanted.count)
    desk.settings["tile"] = wanted.tile
    root = ["--no-sandbox"] if os.geteuid() == 0 else []
    with Server(desk) as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=[*root, "--disable-gpu"])
        page = browser.new_page(viewport={"width": wanted.width, "height": wanted.height})
        page.goto(server.address + "/#token=good")
        page.locator("#tile-0").wait_for()
        if wanted.bare:
            page.get_by_role("button", name="Filter", exact=True).click()
            page.get_by_role("button", name="Details", exact=True).click()
            page.locator(".grid").focus()
        page.wait_for_timeout(1500)
        print(f"Chromium {browser.version}, {wanted.width} x {wanted.height}, {wanted.count:,} tiles, load {os.getloadavg()[0]:.1f}")
        print(f"{elements(page, '*')} elements, {elements(page, '.cell')} of them tiles\n")
        print(f"{'scrolling':26} {'CPU ms/frame':>10} {'median gap':>12} {'p95 gap':>10} {'requests':>9}")
        pitch = wanted.tile + 30
        for pixels, what in [
            (0, "at rest"),
            (pitch / 4, "a quarter of a row a frame"),
            (pitch, "1 row a frame"),
            (5 * pitch, "5 rows a frame (fling)"),
        ]:
            scroll(page, desk, wanted.frames, pixels, what)
        print()
        page.keyboard.press("Home")
        page.wait_for_timeout(1000)
        keys(page, 60)
        jumps(page, 2_000)
        browser.close()


if __name__ == "__main__":
    main()

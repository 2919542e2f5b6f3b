"""The figure of merit, measured: what a reviewer has to look at for each 1,000 contents settled, with and without matching, stacks and order.

    python bench/merit.py [--albums 30] [--demo demo/harbour.case] [--keep FOLDER]

A review is driven through `safelight serve` over HTTP with the requests of the page, and the figures are the server's own account of it
(`/api/exposure`). The policy of the reviewer, the same in each row:

- *Matching*: what a set knows as illegal is confirmed in bulk, all of the list at once, without a look; what a set knows as irrelevant is left
  out of the list. Without matching both are looked at like all others.
- Each tile that is left is revealed as a drawing for two seconds and as a small picture for one, and decided. With *stacks* a tile is all
  that looks the same, without them each content.
- *Order*: `first`, what matters most first; or by place.

Made by code: albums of eight scenes, each in one to four copies (smaller, compressed anew). Every fifth album is bad: half of its scenes are on
lists of illegal pictures by MD5 and PDQ of one copy, the other half is on no list and is to be found. A third of the scenes of good albums are on a
list of irrelevant ones. A reviewer is at the goal when nine tenths of the contents to be found have been looked at.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import platform
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from PIL import Image, ImageDraw

from command import Command
from reviewing import Browser, Serving
from safelight.extract.pictures import extract_picture

SCENES = 8
DRAWING_MS, SMALL_MS = 2_000, 1_000
GOAL = 0.9
TO_FIND = "unlisted"
"""In the names of the files that are to be found; nothing but this script reads it."""
ARMS = (
    ("matching, stacks, order", True, True, "first"),
    ("matching, stacks, by place", True, True, "path"),
    ("matching, no stacks, by place", True, False, "path"),
    ("stacks, no matching, by place", False, True, "path"),
    ("nothing, by place", False, False, "path"),
)


def main() -> int:
    """Make the case, review it in each way, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--albums", type=int, default=30)
    parser.add_argument("--demo", type=Path, default=Path("demo/harbour.case"), help="The case of `make demo`; reviewed too where it is.")
    parser.add_argument("--keep", type=Path, help="Folder for evidence and case (default: a temporary one, removed).")
    asked = parser.parse_args()
    folder = asked.keep or Path(tempfile.mkdtemp(prefix="merit-"))
    folder.mkdir(exist_ok=True)
    began = time.monotonic()
    try:
        run = Command(folder)
        case, files = made(run, asked.albums)
        table(run, case, f"{asked.albums} albums made by code, {files} pictures")
        if asked.demo.is_dir():
            table(run, asked.demo, "the case of `make demo`")
    finally:
        if not asked.keep:
            shutil.rmtree(folder, ignore_errors=True)
    print(
        f"\n{os.cpu_count()} x {platform.processor() or platform.machine()}, {time.monotonic() - began:.0f} s, load {os.getloadavg()[0]:.1f}"
    )
    return 0


def scene(number: int) -> Image.Image:
    """A picture that looks like no other: bars and discs by number."""
    rng = random.Random(number)
    picture = Image.new("RGB", (640, 480), tuple(rng.randrange(256) for _ in range(3)))
    draw = ImageDraw.Draw(picture)
    for _ in range(14):
        x, y, w, h = rng.randrange(600), rng.randrange(440), rng.randrange(40, 260), rng.randrange(40, 260)
        shape = draw.ellipse if rng.random() < 0.5 else draw.rectangle
        shape((x, y, x + w, y + h), fill=tuple(rng.randrange(256) for _ in range(3)))
    return picture


def copies(picture: Image.Image, rng: random.Random) -> list[bytes]:
    """One to four files of a scene: as it is, then smaller and compressed anew."""
    found = []
    for n in range(1 + rng.randrange(4)):
        out = io.BytesIO()
        size = (640 - 90 * n, 480 - 67 * n)
        (picture.resize(size) if n else picture).save(out, "JPEG", quality=92 - 13 * n)
        found.append(out.getvalue())
    return found


def made(run: Command, albums: int) -> tuple[Path, int]:
    """Make evidence, lists and the case; return the case and the number of pictures."""
    rng, files = random.Random(7), 0
    illegal, irrelevant, looks = list[str](), list[str](), list[str]()
    evidence = run.folder / "evidence"
    for album in range(albums):
        bad = album % 5 == 3
        folder = evidence / f"Pictures/album {rng.randrange(10**6):06d}"
        folder.mkdir(parents=True)
        for number in range(SCENES):
            listed = number % 2 == 0 if bad else number % 3 == 0
            name = TO_FIND if bad and not listed else "image"
            for n, data in enumerate(copies(scene(1000 * album + number), rng)):
                (folder / f"{name} {number}-{n}.jpg").write_bytes(data)
                files += 1
                if listed and (n == 0 or not bad):
                    (illegal if bad else irrelevant).append(hashlib.md5(data).hexdigest())
                    if bad:
                        picture = extract_picture(data, "image/jpeg").picture
                        assert picture is not None and picture.pdq is not None
                        looks.append(picture.pdq.hex())
    for name, kind, way, digests in (
        ("illegal", "md5", "illegal", illegal), ("illegal-looks", "pdq", "illegal", looks), ("irrelevant", "md5", "irrelevant", irrelevant),
    ):  # fmt: skip
        (run.folder / name).write_text("".join(f"{d}\n" for d in digests))
        run("hashset", "add", run.folder / name, "--type", kind, "--as", way)
    run("new", run.case)
    run("add", run.case, evidence, "--exhibit", "A")
    run("run", run.case, "--workers", 2, "-q")
    return run.case, files


def table(run: Command, case: Path, title: str) -> None:
    """Print one row for each way of reviewing a case, each on a copy of it on which nothing is decided."""
    print(f"\n### {title}\n")
    print(
        "| | contents settled | of these decided | tiles looked at | looks / 1,000 | seconds / 1,000 | of these full pixels | tiles to the goal |"
    )
    print("|---|---|---|---|---|---|---|---|")
    if (case / "decisions.sqlite").exists() and case != run.case:
        print(f"{case} has decisions already: run `make demo` again")
        return
    for name, matching, stacked, order in ARMS:
        copy = run.folder / "reviewed.case"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(case, copy)
        library = ["--library", str(case.parent / "library")]
        with Serving(run, copy, "--user", "bench", *library) as serving:
            print(f"| {name} | {' | '.join(reviewed(serving.browser(), matching, stacked, order))} |", flush=True)


def reviewed(browser: Browser, matching: bool, stacked: bool, order: str) -> list[str]:
    """Review all pictures by the policy and return the columns of a row."""
    every = int(browser.view("path", False)["count"])
    if matching:
        proposals = browser.view("path", stacked, queue="proposals")
        if proposals["count"]:
            browser.decide_all(proposals, category="1")
    view = browser.view(order, stacked, known=["new", "other"]) if matching else browser.view(order, stacked)
    rows = all_rows(browser, view)
    goal, found = at_goal(rows), 0
    to_goal = 0
    for index, (place, size, known) in enumerate(rows):
        look(browser, view, index, "drawing", DRAWING_MS, known)
        look(browser, view, index, "small", SMALL_MS, known)
        browser.decide(view, index, category="1" if TO_FIND in place or known == "illegal" else "0")
        found += size if TO_FIND in place else 0
        to_goal = to_goal or (index + 1 if goal and found >= goal else 0)
    account = browser.get("/api/exposure")
    looks, seconds = account["reveals"], account["seconds"]
    full = account["by_level"].get("small", 0) * SMALL_MS / 1000
    assert looks == 2 * len(rows), "the account of the server is not what was asked of it"
    left = browser.view("path", False, status=["undecided", "proposed"])["count"]
    ignored = browser.view("path", False, known=["irrelevant", "known"], status=["undecided"])["count"] if matching else 0
    assert left == ignored, f"{left} contents are open, {ignored} of them left out"
    figures = (1000 * looks / every, 1000 * seconds / every, 1000 * full / every)
    return [f"{every:,}", f"{account['decided']:,}", f"{len(rows):,}", *(f"{f:,.0f}" for f in figures), f"{to_goal:,}" if goal else "–"]


def all_rows(browser: Browser, view: dict[str, Any]) -> list[tuple[str, int, str | None]]:
    """Return place, contents and what a set says of each tile of a view."""
    found: list[tuple[str, int, str | None]] = []
    while len(found) < view["count"]:
        part = browser.rows(view, len(found))
        found += zip(part["place"], part["stack_size"], part["known"], strict=True)
    return found


def at_goal(rows: list[tuple[str, int, str | None]]) -> float:
    """Return how many contents to be found make the goal; 0 where there are none."""
    return GOAL * sum(size for place, size, _ in rows if TO_FIND in place)


def look(browser: Browser, view: dict[str, Any], index: int, level: str, milliseconds: int, known: str | None) -> None:
    """Reveal a tile for a while, as the page does: the row first, then the pixels, then its end."""
    body = {"view": view["view"], "index": index, "level": level, "reason": "bench" if known == "illegal" else ""}
    number = browser.post("/api/reveals", body)["reveal"]
    assert browser.send("GET", f"/api/reveals/{number}/picture").status == 200
    browser.post(f"/api/reveals/{number}/end", {"milliseconds": milliseconds})


if __name__ == "__main__":
    sys.exit(main())

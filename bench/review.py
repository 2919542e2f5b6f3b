"""The review server on large cases made by code, and the figure of merit: reveals per 1,000 contents decided.

    python bench/review.py [--items 100000 1000000] [--unknown 0.5] [--runs 3] [--only scale|merit] [--keep FOLDER]

Prints CPU seconds and wall milliseconds (of a shared machine: CPU means more), medians and 95th percentiles over the filters.
"""

from __future__ import annotations

import argparse
import gc
import os
import platform
import resource
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))

import make_review_case

from safelight.case import Case
from safelight.review import api, find, rows
from safelight.review.filters import Box, Filter
from safelight.review.order import ORDERS
from safelight.review.server import Server

FILTERS: tuple[tuple[str, Filter], ...] = (
    ("all", Filter()),
    ("undecided, not known", Filter(known=["new"], status=["undecided"])),
    ("known illegal", Filter(known=["illegal"])),
    ("deleted", Filter(state=["deleted"])),
    ("path glob", Filter(path="DCIM/1*ALBUM/*7.jpg")),
    ("text in path", Filter(text="img_00001")),
    ("one year", Filter(since="2015-01-01", until="2015-12-31")),
    ("camera", Filter(camera=["Fjell F-200"])),
    ("part of the map", Filter(place=Box(south=-10, west=0, north=30, east=60))),
    ("large films", Filter(kind=["video"], min_size=4_000_000)),
    ("set and place", Filter(set=["known"], state=["live"], text="album")),
)


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure the review server.")
    parser.add_argument("--items", type=int, nargs="*", default=[100_000, 1_000_000])
    parser.add_argument("--unknown", type=float, default=0.5)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", choices=["scale", "merit"])
    parser.add_argument("--keep", type=Path, help="Folder for the cases (default: a temporary one, removed).")
    asked = parser.parse_args()
    folder = asked.keep or Path(tempfile.mkdtemp(prefix="review-"))
    folder.mkdir(exist_ok=True)
    os.environ.setdefault("SAFELIGHT_USER", "bench")
    try:
        if asked.only != "merit":
            scale(folder, asked.items, asked.unknown, asked.runs)
        if asked.only != "scale":
            merit(folder)
    finally:
        if not asked.keep:
            shutil.rmtree(folder, ignore_errors=True)
    print(f"\n{os.cpu_count()} x {platform.processor() or platform.machine()}, Python {platform.python_version()}, load {os.getloadavg()}")
    return 0


def timed(work: Callable[..., Any], *arguments: Any) -> tuple[Any, float, float]:
    """Return the result, wall ms and CPU ms."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work(*arguments)
    return result, (time.perf_counter() - wall) * 1e3, (time.process_time() - cpu) * 1e3


def resident() -> float:
    """Return the memory of this process in MiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def percentile(values: list[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(part * len(values)))]


def scale(folder: Path, sizes: list[int], unknown: float, runs: int) -> None:
    """Print what opening, filters, windows, facets and a decision about everything cost at each size."""
    print(f"\n### Views at scale ({unknown:.0%} in no set)\n")
    print(
        "| items | contents | open s (CPU) | bytes/item of columns | MiB | view + first window ms p50 / p95 (CPU p95) | facets ms | 64 thumbs ms |"
    )
    print("|---|---|---|---|---|---|---|---|")
    details: list[Any] = []
    for items in sizes:
        case = folder / f"{items}.case"
        if not case.exists():
            make_review_case.make(case, items, unknown)
        gc.collect()
        before = resident()
        server = Server(Case(case), 1, "bench", "reviewer")
        desk, person = server.desk, server.desk.person("bench", "reviewer")
        ranking, opened, opened_cpu = timed(desk.ranking)
        for order in ORDERS:
            ranking.sorted(order)
        held = resident() - before
        wall, cpu = views(server, person, items, runs, details)
        request = api.FacetsRequest(
            filter=Filter(known=["new"]), facets=["kind", "state", "exhibit", "known", "camera", "status", "category"]
        )
        faceted = [timed(find.facets, desk, person, request)[1] for _ in range(runs)]
        view = desk.make_view(person, Filter(), "first", True)
        thumbs = [timed(list, server.thumbs(view.name, person, 64 * n, 64))[1] for n in range(20)]
        table = ranking.table
        print(
            f"| {items:,} | {table.rows:,} | {opened / 1e3:.1f} ({opened_cpu / 1e3:.1f}) | {table.bytes_held() / items:.0f} | {held:.0f} | "
            f"{statistics.median(wall):.0f} / {percentile(wall, 0.95):.0f} ({percentile(cpu, 0.95):.0f}) | {statistics.median(faceted):.0f} | "
            f"{statistics.median(thumbs):.1f} |",
            flush=True,
        )
        deciding(server, person, view, items)
        server.close()
        if items >= 1_000_000:
            shutil.rmtree(case, ignore_errors=True)
    print("\nslowest:", ", ".join(f"{n}/{o} {w:.0f} ms at {i:,}" for i, n, o, _, w in sorted(details, key=lambda d: -d[4])[:6]))


def views(server: Server, person: Any, items: int, runs: int, details: list[Any]) -> tuple[list[float], list[float]]:
    """Return wall and CPU ms of each filter with its first window, in two orders."""
    wall, cpu = list[float](), list[float]()
    for _ in range(runs):
        for name, wanted in FILTERS:
            for order in ("first", "time"):
                view, w, c = timed(_view, server, person, wanted, order)
                wall.append(w)
                cpu.append(c)
                details.append((items, name, order, view.count, w))
    return wall, cpu


def _view(server: Server, person: Any, wanted: Filter, order: str) -> Any:
    view = server.desk.make_view(person, wanted, order, True)
    rows.window(view, person, 0, 512)
    return view


def deciding(server: Server, person: Any, view: Any, items: int) -> None:
    """Print what single decisions and one about everything cost, each durable, and its undo."""
    import uuid

    def request(target: api.Target, confirm: str | None = None) -> api.DecisionRequest:
        return api.DecisionRequest(key=str(uuid.uuid4()), view=view.name, target=target, set=api.Wish(category="0"), confirm=confirm)

    single = [timed(server.decider.decide, person, request(api.Target(index=n)))[1] for n in range(50)]
    whole = api.Target(all=True)
    confirm = server.decider.preview(person, view.name, whole).confirm
    answer, bulk, _ = timed(server.decider.decide, person, request(whole, confirm))
    _, back, _ = timed(server.decider.turn, person, api.TurnRequest(key=str(uuid.uuid4())), "undo")
    print(
        f"{'':2}at {items:,}: one decision p50 {statistics.median(single):.1f} ms, p95 {percentile(single, 0.95):.1f} ms; "
        f"all {answer.contents:,} contents {bulk / 1e3:.1f} s, undone in {back / 1e3:.1f} s",
        file=sys.stderr,
    )


def merit(folder: Path) -> None:
    """Print the figure of merit on the case of the demo: what a reviewer has to look at, with and without matching, stacks and order.

    The policy: known illegal contents are confirmed in bulk without a look; known irrelevant ones are left out; of each stack one picture
    is revealed as a drawing and as a small picture, three seconds in all, and the stack is decided as a whole. Without matching each
    content is new; without stacks each content is a tile. Order does not change the sum but how soon half of what is near a known
    illegal content is found: the number of tiles looked at until then.
    """
    demo = Path("demo/harbour.case")
    if not demo.exists():
        print("\nno demo case: run `make demo` first")
        return
    case = folder / "merit.case"
    shutil.rmtree(case, ignore_errors=True)
    shutil.copytree(demo, case)
    shutil.rmtree(case / "exports", ignore_errors=True)
    for left in case.glob("decisions.sqlite*"):
        left.unlink()
    print("\n### Reveals per 1,000 contents decided (case of the demo; policy in bench/review.py)\n")
    print("| | contents decided | tiles looked at | reveals / 1,000 | seconds / 1,000 | looked at until half of what is near was found |")
    print("|---|---|---|---|---|---|")
    for name, matching, stacked, order in (
        ("matching, stacks, order", True, True, "first"),
        ("matching, stacks, by place", True, True, "path"),
        ("matching, no stacks", True, False, "path"),
        ("nothing", False, False, "path"),
    ):
        print(f"| {name} | {' | '.join(_reviewed(case, matching, stacked, order))} |")


def _reviewed(case: Path, matching: bool, stacked: bool, order: str) -> list[str]:
    server = Server(Case(case), 1, "bench", "reviewer")
    try:
        desk, person = server.desk, server.desk.person("bench", "reviewer")
        view = desk.make_view(person, Filter(known=["new", "other"]) if matching else Filter(), order, stacked)
        confirmed = desk.make_view(person, Filter(known=["illegal"]), order, stacked) if matching else None
        heads = view.heads(0, view.count)
        looked = view.count
        decided = len(view.members) + (len(confirmed.members) if confirmed else 0)
        near = view.ranking.near[heads] >= 2
        half = int(near.sum() + 1) // 2
        until = int((near.cumsum() >= half).argmax()) + 1 if half else 0
        return [f"{decided}", f"{looked}", f"{2000 * looked / decided:.0f}", f"{3000 * looked / decided:.0f}", f"{until}"]
    finally:
        server.close()


if __name__ == "__main__":
    sys.exit(main())

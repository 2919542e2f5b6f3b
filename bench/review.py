"""The review server on large cases made by code. What a reviewer has to look at is measured by bench/merit.py.

    python bench/review.py [--items 100000 1000000] [--unknown 0.15 0.5 0.7] [--runs 3] [--keep FOLDER]

The server is a process of its own, `safelight serve`, and is asked over HTTP, as the page asks. Wall times are those of a shared machine;
CPU times are the server's own. Medians and 95th percentiles are over the filters.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import make_review_case

from command import Command
from reviewing import Browser, Serving

FILTERS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("all", {}),
    ("undecided, not known", {"known": ["new"], "status": ["undecided"]}),
    ("known illegal", {"known": ["illegal"]}),
    ("deleted", {"state": ["deleted"]}),
    ("path glob", {"path": "DCIM/1*ALBUM/*7.jpg"}),
    ("text in path", {"text": "img_00001"}),
    ("one year", {"since": "2015-01-01", "until": "2015-12-31"}),
    ("camera", {"camera": ["Fjell F-200"]}),
    ("part of the map", {"place": {"south": -10, "west": 0, "north": 30, "east": 60}}),
    ("large films", {"kind": ["video"], "min_size": 4_000_000}),
    ("set and place", {"set": ["known"], "state": ["live"], "text": "album"}),
)
FACETS = ["kind", "media_type", "state", "exhibit", "known", "set", "camera", "status", "category", "flag", "tag"]
TICK = os.sysconf("SC_CLK_TCK")
MIB = 1 << 20

MAKE = """
import json, sys, time
from pathlib import Path
from safelight.case import Case
from safelight.table.step import make_table, stored
case, wall, cpu = Case(Path(sys.argv[1])), time.perf_counter(), time.process_time()
make_table(case)
wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
peak = [int(line.split()[1]) / 1024 for line in open("/proc/self/status") if line.startswith("VmHWM")][0]
table = stored(case)
print(json.dumps([wall, cpu, peak, table.rows, table.bytes_mapped()]))
"""


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure the review server.")
    parser.add_argument("--items", type=int, nargs="*", default=[100_000, 1_000_000])
    parser.add_argument("--unknown", type=float, nargs="*", default=[0.15, 0.5, 0.7])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="Folder for the cases (default: a temporary one, removed).")
    asked = parser.parse_args()
    if any(not 0 < share < 1 for share in asked.unknown):
        parser.error("--unknown: shares between 0 and 1, such as 0.15")
    folder = asked.keep or Path(tempfile.mkdtemp(prefix="review-"))
    folder.mkdir(exist_ok=True)
    os.environ.setdefault("SAFELIGHT_USER", "bench")
    try:
        scale(folder, asked.items, asked.unknown, asked.runs)
    finally:
        if not asked.keep:
            shutil.rmtree(folder, ignore_errors=True)
    print(f"\n{os.cpu_count()} x {platform.processor() or platform.machine()}, Python {platform.python_version()}, load {os.getloadavg()}")
    return 0


def percentile(values: list[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(part * len(values)))]


def both(values: list[float]) -> str:
    return f"{percentile(values, 0.5):.0f} / {percentile(values, 0.95):.0f}"


class Watched:
    """A server of a case, with the CPU seconds and the memory of its process."""

    def __init__(self, run: Command, case: Path) -> None:
        self.began = time.perf_counter()
        self.serving = Serving(run, case, "--user", "bench")
        self.browser: Browser = self.serving.browser()

    def cpu(self) -> float:
        fields = Path(f"/proc/{self.serving.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def memory(self) -> tuple[float, float]:
        """Return private and mapped memory in MiB."""
        lines = Path(f"/proc/{self.serving.process.pid}/status").read_text().splitlines()
        said = {line.split(":")[0]: int(line.split()[1]) / 1024 for line in lines if line.startswith("Rss")}
        return said["RssAnon"], said["RssFile"]

    def timed(self, work: Callable[..., Any], *arguments: Any, **wanted: Any) -> tuple[Any, float, float]:
        """Return the answer, wall ms and CPU ms of the server."""
        wall, cpu = time.perf_counter(), self.cpu()
        answer = work(*arguments, **wanted)
        return answer, (time.perf_counter() - wall) * 1e3, (self.cpu() - cpu) * 1e3

    def view(self, wanted: dict[str, Any], order: str) -> Any:
        """Make a view and take its first window, as the page does."""
        made = self.browser.view(order=order, **wanted)
        self.browser.rows(made, 0, 512)
        return made

    def first_tiles(self) -> float:
        """Return seconds from the start of the process to the first 64 pictures."""
        made = self.view({}, "first")
        got = self.browser.send("GET", f"/api/views/{made['view']}/thumbs?from=0&n=64")
        assert got.status == 200 and len(got.body) > 64
        return time.perf_counter() - self.began


def scale(folder: Path, sizes: list[int], shares: list[float], runs: int) -> None:
    """Print what making the table, opening, filters, windows, facets and decisions cost at each size and share of unknown contents."""
    run, details = Command(folder), list[Any]()
    print("\n### The review at scale\n")
    print(
        "| items | in no set | table: CPU s (wall), peak MiB, bytes an item | first tiles s (CPU) | view and first window ms p50 / p95 | "
        "its CPU | facets, one each, ms | all facets ms (CPU) | decision ms | all at once / undone s | private MiB at first, at the end (bytes an item) |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for items in sizes:
        for unknown in shares:
            case = folder / f"{items}-{unknown}.case"
            make_review_case.make(case, items, unknown)
            print(f"| {items:,} | {unknown:.0%} | {' | '.join(_measured(run, case, items, runs, details))} |", flush=True)
            shutil.rmtree(case)
    print("\nslowest:", ", ".join(f"{n}/{o} {w:.0f} ms at {i:,}" for i, n, o, w in sorted(details, key=lambda d: -d[3])[:8]))


def _measured(run: Command, case: Path, items: int, runs: int, details: list[Any]) -> list[str]:
    done = subprocess.run([sys.executable, "-c", MAKE, str(case)], env=run.env, capture_output=True, check=True)
    wall, cpu, peak, _, mapped = json.loads(done.stdout)
    with Watched(run, case).serving:
        pass  # the page cache has the program and the table, as after `run`
    server = Watched(run, case)
    with server.serving:
        first, first_cpu, begin = server.first_tiles(), server.cpu(), server.memory()[0]
        walls, cpus = list[float](), list[float]()
        for _ in range(runs):
            for name, wanted in FILTERS:
                for order in ("first", "time"):
                    _, w, c = server.timed(server.view, wanted, order)
                    walls.append(w)
                    cpus.append(c)
                    details.append((items, name, order, w))
        single = [server.timed(_facets, server, [name])[1] for _ in range(runs) for name in FACETS]
        every = [server.timed(_facets, server, FACETS) for _ in range(runs)]
        view = server.browser.view()
        decided = [server.timed(server.browser.decide, view, n, category="0")[1] for n in range(50)]
        bulk, back = _all_at_once(server, view)
        all_facets = f"{both([w for _, w, _ in every])} ({percentile([c for _, _, c in every], 0.5):.0f})"
        end = server.memory()[0]
    return [
        f"{cpu:.1f} ({wall:.1f}), {peak:.0f}, {mapped / items:.0f}", f"{first:.2f} ({first_cpu:.2f})", both(walls), both(cpus), both(single),
        all_facets, both(decided), f"{bulk:.1f} / {back:.1f}", f"{begin:.0f}, {end:.0f} ({(end - begin) * MIB / items:.0f})",
    ]  # fmt: skip


def _all_at_once(server: Watched, view: Any) -> tuple[float, float]:
    """Return the seconds of one decision about everything, and of its undo."""
    _, bulk, _ = server.timed(server.browser.decide_all, view, category="0")
    _, back, _ = server.timed(server.browser.post, "/api/decisions/undo", {"key": str(uuid.uuid4())})
    return bulk / 1e3, back / 1e3


def _facets(server: Watched, names: list[str]) -> Any:
    return server.browser.post("/api/facets", {"filter": {"known": ["new"]}, "facets": names, "stacked": True})


if __name__ == "__main__":
    sys.exit(main())

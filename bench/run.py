"""Print what whole runs of Safelight cost, each against a peer measured in the same run (tables in docs/methods/performance.md).

CPU seconds are those of all processes of a command, sandbox workers included; medians of `--runs`. Evidence is made by code at
the first use (a few minutes, about 5 GB below the temporary folder).

Usage: .venv/bin/python bench/run.py [--quick] [--runs N] [--only 1,2,…] [--items 200000] [--photos 300]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from measured import cost, evidence, peers
from measured.cost import Cost
from measured.evidence import Disk

PEERS = Path(peers.__file__)
MB = 1_000_000


class Sizes:
    """How much is measured."""

    def __init__(self, quick: bool, runs: int, items: int, photos: int) -> None:
        self.runs = runs
        self.digests_mb, self.photos, self.mixed_mb = (150, 24, 60) if quick else (1200, photos, 300)
        self.names = (1_000, 10_000) if quick else (10_000, 100_000)
        self.items = (1_000, 10_000) if quick else (20_000, items)


def table(title: str, head: str, rows: list[str]) -> None:
    """Print a table of Markdown under its title."""
    columns = head.count("|") + 1
    print(f"\n## {title}\n\n| {head} |\n|{'---|' * columns}")
    for row in rows:
        print(f"| {row} |")
    sys.stdout.flush()


def peer(what: str, folder: Path) -> tuple[Cost, dict[str, float]]:
    """Run a peer and return its cost and what it printed."""
    with tempfile.NamedTemporaryFile() as out:
        line = f'exec "{sys.executable}" "{PEERS}" {what} "{folder}" > "{out.name}"'
        spent = cost.command("sh", "-c", line, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MALLOC_ARENA_MAX="2")
        return spent, json.loads(Path(out.name).read_bytes())


def digests_only(sizes: Sizes) -> None:
    """1. digests only, against hashlib over the same bytes."""
    disk = evidence.mixed_sizes(sizes.digests_mb)
    images = [("raw", disk.image, 0.7)] + ([] if cost.missing("ewfacquirestream") else [("E01, deflate", evidence.e01(disk), 0.4)])
    bare, ours = list[Cost](), {name: list[Cost]() for name, _, _ in images}
    for _ in range(sizes.runs):
        bare.append(peer("hashlib", disk.folder)[0])
        for name, image, _ in images:
            ours[name].append(cost.run(image, "--only", "digests", least=disk.size))
    base = cost.median(bare)
    rows = [f"hashlib | {base.cpu:.2f} | {cost.spread(bare)} | {disk.size / MB / base.cpu:.0f} | 1.00 | "]
    for name, _, goal in images:
        one = cost.median(ours[name])
        ratio = f"{base.cpu / one.cpu:.2f} | {goal:.2f}"
        rows.append(f"{name} | {one.cpu:.2f} | {cost.spread(ours[name])} | {disk.size / MB / one.cpu:.0f} | {ratio}")
    title = f"1. Digests only: {disk.files} files of 100 B to 40 MB, {disk.size / MB:.0f} MB"
    table(title, "what | CPU s | extremes | MB per CPU s | speed of hashlib | goal", rows)


def photo_disk(sizes: Sizes) -> None:
    """2. everything on a disk of photos, against the work that no photo can do without."""
    disk = evidence.photos(sizes.photos)
    base, ours, idle = list[dict[str, float]](), list[Cost](), cost.run(evidence.many(1, 1, False).folder, least=1)
    for _ in range(sizes.runs):
        base.append(peer("unavoidable", disk.folder)[1])
        ours.append(cost.run(disk.image, least=disk.size))
    least = sorted(base, key=lambda parts: sum(parts.values()))[len(base) // 2]
    total, one = sum(least.values()), cost.median(ours)
    rows = [f"{name} | {spent:.2f} | {spent / total:.2f} | " for name, spent in least.items()]
    rows += [f"together | {total:.2f} | 1.00 | ", f"safelight run | {one.cpu:.2f} | {one.cpu / total:.2f} | 1.30"]
    rows += [f"of it, worker processes | {one.workers:.2f} | {one.workers / total:.2f} | "]
    rows += [f"a run over one small file | {idle.cpu:.2f} | {idle.cpu / total:.2f} | "]
    title = f"2. Everything: {disk.files} photos of 3 to 12 megapixels, {disk.size / MB:.0f} MB"
    table(title, "what | CPU s | of the unavoidable | goal", rows)


def mixed_disk(sizes: Sizes) -> None:
    """3. everything on mixed evidence."""
    disk = evidence.mixed(sizes.mixed_mb)
    ours = [cost.run(disk.image, least=disk.size) for _ in range(sizes.runs)]
    one = cost.median(ours)
    rows = [f"safelight run | {one.cpu:.2f} | {cost.spread(ours)} | {disk.size / MB / one.cpu:.1f} | 10"]
    title = f"3. Everything: mixed evidence, {disk.files} files, {disk.size / MB:.0f} MB"
    table(title, "what | CPU s | extremes | MB per CPU s | goal", rows)


def two_workers(sizes: Sizes) -> None:
    """4. two workers against one, in wall time, beside what the machine gives two processes that have nothing in common."""
    before, rows = cost.load(), list[str]()
    for what, disk in (("photos", evidence.photos(sizes.photos)), ("mixed evidence", evidence.mixed(sizes.mixed_mb))):
        one, two = list[Cost](), list[Cost]()
        for _ in range(sizes.runs):
            one.append(cost.run(disk.image, least=disk.size))
            two.append(cost.run(disk.image, workers=2, least=disk.size))
        a, b = cost.middle([c.wall for c in one]), cost.middle([c.wall for c in two])
        rows.append(f"{what}, {disk.size / MB:.0f} MB, 1 worker | {a:.2f} | {cost.median(one).cpu:.2f} | 1.00 | ")
        rows.append(f"2 workers | {b:.2f} | {cost.median(two).cpu:.2f} | {b / a:.2f} | 0.55")
    folder = evidence.photos(sizes.photos).folder
    alone = cost.middle([peer("unavoidable", folder)[0].wall for _ in range(sizes.runs)])
    with ThreadPoolExecutor(2) as pool:
        both = cost.middle([max(c.wall for c, _ in pool.map(lambda _: peer("unavoidable", folder), range(2))) for _ in range(sizes.runs)])
    rows.append(f"the peer of table 2 alone, and half of two at once | {alone:.2f}, {both / 2:.2f} | | {both / alone / 2:.2f} | ")
    title = f"4. Two workers against one (means something on an idle machine only; before: {before}; after: {cost.load()})"
    table(title, "what | wall s | CPU s | of one | goal", rows)


def scripted(sizes: Sizes) -> None:
    """5. what a unit would script on the same disks."""
    for title, disk in (("photos", evidence.photos(sizes.photos)), ("mixed evidence", evidence.mixed(sizes.mixed_mb))):
        _scripted(sizes, title, disk)


def _scripted(sizes: Sizes, what: str, disk: Disk) -> None:
    tools = ("tsk_recover", "md5deep", "sha1deep", "sha256deep", "exiftool")
    if absent := cost.missing(*tools):
        print(f"\n## 5. left out: {', '.join(absent)} not installed (sleuthkit, hashdeep, libimage-exiftool-perl)")
        return
    steps = {name: list[Cost]() for name in (*tools, "Pillow + pdqhash")}
    ours = list[Cost]()
    for _ in range(sizes.runs):
        ours.append(cost.run(disk.image, least=disk.size))
        with tempfile.TemporaryDirectory(prefix="safelight-bench-") as place:
            out = Path(place) / "out"
            steps["tsk_recover"].append(cost.command("tsk_recover", "-e", disk.image, out))
            for tool in tools[1:4]:
                steps[tool].append(cost.command(tool, "-r", "-j1", out))
            steps["exiftool"].append(cost.command("exiftool", "-q", "-json", "-r", out, expect=(0, 1)))
            steps["Pillow + pdqhash"].append(peer("scripted", out)[0])
    one = cost.median(ours)
    total = sum(cost.median(s).cpu for s in steps.values())
    rows = [f"{name} | {cost.median(spent).cpu:.2f} | {cost.median(spent).cpu / one.cpu:.2f} | " for name, spent in steps.items()]
    rows += [f"together | {total:.2f} | {total / one.cpu:.2f} | 8", f"safelight run | {one.cpu:.2f} | 1.00 | "]
    table(f"5. A script of tools on the same disk: {what}, {disk.size / MB:.0f} MB", "what | CPU s | of safelight | goal", rows)


def many_files(sizes: Sizes) -> None:
    """6. ten times the files, for the price of how many."""
    rows = []
    for what, image in (("one folder, as a folder", False), ("200 a folder, ext4 image", True)):
        disks = [evidence.many(count, 200 if image else count, image) for count in sizes.names]
        runs = [[cost.run(d.image if image else d.folder, "--only", "digests", least=d.size) for _ in range(sizes.runs)] for d in disks]
        few, most = (cost.median(r) for r in runs)
        each = (most.cpu - few.cpu) / (sizes.names[1] - sizes.names[0]) * 1e6
        rows.append(f"{what} | {few.cpu:.2f} | {most.cpu:.2f} | {most.cpu / few.cpu:.1f} | 12 | {each:.0f}")
    head = f"evidence | CPU s, {sizes.names[0]:,} | CPU s, {sizes.names[1]:,} | ratio | goal | µs per further file"
    table("6. Small files (100 B to 2 kB), listed and digested", head, rows)


def memory(sizes: Sizes) -> None:
    """7. peak memory of the processes, for few and for many items."""
    rows = []
    for count in sizes.items:
        disk = evidence.many(count, 1_000)
        spent = cost.run(disk.folder, workers=2, watch=True, least=disk.size)
        peaks = [f"{spent.peaks.get(role, 0) / (1 << 20):.0f}" for role in ("coordinator", "executor", "worker")]
        rows.append(f"{count:,} small files | {' | '.join(peaks)} | {spent.cpu:.1f}")
    disk = evidence.mixed(sizes.mixed_mb)
    spent = cost.run(disk.image, workers=2, watch=True, least=disk.size)
    peaks = [f"{spent.peaks.get(role, 0) / (1 << 20):.0f}" for role in ("coordinator", "executor", "worker")]
    rows += [f"mixed evidence | {' | '.join(peaks)} | {spent.cpu:.1f}", "goal: below | 500 |  | 1024 | "]
    table("7. Peak memory in MiB, everything, two workers", "evidence | coordinator | executor | worker | CPU s", rows)


TABLES = (digests_only, photo_disk, mixed_disk, two_workers, scripted, many_files, memory)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small evidence, one run each: less than two minutes once it is made")
    parser.add_argument("--runs", type=int, default=0, help="runs of each figure (5; quick: 1)")
    parser.add_argument("--only", default="", help="numbers of the tables, e.g. 1,3")
    parser.add_argument("--items", type=int, default=200_000, help="most items of table 7")
    parser.add_argument("--photos", type=int, default=300, help="photos of tables 2, 4 and 5")
    chosen = parser.parse_args()
    sizes = Sizes(chosen.quick, chosen.runs or (1 if chosen.quick else 5), chosen.items, chosen.photos)
    wanted = {int(n) for n in chosen.only.split(",") if n} or set(range(1, len(TABLES) + 1))
    evidence.ROOT.mkdir(parents=True, exist_ok=True)
    cost.compile_package()
    print(f"# Whole runs of Safelight: {cost.machine()}, medians of {sizes.runs}")
    for number, print_table in enumerate(TABLES, 1):
        if number in wanted:
            print_table(sizes)
    print(f"\nat the end: {cost.load()}")


if __name__ == "__main__":
    main()

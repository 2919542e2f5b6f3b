"""Print the peak memory of the processes of a run, for few and for many items (table in docs/methods/performance.md).

Small files made by code, in a folder; the real command with two workers. Evidence is made at the first use below the temporary folder.

Usage: .venv/bin/python bench/memory.py [--items 20000,100000] [--only digests]
"""

from __future__ import annotations

import argparse

from measured import cost, evidence

GOALS = {"coordinator": 500, "executor": 1024, "worker": 1024}
"""MiB that a process of this role stays below, whatever the number of items."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", default="20000,100000", help="numbers of files, with commas between")
    parser.add_argument("--only", choices=["everything", "digests"], default="everything", help="what is extracted")
    chosen = parser.parse_args()
    evidence.ROOT.mkdir(parents=True, exist_ok=True)
    cost.compile_package()
    print(f"# Peak memory in MiB: {cost.machine()}\n")
    print(f"| small files, {chosen.only} | {' | '.join(GOALS)} | CPU s | wall s |\n|{'---|' * (len(GOALS) + 3)}")
    for count in (int(n) for n in chosen.items.split(",")):
        disk = evidence.many(count, 1_000)
        spent = cost.run(disk.folder, "--only", chosen.only, workers=2, watch=True, least=disk.size)
        peaks = " | ".join(f"{spent.peaks.get(role, 0) / (1 << 20):.0f}" for role in GOALS)
        print(f"| {count:,} | {peaks} | {spent.cpu:.1f} | {spent.wall:.0f} |", flush=True)
    print(f"| goal: below | {' | '.join(str(g) for g in GOALS.values())} | | |\n\nat the end: {cost.load()}")


if __name__ == "__main__":
    main()

"""Measure the search of PDQ hashes: build, bytes, single queries and batches, recall, beside faiss and threatexchange, in one run.

    python bench/pdq_search.py [--millions 1 10] [--hundred] [--batch 1000000] [--peers] [--distances 31 48 64]

Data by pdq_data.py. Each size runs in a process of its own, so that its peak memory (with mapped files, as the system counts it) can be
told. `--hundred` adds 100 million (10 GB of disk below --folder, 11 GB of memory to make the data). Peers run on one thread, as their
search of one query does, and on two where they can in batches; those that are not installed are left out and said.
"""

from __future__ import annotations

import argparse
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pdq_data
import pdq_peers

from safelight.match import pdq, pdq_index
from safelight.native import _bands

SAMPLE = 1000
"""Queries whose matches are compared with brute force."""


def blocks(hashes: np.ndarray):  # type: ignore[no-untyped-def]
    """Yield blocks of hash + row, as an import does."""
    row = 0
    for rows in pdq_data.blocks_in_order(hashes):
        numbers = np.arange(row, row + len(rows)).astype(">u8").view(np.uint8).reshape(-1, 8)
        row += len(rows)
        yield np.concatenate([rows, numbers], axis=1)


def clock() -> np.ndarray:
    """Return (wall, CPU) seconds."""
    return np.array([time.perf_counter(), time.process_time()])


def peak() -> int:
    """Return the peak memory of this process in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def say(what: str, value: str, wall: float | None = None, cpu: float | None = None) -> None:
    """Print a row of the table."""
    print(f"| {what} | {value} | {'' if wall is None else f'{wall:.2f}'} | {'' if cpu is None else f'{cpu:.2f}'} |", flush=True)


def build(folder: Path, count: int) -> None:
    """Make the data, sort them and write the four files; the part that is ours (bands, digests) is timed alone."""
    hashes = pdq_data.listed(count)
    write, pdq_index.write_bands = pdq_index.write_bands, lambda *_: None
    distinct = sum(len(b) for b in pdq_data.blocks_in_order(hashes))
    at = clock()
    pdq_index.write_pdq(folder, blocks(hashes), distinct, distinct)
    say("sort and write the hashes", f"{distinct:,} distinct", *(clock() - at))
    del hashes
    print(f"(peak memory with the data: {peak()} MiB)")
    pdq_index.write_bands = write


def bands(folder: Path) -> None:
    """Write the bands of sorted hashes."""
    entries = (folder / "pdq.keys").stat().st_size // 32
    at = clock()
    pdq_index.write_bands(folder, entries)
    size = sum((folder / f).stat().st_size for f in pdq_index.FILES)
    say("write the bands", f"{size / entries:.1f} B/entry in all, peak {peak()} MiB", *(clock() - at))


def search(folder: Path, batch: int, distances: list[int]) -> None:
    """Open, single queries, one batch, recall on a sample."""
    at = clock()
    index = pdq_index.open_pdq(folder)
    say("open", f"{len(index.widths)} bands", *(clock() - at))
    queries = pdq_data.asked(index.keys, batch)
    say("(queries made)", f"peak {peak()} MiB")
    at = clock()
    pieces = list(index.join(queries))
    took = clock() - at
    pairs = sum(len(p[0]) for p in pieces)
    say(f"batch of {batch:,}, distance 31", f"**{batch / took[0]:,.0f} queries/s**, {pairs:,} pairs, peak {peak()} MiB", *took)
    for distance in distances:
        times = []
        for query in queries[: 1000 if distance <= 31 else 100]:
            start = time.perf_counter()
            index.query(query, distance)
            times.append(time.perf_counter() - start)
        p50, p95 = np.percentile(np.array(times) * 1000, [50, 95])
        say(f"single query, distance {distance}", f"p50 {p50:.2f} ms, **p95 {p95:.2f} ms**, {len(times) / sum(times):,.0f} queries/s")
    sample = np.random.default_rng(5).choice(batch, SAMPLE, replace=False)
    sample.sort()
    q, rows, d = (np.concatenate(parts) for parts in zip(*pieces, strict=True))
    keep = np.isin(q, sample)
    want = pdq.join(queries[sample], index.keys, 31, way="brute")
    order = np.lexsort((rows[keep], q[keep]))
    same = [np.array_equal(a, b[order]) for a, b in zip((sample[want[0]], want[1], want[2]), (q[keep], rows[keep], d[keep]), strict=True)]
    say(
        f"recall against brute force, {SAMPLE} queries",
        f"{len(want[0]):,} of {int(keep.sum()):,} pairs, {'equal' if all(same) else 'DIFFERENT'}",
    )


def main() -> None:
    """Run all sizes, each stage in a process of its own."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--millions", type=float, nargs="*", default=[1, 10])
    parser.add_argument("--hundred", action="store_true")
    parser.add_argument("--batch", type=int, default=1_000_000)
    parser.add_argument("--distances", type=int, nargs="*", default=[31, 48, 64])
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--stage", choices=["build", "bands", "search", "peers"], help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.stage:
        stages: dict[str, Callable[[], None]] = {
            "build": lambda: build(args.folder, int(args.millions[0] * 1e6)),
            "bands": lambda: bands(args.folder),
            "search": lambda: search(args.folder, args.batch, args.distances),
            "peers": lambda: pdq_peers.run(args.folder),
        }
        stages[args.stage]()
        return
    print(f"{platform.machine()}, {_bands.level()}, {pdq.THREADS} threads, Python {platform.python_version()}, NumPy {np.__version__}")
    for millions in [*args.millions, *([100] if args.hundred else [])]:
        print(f"\n{millions:g} million\n\n| what | result | wall s | CPU s |\n|---|---|---|---|", flush=True)
        with tempfile.TemporaryDirectory(dir=args.folder) as folder:
            for stage in ("build", "bands", "search", *(["peers"] if args.peers and millions <= 10 else [])):
                options = ["--millions", str(millions), "--batch", str(args.batch), "--folder", folder, "--stage", stage]
                options += ["--distances", *map(str, args.distances)]
                subprocess.run([sys.executable, __file__, *options], check=True)


if __name__ == "__main__":
    main()

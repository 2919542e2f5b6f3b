"""Measure stacking: pictures made by code → stacks, and an update by a few more; CPU seconds and peak memory.

    python bench/stacks.py [--millions 1 10] [--new 10000]

Hashes by pdq_data.py (3 in 10 are near-duplicates, five templates have thousands of variants each); one in ten thousand pictures is of low
quality. Each size runs in a process of its own.
"""

from __future__ import annotations

import argparse
import itertools
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pdq_data
import pyarrow as pa

from safelight.durable import digest_file
from safelight.match import pdq
from safelight.native import _bands
from safelight.stack.stacks import Pictures, read_pictures, stack_pictures
from safelight.stack.step import read_before, write_stacks


def clock() -> np.ndarray:
    """Return (wall, CPU) seconds."""
    return np.array([time.perf_counter(), time.process_time()])


def batches(hashes: np.ndarray, seed: int):  # type: ignore[no-untyped-def]
    """Yield pictures as the facts give them, in batches of 50,000, names at random."""
    for start in range(0, len(hashes), 50_000):
        rng = np.random.default_rng([seed, start])
        part = np.ascontiguousarray(hashes[start : start + 50_000])
        names = rng.integers(0, 256, (len(part), 32), dtype=np.uint8)
        quality = np.where(rng.random(len(part)) < 1e-4, 10, rng.integers(50, 101, len(part)))
        columns = [pa.FixedSizeBinaryArray.from_buffers(pa.binary(32), len(part), [None, pa.py_buffer(x)]) for x in (names, part)]
        numbers = [pa.array(x, t) for x, t in ((quality, pa.int16()), *[(rng.integers(100, 4000, len(part)), pa.int32())] * 2)]
        yield pa.RecordBatch.from_arrays([*columns, *numbers], ["sha256", "pdq", "pdq_quality", "width", "height"])


def say(what: str, value: str, took: np.ndarray) -> None:
    """Print a row of the table."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(f"| {what} | {value} | {took[0]:.1f} | {took[1]:.1f} | {peak:,} |", flush=True)


def pictures_of(count: int, new: int, every: bool) -> Pictures:
    """Return the pictures that were there before, or all."""
    hashes = pdq_data.listed(count + new)
    at = clock()
    parts = [batches(hashes[new:], 1), batches(hashes[:new], 2) if every else ()]
    pictures = read_pictures(itertools.chain(*parts))
    say("read and sort", f"{len(pictures.names):,} contents", clock() - at)
    return pictures


def run(count: int, new: int, what: str, folder: Path) -> None:
    """Stack as the step of a case does, to the file that it writes: `first` all but the new ones, `update` and `anew` all."""
    print(f"\n{what}\n\n| what | result | wall s | CPU s | peak MiB |\n|---|---|---|---|---|")
    pictures = pictures_of(count, new, what != "first")
    before = None
    if what == "update":
        at = clock()
        before = read_before(folder / "first.parquet")
        say("read what was stacked", f"{len(before.hashes):,} distinct hashes", clock() - at)
    at = clock()
    stacks = stack_pictures(pictures, before=before)
    say("stack", f"{int((stacks.rank == 1).sum()):,} stacks, largest {int(stacks.size.max()):,}", clock() - at)
    at = clock()
    written = write_stacks(stacks, folder / f"{what}.parquet")
    say("write", f"{(folder / f'{what}.parquet').stat().st_size >> 20:,} MiB, SHA-256 {written.sha256[:12]}", clock() - at)


def main() -> None:
    """Run all sizes, each step in a process of its own."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--millions", type=float, nargs="*", default=[1])
    parser.add_argument("--new", type=int, default=10_000)
    parser.add_argument("--only", choices=["first", "update", "anew"], nargs="*", default=["first", "update", "anew"])
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        count, what, folder = args.one
        run(int(count), args.new, what, Path(folder))
        return
    print(f"{platform.machine()}, {_bands.level()}, {pdq.THREADS} threads, Python {platform.python_version()}, NumPy {np.__version__}")
    for millions in args.millions:
        print(f"\n{millions:g} million, {args.new:,} new\n", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            for what in args.only:
                own = ["--one", str(int(millions * 1e6)), what, folder, "--new", str(args.new)]
                subprocess.run([sys.executable, __file__, *own], check=True)
            if {"update", "anew"} <= set(args.only):
                one, two = (digest_file(Path(folder) / f"{what}.parquet") for what in ("update", "anew"))
                print(f"\nthe update and all anew: {'the same file' if one == two else 'DIFFERENT FILES'}", flush=True)


if __name__ == "__main__":
    main()

"""Measure stacking: pictures made by code → stacks, and an update by a few more; CPU seconds and peak memory.

    python bench/stacks.py [--millions 1 10] [--new 10000]

Hashes by pdq_data.py (3 in 10 are near-duplicates, five templates have thousands of variants each); one in ten thousand pictures is of low
quality. Each size runs in a process of its own.
"""

from __future__ import annotations

import argparse
import platform
import resource
import subprocess
import sys
import time

import numpy as np
import pdq_data
import pyarrow as pa

from safelight.match import pdq
from safelight.native import _bands
from safelight.stack.stacks import before_of, read_pictures, stack_batches, stack_pictures


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


def run(count: int, new: int) -> None:
    """Stack all but the new ones, then all by an update, then all anew; the last two must be equal."""
    hashes = pdq_data.listed(count + new)
    print("| what | result | wall s | CPU s | peak MiB |\n|---|---|---|---|---|")
    say("(pictures made)", f"{len(hashes):,}", np.zeros(2))
    at = clock()
    pictures = read_pictures(batches(hashes[new:], 1))
    say("read and sort", f"{len(pictures.names):,} contents", clock() - at)
    every = read_pictures([*batches(hashes[new:], 1), *batches(hashes[:new], 2)]) if new else pictures
    del hashes
    at = clock()
    stacks = stack_pictures(pictures)
    say("stack", f"{int((stacks.rank == 1).sum()):,} stacks, largest {int(stacks.size.max()):,}", clock() - at)
    at = clock()
    table = pa.Table.from_batches(list(stack_batches(stacks)))
    before = before_of(table)
    say("write as Arrow and read back", f"{table.nbytes >> 20:,} MiB", clock() - at)
    del stacks, pictures, table
    at = clock()
    updated = stack_pictures(every, before=before)
    say(f"update by {new:,} more", f"{int((updated.rank == 1).sum()):,} stacks", clock() - at)
    del before
    at = clock()
    anew = stack_pictures(every)
    same = all(np.array_equal(a, b) for a, b in zip(updated[1:], anew[1:], strict=True))
    say("all anew", "equal to the update" if same else "DIFFERENT", clock() - at)


def main() -> None:
    """Run all sizes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--millions", type=float, nargs="*", default=[1])
    parser.add_argument("--new", type=int, default=10_000)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        run(args.one, args.new)
        return
    print(f"{platform.machine()}, {_bands.level()}, {pdq.THREADS} threads, Python {platform.python_version()}, NumPy {np.__version__}")
    for millions in args.millions:
        print(f"\n{millions:g} million\n", flush=True)
        subprocess.run([sys.executable, __file__, "--one", str(int(millions * 1e6)), "--new", str(args.new)], check=True)


if __name__ == "__main__":
    main()

"""Measure hash sets and matching: import, exact look-ups against SQLite and DuckDB, PDQ joins. Prints one table.

    python bench/match.py [--entries 5000000] [--pdq 1000000] [--batch 10000] [--records 200000]

All in one run on one machine, one thread where the engine lets us; wall and CPU seconds. Data are made by code.
"""

from __future__ import annotations

import argparse
import platform
import resource
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from safelight.match import pdq
from safelight.match.digests import bits_for, lookup, prefix_table
from safelight.match.importer import import_set
from safelight.match.library import Library
from safelight.match.spill import sort_rows
from safelight.native import _hamming


@contextmanager
def timed(what: str, count: int, unit: str) -> Iterator[None]:
    """Print how many `unit` a second the body did."""
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"| {what} | {count / wall:,.0f} {unit}/s | {wall:.2f} | {cpu:.2f} |", flush=True)


def bench_exact(entries: int) -> None:
    """Look up 500,000 MD5s, half of them present, in our index, SQLite and DuckDB."""
    rng = np.random.default_rng(1)
    keys = sort_rows(rng.integers(0, 256, (entries, 16), dtype=np.uint8))
    queries = np.concatenate([keys[rng.integers(0, entries, 250_000)], rng.integers(0, 256, (250_000, 16), dtype=np.uint8)])
    rng.shuffle(queries)
    bits = bits_for(entries)
    table = prefix_table(keys, bits)
    with timed(f"exact look-up, {entries:,} MD5, ours", len(queries), "look-ups"):
        found = int((lookup(keys, table, bits, queries)[1] > 0).sum())
    raw = [q.tobytes() for q in queries]
    db = sqlite3.connect(":memory:")
    db.execute("CREATE TABLE k(h BLOB PRIMARY KEY) WITHOUT ROWID")
    db.executemany("INSERT OR IGNORE INTO k VALUES(?)", ((k.tobytes(),) for k in keys))
    with timed("the same, SQLite, one by one", len(raw), "look-ups"):
        other = sum(db.execute("SELECT 1 FROM k WHERE h = ?", (q,)).fetchone() is not None for q in raw)
    assert found == other
    db.execute("CREATE TEMP TABLE q(h BLOB)")
    with timed("the same, SQLite, joined with a temporary table", len(raw), "look-ups"):
        db.executemany("INSERT INTO q VALUES(?)", ((q,) for q in raw))
        other = db.execute("SELECT count(*) FROM q JOIN k USING(h)").fetchone()[0]
    assert found == other
    db.close()
    bench_duckdb(keys, queries, found)


def bench_duckdb(keys: np.ndarray, queries: np.ndarray, found: int) -> None:
    """The same look-ups as a hash join of DuckDB on two 64-bit columns, one thread."""
    import duckdb
    import pyarrow as pa

    def table(rows: np.ndarray) -> pa.Table:
        words = np.ascontiguousarray(rows).view("<u8")
        return pa.table({"a": words[:, 0], "b": words[:, 1]})

    db = duckdb.connect(config={"threads": 1})
    k, q = table(keys), table(queries)
    db.register("kk", k)
    db.execute("CREATE TABLE k AS SELECT * FROM kk")
    db.register("q", q)
    with timed("the same, DuckDB, one batch", len(queries), "look-ups"):
        other = db.execute("SELECT count(*) FROM q SEMI JOIN k USING (a, b)").fetchone()
    assert other == (found,)


def bench_pdq(entries: int, batch: int) -> None:
    """Join a batch of PDQ hashes, a tenth of them near an entry, with the entries by each way."""
    rng = np.random.default_rng(2)
    hashes = rng.integers(0, 256, (entries, 32), dtype=np.uint8)
    queries = rng.integers(0, 256, (batch, 32), dtype=np.uint8)
    queries[::10] = hashes[rng.integers(0, entries, len(queries[::10]))]
    queries[::10, ::8] ^= 0x11
    answers = {}
    for way in ("bands", "brute", ""):
        part = queries[:1000] if way == "brute" else queries
        with timed(f"PDQ join, {len(part):,} × {entries:,}, {way or 'chosen'} ({_hamming.level()})", len(part), "queries"):
            answers[way] = pdq.join(part, hashes, way=way)
    assert all(np.array_equal(a, b) for a, b in zip(answers["bands"], answers[""], strict=True))
    some = answers["bands"][0] < 1000
    assert all(np.array_equal(a[some], b) for a, b in zip(answers["bands"], answers["brute"], strict=True))
    with timed(f"PDQ self-join of {entries // 5:,}", entries // 5, "hashes"):
        pdq.self_join(hashes[: entries // 5])


def bench_import(records: int) -> None:
    """Import a one-line VICS file and a plain list."""
    rng = np.random.default_rng(3)
    with tempfile.TemporaryDirectory() as folder:
        library = Library(Path(folder) / "library")
        vics, plain = Path(folder) / "x.json", Path(folder) / "x.txt"
        hashes = ((rng.bytes(16).hex(), rng.bytes(20).hex()) for _ in range(records))
        media = (f'{{"MediaID":{n},"Category":{n % 4},"MD5":"{m}","SHA1":"{s}"}}' for n, (m, s) in enumerate(hashes))
        vics.write_text('{"value":[' + ",".join(media) + "]}")
        plain.write_text("\n".join(rng.bytes(16).hex() for _ in range(records)) + "\n")
        for path in (vics, plain):
            with timed(f"import of {path.suffix} ({records:,} records)", records, "records"):
                import_set(library, path, name=path.name, as_="other")


def main() -> None:
    """Run all and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--entries", type=int, default=5_000_000)
    parser.add_argument("--pdq", type=int, default=1_000_000)
    parser.add_argument("--batch", type=int, default=10_000)
    parser.add_argument("--records", type=int, default=200_000)
    args = parser.parse_args()
    print(f"{platform.machine()}, {_hamming.level()}, Python {platform.python_version()}, NumPy {np.__version__}\n")
    print("| what | rate | wall s | CPU s |\n|---|---|---|---|")
    bench_import(args.records)
    bench_pdq(args.pdq, args.batch)
    bench_exact(args.entries)
    print(f"\npeak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MiB")


if __name__ == "__main__":
    main()

"""Measure sets of digests: look-ups beside LMDB, DuckDB and SQLite on the same data in the same run, and the import of large lists.

    python bench/digests.py [--entries 3000000] [--peers 3000000] [--batch 1000000] [--records 1000000] [--width 16]
    python bench/digests.py --large 1000000000      a set of that many MD5s alone (21 GB of disk)
    python bench/digests.py --nsrl 74000000         the import of an NSRL database of that many digests alone (30 GB of disk)

Prints tables: entries, bytes an entry, opening, look-ups per CPU second (median of five batches, half of the queries present, warm), and
for imports records per second with CPU seconds of reader and writer. One thread. LMDB takes part where its package is installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import platform
import resource
import shutil
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from safelight.match.digests import bits_for, lookup, prefix_table
from safelight.match.importer import import_set
from safelight.match.indexes import Index, write_index
from safelight.match.library import Library
from safelight.match.sandboxed import sandboxed_reader
from safelight.match.spill import Spill, sort_rows

METHODS = {16: "md5", 20: "sha1", 32: "sha256"}
ROUNDS = 5


def hits(index: Index, queries: NDArray[np.uint8]) -> int:
    """Return how many of the queries are in the index."""
    return int((lookup(index.keys, index.table, index.bits, queries)[1] > 0).sum())


def rate(count: int, ask: Callable[[], int], want: int) -> float:
    """Return look-ups per CPU second, the median of some rounds; the first is not counted."""
    spent = []
    for round_ in range(ROUNDS + 1):
        start = time.process_time()
        assert ask() == want, "a wrong answer"
        if round_:
            spent.append(time.process_time() - start)
    return count / statistics.median(spent)


def made(entries: int, width: int, batch: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8], int]:
    """Return (sorted keys, shuffled queries, how many are there)."""
    rng = np.random.default_rng(1)
    keys = np.concatenate(
        [rng.integers(0, 256, (min(5_000_000, entries - at), width), dtype=np.uint8) for at in range(0, entries, 5_000_000)]
    )
    keys = np.concatenate([sort_rows(p) for p in parted(keys)])
    queries = np.concatenate(
        [keys[rng.integers(0, entries, batch // 2)], rng.integers(0, 256, (batch - batch // 2, width), dtype=np.uint8)]
    )
    rng.shuffle(queries)
    return keys, queries, batch // 2


def parted(keys: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    order = keys[:, 0]
    return [keys[order == byte] for byte in range(256)]


def row(what: str, entries: int, size: float, number: float, best: float | None = None) -> None:
    ratio = f"{best / number:.1f} ×" if best else ""
    print(f"| {what} | {entries:,} | {size:.2f} | {number / 1e6:.2f} | {ratio} |", flush=True)


def bench_lookups(entries: int, peers: int, batch: int, width: int, folder: Path) -> None:
    """Our set at its size and at that of the peers, then the peers."""
    print("| what | entries | bytes an entry | M look-ups/s | ours is faster by |\n|---|---|---|---|---|")
    best = 0.0
    for count in sorted({entries, peers}, reverse=True):
        keys, queries, want = made(count, width, batch)
        bits = bits_for(count)
        method = METHODS[width]
        spill = Spill(folder, method, width + 8)
        for at in range(0, count, 500_000):
            numbers = np.arange(at, min(at + 500_000, count), dtype=">u8").view(np.uint8).reshape(-1, 8)
            spill.add(np.concatenate([keys[at : at + 500_000], numbers], axis=1))
        write_index(folder, method, spill.blocks(), count, count)
        start = time.perf_counter()
        index = Index(folder, method, count)
        opened = time.perf_counter() - start
        assert index.bits == bits and len(prefix_table(keys[:10], 2)) == 5
        size = sum((folder / f"{method}.{n}").stat().st_size for n in ("keys", "table")) / count
        best = rate(batch, partial(hits, index, queries), want)
        row(f"ours ({method}; mapped in {opened * 1000:.1f} ms)", count, size, best)
        small = queries[: batch // 20]
        few = hits(index, small)
        row(
            "ours, batches of a twentieth",
            count,
            size,
            rate(len(small), partial(hits, index, small), few),
        )
        if count == peers:
            bench_peers(keys, queries, want, best, folder)
        del index, keys


def bench_large(entries: int, batch: int, folder: Path) -> None:
    """One set of MD5s, made block by block: no more than a 256th of it is held while it is written."""
    rng, asked, made_so_far = np.random.default_rng(4), [strangers(batch - batch // 2)], 0

    def blocks() -> Iterator[NDArray[np.uint8]]:
        nonlocal made_so_far
        for byte in range(256):
            count = entries * (byte + 1) // 256 - made_so_far
            keys = rng.integers(0, 256, (count, 16), dtype=np.uint8)
            keys[:, 0] = byte
            asked.append(keys[: batch // 2 * (byte + 1) // 256 - batch // 2 * byte // 256].copy())
            numbers = np.arange(made_so_far, made_so_far + count).astype(">u8").view(np.uint8).reshape(-1, 8)
            made_so_far += count
            yield sort_rows(np.concatenate([keys, numbers], axis=1))

    wall, cpu = time.perf_counter(), time.process_time()
    write_index(folder, "md5", blocks(), entries, entries)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{entries:,} MD5s made and written in {wall:.0f} s ({cpu:.0f} CPU s), peak {peak()} MiB", flush=True)
    queries = np.concatenate(asked)
    rng.shuffle(queries)
    start = time.perf_counter()
    index = Index(folder, "md5", entries)
    print(f"mapped in {(time.perf_counter() - start) * 1000:.1f} ms")
    size = sum((folder / f"md5.{n}").stat().st_size for n in ("keys", "table")) / entries
    for round_ in range(ROUNDS):
        wall, cpu = time.perf_counter(), time.process_time()
        assert hits(index, queries) == batch // 2, "a wrong answer"
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        print(
            f"| ours, batch {round_ + 1} | {entries:,} | {size:.2f} B | {batch / cpu / 1e6:.2f} M/s of CPU | {batch / wall / 1e6:.2f} M/s of wall |",
            flush=True,
        )


def strangers(count: int) -> NDArray[np.uint8]:
    """Return digests that are in no set."""
    return np.random.default_rng(5).integers(0, 256, (count, 16), dtype=np.uint8)


def peak() -> int:
    """Return the peak memory of this process in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def bench_nsrl(records: int, folder: Path) -> None:
    """Import, in the sandbox as `hashset add` does, one NSRL database."""
    rds3(folder / "rds.db", records, 1)
    gb = (folder / "rds.db").stat().st_size / 1e9
    wall, cpu = time.perf_counter(), time.process_time()
    report = import_set(Library(folder / "library"), folder / "rds.db", name="s", as_="known", reader=sandboxed_reader())
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"NSRL RDS 3 of {records:,} records ({gb:.1f} GB): {wall:.0f} s, {report.records_read / wall:,.0f} records/s")
    print(f"writer {cpu:.0f} CPU s, peak {peak()} MiB; the reader is a process of its own beside it")


def bench_peers(keys: NDArray[np.uint8], queries: NDArray[np.uint8], want: int, best: float, folder: Path) -> None:
    """The same look-ups by SQLite, DuckDB and LMDB."""
    count, raw = len(keys), [q.tobytes() for q in queries]
    if importlib.util.find_spec("lmdb"):
        import lmdb

        env = lmdb.open(str(folder / "lmdb"), map_size=64 << 30, sync=False)
        for at in range(0, count, 1_000_000):
            with env.begin(write=True) as txn, txn.cursor() as cursor:
                cursor.putmulti([(k.tobytes(), b"") for k in keys[at : at + 1_000_000]], append=True, dupdata=False)
        size = (folder / "lmdb" / "data.mdb").stat().st_size / count
        ordered = sorted(raw)
        with env.begin() as txn:
            get = txn.get
            row("LMDB, one by one", count, size, rate(len(raw), lambda: sum(get(q) is not None for q in raw), want), best)
            row("LMDB, one by one, in order", count, size, rate(len(raw), lambda: sum(get(q) is not None for q in ordered), want), best)
            cursor = txn.cursor()
            row("LMDB, getmulti, in order", count, size, rate(len(raw), lambda: len(cursor.getmulti(ordered)), want), best)
        env.close()
    else:
        print("LMDB is not installed (pip install lmdb): left out")
    bench_duckdb(keys, queries, want, best, folder)
    db = sqlite3.connect(folder / "sqlite.db")
    db.execute("CREATE TABLE k(h BLOB PRIMARY KEY) WITHOUT ROWID")
    db.executemany("INSERT INTO k VALUES(?)", ((k.tobytes(),) for k in keys))
    db.commit()
    size = (folder / "sqlite.db").stat().st_size / count
    db.execute("PRAGMA mmap_size = 8589934592")
    few = raw[: len(raw) // 10]
    some = sum(db.execute("SELECT 1 FROM k WHERE h = ?", (q,)).fetchone() is not None for q in few)
    one = rate(len(few), lambda: sum(db.execute("SELECT 1 FROM k WHERE h = ?", (q,)).fetchone() is not None for q in few), some)
    row("SQLite, one by one", count, size, one, best)
    db.execute("CREATE TEMP TABLE q(h BLOB)")
    db.executemany("INSERT INTO q VALUES(?)", ((q,) for q in sorted(raw)))
    row(
        "SQLite, joined with a table",
        count,
        size,
        rate(len(raw), lambda: db.execute("SELECT count(*) FROM q CROSS JOIN k USING(h)").fetchone()[0], want),
        best,
    )
    db.close()


def bench_duckdb(keys: NDArray[np.uint8], queries: NDArray[np.uint8], want: int, best: float, folder: Path) -> None:
    import duckdb
    import pyarrow as pa

    def table(rows: NDArray[np.uint8]) -> pa.Table:
        words = np.ascontiguousarray(rows[:, : rows.shape[1] // 8 * 8]).view("<u8")
        return pa.table({f"w{n}": words[:, n] for n in range(words.shape[1])})

    db = duckdb.connect(str(folder / "duck.db"), config={"threads": 1})
    asked = table(queries)
    stored = table(keys)
    db.register("stored", stored)
    db.execute("CREATE TABLE k AS SELECT * FROM stored")
    db.execute("CHECKPOINT")
    db.register("asked", asked)
    db.execute("CREATE TEMP TABLE q AS SELECT * FROM asked")
    using = ", ".join(asked.column_names)
    size = (folder / "duck.db").stat().st_size / len(keys)
    row(
        "DuckDB, hash join",
        len(keys),
        size,
        rate(len(queries), lambda: int((db.execute(f"SELECT count(*) FROM q SEMI JOIN k USING ({using})").fetchone() or [0])[0]), want),
        best,
    )
    db.close()


def rds3(path: Path, records: int, repeats: int) -> None:
    """Write an RDS 3 minimal set with the published schema (FILE without crc32), `repeats` rows a digest."""
    db = sqlite3.connect(path)
    db.execute("PRAGMA journal_mode = OFF")
    db.execute("PRAGMA synchronous = OFF")
    db.execute(
        "CREATE TABLE FILE (sha256 VARCHAR NOT NULL, sha1 VARCHAR NOT NULL, md5 VARCHAR NOT NULL, file_name VARCHAR NOT NULL, "
        "file_size INTEGER NOT NULL, package_id INTEGER NOT NULL, "
        "CONSTRAINT PK_FILE__FILE PRIMARY KEY (sha256, sha1, md5, file_name, file_size, package_id))"
    )
    rng = np.random.default_rng(2)
    for at in range(0, records, 100_000):
        count = min(100_000, records - at)
        text = rng.bytes(count * 64).hex().upper()
        rows = (
            (
                f"{at + n:016X}{text[n * 128 : n * 128 + 48]}",
                text[n * 128 + 48 : n * 128 + 88],
                text[n * 128 + 88 : n * 128 + 120],
                "file.dll",
                1,
                k,
            )
            for n in range(count)
            for k in range(repeats)
        )
        db.executemany("INSERT INTO FILE VALUES (?, ?, ?, ?, ?, ?)", rows)
    db.commit()
    db.close()


def bench_import(records: int, folder: Path) -> None:
    """Import, in the sandbox as `hashset add` does, NSRL databases, a bare list and a table."""
    rng = np.random.default_rng(3)
    print("\n| import | records | records/s | wall s | writer CPU s |\n|---|---|---|---|---|")
    sources: list[tuple[str, Path, str]] = []
    for repeats in (1, 6):
        rds3(folder / f"rds{repeats}.db", records // repeats, repeats)
        sources.append((f"NSRL RDS 3, {repeats} rows a digest", folder / f"rds{repeats}.db", "known"))
    text = rng.bytes(records * 16).hex()
    (folder / "list.txt").write_text("".join(f"{text[n * 32 : n * 32 + 32]}\n" for n in range(records)))
    (folder / "table.csv").write_text(
        "md5;category;note\r\n" + "".join(f'"{text[n * 32 : n * 32 + 32]}";{n % 4};x\r\n' for n in range(records))
    )
    sources += [("one MD5 a line", folder / "list.txt", "other"), ("table of MD5 and category", folder / "table.csv", "other")]
    for what, path, kind in sources:
        wall, cpu = time.perf_counter(), time.process_time()
        report = import_set(Library(folder / "library"), path, name="s", as_=kind, reader=sandboxed_reader())
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        print(f"| {what} | {report.records_read:,} | {report.records_read / wall:,.0f} | {wall:.1f} | {cpu:.1f} |", flush=True)
        shutil.rmtree(folder / "library")
        path.unlink()


def main() -> None:
    """Run all and print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--entries", type=int, default=3_000_000)
    parser.add_argument("--peers", type=int, default=3_000_000)
    parser.add_argument("--batch", type=int, default=1_000_000)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--width", type=int, choices=list(METHODS), default=16)
    parser.add_argument("--large", type=int)
    parser.add_argument("--nsrl", type=int)
    parser.add_argument("--folder", type=Path, help="where the files lie meanwhile (a temporary folder below it)")
    args = parser.parse_args()
    print(f"{platform.machine()}, Python {platform.python_version()}, NumPy {np.__version__}, SQLite {sqlite3.sqlite_version}\n")
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        if args.large or args.nsrl:
            bench_large(args.large, args.batch, Path(folder)) if args.large else bench_nsrl(args.nsrl, Path(folder))
            return
        bench_lookups(args.entries, args.peers, args.batch, args.width, Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        bench_import(args.records, Path(folder))
    print(
        f"\npeak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MiB (queries as Python objects for the peers included)"
    )


if __name__ == "__main__":
    main()

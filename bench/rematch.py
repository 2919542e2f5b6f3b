"""Measure matching backwards: many cases with their stored facts × a new hash set, as `rematch --cases` does. Prints one table.

    python bench/rematch.py [--cases 10] [--contents 20000] [--pictures 1000] [--entries 1000000]

Cases are made by code through the real tables and the real ledger, one item a content; a thousandth of the contents of each is in the set.
One process; wall and CPU seconds. 100 cases of 100,000 contents: --cases 100 --contents 100000.
"""

from __future__ import annotations

import argparse
import platform
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from safelight.case import Case, Exhibit, now
from safelight.cli.rematch import rematch
from safelight.facts.layout import Layout
from safelight.facts.writer import TableWriter
from safelight.match.importer import import_set
from safelight.match.library import Library
from safelight.records import schema


def binary(rows: np.ndarray) -> Any:
    """Return (n, width) bytes as an Arrow array."""
    rows = np.ascontiguousarray(rows)
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(rows.shape[1]), len(rows), [None, pa.py_buffer(rows)])


def table(name: str, count: int, columns: dict[str, Any]) -> Any:
    """Return a table of facts; columns that are not given are null."""
    own = schema(name)
    return pa.Table.from_arrays([columns.get(f.name, pa.nulls(count, f.type)) for f in own], schema=own)


def make_case(folder: Path, contents: int, pictures: int, seed: int) -> np.ndarray:
    """Make a case with so many contents, some of them pictures; return its MD5s."""
    rng = np.random.default_rng(seed)
    case = Case.create(folder, folder.stem, "bench")
    case.write_exhibit(Exhibit(label="A", form="folder", parts=(), added=now()))
    names = rng.integers(0, 256, (contents, 68), dtype=np.uint8)
    names = names[np.argsort(np.ascontiguousarray(names[:, :8]).view(">u8").reshape(-1))]
    sha256, sha1, md5 = names[:, :32], names[:, 32:52], names[:, 52:]
    ordinals = np.arange(contents)
    texts = {"exhibit": "A", "state": "live", "type": "file", "time_basis": "utc", "reader": "bench"}
    columns: dict[str, Any] = {n: pa.array([v]).take(pa.array(np.zeros(contents, np.int64))) for n, v in texts.items()}
    columns |= {"item_id": binary(sha256[:, :16]), "source": pa.array(np.ones(contents, np.int32)), "ordinal": pa.array(ordinals)}
    columns |= {"member": pa.array(np.zeros(contents, np.int64)), "origin": pa.array([f"file:{n}" for n in ordinals.tolist()])}
    columns |= {"path": columns["origin"], "sha256": binary(sha256), "readable": pa.array(np.ones(contents, bool))}
    hashes = rng.integers(0, 256, (pictures, 8, 32), dtype=np.uint8)
    turns = pa.ListArray.from_arrays(pa.array(np.arange(pictures + 1, dtype=np.int32) * 8), binary(hashes.reshape(-1, 32)))
    shown = {"sha256": binary(sha256[:pictures]), "pdq": binary(hashes[:, 0]), "pdq_transforms": turns}
    made = {
        "items": table("items", contents, columns),
        "contents": table("contents", contents, {"sha256": binary(sha256), "sha1": binary(sha1), "md5": binary(md5)}),
        "pictures": table("pictures", pictures, {**shown, "pdq_quality": pa.array(np.full(pictures, 100, np.int16))}),
        "problems": table("problems", 0, {}),
    }
    layout, files = Layout(folder), {}
    layout.listed("A").mkdir(parents=True)
    layout.tables("A", "everything").mkdir(parents=True)
    for name, rows in made.items():
        writer = TableWriter(layout.tables("A", "everything") / f"{name}-000000.parquet", name)
        writer.add_table(rows)
        written = writer.close()
        files[f"tables/{name}-000000.parquet"] = [written.rows, written.sha256, written.logical]
    for name in ("volumes", "problems"):
        TableWriter(layout.listed("A") / f"{name}.parquet", name).close()
    case.ledger.append("compact", exhibit="A", step="extract-1", files=files)
    return md5


def main() -> None:
    """Make the cases and the sets, match, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=10)
    parser.add_argument("--contents", type=int, default=20_000)
    parser.add_argument("--pictures", type=int, default=1_000)
    parser.add_argument("--entries", type=int, default=1_000_000)
    args = parser.parse_args()
    print(f"{platform.machine()}, Python {platform.python_version()}, pyarrow {pa.__version__}\n")
    with tempfile.TemporaryDirectory() as place:
        root, planted = Path(place), []
        for n in range(args.cases):
            md5 = make_case(root / f"{n:04d}.case", args.contents, args.pictures, n)
            planted.append(md5[:: max(1, len(md5) // max(1, args.contents // 1000))])
        every = sum(map(len, planted))
        text = np.random.default_rng(10_000_019).bytes(args.entries * 16).hex()
        listed = [text[n * 32 : n * 32 + 32] for n in range(args.entries)] + [m.tobytes().hex() for p in planted for m in p]
        (root / "list.txt").write_text("\n".join(listed) + "\n")
        print("| what | cases | contents | new contents | wall s | CPU s |\n|---|---|---|---|---|---|")
        for what, want in (("a new set", every), ("the same again: nothing to do", 0), ("a new version of it", 0)):
            if "again" not in what:
                import_set(Library(root / "library"), root / "list.txt", name="s", as_="illegal")
            shelf, found = Library(root / "library", keep_open=True), 0
            wall, cpu = time.perf_counter(), time.process_time()
            for n in range(args.cases):
                found += sum(row[4] for row in rematch(root / f"{n:04d}.case", shelf))
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            assert found == want, (found, want)
            print(f"| {what} | {args.cases} | {args.cases * args.contents:,} | {found:,} | {wall:.1f} | {cpu:.1f} |", flush=True)
    print(f"\npeak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MiB")


if __name__ == "__main__":
    main()

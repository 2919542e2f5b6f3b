"""The same search by others, in the same run: faiss (exact and approximate, with the recall of each) and the index of threatexchange.

Both may be missing: `pip install faiss-cpu threatexchange`. What they find is compared pair by pair with brute force. The last column is
CPU seconds for 1,000 queries, so that a neighbour on the machine or another number of threads does not decide.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pdq_data

from safelight.match import pdq, pdq_index

Search = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
SLOW, FAST = 200, 20_000
"""Queries of a peer that compares everything, and of one that does not."""


class Race:
    """Runs each on the first queries of the same batch and says how many of the true pairs it found."""

    def __init__(self, entries: np.ndarray, queries: np.ndarray) -> None:
        self.entries, self.queries = entries, queries
        self.true: dict[int, set[tuple[int, int]]] = {}

    def truth(self, count: int) -> set[tuple[int, int]]:
        if count not in self.true:
            q, e, _ = pdq.join(self.queries[:count], self.entries, 31, way="brute" if count <= SLOW * 5 else "")
            self.true[count] = set(zip(q.tolist(), e.tolist(), strict=True))
        return self.true[count]

    def run(self, name: str, search: Search, count: int, built: float) -> None:
        """Print one row: build CPU seconds, queries a second, recall, CPU seconds for 1,000 queries."""
        count = min(count, len(self.queries))
        wall, cpu = time.perf_counter(), time.process_time()
        q, e = search(self.queries[:count])
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        true, found = self.truth(count), set(zip(q.tolist(), e.tolist(), strict=True))
        wrong = f", {len(found - true)} wrong" if found - true else ""
        recall = f"{len(found & true) / max(1, len(true)):.4f}{wrong}"
        print(f"| {name} | {built:.1f} | {count:,} | {count / wall:,.0f} | {recall} | {cpu / count * 1000:.4f} |", flush=True)


def by_faiss(index: Any, radius: int = 32) -> Search:
    """Return a search by range_search: faiss finds what is nearer than the radius."""

    def search(queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        limits, _, numbers = index.range_search(queries, radius)
        return np.repeat(np.arange(len(queries)), np.diff(limits.astype(np.int64))), numbers

    return search


def by_threatexchange(index: Any) -> Search:
    """Return a search by its index, hash by hash, as it is meant to be used."""

    def search(queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        pairs = [(n, int(match.metadata)) for n, q in enumerate(queries) for match in index.query(q.tobytes().hex())]
        table = np.array(pairs, np.int64).reshape(-1, 2)
        return table[:, 0], table[:, 1]

    return search


def ours(index: pdq_index.PdqIndex, way: str) -> Search:
    """Return a search by our index, all at once or one by one."""

    def search(queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        parts = [queries] if way == "batch" else list(queries[:, None, :])
        found = [(q + (n if way != "batch" else 0), e) for n, part in enumerate(parts) for q, e, _ in index.pairs(part)]
        return np.concatenate([f[0] for f in found]), np.concatenate([f[1] for f in found])

    return search


def built(make: Callable[[], Any]) -> tuple[Any, float]:
    """Return what was made and the CPU seconds it took."""
    start = time.process_time()
    made = make()
    return made, time.process_time() - start


def run(folder: Path) -> None:
    """Race all on the index in a folder."""
    index = pdq_index.open_pdq(folder)
    entries = np.array(index.keys)
    race = Race(entries, pdq_data.asked(entries, 1_000_000, seed=3))
    print("\n| search | build CPU s | queries | queries/s | recall | CPU s/1,000 |\n|---|---|---|---|---|---|", flush=True)
    race.run("Safelight, batch of a million", ours(index, "batch"), 1_000_000, 0)
    race.run("Safelight, batch of 20,000", ours(index, "batch"), FAST, 0)
    race.run("Safelight, one by one", ours(index, "single"), 2000, 0)
    try:
        import faiss
    except ImportError:
        print("\nfaiss is not installed: left out")
        return
    faiss.omp_set_num_threads(pdq.THREADS)

    def fill(made: Any) -> Any:
        if not made.is_trained:
            made.train(entries[:: max(1, len(entries) // 100_000)])
        made.add(entries)
        return made

    def multi_hash() -> Any:
        made = faiss.IndexBinaryMultiHash(256, 16, 16)
        made.nflip = 1
        return fill(made)

    def hashed() -> Any:
        made = faiss.IndexBinaryHash(256, 16)
        made.nflip = 1
        return fill(made)

    flat, cpu = built(lambda: fill(faiss.IndexBinaryFlat(256)))
    race.run("faiss flat (exact)", by_faiss(flat), SLOW, cpu)
    multi, cpu = built(multi_hash)
    race.run("faiss multi-hash 16 x 16 (exact)", by_faiss(multi), 2000, cpu)
    del multi
    one, cpu = built(hashed)
    race.run("faiss hash 16 bits, 1 flip (approximate)", by_faiss(one), FAST, cpu)
    del one
    quantizer = faiss.IndexBinaryFlat(256)
    ivf = faiss.IndexBinaryIVF(quantizer, 256, 1024)
    ivf.nprobe = 32
    _, cpu = built(functools.partial(fill, ivf))
    race.run("faiss IVF 1,024 lists, 32 probed (approximate)", by_faiss(ivf), 5000, cpu)
    _threatexchange(race, entries)


def _threatexchange(race: Race, entries: np.ndarray) -> None:
    """The index that threatexchange gives for PDQ, at up to a million entries: it takes them one by one, as text."""
    if len(entries) > 2_000_000:
        print("\nthreatexchange is left out beyond two million entries: it wraps the multi-hash above")
        return
    try:
        from threatexchange.signal_type.pdq.pdq_index import PDQIndex
    except ImportError:
        print("\nthreatexchange is not installed: left out")
        return
    made, cpu = built(lambda: PDQIndex.build([(e.tobytes().hex(), n) for n, e in enumerate(entries)]))
    race.run("threatexchange PDQIndex (exact)", by_threatexchange(made), 1000, cpu)

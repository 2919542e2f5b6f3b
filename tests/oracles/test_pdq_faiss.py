"""The search of PDQ hashes against a second tool: exhaustive range search of faiss."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from safelight.match import pdq_index
from safelight.match.pdq import collapse
from safelight.match.pdq_index import open_pdq, write_pdq

faiss = pytest.importorskip("faiss", reason="faiss-cpu is not installed: no second tool to compare with")


@pytest.mark.parametrize("distance", [0, 16, 31, 48, 64])
def test_batch_and_single_query_equal_faiss(distance: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On 30,000 hashes in clusters of every size, each way finds the rows and distances that faiss finds by comparing everything."""
    rng = np.random.default_rng(distance)
    centres = rng.integers(0, 256, (300, 32), dtype=np.uint8)
    flips = rng.random((30_000, 256)) < np.repeat(rng.uniform(0, 0.2, 300), 100)[:, None]
    entries = np.repeat(centres, 100, axis=0) ^ np.packbits(flips, axis=1)
    entries = entries[collapse(entries)[0]]
    queries = np.concatenate([centres[:100], entries[::500]])
    monkeypatch.setattr(pdq_index, "SMALL", 0)
    numbers = np.arange(len(entries)).astype(">u8").view(np.uint8).reshape(-1, 8)
    write_pdq(tmp_path, iter([np.concatenate([entries, numbers], axis=1)]), len(entries), len(entries))
    flat = faiss.IndexBinaryFlat(256)
    flat.add(entries)
    limits, bits, rows = flat.range_search(queries, distance + 1)  # faiss finds what is nearer than the radius
    asked = np.repeat(np.arange(len(queries)), np.diff(limits.astype(np.int64)))
    want = sorted(zip(asked.tolist(), rows.tolist(), bits.astype(int).tolist(), strict=True))

    index = open_pdq(tmp_path)
    assert want
    for way in ("join", "query", "brute"):
        pieces = [np.stack(p, axis=1) for p in index.pairs(queries, distance, way=way)]
        assert want == [tuple(r) for r in np.concatenate(pieces).tolist()]

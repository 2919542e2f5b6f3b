"""A case of many pictures, made by code through the real tables: items, contents, pictures, matches, stacks, packs of renditions.

    python tools/make_review_case.py CASE ITEMS [--unknown 0.5]

Nothing is real: digests are random, one small picture stands for all. Rows are those that `run` writes, in its files and order, and the
ledger names them, so that `verify` and every command take the case for what it is.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from safelight.case import Case, Exhibit, Part, now
from safelight.facts.writer import TableWriter
from safelight.records import schema

SHARD = 50_000
SEED = 7
CAMERAS = (("Nordlys", "N1"), ("Nordlys", "N2"), ("Fjell", "F-200"), ("Demo", "Pinhole 1"))
DAY = 86_400 * 10**9
START = 1_400_000_000 * 10**9


def main() -> int:
    parser = argparse.ArgumentParser(description="Make a case of many pictures.")
    parser.add_argument("case", type=Path)
    parser.add_argument("items", type=int)
    parser.add_argument("--unknown", type=float, default=0.5, help="Part of the contents that is in no hash set.")
    asked = parser.parse_args()
    make(asked.case, asked.items, asked.unknown)
    return 0


def make(folder: Path, items: int, unknown: float = 0.5) -> Path:
    """Make the case: nine tenths of the items have a content of their own, the others repeat one."""
    case = Case.create(folder, f"{items:,} items made by code", "tools/make_review_case.py")
    evidence = folder.parent / f"{folder.name}.evidence"
    evidence.mkdir(exist_ok=True)
    exhibit = Exhibit(label="A", form="folder", parts=(Part(path=str(evidence.resolve()), size=0, mtime=0),), added=now())
    case.write_exhibit(exhibit)
    case.ledger.append(
        "collect", exhibit="A", form="folder", parts=[{"path": str(evidence.resolve()), "size": 0, "sha256": None}], scope={}, source=1
    )
    rng = np.random.default_rng(SEED)
    contents = max(1, items * 9 // 10)
    names = _digests(rng, contents, 32)
    names = names[np.lexsort(names.T[::-1])]
    which = np.concatenate([rng.permutation(contents), rng.integers(0, contents, items - contents)])
    listed = folder / "facts/list-1/A"
    tables = folder / "facts/extract-1/A/tables"
    for path in (listed, tables, folder / "matches/known-1", folder / "stacks/stack-1", folder / "renditions/A"):
        path.mkdir(parents=True)
    files = _items(tables, names, which)
    files |= _contents(tables, names, rng)
    packs = _pictures(folder, tables, names, rng, files)
    for table in ("problems",):
        files[f"{table}-0000.parquet"] = _write(tables / f"{table}-0000.parquet", table, [])
    for table in ("problems", "volumes"):
        _write(listed / f"{table}.parquet", table, [])
    _ledger(case, folder, files, packs, names, rng, unknown)
    return folder


def _digests(rng: Any, n: int, width: int) -> Any:
    return rng.integers(0, 256, (n, width), np.uint8)


def _fixed(rows: Any) -> pa.Array:
    width = rows.shape[1]
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), len(rows), [None, pa.py_buffer(np.ascontiguousarray(rows).tobytes())])


def _table(table: str, n: int, columns: dict[str, Any]) -> pa.Table:
    wanted = schema(table)
    return pa.Table.from_arrays(
        [
            pa.array(columns[f.name], f.type)
            if f.name in columns and not isinstance(columns[f.name], pa.Array)
            else columns.get(f.name, pa.nulls(n, f.type))
            for f in wanted
        ],
        schema=wanted,
    )


def _write(path: Path, table: str, parts: Any) -> list[Any]:
    writer = TableWriter(path, table)
    for part in parts:
        writer.add_table(part)
    written = writer.close()
    return [written.rows, written.sha256, written.logical]


def _items(tables: Path, names: Any, which: Any) -> dict[str, Any]:
    def parts() -> Any:
        for start in range(0, len(which), 65_536):
            at = np.arange(start, min(start + 65_536, len(which)))
            paths = [
                f"DCIM/{100 + n // 999:03d}ALBUM/IMG_{n:08d}.jpg" if n % 3 else f"Windows/System/cache/{n // 2000}/f{n}.png"
                for n in at.tolist()
            ]
            ids = np.zeros((len(at), 16), np.uint8)
            ids[:, :8] = at.astype(">u8").view(np.uint8).reshape(-1, 8)
            text = pa.array(paths)
            yield _table("items", len(at), {
                "item_id": _fixed(ids), "exhibit": pa.array(["A"] * len(at)), "source": np.ones(len(at), np.int32), "ordinal": at,
                "member": np.zeros(len(at), np.int64), "origin": pa.array([f"folder/f:{n}" for n in at.tolist()]),
                "path_raw": text.cast(pa.binary()), "path": text, "size": np.full(len(at), 100_000),
                "state": pa.array(["deleted" if n % 11 == 0 else "live" for n in at.tolist()]),
                "type": pa.array(["file"] * len(at)), "mtime": START + (at * 7919 % 2_000) * DAY, "time_basis": pa.array(["utc"] * len(at)),
                "reader": pa.array(["os"] * len(at)), "readable": np.ones(len(at), bool), "sha256": _fixed(names[which[at]]),
            })  # fmt: skip

    return {"items-0000.parquet": _write(tables / "items-0000.parquet", "items", parts())}


def _contents(tables: Path, names: Any, rng: Any) -> dict[str, Any]:
    def parts() -> Any:
        for start in range(0, len(names), 65_536):
            part = names[start : start + 65_536]
            n = len(part)
            kinds = np.where(rng.random(n) < 0.97, 0, 1)
            yield _table("contents", n, {
                "sha256": _fixed(part), "sha1": _fixed(part[:, :20]), "md5": _fixed(part[:, :16]), "size": rng.integers(10_000, 8_000_000, n),
                "media_type": pa.array(["image/jpeg", "video/mp4"]).take(pa.array(kinds)), "kind": pa.array(["image", "video"]).take(pa.array(kinds)),
                "typed_by": pa.array(["signature"] * n),
            })  # fmt: skip

    return {"contents-0000.parquet": _write(tables / "contents-0000.parquet", "contents", parts())}


def _renditions() -> tuple[bytes, bytes, bytes]:
    from PIL import Image, ImageDraw

    from safelight.extract.pictures.renditions import make as renditions

    picture = Image.new("RGB", (640, 480), (90, 140, 200))
    ImageDraw.Draw(picture).polygon([(40, 440), (320, 60), (600, 440)], fill=(240, 220, 90))
    made = renditions(picture, 1)
    return made.protected, made.drawing, made.small


def _pictures(folder: Path, tables: Path, names: Any, rng: Any, files: dict[str, Any]) -> dict[int, list[Any]]:
    protected, drawing, small = _renditions()
    pack = io.BytesIO()
    for data in (protected, drawing, small):
        pack.write(data)
    raw = pack.getvalue()
    packs: dict[int, list[Any]] = {}
    for number in range(-(-len(names) // SHARD)):
        (folder / f"renditions/A/{number:06d}.pack").write_bytes(raw)
        packs[number] = [len(raw), hashlib.sha256(raw).hexdigest(), ""]

    def parts() -> Any:
        for start in range(0, len(names), 65_536):
            part = names[start : start + 65_536]
            n, at = len(part), np.arange(start, start + len(part))
            camera = rng.integers(0, len(CAMERAS) + 3, n).tolist()
            named = [CAMERAS[c] if c < len(CAMERAS) else (None, None) for c in camera]
            pdq = _digests(rng, n, 32)
            pdq[at % 8 == 1] = pdq[np.maximum(at % 65_536 - 1, 0)][at % 8 == 1]
            yield _table("pictures", n, {
                "sha256": _fixed(part), "width": np.full(n, 4000), "height": np.full(n, 3000), "frames": np.ones(n, np.int32),
                "mode": pa.array(["RGB"] * n), "decoder": pa.array(["made"] * n), "complete": np.ones(n, bool), "pdq": _fixed(pdq),
                "pdq_quality": np.full(n, 100), "pack": at // SHARD, "protected_at": np.zeros(n, np.int64), "protected_size": np.full(n, len(protected)),
                "drawing_at": np.full(n, len(protected)), "drawing_size": np.full(n, len(drawing)),
                "small_at": np.full(n, len(protected) + len(drawing)), "small_size": np.full(n, len(small)),
                "exif_make": pa.array([m for m, _ in named]), "exif_model": pa.array([m for _, m in named]),
                "exif_taken": START + (at * 104_729 % 2_500) * DAY, "exif_gps_lat": np.where(at % 10 == 0, at % 170 - 85.0, np.nan),
                "exif_gps_lon": np.where(at % 10 == 0, at % 350 - 175.0, np.nan),
            })  # fmt: skip

    files["pictures-0000.parquet"] = _write(tables / "pictures-0000.parquet", "pictures", parts())
    return packs


def _ledger(case: Case, folder: Path, files: dict[str, Any], packs: dict[int, list[Any]], names: Any, rng: Any, unknown: float) -> None:
    listed = {p.name: [0, hashlib.sha256(p.read_bytes()).hexdigest(), ""] for p in sorted((folder / "facts/list-1/A").iterdir())}
    case.ledger.append(
        "list", exhibit="A", step="list-1", items=files["items-0000.parquet"][0], shards=len(packs), problems={}, files=listed
    )
    for number, pack in packs.items():
        case.ledger.append(
            "shard",
            exhibit="A",
            step="extract-1",
            shard=number,
            files={f"{number:06d}.pack": pack},
            counts={"items": 0, "bytes": 0, "problems": 0},
        )
    case.ledger.append("compact", exhibit="A", step="extract-1", files=files)
    n = len(names)
    known = np.flatnonzero(rng.random(n) >= unknown)
    illegal = rng.random(len(known)) < 0.02
    for name, as_, chosen in (("known", "illegal", known[illegal]), ("system", "irrelevant", known[~illegal])):
        target = folder / f"matches/{name}-1"
        target.mkdir(exist_ok=True)
        m = len(chosen)
        rows = _table("matches", m, {
            "sha256": _fixed(names[chosen]), "set": pa.array([name] * m, pa.string()),
            "version": pa.array(["1"] * m, pa.string()), "as": pa.array([as_] * m, pa.string()),
            "method": pa.array(["md5"] * m, pa.string()), "distance": np.zeros(m, np.int16), "transform": pa.array(["identity"] * m, pa.string()),
            "form": pa.array(["full"] * m, pa.string()), "entry": np.arange(m),
            "category": pa.array([("vics-us:1" if as_ == "illegal" else None)] * m, pa.string()),
        })  # fmt: skip
        written = _write(target / "matches.parquet", "matches", [rows])
        case.ledger.append(
            "match",
            set=name,
            version="1",
            **{"as": as_},
            source_sha256="0" * 64,
            distance=31,
            quality_gate=50,
            canaries="all found",
            matches={"md5": m},
            folder=f"matches/{name}-1",
            files={"matches.parquet": written},
            key="made",
        )
    at = np.arange(n)
    lead = np.where(at % 8 == 1, np.maximum(at - 1, 0), at)
    rows = _table(
        "stacks",
        n,
        {
            "sha256": _fixed(names),
            "stack": _fixed(names[lead]),
            "distance": np.zeros(n, np.int16),
            "size": np.where(at % 8 <= 1, 2, 1),
            "rank": np.where(lead == at, 1, 2),
        },
    )
    written = _write(folder / "stacks/stack-1/stacks.parquet", "stacks", [rows])
    case.ledger.append(
        "stack",
        pictures=n,
        stacks=len(np.unique(lead)),
        distance=31,
        quality_gate=50,
        folder="stacks/stack-1",
        files={"stacks.parquet": written},
        key="made",
    )


if __name__ == "__main__":
    sys.exit(main())

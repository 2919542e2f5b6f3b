"""The match step of a case: stored facts × each hash set of the library. No evidence is read; a set that was added later is
matched with the facts there are. What has the same inputs is not done again."""

from __future__ import annotations

import hashlib
import itertools
import shutil
from collections.abc import Iterator
from typing import Any

from safelight.case import Case
from safelight.errors import NotVerified
from safelight.facts.derived import input_digest, is_current
from safelight.facts.making import making
from safelight.facts.reader import Facts
from safelight.facts.writer import TableWriter
from safelight.match.canaries import CanaryLost
from safelight.match.entries import Refused
from safelight.match.indexes import SetDamaged
from safelight.match.library import Library, SetInfo, folder_name
from safelight.match.matcher import match_case_contents
from safelight.match.pdq import QUALITY
from safelight.match.pictures import PICTURE_COLUMNS

STEP = "match-1"
ROWS = 50_000
"""Contents in one batch."""


def match_case(case: Case, library: str | Library | None, distance: int, progress: Any) -> Iterator[dict[str, Any]]:
    """Match with every ready set and yield what the ledger is to say of each. Sets that are gone lose their matches.

    `library`: its path, or one that is open. Raise `NotVerified` where a canary is lost or a set is damaged: "no match" would be a claim without proof.
    """
    shelf = library if isinstance(library, Library) else Library(library)
    sets = shelf.list()
    ready = {_folder(s): s for s in sets if s.state == "ready"}
    for old in sorted((case.folder / "matches").iterdir()):
        if old.is_dir() and old.name not in ready:
            yield {"removed": True, "folder": f"matches/{old.name}", "files": {}}
            shutil.rmtree(old)  # the ledger knows by now: a kill in between leaves nothing that it asks for
    damaged = [s for s in sets if s.state == "damaged"]
    inputs = input_digest(case, second=True)
    progress.begin("match", "", len(ready))
    for name, info in sorted(ready.items()):
        summary = _match_set(case, shelf, name, info, inputs, distance)
        progress.advance(1)
        if summary is not None:
            yield summary
    if damaged:
        said = "; ".join(f"{s.name} {s.version}: {s.problem}" for s in damaged)
        raise NotVerified(f"hash sets are damaged and were not matched: {said}. All other sets were. Import them again.")


def pending(case: Case, shelf: Library, distance: int) -> bool:
    """Say whether `match_case` would change anything: a set that is new or changed, or one that is gone or damaged."""
    ready, inputs = {}, input_digest(case, second=True)
    for info in shelf.list():
        if info.state == "damaged":
            return True
        if info.state == "ready":
            ready[_folder(info)] = _key(info, inputs, distance)
    if any(old.is_dir() and old.name not in ready for old in (case.folder / "matches").iterdir()):
        return True
    done = {e["folder"]: e.get("key", "") for e in case.ledger.entries() if "folder" in e}
    return any(done.get(f"matches/{name}") != key or not (case.folder / "matches" / name).is_dir() for name, key in ready.items())


def _key(info: SetInfo, inputs: str, distance: int) -> str:
    text = f"{STEP} {inputs} {info.name} {info.version} {info.as_} {info.source_sha256} {distance}"
    return hashlib.sha256(text.encode()).hexdigest()


PANEL_COLUMNS = ("sha256", "number", "pdq_quality", "pdq_transforms", "panel_left", "panel_top", "panel_width", "panel_height")


def _pictures(facts: Facts) -> Iterator[Any]:
    """Yield the pictures with all their forms, and beside each the panels in it that are good enough: `panel_transforms`, `panel_boxes`."""
    import pyarrow as pa

    panels = _panels(facts)
    waiting = next(panels, None)
    for table in facts.in_order("pictures", PICTURE_COLUMNS, ROWS):
        transforms: list[list[bytes] | None] = []
        boxes: list[list[str] | None] = []
        for name in table.column("sha256").to_pylist():
            while waiting is not None and waiting[0] < name:
                waiting = next(panels, None)
            own = waiting is not None and waiting[0] == name
            transforms.append(waiting[1] if waiting and own else None)
            boxes.append(waiting[2] if waiting and own else None)
        table = table.append_column("panel_transforms", pa.array(transforms, pa.list_(pa.binary(32))))
        yield from table.append_column("panel_boxes", pa.array(boxes, pa.list_(pa.string()))).combine_chunks().to_batches()


def _panels(facts: Facts) -> Iterator[tuple[bytes, list[bytes], list[str]]]:
    """Yield (picture, hashes of its panels in all turns, their rectangles) in ascending order."""
    rows = (row for table in facts.in_order("panels", PANEL_COLUMNS, ROWS) for row in table.to_pylist())
    for name, group in itertools.groupby(rows, lambda r: bytes(r["sha256"])):
        good = [r for r in group if (r["pdq_quality"] or 0) >= QUALITY and r["pdq_transforms"]]
        if good:
            boxes = [",".join(str(r[f"panel_{side}"]) for side in ("left", "top", "width", "height")) for r in good]
            yield name, [t for r in good for t in r["pdq_transforms"]], boxes


def _folder(info: SetInfo) -> str:
    return f"{folder_name(info.name)}-{folder_name(info.version)}"


def _match_set(case: Case, shelf: Library, name: str, info: SetInfo, inputs: str, distance: int) -> dict[str, Any] | None:
    target = case.folder / "matches" / name
    key = _key(info, inputs, distance)
    if is_current(case, f"matches/{name}", key):
        return None
    facts, kinds = Facts(case), dict[str, int]()
    try:
        opened = shelf.open(info.name, info.version)
        contents = facts.in_order("contents", ("sha256", "sha1", "md5", "size"), ROWS)
        pictures = _pictures(facts)
        with making(case, target) as made:
            table = TableWriter(made.folder / "matches.parquet", "matches")
            for row in match_case_contents(contents, pictures, opened, distance=distance, quality_gate=QUALITY):
                table.add(tuple(row))
                kinds[row.method] = kinds.get(row.method, 0) + 1
            written = table.close()
            made.files = {"matches.parquet": [written.rows, written.sha256, written.logical]}
    except CanaryLost as e:
        raise NotVerified(f"{e}. No result of this set is given: the matcher or the set is broken. Import the set again and run.") from None
    except (SetDamaged, Refused) as e:
        raise NotVerified(f"{info.name} {info.version} cannot be matched with: {e}. Import it again.") from None
    return {
        "set": info.name,
        "version": info.version,
        "as": info.as_,
        "source_sha256": info.source_sha256,
        "distance": distance,
        "quality_gate": QUALITY,
        "canaries": "all found",
        "matches": kinds,
        "folder": f"matches/{name}",
        "files": made.files,
        "key": key,
    }


def matchable(library: str | None) -> tuple[dict[str, dict[str, int]], dict[str, dict[str, int]]]:
    """Return by set what can be matched here (entries by method) and what cannot (values by kind), for the ready sets of the library."""
    ready = [s for s in Library(library).list() if s.state == "ready"]
    return {s.name: s.matchable for s in ready}, {s.name: s.opaque for s in ready if s.opaque}

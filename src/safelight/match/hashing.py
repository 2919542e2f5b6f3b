"""Hash files for a look-up: in a sandbox worker, as a run does; nothing of them is kept."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from safelight.match.lookup import Hashed
from safelight.match.pdq import QUALITY
from safelight.match.pictures import HASH_COLUMNS, PICTURE_COLUMNS
from safelight.records import FORMS, Panel, Picture, schema
from safelight.sandbox.second import good_panels

BATCH = 64
"""Files in one request."""
WIDTHS = {"sha256": 32, "sha1": 20, "md5": 16}


def hash_files(paths: Sequence[Path], walls: bool = True) -> Hashed:
    """Hash files (not what is inside them); one that cannot be read or that kills the parser is among the problems, the others go on."""
    names: dict[bytes, list[int]] = {}
    first: dict[int, bytes] = {}
    contents: dict[bytes, tuple[Any, ...]] = {}
    pictures: dict[bytes, dict[str, Any]] = {}
    problems: list[tuple[str, str]] = []
    for number, item in _items(paths, walls, problems):
        said = [reason for _, reason in item.problems]
        if any(len(getattr(item, n) or b"") != width for n, width in WIDTHS.items()):
            problems.append((str(paths[number]), "; ".join(said) or "no digest came back"))
            continue
        problems += [(str(paths[number]), reason) for reason in said]
        names.setdefault(item.sha256, []).append(number)
        contents[item.sha256] = (item.sha256, item.sha1, item.md5)
        if item.picture is not None and item.picture.picture is not None:
            row = picture_row(item.picture.picture)
            if row["pdq"] is not None:
                pictures[item.sha256] = {"sha256": item.sha256, **row}
                first.setdefault(names[item.sha256][0], item.sha256)
    _add_panels(paths, walls, first, pictures, problems)
    return Hashed(names, _contents(contents.values()), _pictures(pictures.values()), problems)


def _add_panels(
    paths: Sequence[Path], walls: bool, first: dict[int, bytes], pictures: dict[bytes, dict[str, Any]], problems: list[tuple[str, str]]
) -> None:
    """Look at the pictures a second time, as `run --features` does: what lies in a screenshot or collage is asked for too.

    `first` has, by number of a file, the picture that is in it. A file that is another one by now keeps the panels it had: none.
    """
    for number, item in _items(paths, walls, problems, "features", sorted(first)):
        if item.second is not None and item.sha256 == first.get(number):
            pictures[item.sha256] |= panel_columns([panel for _, panel in good_panels(item.second)])


def panel_columns(panels: Sequence[Panel]) -> dict[str, Any]:
    """Return `panel_transforms` and `panel_boxes` of the panels that are good enough."""
    good = [p for p in panels if p.quality >= QUALITY]
    if not good:
        return {}
    return {"panel_transforms": [h for p in good for h in p.hashes], "panel_boxes": [",".join(str(v) for v in p.box) for p in good]}


def _items(
    paths: Sequence[Path], walls: bool, problems: list[tuple[str, str]], only: str = "everything", chosen: Sequence[int] | None = None
) -> Iterator[tuple[int, Any]]:
    """Yield (number of the file, its item); files that could not be opened or killed a worker go to the problems."""
    from safelight.evidence.folder import open_untouched
    from safelight.sandbox import protocol
    from safelight.sandbox.parent import RequestFailed, Sandbox, WorkerDied

    own = list(range(len(paths)) if chosen is None else chosen)
    waiting = [own[start : start + BATCH] for start in range(0, len(own), BATCH)][::-1]
    worker: Sandbox | None = None
    try:
        while waiting:
            numbers = waiting.pop()
            tasks, descriptors, done = [], list[int](), set[int]()
            for number in numbers:
                try:
                    descriptors.append(open_untouched(paths[number].resolve()))
                except OSError as e:
                    problems.append((str(paths[number]), e.strerror or str(e)))
                    done.add(number)
                    continue
                size = os.fstat(descriptors[-1]).st_size
                name = os.fsencode(paths[number].name)
                tasks.append(protocol.Task(number, "file:0", name, size, len(descriptors) - 1))
            try:
                worker = worker or Sandbox("full", walls)
                for answer in worker.ask(protocol.Extract(tasks, only), descriptors) if tasks else ():
                    if (
                        isinstance(answer, protocol.Item)
                        and answer.ordinal in numbers
                        and answer.member == 0
                        and answer.ordinal not in done
                    ):
                        done.add(answer.ordinal)
                        yield answer.ordinal, answer
            except (WorkerDied, RequestFailed) as e:
                worker = None
                left = [n for n in numbers if n not in done]
                if len(numbers) == 1 or not left:
                    problems += [(str(paths[n]), e.reason) for n in left]
                else:  # which of them it was is not known for sure: each alone
                    waiting += [[n] for n in reversed(left)]
            finally:
                for fd in descriptors:
                    os.close(fd)
    finally:
        if worker is not None:
            worker.close()


def picture_row(p: Picture) -> dict[str, Any]:
    """Return the columns of `pictures.PICTURE_COLUMNS` of a picture; hashes of a wrong width are left out."""
    forms = {"full": (p.pdq, p.pdq_quality, p.pdq_transforms)}
    for name, form in zip(FORMS[1:], (p.white, p.trimmed, p.nearest), strict=True):
        forms[name] = (form.hashes[0] if form and form.hashes else None, form.quality if form else None, form.hashes if form else [])
    row: dict[str, Any] = {}
    for column, (own, quality, turns) in zip(HASH_COLUMNS, forms.values(), strict=True):
        good = own is not None and len(own) == 32 and quality is not None and 0 <= quality <= 100
        whole = good and len(turns) == 8 and all(len(t) == 32 for t in turns)
        row |= {
            column: own if good else None,
            f"{column}_quality": quality if good else None,
            f"{column}_transforms": turns if whole else None,
        }
    return row


def _contents(rows: Iterable[tuple[Any, ...]]) -> Any:
    import pyarrow as pa

    names = pa.schema([schema("contents").field(n) for n in ("sha256", "sha1", "md5")])
    return pa.Table.from_pylist([dict(zip(names.names, row, strict=True)) for row in sorted(rows)], schema=names)


def _pictures(rows: Iterable[dict[str, Any]]) -> Any:
    import pyarrow as pa

    wanted = schema("pictures")
    columns = [wanted.field(n) for n in PICTURE_COLUMNS]
    columns += [pa.field("panel_transforms", pa.list_(pa.binary(32))), pa.field("panel_boxes", pa.list_(pa.string()))]
    return pa.Table.from_pylist(sorted(rows, key=lambda r: r["sha256"]), schema=pa.schema(columns))

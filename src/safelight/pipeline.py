"""The path, on one screen: exhibits are listed, extracted, matched, stacked, linked, and put into the table of the review; each step reads
tables and writes tables.

A step whose output stands in the ledger for the same input is not done again, so a run that was stopped goes on where it was,
and a new hash set is matched without reading evidence. Sequential, parallel and cluster are one argument.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

import msgspec

from safelight.case import Case, Exhibit
from safelight.durable import sweep
from safelight.errors import OutOfResources, Refused
from safelight.executors import Executor, ShardFailed, choose
from safelight.extract.listing import list_exhibit
from safelight.extract.models import NONE, examined, keep, require_runtime
from safelight.extract.shard import ShardDone, ShardJob, in_working_order
from safelight.facts import compact, memory
from safelight.facts.layout import EXTRACT_STEPS, LIST_STEP, Layout, step_of
from safelight.facts.models import Model, current
from safelight.ledger import versions

MADE_HERE = ("facts", "renditions", "matches", "stacks", "alike", "models")
"""Folders that only a run writes to."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What a run is told. `only`: everything or digests. `features`: look at pictures a second time. `descriptor`: a model to state for the case, or
    `none`; else that of the case holds."""

    only: str = "everything"
    features: bool = False
    descriptor: str | None = None
    workers: int = 2
    cluster: str | None = None
    walls: bool = True
    library: str | None = None
    distance: int = 31
    command: str = "run"


class Progress(Protocol):
    """Is told what goes on: begin a step with a total (None: unknown), advance it."""

    def begin(self, step: str, exhibit: str, total: int | None) -> None: ...
    def advance(self, amount: int, done_bytes: int = 0) -> None: ...


def run(case: Case, settings: Settings, progress: Progress) -> None:
    """Bring the case to its end: everything listed, extracted, matched, stacked. Raise a `Stop` where that cannot be."""
    memory.be_frugal()
    stated = _stated(case, settings)
    with case.run_lock():
        for made_here in MADE_HERE:  # not the whole case: other commands write the head of the ledger, exhibits and exports meanwhile
            sweep(case.folder / made_here)
        ledger = _Past(case)
        case.ledger.append("run", command=settings.command, settings=msgspec.to_builtins(settings), versions=versions())
        if settings.descriptor is not None:
            keep(case, stated)
        worked: set[str] = set()
        with closing(choose(settings.workers, settings.cluster)) as executor:
            while waiting := [e for e in case.exhibits() if e.key not in worked]:  # what is added meanwhile comes next
                if any(not _is_extracted(case, e, settings, ledger) for e in waiting):
                    executor.prepare(settings.only, settings.walls)
                for exhibit in waiting:
                    list_step(case, exhibit, settings, ledger, progress)
                memory.release()
                for exhibit in waiting:
                    extract_step(case, exhibit, settings, executor, ledger, progress)
                    compact_step(case, exhibit, settings, ledger, progress)
                    memory.release()
                    if settings.features:
                        look_step(case, exhibit, settings, "features", executor, ledger, progress)
                        if (model := current(case)) is not None:
                            look_step(case, exhibit, settings, model.step, executor, ledger, progress)
                worked |= {e.key for e in waiting}
        for step in (match_step, stack_step, alike_step, table_step):
            memory.release()  # what comes next has its own needs
            step(case, settings, progress)
        memory.release()
        case.ledger.append("run-end", command=settings.command)


def _stated(case: Case, settings: Settings) -> tuple[Model, bytes] | None:
    """Return the model that is to be stated, examined before anything is written. Raise a `Stop` where a model cannot be had."""
    if settings.descriptor not in (None, NONE):
        return examined(Path(settings.descriptor), settings.walls)
    if settings.features and settings.descriptor is None and current(case) is not None:
        require_runtime()
    return None


def list_step(case: Case, exhibit: Exhibit, settings: Settings, past: _Past, progress: Progress) -> None:
    """exhibit → facts/list-1: every entry, in canonical order, cut into shards; problems; the accounts of each volume."""
    if past.has("list", exhibit.key, LIST_STEP) and Layout(case.folder).listed(exhibit.key).is_dir():
        return
    progress.begin("list", exhibit.key, None)
    told = 0

    def count(total: int) -> None:
        nonlocal told
        if total - told >= 500:
            progress.advance(total - told)
            told = total

    summary = list_exhibit(case, exhibit, settings.walls, count)
    progress.advance(summary["items"] - told)
    case.ledger.append("list", exhibit=exhibit.key, step=LIST_STEP, **summary)


def _is_extracted(case: Case, exhibit: Exhibit, settings: Settings, past: _Past) -> bool:
    tables = Layout(case.folder).tables(exhibit.key, settings.only)
    return past.has("compact", exhibit.key, EXTRACT_STEPS[settings.only]) and tables.is_dir()


def extract_step(case: Case, exhibit: Exhibit, settings: Settings, executor: Executor, past: _Past, progress: Progress) -> None:
    """Listed shards → facts/extract-1 …/shards and renditions: digests, types, pictures, members, problems."""
    layout, step = Layout(case.folder), EXTRACT_STEPS[settings.only]
    if _is_extracted(case, exhibit, settings, past):
        return
    shards = range(len(layout.list_shards(exhibit.key)))
    known = {n for n in shards if past.has_shard(exhibit.key, step, n) and layout.shard(exhibit.key, settings.only, n).is_dir()}
    place = str(case.folder.resolve())
    jobs = [ShardJob(place, exhibit.key, n, settings.only, settings.walls) for n in in_working_order(n for n in shards if n not in known)]
    progress.begin("extract", exhibit.key, len(shards))
    progress.advance(len(known))
    for answer in _answers(jobs, executor):
        case.ledger.append("shard", exhibit=answer.exhibit, step=step, shard=answer.shard, files=answer.files, counts=answer.counts)
        progress.advance(1, answer.counts["bytes"])


def _answers(jobs: list[ShardJob], executor: Executor) -> Iterator[ShardDone]:
    for answer in executor.run(jobs) if jobs else ():
        if isinstance(answer, ShardFailed):
            stop = OutOfResources if answer.kind == "resources" else Refused
            raise stop(
                f"shard {answer.shard.shard} of {answer.shard.exhibit} could not be finished: {answer.reason}. "
                "What is done is kept and verified; mend the cause and run again."
            )
        yield answer


def compact_step(case: Case, exhibit: Exhibit, settings: Settings, past: _Past, progress: Progress) -> None:
    """Shards of an exhibit → few files; the shards go once the tables stand in the ledger."""
    layout, step = Layout(case.folder), EXTRACT_STEPS[settings.only]
    if _is_extracted(case, exhibit, settings, past):
        compact.drop_shards(layout, exhibit.key, settings.only)
        return
    (layout.extracted(exhibit.key, settings.only) / "shards").mkdir(parents=True, exist_ok=True)
    progress.begin("compact", exhibit.key, None)
    sweep(case.folder / "renditions" / exhibit.key)
    files = compact.compact(case, exhibit.key, settings.only)
    case.ledger.append("compact", exhibit=exhibit.key, step=step, files=files)
    compact.drop_shards(layout, exhibit.key, settings.only)


def match_step(case: Case, settings: Settings, progress: Progress) -> None:
    """Contents and pictures × each hash set of the library → matches. Canaries go the same way, in each set."""
    from safelight.match.step import match_case

    for summary in match_case(case, settings.library, settings.distance, progress):
        case.ledger.append("match-removed" if summary.pop("removed", False) else "match", **summary)


def stack_step(case: Case, settings: Settings, progress: Progress) -> None:
    """Pictures → stacks of what looks the same."""
    from safelight.stack.step import stack_case

    summary = stack_case(case, settings.distance, progress)
    if summary is not None:
        case.ledger.append("stack", **summary)


def look_step(case: Case, exhibit: Exhibit, settings: Settings, only: str, executor: Executor, past: _Past, progress: Progress) -> None:
    """Pictures of an exhibit, decoded once more → facts/features-1: local features and panels; facts/descriptor-1-…: the vectors of the
    model of the case. A run may leave both for later."""
    from safelight.extract.second import wanted_items

    layout, step = Layout(case.folder), step_of(only)
    if past.has("compact", exhibit.key, step) and layout.tables(exhibit.key, only).is_dir():
        compact.drop_shards(layout, exhibit.key, only)
        return
    wanted = wanted_items(case, exhibit)
    known = {n for n in wanted if past.has_shard(exhibit.key, step, n) and layout.shard(exhibit.key, only, n).is_dir()}
    place = str(case.folder.resolve())
    jobs = [ShardJob(place, exhibit.key, n, only, settings.walls, rows) for n, rows in wanted.items() if n not in known]
    progress.begin("features" if only == "features" else "descriptor", exhibit.key, len(wanted))
    progress.advance(len(known))
    for answer in _answers(jobs, executor):
        case.ledger.append("shard", exhibit=answer.exhibit, step=step, shard=answer.shard, files=answer.files, counts=answer.counts)
        progress.advance(1, answer.counts["bytes"])
    (layout.extracted(exhibit.key, only) / "shards").mkdir(parents=True, exist_ok=True)
    files = compact.compact(case, exhibit.key, only)
    case.ledger.append("compact", exhibit=exhibit.key, step=step, files=files)
    compact.drop_shards(layout, exhibit.key, only)


def alike_step(case: Case, settings: Settings, progress: Progress) -> None:
    """Features and panels → alike: pairs of pictures that share a part, each with its evidence. Ranks below the stacks."""
    from safelight.alike.step import alike_case

    summary = alike_case(case, progress)
    if summary is not None:
        case.ledger.append("alike", **summary)


def table_step(case: Case, settings: Settings, progress: Progress) -> None:
    """All tables → table: the columns that the review maps. Enters what it made in the ledger itself, as the review does where it makes one."""
    from safelight.table.step import make_table

    progress.begin("table", "", None)
    make_table(case, settings.library)


class _Past:
    """What the ledger says was done before."""

    def __init__(self, case: Case) -> None:
        self._steps: set[tuple[str, str, str]] = set()
        self._shards: set[tuple[str, str, int]] = set()
        entries: Iterable[dict[str, Any]] = case.ledger.entries()
        for entry in entries:
            if entry["what"] in ("list", "compact"):
                self._steps.add((entry["what"], entry["exhibit"], entry["step"]))
            elif entry["what"] == "shard":
                self._shards.add((entry["exhibit"], entry["step"], entry["shard"]))

    def has(self, what: str, exhibit: str, step: str) -> bool:
        return (what, exhibit, step) in self._steps

    def has_shard(self, exhibit: str, step: str, shard: int) -> bool:
        return (exhibit, step, shard) in self._shards

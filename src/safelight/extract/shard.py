"""The extract step of one shard, on the trusted side: a listed shard in, a folder of tables and a pack of renditions out.

The death of a parser is taken here, so that no engine ever sees it: the item is tried once more in a fresh worker; if that dies
in the same place, the member it died on is digested only and gets a problem, and all other items are complete.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq

from safelight.case import Case, Exhibit
from safelight.durable import folder_atomically, sync_file, sync_folder
from safelight.extract.listing import open_folder, open_image
from safelight.extract.models import give
from safelight.extract.rows import Answers, InvalidAnswer, ShardTables
from safelight.extract.second_rows import LookTables, SecondTables, VectorTables
from safelight.facts.layout import DESCRIPTOR, Layout
from safelight.facts.models import by_step
from safelight.sandbox import limits, protocol
from safelight.sandbox.parent import RequestFailed, Sandbox, WorkerDied

BATCH = 64
"""Tasks in one request; for folders each brings a descriptor."""

GIVE_UP = 40
"""Deaths of workers on one listed item after which its members are not looked into."""


SHOWN_FIRST = 4
"""Shards that are worked on before the large ones."""

Tables = ShardTables | LookTables


class ShardJob(msgspec.Struct, frozen=True):
    """What a task is told: no more than names, so that any engine can carry it. `wanted`: ordinals, where not all rows are. `only`: as
    `Settings`, or `features`, or the step of a descriptor model."""

    case: str
    exhibit: str
    shard: int
    only: str = "everything"
    walls: bool = True
    wanted: tuple[int, ...] | None = None


def in_working_order(shards: Iterable[int]) -> list[int]:
    """Return shards in the order to work on them: a few small ones, so that progress shows, then from the large to the small ones.

    The large ones stand at the end of the list (`listing.shard_room`); begun last, one worker would work on while the others wait.
    """
    numbers = sorted(shards)
    return numbers[:SHOWN_FIRST] + numbers[: SHOWN_FIRST - 1 : -1]


class ShardDone(msgspec.Struct, frozen=True):
    """What a task answers: name, digests and counts, never results."""

    exhibit: str
    shard: int
    files: dict[str, list[Any]]
    counts: dict[str, int]


def profile_of(only: str) -> str:
    """Return the profile of the sandbox for what is to be extracted."""
    return "descriptor" if only.startswith(DESCRIPTOR) else "digests" if only == "digests" else "full"


class Worker:
    """The sandbox that this process keeps, and the exhibit that is open in it."""

    def __init__(self) -> None:
        self._sandbox: Sandbox | None = None
        self._kind: tuple[str, bool] | None = None
        self._open = ""
        self._items = self._ended_ms = 0

    @property
    def cpu_ms(self) -> int:
        """CPU that the workers of this process have used so far, in milliseconds (one that was killed tells nothing)."""
        return self._ended_ms + (self._sandbox.cpu_ms if self._sandbox is not None else 0)

    def get(self, case: Case, exhibit: Exhibit, only: str, walls: bool) -> Sandbox:
        """Return a worker that has the exhibit open; a used-up one is replaced."""
        if self._sandbox is not None and (self._kind != (only, walls) or self._items > limits.RECYCLE_ITEMS):
            self.drop()
        fresh = self._sandbox is None
        sandbox = self.prepare(only, walls)
        if fresh and only.startswith(DESCRIPTOR):
            give(case, only, sandbox)
        place = f"{case.folder}\0{exhibit.key}"
        if exhibit.form == "image" and self._open != place:
            open_image(sandbox, exhibit)
            self._open = place
        return sandbox

    def prepare(self, only: str, walls: bool) -> Sandbox:
        """Return the worker; start one where there is none."""
        if self._sandbox is None:
            self._sandbox = Sandbox(profile_of(only), walls)
            self._kind, self._open, self._items = (only, walls), "", 0
        return self._sandbox

    def count(self, items: int) -> None:
        self._items += items

    def drop(self) -> None:
        """End the worker."""
        if self._sandbox is not None:
            self._ended_ms += self._sandbox.cpu_ms
            self._sandbox.close()
        self._sandbox = None


_worker = Worker()


def extract_shard(job: ShardJob) -> ShardDone:
    """Extract one shard and make it durable; a shard that is there already is made again, with the same bytes."""
    case = Case(Path(job.case))
    exhibit, layout = case.exhibit(job.exhibit), Layout(case.folder)
    rows = pq.ParquetFile(layout.list_shard(job.exhibit, job.shard)).read().to_pylist()
    if job.wanted is not None:
        chosen = frozenset(job.wanted)
        rows = [r for r in rows if r["ordinal"] in chosen]
    target, pack = layout.shard(job.exhibit, job.only, job.shard), layout.pack(job.exhibit, job.shard)
    target.parent.mkdir(parents=True, exist_ok=True)
    pack.parent.mkdir(parents=True, exist_ok=True)
    before = _worker.cpu_ms
    temporary_pack = pack.with_name(f".tmp-{pack.name}.{os.getpid()}")
    try:
        with folder_atomically(target) as folder:
            tables = _tables(case, exhibit, job, folder, temporary_pack)
            _extract(case, exhibit, job, rows, tables)
            files, counts = tables.close()
            if isinstance(tables, ShardTables) and temporary_pack.stat().st_size:
                sync_file(temporary_pack)
                temporary_pack.rename(pack)
                sync_folder(pack.parent)
                files[f"{pack.name}"] = [counts["pack_bytes"], tables.pack_digest(), ""]
    finally:
        temporary_pack.unlink(missing_ok=True)
    return ShardDone(job.exhibit, job.shard, files, {**counts, "worker_cpu_ms": _worker.cpu_ms - before})


def _tables(case: Case, exhibit: Exhibit, job: ShardJob, folder: Path, pack: Path) -> Tables:
    """Return the tables that a job fills."""
    if job.only.startswith(DESCRIPTOR):
        return VectorTables(folder, exhibit, by_step(case, job.only))
    return SecondTables(folder, exhibit) if job.only == "features" else ShardTables(folder, pack, exhibit, job.shard)


def prepare_worker(only: str, walls: bool) -> None:
    """Start the worker of this process before its first job. Raise `Refused` where the walls cannot be built."""
    _worker.prepare(only, walls)


def close_worker() -> None:
    """End the worker of this process."""
    _worker.drop()


def _extract(case: Case, exhibit: Exhibit, job: ShardJob, rows: list[dict[str, Any]], tables: Tables) -> None:
    """Extract all rows in order. Where a worker dies, the item is tried alone and the rest goes on in a fresh worker."""
    runner = _Runner(case, exhibit, job, tables)
    position = 0
    while position < len(rows):
        batch = rows[position : position + BATCH]
        done, death = runner.run(batch)
        position += done
        if death is not None and done < len(batch):  # else it died behind the last of them, and none of them is to blame
            runner.alone(rows[position], death)
            position += 1


class _Death(msgspec.Struct):
    """A worker ended: how, and the member it was working on."""

    kind: str
    reason: str
    member: int


class _Runner:
    """Sends rows to the worker and hands what comes back to the tables."""

    def __init__(self, case: Case, exhibit: Exhibit, job: ShardJob, tables: Tables) -> None:
        self.case, self.exhibit, self.job, self.tables = case, exhibit, job, tables
        self.folder = open_folder(exhibit) if exhibit.form == "folder" else None

    def run(self, rows: list[dict[str, Any]], careful: dict[int, tuple[str, str]] | None = None) -> tuple[int, _Death | None]:
        """Extract some rows; return how many are complete and, where the worker died, how."""
        descriptors: list[int] = []
        tasks = [self._task(row, descriptors, careful or {}) for row in rows]
        done = 0
        answers = Answers(self.tables.folder)
        answered = self._ask([t for t in tasks if isinstance(t, protocol.Task)], descriptors)
        try:
            for row, task in zip(rows, tasks, strict=True):
                if isinstance(task, protocol.Task):
                    _until_done(answered, answers, task.ordinal)
                elif task is not None:
                    answers.add(task)
                self.tables.take(row, answers, careful or {})
                done += 1
                if answers.count or answers.late:
                    answers.close()
                    answers = Answers(self.tables.folder)
            if next(answered, None) is not None:
                raise _Interrupted("protocol", "an answer to something that was not asked")
        except _Interrupted as e:
            answered.close()
            _worker.drop()
            return done, _Death(e.kind, e.reason, answers.last + 1 if answers.count else 0)
        finally:
            answers.close()
            for fd in descriptors:
                os.close(fd)
        _worker.count(len(rows))
        return done, None

    def _task(
        self, row: dict[str, Any], descriptors: list[int], careful: dict[int, tuple[str, str]]
    ) -> protocol.Task | protocol.Item | None:
        """Return the task for a row; None where there is nothing to read, an item with a problem where it cannot be opened."""
        if not row["readable"]:
            return None
        task = protocol.Task(
            row["ordinal"], row["origin"].removeprefix(self.exhibit.prefix), row["path_raw"], row["size"], careful=sorted(careful)
        )
        if self.folder is not None:
            try:
                descriptors.append(self.folder.open(row["path_raw"]))
            except OSError as e:
                return protocol.Item(row["ordinal"], problems=[("unreadable", e.strerror or str(e))])
            task.descriptor = len(descriptors) - 1
        return task

    def _ask(self, tasks: list[protocol.Task], descriptors: list[int]) -> Generator[Any, None, None]:
        if not tasks:
            return
        try:
            profile = profile_of(self.job.only)
            worker = _worker.get(self.case, self.exhibit, self.job.only, self.job.walls)
            yield from worker.ask(protocol.Extract(tasks, profile if profile == "descriptor" else self.job.only), descriptors)
        except (WorkerDied, RequestFailed) as e:
            _worker.drop()
            raise _Interrupted(e.kind, e.reason) from None

    def alone(self, row: dict[str, Any], death: _Death) -> None:
        """Extract a row on which a worker died: again, then without looking into the member that kills, at last without it."""
        careful: dict[int, tuple[str, str]] = {}
        times = {death.member: 1}
        for _ in range(GIVE_UP):
            done, again = self.run([row], careful)
            if done or again is None:
                return
            death = again
            if death.member in careful:
                break
            times[death.member] = times.get(death.member, 0) + 1
            if times[death.member] > 1:
                careful[death.member] = (death.kind, death.reason)
        given_up = Answers(self.tables.folder)
        given_up.add(protocol.Item(row["ordinal"], problems=[(death.kind, death.reason)]))
        self.tables.take(row, given_up, {})


class _Interrupted(Exception):
    """The answers to a request end here."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind, self.reason = kind, reason


def _until_done(answered: Iterator[Any], answers: Answers, ordinal: int) -> None:
    """Take the answers of one task. An answer for another one, or members out of order, is an invalid worker."""
    for answer in answered:
        if getattr(answer, "ordinal", None) != ordinal:
            raise _Interrupted("protocol", "an answer to something that was not asked")
        if isinstance(answer, protocol.Done):
            return
        try:
            answers.add(answer)
        except InvalidAnswer as e:
            raise _Interrupted("protocol", str(e)) from None
        if isinstance(answer, protocol.Item) and answer.whole:
            return
    raise _Interrupted("protocol", "an answer is missing")

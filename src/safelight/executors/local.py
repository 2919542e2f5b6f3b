"""Persistent child processes on this machine, and the process itself for one worker.

A child that is killed costs its job one attempt; the others go on. A `ProcessPoolExecutor` would lose all jobs instead
(docs/decisions/0005-local-executor.md). Children end with their parent, whatever happens to it.
"""

from __future__ import annotations

import selectors
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Sequence

import msgspec

from safelight.executors import ShardFailed
from safelight.executors.task import run_job
from safelight.extract.shard import ShardDone, ShardJob, close_worker

ATTEMPTS = 3
"""Children that may die on a job before it is given up. Parsers do not run in them: their death is taken inside the job."""


class Answer(msgspec.Struct):
    """What a child writes: one of the two."""

    done: ShardDone | None = None
    failed: ShardFailed | None = None


class Inline:
    """Runs the jobs in this process, one after the other."""

    def run(self, jobs: Sequence[ShardJob]) -> Iterator[ShardDone | ShardFailed]:
        try:
            for job in jobs:
                yield run_job(job)
        finally:
            close_worker()


class _Child:
    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "safelight.executors.child"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        self.job: ShardJob | None = None
        self.attempt = 0

    def give(self, job: ShardJob, attempt: int) -> None:
        self.job, self.attempt = job, attempt
        assert self.process.stdin is not None
        self.process.stdin.write(msgspec.json.encode(job) + b"\n")
        self.process.stdin.flush()

    def take(self) -> ShardDone | ShardFailed | None:
        """Return the answer, or None where the child died."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line.endswith(b"\n"):
            return None
        answer = msgspec.json.decode(line, type=Answer)
        return answer.done or answer.failed

    def end(self) -> None:
        self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        self.process.wait()


class LocalPool:
    """So many children, each with one job at a time."""

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def run(self, jobs: Sequence[ShardJob]) -> Iterator[ShardDone | ShardFailed]:
        waiting = deque((job, 1) for job in jobs)
        children: list[_Child] = []
        try:
            with selectors.DefaultSelector() as selector:
                for _ in range(min(self.workers, len(jobs))):
                    self._start(children, selector, waiting)
                while any(c.job for c in children):
                    for key, _ in selector.select():
                        yield from self._answered(key.data, children, selector, waiting)
        finally:
            for child in children:
                child.end()

    def _start(self, children: list[_Child], selector: selectors.BaseSelector, waiting: deque[tuple[ShardJob, int]]) -> None:
        if waiting:
            child = _Child()
            children.append(child)
            selector.register(child.process.stdout, selectors.EVENT_READ, child)  # type: ignore[arg-type]
            child.give(*waiting.popleft())

    def _answered(
        self, child: _Child, children: list[_Child], selector: selectors.BaseSelector, waiting: deque[tuple[ShardJob, int]]
    ) -> Iterator[ShardDone | ShardFailed]:
        job, attempt = child.job, child.attempt
        answer, child.job = child.take(), None
        if answer is not None:
            yield answer
            if waiting:
                child.give(*waiting.popleft())
            return
        selector.unregister(child.process.stdout)  # type: ignore[arg-type]
        children.remove(child)
        child.end()
        if job is not None and attempt < ATTEMPTS:
            waiting.appendleft((job, attempt + 1))
        elif job is not None:
            yield ShardFailed(job, "failed", f"{ATTEMPTS} worker processes were killed on this shard")
        self._start(children, selector, waiting)

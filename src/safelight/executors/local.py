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
from contextlib import suppress

import msgspec

from safelight.executors import ShardFailed
from safelight.executors.task import run_job
from safelight.extract.shard import ShardDone, ShardJob, close_worker, profile_of
from safelight.sandbox import template

ATTEMPTS = 3
"""Children that may die on a job before it is given up. Parsers do not run in them: their death is taken inside the job."""


class Answer(msgspec.Struct):
    """What a child writes: one of the two."""

    done: ShardDone | None = None
    failed: ShardFailed | None = None


class Inline:
    """Runs the jobs in this process, one after the other."""

    def prepare(self, only: str, walls: bool) -> None:
        """Start the template: the listing takes its worker from it too."""
        template.share(profile_of(only), walls)

    def run(self, jobs: Sequence[ShardJob]) -> Iterator[ShardDone | ShardFailed]:
        for job in jobs:
            yield run_job(job)

    def close(self) -> None:
        close_worker()
        template.unshare()


class Prepared(msgspec.Struct, frozen=True):
    """What children are told at their start: what to extract, whether behind walls, and the control socket of the shared template."""

    only: str
    walls: bool
    control: int


class _Child:
    def __init__(self, prepared: Prepared | None) -> None:
        words = [prepared.only, "walls" if prepared.walls else "no-walls", str(prepared.control)] if prepared else []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "safelight.executors.child", *words],
            pass_fds=[prepared.control] if prepared else [],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self.job: ShardJob | None = None
        self.attempt = 0

    def give(self, job: ShardJob, attempt: int) -> None:
        self.job, self.attempt = job, attempt
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # it has died: its end of stdout says so
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
                with suppress(BrokenPipeError):
                    pipe.close()
        self.process.wait()


class LocalPool:
    """So many children, each with one job at a time; they stay for the next exhibit."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._children: list[_Child] = []
        self._prepared: Prepared | None = None

    def prepare(self, only: str, walls: bool) -> None:
        """Start the template and the children: they load while the listing goes on."""
        self._prepared = Prepared(only, walls, template.share(profile_of(only), walls))
        while len(self._children) < self.workers:
            self._children.append(_Child(self._prepared))

    def run(self, jobs: Sequence[ShardJob]) -> Iterator[ShardDone | ShardFailed]:
        waiting = deque((job, 1) for job in jobs)
        whole = False
        try:
            with selectors.DefaultSelector() as selector:
                while len(self._children) < min(self.workers, len(jobs)):
                    self._children.append(_Child(self._prepared))
                for child in self._children:
                    self._give(child, selector, waiting)
                while any(c.job for c in self._children):
                    for key, _ in selector.select():
                        yield from self._answered(key.data, selector, waiting)
            whole = True
        finally:
            if not whole:  # the caller has left: what the children work on is not wanted any more
                self.close()

    @staticmethod
    def _give(child: _Child, selector: selectors.BaseSelector, waiting: deque[tuple[ShardJob, int]]) -> None:
        if waiting:
            selector.register(child.process.stdout, selectors.EVENT_READ, child)  # type: ignore[arg-type]
            child.give(*waiting.popleft())

    def _answered(
        self, child: _Child, selector: selectors.BaseSelector, waiting: deque[tuple[ShardJob, int]]
    ) -> Iterator[ShardDone | ShardFailed]:
        job, attempt = child.job, child.attempt
        selector.unregister(child.process.stdout)  # type: ignore[arg-type]
        answer, child.job = child.take(), None
        if answer is not None:
            self._give(child, selector, waiting)  # before the answer is handed on: the child need not wait for who takes it
            yield answer
            return
        self._children.remove(child)
        child.end()
        if job is not None and attempt < ATTEMPTS:
            waiting.appendleft((job, attempt + 1))
        elif job is not None:
            yield ShardFailed(job, "failed", f"{ATTEMPTS} worker processes were killed on this shard")
        self._children.append(_Child(self._prepared))
        self._give(self._children[-1], selector, waiting)

    def close(self) -> None:
        children, self._children = self._children, []
        for child in children:
            child.end()
        self._prepared = None
        template.unshare()

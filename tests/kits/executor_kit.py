"""What every executor is held to: all jobs done, the same digests, a killed worker costs nothing, failures are answers."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator

import psutil
import pytest

from command import Command
from safelight.executors import Executor, ShardFailed
from safelight.extract.shard import ShardDone, ShardJob, close_worker, extract_shard
from small import make_folder


class ExecutorKit:
    """Subclass it and give `executor` as a fixture; `victims` says which processes may be killed (none: the executor has none)."""

    @pytest.fixture
    def executor(self) -> Executor:
        raise NotImplementedError

    def victims(self) -> list[psutil.Process]:
        """Return the processes that do the work, children of this one."""
        return []

    def at_work(self, executor: Executor, process: psutil.Process) -> bool:
        """Say whether a victim is in the middle of a job: it has a sandbox below it."""
        return any("sandbox.child" in " ".join(c.cmdline()) for c in alive_children(process))

    @pytest.fixture(scope="class")
    @classmethod
    def case(cls, tmp_path_factory: pytest.TempPathFactory) -> Command:
        """A case that is listed (by a run that digests only), so that its shards can be extracted."""
        run = Command(tmp_path_factory.mktemp("executor"))
        run("new", run.case)
        run("add", run.case, make_folder(run.folder / "phone", 4_200), "--exhibit", "A")
        run("run", run.case, "--only", "digests", "-q")
        return run

    @pytest.fixture(scope="class")
    @classmethod
    def expected(cls, case: Command) -> dict[int, dict[str, str]]:
        """The digests of each shard, made one after the other in this process."""
        try:
            return {job.shard: digests(extract_shard(job)) for job in jobs(case)}
        finally:
            close_worker()

    def test_all_jobs_are_done_with_the_same_digests(self, executor: Executor, case: Command, expected: dict[int, dict[str, str]]) -> None:
        """Each job is answered at least once, and its files are those of a plain call."""
        answers = list(executor.run(jobs(case)))

        assert [] == [a for a in answers if isinstance(a, ShardFailed)]
        assert expected == {a.shard: digests(a) for a in answers if isinstance(a, ShardDone)}

    def test_a_killed_worker_costs_nothing(self, executor: Executor, case: Command, expected: dict[int, dict[str, str]]) -> None:
        """SIGKILL of a working process in the middle: all jobs are done, with the same digests."""
        killed: list[int] = []
        stop = threading.Event()

        def kill_one() -> None:
            while not stop.is_set() and not killed:
                for process in self.victims():
                    if self.at_work(executor, process):
                        process.kill()
                        killed.append(process.pid)
                        return
                time.sleep(0.02)

        killer = threading.Thread(target=kill_one)
        killer.start()
        answers = list(executor.run(jobs(case)))
        stop.set()
        killer.join()

        assert killed or not self.victims_exist
        assert [] == [a for a in answers if isinstance(a, ShardFailed)]
        assert expected == {a.shard: digests(a) for a in answers if isinstance(a, ShardDone)}

    victims_exist = True

    def test_what_cannot_be_done_is_an_answer(self, executor: Executor, case: Command) -> None:
        """Evidence that is gone refuses the job with its reason: nothing is recorded as unreadable that could be read yesterday."""
        gone = case.folder / "phone"
        hidden = gone.rename(gone.with_name("hidden"))
        try:
            answers = list(executor.run(jobs(case)[:2]))
        finally:
            hidden.rename(gone)

        assert ["refused", "refused"] == [a.kind for a in answers if isinstance(a, ShardFailed)]
        assert all("is not there" in a.reason for a in answers if isinstance(a, ShardFailed))

    def test_nothing_to_do(self, executor: Executor) -> None:
        """No jobs, no answers."""
        assert [] == list(executor.run([]))


def jobs(case: Command) -> list[ShardJob]:
    """Return the jobs of the case."""
    shards = sorted((case.case / "facts" / "list-1" / "A").glob("[0-9]*.parquet"))
    assert len(shards) >= 4
    return [ShardJob(str(case.case), "A", number) for number in range(len(shards))]


def digests(done: ShardDone) -> dict[str, str]:
    """Return the digests of the files of a shard."""
    return {name: values[1] for name, values in done.files.items()}


def alive_children(process: psutil.Process) -> Iterator[psutil.Process]:
    """Yield the descendants of a process that still live."""
    try:
        yield from process.children(recursive=True)
    except psutil.NoSuchProcess:
        return


def own_children(word: str) -> list[psutil.Process]:
    """Return the descendants of this process whose command line has a word."""
    found = []
    for process in psutil.Process(os.getpid()).children(recursive=True):
        try:
            if word in " ".join(process.cmdline()):
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found

"""The executors, each held to the kit: this process, children of this machine, and a Dask cluster of two local workers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import psutil
import pytest

from kits.executor_kit import ExecutorKit, own_children
from safelight.executors import Executor
from safelight.executors.local import Inline, LocalPool
from safelight.sandbox import template


class TestInline(ExecutorKit):
    """One worker: the process itself."""

    victims_exist = False

    @pytest.fixture
    def executor(self) -> Iterator[Executor]:
        with closing(Inline()) as made:
            yield made


class TestLocalPool(ExecutorKit):
    """Persistent children."""

    @pytest.fixture(params=[False, True], ids=["plain", "prepared"])
    def executor(self, request: pytest.FixtureRequest) -> Iterator[Executor]:
        with closing(LocalPool(2)) as made:
            if request.param:
                made.prepare("everything", True)
            yield made

    def victims(self) -> list[psutil.Process]:
        return own_children("safelight.executors.child")

    def at_work(self, executor: Executor, process: psutil.Process) -> bool:
        """Prepared children take their sandboxes from a template beside them: there it is the job that tells, once it has written."""
        if template.shared("full", True) is None:
            return super().at_work(executor, process)
        assert isinstance(executor, LocalPool)
        return process.io_counters().write_chars > 0 and any(c.process.pid == process.pid and c.job for c in executor._children)


class TestDask(ExecutorKit):
    """A cluster of two local workers, each with its own sandbox."""

    @pytest.fixture(scope="class")
    @classmethod
    def address(cls) -> Iterator[str]:
        distributed = pytest.importorskip("distributed", reason="the optional part safelight[cluster] is not installed")
        with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, memory_limit=0) as cluster:
            yield cluster.scheduler_address

    @pytest.fixture
    def executor(self, address: str) -> Executor:
        from safelight.executors.dask import DaskExecutor

        return DaskExecutor(address, still_s=60)

    def victims(self) -> list[psutil.Process]:
        return [p for p in own_children("spawn_main") if p.children()]


def test_no_scheduler_is_a_refusal() -> None:
    """An address where nobody answers: a refusal with words, nothing changed."""
    pytest.importorskip("distributed", reason="the optional part safelight[cluster] is not installed")
    from safelight.errors import Refused
    from safelight.executors.dask import DaskExecutor
    from safelight.extract.shard import ShardJob

    with pytest.raises(Refused, match="no Dask scheduler"):
        list(DaskExecutor("tcp://127.0.0.1:9").run([ShardJob("x", "A", 0)]))

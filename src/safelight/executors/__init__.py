"""Map the extract step over shards. An executor may run a job twice, in any order, anywhere: a shard file appears by rename,
so repetition and loss are harmless. `local` keeps child processes, `dask` hands jobs to a cluster, one worker is the process itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import msgspec

from safelight.extract.shard import ShardDone, ShardJob


class ShardFailed(msgspec.Struct, frozen=True):
    """A shard that no attempt could finish: `kind` is `resources`, `refused` or `failed`, with the reason."""

    shard: ShardJob
    kind: str
    reason: str


class Executor(Protocol):
    """Runs jobs and yields what became of each, in any order. Leaving the iteration early stops the work."""

    def prepare(self, only: str, walls: bool) -> None:
        """Start what takes time, while the listing goes on. Need not be called; may do nothing."""
        ...

    def run(self, jobs: Sequence[ShardJob]) -> Iterator[ShardDone | ShardFailed]:
        """Run some jobs; may be called again for the next exhibit."""
        ...

    def close(self) -> None:
        """End all that was started. Safe to call twice."""
        ...


def choose(workers: int, cluster: str | None) -> Executor:
    """Return the executor for the command's arguments."""
    if cluster:
        from safelight.executors.dask import DaskExecutor

        return DaskExecutor(cluster)
    from safelight.executors.local import Inline, LocalPool

    return Inline() if workers == 1 else LocalPool(workers)

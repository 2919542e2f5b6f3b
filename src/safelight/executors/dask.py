"""The same jobs on a Dask cluster whose address the user gives. We never start one.

Keys are shard ids, so that a job that is submitted twice is one; answers are names, digests and counts. What the engine calls
failed is tried once more by us, alone. No job finished and no live worker for `STILL_S`: say so and stop; the case goes on later.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from safelight.errors import Refused
from safelight.executors import ShardFailed
from safelight.executors.task import run_job
from safelight.extract.shard import ShardDone, ShardJob

STILL_S = 300.0


class DaskExecutor:
    """Runs jobs through `distributed`; the workers need Safelight, the case folder and the evidence at the same paths."""

    def __init__(self, address: str, still_s: float = STILL_S) -> None:
        self.address, self.still_s = address, still_s

    def prepare(self, only: str, walls: bool) -> None:
        """Nothing is to be started: the cluster runs."""

    def close(self) -> None:
        """Nothing is kept between the calls of `run`."""

    def run(self, jobs: Sequence[ShardJob]) -> Iterator[ShardDone | ShardFailed]:
        client = self._client()
        try:
            yield from self._run(client, list(jobs), last_try=False)
        finally:
            client.close()

    def _client(self) -> Any:
        try:
            from distributed import Client
        except ImportError:
            raise Refused("--cluster needs the optional part: pip install 'safelight[cluster]'. Nothing was changed.") from None
        try:
            return Client(self.address, timeout="20s", set_as_default=False)  # type: ignore[no-untyped-call]
        except OSError as e:
            raise Refused(f"no Dask scheduler answers at {self.address} ({e}). Nothing was changed.") from None

    def _run(self, client: Any, jobs: list[ShardJob], last_try: bool) -> Iterator[ShardDone | ShardFailed]:
        futures = {client.submit(run_job, job, key=self._key(job, last_try), pure=False, retries=0): job for job in jobs}
        failed: list[ShardJob] = []
        quiet_since = time.monotonic()
        while futures:
            finished = [f for f in futures if f.status != "pending"]
            for future in finished:
                quiet_since = time.monotonic()
                job = futures.pop(future)
                if future.status == "finished":
                    yield future.result()
                elif last_try:
                    yield ShardFailed(job, "failed", f"the cluster gave up on this shard: {future.exception()!r}"[:500])
                else:
                    failed.append(job)
                future.release()
            if not finished:
                self._watch(client, quiet_since)
                time.sleep(0.05)
        for job in failed:
            yield from self._run(client, [job], last_try=True)

    @staticmethod
    def _key(job: ShardJob, last_try: bool) -> str:
        return f"safelight-{job.only}-{job.exhibit}-{job.shard:06d}{'-again' if last_try else ''}"

    def _watch(self, client: Any, quiet_since: float) -> None:
        if time.monotonic() - quiet_since > self.still_s and not client.scheduler_info()["workers"]:
            raise Refused(
                f"the cluster at {self.address} has no live worker and finished nothing for {self.still_s:.0f} s. "
                "What is done is kept; start workers and run again."
            )

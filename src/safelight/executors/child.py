"""A child of the local pool: one job a line on stdin, one answer a line on stdout. Ends with its parent.

Three arguments (what to extract, walls or no-walls, the control socket of the shared template) let it take its sandbox before the first
job is there."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from contextlib import suppress

import msgspec

from safelight.errors import Refused
from safelight.executors import ShardFailed
from safelight.executors.local import Answer
from safelight.executors.task import run_job
from safelight.extract.shard import ShardJob, close_worker, prepare_worker, profile_of
from safelight.sandbox import template


def main() -> int:
    """Serve jobs until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = os.getppid()
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the line above
        return 0
    if len(sys.argv) > 3:
        only, walls = sys.argv[1], sys.argv[2] == "walls"
        template.adopt(int(sys.argv[3]), profile_of(only), walls)
        with suppress(Refused):  # the first job says it again
            prepare_worker(only, walls)
    for line in sys.stdin.buffer:
        result = run_job(msgspec.json.decode(line, type=ShardJob))
        answer = Answer(failed=result) if isinstance(result, ShardFailed) else Answer(done=result)
        sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
        sys.stdout.buffer.flush()
    close_worker()
    return 0


if __name__ == "__main__":
    sys.exit(main())

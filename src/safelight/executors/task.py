"""One job, run to an answer: what every executor calls, wherever it runs."""

from __future__ import annotations

import errno

from safelight.errors import Refused
from safelight.executors import ShardFailed
from safelight.extract.shard import ShardDone, ShardJob, extract_shard

_RESOURCES = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EFBIG)


def run_job(job: ShardJob) -> ShardDone | ShardFailed:
    """Extract a shard; what stops it is an answer too, so that every engine reports it alike."""
    try:
        return extract_shard(job)
    except Refused as e:
        return ShardFailed(job, "refused", str(e))
    except MemoryError:
        return ShardFailed(job, "resources", "out of memory")
    except OSError as e:
        return ShardFailed(job, "resources" if e.errno in _RESOURCES else "failed", f"{e.strerror or e} ({e.filename or 'no file'})")

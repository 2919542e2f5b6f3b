"""The numbers that bound a worker. CPU seconds, bytes and counts, never wall time: the same item fails everywhere alike.

A wall clock exists too, far above the CPU limits, for a worker that waits without working; what it stops is said to be that.
"""

from __future__ import annotations

import resource

MEMORY_BYTES = 860 << 20
"""Private memory of a worker (RLIMIT_DATA): the peak of a worker stays below 1 GiB, mapped libraries included."""

ADDRESS_SPACE_BYTES = 6 << 30
"""Address space (RLIMIT_AS): libraries map far more than they use."""

OPEN_FILES = 65_536
"""Descriptors, where the system allows so many: a disk of 4 TB in segments of 640 MB has 6,250."""

CPU_BASE_S = 20
CPU_BYTES_PER_S = 4 << 20
"""CPU seconds of one item: base and one second for each 4 MiB (three digests take about 0.02 s for that much)."""

CPU_ARCHIVE_S = 300
"""More CPU seconds for an archive with all that is inside it."""

CPU_LISTING_S = 6 * 3600
"""CPU seconds to list one exhibit."""

CPU_MODEL_S = 300
"""CPU seconds to load a descriptor model and to try it."""

WALL_SILENCE_S = 900
"""A worker that says nothing for so long is stopped."""

RECYCLE_ITEMS = 5_000
"""Items after which a worker is replaced, so that leaks in libraries stay small."""

MAX_FRAME = 64 << 20
"""Bytes of one message; a longer one is refused."""


def item_cpu_seconds(size: int | None) -> int:
    """Return the CPU seconds that an item of this size may use."""
    return CPU_BASE_S + (size or 0) // CPU_BYTES_PER_S


def apply(memory: int = MEMORY_BYTES) -> None:
    """Set the limits of this process (in the worker, before the second filter)."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = min(OPEN_FILES, hard) if hard != resource.RLIM_INFINITY else OPEN_FILES
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES, ADDRESS_SPACE_BYTES))


_before_ms = 0
_counted_ms = 0


def _own_cpu_ms() -> int:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return int((used.ru_utime + used.ru_stime) * 1000)


def before_fork() -> None:
    """Put what this process has used, and no account holds yet, on the account of the worker that is forked next."""
    global _before_ms, _counted_ms
    own = _own_cpu_ms()
    _before_ms, _counted_ms = own - _counted_ms, own


def cpu_ms() -> int:
    """Return the CPU that this worker has used since its start, in milliseconds, with what it took to start it."""
    return _before_ms + _own_cpu_ms()


def allow_cpu(seconds: int) -> None:
    """Let this process use so many CPU seconds from now; then the kernel ends it with SIGXCPU."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    until = int(used.ru_utime + used.ru_stime) + seconds + 1
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (until, hard))

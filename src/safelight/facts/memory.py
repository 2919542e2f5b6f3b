"""Keep the memory of this process small and give back what a step has used.

Arrow's own allocator keeps what was freed for the next step, which has other sizes; threads have arenas of their own, one more for each
core. So a run takes memory from the system's allocator, works with as many threads as DuckDB has, and trims between its steps. The steps
from compaction on over 1,000,000 items peak at 399 MiB so, at 469 otherwise, with the same CPU (docs/methods/performance.md).
"""

from __future__ import annotations

import ctypes

import pyarrow as pa

THREADS = 2
"""Threads of Arrow and of DuckDB in one process: more would each hold columns of their own."""

_M_ARENA_MAX = -8


def be_frugal() -> None:
    """Let all that this process takes from now on come from one place, whatever the number of cores."""
    pa.set_memory_pool(pa.system_memory_pool())
    pa.set_cpu_count(THREADS)
    pa.set_io_thread_count(THREADS)
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc has it
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)


def release() -> None:
    """Give back to the system what is not in use."""
    pa.default_memory_pool().release_unused()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)

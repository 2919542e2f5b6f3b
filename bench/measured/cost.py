"""What a command costs: CPU seconds of all its processes, wall seconds, peak memory.

The workers of Safelight live in a PID namespace whose first process does not hand their CPU on, so it is not in the rusage of
the command; the ledger holds it (`worker_cpu_ms`) and it is added here.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any


@dataclass
class Cost:
    """CPU seconds of the command and of its sandbox workers, wall seconds, peaks of memory in bytes by role."""

    command: float
    workers: float = 0.0
    wall: float = 0.0
    peaks: dict[str, int] = field(default_factory=dict)
    read: int = 0  # bytes that were digested, members included

    @property
    def cpu(self) -> float:
        return self.command + self.workers


def command(*words: str | Path, watch: bool = False, expect: tuple[int, ...] = (0,), **env: str) -> Cost:
    """Run a command to its end and return its cost; output is thrown away."""
    began = time.monotonic()
    with tempfile.TemporaryFile() as err:
        process = subprocess.Popen(
            [str(w) for w in words], env={**os.environ, **env}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=err
        )
        peaks = dict[str, int]()
        watcher = _Watcher(process.pid, peaks) if watch else None
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if watcher:
            watcher.end()
        if process.returncode not in expect:
            err.seek(0)
            raise RuntimeError(f"{words}: exit {process.returncode}\n{err.read().decode(errors='replace')[-2000:]}")
    return Cost(used.ru_utime + used.ru_stime, 0.0, time.monotonic() - began, peaks)


def run(evidence: Path, *options: str, least: int, workers: int = 1, watch: bool = False) -> Cost:
    """Make a case of one exhibit, run it, and return the cost of `safelight run`; the case is removed.

    Raise RuntimeError where fewer than `least` bytes were digested or a reader crashed: what does no work is fast.
    """
    with tempfile.TemporaryDirectory(prefix="safelight-bench-") as place:
        case, safelight = Path(place) / "bench.case", [sys.executable, "-m", "safelight.cli.main"]
        quiet: dict[str, Any] = {"SAFELIGHT_LIBRARY": str(Path(place) / "library"), "SAFELIGHT_USER": "bench"}
        command(*safelight, "new", case, **quiet)
        command(*safelight, "add", case, evidence, "--exhibit", "A", "--quick", **quiet)
        words: list[str | Path] = [*safelight, "run", case, "--workers", str(workers), "-q", *options]
        cost = command(*words, watch=watch, expect=(0, 1), **quiet)
        for line in (case / "ledger.jsonl").read_bytes().splitlines():
            entry = json.loads(line)
            counts = entry.get("counts", {})
            cost.workers += (entry.get("worker_cpu_ms", 0) + counts.get("worker_cpu_ms", 0)) / 1000
            cost.read += counts.get("bytes", 0)
        crashed = _crashed(case)
        if cost.read < least or crashed:
            raise RuntimeError(f"{evidence}: {cost.read} of {least} bytes were digested; crashed: {crashed}. No figure is given.")
        return cost


def _crashed(case: Path) -> list[str]:
    """Return the reasons of items whose reader failed or whose worker gave a wrong answer."""
    import pyarrow.parquet as pq

    found = list[str]()
    for path in sorted((case / "facts").rglob("problems*.parquet")):
        rows = pq.read_table(path, columns=["kind", "reason"]).to_pylist()
        found += [row["reason"] for row in rows if row["kind"] in ("crashed", "protocol")]
    return found[:3]


def compile_package() -> None:
    """Compile the package to byte code, as an installation does: workers cannot write any."""
    import compileall

    import safelight

    compileall.compile_dir(str(Path(safelight.__file__).parent), quiet=1)


class _Watcher:
    """Polls the peak memory (VmHWM) of a process and of all below it, by role, ten times a second."""

    def __init__(self, root: int, peaks: dict[str, int]) -> None:
        self._root, self._peaks, self._ended = root, peaks, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def end(self) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.1):
            for pid in _family(self._root):
                try:
                    words = Path(f"/proc/{pid}/cmdline").read_bytes()
                    status = Path(f"/proc/{pid}/status").read_text()
                except OSError:  # it has ended
                    continue
                role = "worker" if b"safelight.sandbox.child" in words else "executor" if b"executors.child" in words else "coordinator"
                peak = next((int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmHWM")), 0)
                self._peaks[role] = max(self._peaks.get(role, 0), peak)


def _family(root: int) -> list[int]:
    """Return a process and all below it."""
    found = [root]
    for pid in found:
        try:
            for task in Path(f"/proc/{pid}/task").iterdir():
                found += [int(c) for c in (task / "children").read_text().split()]
        except OSError:  # it has ended
            continue
    return found


def median(costs: list[Cost]) -> Cost:
    """Return the run with the median CPU."""
    return sorted(costs, key=lambda c: c.cpu)[len(costs) // 2]


def spread(costs: list[Cost]) -> str:
    """Return the extremes of CPU as text."""
    return f"{min(c.cpu for c in costs):.2f}-{max(c.cpu for c in costs):.2f}"


def middle(values: list[float]) -> float:
    return statistics.median(values)


def load() -> str:
    """Return the load average in words."""
    return "load average {:.1f} {:.1f} {:.1f}".format(*os.getloadavg())


def machine() -> str:
    """Return processor, cores, system, versions and command, for the head of a table."""
    import ssl

    model = next((x.split(":")[1].strip() for x in Path("/proc/cpuinfo").read_text().splitlines() if x.startswith("model name")), "?")
    names = ("pyarrow", "duckdb", "numpy", "Pillow", "pytsk3", "zlib-ng")
    system = f"{os.cpu_count()} x {model}, {platform.system()} {platform.release()}, Python {platform.python_version()}"
    return "\n".join(
        [
            system,
            ", ".join([ssl.OPENSSL_VERSION.rsplit(" ", 3)[0], *(f"{n} {version(n)}" for n in names)]),
            f"command: {Path(sys.executable).name} {' '.join(sys.argv)}",
            load(),
        ]
    )


def missing(*tools: str) -> list[str]:
    """Return which of these tools are not installed."""
    return [t for t in tools if shutil.which(t) is None]

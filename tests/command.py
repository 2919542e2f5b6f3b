"""The command as a user runs it: a process, its exit code, its output."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


class Command:
    """Runs `safelight` as a user does: a process, its exit code, its stdout. The library lies in the folder of the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {**os.environ, "SAFELIGHT_LIBRARY": str(folder / "library"), "SAFELIGHT_USER": "tester", "SAFELIGHT_TRACE": "1"}
        self.case = folder / "test.case"

    def __call__(self, *words: Any, expect: tuple[int, ...] = (0, 1), **env: str) -> subprocess.CompletedProcess[bytes]:
        done = self.start(*words, **env)
        out, err = done.communicate(timeout=600)
        assert done.returncode in expect, f"{words}: exit {done.returncode}\n{err.decode(errors='replace')[-3000:]}"
        return subprocess.CompletedProcess(done.args, done.returncode, out, err)

    def start(self, *words: Any, **env: str) -> subprocess.Popen[bytes]:
        """Start a command and return the process."""
        line = [sys.executable, "-m", "safelight.cli.main", *map(str, words)]
        return subprocess.Popen(line, env={**self.env, **env}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def find(self, *words: Any) -> list[dict[str, Any]]:
        """Return the objects of `find --format jsonl`."""
        out = self("find", self.case, "--format", "jsonl", *words).stdout
        return [json.loads(line) for line in out.splitlines()]

    def status(self) -> dict[str, Any]:
        """Return the object of `status --format json`."""
        facts: dict[str, Any] = json.loads(self("status", self.case, "--format", "json").stdout)
        return facts

    def made(self, *evidence: Any, workers: int = 2) -> Command:
        """Make the case, add the evidence, run."""
        self("new", self.case)
        self("add", self.case, *evidence, "--exhibit", "A")
        self("run", self.case, "--workers", workers, "-q")
        return self

"""`safelight serve` as a process of its own, for tests of the page against the real server."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Self


class Serving:
    """The real server on a case; `sign_in` is an address that works once."""

    def __init__(self, case: Path, library: Path, *options: str) -> None:
        command = [sys.executable, "-m", "safelight.cli.main", "serve", str(case), "--library", str(library), "--no-browser", *options]
        # a terminal, so that Enter gives another address
        self.keyboard, terminal = pty.openpty()
        self.process = subprocess.Popen(
            command,
            stdin=terminal,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        os.close(terminal)
        self.sign_in = self._address()
        self.address = self.sign_in.split("/#", 1)[0]
        self.path = self.sign_in.removeprefix(self.address)

    def _address(self) -> str:
        """Read until an address is printed."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if found := re.search(r"http://\S+#token=\S+", line):
                return found[0]
        raise AssertionError(f"safelight serve ended with {self.process.wait()}")

    def another(self) -> str:
        """Ask for another address, as Enter in the terminal does, and return its path."""
        os.write(self.keyboard, b"\n")
        return self._address().removeprefix(self.address)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self.keyboard)

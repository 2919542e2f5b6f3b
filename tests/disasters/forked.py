"""Commands in processes that are forked ready to run: a server starts in a tenth of a second, so that hundreds of them can be killed.

`Forking` starts one process that has imported everything, with the library of faults loaded but asleep. For each command it forks a
child, which wakes the faults and calls the command as the shell would. Run as a script, this file is that process: it reads a request a
line and answers with a line, both JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

if __name__ != "__main__":
    from command import Command
    from reviewing import Browser

    class Forking:
        """The process that forks. `env`: of the command, with the library of hash sets."""

        def __init__(self, run: Command, faults: Path, folder: Path) -> None:
            self._folder, self._count = folder, 0
            env = {**run.env, "LD_PRELOAD": str(faults), "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
            self._process = subprocess.Popen([sys.executable, __file__], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

        def ask(self, **request: Any) -> dict[str, Any]:
            assert self._process.stdin is not None and self._process.stdout is not None
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
            answer: dict[str, Any] = json.loads(self._process.stdout.readline())
            return answer

        def start(self, *words: Any, fault: str = "", at: int = 0) -> Forked:
            """Start a command; it fails at its `at`-th durable call."""
            self._count += 1
            return Forked(self, self._folder / f"forked-{self._count}", [str(w) for w in words], fault, at)

        def close(self) -> None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait(timeout=60)

    class Printed:
        """What a command prints, through a FIFO as a terminal takes it: a full disk does not silence it."""

        def __init__(self, path: Path) -> None:
            os.mkfifo(path)
            self.path, self._fd, self.data = path, os.open(path, os.O_RDONLY | os.O_NONBLOCK), b""

        def read(self) -> bytes:
            """Return all that was printed so far."""
            with contextlib.suppress(BlockingIOError):
                while more := os.read(self._fd, 1 << 16):
                    self.data += more
            return self.data

        def close(self) -> None:
            self.read()
            os.close(self._fd)
            self.path.unlink()

    class Forked:
        """One command at work."""

        def __init__(self, by: Forking, base: Path, words: list[str], fault: str, at: int) -> None:
            self._by, self.calls = by, base.with_suffix(".calls")
            self.out, self.err = Printed(base.with_suffix(".out")), Printed(base.with_suffix(".err"))
            said = by.ask(words=words, fault=fault, at=at, out=str(self.out.path), err=str(self.err.path), calls=str(self.calls))
            self.pid, self._ended = int(said["pid"]), None

        def returncode(self) -> int | None:
            """Return the exit code, -9 after SIGKILL; None while it runs."""
            if self._ended is None:
                self._ended = self._by.ask(wait=self.pid)["status"]
                if self._ended is not None:
                    self.out.close()
                    self.err.close()
            return self._ended

        def wait(self) -> int:
            while (code := self.returncode()) is None:
                self.err.read()
                self.out.read()
                time.sleep(0.005)
            return code

        def address(self) -> tuple[int, str] | None:
            """Wait for the address that `serve` prints and return port and token; None where it ended before."""
            while True:
                ended = self.returncode() is not None
                if b"\n" in (printed := self.out.data if ended else self.out.read()):
                    base, _, token = printed.split(b"\n")[0].decode().partition("/#token=")
                    return int(base.rsplit(":", 1)[1]), token
                if ended:
                    return None
                time.sleep(0.005)

        def browser(self) -> Browser | None:
            """Return a browser that is not logged in yet; None where there is no server."""
            found = self.address()
            return Browser(*found) if found else None

        def end(self) -> int:
            """End it as Ctrl-C does, where it still runs, and return the exit code."""
            if self.returncode() is None:
                os.kill(self.pid, signal.SIGTERM)
            return self.wait()


def loop() -> None:
    """Fork a child for each request that names words; say how one that was named ended."""
    import ctypes

    import uvicorn.protocols.http.h11_impl  # noqa: F401

    import safelight.cli.serve
    import safelight.cli.verify
    import safelight.review.handling
    import safelight.review.routes
    import safelight.review.server
    import safelight.review.serving
    import safelight.table.step  # noqa: F401

    faults = ctypes.CDLL(None)
    ended: dict[int, int] = {}
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            answer: dict[str, Any] = {"status": _status(request["wait"], ended)}
        else:
            pid = os.fork()
            if pid == 0:
                _child(request, faults)
            answer = {"pid": pid}
        print(json.dumps(answer), flush=True)


def _status(pid: int, ended: dict[int, int]) -> int | None:
    if pid not in ended:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found == 0:
            return None
        ended[pid] = os.waitstatus_to_exitcode(status)
    return ended[pid]


def _child(request: dict[str, Any], faults: Any) -> None:
    """Be the command; never returns."""
    code: Any = 70
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for target, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(request[name], os.O_WRONLY), target)
        from safelight.cli.main import main

        sys.argv = ["safelight", *request["words"]]
        if request["fault"]:
            faults.faults_arm(request["fault"].encode(), request["at"])
        main()
    except SystemExit as e:
        code = e.code if isinstance(e.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        if request["fault"].startswith("kill"):
            Path(request["calls"]).write_text(str(faults.faults_calls()))
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    loop()

"""A process that has imported everything and forks for each command: one start costs milliseconds, so every point can be tried.

The command runs whole, from its words to its exit code. Two things differ from a start by a user: its sandbox workers and its local
children are forks too (without walls: what they parse is our own), and a shard can be told to hold fewer items, so that a tiny case
has several. `test_points.py` proves that a run made so has the bytes of the real command.

Speaks JSON lines on the socket that is its first argument. Run with faults.so preloaded.
"""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import importlib
import json
import mmap
import os
import pkgutil
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

PATIENCE_S = 120.0
"""A command that takes longer hangs."""

RUN, WORKERS, PARSER = "run", "workers", "parser"
"""Where a fault strikes: in the command itself, in the children of its local pool, in the worker that parses (before it answers)."""


TOLD = 1000
"""The descriptor on which calls are told, in all processes."""

NUMBERED = re.compile(r"(\.tmp-[^/]*)\.[0-9a-f]+")


class Ended(NamedTuple):
    """How a command ended: its exit code (negative: signal), the calls that counted (each "CALL PATH"), what it said."""

    code: int
    calls: list[str]
    err: str
    out: str


class Forks:
    """The near side: asks the process for commands. Use it as a context manager."""

    def __init__(self, library: Path, faults: Path, items: int | None = None) -> None:
        """`library`: of hash sets. `faults`: the preloaded library. `items`: of the first shards (None: as they are)."""
        ours, theirs = socket.socketpair()
        env = {**os.environ, "LD_PRELOAD": str(faults), "FORKS_FAULTS": str(faults), "SAFELIGHT_LIBRARY": str(library)}
        env |= {"SAFELIGHT_USER": "tester", "SAFELIGHT_TRACE": "1", "PYTHONPATH": str(Path(__file__).parent)}
        line = [sys.executable, "-m", "forks", str(theirs.fileno()), str(items or 0)]
        self._process = subprocess.Popen(line, env=env, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
        theirs.close()
        self._file = ours.makefile("rwb")
        ours.close()

    def __call__(
        self, *words: Any, fault: str = "", at: int = 1 << 60, where: str = RUN, states: Path | None = None, of: Path | None = None
    ) -> Ended:
        """Run a command; `fault` (a name of faults.c, or `kill` for a parser) strikes at call `at`.

        `states`: a folder for what a kill before each of its calls would leave of the folder `of`: see `_States`.
        """
        asked = {"words": [str(w) for w in words], "fault": fault, "at": at, "where": where, "states": str(states or ""), "of": str(of)}
        self._file.write(json.dumps(asked).encode() + b"\n")
        self._file.flush()
        answer = self._file.readline()
        assert answer, "the process that forks has died"
        return Ended(**json.loads(answer))

    def __enter__(self) -> Forks:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._process.wait(timeout=30)


# ---- the far side ------------------------------------------------------------------------------------------------------------


class _Fault:
    """The fault of the command that runs now, and the counter that all its processes share."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(os.environ["FORKS_FAULTS"])
        self._library.fault_arm.argtypes = (ctypes.c_char_p, ctypes.c_long, ctypes.c_void_p, ctypes.c_int)
        self._counter = ctypes.c_long.from_buffer(mmap.mmap(-1, mmap.PAGESIZE))
        self._told = os.memfd_create("told")
        fcntl.fcntl(self._told, fcntl.F_SETFL, os.O_APPEND)
        os.dup2(self._told, TOLD)
        self.name, self.at, self.where = "", 0, ""

    def plan(self, name: str, at: int, where: str) -> None:
        self.name, self.at, self.where, self._counter.value = name, at, where, 0
        os.ftruncate(self._told, 0)

    def calls(self) -> list[str]:
        """Return the calls that counted, names of temporary files without the number of their process."""
        lines = os.pread(self._told, os.fstat(self._told).st_size, 0).decode(errors="replace").splitlines()
        return [NUMBERED.sub(r"\1", line) for line in lines]

    def enter(self, where: str) -> None:
        """Say what this process is: calls count where the fault is to strike."""
        self._library.fault_disarm()
        if self.name and where == self.where != PARSER:
            assert self._library.fault_arm(self.name.encode(), self.at, ctypes.addressof(self._counter), TOLD), self.name

    def answering(self) -> None:
        """Count an answer of a parser and be killed before it."""
        if self.name and self.where == PARSER:
            self._counter.value += 1
            os.write(TOLD, b"answer \n")
            if self._counter.value == self.at:
                os.kill(os.getpid(), signal.SIGKILL)


class _Process:
    """What a parent needs of a child, as subprocess.Popen has it."""

    stderr = None

    def __init__(self, pid: int) -> None:
        self.pid, self.returncode = pid, None
        self.stdin: Any = None
        self.stdout: Any = None

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            fd = os.pidfd_open(self.pid)
            try:
                ready, _, _ = select.select([fd], [], [], timeout)
            finally:
                os.close(fd)
            if not ready:
                raise subprocess.TimeoutExpired("fork", timeout or 0)
            self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.returncode

    def kill(self) -> None:
        if self.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)


def forked(body: Callable[[], int], keep: dict[int, int], fault: _Fault, where: str) -> int:
    """Fork a child that ends with its parent, keeps only the descriptors `keep` (now → then) and runs `body`; return its pid."""
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        fault.enter(where)
        ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(0)
        held = {then: fcntl.fcntl(now, fcntl.F_DUPFD, 100) for now, then in keep.items()}  # a number may be needed for another one
        for then, now in held.items():
            os.dup2(now, then)
        os.closerange(max(2, *keep.values()) + 1, TOLD)
        code = body()
    except SystemExit as e:
        code = e.code if isinstance(e.code, int) else 0 if e.code is None else 1
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def put_forks_in_place(fault: _Fault, items: int) -> None:
    """Let sandbox workers and local children be forks of this process."""
    from safelight.executors import child, local
    from safelight.extract import listing
    from safelight.sandbox import child as worker
    from safelight.sandbox import parent, protocol, template

    if items:
        listing.SHARD_ITEMS = items
    worker.warm_up("full")

    def work() -> int:
        channel = protocol.Channel(socket.socket(fileno=3), protocol.Request, takes_descriptors=True)
        send = channel.send

        def counted(message: Any, descriptors: list[int] | None = None) -> None:
            fault.answering()
            send(message, descriptors)

        send(protocol.Ready())
        channel.send = counted  # type: ignore[method-assign]
        served = worker.Worker(channel)
        while (request := channel.receive()) is not None:
            served.answer(request)
        return 0

    class Template(template.Source):
        """Workers are forked from whoever asks. The end of one is told by the end of its lifeline."""

        def __init__(self, *_: Any) -> None:
            super().__init__(socket.socket())

        def fork(self, channel: socket.socket, lifeline: socket.socket) -> None:
            forked(work, {channel.fileno(): 3, lifeline.fileno(): 4}, fault, PARSER)

        def close(self) -> tuple[int, str]:
            self.control.close()
            return 0, ""

    def adopt(number: int, profile: str, walls: bool) -> None:
        template._shared[profile, walls] = Template()

    class Popen(_Process):
        """A child of the local pool."""

        def __init__(self, line: list[str], **_: Any) -> None:
            (their_in, our_out), (our_in, their_out) = os.pipe(), os.pipe()

            def serve() -> int:
                sys.argv = line[2:]
                return child.main()

            super().__init__(forked(serve, {their_in: 0, their_out: 1}, fault, WORKERS))
            os.close(their_in)
            os.close(their_out)
            self.stdin, self.stdout = os.fdopen(our_out, "wb"), os.fdopen(our_in, "rb")

    parent.Template = template.Template = Template  # type: ignore[assignment, misc]
    template.adopt = adopt
    local.subprocess = type("forks", (), {"Popen": Popen, "PIPE": subprocess.PIPE})  # type: ignore[assignment]


def import_everything() -> None:
    """Import what commands import late."""
    import safelight

    for module in pkgutil.walk_packages(safelight.__path__, "safelight."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    import pyarrow

    pyarrow.array(["a"])  # the first one imports pandas where it is installed


class _States:
    """The distinct states of a folder at the stops of a command, each copied to a folder N: what a kill there would leave.

    Two states are one where they differ in the insides of temporary files alone: those are swept away unread when the case is opened
    for writing. `stops.json` holds, for each state, the number of the first call before which it stood.
    """

    def __init__(self, of: Path, folder: Path) -> None:
        self._of, self._folder = of, folder
        self._digests: dict[tuple[int, int, int], str] = {}
        self._stops: dict[str, int] = {}

    def look(self, call: int) -> None:
        """Note the state before a call."""
        state = self._state()
        if state not in self._stops:
            shutil.copytree(self._of, self._folder / str(len(self._stops)))
            self._stops[state] = call

    def close(self) -> None:
        (self._folder / "stops.json").write_text(json.dumps(list(self._stops.values())))

    def _state(self) -> str:
        lines = []
        for path in sorted(self._of.rglob("*")):
            name, stat = NUMBERED.sub(r"\1", str(path.relative_to(self._of))), path.lstat()
            inside = path.is_file() and ".tmp-" not in name
            lines.append(f"{name} {self._digest(path, (stat.st_ino, stat.st_size, stat.st_mtime_ns)) if inside else ''}")
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def _digest(self, path: Path, key: tuple[int, int, int]) -> str:
        if key not in self._digests:
            self._digests[key] = hashlib.sha256(path.read_bytes()).hexdigest()
        return self._digests[key]


def watched(process: _Process, states: _States) -> None:
    """Wait for the end of a process that stops before each call, and note the state of its case each time."""
    call = 0
    while process.returncode is None:
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        if os.WIFSTOPPED(status):
            call += 1
            states.look(call)
            os.kill(process.pid, signal.SIGCONT)
        else:
            process.returncode = os.waitstatus_to_exitcode(status)
    states.close()


def ended(words: list[str], fault: _Fault, states: _States | None) -> Ended:
    """Run one command in a fork."""
    from safelight.cli.main import main

    said = [os.memfd_create(name) for name in ("out", "err")]

    def command() -> int:
        sys.argv = ["safelight", *words]
        main()
        return 0

    process = _Process(forked(command, {said[0]: 1, said[1]: 2}, fault, RUN))
    if states:
        watched(process, states)
    try:
        code = process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        code = 99
    texts = [os.pread(fd, os.fstat(fd).st_size, 0).decode(errors="replace") for fd in said]
    for fd in said:
        os.close(fd)
    return Ended(code, fault.calls(), texts[1], texts[0])


def serve(number: int, items: int) -> NoReturn:
    """Answer requests until the near side has gone."""
    fault = _Fault()
    import_everything()
    put_forks_in_place(fault, items)
    with socket.socket(fileno=number) as ours, ours.makefile("rwb") as file:
        for line in file:
            asked = json.loads(line)
            fault.plan(asked["fault"], asked["at"], asked["where"])
            states = _States(Path(asked["of"]), Path(asked["states"])) if asked["states"] else None
            file.write(json.dumps(ended(asked["words"], fault, states)._asdict()).encode() + b"\n")
            file.flush()
    sys.exit(0)


if __name__ == "__main__":
    time.tzset()
    serve(int(sys.argv[1]), int(sys.argv[2]))

"""One worker behind its walls, and how to speak with it from outside.

Evidence never gets a path in there: the parent opens it read only and passes descriptors. The worker is forked from a template
(`template.py`), which has imported everything and seen nothing. `walls=False` (`--without-sandbox`) leaves the walls out, which the
ledger and report say.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from safelight.errors import Refused
from safelight.sandbox import limits, protocol, template
from safelight.sandbox.forker import STATUS
from safelight.sandbox.template import Source, Template

GRACE_S = 2.0
"""Seconds that a worker has to end by itself once its channel is closed."""

KILLED = -9
"""What is said of a worker whose template was killed with it."""


class WorkerDied(Exception):
    """The worker ended in the middle of a request. `kind` is a problem kind, `reason` says how it ended; `killed`: by SIGKILL, which
    none of its own limits sends, so another try may end otherwise."""

    def __init__(self, kind: str, reason: str, killed: bool = False) -> None:
        super().__init__(reason)
        self.kind, self.reason, self.killed = kind, reason, killed


class RequestFailed(Exception):
    """The worker could not meet the request and said why."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind, self.reason = kind, reason


class Sandbox:
    """One persistent worker. Use it as a context manager; after `WorkerDied` it is gone."""

    def __init__(self, profile: str = "full", walls: bool = True, readable: Path | None = None) -> None:
        self.cpu_ms = 0
        self._own: Template | None = None
        shared = template.shared(profile, walls) if readable is None else None
        if shared is not None and self._fork(shared) == "":
            return
        for last in (False, False, True):  # one that is killed while it starts has read nothing: start another
            self._own = Template(profile, walls, readable)
            if (why := self._fork(self._own)) == "":
                return
            status, said = self._own.close()
            if status == KILLED and not said and not last:
                continue
            raise Refused(
                f"the sandbox cannot be started: {said or why}. Nothing was read. Evidence is only opened inside the sandbox; "
                "install bubblewrap and allow user namespaces, or decide for `--without-sandbox` (it is written to the ledger)."
            )

    def _fork(self, source: Source) -> str:
        """Take a worker from a template and wait for its first word; return why there is none, or nothing."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._lifeline, end = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        ours.settimeout(limits.WALL_SILENCE_S)
        self._channel = protocol.Channel(ours, protocol.Answer)
        try:
            with theirs, end:
                source.fork(theirs, end)
            ready: object = self._channel.receive()
        except (OSError, protocol.BadFrame) as e:
            ready = e
        if isinstance(ready, protocol.Ready):
            return ""
        self._end(orderly=False)
        return str(ready or "it ended before its first word")

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self, orderly: bool = True) -> None:
        """End the worker: its channel ends, and it with it; one that does not is killed."""
        self._end(orderly)
        if self._own is not None:
            self._own.close()

    def _end(self, orderly: bool) -> None:
        self._channel.sock.close()
        if self._lifeline.fileno() < 0:
            return
        if not orderly or self._status(GRACE_S) is None:
            with suppress(OSError):  # the template is gone, and the worker with it
                self._lifeline.shutdown(socket.SHUT_WR)
            self._status(GRACE_S)
        self._lifeline.close()

    def _status(self, seconds: float) -> int | None:
        """Wait for the end of the worker; return its exit code, or minus the signal; None where it goes on."""
        self._lifeline.settimeout(seconds)
        try:
            said = self._lifeline.recv(STATUS.size)
        except TimeoutError:
            return None
        except OSError:
            said = b""
        return int(STATUS.unpack(said)[0]) if len(said) == STATUS.size else KILLED

    def ask(self, request: Any, descriptors: Sequence[int] = ()) -> Iterator[Any]:
        """Send a request and yield its answers up to the last. Raise `RequestFailed` or `WorkerDied`.

        A caller that leaves before the last answer leaves the channel out of step: the worker is ended then.
        """
        whole = False
        try:
            self._channel.send(request, list(descriptors))
            while not whole:
                answer = self._channel.receive()
                match answer:
                    case None:
                        raise self._death()
                    case protocol.Failed(kind=kind, reason=reason):
                        whole = True
                        raise RequestFailed(checked_kind(kind), reason)
                    case protocol.End(cpu_ms=cpu_ms):
                        whole, self.cpu_ms = True, cpu_ms
                    case protocol.Opened() | protocol.Examined() | protocol.ImageDigests():
                        whole = True
                        yield answer
                    case _:
                        yield answer
        except TimeoutError:
            raise WorkerDied("limit.time", f"the worker said nothing for {limits.WALL_SILENCE_S} s") from None
        except (BrokenPipeError, ConnectionResetError, protocol.CutOff):
            raise self._death() from None
        except protocol.BadFrame as e:
            raise WorkerDied("protocol", f"the worker's answer is not valid: {e}"[:300]) from None
        finally:
            if not whole:
                self.close(orderly=False)

    def _death(self) -> WorkerDied:
        status = self._status(10)
        self.close()
        if status is None:
            return WorkerDied("crashed", "the worker closed its channel")
        if status == -24:  # SIGXCPU
            return WorkerDied("limit.time", "the CPU seconds of the item are used up")
        if status == KILLED:
            return WorkerDied("crashed", "the worker was killed", killed=True)
        return WorkerDied("crashed", f"the worker ended with {f'signal {-status}' if status < 0 else f'status {status}'}")


def checked_kind(kind: str) -> str:
    """Return a problem kind that a worker claims, or `protocol` where it is none of the closed list."""
    from safelight.problems import KINDS

    return kind if kind in KINDS else "protocol"

"""Inside the walls, before any evidence: one process that has imported everything and forks a worker for each request.

A worker that is forked costs milliseconds where one that starts costs a third of a second, and shares its pages with the others.
This process never sees evidence: descriptors of exhibits go through the channel of a worker, which only that worker holds.

Each request is one message on the control socket with two descriptors: the worker's channel, and its *lifeline*. When the worker ends,
its status is written to the lifeline (`STATUS`); when the other side shuts its end of the lifeline, the worker is killed.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
from contextlib import suppress

from safelight.sandbox import limits

STATUS = struct.Struct("<i")
"""What goes over the lifeline at the end of a worker: its exit code, or minus the signal that ended it."""


def fork_workers(control: socket.socket) -> socket.socket | None:
    """Serve requests for workers. Returns None at the end of all requests, and in each worker its channel."""
    return _Forker(control).serve()


class _Forker:
    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._lifelines: dict[int, socket.socket] = {}  # by the worker's process id
        self._poll = select.poll()
        self._ended, self._ending = os.pipe()
        for fd in (self._ended, self._ending):
            os.set_blocking(fd, False)

    def serve(self) -> socket.socket | None:
        signal.set_wakeup_fd(self._ending, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # a handler of its own: an ignored signal wakes nobody
        for fd in (self._control.fileno(), self._ended):
            self._poll.register(fd, select.POLLIN)
        while True:
            ready = {fd for fd, _ in self._poll.poll()}
            if self._ended in ready:
                os.read(self._ended, 4096)
                self._reap()
            for pid, lifeline in self._lifelines.items():
                if lifeline.fileno() in ready:
                    self._poll.unregister(lifeline.fileno())
                    os.kill(pid, signal.SIGKILL)
            if self._control.fileno() in ready:
                _, descriptors, _, _ = socket.recv_fds(self._control, 1, 2)
                if len(descriptors) != 2:  # nobody is left who could ask
                    self._kill_all()
                    return None
                channel, lifeline = (socket.socket(fileno=fd) for fd in descriptors)
                limits.before_fork()
                if (pid := os.fork()) == 0:
                    return self._become_worker(channel, lifeline)
                channel.close()
                self._lifelines[pid] = lifeline
                self._poll.register(lifeline.fileno(), select.POLLIN)

    def _reap(self) -> None:
        """Tell of each worker that has ended how it ended."""
        with suppress(ChildProcessError):  # none is left
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                lifeline = self._lifelines.pop(ended[0])
                with suppress(KeyError):  # it was killed on request
                    self._poll.unregister(lifeline.fileno())
                with suppress(OSError):  # nobody waits for it any more
                    lifeline.send(STATUS.pack(os.waitstatus_to_exitcode(ended[1])), socket.MSG_NOSIGNAL)
                lifeline.close()

    def _kill_all(self) -> None:
        for pid in self._lifelines:
            os.kill(pid, signal.SIGKILL)

    def _become_worker(self, channel: socket.socket, lifeline: socket.socket) -> socket.socket:
        """Keep the own channel only: a worker reaches neither the control socket nor another worker."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for held in (self._control, lifeline, *self._lifelines.values()):
            held.close()
        os.close(self._ended)
        os.close(self._ending)
        return channel

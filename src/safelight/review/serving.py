"""Run the server on loopback until it is told to end. Other addresses are refused: there are no accounts yet."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

from safelight.errors import Refused, Usage
from safelight.review.filters import warm
from safelight.review.security import Wall
from safelight.review.server import Server, application

Listening = tuple[socket.socket, int]


def listen(address: str, port: int) -> Listening:
    """Return a listening socket and its port. Raise `Refused` for an address that others can reach."""
    try:
        loopback = ipaddress.ip_address(address).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise Refused(
            f"{address} is not loopback. The review page has no accounts yet, so whoever reached it could be anyone; it listens on 127.0.0.1 "
            "only. To work from another machine, forward the port over SSH: ssh -L PORT:127.0.0.1:PORT MACHINE"
        )
    made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((address, port))
    except OSError as e:
        made.close()
        if e.errno in (errno.EADDRINUSE, errno.EACCES):
            raise Usage(f"port {port} is taken or not allowed; leave --port away for a free one.") from None
        raise
    made.listen(128)
    return made, int(made.getsockname()[1])


def run(server: Server, listening: Listening, ready: Callable[[], None]) -> None:
    """Serve until a signal; `ready` is called when requests are answered."""
    import uvicorn

    made, port = listening
    wall: Any = Wall(application(server), server.sessions, port)
    config = uvicorn.Config(
        wall, http="h11", ws="none", loop="asyncio", lifespan="off", access_log=False, log_config=None, server_header=False, date_header=False,
        proxy_headers=False, h11_max_incomplete_event_size=64 << 10, timeout_keep_alive=75, timeout_graceful_shutdown=5, limit_concurrency=200,
    )  # fmt: skip

    class Running(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield  # its own would end the process before the log is closed

    running = Running(config)

    def end(*_: Any) -> None:
        running.should_exit = True

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    threading.Thread(target=_first_table, args=(server,), daemon=True).start()
    ready()
    try:
        running.run(sockets=[made])
    finally:
        server.close()


def _first_table(server: Server) -> None:
    """Make the first table, and what filters need, while the browser starts; who comes first waits for it, and is told of what goes wrong."""
    try:
        server.desk.ranking()
        warm()
    except Exception as e:
        threading.current_thread().name = f"first table: {type(e).__name__}"

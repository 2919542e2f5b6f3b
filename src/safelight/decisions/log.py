"""The log of decisions: one writer, group commit, acknowledged only when it is on the disk.

A request is a function that appends events; whatever waits when the writer is free goes into one transaction, and each request is
answered after the commit. When the disk is full or the commit fails, all of them are told so, nothing of them is kept, and the state is
read again from the file. Several processes may have the same case open: each takes in what others appended before it writes.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from safelight.decisions import database
from safelight.decisions.events import GENESIS, Event, sealed
from safelight.decisions.numbers import Digests, Longs, Numbers, digests
from safelight.decisions.policy import Policy
from safelight.decisions.reading import Watcher, load
from safelight.decisions.standing import Standing
from safelight.errors import OutOfResources, Stop

BATCH = 64
"""Requests of one transaction at most."""


class Conflict(Stop):
    """The request contradicts what was decided since it was made, or its key was used for another request."""


class NotSaved(OutOfResources):
    """The disk is full, or the file cannot be written: the decision is not stored."""


class Log:
    """Decisions of one case, opened to write. `lock` is held while the state changes: read `standing` under it."""

    def __init__(self, folder: Path, policy: Policy, numbers: Numbers | None = None) -> None:
        self.folder, self.policy = folder, policy
        self.numbers = numbers if numbers is not None else Numbers()
        self.lock = threading.RLock()
        self.con = database.open_database(folder)
        self._watchers: list[Watcher] = []
        self.standing = load(self.con, self.numbers, self.policy, self._watchers)
        self._queue: queue.Queue[tuple[Callable[[], Any], Future[Any]] | None] = queue.Queue()
        self._writer = threading.Thread(target=self._write, name="decisions", daemon=True)
        self._writer.start()

    def watch(self, watcher: Watcher) -> None:
        """Let a watcher see all events, past and coming."""
        with self.lock:
            watcher.begin()
            for event in database.events(self.con):
                watcher.take(event)
            self._watchers.append(watcher)

    def close(self) -> None:
        """Write what waits, and end."""
        self._queue.put(None)
        self._writer.join()
        with self.lock:
            self.con.close()

    def refresh(self) -> None:
        """Take in what other processes appended."""
        with self.lock:
            self._catch_up()

    def number(self, names: Digests) -> Longs:
        """Return the numbers of contents, giving new ones where needed."""
        with self.lock:
            found = self.numbers.add(names)
            self.standing.grow()
            return found

    def submit(self, request: Callable[[], Any]) -> Any:
        """Run a request within a transaction and return its answer once it is committed. Raise `NotSaved` where it could not be."""
        future: Future[Any] = Future()
        self._queue.put((request, future))
        return future.result()

    def append(
        self, what: str, user: str, role: str, body: dict[str, Any], contents: bytes = b"", seen: bytes = b"", key: str | None = None
    ) -> Event:
        """Append one event; within a request only."""
        standing = self.standing
        event = Event(
            seq=standing.last + 1, key=key, at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"), user=user, role=role, what=what,
            body=body, contents=contents, seen=seen, prev=standing.head or GENESIS,
        )  # fmt: skip
        event.hash = sealed(event)
        database.insert(self.con, event)
        self._apply(event, standing)
        return event

    def answered(self, key: str, request: str) -> Any:
        """Return the answer that this key got before; None where it is new. Raise `Conflict` where it was another request."""
        row = self.con.execute("select request, answer from answers where key = ?", (key,)).fetchone()
        if row is None:
            return None
        if row[0] != request:
            raise Conflict("this key was used for another request. Nothing was changed; send the request with a key of its own.")
        return msgspec.json.decode(row[1])

    def remember(self, key: str, request: str, answer: Any) -> None:
        """Keep the answer for the case that the same request comes again; within the request."""
        self.con.execute("insert into answers values (?, ?, ?)", (key, request, msgspec.json.encode(answer).decode()))

    def history(self, name: bytes) -> list[Event]:
        """Return the events of one content, oldest first."""
        with self.lock:
            seqs = [s for _, s in database.entries_of(self.con, [name])]
            return [e for e in (database.event(self.con, s) for s in seqs) if e is not None]

    def event(self, seq: int) -> Event | None:
        with self.lock:
            return database.event(self.con, seq)

    def _write(self) -> None:
        while True:
            batch = [self._queue.get()]
            while len(batch) < BATCH and batch[-1] is not None:
                try:
                    batch.append(self._queue.get_nowait())
                except queue.Empty:
                    break
            work = [b for b in batch if b is not None]
            if work:
                self._commit(work)
            if batch[-1] is None:
                return

    def _commit(self, work: list[tuple[Callable[[], Any], Future[Any]]]) -> None:
        outcomes: list[tuple[Future[Any], Any, BaseException | None]] = []
        with self.lock:
            try:
                self.con.execute("begin immediate")
                self._catch_up()
                for request, future in work:
                    outcomes.append((future, *self._one(request)))
                self.con.execute("commit")
            except (sqlite3.Error, OSError) as e:
                self._undo_all(e, work)
                return
        for future, answer, error in outcomes:
            if error is None:
                future.set_result(answer)
            else:
                future.set_exception(error)

    def _one(self, request: Callable[[], Any]) -> tuple[Any, BaseException | None]:
        """Run one request. When it raises, nothing of it is kept, and the others are not touched by it."""
        before = self.standing.last
        self.con.execute("savepoint request")
        try:
            return request(), None
        except (sqlite3.Error, OSError):
            raise
        except Exception as e:
            self.con.execute("rollback to request")
            if self.standing.last != before:
                self.standing = load(self.con, self.numbers, self.policy, self._watchers)
            return None, e
        finally:
            if self.con.in_transaction:
                self.con.execute("release request")

    def _undo_all(self, error: BaseException, work: list[tuple[Callable[[], Any], Future[Any]]]) -> None:
        try:
            if self.con.in_transaction:
                self.con.execute("rollback")
            self.standing = load(self.con, self.numbers, self.policy, self._watchers)
        except sqlite3.Error:  # the next request tries again
            self.standing.last = -1
        for _, future in work:
            future.set_exception(
                NotSaved(f"it could not be written to {database.NAME} ({error}) and is NOT saved. What was saved before is safe.")
            )

    def _catch_up(self) -> None:
        if self.standing.last < 0:
            self.standing = load(self.con, self.numbers, self.policy, self._watchers)
        (last,) = self.con.execute("select coalesce(max(seq), 0) from events").fetchone()
        if last > self.standing.last:
            for event in list(database.events(self.con, self.standing.last)):
                self._apply(event, self.standing)

    def _apply(self, event: Event, standing: Standing) -> None:
        said = standing.note(event)
        if event.what == "decide":
            at = standing.of(event)
            standing.put(said, at)
            standing.resolve(at)
        elif event.what in ("undo", "redo"):
            target = database.event(self.con, said.target)
            assert target is not None
            self._again(standing, standing.of(target))
        for watcher in self._watchers:
            watcher.take(event)

    def _among(self, standing: Standing, seq: int, part: Longs) -> Longs:
        """Return the places of some contents in an event that names them; both ascend by SHA-256."""
        event = database.event(self.con, seq)
        assert event is not None
        return np.flatnonzero(np.isin(standing.of(event, add=False), part))

    def _again(self, standing: Standing, at: Longs) -> None:
        """Make the state of these contents from their events that are not undone."""
        standing.clear(at)
        by_event: dict[int, list[bytes]] = {}
        for name, seq in database.entries_of(self.con, (n.tobytes() for n in standing.numbers.names_of(at))):
            by_event.setdefault(seq, []).append(name)
        for seq in sorted(by_event):
            said = standing.said.get(seq)
            if said is not None and said.what == "decide" and not said.undone:
                part = standing.numbers.find(digests(b"".join(by_event[seq])))
                standing.put(said, part, None if said.each is None else self._among(standing, seq, part))
        standing.resolve(at)

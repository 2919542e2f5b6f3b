"""The words of filters, kept by the server so that an address holds a handle in place of them.

A name, a path, a serial number or a picture that others are compared with must not land in the history of a browser, and yet a reload, a
bookmark and a second tab must show the same list. So the page hands the words in and gets a handle: random, of one case and one
person, the same again for the same words. They are events of the log, in `decisions.sqlite`, as a person's other settings are.

A related picture is kept by its SHA-256 and given back as a place in a list that only the handle names (`view` is the handle, `index` says
which relation), so that it outlives the list in which it was chosen. To another person a handle is one that there never was.
"""

from __future__ import annotations

import threading
from typing import Any

import msgspec

from safelight.decisions.events import Event

KEPT = "k."
"""How a handle begins; the name of a view has no dot."""
RELATIONS = ("similar_to", "same")
"""What index 0 and index 1 of a handle mean."""


class Kept:
    """What was kept, of all people; made from the events of the log."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.begin()

    def begin(self) -> None:
        self._words: dict[str, dict[str, dict[str, Any]]] = {}
        self._handles: dict[tuple[str, bytes], str] = {}

    def take(self, event: Event) -> None:
        if event.what == "filter":
            with self._lock:
                words = event.body["words"]
                self._words.setdefault(event.user, {})[event.body["handle"]] = words
                self._handles.setdefault((event.user, _canonical(words)), event.body["handle"])

    def words(self, user: str, handle: str) -> dict[str, Any] | None:
        """Return what a person kept under a handle; None where that person kept nothing under it."""
        with self._lock:
            return self._words.get(user, {}).get(handle)

    def handle(self, user: str, words: dict[str, Any]) -> str | None:
        """Return the handle that a person has for these words already."""
        with self._lock:
            return self._handles.get((user, _canonical(words)))

    def count(self, user: str) -> int:
        with self._lock:
            return len(self._words.get(user, {}))

    def content(self, user: str, handle: str, index: int) -> bytes | None:
        """Return the SHA-256 of the picture that a relation of a handle means; None where there is none."""
        words = self.words(user, handle) or {}
        relation = words.get(RELATIONS[index]) if index < len(RELATIONS) else None
        return None if relation is None else bytes.fromhex(relation["content"])


def _canonical(words: dict[str, Any]) -> bytes:
    return msgspec.json.encode(words, order="sorted")

"""The masks of the last conditions over a table: a page asks for view, counts, time line and map of the same filter, one after the other."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from safelight.table.file import Array

MOST_BYTES = 64 << 20
"""Bytes of all masks that are kept of one table; the last one always is."""


class Masks:
    """Masks by the condition that they stand for, the last used last. They are not to be changed."""

    def __init__(self, most: int = MOST_BYTES) -> None:
        self._most, self._held = most, 0
        self._masks: OrderedDict[Any, Array] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, condition: Any, work: Callable[[], Array]) -> Array:
        """Return the mask of a condition; `work` makes it where it is not kept."""
        with self._lock:
            found = self._masks.get(condition)
            if found is not None:
                self._masks.move_to_end(condition)
                return found
        made = work()
        made.flags.writeable = False
        with self._lock:
            if condition not in self._masks:
                self._masks[condition] = made
                self._held += made.nbytes
            while self._held > self._most and len(self._masks) > 1:
                self._held -= self._masks.popitem(last=False)[1].nbytes
        return made

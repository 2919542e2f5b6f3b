"""A folder of facts that the ledger knows before it has its name: what a kill leaves between the two is told from what was put there.

Its files are announced (`making`, with their digests), the folder gets its name, and the step enters what it did (`list`, `compact`,
`match` …). Between the first and the last, `verify` takes the files that were there before and the announced ones alike, and no other.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safelight.case import Case
from safelight.durable import folder_atomically


class Making:
    """`folder`: to be filled. `files`: name → rows, SHA-256, logical digest; to be set before the end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[str, list[Any]] = {}


@contextmanager
def making(case: Case, path: Path) -> Iterator[Making]:
    """Give a temporary folder to fill; announce its files in the ledger and rename it to `path`, or remove it on an error."""
    with folder_atomically(path) as folder:
        made = Making(folder)
        yield made
        case.ledger.append("making", folder=path.relative_to(case.folder).as_posix(), files=made.files)

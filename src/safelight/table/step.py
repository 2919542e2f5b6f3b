"""Make the table of a case where it is missing or out of date, and open it.

    table/contents-KEY.table    contents, places, pictures, stacks, problems and the orders that follow from them
    table/judged-KEY.table      what hash sets say, and the order `first`

KEY is the beginning of a digest of all that the file was made from. The ledger entry `table` has size and SHA-256 of a file; one that
the ledger does not name is never opened, and one that is not what was written is made again. One maker at a time (flock on `table.lock`).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import msgspec

from safelight.access import Gate, flood_of, marks_of
from safelight.case import Case
from safelight.durable import TEMPORARY, sweep
from safelight.errors import Refused
from safelight.facts.reader import MEMORY, files_now
from safelight.table import contents, judged
from safelight.table.file import Array, Damaged, Mapped, Scratch, write
from safelight.table.table import Table
from safelight.verify import TABLE as FOLDER
from safelight.verify import expected_files

RULES = 3
"""The version of columns and rules: another one makes the table anew."""
PARTS = ("contents", "judged")
ATTEMPTS = 5
"""A run that compacts takes files away between the look and the read: then all is read again."""
Made = tuple[dict[str, Array], dict[str, int]]


class Keys(msgspec.Struct, frozen=True):
    """What the two files are to be made from, as digests."""

    contents: str
    judged: str

    def path(self, case: Case, part: str) -> Path:
        return case.folder / FOLDER / f"{part}-{getattr(self, part)[:16]}.table"


def keys(case: Case, library: str | None) -> Keys:
    """Return the keys of the table as the facts, the scopes and the marks of the library are now."""
    known, now = expected_files(case), files_now(case)

    def named(*tables: str) -> Any:
        return [[t, str(p.relative_to(case.folder)), known.get(p, "")] for t in tables for p in now[t]]

    scopes = [[e.key, msgspec.to_builtins(e.scope)] for e in case.exhibits()]
    first = _digest([RULES, "contents", named("items", "contents", "pictures", "problems", "stacks"), scopes])
    return Keys(first, _digest([RULES, "judged", first, named("matches"), sorted(marks_of(library)), flood_of(case)]))


def _digest(said: Any) -> str:
    return hashlib.sha256(msgspec.json.encode(said, order="deterministic")).hexdigest()


def stored(case: Case, library: str | None = None) -> Table | None:
    """Open the table of the facts as they are now; None where it is not there, out of date, or not what was written."""
    try:
        wanted, named = keys(case, library), _named(case)
        first, second = (_mapped(case, wanted, part, named) for part in PARTS)
    except (Damaged, FileNotFoundError):
        return None
    return Table(first, second) if first and second else None


def open_table(case: Case, library: str | None = None) -> Table:
    """Open the table of the facts as they are now; make first what is missing of it."""
    found = stored(case, library)
    for attempt in range(ATTEMPTS):
        try:
            return found or make_table(case, library)
        except (duckdb.IOException, FileNotFoundError):
            if attempt == ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


def make_table(case: Case, library: str | None = None) -> Table:
    """Make each file of the table that is missing, out of date or not what was written, enter it in the ledger, and open the table."""
    with _making(case):
        wanted = keys(case, library)
        try:
            first = _made(case, wanted, "contents", lambda scratch: contents.make(Gate(case, "", MEMORY, library), scratch))
            second = _made(case, wanted, "judged", lambda scratch: judged.make(Gate(case, "", MEMORY, library), first, scratch))
        except duckdb.BinderException:
            raise Refused(
                "the facts of this case were made by another version, with other columns. Nothing was changed; run `safelight run` first."
            ) from None
    return Table(first, second)


def _made(case: Case, wanted: Keys, part: str, work: Callable[[Scratch], Made]) -> Mapped:
    """Return one file, after making it where it is not as it should be. Older ones are removed; who has them open keeps them."""
    because = ""
    try:
        found = _mapped(case, wanted, part, _named(case))
    except FileNotFoundError:
        found = None
    except Damaged as e:
        found, because = None, str(e)
    path = wanted.path(case, part)
    if found is not None:
        _remove_older(path, part)  # a maker that was killed may have left them
        return found
    with _scratch(case) as scratch:
        columns, single = work(scratch)

        def log(path: Path, size: int, sha256: str) -> None:
            said = {"because": because} if because else {}
            case.ledger.append(
                "table", part=part, folder=FOLDER, key=getattr(wanted, part), files={path.name: [size, sha256, ""]}, **single, **said
            )

        write(path, columns, single, scratch, log)
    _remove_older(path, part)
    found = _mapped(case, wanted, part, _named(case))
    assert found is not None
    return found


def _remove_older(path: Path, part: str) -> None:
    for old in path.parent.glob(f"{part}-*.table"):
        if old != path:
            old.unlink(missing_ok=True)


def _named(case: Case) -> dict[str, dict[str, Any]]:
    """Return the last ledger entry of each file of the table by its name."""
    return {next(iter(e["files"])): e for e in case.ledger.entries() if e["what"] == "table"}


def _mapped(case: Case, wanted: Keys, part: str, named: dict[str, dict[str, Any]]) -> Mapped | None:
    """Map a file of the table; None where the ledger does not name one with these inputs."""
    path = wanted.path(case, part)
    entry = named.get(path.name)
    if entry is None or entry["key"] != getattr(wanted, part):
        return None
    size, sha256, _ = entry["files"][path.name]
    return Mapped(path, int(size), sha256)


@contextmanager
def _making(case: Case) -> Iterator[None]:
    """Hold the right to make the table; remove what a maker that was killed left."""
    fd = os.open(case.folder / "table.lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        (case.folder / FOLDER).mkdir(exist_ok=True)
        sweep(case.folder / FOLDER)
        yield
    finally:
        os.close(fd)


@contextmanager
def _scratch(case: Case) -> Iterator[Scratch]:
    folder = case.folder / FOLDER / f"{TEMPORARY}work.{secrets.token_hex(4)}"
    try:
        yield Scratch(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)

"""A case folder: create, open, lock, and where things are. The layout stands in docs/reference/case.md.

The only things that change are the ledger and `case.toml`'s neighbours in `exhibits/`; everything else is written once. One
`run` at a time (`flock` on `run.lock`); all other commands may work beside it.
"""

from __future__ import annotations

import fcntl
import os
import tomllib
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import tomli_w

from safelight.durable import TEMPORARY, sweep, write_atomically
from safelight.errors import Refused, Usage
from safelight.ledger import Ledger

FORMAT = 1
FOLDERS = ("exhibits", "facts", "renditions", "matches", "stacks")
"""Folders of a new case."""


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """What of an exhibit may be looked at (an order's limits). Empty means all.

    `paths` are globs over the readable path, `kinds` are kinds of content, the period bounds the last change (ISO 8601 dates).
    """

    order: str = ""
    paths: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    since: str = ""
    until: str = ""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One file of an exhibit: absolute path, size in bytes, time of last change (ns), SHA-256 where it was taken."""

    path: str
    size: int
    mtime: int
    sha256: str = ""


class Exhibit(msgspec.Struct, frozen=True, kw_only=True):
    """One source of an exhibit: an image (its segments in order are its parts) or a folder. `form` says which.

    A seized thing has one label and, mostly, one source; a laptop with two disks has two, numbered from 1. `key` names the source
    in the case folder, `prefix` begins its origins, so that ids are unique within the exhibit.
    """

    label: str
    source: int = 1
    form: str
    parts: tuple[Part, ...]
    added: str
    scope: Scope = Scope()

    @property
    def key(self) -> str:
        return source_key(self.label, self.source)

    @property
    def prefix(self) -> str:
        return f"source:{self.source}/" if self.source > 1 else ""


class Case:
    """An opened case folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            self.settings: dict[str, Any] = tomllib.loads((folder / "case.toml").read_text("utf-8"))
        except FileNotFoundError:
            raise Usage(f"{folder} is not a case: it has no case.toml. Make one with `safelight new {folder}`.") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as e:
            raise Refused(f"{folder / 'case.toml'} cannot be read ({e}). Nothing was changed; restore it from a copy.") from None
        if self.settings.get("format") != FORMAT:
            raise Refused(f"{folder} has case format {self.settings.get('format')}; this version reads format {FORMAT}.")
        self.ledger = Ledger(folder)

    @classmethod
    def create(cls, folder: Path, title: str, command: str, policies: dict[str, Any] | None = None) -> Case:
        """Make a new, empty case. Raise `Usage` when the folder holds something. `policies`: how it decides (decisions/policy.py).

        `case.toml` comes last: without it the folder is no case, and what a killed `new` left there is begun anew.
        """
        if folder.exists() and not (folder.is_dir() and _left_by_new(folder)):
            raise Usage(f"{folder} exists and is not empty. Nothing was changed; choose another name.")
        ledger = Ledger(folder)
        ledger.head_path.unlink(missing_ok=True)
        ledger.path.unlink(missing_ok=True)
        sweep(folder)
        for sub in FOLDERS:
            (folder / sub).mkdir(parents=True, exist_ok=True)
        settings: dict[str, Any] = {"format": FORMAT, "id": str(uuid.uuid4()), "title": title, "created": now()}
        if policies:
            settings["policies"] = policies
        ledger.append("new", command=command, case=settings["id"], title=title, **({"policies": policies} if policies else {}))
        write_atomically(folder / "case.toml", tomli_w.dumps(settings).encode())
        return cls(folder)

    @property
    def id(self) -> str:
        return str(self.settings["id"])

    @property
    def facts(self) -> Path:
        return self.folder / "facts"

    def exhibits(self) -> list[Exhibit]:
        """Return the sources of all exhibits, in order of label and number."""
        found = [self._read_exhibit(p) for p in (self.folder / "exhibits").glob("*.toml")]
        return sorted(found, key=lambda e: (e.label, e.source))

    def exhibit(self, key: str) -> Exhibit:
        """Return one source of an exhibit by its key."""
        path = self.folder / "exhibits" / f"{key}.toml"
        if not path.exists():
            known = ", ".join(e.key for e in self.exhibits()) or "none"
            raise Usage(f"no exhibit {key!r} in this case (there are: {known})")
        return self._read_exhibit(path)

    @staticmethod
    def _read_exhibit(path: Path) -> Exhibit:
        try:
            return msgspec.toml.decode(path.read_bytes(), type=Exhibit)
        except (msgspec.DecodeError, OSError) as e:
            raise Refused(f"{path} cannot be read ({e}). Run `safelight verify`.") from None

    def add_exhibit(self, exhibit: Exhibit, **facts: Any) -> Path:
        """Enter a new exhibit in the ledger (`facts`: command, form, parts, scope) and write it; refuse to change an existing one.

        In this order: a source is never worked on without its entry, and `restore_exhibits` mends what a kill leaves between the two.
        """
        with self._exhibits_locked():
            self._refuse_known(exhibit)
            self.ledger.append("collect", exhibit=exhibit.key, **facts)
            return self.write_exhibit(exhibit)

    def restore_exhibits(self) -> list[str]:
        """Write the exhibits that the ledger knows and that are not there, as a killed `add` leaves them; return their keys."""
        known = {e["exhibit"]: e for e in self.ledger.entries() if e["what"] == "collect"}
        gone = [key for key in sorted(known) if not (self.folder / "exhibits" / f"{key}.toml").exists()]
        if gone:
            with self._exhibits_locked():
                for key in gone:
                    if not (self.folder / "exhibits" / f"{key}.toml").exists():
                        self.write_exhibit(_from_entry(known[key]))
        return gone

    def write_exhibit(self, exhibit: Exhibit) -> Path:
        """Write a new exhibit; refuse to change an existing one."""
        path = self._refuse_known(exhibit)
        write_atomically(path, tomli_w.dumps(_without_empty(msgspec.to_builtins(exhibit))).encode())
        return path

    def _refuse_known(self, exhibit: Exhibit) -> Path:
        path = self.folder / "exhibits" / f"{exhibit.key}.toml"
        if path.exists():
            raise Usage(f"exhibit {exhibit.key!r} is already in the case. Nothing was changed.")
        return path

    @contextmanager
    def _exhibits_locked(self) -> Iterator[None]:
        """Hold the right to add exhibits; wait for another process that has it."""
        fd = os.open(self.folder / "exhibits", os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    @contextmanager
    def run_lock(self) -> Iterator[None]:
        """Hold the right to run; raise `Refused` when another process has it."""
        fd = os.open(self.folder / "run.lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pid = os.pread(fd, 32, 0).decode(errors="replace").strip()
                raise Refused(f"another run works on this case (process {pid}). Wait for it, or stop it; nothing is lost.") from None
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
            yield
        finally:
            os.close(fd)


def source_key(label: str, source: int) -> str:
    """Return the name of a source in the case folder: the label, with the number of the source from the second on."""
    return label if source == 1 else f"{label}~{source}"


def check_label(label: str) -> str:
    """Return a label that is safe as a file name; raise `Usage` otherwise."""
    if (
        not label
        or len(label.encode()) > 100
        or label.startswith(".")
        or any(c in label for c in "/\\~\0\n\r\t")
        or not label.isprintable()
    ):
        raise Usage(f"exhibit label {label!r}: up to 100 printable characters, no slash, no ~, no leading dot")
    return label


def now() -> str:
    """Return the time in UTC, ISO 8601 with Z."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _left_by_new(folder: Path) -> bool:
    """Tell whether a folder is empty, or holds only what a `new` that was killed before its end makes."""
    ours = {*FOLDERS, "ledger.jsonl", "ledger.head"}
    inside = list(folder.iterdir())
    if any(p.name not in ours and not p.name.startswith(TEMPORARY) for p in inside):
        return False
    return not any(any(p.iterdir()) for p in inside if p.is_dir())


def _from_entry(entry: dict[str, Any]) -> Exhibit:
    """Return the exhibit that a `collect` entry of the ledger tells of."""
    label, _, source = str(entry["exhibit"]).partition("~")
    parts = [Part(path=p["path"], size=p["size"], mtime=_nanoseconds(p.get("mtime")), sha256=p["sha256"] or "") for p in entry["parts"]]
    scope = msgspec.convert(entry.get("scope") or {}, Scope)
    added = str(entry["at"])[:19] + "Z"
    return Exhibit(label=label, source=int(source or 1), form=entry["form"], parts=tuple(parts), added=added, scope=scope)


def _nanoseconds(text: str | None) -> int:
    """Return an instant of the ledger (ISO 8601 with Z, up to nine decimals) as ns since 1970; 0 where none is known."""
    if not text:
        return 0
    seconds, _, fraction = text.removesuffix("Z").partition(".")
    return int(datetime.fromisoformat(seconds).replace(tzinfo=UTC).timestamp()) * 1_000_000_000 + int(fraction.ljust(9, "0"))


def _without_empty(value: dict[str, Any]) -> dict[str, Any]:
    return {k: _without_empty(v) if isinstance(v, dict) else v for k, v in value.items() if v not in ("", None)}

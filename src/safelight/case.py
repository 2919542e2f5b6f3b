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

from safelight.durable import write_atomically
from safelight.errors import Refused, Usage
from safelight.ledger import Ledger

FORMAT = 1


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
        """Make a new, empty case. Raise `Usage` when the folder holds something. `policies`: how it decides (decisions/policy.py)."""
        if folder.exists() and any(folder.iterdir() if folder.is_dir() else [folder]):
            raise Usage(f"{folder} exists and is not empty. Nothing was changed; choose another name.")
        for sub in ("exhibits", "facts", "renditions", "matches", "stacks"):
            (folder / sub).mkdir(parents=True, exist_ok=True)
        settings: dict[str, Any] = {"format": FORMAT, "id": str(uuid.uuid4()), "title": title, "created": now()}
        if policies:
            settings["policies"] = policies
        write_atomically(folder / "case.toml", tomli_w.dumps(settings).encode())
        case = cls(folder)
        case.ledger.append("new", command=command, case=settings["id"], title=title, **({"policies": policies} if policies else {}))
        return case

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

    def write_exhibit(self, exhibit: Exhibit) -> Path:
        """Write a new exhibit; refuse to change an existing one."""
        path = self.folder / "exhibits" / f"{exhibit.key}.toml"
        if path.exists():
            raise Usage(f"exhibit {exhibit.key!r} is already in the case. Nothing was changed.")
        write_atomically(path, tomli_w.dumps(_without_empty(msgspec.to_builtins(exhibit))).encode())
        return path

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


def _without_empty(value: dict[str, Any]) -> dict[str, Any]:
    return {k: _without_empty(v) if isinstance(v, dict) else v for k, v in value.items() if v not in ("", None)}

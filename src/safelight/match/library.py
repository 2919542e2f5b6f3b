"""The unit's library of hash sets: a folder outside all cases, one folder per set, one below it per version.

    LIBRARY/sets/NAME/VERSION/manifest.json      what the set is, its report, digests of all files
    LIBRARY/sets/NAME/VERSION/confirmed.json     only where a person confirmed a set that was not whole
    LIBRARY/sets/NAME/VERSION/…                  arrays and entries.parquet, see `indexes.py`
    LIBRARY/sets/NAME/current                    the version that is matched with
    LIBRARY/.importing/…                         imports under way; what a killed one left is removed by the next

NAME is percent-encoded. A version appears complete or not at all (rename), and is never changed afterwards; an older version stays
as history when a newer one becomes current. One writer at a time (flock), any number of readers.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote, unquote

import msgspec
import numpy as np

from safelight.durable import sync_folder, write_atomically
from safelight.match.entries import WIDTHS, Refused
from safelight.match.indexes import ROW_ARRAYS, Index, Sealed, SetDamaged, check, map_array
from safelight.match.pdq_index import FILES as PDQ_FILES
from safelight.match.pdq_index import PdqIndex
from safelight.match.report import ImportReport

FORMAT = 1
AS = ("illegal", "irrelevant", "other", "known")


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in manifest.json. `rows`: entries; `total_rows` with canaries; `categories[0]` is none, else (scheme, code)."""

    format: int
    report: ImportReport
    rows: int
    total_rows: int
    methods: dict[str, int]
    categories: list[tuple[str, str]]
    files: dict[str, Sealed]


class SetInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a set, for lists. `state`: `ready`, `to confirm` (not matched with), `history`, or `damaged`."""

    name: str
    version: str
    owner: str
    as_: str
    scheme: str | None
    state: str
    matchable: dict[str, int]
    opaque: dict[str, int]
    records: int
    source_name: str
    source_sha256: str
    imported_at: str
    problem: str = ""


def folder_name(name: str) -> str:
    """Return a set name or version as a folder name."""
    if not name or any(ord(c) < 32 for c in name):
        raise Refused("a name of a set or version is not empty and has no control characters")
    encoded = quote(name, safe=" +()", errors="replace")
    encoded = encoded.replace(".", "%2E") if name.startswith(".") else encoded
    if len(encoded) > 240:
        raise Refused("this name of a set or version is too long: 240 characters, 80 outside ASCII")
    return encoded


def default_path(option: str | os.PathLike[str] | None = None) -> Path:
    """Return the library: the option, else $SAFELIGHT_LIBRARY, else the user's data folder (XDG)."""
    chosen = option or os.environ.get("SAFELIGHT_LIBRARY")
    if chosen:
        return Path(chosen)
    import platformdirs

    return Path(platformdirs.user_data_dir("safelight", appauthor=False)) / "library"


class OpenSet:
    """An opened version: mapped arrays and the manifest. `indexes` of digests by method, `pdq`, `positions`, `categories`, `marks`, `qualities` by row."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder, self.manifest, self.report = folder, manifest, manifest.report
        self.name, self.version, self.as_ = manifest.report.name, manifest.report.version, manifest.report.as_
        self.set_id = f"{self.name}|{self.version}"
        self.rows, self.total_rows = manifest.rows, manifest.total_rows
        self.indexes = {m: Index(folder, m, self.total_rows) for m in manifest.methods if m != "pdq"}
        self.pdq = PdqIndex(folder, self.total_rows) if "pdq" in manifest.methods else None
        arrays = {name: map_array(folder / name, dtype) for name, dtype in ROW_ARRAYS}
        if any(len(array) != self.total_rows for array in arrays.values()):
            raise SetDamaged(f"{self.set_id}: the arrays of rows do not fit together")
        self.positions, self.categories = arrays["positions"], arrays["categories"]
        self.marks, self.qualities = arrays["marks"], arrays["qualities"]

    @property
    def category_texts(self) -> list[str | None]:
        """Category by number as `scheme:code`; None for none."""
        return [f"{scheme or 'unknown'}:{code}" if code else None for scheme, code in self.manifest.categories]


class Library:
    """The sets of a unit. `path` need not exist before the first import. `keep_open`: a version is opened and checked once."""

    def __init__(self, path: str | os.PathLike[str] | None = None, keep_open: bool = False) -> None:
        self.path = default_path(path)
        self.sets = self.path / "sets"
        self._opened: dict[tuple[str, str], OpenSet] | None = {} if keep_open else None

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the one lock of writers; removes what killed imports left. Raise `Refused` where another writer is at work."""
        self.sets.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Refused(f"another import into {self.path} is at work; try again when it is done") from None
            shutil.rmtree(self.path / ".importing", ignore_errors=True)
            yield
        finally:
            os.close(handle)

    def set_folder(self, name: str) -> Path:
        return self.sets / folder_name(name)

    def versions(self, name: str) -> list[str]:
        """Return the versions of a set, oldest first."""
        folder = self.set_folder(name)
        found = [unquote(p.name) for p in folder.iterdir() if (p / "manifest.json").is_file()] if folder.is_dir() else []
        return sorted(found, key=lambda v: ([int(n) if n else 0 for n in re.findall(r"\d{1,18}", v)], v))

    def current(self, name: str) -> str | None:
        """Return the version that is matched with; None where none is."""
        pointer = self.set_folder(name) / "current"
        return unquote(pointer.read_text("utf-8").strip()) if pointer.is_file() else None

    def list(self, history: bool = False) -> list[SetInfo]:
        """Return all sets: the current version of each, and those that wait to be confirmed; with `history` all versions."""
        names = sorted(unquote(p.name) for p in self.sets.iterdir() if p.is_dir()) if self.sets.is_dir() else []
        found = []
        for name in names:
            current = self.current(name)
            for version in self.versions(name):
                info = self._info(name, version, current)
                if history or info.state != "history":
                    found.append(info)
        return found

    def _info(self, name: str, version: str, current: str | None) -> SetInfo:
        try:
            manifest = self.manifest(name, version)
        except SetDamaged as error:
            return SetInfo(
                name=name, version=version, owner="", as_="", scheme=None, state="damaged", matchable={}, opaque={}, records=0,
                source_name="", source_sha256="", imported_at="", problem=str(error),
            )  # fmt: skip
        report = manifest.report
        waiting = report.needs_confirmation and not self.is_confirmed(name, version)
        return SetInfo(
            name=name,
            version=version,
            owner=report.owner,
            as_=report.as_,
            scheme=report.scheme,
            state="to confirm" if waiting else ("ready" if version == current else "history"),
            matchable={**report.matchable["exact"], **report.matchable["perceptual"]},
            opaque=report.opaque,
            records=report.records_stored,
            source_name=report.source_name,
            source_sha256=report.source_sha256,
            imported_at=report.imported_at,
        )

    def manifest(self, name: str, version: str) -> Manifest:
        """Read the manifest of a version; raise `Refused` where there is none, `SetDamaged` where it cannot be read."""
        path = self.set_folder(name) / folder_name(version) / "manifest.json"
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise Refused(f"no hash set {name!r} version {version!r} in {self.path}") from None
        try:
            manifest = msgspec.json.decode(data, type=Manifest)
        except msgspec.DecodeError as error:
            raise SetDamaged(f"{name} {version}: manifest.json cannot be read: {error}") from error
        if manifest.format > FORMAT:
            raise Refused(f"{name} {version} was written by a newer version of Safelight")
        if manifest.report.name != name or manifest.report.version != version or any(m not in WIDTHS for m in manifest.methods):
            raise SetDamaged(f"{name} {version}: manifest.json belongs to another set")
        return manifest

    def is_confirmed(self, name: str, version: str) -> bool:
        return (self.set_folder(name) / folder_name(version) / "confirmed.json").is_file()

    def open(self, name: str, version: str | None = None, *, unconfirmed: bool = False) -> OpenSet:
        """Open a version (the current one by default) after a check of sizes and digests.

        Raise `SetDamaged` where a file is not what was written, `Refused` where the version waits to be confirmed or is not there.
        """
        version = version if version is not None else self.current(name)
        if version is None:
            waiting = self.versions(name)
            hint = f"; version {waiting[-1]} waits to be confirmed" if waiting else ""
            raise Refused(f"no hash set {name!r} to match with in {self.path}{hint}")
        if self._opened is not None and (name, version) in self._opened:
            return self._opened[name, version]
        manifest = self.manifest(name, version)
        if manifest.report.needs_confirmation and not unconfirmed and not self.is_confirmed(name, version):
            raise Refused(f"{name} {version} is not matched with until a person confirms it: {'; '.join(manifest.report.incomplete)}")
        folder = self.set_folder(name) / folder_name(version)
        self._check(folder, manifest, whole=False)
        opened = OpenSet(folder, manifest)
        if self._opened is not None:
            self._opened[name, version] = opened
        return opened

    @staticmethod
    def _check(folder: Path, manifest: Manifest, whole: bool) -> None:
        wanted = {"entries.parquet", *(name for name, _ in ROW_ARRAYS)}
        for method in manifest.methods:
            wanted |= set(PDQ_FILES) if method == "pdq" else {f"{method}.keys", f"{method}.rows", f"{method}.table"}
        if missing := sorted(wanted - manifest.files.keys()):
            raise SetDamaged(f"{folder.name}: the manifest lacks {', '.join(missing)}")
        for file_name in sorted(wanted):
            check(folder / file_name, manifest.files[file_name], whole)

    def verify(self, name: str, version: str) -> None:
        """Digest all files of a version and check the order of its keys; raise `SetDamaged` where something is wrong."""
        manifest = self.manifest(name, version)
        folder = self.set_folder(name) / folder_name(version)
        self._check(folder, manifest, whole=True)
        opened = OpenSet(folder, manifest)
        if opened.pdq:
            opened.pdq.verify()
        for method, index in opened.indexes.items():
            for start in range(0, len(index.keys), 1 << 20):
                block = np.ascontiguousarray(index.keys[start : start + (1 << 20) + 1]).view(f"S{WIDTHS[method]}").reshape(-1)
                if bool((block[1:] < block[:-1]).any()):
                    raise SetDamaged(f"{name} {version}: {method}.keys are not in order")
            for start in range(0, len(index.rows), 1 << 20):
                index.take(np.arange(start, min(start + (1 << 20), len(index.rows))))
        if opened.total_rows and int(opened.categories.max()) >= len(manifest.categories):
            raise SetDamaged(f"{name} {version}: a category beyond the list")

    def confirm(self, name: str, version: str | None = None, by: str = "") -> None:
        """Record that a person accepts a version that is not whole (or is a case); it becomes the current one."""
        versions = self.versions(name)
        if not versions:
            raise Refused(f"no hash set {name!r} in {self.path}")
        version = version if version is not None else versions[-1]
        self.manifest(name, version)
        with self.writing():
            note = {"by": by, "at": datetime.now(UTC).isoformat(timespec="seconds")}
            write_atomically(self.set_folder(name) / folder_name(version) / "confirmed.json", json.dumps(note, sort_keys=True).encode())
            self.make_current(name, version)

    def make_current(self, name: str, version: str) -> None:
        """Let the set be matched with this version; to be called under `writing`."""
        write_atomically(self.set_folder(name) / "current", folder_name(version).encode())

    def remove(self, name: str, version: str | None = None) -> None:
        """Remove one version, or the set with its history. The newest ready version that is left becomes current."""
        folder = self.set_folder(name)
        if not folder.is_dir() or (version is not None and version not in self.versions(name)):
            raise Refused(f"no hash set {name!r} {version or ''} in {self.path}")
        with self.writing():
            trash = self.path / ".importing"
            trash.mkdir()
            if version is None:
                folder.rename(trash / "removed")
            else:
                left = [v for v in self.versions(name) if v != version]
                ready = [v for v in left if self._info(name, v, v).state == "ready"]
                if self.current(name) == version:
                    if ready:
                        self.make_current(name, ready[-1])
                    else:
                        (folder / "current").unlink()
                (folder / folder_name(version)).rename(trash / "removed")
            sync_folder(self.sets)
            shutil.rmtree(trash)

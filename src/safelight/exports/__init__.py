"""Send back what was decided: one file of one format, made from the decisions that are final and the facts within the scope.

Each format is a member of `FORMATS`: a module with `NAME`, `SUFFIX` and `write(header, records, out)`. A file is written under a temporary
name, entered in the ledger as a disclosure with its SHA-256, and only then gets its name.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from safelight.access import Gate
from safelight.durable import Digesting, write_logged
from safelight.errors import Usage
from safelight.exports import case, csv, vics
from safelight.exports.records import exported, header

FORMATS = (vics, csv, case)


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """The finished file: its name, records in it, SHA-256 in hex, size in bytes."""

    path: Path
    name: str
    rows: int
    sha256: str
    size: int


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for. `target`: a file outside the case; without it one below `exports/`. `selected`: SHA-256 of contents, (n, 32)."""

    format: str
    target: Path | None = None
    onto: Path | None = None
    selected: Any = None
    force: bool = False


def write_export(gate: Gate, wish: Wish, command: str, who: dict[str, str] | None = None) -> Made:
    """Write an export. Raise `Usage` where the file exists or the format is unknown, `OSError` where it cannot be written."""
    format_ = next((f for f in FORMATS if f.NAME == wish.format), None)
    if format_ is None:
        raise Usage(f"no export format {wish.format!r} (there are: {', '.join(f.NAME for f in FORMATS)})")
    if wish.onto is not None and format_ is not vics:
        raise Usage("--onto goes with --format vics only: it gives a VICS file back with the decided categories")
    target = wish.target or _free_name(gate.case.folder / "exports", format_.SUFFIX)
    if not wish.force and wish.target is not None and (target.exists() or target.is_symlink()):
        raise Usage(f"{target} exists already and was left as it is. Give --force to replace it, or another name.")
    target.parent.mkdir(exist_ok=True)
    about = header(gate)
    records = exported(gate, wish.selected)

    def fill(out: Digesting) -> int:
        return vics.write_onto(about, records, wish.onto, out) if wish.onto else format_.write(about, records, out)

    def log(rows: int, out: Digesting) -> Made:
        labels = sorted({e.label for e in gate.case.exhibits()})
        gate.log(
            "disclose", command, shows="export", format=wish.format, file=target.name, sha256=out.sha256, size=out.size, rows=rows,
            exhibits=labels, **(who or {}),
        )  # fmt: skip
        return Made(path=target, name=target.name, rows=rows, sha256=out.sha256, size=out.size)

    return write_logged(target, fill, log)


def _free_name(folder: Path, suffix: str) -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
    return folder / f"{stamp}{suffix}"


__all__ = ["FORMATS", "Made", "Wish", "write_export"]

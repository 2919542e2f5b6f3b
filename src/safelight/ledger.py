"""The hash-linked list of all that was done in a case: one canonical JSON object a line, each with the hash of the one before.

An entry is durable before its step is reported. `ledger.head` beside it remembers how long the list is, so that a missing tail
is found too; someone who rewrites both files from the first line on can only be found with a copy of the head kept elsewhere.
Appends take a short lock, so that every command may write while a `run` goes on.
"""

from __future__ import annotations

import fcntl
import getpass
import hashlib
import json
import os
import platform
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import rfc8785

from safelight import __version__
from safelight.durable import write_atomically

GENESIS = "0" * 64


class LedgerError(Exception):
    """The ledger is not what it was. `line` is the first bad line, counted from 1 (0: the file as a whole)."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"ledger line {line}: {reason}" if line else f"ledger: {reason}")
        self.line, self.reason = line, reason


def who() -> str:
    """Return who acts: $SAFELIGHT_USER where the unit sets it, else the account and host."""
    return os.environ.get("SAFELIGHT_USER") or f"{_account()}@{socket.gethostname()}"


def _account() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without a name
        return f"uid{os.getuid()}"


def seal(entry: dict[str, Any]) -> dict[str, Any]:
    """Return the entry with its hash: SHA-256 over the canonical JSON (RFC 8785) of all other members."""
    body = {k: v for k, v in entry.items() if k != "hash"}
    return {**body, "hash": hashlib.sha256(rfc8785.dumps(body)).hexdigest()}


class Ledger:
    """The ledger of one case folder."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "ledger.jsonl"
        self.head_path = folder / "ledger.head"

    def append(self, what: str, **facts: Any) -> dict[str, Any]:
        """Append one entry durably and return it. Raise `LedgerError` where the end is not the known one."""
        with self._locked() as fd:
            last = self._last(fd)
            entry = seal(
                {
                    "seq": last["seq"] + 1 if last else 1,
                    "at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
                    "who": who(),
                    "what": what,
                    "safelight": __version__,
                    **facts,
                    "prev": last["hash"] if last else GENESIS,
                }
            )
            _append(fd, rfc8785.dumps(entry) + b"\n")
            write_atomically(self.head_path, rfc8785.dumps({"seq": entry["seq"], "hash": entry["hash"]}) + b"\n")
        return entry

    @contextmanager
    def _locked(self) -> Iterator[int]:
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield fd
        finally:
            os.close(fd)

    def _last(self, fd: int) -> dict[str, Any] | None:
        """Return the last whole entry; drop a torn one (it was never acknowledged), refuse an end that the head does not know."""
        size = os.fstat(fd).st_size
        tail, start = b"", size
        while start > 0 and tail.rstrip(b"\n").count(b"\n") < 1:
            step = min(1 << 16, start)
            start -= step
            tail = os.pread(fd, step, start) + tail
        whole = tail[: tail.rfind(b"\n") + 1]
        if len(whole) != len(tail):
            os.ftruncate(fd, size - (len(tail) - len(whole)))
        if not whole:
            if self.head_path.exists():
                raise LedgerError(0, "all entries are missing")
            return None
        try:
            last: dict[str, Any] = json.loads(whole.rstrip(b"\n").rsplit(b"\n", 1)[-1])
            seq, digest = last["seq"], last["hash"]
        except (ValueError, KeyError, TypeError) as e:
            raise LedgerError(0, "the last entry cannot be read; run `safelight verify`") from e
        head = self._head()
        if head and not (head["seq"] == seq and head["hash"] == digest) and head["seq"] != seq - 1:
            raise LedgerError(0, f"{head['seq']} entries are known, the last one here is {seq}; run `safelight verify`")
        return last

    def _head(self) -> dict[str, Any] | None:
        try:
            head: dict[str, Any] = json.loads(self.head_path.read_bytes())
        except FileNotFoundError:
            return None
        except ValueError as e:
            raise LedgerError(0, "ledger.head cannot be read") from e
        return head

    def entries(self) -> Iterator[dict[str, Any]]:
        """Yield the entries in order, without checking them."""
        if self.path.exists():
            with self.path.open("rb") as f:
                for line in f:
                    if line.endswith(b"\n"):
                        yield json.loads(line)

    def verify(self) -> int:
        """Check every byte and return the number of entries; raise `LedgerError` with the first bad line.

        A torn line behind the entry that the head knows is none: a killed process left it, and the next append drops it.
        """
        prev, count = GENESIS, 0
        raw = self.path.read_bytes() if self.path.exists() else b""
        lines = raw.split(b"\n")
        head = self._head()
        if lines.pop() != b"" and (head["seq"] if head else 0) != len(lines):
            raise LedgerError(len(lines) + 1, "the last line is torn")
        for number, line in enumerate(lines, 1):
            self._check(number, line, prev)
            prev, count = json.loads(line)["hash"], number
        if count and head is None:
            raise LedgerError(0, "ledger.head is missing")
        if head and head["seq"] > count:
            raise LedgerError(count + 1, f"missing: the ledger had {head['seq']} entries")
        if head and count - head["seq"] > 1:
            raise LedgerError(head["seq"] + 1, "added: the head does not know this entry")
        if head and head["seq"] and json.loads(lines[head["seq"] - 1])["hash"] != head["hash"]:
            raise LedgerError(head["seq"], "is not the entry that the head knows")
        return count

    @staticmethod
    def _check(number: int, line: bytes, prev: str) -> None:
        try:
            entry = json.loads(line)
            sealed = seal(entry)
            canonical = rfc8785.dumps(sealed)
        except (ValueError, TypeError, AttributeError, RecursionError) as e:
            raise LedgerError(number, "cannot be read") from e
        if canonical != line:
            raise LedgerError(number, "changed: its hash does not fit its bytes")
        if entry.get("prev") != prev or entry.get("seq") != number:
            raise LedgerError(number, "missing, swapped or added: it does not follow the line before")


def _append(fd: int, line: bytes) -> None:
    """Append a line durably, whole or not at all (a kill in the middle leaves a torn line, which was never acknowledged)."""
    before, rest = os.fstat(fd).st_size, line
    try:
        while rest:
            rest = rest[os.write(fd, rest) :]
        os.fsync(fd)
    except OSError:
        os.ftruncate(fd, before)
        raise


def versions() -> dict[str, str]:
    """Return what runs: the interpreter, the kernel and each library that touches evidence or facts."""
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version(), "platform": f"{platform.system()} {platform.release()} {platform.machine()}"}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


LIBRARIES = [
    "pyarrow",
    "duckdb",
    "numpy",
    "Pillow",
    "pi-heif",
    "imagecodecs",
    "pytsk3",
    "libewf-python",
    "libqcow-python",
    "libvmdk-python",
    "libvhdi-python",
    "libmodi-python",
    "libfsntfs-python",
    "libfsext-python",
    "libfsfat-python",
    "libfshfs-python",
    "libfsxfs-python",
    "libfsapfs-python",
    "libvshadow-python",
    "zlib-ng",
    "zstandard",
    "libarchive-c",
    "python-magic",
    "msgspec",
    "ijson",
    "onnxruntime",
]

"""The unit's negative list: matches that a person found to be wrong, with who and why. Append-only, hash-linked, outside all cases.

    LIBRARY/deconfirmed/ledger.jsonl     one entry a line: `deconfirm`, `carry` (to a new version of the set), `reconfirm`

What is marked is an entry of a set, for one content or for all. It is known by its values (digests, PDQ), so that it stays marked in the
next version of the set, where it stands at another place. Nothing is deleted: a marked match is kept, and shown as what it is.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np

from safelight.ledger import Ledger
from safelight.match.digests import plain_lookup
from safelight.match.entries import WIDTHS, Refused
from safelight.match.library import Library, OpenSet


class Marked(msgspec.Struct, kw_only=True):
    """One entry that counts as deconfirmed: `values` as METHOD:HEX; `sha256` of the one content, or empty for all; by version its places."""

    set: str
    values: tuple[str, ...]
    sha256: str
    why: str
    who: str
    at: str
    entries: dict[str, list[int]]


class NegativeList:
    """The negative list of one library."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self.folder = library.path / "deconfirmed"
        self.ledger = Ledger(self.folder)

    def active(self) -> list[Marked]:
        """Return what is marked now, in the order in which it was marked."""
        found: dict[tuple[str, tuple[str, ...], str], Marked] = {}
        for e in self.ledger.entries():
            key = e["set"], tuple(e["values"]), e["sha256"]
            if e["what"] == "deconfirm":
                found[key] = Marked(
                    set=key[0], values=key[1], sha256=key[2], why=e["why"], who=e["who"], at=e["at"], entries=dict(e["entries"])
                )
            elif e["what"] == "carry" and key in found:
                found[key].entries |= e["entries"]
            elif e["what"] == "reconfirm":
                found.pop(key, None)
        return list(found.values())

    def rows(self) -> Iterator[tuple[str, str, int, str, str, str, str]]:
        """Yield (set, version, entry, sha256 or empty, why, who, at) of all places that are marked."""
        for m in self.active():
            for version, places in m.entries.items():
                for place in places:
                    yield m.set, version, place, m.sha256, m.why, m.who, m.at

    def deconfirm(self, name: str, entry: int, why: str, sha256: str = "", version: str | None = None) -> Marked:
        """Mark an entry (its record position in a version, by default the current one), for one content or for all.

        Raise `Refused` where there is no such entry or no reason.
        """
        if not why.strip():
            raise Refused("say why: a mark without a reason is worth nothing to the next person")
        opened = self.library.open(name, version, unconfirmed=True)
        values = values_of(opened, entry)
        entries = {v: places(self.library.open(name, v, unconfirmed=True), values) for v in self.library.versions(name)}
        with self.library.writing():
            self.folder.mkdir(exist_ok=True)
            entries[opened.version] = sorted({*entries[opened.version], entry})  # also where its values are in no index
            entries = {v: found for v, found in entries.items() if found}
            made = self.ledger.append("deconfirm", set=name, values=values, sha256=sha256, why=why, entries=entries, entry=entry)
        return Marked(set=name, values=tuple(values), sha256=sha256, why=why, who=made["who"], at=made["at"], entries=entries)

    def reconfirm(self, name: str, entry: int, why: str, sha256: str = "", version: str | None = None) -> None:
        """Take a mark back. Raise `Refused` where there is none."""
        version = version if version is not None else self.library.current(name)
        marked = [m for m in self.active() if (m.set, m.sha256) == (name, sha256) and entry in m.entries.get(version or "", [])]
        if not marked:
            raise Refused(f"entry {entry} of {name} {version or ''} is not marked" + (f" for {sha256}" if sha256 else " for all contents"))
        with self.library.writing():
            for m in marked:
                self.ledger.append("reconfirm", set=name, values=list(m.values), sha256=sha256, why=why, entries={}, entry=entry)

    def carry(self, opened: OpenSet) -> int:
        """Mark in a new version of a set what is marked in those before; return the number of marks. To be called under `writing`."""
        carried = 0
        for m in self.active():
            if m.set == opened.name and opened.version not in m.entries and (found := places(opened, list(m.values))):
                entries = {opened.version: found}
                self.ledger.append("carry", set=m.set, values=list(m.values), sha256=m.sha256, entries=entries)
                carried += 1
        return carried


def values_of(opened: OpenSet, entry: int) -> list[str]:
    """Return the values of an entry as METHOD:HEX; raise `Refused` where there is no such entry."""
    import pyarrow.parquet as pq

    positions = opened.positions[: opened.rows]
    row = int(np.searchsorted(positions, entry))
    if row >= opened.rows or int(positions[row]) != entry:
        raise Refused(f"{opened.name} {opened.version} has no entry {entry} (`safelight why` and `lookup` print the entry of each match)")
    file = pq.ParquetFile(opened.folder / "entries.parquet")
    for group in range(file.num_row_groups):
        size = file.metadata.row_group(group).num_rows
        if row < size:
            stated = file.read_row_group(group, ["digests"]).column("digests")[row].as_py() or []
            return [f"{d['method']}:{d['value'].hex()}" for d in stated if d["method"] in WIDTHS]
        row -= size
    raise Refused(f"{opened.name} {opened.version}: the entries end before entry {entry}; import the set again")


def places(opened: OpenSet, values: list[str]) -> list[int]:
    """Return the entries of a version that have one of these values."""
    found: set[int] = set()
    for value in values:
        method, _, text = value.partition(":")
        key = np.frombuffer(bytes.fromhex(text), np.uint8).reshape(1, -1)
        if method == "pdq":
            rows = opened.pdq.query(key[0], distance=0)[0] if opened.pdq is not None else np.zeros(0, np.int64)
        elif method in opened.indexes:
            index = opened.indexes[method]
            first, count = plain_lookup(index.keys, key)
            rows = index.take(np.arange(int(first[0]), int(first[0] + count[0])))
        else:
            continue
        found |= {int(p) for p in opened.positions[rows] if p >= 0}
    return sorted(found)

"""What is sent back: each content that is decided for good, with its digests, its places and what was said of it.

Only final categories go out: an indicative or disputed one is nobody's word yet. Everything passes the gate, so that what lies outside
the scope of an order is in no export. Memory does not grow with the case: contents come in ascending order, with their places.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import msgspec

from safelight import __version__
from safelight.access import Gate
from safelight.decisions.policy import FLAGS, Category, Scheme


class Sink(Protocol):
    """Where an export is written to."""

    def write(self, data: bytes) -> int: ...


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What an export says of itself and the case."""

    case_id: str
    title: str
    scheme: Scheme
    version: str
    exhibits: tuple[str, ...]
    images: dict[str, list[str]]


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """One place of a content; times in ns since 1970."""

    item_id: bytes
    exhibit: str
    path: str
    path_raw: bytes
    state: str
    origin: str
    time_basis: str | None
    mtime: int | None
    atime: int | None
    ctime: int | None
    btime: int | None


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """One content."""

    sha256: bytes
    sha1: bytes
    md5: bytes
    size: int
    media_type: str | None
    kind: str | None
    category: Category
    flags: tuple[str, ...]
    tags: tuple[str, ...]
    note: str
    decided_at: str
    votes: int
    known: str | None
    places: list[Place]

    def has(self, flag: str) -> bool:
        if flag not in FLAGS:
            raise ValueError(f"no flag {flag!r}")
        return flag in self.flags


def header(gate: Gate) -> Header:
    """Return what the export says of the case."""
    case, images = gate.case, dict[str, list[str]]()
    for exhibit in case.exhibits():
        images.setdefault(exhibit.label, []).extend(p.sha256 for p in exhibit.parts if p.sha256)
    return Header(
        case_id=case.id, title=str(case.settings["title"]), scheme=gate.with_decisions().policy.scheme, version=__version__,
        exhibits=tuple(sorted(images)), images=images,
    )  # fmt: skip


_QUERY = """
    select d.sha256, c.sha1, c.md5, c.size, c.media_type, c.kind, d.category, d.flags, d.tags, d.note, d.decided_at, d.votes,
        (select min("as") from judged m where m.sha256 = d.sha256 and m.stands and "as" = 'illegal') as known,
        v.item_id, v.exhibit, v.path, v.path_raw, v.state, v.origin, v.time_basis, v.mtime, v.atime, v.ctime, v.btime
    from decided d join contents c using (sha256) join visible v using (sha256)
    where d.status = 'final' and d.category is not null {more}
    order by d.sha256, v.exhibit, v.source, v.ordinal, v.member
"""


def exported(gate: Gate, selected: Any = None) -> Iterator[Exported]:
    """Yield the contents that are final (and among the selected ones), ascending by SHA-256."""
    con, more = gate.facts.con, ""
    scheme = gate.with_decisions().policy.scheme
    if selected is not None:
        import pyarrow as pa

        con.register("selected", pa.table({"sha256": pa.array([bytes(s) for s in selected], pa.binary())}))
        more = "and d.sha256 in (select sha256 from selected)"
    cursor = con.execute(_QUERY.format(more=more))
    names = [d[0] for d in cursor.description or []]
    held: dict[str, Any] | None = None
    places: list[Place] = []
    while rows := cursor.fetchmany(2_000):
        for values in rows:
            row = dict(zip(names, values, strict=True))
            if held is not None and held["sha256"] != row["sha256"]:
                yield _content(held, places, scheme)
                places = []
            held = row
            places.append(_place(row))
    if held is not None:
        yield _content(held, places, scheme)


def _place(row: dict[str, Any]) -> Place:
    return Place(**{name: row[name] for name in Place.__struct_fields__})


def _content(row: dict[str, Any], places: list[Place], scheme: Scheme) -> Exported:
    found = scheme.category(row["category"])
    category = found or Category(code=row["category"], label="", rank=1000, kind="unknown")
    return Exported(
        sha256=bytes(row["sha256"]), sha1=bytes(row["sha1"]), md5=bytes(row["md5"]), size=row["size"], media_type=row["media_type"],
        kind=row["kind"], category=category, flags=tuple((row["flags"] or "").split()),
        tags=tuple((row["tags"] or "").split(", ")) if row["tags"] else (), note=row["note"] or "", decided_at=row["decided_at"],
        votes=row["votes"], known=row["known"], places=places,
    )  # fmt: skip

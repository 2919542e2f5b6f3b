"""From a worker's answers to the rows of a shard. Everything is checked here: answers are as hostile as the evidence."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safelight.case import Exhibit
from safelight.escape import readable
from safelight.evidence.origin import item_id
from safelight.facts.writer import TableWriter
from safelight.records import TRANSFORMS, Exif, PdqForm, Picture
from safelight.sandbox import protocol
from safelight.sandbox.parent import checked_kind

RENDITION_BYTES = 1 << 18
"""A rendition of 192 pixels is some kB; a larger one is not stored."""

MOST_BYTES = 1 << 50
"""No content is longer: a worker that claims more is not believed (and the ledger's numbers stay exact, RFC 8785)."""

Careful = dict[int, tuple[str, str]]


HOLDERS = frozenset(("archive", "image", "document", "program", "other", "message", "database", "text", "video", "audio"))
"""Kinds that may hold members; only these are remembered while the members of an item are written."""


class InvalidAnswer(Exception):
    """A worker's answers contradict one another."""


class Answers:
    """What a worker said of one listed item, kept until it is whole: in memory, beyond `IN_MEMORY` bytes in a file of the case.

    A worker that dies in the middle leaves nothing behind. Late problems are few and stay in memory.
    """

    IN_MEMORY = 16 << 20

    def __init__(self, folder: Path) -> None:
        self._folder, self._first = folder, list[protocol.Item]()
        self._rest: tempfile.SpooledTemporaryFile[bytes] | None = None  # most files have no members
        self.count, self.last = 0, 0
        self.late: dict[int, list[tuple[str, str]]] = {}
        self._holders = {0}

    def add(self, answer: protocol.Item | protocol.Late) -> None:
        """Take one answer. Raise `InvalidAnswer` where it does not follow the ones before: nothing is written then."""
        if isinstance(answer, protocol.Late):
            self.late.setdefault(answer.member, []).extend(answer.problems)
            return
        follows = answer.member > self.last and answer.parent in self._holders if self.count else answer.member == 0
        if not follows:
            raise InvalidAnswer("members that do not follow one another")
        if answer.kind in HOLDERS:
            self._holders.add(answer.member)
        self.count, self.last = self.count + 1, answer.member
        if not self._first:
            self._first.append(answer)
            return
        if self._rest is None:
            self._rest = tempfile.SpooledTemporaryFile(self.IN_MEMORY, dir=str(self._folder))  # noqa: SIM115  (closed by `close`)
        self._rest.write(protocol.pack(answer))

    def __iter__(self) -> Iterator[protocol.Item]:
        yield from self._first
        if self._rest is not None:
            self._rest.seek(0)
            yield from protocol.unpack_items(self._rest)

    def close(self) -> None:
        if self._rest is not None:
            self._rest.close()


class ShardTables:
    """The four tables and the pack of one shard, written in canonical order (ordinal, member)."""

    def __init__(self, folder: Path, pack: Path, exhibit: Exhibit, shard: int) -> None:
        self.folder, self.exhibit, self.shard = folder, exhibit, shard
        self._tables = {name: TableWriter(folder / f"{name}.parquet", name) for name in ("items", "contents", "pictures", "problems")}
        self._pack = pack.open("wb")
        self._pack_hash = hashlib.sha256()
        self._packed = 0
        self._contents: set[bytes] = set()
        self._pictures: set[bytes] = set()
        self.counts = {"items": 0, "members": 0, "bytes": 0, "problems": 0}

    def take(self, row: dict[str, Any], answers: Answers, careful: Careful) -> None:
        """Write a listed row with what was found in it."""
        late = answers.late
        origins, paths = {0: row["origin"]}, {0: row["path_raw"]}
        if not answers.count:
            self._item(_listed(row, None, late.get(0, [])))
        for item in answers:
            number = item.member
            problems = [*item.problems, *([careful[number]] if number in careful else []), *late.get(number, [])]
            if number == 0:
                key, origin = row["item_id"], row["origin"]
                self._item(_listed(row, item, problems))
            else:
                origin = f"{origins[item.parent]}/{item.step}"
                key, parent = item_id(self.exhibit.label, origin), item_id(self.exhibit.label, origins[item.parent])
                path = paths[item.parent] + b"/" + (item.name or item.step.encode())
                if item.kind in HOLDERS:
                    origins[number], paths[number] = origin, path
                self._item(_member(row, item, key, parent, origin, path, problems))
                self.counts["members"] += 1
            self._facts(row, item, number, key, origin, problems)

    def _item(self, row: tuple[Any, ...]) -> None:
        self._tables["items"].add(row)
        self.counts["items"] += 1

    def _facts(
        self, row: dict[str, Any], item: protocol.Item, number: int, key: bytes, origin: str, problems: list[tuple[str, str]]
    ) -> None:
        for index, (kind, reason) in enumerate(problems):
            where = (self.exhibit.label, self.exhibit.source, row["ordinal"], number, index, key, origin, "extract")
            self._tables["problems"].add((*where, checked_kind(kind), _text(reason), True))
            self.counts["problems"] += 1
        if not _digests_valid(item):
            return
        assert item.sha256 is not None
        self.counts["bytes"] += item.length
        if item.sha256 not in self._contents:
            self._contents.add(item.sha256)
            kind = item.kind if item.kind in CONTENT_KINDS or not item.kind else "other"
            facts = (_text(item.media_type) or None, kind or None, _text(item.typed_by) or None)
            self._tables["contents"].add((item.sha256, item.sha1, item.md5, item.length, *facts))
        if item.picture and item.picture.picture and item.sha256 not in self._pictures:
            self._pictures.add(item.sha256)
            self._tables["pictures"].add(self._picture(item.sha256, item.picture.picture))

    def _picture(self, sha256: bytes, p: Picture) -> tuple[Any, ...]:
        exif = p.exif or Exif()
        hashed = p.pdq is not None and len(p.pdq) == 32
        transforms = [t for t in p.pdq_transforms if len(t) == 32]
        places = [self._store(r) for r in (p.protected, p.drawing, p.small)]
        has_pack = any(size for _, size in places)
        orientation = exif.orientation if exif.orientation in range(1, 9) else None
        return (
            (sha256, _i32(p.width), _i32(p.height), _i32(p.frames), orientation, _text(p.mode), _text(p.decoder), p.complete)
            + (p.pdq if hashed else None, _quality(p.pdq_quality) if hashed else None, transforms if len(transforms) == 8 else None)
            + _form(p.white)
            + _form(p.trimmed)
            + (",".join(str(_i32(v)) for v in p.trimmed.box) if p.trimmed and p.trimmed.box else None,)
            + _form(p.nearest)
            + (self.shard if has_pack else None,)
            + tuple(value for at, size in places for value in ((at, size) if size else (None, None)))
            + tuple(_opt(v) for v in (exif.make, exif.model, exif.serial, exif.lens_serial, exif.software))
            + (_i64(exif.taken), exif.taken_basis if exif.taken_basis in ("offset", "local?") else None)
            + (exif.gps_lat, exif.gps_lon, exif.gps_alt, _i64(exif.gps_time))
            + ([(_text(k), _text(v)) for k, v in sorted(exif.rest.items())] if exif.rest else None,)
        )

    def _store(self, rendition: bytes) -> tuple[int, int]:
        """Append a rendition to the pack; what is no JPEG of a small size is not stored."""
        if not rendition.startswith(b"\xff\xd8") or len(rendition) > RENDITION_BYTES:
            return 0, 0
        at = self._packed
        self._pack.write(rendition)
        self._pack_hash.update(rendition)
        self._packed += len(rendition)
        return at, len(rendition)

    def pack_digest(self) -> str:
        return self._pack_hash.hexdigest()

    def close(self) -> tuple[dict[str, list[Any]], dict[str, int]]:
        """Finish all files; return their rows and digests, and the counts."""
        self._pack.close()
        written = {f"{name}.parquet": table.close() for name, table in self._tables.items()}
        self.counts["contents"], self.counts["pictures"] = len(self._contents), len(self._pictures)
        self.counts["pack_bytes"] = self._packed
        return {name: [w.rows, w.sha256, w.logical] for name, w in written.items()}, self.counts


CONTENT_KINDS = frozenset(["image", "video", "audio", "document", "archive", "database", "message", "program", "text", "other", "empty"])


def _listed(row: dict[str, Any], item: protocol.Item | None, problems: list[tuple[str, str]]) -> tuple[Any, ...]:
    """Return the row of a listed item, with its content and its first problem (the listing's come first)."""
    values = dict(row)
    if item is not None and _digests_valid(item):
        values["sha256"] = item.sha256
        if values["size"] is None:
            values["size"] = item.length
        values["note"] = _text(item.note) or values["note"]
    if values["problem"] is None and problems:
        values["problem"], values["reason"] = checked_kind(problems[0][0]), _text(problems[0][1])
    return tuple(values.values())


def _member(
    row: dict[str, Any], i: protocol.Item, key: bytes, parent: bytes, origin: str, path: bytes, problems: list[tuple[str, str]]
) -> tuple[Any, ...]:
    valid = _digests_valid(i)
    size = i.length if valid else _i64(i.size)
    return (
        (key, row["exhibit"], row["source"], row["ordinal"], i.member, parent, origin, path, readable(path), size, None)
        + ("embedded" if row["state"] == "live" else row["state"], i.type if i.type in MEMBER_TYPES else "member")
        + (_i64(i.mtime), None, None, None, i.time_basis if i.mtime is not None and i.time_basis in ("utc", "local?") else None)
        + ("libarchive" if ":" in i.step else "safelight", _text(i.note) or None, valid, i.link or None, i.sha256 if valid else None)
        + ((checked_kind(problems[0][0]), _text(problems[0][1])) if problems else (None, None))
    )


MEMBER_TYPES = frozenset(["member", "thumbnail", "directory", "symlink", "link", "device", "fifo", "socket"])


def _digests_valid(i: protocol.Item) -> bool:
    return len(i.sha256 or b"") == 32 and len(i.sha1 or b"") == 20 and len(i.md5 or b"") == 16 and 0 <= i.length < MOST_BYTES


def _i32(value: int) -> int | None:
    return value if 0 <= value < 1 << 31 else None


def _i64(value: int | None) -> int | None:
    return value if value is not None and -(1 << 63) <= value < 1 << 63 else None


def _form(form: PdqForm | None) -> tuple[bytes | None, int | None, list[bytes] | None]:
    """Return hash, quality and turns of a form; nulls where there is none or it is not what it should be."""
    if form is None or len(form.hashes) != len(TRANSFORMS) or any(len(h) != 32 for h in form.hashes):
        return None, None, None
    return form.hashes[0], _quality(form.quality), list(form.hashes)


def _quality(value: int | None) -> int | None:
    return value if value is not None and 0 <= value <= 100 else None


def _opt(text: str | None) -> str | None:
    return None if text is None else _text(text)


def _text(text: str) -> str:
    """Return text that UTF-8 can hold."""
    return text.encode("utf-8", "backslashreplace").decode()

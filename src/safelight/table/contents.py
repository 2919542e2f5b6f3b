"""The part of the table that follows from the evidence alone: contents with their pictures, places, folders, stacks, problems, orders.

Row r is the content with the r-th smallest SHA-256 of those that have a place within the scopes; items (places) stand in canonical
order. All is read group by group and written into mapped columns, so memory does not grow with the case, but for one number a folder.
Where two exhibits have the same content, what the first one says of it stands.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from safelight.access import Gate
from safelight.decisions.numbers import find, prefixes
from safelight.facts.reader import Facts
from safelight.table.features import EDITORS, SYSTEM
from safelight.table.file import PIECE, Array, Scratch
from safelight.table.ordering import distinct
from safelight.table.orders import orders
from safelight.table.texts import Dictionary, GrowingTexts, coded, folders_of, listed, parts_of

NO_TIME = np.iinfo(np.int64).min
LEVELS = ("protected", "drawing", "small")
PICTURE_TEXTS = ("exif_make", "exif_model", "exif_serial", "exif_software")
PICTURE_NUMBERS = (
    ("quality", "pdq_quality", "<i2", -1),
    ("taken", "exif_taken", "<i8", NO_TIME),
    ("lat", "exif_gps_lat", "<f8", np.nan),
    ("lon", "exif_gps_lon", "<f8", np.nan),
    ("pack", "pack", "<i4", -1),
    *((f"{level}_at", f"{level}_at", "<i8", 0) for level in LEVELS),
    *((f"{level}_size", f"{level}_size", "<i4", 0) for level in LEVELS),
)
"""Column, its name in the facts, type, and what stands where there is none."""


def make(gate: Gate, scratch: Scratch) -> tuple[dict[str, Array], dict[str, int]]:
    """Return the columns and the single numbers of this part."""
    made = _Contents(gate, scratch)
    made.names()
    made.places()
    made.rows_of_places()
    made.contents()
    made.pictures()
    made.stacks()
    made.problems()
    made.by_content()
    made.derived()
    orders(scratch, made.columns)
    return made.columns, {"rows": made.rows, "items": made.items, "folders": made.folders, "stacks": len(made.every)}


class _Contents:
    def __init__(self, gate: Gate, scratch: Scratch) -> None:
        self.gate, self.facts, self.scratch = gate, gate.facts, scratch
        self.columns: dict[str, Array] = {}
        self.rows = self.items = self.folders = 0

    def names(self) -> None:
        """All contents of the case, whether they have a place within the scopes or not."""
        names, heads = self.scratch.growing("every", "u1", 32), self.scratch.growing("every.heads", "<u8")
        for piece in self.facts.in_order("contents", ("sha256",), PIECE):
            digests = fixed(piece["sha256"], 32)
            names.add(digests)
            heads.add(prefixes(digests))
        self.every, self.heads = names.close(), heads.close()

    def find(self, digests: Array) -> Array:
        """Return where contents stand among all; -1 for those that are unknown."""
        return find(self.every, self.heads, None, digests)

    def row(self, digests: Array) -> Array:
        """Return the rows of contents; -1 for those that have none."""
        at = self.find(digests)
        found: Array = np.where(at >= 0, self.row_of[np.maximum(at, 0)], -1) if len(self.row_of) else at
        return found

    def places(self) -> None:
        """Items within the scopes: the content of each (for now its place among all), exhibit, state, time, path, folder."""
        seen = self.seen = self.scratch.array("seen", "u1", len(self.every))
        content, mtime = self.scratch.growing("content.all", "<i4"), self.scratch.growing("mtime", "<i8")
        codes = {name: self.scratch.growing(f"{name}.code", "<i4") for name in ("exhibit", "state", "folder")}
        texts = {name: Dictionary() for name in ("exhibit", "state")}
        folders, paths = Dictionary(), GrowingTexts(self.scratch, "path")
        scope = Scopes(self)
        for _, t in self.facts.in_pieces("items", ("exhibit", "source", "state", "mtime", "path", "sha256")):
            self.scratch.worked(t.num_rows)
            known = t.filter(t["sha256"].is_valid())
            at = self.find(fixed(known["sha256"], 32))
            chosen = np.flatnonzero((at >= 0) & scope.inside(known, at))
            if not len(chosen):
                continue
            known, at = known.take(pa.array(chosen)), at[chosen]
            seen[at] = 1
            content.add(at)
            mtime.add(numbers(known["mtime"], "<i8", NO_TIME))
            own = {name: texts[name].encode(known[name]) for name in texts}
            for name, code in own.items():
                codes[name].add(code)
            offsets, data = parts_of(pc.fill_null(known["path"], ""))
            paths.add(offsets, data)
            codes["folder"].add(_folders(folders, own["exhibit"], folders_of(offsets, data)))
        self.columns["mtime"] = mtime.close()
        self._content = content.close()
        self.items = len(self._content)
        self.columns |= paths.close()
        for name, text in texts.items():
            self.columns |= coded(self.scratch, name, codes[name].close(), text.names)
        self._folders(codes["folder"].close(), folders.names, texts["exhibit"].names)

    def _folders(self, code: Array, names: list[Any], exhibits: list[str]) -> None:
        self.folders = len(names)
        total = np.zeros(self.folders, np.int32)
        for part in self.scratch.pieces(len(code)):
            np.add.at(total, code[part], 1)
        self.columns |= {"folder": code, "folder_total": total, "folder_exhibit": np.array([e for e, _ in names], np.int32)}
        self.columns["folder_people"] = np.array([not SYSTEM.search(folder.rstrip("/")) for _, folder in names], np.uint8)
        self.columns |= listed("folder", [folder for _, folder in names])

    def rows_of_places(self) -> None:
        """Contents that have a place get their rows; items know them."""
        row_of = self.row_of = self.scratch.array("row_of", "<i4", len(self.every))
        names, heads = self.scratch.growing("names", "u1", 32), self.scratch.growing("heads", "<u8")
        for part in self.scratch.pieces(len(self.every)):
            here = self.seen[part].astype(bool)
            row_of[part] = np.where(here, self.rows + np.cumsum(here) - 1, -1)
            self.rows += int(here.sum())
            names.add(self.every[part][here])
            heads.add(self.heads[part][here])
        self.columns |= {"names": names.close(), "heads": heads.close()}
        content = self.scratch.growing("content", "<i4")
        for part in self.scratch.pieces(self.items):
            content.add(row_of[self._content[part]])
        self.columns["content"] = content.close()
        self.scratch.rest()

    def contents(self) -> None:
        size = self.columns["size"] = self.scratch.array("size", "<i8", self.rows, 0)
        texts = {name: (Dictionary(), self.scratch.array(f"{name}.code", "<i4", self.rows, -1)) for name in ("kind", "media_type")}
        for _, t in self.facts.in_pieces("contents", ("sha256", "size", *texts), last_first=True):
            rows, t = self._chosen(t)
            self.scratch.worked(len(rows))
            size[rows] = numbers(t["size"], "<i8", 0)
            for name, (text, code) in texts.items():
                code[rows] = text.encode(t[name])
        for name, (text, code) in texts.items():
            self.columns |= coded(self.scratch, name, code, text.names)

    def _chosen(self, t: pa.Table) -> tuple[Array, pa.Table]:
        """Return the rows of the contents that a piece of a table says something of, and those lines of it."""
        rows = self.row(fixed(t["sha256"], 32))
        if rows.min(initial=0) >= 0:
            return rows, t
        inside = np.flatnonzero(rows >= 0)
        return rows[inside], t.take(pa.array(inside))

    def pictures(self) -> None:
        plain = {name: (said, dtype, absent) for name, said, dtype, absent in PICTURE_NUMBERS}
        for name, (_, dtype, absent) in plain.items():
            self.columns[name] = self.scratch.array(name, dtype, self.rows, absent)
        width, height = (self.scratch.array(name, "<i4", self.rows, 0) for name in ("width", "height"))
        pdq = self.scratch.array("pdq", "u1", (self.rows, 32), 0)
        self.columns |= {"width": width, "height": height, "pdq": pdq}
        texts = {
            name: (Dictionary(), self.scratch.array(f"{name}.code", "<i4", self.rows, -1))
            for name in ("camera", "serial", "software", "pack_exhibit")
        }
        wanted = ("sha256", "width", "height", "orientation", "pdq", *PICTURE_TEXTS, *(said for _, said, _, _ in PICTURE_NUMBERS))
        for path, t in self.facts.in_pieces("pictures", wanted, last_first=True):
            rows, t = self._chosen(t)
            self.scratch.worked(len(rows))
            for name, (said, dtype, absent) in plain.items():
                self.columns[name][rows] = numbers(t[said], dtype, absent)
            turned = numbers(t["orientation"], "<i2", 1) >= 5
            across, down = numbers(t["width"], "<i4", 0), numbers(t["height"], "<i4", 0)
            width[rows], height[rows] = np.where(turned, down, across), np.where(turned, across, down)
            pdq[rows] = fixed(t["pdq"], 32)
            own = {"camera": _camera(t), "serial": t["exif_serial"], "software": t["exif_software"]}
            for name, column in own.items():
                texts[name][1][rows] = texts[name][0].encode(column)
            texts["pack_exhibit"][1][rows] = texts["pack_exhibit"][0].code(_exhibit_of(self.facts, path))
        for name, (text, code) in texts.items():
            self.columns |= coded(self.scratch, name, code, text.names)
        self.scratch.rest()

    def stacks(self) -> None:
        """The stack of each content, named by where its representative stands among all; a content without one is its own. `in_stack`: with others."""
        stack, distance = self.scratch.array("stack", "<i4", self.rows), self.scratch.array("stack_distance", "<i2", self.rows, 0)
        for part in self.scratch.pieces(len(self.every)):
            stack[self.row_of[part][self.seen[part] > 0]] = np.arange(part.start, part.stop)[self.seen[part] > 0]
        for _, t in self.facts.in_pieces("stacks", ("sha256", "stack", "distance")):
            rows, t = self._chosen(t)
            lead = self.find(fixed(t["stack"], 32))
            stack[rows[lead >= 0]] = lead[lead >= 0]
            distance[rows] = numbers(t["distance"], "<i2", 0)
        members, in_stack = self.scratch.array("members", "<i4", len(self.every), 0), self.scratch.array("in_stack", "u1", self.rows)
        for part in self.scratch.pieces(self.rows):
            np.add.at(members, stack[part], 1)
        for part in self.scratch.pieces(self.rows):
            in_stack[part] = members[stack[part]] > 1
        self.columns |= {"stack": stack, "stack_distance": distance, "in_stack": in_stack}

    def problems(self) -> None:
        """Kinds of problems of the places of each content, each kind once."""
        con = self.gate.facts.con
        query = "select p.kind, v.sha256 from problems p join visible v using (item_id) where v.sha256 is not null"
        names = [r[0] for r in con.execute("select distinct kind from problems where kind is not null order by 1").fetchall()]
        kinds = Dictionary(names)
        found = self.scratch.growing("problems", "<u8")
        for batch in con.sql(query).to_arrow_reader(PIECE) if names else ():
            t = pa.Table.from_batches([batch])
            rows, code = self.row(fixed(t["sha256"], 32)), kinds.encode(t["kind"])
            good = (rows >= 0) & (code >= 0)
            found.add(rows[good].astype(np.uint64) * np.uint64(len(names)) + code[good].astype(np.uint64))
        row, kind = self.scratch.growing("problem_row", "<i4"), self.scratch.growing("problem.code", "<i4")
        for piece in distinct(found.close(), self.scratch):
            row.add(piece // np.uint64(max(1, len(names))))
            kind.add(piece % np.uint64(max(1, len(names))))
        self.columns |= {"problem_row": row.close(), **coded(self.scratch, "problem", kind.close(), names)}

    def by_content(self) -> None:
        """The places of each content: items of row r are by_content[starts[r]:starts[r + 1]], in canonical order."""
        content = self.columns["content"]
        places = self.scratch.array("places", "<i4", self.rows, 0)
        starts = self.scratch.array("starts", "<i8", self.rows + 1, 0)
        by_content = self.scratch.array("by_content", "<i4", self.items)
        for part in self.scratch.pieces(self.items):
            np.add.at(places, content[part], 1)
        at = 0
        for part in self.scratch.pieces(self.rows):
            starts[part.start + 1 : part.stop + 1] = at + np.cumsum(places[part])
            at = int(starts[part.stop])
        cursor = self.scratch.array("cursor", "<i8", self.rows)
        for part in self.scratch.pieces(self.rows):
            cursor[part] = starts[part]
        for part in self.scratch.pieces(self.items):
            order = np.argsort(content[part], kind="stable")
            own, first, count = np.unique(content[part][order], return_index=True, return_counts=True)
            by_content[np.repeat(cursor[own] - first, count) + np.arange(len(order))] = part.start + order
            cursor[own] += count
        first_place = self.scratch.array("first", "<i4", self.rows)
        for part in self.scratch.pieces(self.rows):
            first_place[part] = by_content[starts[part]]
        self.columns |= {"places": places, "starts": starts, "by_content": by_content, "first": first_place}
        self.scratch.rest()

    def derived(self) -> None:
        """Time and device of each content; whether a camera and no editor made it, and people its folder."""
        c, devices = self.columns, Dictionary()
        when, device = self.scratch.array("when", "<i8", self.rows), self.scratch.array("device", "<i4", self.rows)
        camera, people = self.scratch.array("from_camera", "u1", self.rows), self.scratch.array("made_by_people", "u1", self.rows)
        software = c["software.text"].tobytes(), c["software.at"]
        edits = [bool(EDITORS.search(software[0][a:b].decode())) for a, b in zip(software[1][:-1], software[1][1:], strict=True)]
        own = np.array([*[not e for e in edits], True])
        for part in self.scratch.pieces(self.rows):
            first = c["first"][part]
            when[part] = np.where(c["taken"][part] != NO_TIME, c["taken"][part], c["mtime"][first])
            named = c["camera"][part] >= 0
            both = c["camera"][part].astype(np.int64) << 32 | (c["serial"][part].astype(np.int64) + 1)
            used, at = np.unique(both, return_inverse=True)
            device[part] = np.where(named, np.array([devices.code(d) if d >= 0 else -1 for d in used.tolist()], np.int32)[at], -1)
            camera[part] = named & own[c["software"][part]]
            people[part] = c["folder_people"][c["folder"][first]]
        c |= {"when": when, "device": device, "from_camera": camera, "made_by_people": people}


class Scopes:
    """Tells which items are within the scopes of the exhibits, by the condition of the gate."""

    def __init__(self, of: _Contents) -> None:
        self._gate = of.gate
        if not of.gate.scoped:
            return
        kinds = self._kinds = Dictionary()
        self._kind = of.scratch.array("kind.all", "<i4", len(of.every), -1)
        for _, t in of.facts.in_pieces("contents", ("sha256", "kind"), last_first=True):
            self._kind[of.find(fixed(t["sha256"], 32))] = kinds.encode(t["kind"])

    def inside(self, t: pa.Table, at: Array) -> Array:
        """Return the items that are; `at`: where their contents stand among all, -1 for unknown ones."""
        if not self._gate.scoped:
            return np.ones(len(at), bool)
        names = pa.array([*self._kinds.names, None], pa.string())
        code = np.where(at >= 0, self._kind[np.maximum(at, 0)] if len(self._kind) else -1, -1)
        kind = names.take(pa.array(np.where(code >= 0, code, len(names) - 1)))
        con = self._gate.facts.con
        con.register(
            "piece", t.select(["exhibit", "source", "path", "mtime"]).append_column("c", pa.StructArray.from_arrays([kind], ["kind"]))
        )
        found: Array = con.sql(f"select coalesce(({self._gate.where}), false) as inside from piece").fetchnumpy()["inside"]
        con.unregister("piece")
        return found.astype(bool)


def _folders(known: Dictionary, exhibit: Array, folders: pa.StringArray) -> Array:
    """Return the number of the folder of each item: a pair of exhibit and path of the folder."""
    encoded = folders.dictionary_encode()
    names = encoded.dictionary.to_pylist()
    both = exhibit.astype(np.int64) * max(1, len(names)) + encoded.indices.to_numpy(zero_copy_only=False)
    pairs, first, at = np.unique(both, return_index=True, return_inverse=True)
    code = np.zeros(len(pairs), np.int32)
    for n in np.argsort(first, kind="stable").tolist():
        code[n] = known.code((int(pairs[n]) // len(names), names[int(pairs[n]) % len(names)]))
    found: Array = code[at]
    return found


def _camera(t: pa.Table) -> Any:
    """Return make and model as one text; null where the picture names neither."""
    both = pc.binary_join_element_wise(pc.fill_null(t["exif_make"], ""), pc.fill_null(t["exif_model"], ""), " ", null_handling="emit_null")
    said = pc.utf8_trim_whitespace(both)
    return pc.if_else(pc.equal(said, ""), pa.scalar(None, pa.string()), said)


def _exhibit_of(facts: Facts, path: Path) -> str:
    """Return the exhibit whose pack holds the renditions of the pictures of a file: facts/STEP/EXHIBIT/…"""
    return path.relative_to(facts.case.facts).parts[1]


def numbers(column: Any, dtype: str, absent: Any) -> Array:
    """Return a column of numbers, with something in place of null."""
    filled = pc.fill_null(column, pa.scalar(absent, column.type)) if column.null_count else column
    found: Array = filled.to_numpy()
    return found.astype(dtype, copy=False)


def fixed(column: Any, width: int) -> Array:
    """Return digests as (n, width) bytes; zeros where there is none."""
    array = pc.fill_null(column, b"\0" * width) if column.null_count else column
    array = array.cast(pa.binary(width))
    chunks = [np.frombuffer(c.buffers()[1], np.uint8)[c.offset * width : (c.offset + len(c)) * width] for c in array.chunks if len(c)]
    return (np.concatenate(chunks) if len(chunks) != 1 else chunks[0]).reshape(-1, width) if chunks else np.zeros((0, width), np.uint8)

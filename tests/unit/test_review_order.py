"""Orders and filters against plain loops over the same facts, and the rule `first` on contents whose place is known by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from command import Command
from reviewing import reviewed_case
from safelight.case import Case
from safelight.decisions.log import Log
from safelight.decisions.numbers import Numbers
from safelight.decisions.policy import policy_of
from safelight.review import views
from safelight.review.filters import Filter, Selection
from safelight.review.order import ORDERS, Ranking, reason
from safelight.review.people import Person
from safelight.table.features import EDITORS, SYSTEM
from safelight.table.step import open_table
from safelight.table.table import KNOWN


class Opened:
    """A case with its table."""

    def __init__(self, folder: Path) -> None:
        self.case = Case(folder)
        self.log = Log(folder, policy_of(self.case))
        self.table = open_table(self.case).number_by(self.log.numbers)
        self.ranking = Ranking(self.table)
        self.person = Person(user="anna", role="reviewer", log=self.log)

    def rows(self, **wanted: Any) -> list[bytes]:
        """Return the SHA-256 that a filter selects."""
        selection = Selection(self.table, self.person, Filter(**wanted), lambda view, index: 0, lambda name: np.zeros(0, np.int64))
        return [self.table.names[r].tobytes() for r in np.flatnonzero(selection.mask())]

    def view(self, order: str = "first", stacked: bool = True, **wanted: Any) -> views.View:
        selection = Selection(self.table, self.person, Filter(**wanted), lambda view, index: 0, lambda name: np.zeros(0, np.int64))
        return views.make(self.ranking, selection, order, stacked, 0)


@pytest.fixture(scope="module")
def opened(module_safelight: Command) -> Opened:
    return Opened(reviewed_case(module_safelight, module_safelight.folder))


def facts(opened: Opened, where: str) -> list[bytes]:
    """Return what DuckDB selects of the same facts, without the review table."""
    from safelight.access import Gate

    gate = Gate(opened.case)
    query = f"""
        select distinct c.sha256 from visible v join contents c using (sha256) left join pictures p using (sha256)
        where {where} order by c.sha256
    """
    return [bytes(r["sha256"]) for r in gate.rows(query)]


FOLDER = "v.path like 'WhatsApp/%'"


@pytest.mark.parametrize(
    ("wanted", "where"),
    [
        ({}, "c.kind in ('image', 'video')"),
        ({"kind": ["any"]}, "true"),
        ({"kind": ["text"]}, "c.kind = 'text'"),
        ({"path": "WhatsApp/*"}, f"c.kind = 'image' and {FOLDER}"),
        ({"path": "/*copy*"}, "c.kind = 'image' and v.path like '%copy%'"),
        ({"path": "*g[1].jpg"}, "false"),
        ({"text": "COPY OF"}, "c.kind = 'image' and v.path like '%copy of%'"),
        ({"known": ["illegal"]}, "c.sha256 in (select sha256 from matches)"),
        ({"known": ["new"]}, "c.kind = 'image' and c.sha256 not in (select sha256 from matches)"),
        ({"set": ["known"]}, "c.sha256 in (select sha256 from matches where \"set\" = 'known')"),
        ({"method": ["pdq"]}, "false"),
        ({"camera": ["Demo Camera 1"]}, "p.exif_model = 'Camera 1'"),
        ({"camera": ["none"]}, "c.kind = 'image' and p.exif_model is null"),
        ({"min_size": 9_000, "max_size": 20_000}, "c.kind = 'image' and c.size between 9000 and 20000"),
        ({"exhibit": ["A"], "state": ["live"]}, "c.kind = 'image'"),
        ({"exhibit": ["B"]}, "false"),
        ({"since": "2001-01-01"}, "c.kind = 'image'"),
        ({"until": "2001-01-01"}, "false"),
        ({"status": ["proposed"]}, "c.sha256 in (select sha256 from matches)"),
        ({"mine": True}, "false"),
        (
            {"media_type": ["image/jpeg"], "path": "DCIM/*", "known": ["illegal"]},
            "v.path like 'DCIM/%' and c.sha256 in (select sha256 from matches)",
        ),
    ],
)
def test_filters_select_what_the_facts_say(opened: Opened, wanted: dict[str, Any], where: str) -> None:
    """Each filter selects the contents that a plain query over the facts selects."""
    assert facts(opened, where) == opened.rows(**wanted)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("stacked", [True, False])
def test_every_content_is_in_one_tile(opened: Opened, order: str, stacked: bool) -> None:
    """Tiles are a partition of what the filter selects; a tile has one stack; sections cover all tiles in order."""
    view = opened.view(order, stacked)
    assert sorted(view.members.tolist()) == np.flatnonzero(opened.table.looked_at).tolist()
    for index in range(view.count):
        assert len(set(opened.table.stack[view.tile(index)].tolist())) == 1
        assert len(view.tile(index)) == 1 or stacked
    first = 0
    for section in view.sections:
        assert first == section.first and section.count > 0
        first += section.count
    assert view.count == first
    assert all(reason(order, opened.ranking, int(r)) for r in view.heads(0, view.count))


def test_the_order_first_follows_its_steps(opened: Opened) -> None:
    """Walked by hand: class, nearness, density, generation, place, each only where the ones before are equal."""
    table = opened.table
    steps = []
    for row in opened.view(stacked=False).members.tolist():
        folder = table.folder[table.first[row]]
        inside = [c for c, f in zip(table.content.tolist(), table.folder.tolist(), strict=True) if f == folder]
        hits = sum(KNOWN[table.known[c]] == "illegal" for c in inside)
        illegal = KNOWN[table.known[row]] == "illegal"
        stacks = {table.stack[r] for r in range(table.rows) if KNOWN[table.known[r]] == "illegal"}
        folders = {table.folder[i] for i in range(table.items) if KNOWN[table.known[table.content[i]]] == "illegal"}
        cameras = {table.device[r] for r in range(table.rows) if KNOWN[table.known[r]] == "illegal"} - {-1}
        near = 3 if table.stack[row] in stacks else 2 if {table.folder[i] for i in table.items_of(row)} & folders else 0
        near = 0 if illegal else near or int(table.device[row] in cameras)
        generation = (table.camera.code[row] >= 0) + 1 + (table.places[row] == 1)
        steps.append((2 if illegal else 0, -near, -int(np.ceil(4 * hits / len(inside))), -generation, int(table.first[row])))
    assert sorted(steps) == steps
    assert {-3, -2} <= {s[1] for s in steps}


def test_a_copy_of_a_known_picture_stands_first(opened: Opened) -> None:
    """What looks like a known illegal picture and is in no set is the first thing to look at, and the tile says so."""
    view = opened.view(known=["new"])
    first = view.head(0)
    assert "copy of 2.jpg" in opened.table.rank_of_item(first)[1]
    assert "in no hash set; looks like a known illegal picture" in reason("first", opened.ranking, first)


@pytest.mark.parametrize(
    ("folder", "is_system"),
    [
        ("Windows/System32", True),
        ("Users/anna/AppData/Local/Temp", True),
        ("usr/share/icons", True),
        ("DCIM/.thumbnails", True),
        ("home/anna/.cache/thumbnails/large", True),
        ("DCIM/100ANDRO", False),
        ("home/anna/Pictures/etcetera", False),
        ("WhatsApp/Media/WhatsApp Images", False),
        ("Users/anna/Desktop/new folder", False),
    ],
)
def test_folders_of_systems_are_told_from_those_of_people(folder: str, is_system: bool) -> None:
    """Names of folders that a system or program makes."""
    assert is_system == bool(SYSTEM.search(folder))


def test_editors_are_known_by_name() -> None:
    """Software of cameras is none that edits."""
    assert EDITORS.search("Adobe Photoshop 24.1 (Windows)") and not EDITORS.search("Ver.1.02")


def test_numbers_stay_and_are_found() -> None:
    """Numbers of contents are stable, also for digests whose first eight bytes are equal."""
    rng = np.random.default_rng(3)
    names = rng.integers(0, 256, (500, 32), np.uint8)
    names[100:140, :8] = names[0, :8]
    numbers = Numbers()
    assert list(range(300)) == numbers.add(names[:300]).tolist()
    assert list(range(500)) == numbers.add(names).tolist()
    assert list(range(499, -1, -1)) == numbers.find(names[::-1]).tolist()
    assert [-1] == numbers.find(rng.integers(0, 256, (1, 32), np.uint8)).tolist()

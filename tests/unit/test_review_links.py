"""Look-alikes and ranks on the page of an item: what `why` says, seen from the content, with rectangles in the picture as it is shown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

from command import Command
from recall_corpus import drawn
from safelight.case import Case
from safelight.review import items
from safelight.review.filters import Filter, Same
from safelight.review.links import shown
from safelight.review.server import Server
from safelight.review.views import View

SIDE = (480, 360)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_rectangles_are_turned_as_pillow_turns_pictures(orientation: int) -> None:
    """A rectangle in stored pixels lies where Pillow lays the same pixels when it shows the picture."""
    picture = Image.new("L", SIDE)
    ImageDraw.Draw(picture).rectangle((48, 90, 48 + 120 - 1, 90 + 36 - 1), fill=255)
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture.info["exif"] = exif.tobytes()
    turned = ImageOps.exif_transpose(picture)
    box = turned.getbbox()
    assert box is not None
    expected = [box[0] / turned.width, box[1] / turned.height, (box[2] - box[0]) / turned.width, (box[3] - box[1]) / turned.height]
    assert shown("48,90,120,36", *SIDE, orientation) == pytest.approx(expected, abs=1e-3)


def test_rectangles_stay_within_and_need_a_size() -> None:
    """What goes beyond the picture ends at its side; without a rectangle or a size there is none."""
    assert shown("-5,-5,900,900", 100, 50, None) == [0, 0, 1, 1]
    assert [shown(None, 1, 1, 1), shown("", 1, 1, 1), shown("0,0,1,1", None, 1, 1), shown("0,0,1,1", 1, 0, 1)] == [None] * 4


@pytest.fixture(scope="module")
def made(module_safelight: Command) -> Command:
    """A case with crops, a turned and a mirrored copy of one picture, smaller copies of it, and others; looked at a second time."""
    folder = module_safelight.folder / "pictures"
    folder.mkdir()
    one = drawn(3).convert("RGB").resize((900, 700))
    one.save(folder / "whole.jpg", quality=92)
    one.resize((450, 350)).save(folder / "smaller.jpg", quality=90)
    one.resize((450, 350)).save(folder / "smaller and coarser.jpg", quality=35)
    one.crop((90, 60, 640, 500)).save(folder / "crop.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    one.crop((200, 150, 800, 600)).save(folder / "turned crop.jpg", quality=92, exif=exif)
    ImageOps.mirror(one.crop((100, 100, 700, 600))).save(folder / "mirrored.png")
    for n in range(6):
        drawn(20 + n).convert("RGB").save(folder / f"other {n}.jpg", quality=90)
    run = module_safelight
    run("new", run.case)
    run("add", run.case, folder, "--exhibit", "A")
    run("run", run.case, "-q", "--features", "--workers", 2)
    return run


@pytest.fixture
def desk(made: Command) -> Iterator[Any]:
    server = Server(Case(made.case), 80, "anna", "reviewer")
    yield server.desk
    server.close()


def view_of(desk: Any, stacked: bool, **wanted: Any) -> View:
    found: View = desk.make_view(desk.person("anna", "reviewer"), Filter(**wanted), "path", stacked)
    return found


def item_of(desk: Any, view: View, path: str) -> Any:
    rows = [view.table.path[int(view.table.first[view.head(i)])].as_py() for i in range(view.count)]
    return items.item(desk, desk.person("anna", "reviewer"), view, rows.index(path))


def test_links_are_those_of_why(made: Command, desk: Any) -> None:
    """For each picture with links of its own: the same others in the same order with the same evidence as `why`, each found in the view."""
    view, seen = view_of(desk, False), 0
    paths = {i["sha256"]: i["path"] for i in made.find()}
    for sha256, path in paths.items():
        (facts,) = json.loads(made("why", made.case, sha256, "--format", "json").stdout)["contents"]
        found = item_of(desk, view, path).alike
        if not facts["alike"]:
            assert all(link.through is not None and link.box is None for link in found), path
            continue
        seen += len(found)
        said = [(f"A: {paths[w['sha256']]}", w["relation"], w["mirrored"], w["inliers"], w["distance"], w["area"]) for w in facts["alike"]]
        assert [(a.label, a.relation, a.mirrored, a.inliers, a.distance, a.area) for a in found] == said
        for link in found:
            assert link.index is not None and view.head(link.index) >= 0
            assert link.box is None or (len(link.box) == 4 and 0 <= link.box[0] <= link.box[0] + link.box[2] <= 1.0001)
    assert seen >= 6


def test_the_common_part_lies_where_it_was_cut_out(desk: Any) -> None:
    """In the whole picture the part that the crop shows is marked to a few per cent, and in the crop itself all of it."""
    links = {link.label: link for link in item_of(desk, view_of(desk, False), "whole.jpg").alike}
    crop = links["A: crop.png"]
    left, top, width, height = crop.box
    assert left >= 90 / 900 - 0.02 and top >= 60 / 700 - 0.02 and left + width <= 640 / 900 + 0.02 and top + height <= 500 / 700 + 0.02
    assert width * height >= 0.4 * (550 / 900) * (440 / 700)
    turned = links["A: turned crop.jpg"].box_other
    assert 0.3 <= turned[2] <= 1 and 0.3 <= turned[3] <= 1


def test_members_of_a_stack_show_the_links_of_the_one_that_was_looked_at(desk: Any) -> None:
    """A smaller copy has no features of its own; it shows those of the picture of its stack, and says of which."""
    found = item_of(desk, view_of(desk, False), "smaller.jpg")
    assert {link.through for link in found.alike} == {"A: whole.jpg"}
    assert {"A: crop.png", "A: mirrored.png"} <= {link.label for link in found.alike}


def test_look_alikes_as_a_list(desk: Any) -> None:
    """`same: alike` selects the picture and what it is linked with; a place in another view names it."""
    view = view_of(desk, False)
    own = item_of(desk, view, "whole.jpg")
    index = next(i for i in range(view.count) if view.table.names[view.head(i)].tobytes().hex() == own.digests.sha256)
    listed = view_of(desk, False, same=Same(view=view.name, index=index, what="alike"))
    paths = {f"A: {listed.table.path[int(listed.table.first[listed.head(i)])].as_py()}" for i in range(listed.count)}
    assert paths == {link.label for link in own.alike} | {"A: whole.jpg"}


def test_ranks_and_why(made: Command, desk: Any) -> None:
    """Numbers are those of `why`; the largest is first; what follows says what it has less of than the one before it."""
    view = view_of(desk, False)
    found = {name: item_of(desk, view, name).stack for name in ("whole.jpg", "smaller.jpg", "smaller and coarser.jpg")}
    assert {name: (s.rank, s.of, s.size) for name, s in found.items()}["whole.jpg"] == (1, 3, 3)
    assert sorted(s.rank for s in found.values()) == [1, 2, 3]
    assert "most pixels first" in found["whole.jpg"].rank_why
    second = next(s for s in found.values() if s.rank == 2)
    third = next(s for s in found.values() if s.rank == 3)
    assert second.rank_why == "fewer pixels than number 1"
    assert "as many pixels" in third.rank_why and "number 2" in third.rank_why
    for name, stack in found.items():
        sha256 = next(i["sha256"] for i in made.find() if i["path"] == name)
        (facts,) = json.loads(made("why", made.case, sha256, "--format", "json").stdout)["contents"]
        assert (stack.rank, stack.of) == (facts["stack"]["rank"], facts["stack"]["size"])
        assert [m.rank for m in stack.members] == [m["rank"] for m in facts["stack"]["members"]] == [1, 2, 3]
        assert [m.own for m in stack.members].count(True) == 1 and stack.members[0].looks.startswith("900 × 700 pixels")
    alone = item_of(desk, view, "other 1.jpg").stack
    assert (alone.size, alone.of, alone.rank_why) == (1, 1, "")


def test_tiles_of_rows(desk: Any) -> None:
    """Each content is found in the tile that holds it, also within a stack; what is in none, and no row at all, is in none."""
    view = view_of(desk, True)
    for index in range(view.count):
        assert view.tiles_of(view.tile(index)) == [index] * len(view.tile(index))
    assert view.tiles_of([-1, *view.heads(0, 2).tolist()]) == [None, 0, 1]
    few = view_of(desk, False, path="other *")
    assert few.tiles_of(np.arange(view.table.rows)).count(None) == view.table.rows - 6

"""Tiles, sections and counts of a case of 4,000 items, against plain loops: what is counted quickly is what is there."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from safelight.case import Case
from safelight.review import api, find, views
from safelight.review.filters import Filter, Selection
from safelight.review.order import ORDERS
from safelight.review.server import Server
from safelight.table.masks import Masks

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
import make_review_case

FILTERS: tuple[dict[str, Any], ...] = (
    {},
    {"kind": ["any"], "known": ["new"]},
    {"state": ["deleted"], "text": "ALBUM"},
    {"camera": ["Nordlys N1", "none"], "category": ["none"]},
    {"set": ["known", "system"], "exhibit": ["A"], "status": ["undecided"]},
    {"path": "*7.jpg", "known": ["irrelevant", "illegal"]},
    {"tag": ["boat"], "flag": ["victim"]},
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of a case in which some is decided, flagged and tagged."""
    folder = tmp_path_factory.mktemp("counts")
    made = Server(Case(make_review_case.make(folder / "made.case", 4_000)), 1, "anna", "reviewer", library=str(folder / "library"))
    person = made.desk.person("anna", "reviewer")
    view = made.desk.make_view(person, Filter(), "time", True)
    rng = np.random.default_rng(1)
    for n, index in enumerate(rng.integers(0, view.count, 90).tolist()):
        wish = api.Wish(category=str(n % 4)) if n % 3 else api.Wish(add_flags=["victim"], add_tags=["boat", f"tag {n % 5}"])
        request = api.DecisionRequest(key=f"key-{n:08d}", view=view.name, target=api.Target(index=index, whole_stack=bool(n % 2)), set=wish)
        made.decider.decide(person, request)
    yield made
    made.close()


def selected(server: Server, **wanted: Any) -> Selection:
    return server.desk.select(server.desk.person("anna", "reviewer"), Filter(**wanted))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("wanted", FILTERS[:6])
def test_tiles_are_stacks_at_the_place_of_their_first_member(server: Server, order: str, wanted: dict[str, Any]) -> None:
    """Walked one by one: a content joins the tile of its stack where there is one, else it makes the next."""
    selection, ranking = selected(server, **wanted), server.desk.ranking()
    view = views.make(ranking, selection, order, True, 0)
    tiles: dict[int, list[int]] = {}
    mask = selection.mask()
    for row in ranking.sorted(order).tolist():
        if mask[row]:
            tiles.setdefault(int(ranking.table.stack[row]), []).append(row)
    assert list(tiles.values()) == [view.tile(n).tolist() for n in range(view.count)]
    assert view.count < len(view.members)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("most", [2, 400])
def test_sections_are_runs_of_equal_labels(server: Server, order: str, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found by bisection or one by one, sections begin where the label of a tile is another than that of the one before."""
    ranking, count = server.desk.ranking(), 600
    heads = views.make(ranking, selected(server), order, True, 0).heads(0, count)
    label, _ = views._labels(order, ranking, heads)
    plain = [(text, len(list(run))) for text, run in itertools.groupby(label(n) for n in range(count))]
    monkeypatch.setattr(views, "MOST_SECTIONS", most)
    found = list(views._sections(order, ranking, heads))
    assert count == sum(s.count for s in found)
    if len(plain) <= most:
        assert plain == [(s.label, s.count) for s in found]
    else:
        assert most == len(found)


@pytest.mark.parametrize("stacked", [True, False])
@pytest.mark.parametrize("wanted", FILTERS)
def test_a_facet_says_what_choosing_its_value_would_give(server: Server, wanted: dict[str, Any], stacked: bool) -> None:
    """For each facet and value: so many tiles has the view of that value; and no value that has tiles is missing."""
    person, ranking = server.desk.person("anna", "reviewer"), server.desk.ranking()
    request = api.FacetsRequest(filter=Filter(**wanted), facets=list(find.FACETS), stacked=stacked)
    counted = find.facets(server.desk, person, request)
    for name in find.FACETS:
        values = {v.value: v.count for v in counted[name]}
        without = {k: v for k, v in wanted.items() if k != name}
        for value, count in values.items():
            chosen = selected(server, **without, **{name: [value]})
            assert count == views.make(ranking, chosen, "path", stacked, 0).count, (name, value)
        if name not in ("flag", "tag", "problem", "set", "method", "camera", "serial"):
            everything = selected(server, **({"kind": ["any"]} if name == "kind" else {}), **without)
            rows = np.flatnonzero(everything.mask())
            chosen = selected(server, **without, **{name: list(values)}) if values else None
            assert sorted(rows.tolist()) == sorted(np.flatnonzero(chosen.mask()).tolist() if chosen else []), name


def test_masks_are_kept_within_bounds() -> None:
    """A mask is made once as long as it is kept; the oldest go first, the last one stays whatever its size."""
    kept, made = Masks(most=250), list[str]()

    def ask(name: str, size: int = 100) -> Any:
        return kept.get(name, lambda: made.append(name) or np.zeros(size, bool))

    for name in ("a", "b", "a", "c", "a", "b"):
        assert not ask(name).flags.writeable
    assert ["a", "b", "c", "b"] == made
    assert 1000 == len(ask("large", 1000)) and ask("large") is ask("large")
    assert ["a", "b", "c", "b", "large"] == made

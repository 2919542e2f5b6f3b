"""The death of a parser is taken inside the shard: the item is tried again, then without the member that kills; all else is whole."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from command import Command
from safelight.case import Case, Exhibit
from safelight.extract import listing, shard
from safelight.report.history import about
from safelight.sandbox import protocol
from safelight.sandbox.parent import WorkerDied


class Fragile:
    """A worker that answers by the book, and dies when it looks into what a script says. `deaths`: (path, member) → how often."""

    deaths: dict[tuple[bytes, int], int] = {}  # noqa: RUF012  (set by each test)
    started = 0
    cpu_ms = 0

    def __init__(self, *_: Any, **__: Any) -> None:
        Fragile.started += 1

    def close(self) -> None: ...

    def ask(self, request: protocol.Extract, _: Sequence[int] = ()) -> Iterator[Any]:
        for task in request.tasks:
            for member in range(3):
                left = Fragile.deaths.get((task.path, member), 0)
                if left and member not in task.careful:
                    Fragile.deaths[task.path, member] = left - 1
                    raise WorkerDied("limit.time", "the CPU seconds of the item are used up")
                digest = bytes([member]) * 32
                digests = {"sha256": digest, "sha1": digest[:20], "md5": digest[:16]}
                yield protocol.Item(task.ordinal, member, member - 1, "zip:1" if member else "", kind="archive", **digests)
            yield protocol.Done(task.ordinal)


@pytest.fixture
def listed(safelight: Command, monkeypatch: pytest.MonkeyPatch) -> Command:
    """A case of five files that is listed (digested by real workers), with the fragile worker put in place for extraction."""
    folder = safelight.folder / "files"
    folder.mkdir()
    for number in range(5):
        (folder / f"{number}.bin").write_text(str(number))
    safelight("new", safelight.case)
    safelight("add", safelight.case, folder, "--exhibit", "A")
    safelight("run", safelight.case, "--only", "digests", "-q")
    monkeypatch.setattr(shard, "Sandbox", Fragile)
    monkeypatch.setattr(shard, "_worker", shard.Worker())
    Fragile.started = 0
    return safelight


def extracted(run: Command, deaths: dict[tuple[bytes, int], int]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Extract the shard with a script of deaths; return the rows of items and problems."""
    Fragile.deaths = dict(deaths)
    done = shard.extract_shard(shard.ShardJob(str(run.case), "A", 0))
    folder = run.case / "facts" / "extract-1" / "A" / "shards" / "000000"
    assert json.dumps(done.counts)
    return pq.read_table(folder / "items.parquet").to_pylist(), pq.read_table(folder / "problems.parquet").to_pylist()


def test_one_death_is_only_another_try(listed: Command) -> None:
    """A worker that dies once on an item: nothing is lost, nothing is a problem."""
    items, problems = extracted(listed, {(b"2.bin", 1): 1})

    assert 15 == len(items)
    assert [] == problems
    assert 2 == Fragile.started


@pytest.mark.parametrize("member", [0, 1, 2])
def test_two_deaths_make_a_problem_of_that_member_alone(listed: Command, member: int) -> None:
    """A member that kills twice is digested and not looked into; it has the problem, its neighbours are complete."""
    items, problems = extracted(listed, {(b"2.bin", member): 2})

    assert 15 == len(items)
    assert [(2, member, "limit.time")] == [(p["ordinal"], p["member"], p["kind"]) for p in problems]
    assert all(i["sha256"] for i in items)


def test_what_kills_even_the_digest_is_a_problem_without_content(listed: Command) -> None:
    """An item that kills every worker is listed with its problem; all others are whole."""

    class Deadly(Fragile):
        def ask(self, request: protocol.Extract, fds: Sequence[int] = ()) -> Iterator[Any]:
            for answer in super().ask(request, fds):
                if isinstance(answer, protocol.Item) and answer.ordinal == 2:
                    raise WorkerDied("crashed", "signal 11")
                yield answer

    shard.Sandbox = Deadly  # type: ignore[misc,assignment]
    items, problems = extracted(listed, {})

    assert 13 == len(items)
    assert [("crashed", "signal 11")] == [(p["kind"], p["reason"]) for p in problems]
    assert [2] == [i["ordinal"] for i in items if i["sha256"] is None]


def test_answers_to_something_else_are_refused(listed: Command, tmp_path: Path) -> None:
    """A worker that answers for another item is not believed."""

    class Lying(Fragile):
        def ask(self, request: protocol.Extract, fds: Sequence[int] = ()) -> Iterator[Any]:
            for answer in super().ask(request, fds):
                if isinstance(answer, protocol.Item) and answer.ordinal == 3:
                    answer.ordinal = 0
                yield answer

    shard.Sandbox = Lying  # type: ignore[misc,assignment]
    items, problems = extracted(listed, {})

    assert [3] == [i["ordinal"] for i in items if i["problem"] == "protocol"]
    assert {"protocol"} == {p["kind"] for p in problems}


@pytest.mark.parametrize("lie", [{"member": 7, "parent": 5}, {"member": 0}, {"length": 1 << 62}])
def test_answers_that_contradict_one_another_do_not_stop_the_run(listed: Command, lie: dict[str, int]) -> None:
    """A worker that names a holder that is none, a member twice, or an impossible length: the shard is written all the same."""

    class Twisted(Fragile):
        def ask(self, request: protocol.Extract, fds: Sequence[int] = ()) -> Iterator[Any]:
            for answer in super().ask(request, fds):
                if isinstance(answer, protocol.Item) and answer.ordinal == 3 and answer.member == 1:
                    for name, value in lie.items():
                        setattr(answer, name, value)
                yield answer

    shard.Sandbox = Twisted  # type: ignore[misc,assignment]
    items, _ = extracted(listed, {})

    assert {0, 1, 2, 3, 4} == {i["ordinal"] for i in items}
    assert 12 == sum(1 for i in items if i["ordinal"] != 3 and i["sha256"])


def test_a_listing_that_began_again_says_so(safelight: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its worker was killed from outside once: the listing is whole, and ledger and report name the second try."""
    image = safelight.folder / "disk.img"
    subprocess.run(["mformat", "-C", "-f", "160", "-i", image, "::"], check=True)
    safelight("new", safelight.case)
    safelight("add", safelight.case, image, "--exhibit", "A")
    real, tries = listing._image, list[bool]()

    def image_of(exhibit: Exhibit, walls: bool, last: bool) -> Iterator[Any]:
        tries.append(last)
        if not last:
            raise listing._Killed
        yield from real(exhibit, walls, last)

    monkeypatch.setattr(listing, "_image", image_of)
    case = Case(safelight.case)
    whole = listing.list_exhibit(case, case.exhibit("A"), True, lambda _: None)
    assert tries == [False, True]
    assert whole["begun"] == 2
    assert "begun again" in about({"what": "list", "exhibit": "A", **whole})

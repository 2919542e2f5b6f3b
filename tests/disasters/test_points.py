"""Every point at which a run can be stopped: each change of a file is tried as the last one, and each write as the one without space.

A tiny case goes the whole way of the data: a folder and an image, an archive, pictures, hash sets, stacks, features, links. A point is a
command in a fork (`forks.py`), the run that goes on after it, and a comparison of all bytes with those of the undisturbed run.
SAFELIGHT_KILL_POINTS=0 tries every point of each test (half an hour); otherwise as many as are said there, spread.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from hashlib import md5, sha256
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from forks import NUMBERED, PARSER, RUN, WORKERS, Ended, Forks
from PIL import Image, ImageDraw

from command import Command
from small import made

POINTS = os.environ.get("SAFELIGHT_KILL_POINTS", "")
NOTE_3 = md5(b"note 3\n").hexdigest()
"""Of `b03.txt`: a test that read it would change its time of access, and with it the listing."""
FIRST_SHARD = 15
"""Items of a shard: the folder has three."""

pytestmark = pytest.mark.slow


def make_folder(folder: Path) -> Path:
    """Make 36 small files: pictures that look alike, texts, an archive with a picture inside."""
    folder.mkdir()
    for number in range(3):
        picture = Image.new("RGB", (160, 120), (30 + number, 90, 160))
        draw = ImageDraw.Draw(picture)
        for k in range(9):
            draw.ellipse([k * 17, (k * 37) % 90, k * 17 + 14, (k * 37) % 90 + 25], fill=(240, 25 * k, 60 + number))
        picture.save(folder / f"a{number}.jpg", quality=85)
    for number in range(32):
        (folder / f"b{number:02}.txt").write_text(f"note {number}\n")
    with zipfile.ZipFile(folder / "c.zip", "w") as parcel:
        parcel.writestr(zipfile.ZipInfo("inner/letter.txt"), "a letter\n")
        parcel.writestr(zipfile.ZipInfo("inner/stamp.jpg"), (folder / "a1.jpg").read_bytes())
    return folder


def make_image(image: Path, folder: Path) -> Path:
    """Make a small FAT image with some of the files of a folder."""
    subprocess.run(["mformat", "-C", "-f", "160", "-i", image, "::"], check=True)
    subprocess.run(["mcopy", "-m", "-i", image, folder / "a2.jpg", folder / "b01.txt", folder / "c.zip", "::"], check=True)
    return image


def make_case(forks: Forks, work: Path) -> Path:
    """Make a case with all that a run can do, and a library with a set; it was not run."""
    folder, case = make_folder(work / "phone"), work / "added.case"
    (work / "known.md5").write_text(f"{md5((folder / 'a0.jpg').read_bytes()).hexdigest()}  x\n")
    for words in (
        ("hashset", "add", work / "known.md5", "--name", "known", "--as", "illegal"),
        ("new", case),
        ("add", case, folder, "--exhibit", "A"),
        ("add", case, make_image(work / "stick.img", folder), "--exhibit", "B"),
    ):
        done = forks(*words)
        assert done.code == 0, done
    return case


def state_of(case: Path) -> str:
    """Return what a run can find in a case: all bytes but the insides of temporary files and what stands for time in the ledger."""
    lines = []
    for path in sorted(p for p in case.rglob("*") if p.name not in ("run.lock", "ledger.head")):
        name = NUMBERED.sub(r"\1", str(path.relative_to(case)))
        inside = path.is_file() and ".tmp-" not in name
        data = path.read_bytes() if inside else b""
        if name == "ledger.jsonl":
            entries = [json.loads(line) for line in data.splitlines()]
            data = json.dumps(
                [{k: v for k, v in e.items() if k not in ("at", "prev", "hash", "command", "worker_cpu_ms", "counts")} for e in entries]
            ).encode()
        lines.append(f"{name} {sha256(data).hexdigest()}")
    return "\n".join([*lines, str(json.loads((case / "ledger.head").read_bytes())["seq"])])


class Stage:
    """The tiny case as it was added, the process that forks, and the bytes of an undisturbed run."""

    def __init__(self, forks: Forks, work: Path) -> None:
        self.forks, self.work = forks, work
        self._went_on = set[str]()
        self.added = make_case(forks, work)
        done, case = self.run("undisturbed")
        assert done.code == 0, done.err
        self.expected = made(case)
        assert {name.split("/")[0] for name in self.expected} == {"facts", "renditions", "matches", "stacks", "alike", "table"}

    def run(self, name: str, workers: int = 1, fault: str = "", at: int = 1 << 60, where: str = RUN) -> tuple[Ended, Path]:
        """Run a copy of the case, with a fault."""
        case = self.work / f"{name}.case"
        shutil.rmtree(case, ignore_errors=True)
        shutil.copytree(self.added, case)
        return self.forks("run", case, "--features", "--workers", workers, "-q", fault=fault, at=at, where=where), case

    def goes_on(self, case: Path, point: str) -> None:
        """Run again: the same bytes, nothing twice, `verify` finds nothing. A state that was there before, but for its times, is one."""
        state = state_of(case)
        if state in self._went_on:
            shutil.rmtree(case)
            return
        self._went_on.add(state)
        again = self.forks("run", case, "--features", "--workers", 1, "-q")
        assert again.code == 0, (point, again)
        self.is_whole(case, point)

    def is_whole(self, case: Path, point: str) -> None:
        """Compare with the undisturbed run."""
        assert made(case) == self.expected, point
        verified = self.forks("verify", case)
        assert verified.code == 0, (point, verified)
        shutil.rmtree(case)


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that makes the N-th call fail."""
    target = tmp_path_factory.mktemp("faults") / "faults.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", target, Path(__file__).with_name("faults.c"), "-ldl"], check=True)
    return target


@pytest.fixture(scope="module")
def stage(faults: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The stage for all tests of this module."""
    work = tmp_path_factory.mktemp("points")
    with Forks(work / "library", faults, FIRST_SHARD) as forks:
        yield Stage(forks, work)


class Point(NamedTuple):
    """A call that counts: its number from 1, and what it is."""

    number: int
    call: str


def chosen(calls: list[str], wanted: int) -> list[Point]:
    """Return the points to try: all, or so many, spread over the first of each kind of call on each file, and always the last of them."""
    points = [Point(n, call) for n, call in enumerate(calls, 1)]
    if POINTS == "0":
        return points
    firsts = {p.call: p for p in reversed(points)}
    return spread(sorted(firsts.values()), int(POINTS or wanted))


def spread(points: list[Any], wanted: int) -> list[Any]:
    """Return so many of some points, evenly spread, the first and the last among them."""
    most = len(points) - 1
    return [points[n] for n in sorted({most * k // max(wanted - 1, 1) for k in range(min(wanted, len(points)))})]


def test_a_fork_makes_the_bytes_of_the_command(stage: Stage, faults: Path, tmp_path: Path) -> None:
    """With shards as large as they are, the command in a fork makes the files that the command of a user makes, sandbox and all."""
    case, run = tmp_path / "fork.case", Command(tmp_path)
    run.env["SAFELIGHT_LIBRARY"] = str(stage.work / "library")
    shutil.copytree(stage.added, case)
    shutil.copytree(stage.added, run.case)
    with Forks(stage.work / "library", faults) as forks:
        done = forks("run", case, "--features", "--workers", 2, "-q")
    run("run", run.case, "--features", "--workers", 2, "-q")

    assert done.code == 0, done.err
    assert made(case) == made(run.case)


def states_of(stage: Stage, of: Path, *words: Any) -> list[tuple[Path, str]]:
    """Run a command and return what a kill before each of its changes would leave of a folder, with words for each."""
    folder = of.with_suffix(".states")
    folder.mkdir()
    done = stage.forks(*words, fault="stop-any", at=1, states=folder, of=of)
    stops: list[int] = json.loads((folder / "stops.json").read_text())
    assert done.code == 0, done.err
    return [(folder / str(n), f"killed before call {stop} of {len(done.calls)}: {done.calls[stop - 1]}") for n, stop in enumerate(stops)]


def some(points: list[Any], wanted: int) -> list[Any]:
    """Return all points, or so many of them as were asked for."""
    return points if POINTS == "0" else spread(points, int(POINTS or wanted))


@pytest.fixture(scope="module")
def stopped(stage: Stage) -> list[tuple[Path, str]]:
    """What a kill before each change of a file would leave of the case, with words for each."""
    case = stage.work / "stops.case"
    shutil.copytree(stage.added, case)
    return states_of(stage, case, "run", case, "--features", "--workers", 1, "-q")


def test_killed_before_any_change(stage: Stage, stopped: list[tuple[Path, str]]) -> None:
    """SIGKILL before any write, making, renaming, removing or syncing: what lies there then is no case that `verify` suspects, and the run
    goes on from it to the same bytes. Points that leave the same files are one."""
    assert len(stopped) > 100
    for state, point in some(stopped, 24):
        verified = stage.forks("verify", state)
        assert verified.code == 0, (point, verified)
        again = stage.work / "again.case"
        shutil.copytree(state, again)
        stage.goes_on(again, point)


def test_killed_while_sets_come_and_go(stage: Stage) -> None:
    """The same for a run over a case that was run before, where one set is new, one has gone and an exhibit was added."""
    library, late = stage.work / "library", stage.work / "late"
    folder = late / "evidence"
    folder.mkdir(parents=True)
    (folder / "late.txt").write_text("added later")
    _, case = stage.run("later")
    shutil.copytree(library, late / "library")
    (late / "other.md5").write_text(f"{NOTE_3}  x\n")
    for words in (
        ("hashset", "add", late / "other.md5", "--name", "other", "--as", "other"),
        ("hashset", "remove", "known"),
        ("add", case, folder, "--exhibit", "C"),
    ):
        assert stage.forks(*words).code == 0, words
    try:
        states = states_of(stage, case, "run", case, "--features", "--workers", 1, "-q")
        expected = made(case)
        for state, point in some(states, 10):
            verified = stage.forks("verify", state)
            assert verified.code == 0, (point, verified)
            assert stage.forks("run", state, "--features", "--workers", 1, "-q").code == 0, point
            assert made(state) == expected, point
            assert stage.forks("verify", state).code == 0, point
    finally:
        shutil.rmtree(library)
        shutil.copytree(late / "library", library)
    assert any(name.startswith("matches/other") for name in expected)
    assert not any(name.startswith("matches/known") for name in expected)


def test_what_was_not_announced_is_found_in_a_killed_case(stage: Stage, stopped: list[tuple[Path, str]]) -> None:
    """Between the name of a folder and its entry, `verify` takes the announced bytes and no others."""
    named = next(state for state, _ in stopped if any((state / "matches").glob("[!.]*/matches.parquet")))
    assert stage.forks("verify", named).code == 0
    (table,) = (named / "matches").glob("[!.]*/matches.parquet")
    table.with_name("more.parquet").write_bytes(table.read_bytes())
    assert "added: matches/known-1/more.parquet" in stage.forks("verify", named).out
    table.with_name("more.parquet").unlink()
    table.write_bytes(table.read_bytes() + b"x")
    assert "matches/known-1/matches.parquet" in stage.forks("verify", named).out


def test_killed_while_a_case_is_made(stage: Stage) -> None:
    """`new` that was killed at any point is begun anew or was done."""
    case = stage.work / "new.case"
    case.mkdir()
    for state, point in states_of(stage, case, "new", case):
        again = stage.forks("new", state)
        assert again.code == 0 or "not empty" in again.err, (point, again)
        assert stage.forks("verify", state).code == 0, point
        assert json.loads((state / "ledger.jsonl").read_text().splitlines()[0])["what"] == "new", point


def test_killed_while_evidence_is_added(stage: Stage) -> None:
    """`add` that was killed at any point was not done, or is completed by what comes next: no source without its entry, none lost."""
    case = stage.work / "add.case"
    assert stage.forks("new", case).code == 0
    for state, point in states_of(stage, case, "add", case, stage.work / "phone", "--exhibit", "A"):
        before = stage.forks("verify", state)
        assert before.code == 0 or "missing: exhibits/A.toml" in before.out, (point, before)
        again = stage.forks("add", state, stage.work / "phone", "--exhibit", "A")
        assert again.code == 0 or "already a source" in again.err, (point, again)
        after = stage.forks("verify", state)
        assert after.code == 0, (point, after)
        assert [p.name for p in (state / "exhibits").glob("[!.]*")] == ["A.toml"], point
        assert sum('"what":"collect"' in line for line in (state / "ledger.jsonl").read_text().splitlines()) == 1, point


def test_really_killed(stage: Stage) -> None:
    """The same by a signal: what the states above stand for."""
    done, _ = stage.run("count", fault="kill-any")
    for point in chosen(done.calls, 3)[:200]:
        killed, case = stage.run("killed", fault="kill-any", at=point.number)
        assert killed.code == -9, point
        stage.goes_on(case, str(point))


def test_no_space_at_any_write(stage: Stage) -> None:
    """ENOSPC at the N-th write and all after it: exit code 5 with words; once there is space the run goes on to the same bytes."""
    done, _ = stage.run("count", fault="enospc")

    assert len(done.calls) > 1_000
    for point in chosen(done.calls, 14):
        full, case = stage.run("full", fault="enospc", at=point.number)
        assert full.code == 5, (point, full)
        assert "space" in full.err.lower(), (point, full.err)
        stage.goes_on(case, str(point))


def test_no_space_for_one_call(stage: Stage) -> None:
    """ENOSPC at one call that can need space, and space again at once: no failure is passed over, the result is whole or not there."""
    done, _ = stage.run("count", fault="enospc-once")

    assert len(done.calls) > 1_000
    for point in chosen(done.calls, 14):
        full, case = stage.run("full", fault="enospc-once", at=point.number)
        assert full.code in (0, 5), (point, full)
        if full.code == 0:
            stage.is_whole(case, str(point))
        else:
            assert "space" in full.err.lower(), (point, full.err)
            stage.goes_on(case, str(point))


def test_a_write_that_does_half_is_completed(stage: Stage) -> None:
    """A short write, as the system allows it at any time: the rest follows."""
    done, _ = stage.run("count", fault="short")
    for point in chosen(done.calls, 6):
        short, case = stage.run("short", fault="short", at=point.number)
        assert short.code == 0, (point, short)
        stage.is_whole(case, str(point))


def test_workers_killed_before_any_change(stage: Stage) -> None:
    """One of two workers is killed before its N-th change of a file: another takes its place, and the bytes are the same."""
    done, _ = stage.run("count", workers=2, fault="kill-any", where=WORKERS)

    assert len(done.calls) > 500
    for point in chosen(done.calls, 6):
        survived, case = stage.run("survived", workers=2, fault="kill-any", at=point.number, where=WORKERS)
        assert survived.code == 0, (point, survived)
        stage.is_whole(case, str(point))


def test_parser_killed_before_any_answer(stage: Stage) -> None:
    """The worker that parses is killed before its N-th answer: the item is tried again, and the bytes are the same."""
    done, _ = stage.run("count", fault="kill", where=PARSER)

    assert len(done.calls) > 40
    for point in chosen([f"{call} {n}" for n, call in enumerate(done.calls)], 6):
        survived, case = stage.run("survived", fault="kill", at=point.number, where=PARSER)
        assert survived.code == 0, (point, survived)
        stage.is_whole(case, str(point))

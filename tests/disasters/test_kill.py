"""Killed anywhere, a run goes on: the result is byte-equal to that of an undisturbed run, and the ledger verifies.

Here the command runs as a user starts it, so the points are few; `test_points.py` tries all of them in forks.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from command import Command
from small import made, make_folder

POINTS = int(os.environ.get("SAFELIGHT_KILL_POINTS", "3"))
"""Points to try of all renames and fsyncs of a run, evenly spread; 0 for every one."""


@pytest.fixture(scope="module")
def undisturbed(module_safelight: Command) -> Command:
    """A case that was added but not run, its folder of evidence, and beside it the same case after an undisturbed run."""
    folder = make_folder(module_safelight.folder / "phone")
    run = module_safelight
    run("new", run.case)
    run("add", run.case, folder, "--exhibit", "A")
    shutil.copytree(run.case, run.folder / "added.case")
    run("run", run.case, "--workers", 1, "-q")
    return run


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that makes the N-th durable call fail."""
    target = tmp_path_factory.mktemp("faults") / "faults.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", target, Path(__file__).with_name("faults.c"), "-ldl"], check=True)
    return target


def counted(undisturbed: Command, faults: Path, tmp_path: Path, fault: str) -> int:
    """Return how many calls a whole run makes that can fail."""
    case, log = tmp_path / "count.case", tmp_path / "count"
    shutil.copytree(undisturbed.folder / "added.case", case)
    undisturbed("run", case, "--workers", 1, "-q", LD_PRELOAD=str(faults), FAULT=fault, FAULT_AT="1000000000", FAULT_LOG=str(log))
    return int(log.read_text())


def spread(total: int) -> list[int]:
    """Return the calls to fail: all, or so many of them as were asked for, evenly spread."""
    wanted = POINTS or total
    return sorted({1 + (total - 1) * n // max(wanted - 1, 1) for n in range(min(wanted, total))})


def test_killed_before_any_rename_or_fsync(undisturbed: Command, faults: Path, tmp_path: Path) -> None:
    """SIGKILL before the N-th rename or fsync, then run again: the same bytes, nothing twice, `verify` finds nothing."""
    expected, total = made(undisturbed.case), counted(undisturbed, faults, tmp_path, "kill")

    assert total > 30
    for point in spread(total):
        case = tmp_path / f"{point}.case"
        shutil.copytree(undisturbed.folder / "added.case", case)
        killed = undisturbed.start("run", case, "--workers", 1, "-q", LD_PRELOAD=str(faults), FAULT="kill", FAULT_AT=str(point))
        killed.communicate(timeout=300)
        assert killed.returncode == -signal.SIGKILL, point
        undisturbed("run", case, "--workers", 1, "-q")
        assert made(case) == expected, f"killed before call {point} of {total}"
        undisturbed("verify", case, expect=(0,))
        shutil.rmtree(case)


def test_no_space_at_any_write(undisturbed: Command, faults: Path, tmp_path: Path) -> None:
    """ENOSPC at the N-th write: exit code 5 with words, and after space is there the run ends with the same bytes."""
    expected, total = made(undisturbed.case), counted(undisturbed, faults, tmp_path, "enospc")

    assert total > 30
    for point in spread(total):
        case = tmp_path / f"{point}.case"
        shutil.copytree(undisturbed.folder / "added.case", case)
        full = undisturbed("run", case, "--workers", 1, "-q", expect=(5,), LD_PRELOAD=str(faults), FAULT="enospc", FAULT_AT=str(point))
        assert b"space" in full.stderr.lower(), (point, full.stderr)
        undisturbed("run", case, "--workers", 1, "-q")
        assert made(case) == expected, f"no space at write {point} of {total}"
        undisturbed("verify", case, expect=(0,))
        shutil.rmtree(case)


def test_killed_after_each_shard(undisturbed: Command, tmp_path: Path) -> None:
    """SIGKILL of the whole run with its workers after the n-th shard stands in the ledger, for every n."""
    expected = made(undisturbed.case)
    shards = sum(1 for e in (undisturbed.case / "ledger.jsonl").read_text().splitlines() if '"what":"shard"' in e)

    assert shards >= 3
    for n in range(shards + 1):
        case = tmp_path / f"{n}.case"
        shutil.copytree(undisturbed.folder / "added.case", case)
        run = undisturbed.start("run", case, "--workers", 2, "-q")
        while run.poll() is None and (case / "ledger.jsonl").read_text().count('"what":"shard"') < n:
            time.sleep(0.005)
        run.kill()
        run.communicate()
        undisturbed("run", case, "--workers", 2, "-q")
        assert made(case) == expected, f"killed after shard {n}"
        undisturbed("verify", case, expect=(0,))


def test_workers_die_with_the_run(undisturbed: Command, tmp_path: Path) -> None:
    """After SIGKILL of a run none of its processes is left."""
    case = tmp_path / "orphans.case"
    shutil.copytree(undisturbed.folder / "added.case", case)
    run = undisturbed.start("run", case, "--workers", 2, "-q")
    family: list[psutil.Process] = []
    while run.poll() is None and len(family) < 5:
        family = psutil.Process(run.pid).children(recursive=True)
        time.sleep(0.01)
    run.kill()
    run.communicate()
    _, alive = psutil.wait_procs(family, timeout=10)

    assert len(family) >= 5
    assert alive == []


def test_killed_parsers_cost_one_more_try(undisturbed: Command, tmp_path: Path) -> None:
    """Sandbox workers that are killed from outside are replaced; their items are tried again, and the bytes are the same."""
    case = tmp_path / "parsers.case"
    shutil.copytree(undisturbed.folder / "added.case", case)
    run = undisturbed.start("run", case, "--workers", 2, "-q")
    killed = set[int]()
    while run.poll() is None and len(killed) < 3:
        try:
            for child in psutil.Process(run.pid).children(recursive=True):
                ready = child.pid not in killed and child.name() == "bwrap" and time.time() - child.create_time() > 1.0 + len(killed)
                if ready and len(killed) < 3:
                    child.kill()
                    killed.add(child.pid)
        except psutil.NoSuchProcess:
            continue
        time.sleep(0.05)
    _, err = run.communicate(timeout=300)

    assert run.returncode in (0, 1), err.decode()
    assert made(case) == made(undisturbed.case)


def test_interrupted_run_says_so_and_goes_on(undisturbed: Command, tmp_path: Path) -> None:
    """Ctrl-C: exit code 130 with words, no process left, and the next run ends with the same bytes."""
    case = tmp_path / "interrupted.case"
    shutil.copytree(undisturbed.folder / "added.case", case)
    run = undisturbed.start("run", case, "--workers", 2, "-q")
    while '"what":"shard"' not in (case / "ledger.jsonl").read_text():
        time.sleep(0.005)
    family = psutil.Process(run.pid).children(recursive=True)
    run.send_signal(signal.SIGINT)
    _, err = run.communicate(timeout=60)
    _, alive = psutil.wait_procs(family, timeout=10)

    assert run.returncode == 130
    assert b"interrupted" in err
    assert alive == []
    undisturbed("run", case, "--workers", 2, "-q")
    assert made(case) == made(undisturbed.case)


def test_all_commands_work_while_a_run_goes_on(undisturbed: Command, tmp_path: Path) -> None:
    """find, status, why, add and verify answer during a run; a second run is refused; what was added is worked off too."""
    case = tmp_path / "busy.case"
    undisturbed("new", case)
    undisturbed("add", case, make_folder(tmp_path / "phone", 12_000), "--exhibit", "A")
    run = undisturbed.start("run", case, "--workers", 1, "-q")
    while '"what":"shard"' not in (case / "ledger.jsonl").read_text():
        time.sleep(0.005)
    refused = undisturbed("run", case, "-q", expect=(3,))
    items = undisturbed("find", case, "--format", "jsonl", "--limit", 5).stdout.splitlines()
    undisturbed("status", case)
    late = tmp_path / "late"
    late.mkdir()
    (late / "late.txt").write_text("added while the run went on")
    busy = run.poll() is None
    undisturbed("add", case, late, "--exhibit", "B")
    run.communicate(timeout=300)

    assert busy
    assert b"another run" in refused.stderr
    assert len(items) == 5
    assert b"late.txt" in undisturbed("find", case, "--exhibit", "B").stdout
    undisturbed("verify", case, expect=(0,))

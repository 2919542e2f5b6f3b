"""Making the table of the review is killed anywhere: the next run makes the files of an undisturbed one, and the ledger verifies."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest

from command import Command
from disasters.forked import Forking
from reviewing import reviewed_case
from small import made


@pytest.mark.slow
def test_making_the_table_is_killed_anywhere(module_safelight: Command, forking: Forking, tmp_path: Path) -> None:
    """A finished case loses its table; then a run is killed before its first rename or sync, the next before its second, and so on."""
    finished = reviewed_case(module_safelight, module_safelight.folder)
    expected, case = made(finished), tmp_path / "killed.case"
    shutil.copytree(finished, case)
    killed = 0
    for point in range(1, 100):
        shutil.rmtree(case / "table")
        running = forking.start("run", case, "--workers", "1", "-q", fault="kill", at=point)
        code = running.wait()
        if code == 0:
            break
        assert code == -signal.SIGKILL, running.err.data
        killed += 1
        verify = forking.start("verify", case)
        assert verify.wait() == 0, (point, verify.out.data, verify.err.data)
        again = forking.start("run", case, "--workers", "1", "-q")
        assert again.wait() == 0, again.err.data
        assert expected == made(case), f"killed before call {point}"
    assert 15 < killed < 99
    assert 2 == len(list((case / "table").iterdir()))

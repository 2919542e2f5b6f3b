"""The size that once ended a run: the facts of 200,000 pictures go through compaction, matching and stacking in bounded memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from command import Command

MEBIBYTES = 560
"""Data that the process may use (RLIMIT_DATA), the libraries' own and the buffers of the making included; 500 are enough, 420 are not."""


@pytest.mark.slow
def test_200_000_pictures_in_bounded_memory(safelight: Command) -> None:
    """Every row is there, each picture stands alone (their hashes are noise), and the one known content is found."""
    first = np.random.default_rng(1).bytes(10_000 * 32)[:32]
    listed = safelight.folder / "known.csv"
    listed.write_text(f"sha256\n{first.hex()}\n")
    safelight("hashset", "add", listed, "--as", "illegal", "--name", "known")
    safelight("new", safelight.case)
    script = Path(__file__).with_name("many_pictures.py")
    line = [sys.executable, script, safelight.case, "200000", str(MEBIBYTES)]
    done = subprocess.run(line, env=safelight.env, capture_output=True, text=True, timeout=600)

    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == ["200000", "200000", "200000", "1"]

"""Each parser of untrusted bytes keeps its promise on mutated input: it refuses or records, it does not crash, hang or raise."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "fuzz"))
from targets import TARGETS

ROUNDS = os.environ.get("SAFELIGHT_FUZZ_ROUNDS", "150")
SEED = os.environ.get("SAFELIGHT_FUZZ_SEED", "1")


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_mutated_input_is_refused_or_read(target: str, tmp_path: Path) -> None:
    """So many mutations of the seeds, in a process of its own."""
    script = Path(__file__).parents[1] / "fuzz" / "run.py"
    done = subprocess.run(
        [sys.executable, script, target, "--rounds", ROUNDS, "--seed", SEED], cwd=tmp_path, capture_output=True, timeout=600
    )

    assert done.returncode == 0, done.stderr.decode(errors="replace")[-2000:]
    assert b"none crashed" in done.stdout

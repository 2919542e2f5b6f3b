"""Fixtures of the disasters."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from command import Command
from disasters.forked import Forking


@pytest.fixture(scope="module")
def forking(module_safelight: Command, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forking]:
    """Servers that fail at the N-th durable call, ready to be forked."""
    folder = tmp_path_factory.mktemp("faults")
    target = folder / "faults.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", target, Path(__file__).with_name("faults.c"), "-ldl"], check=True)
    found = Forking(module_safelight, target, folder)
    yield found
    found.close()

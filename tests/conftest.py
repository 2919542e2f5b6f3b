"""Fixtures that every test may use: the shared test data, images unpacked once per session, and the command itself."""

from __future__ import annotations

import lzma
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from command import Command

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared test data; the test is skipped where it is missing."""
    if not SHARED.is_dir():
        pytest.skip(f"no shared test data at {SHARED}")
    return SHARED


@pytest.fixture(scope="session")
def evidence(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Unpack an image of shared/data/evidence once and return its path (all segments of a split image lie beside it)."""
    folder = tmp_path_factory.mktemp("evidence")

    def unpack(name: str) -> Path:
        target = folder / name
        if not target.exists():
            with lzma.open(shared / "evidence" / f"{name}.xz") as packed, target.open("wb") as out:
                shutil.copyfileobj(packed, out)
        return target

    return unpack


@pytest.fixture
def safelight(tmp_path: Path) -> Command:
    """The command, with a case `test.case` to make and a library of its own."""
    return Command(tmp_path)


@pytest.fixture(scope="module")
def module_safelight(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """The same, once for all tests of a module."""
    return Command(tmp_path_factory.mktemp("case"))

"""Fixtures that every test may use: the shared test data, and images unpacked once per session."""

from __future__ import annotations

import lzma
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

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

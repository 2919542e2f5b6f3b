"""The nearest-512 form against the library that the C++ reference tool shrinks pictures with (CImg, Debian package cimg-dev)."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from safelight.native import pdq_twin

PROGRAM = """
#define cimg_display 0
#include <CImg.h>
#include <cstdio>
int main(int argc, char **argv) { // a plane on stdin, its 512 x 512 nearest pixels on stdout
    int width = atoi(argv[1]), height = atoi(argv[2]);
    cimg_library::CImg<unsigned char> plane(width, height, 1, 1);
    if (fread(plane.data(), 1, plane.size(), stdin) != plane.size()) return 1;
    plane.resize(512, 512);
    return fwrite(plane.data(), 1, plane.size(), stdout) != plane.size();
}
"""


@pytest.fixture(scope="module")
def shrink(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not Path("/usr/include/CImg.h").is_file() or shutil.which("g++") is None:
        pytest.skip("needs g++ and the Debian package cimg-dev")
    folder = tmp_path_factory.mktemp("cimg")
    (folder / "shrink.cpp").write_text(PROGRAM)
    subprocess.run(["g++", "-O1", "-o", folder / "shrink", folder / "shrink.cpp", "-lpthread"], check=True, timeout=300)
    return folder / "shrink"


@pytest.mark.parametrize("size", [(513, 300), (4032, 3024), (1000, 600), (777, 1333), (300, 2000), (511, 513)])
def test_nearest_pixels_are_those_of_the_reference_tool(shrink: Path, size: tuple[int, int]) -> None:
    """CImg's resize(512, 512) picks exactly the pixels that the nearest-512 form picks, whatever the size."""
    width, height = size
    plane = np.random.default_rng(width).integers(0, 256, (height, width), dtype=np.uint8)
    done = subprocess.run([shrink, str(width), str(height)], input=plane.tobytes(), capture_output=True, check=True, timeout=60)
    picked = np.frombuffer(done.stdout, np.uint8).reshape(512, 512)
    assert np.array_equal(picked, pdq_twin.nearest(plane))

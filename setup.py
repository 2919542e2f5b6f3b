"""Build the C kernels. Each kernel is one file in src/safelight/native; flags that depend on the machine stand here.

`-ffp-contract=off` and no `-ffast-math`: the kernels must be bit-equal to their NumPy twins.
"""

from __future__ import annotations

from pathlib import Path

from setuptools import Extension, setup

NATIVE = Path("src/safelight/native")
LIBRARIES = {"_jpeg": ["jpeg"]}
FLAGS = ["-O3", "-std=c11", "-ffp-contract=off", "-fno-math-errno", "-Wall", "-Wextra", "-Wno-unused-parameter"]


def extension(source: Path) -> Extension:
    return Extension(
        f"safelight.native.{source.stem}",
        [str(source)],
        depends=[str(h) for h in NATIVE.glob("*.h")],
        libraries=LIBRARIES.get(source.stem, []),
        extra_compile_args=FLAGS,
        define_macros=[("Py_LIMITED_API", "0x030B0000")],
        py_limited_api=True,
    )


setup(ext_modules=[extension(s) for s in sorted(NATIVE.glob("_*.c"))], options={"bdist_wheel": {"py_limited_api": "cp311"}})

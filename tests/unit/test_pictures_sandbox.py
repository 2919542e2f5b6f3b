"""After `warm_up` the picture extractor needs no file, no thread and no process: a kernel filter proves it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = r"""
import ctypes, struct, sys
from pathlib import Path
from safelight.extract import filetype, pictures

files = [(p.name, p.read_bytes()) for folder in sys.argv[1:] for p in sorted(Path(folder).iterdir()) if p.is_file()]
pictures.warm_up()
# x86-64 numbers: clone fork vfork clone3 open openat openat2 creat socket connect execve
forbidden = [56, 57, 58, 435, 2, 257, 437, 85, 41, 42, 59]
steps = [(0x20, 0, 0, 0)]
for number in forbidden:
    steps += [(0x15, 0, 1, number), (6, 0, 0, 0x00050001)]
steps.append((6, 0, 0, 0x7FFF0000))
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *s) for s in steps))
class Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_void_p)]
libc = ctypes.CDLL(None)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(Filter(len(steps), ctypes.addressof(code))), 0, 0) == 0
try:
    open("/dev/null")
    raise SystemExit("the filter does not hold")
except PermissionError:
    pass
decoded = 0
for name, data in files:
    kind = filetype.detect(data[:65536], len(data), data[-65536:])
    if kind.kind != "image":
        continue
    result = pictures.extract_picture(data, kind.media_type)
    decoded += result.picture is not None and result.picture.pdq is not None
    for problem, reason in result.problems:
        if "not permitted" in reason or "Permission" in reason or "thread" in reason.lower():
            raise SystemExit(f"{name}: {problem}: {reason}")
print(decoded)
"""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the filter knows the system calls of x86-64 only")
def test_nothing_is_opened_or_started_after_warm_up(shared: Path) -> None:
    """With open, fork, clone and socket forbidden by seccomp, all photos and hostile files end as usual."""
    folders = [str(shared / "photos"), str(shared / "hostile"), str(shared / "hostile" / "corpus")]
    done = subprocess.run([sys.executable, "-c", PROGRAM, *folders], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) >= 100

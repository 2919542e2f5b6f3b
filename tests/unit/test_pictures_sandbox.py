"""After `warm_up` the picture extractor needs no file, no socket and no process: the filter of a real worker proves it.

Threads are allowed there: libde265, which decodes HEIC, starts one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = r"""
import sys
from pathlib import Path
from safelight.extract import filetype, pictures

files = [(p.name, p.read_bytes()) for folder in sys.argv[1:] for p in sorted(Path(folder).iterdir()) if p.is_file()]
pictures.warm_up()
from safelight.sandbox import seccomp
seccomp.install(seccomp.stage_two())
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


def test_nothing_is_opened_or_started_after_warm_up(shared: Path) -> None:
    """With open, fork and socket forbidden by the second filter of the sandbox, all photos and hostile files end as usual."""
    folders = [str(shared / "photos"), str(shared / "hostile"), str(shared / "hostile" / "corpus")]
    done = subprocess.run([sys.executable, "-c", PROGRAM, *folders], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) >= 100

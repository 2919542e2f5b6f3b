"""Print the CPU time of three digests over an E01 against hashlib over the same bytes in memory, per compression.

Usage: python bench/ewf.py [MEBIBYTES]. Needs ewfacquirestream. The goal is a throughput of at least 0.4 of hashlib's.
"""

from __future__ import annotations

import hashlib
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from safelight.evidence.bytesource import FdSource
from safelight.evidence.containers import open_image
from safelight.evidence.containers.segments import collect_segments
from safelight.evidence.source import ByteSource, Segment

PIECE = 1 << 20


def disk(path: Path, mebibytes: int) -> None:
    """Half noise (which is stored), a quarter text, a quarter zeros."""
    noise = random.Random(1)
    text = b"".join(b"%08d a line of some text\n" % i for i in range(40000))
    with path.open("wb") as out:
        for i in range(mebibytes):
            out.write((noise.randbytes(PIECE), text[:PIECE].ljust(PIECE), noise.randbytes(PIECE), bytes(PIECE))[i % 4])


def cpu(work: Callable[[], object]) -> float:
    """The less CPU of two runs."""
    times = []
    for _ in range(2):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def digest(source: ByteSource, algorithms: tuple[str, ...]) -> list[str]:
    sums = [hashlib.new(a) for a in algorithms]
    for offset in range(0, source.size, PIECE):
        data = source.read_at(offset, PIECE)
        for one in sums:
            one.update(data)
    return [one.hexdigest() for one in sums]


def main(mebibytes: int) -> None:
    from zlib_ng import zlib_ng

    versions = f"Python {platform.python_version()}, zlib-ng {zlib_ng.ZLIBNG_VERSION}"
    print(f"{platform.processor() or platform.machine()}, {versions}, {mebibytes} MiB")
    print("| image | read, MB/s | 3 digests, MB/s | of hashlib alone |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        disk(folder / "disk.raw", mebibytes)
        size = mebibytes * PIECE / 1e6
        with (folder / "disk.raw").open("rb") as file:
            raw = FdSource(file.fileno())
            want = digest(raw, ("md5", "sha1", "sha256"))
            base = 0.0
            for what in ("raw", "none", "fast", "best"):
                source: ByteSource = raw
                if what != "raw":
                    command = ["ewfacquirestream", "-q", "-t", str(folder / what), "-c", what, "-f", "encase6", "-S", "1.4G"]
                    command += ["-e", "E", "-D", "d", "-N", "n", "-C", "1", "-E", "1"]
                    with (folder / "disk.raw").open("rb") as stream:
                        subprocess.run(
                            [*command, "-e", "E", "-D", "d", "-N", "n", "-C", "1", "-E", "1"], stdin=stream, check=True, capture_output=True
                        )
                    paths = collect_segments(folder / f"{what}.E01")
                    source = open_image([Segment(p.name.encode(), FdSource(os.open(p, os.O_RDONLY))) for p in paths])[1]
                assert digest(source, ("md5", "sha1", "sha256")) == want
                read = cpu(lambda s=source: digest(s, ()))  # type: ignore[misc]
                three = cpu(lambda s=source: digest(s, ("md5", "sha1", "sha256")))  # type: ignore[misc]
                base = base or three
                print(f"| {what} | {size / read:.0f} | {size / three:.0f} | {base / three:.2f} |")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 256)

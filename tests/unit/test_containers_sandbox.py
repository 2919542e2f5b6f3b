"""After `warm_up` nothing of this part imports a module, opens a file or starts a process: the sandbox kills a worker that does."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kits.container_kit import disk_bytes
from safelight.evidence.containers.segments import collect_segments

CHILD = r"""
import json, os, sys
from safelight.evidence import containers, volumes
from safelight.evidence.bytesource import FdSource, MemorySource, Slice
from safelight.evidence.source import Partition, Segment, Unreadable
from safelight.evidence.volumes import encryption, shadow
from safelight.extract import archives
from safelight.problems import Problem

groups, packed = json.loads(sys.argv[1]), json.loads(sys.argv[2])
opened = [[Segment(os.path.basename(p).encode(), FdSource(os.open(p, os.O_RDONLY))) for p in group] for group in groups]
data = [(t, open(p, "rb").read()) for t, p in packed]
containers.warm_up(); volumes.warm_up(); archives.warm_up()
bad = []

def hook(event, arguments):
    if event in ("open", "import", "os.exec", "os.fork", "subprocess.Popen", "socket.__new__", "ctypes.dlopen", "os.listdir"):
        # An import of a module that is loaded is no event; cached lookups of the codec registry are none either.
        bad.append((event, str(arguments)[:120]))

sys.addaudithook(hook)
names = []
for segments in opened:
    name, image = containers.open_image(segments)
    names.append(name)
    for offset in range(0, min(image.size, 8 << 20), 1 << 20):
        image.read_at(offset, 1 << 20)
    for p in volumes.scan(image):
        if isinstance(p, Partition):
            try:
                encryption.identify(Slice(image, p.offset, p.size))
                for store in shadow.stores(Slice(image, p.offset, p.size)):
                    store.source.read_at(0, 4096)
            except Unreadable:
                pass
for media_type, body in data:
    for member in archives.members(MemorySource(body), media_type, archives.Budget()):
        if not isinstance(member, Problem):
            try:
                for block in member.blocks():
                    pass
            except Unreadable:
                pass
print(json.dumps([names, bad]))
"""

FORMS = (
    (".qcow2", "qcow2", "-c"),
    (".qcow2", "qcow2", "-c", "-o", "compression_type=zstd"),
    (".vmdk", "vmdk", "-o", "subformat=streamOptimized"),
    (".vmdk", "vmdk", "-o", "subformat=monolithicFlat"),
    (".vhd", "vpc", "-o", "force_size=on"),
    (".vhd", "vpc", "-o", "force_size=on,subformat=fixed"),
    (".vhdx", "vhdx"),
    (".vdi", "vdi"),
)


@pytest.mark.skipif(shutil.which("qemu-img") is None, reason="qemu-img is not installed")
def test_nothing_is_opened_after_warm_up(tmp_path: Path, shared: Path, evidence: Callable[[str], Path]) -> None:
    """All formats open and read with no event of opening, importing or starting."""
    raw = tmp_path / "disk.raw"
    raw.write_bytes(disk_bytes())
    groups = [[str(raw)]]
    for suffix, form, *options in FORMS:
        target = tmp_path / f"x{len(groups)}{suffix}"
        subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", form, *options, str(raw), str(target)], check=True, capture_output=True)
        groups.append([str(p) for p in collect_segments(target)])
    groups += [[str(evidence(n))] for n in ("vsstest.qcow2", "hfsplus_zlib.dmg", "image.E01", "tsk_volume_system.raw")]
    folder = shared / "hostile"
    packed = [("application/zip", str(p)) for p in sorted(folder.glob("zip_*.zip")) if "GB" not in p.name]
    packed += [("application/gzip", str(p)) for p in sorted(folder.glob("*.gz"))]
    packed += [("application/x-7z-compressed", str(p)) for p in folder.glob("*.7z")] + [
        ("application/x-tar", str(folder / "tar_claims_8GB.tar"))
    ]
    packed += [("application/vnd.rar", str(p)) for p in (folder / "corpus").glob("*.rar")]
    done = subprocess.run(
        [sys.executable, "-c", CHILD, json.dumps(groups), json.dumps(packed)], capture_output=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    names, bad = json.loads(done.stdout)
    assert {"ewf", "qcow2", "vmdk", "vhd", "vdi", "dmg", "raw"} == set(names)
    assert bad == []

"""Every hostile archive of the shared data ends as its manifest says, in a child limited to 500 MiB more and 20 CPU seconds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

WALK = r"""
import json, resource, sys
from safelight.evidence.bytesource import MemorySource
from safelight.evidence.source import Unreadable
from safelight.extract import archives
from safelight.problems import Problem

archives.warm_up()
grown = int(open("/proc/self/statm").read().split()[0]) * 4096 + (500 << 20)
resource.setrlimit(resource.RLIMIT_AS, (grown, grown))
resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
HEADS = ((b"PK", "application/zip"), (b"\x1f\x8b", "application/gzip"))
HEADS += ((b"7z\xbc\xaf", "application/x-7z-compressed"), (b"Rar!", "application/vnd.rar"))
KEEP = 1 << 20
rows, kinds = [], []

def type_of(data):
    found = [t for h, t in HEADS if data.startswith(h)]
    return found[0] if found else "application/x-tar" if data[257:262] == b"ustar" else None

def walk(data, media_type, budget, way):
    try:
        with budget.inside():
            for member in archives.members(MemorySource(data), media_type, budget):
                if isinstance(member, Problem):
                    kinds.append(member.kind)
                    continue
                body, size, failed = bytearray(), 0, None
                try:
                    for block in member.blocks():
                        size += len(block)
                        if size <= KEEP:
                            body += block
                except Unreadable as error:
                    failed = error.kind
                    kinds.append(failed)
                kinds.extend(kind for kind, _ in member.problems)
                rows.append((way + [member.step], member.name.hex(), member.type, size, bytes(body[:300]).hex(), failed))
                inner = type_of(body) if failed is None and size <= KEEP else None
                if inner:
                    walk(bytes(body), inner, budget, way + [member.step])
    except Unreadable as error:
        kinds.append(error.kind)

data = open(sys.argv[1], "rb").read()
walk(data, type_of(data) or "application/zip", archives.Budget.of(len(data)), [])
peak = resource.getrusage(resource.RUSAGE_SELF)
# not ru_maxrss: a child inherits that of the process that started it
hwm = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps({"rows": rows, "kinds": sorted(set(kinds)), "rss": hwm, "cpu": peak.ru_utime + peak.ru_stime}))
"""

LIMITS = {"limit.bytes", "limit.ratio", "limit.depth"}
EXPECTED: dict[str, tuple[set[str], int]] = {
    # name: (kinds of which one must come, or none must when empty; members at least)
    "aes256.zip": ({"encrypted"}, 1),
    "gif_100000_frames.gif.gz": (set(), 1),
    "gz_bomb.gz": (set(), 1),
    "gz_of_gz_of_gz.gz": (set(), 3),
    "headers_encrypted.7z": ({"encrypted"}, 0),
    "jpeg_exif_65k_x200.jpg.gz": (set(), 1),
    "jpeg_progressive_many_scans.jpg.gz": (set(), 1),
    "names_visible.7z": ({"encrypted"}, 1),
    "polyglot_gif_zip.gif": (set(), 2),
    "tar_claims_8GB.tar": ({"truncated"}, 1),
    "tar_links_and_devices.tar.gz": ({"unsafe-name"}, 7),
    "tar_odd_names.tar.gz": (set(), 18),
    "tar_symlink_escape.tar.gz": ({"link"}, 6),
    "truncated.7z": ({"truncated"}, 0),
    "zip64_claims_exabyte.zip": ({"corrupt", "limit.bytes"}, 1),
    "zip_42_like.zip": (LIMITS, 16),
    "zip_bad_crc.zip": ({"corrupt"}, 2),
    "zip_encrypted_flag.zip": ({"encrypted"}, 2),
    "zip_local_central_differ.zip": ({"unsafe-name"}, 2),
    "zip_names.zip": (set(), 15),
    "zip_nested_60.zip": ({"limit.depth"}, 8),
    "zip_overlap_125GB_claim.zip": ({"limit.bytes", "limit.ratio"}, 2000),
    "zip_quoted_overlap_4GB.zip": ({"limit.bytes", "limit.ratio"}, 250),
    "zip_ratio_1000.zip": (set(), 1),
    "zip_slip.zip": ({"unsafe-name"}, 7),
    "zip_truncated.zip": ({"truncated"}, 2),
    "zipcrypto.zip": ({"encrypted"}, 1),
    "corpus/droste.zip": ({"limit.depth"}, 8),
    "corpus/quine.gz": ({"limit.depth"}, 8),
    "corpus/rar3-comment-hpsw.rar": ({"encrypted"}, 0),
    "corpus/rar5-dups.rar": (set(), 9),
    "corpus/rar5-evil-symlink-traversal.rar": ({"link", "unsafe-name"}, 2),
    "corpus/rar5-hpsw.rar": ({"encrypted"}, 0),
    "corpus/rar5-symlink-win.rar": ({"link", "unsafe-name"}, 9),
}


def walked(path: Path) -> dict:
    """What a child found in an archive and all archives in it."""
    done = subprocess.run([sys.executable, "-c", WALK, str(path)], capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    answer: dict = json.loads(done.stdout)
    return answer


@pytest.mark.parametrize("name", EXPECTED)
def test_hostile_archive_ends_as_its_manifest_says(name: str, shared: Path) -> None:
    """The kinds of problems and the number of members are those of the manifest, within memory and time."""
    kinds, least = EXPECTED[name]
    answer = walked(shared / "hostile" / name)
    assert len(answer["rows"]) >= least
    assert set(answer["kinds"]) & kinds if kinds else answer["kinds"] == []
    assert answer["rss"] < 500 << 10
    assert answer["cpu"] < 10


def test_every_archive_of_the_hostile_data_is_expected_here(shared: Path) -> None:
    """No archive of the shared data is left out of the table above."""
    suffixes = (".zip", ".tar", ".gz", ".7z", ".rar")
    there = {p.relative_to(shared / "hostile").as_posix() for p in (shared / "hostile").rglob("*") if p.name.endswith(suffixes)}
    assert there <= set(EXPECTED)


def test_names_come_out_byte_exact(shared: Path) -> None:
    """The 17 odd names of the TAR and the 15 of the ZIP, also those that are not UTF-8, are the bytes that stand in the archive."""
    import gzip
    import io
    import tarfile
    import zipfile

    folder = shared / "hostile"
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress((folder / "tar_odd_names.tar.gz").read_bytes()))) as tar:
        want = [m.name.encode("utf-8", "surrogateescape") for m in tar]
    got = [bytes.fromhex(r[1]) for r in walked(folder / "tar_odd_names.tar.gz")["rows"] if len(r[0]) == 2]
    assert want == [n.rstrip(b"/") if n not in want else n for n in got]
    assert len(got) == 17
    with zipfile.ZipFile(folder / "zip_names.zip") as archive:
        want = [i.orig_filename.encode("utf-8" if i.flag_bits & 0x800 else "cp437") for i in archive.infolist()]
    assert want == [bytes.fromhex(r[1]) for r in walked(folder / "zip_names.zip")["rows"]]


def test_contents_of_unsafe_names_are_kept(shared: Path) -> None:
    """All seven members of zip_slip have their content, ok.txt among them; nothing is written anywhere."""
    rows = walked(shared / "hostile" / "zip_slip.zip")["rows"]
    assert [r[3] for r in rows] == [1, 1, 1, 1, 1, 1, 4]
    assert not list(Path("/var/tmp").glob("safelight-escape-canary"))


def test_a_wrong_checksum_gives_no_garbage(shared: Path) -> None:
    """The 200 bytes of ok.txt come once and end in corrupt; libarchive-c gave 4,276 bytes without an error here."""
    rows = walked(shared / "hostile" / "zip_bad_crc.zip")["rows"]
    assert [(r[3], r[5]) for r in rows] == [(200, "corrupt"), (6, None)]


def test_limits_count_over_the_whole_tree(shared: Path) -> None:
    """What comes out of a bomb is bounded over all its members: 256 MiB and one block, not 4 GB."""
    for name in ("zip_quoted_overlap_4GB.zip", "zip_overlap_125GB_claim.zip", "zip_42_like.zip"):
        assert sum(r[3] for r in walked(shared / "hostile" / name)["rows"]) < (256 << 20) + (1 << 20)

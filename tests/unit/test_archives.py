"""Archives against the tools and modules that made them: names, times, bytes, damage, budgets, reopening."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import random
import shutil
import struct
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safelight.evidence.bytesource import MemorySource
from safelight.evidence.source import Unreadable
from safelight.extract import archives
from safelight.extract.archives import Budget, Member, libarchive, members, open_member
from safelight.problems import KINDS, Problem

FILES = {
    "empty.txt": b"",
    "one.txt": b"x",
    "text.txt": b"a line of text\n" * 9000,
    "noise.bin": random.Random(7).randbytes(700_001),
    "zeros.bin": bytes(1 << 20),
    "folder/inner.txt": b"inside",
}
STAMP = 1_600_000_000


def listed(data: bytes, media_type: str, budget: Budget | None = None) -> list[Member | Problem]:
    return list(members(MemorySource(data), media_type, budget or Budget()))


def contents(data: bytes, media_type: str) -> dict[str, bytes]:
    """Name to bytes of every member with content; problems fail the test."""
    found = {}
    for member in members(MemorySource(data), media_type, Budget()):
        assert isinstance(member, Member), member
        if member.has_content:
            found[member.name.decode()] = b"".join(member.blocks())
    return found


def failure(data: bytes, media_type: str, index: int = 1) -> str:
    """The kind in which reading a member ends, empty where it ends well."""
    for member in members(MemorySource(data), media_type, Budget()):
        if isinstance(member, Member) and member.index == index:
            try:
                for _ in member.blocks():
                    pass
            except Unreadable as error:
                return error.kind
            return ""
    return "no member"


def make_zip(method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in FILES.items():
            archive.writestr(zipfile.ZipInfo(name, (2020, 9, 13, 12, 26, 40)), data, method)
    return out.getvalue()


def make_tar(form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, data in FILES.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), STAMP
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def seven_zip(folder: Path, *options: str) -> bytes:
    if shutil.which("7z") is None:
        pytest.skip("7z is not installed")
    tree = folder / "tree"
    for name, data in FILES.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(data)
    target = folder / "x.archive"
    subprocess.run(["7z", "a", *options, str(target), "."], cwd=tree, check=True, capture_output=True)
    return target.read_bytes()


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_zip_of_each_method(method: int) -> None:
    """Stored, deflate, bzip2 and LZMA members are the files."""
    assert contents(make_zip(method), "application/zip") == FILES


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_tar_of_each_form(form: int) -> None:
    """ustar, GNU and pax members are the files, with their times."""
    assert contents(make_tar(form), "application/x-tar") == FILES
    assert {m.mtime for m in listed(make_tar(form), "application/x-tar") if isinstance(m, Member)} == {STAMP * 10**9}


@pytest.mark.parametrize(
    ("media_type", "pack"),
    [
        ("application/gzip", gzip.compress),
        ("application/x-bzip2", bz2.compress),
        ("application/x-xz", lzma.compress),
        ("application/x-lzma", lambda d: lzma.compress(d, lzma.FORMAT_ALONE)),
    ],
)
def test_single_streams(media_type: str, pack: Callable[[bytes], bytes]) -> None:
    """A compressed stream is an archive of one member; a cut is truncated, a changed byte never gives other bytes silently."""
    data = FILES["text.txt"] + FILES["noise.bin"]
    packed = pack(data)
    (member,) = listed(packed, media_type)
    assert isinstance(member, Member)
    assert data == b"".join(open_member(MemorySource(packed), media_type, 1))
    assert failure(packed[:-20], media_type) == "truncated"
    changed = bytearray(packed)
    changed[len(packed) // 2] ^= 1
    if media_type != "application/x-lzma":  # lzma alone has no checksum
        assert failure(bytes(changed), media_type) == "corrupt"


def test_zstd_stream() -> None:
    """A zstd stream with a checksum: right bytes, and a cut is truncated or corrupt."""
    zstandard = pytest.importorskip("zstandard")
    data = FILES["text.txt"] + FILES["noise.bin"]
    packed = zstandard.ZstdCompressor(write_checksum=True).compress(data)
    assert data == b"".join(open_member(MemorySource(packed), "application/zstd", 1))
    assert failure(packed[:-20], "application/zstd") in ("truncated", "corrupt")


def test_several_gzip_streams_are_one_content_and_a_tail_is_said() -> None:
    """`cat a.gz b.gz` is the content of both; zeros behind are padding, other bytes are trailing data."""
    both = gzip.compress(b"first") + gzip.compress(b"second")
    assert b"".join(open_member(MemorySource(both), "application/gzip", 1)) == b"firstsecond"
    for tail, want in ((bytes(700), []), (b"PK\x03\x04 hidden", ["trailing-data"])):
        found = []
        for member in members(MemorySource(both + tail), "application/gzip", Budget()):
            if isinstance(member, Member):
                assert b"".join(member.blocks()) == b"firstsecond"
            else:
                found.append(member.kind)
        assert want == found


def test_gzip_name_and_time() -> None:
    """The name and time of the gzip header are those of the member."""
    out = io.BytesIO()
    with gzip.GzipFile("r\xe9sum\xe9.tar", "wb", fileobj=out, mtime=STAMP) as file:
        file.write(b"data")
    (member,) = listed(out.getvalue(), "application/gzip")
    assert isinstance(member, Member)
    assert (member.step, member.name, member.mtime) == ("gz:1", b"r\xe9sum\xe9.tar", STAMP * 10**9)


@pytest.mark.parametrize(
    "options",
    [
        ("-t7z",),
        ("-t7z", "-m0=bzip2"),
        ("-t7z", "-m0=PPMd"),
        ("-t7z", "-ms=off"),
        ("-tzip", "-mm=Deflate"),
        ("-tzip", "-mm=Deflate64"),
        ("-tzip", "-mm=LZMA"),
    ],
)
def test_archives_of_7z(options: tuple[str, ...], tmp_path: Path) -> None:
    """7z and ZIP archives written by 7-Zip are the files."""
    media_type = "application/zip" if options[0] == "-tzip" else "application/x-7z-compressed"
    assert contents(seven_zip(tmp_path, *options), media_type) == FILES


def test_a_method_that_is_not_read_is_named(tmp_path: Path) -> None:
    """It is unsupported, and the members are listed: PPMd in ZIP, Deflate64 in 7z."""
    data = seven_zip(tmp_path, "-tzip", "-mm=PPMd")
    kinds = {failure(data, "application/zip", i) for i in range(1, 8)}
    assert "unsupported" in kinds
    assert kinds <= {"unsupported", "", "no member"}
    (tmp_path / "x.archive").unlink()
    data = seven_zip(tmp_path, "-t7z", "-m0=Deflate64", "-ms=off")
    kinds = {failure(data, "application/x-7z-compressed", i) for i in range(1, 8)}
    assert "unsupported" in kinds


def test_7z_password_shows_names(tmp_path: Path) -> None:
    """With -p the names are listed and reading is encrypted; with -mhe the archive is encrypted."""
    found = listed(seven_zip(tmp_path, "-t7z", "-psafelight"), "application/x-7z-compressed")
    assert {m.name for m in found if isinstance(m, Member) and m.encrypted} >= {b"text.txt", b"noise.bin"}
    (tmp_path / "x.archive").unlink()
    hidden = listed(seven_zip(tmp_path, "-t7z", "-psafelight", "-mhe=on"), "application/x-7z-compressed")
    assert [p.kind for p in hidden if isinstance(p, Problem)] == ["encrypted"]


def test_every_member_opens_again_by_its_index() -> None:
    """The step of a member is enough to read it again."""
    for data, media_type in ((make_zip(), "application/zip"), (make_tar(), "application/x-tar")):
        for index, want in enumerate(FILES.values(), 1):
            assert want == b"".join(open_member(MemorySource(data), media_type, index))
        with pytest.raises(Unreadable):
            list(open_member(MemorySource(data), media_type, 99))


def test_blocks_are_bounded() -> None:
    """No block is larger than 256 KiB, whatever the method."""
    for data, media_type in (
        (make_zip(), "application/zip"),
        (make_tar(), "application/x-tar"),
        (gzip.compress(bytes(5 << 20)), "application/gzip"),
    ):
        for member in members(MemorySource(data), media_type, Budget()):
            assert isinstance(member, Member)
            assert all(0 < len(b) <= 1 << 18 for b in member.blocks())


def test_zip_times() -> None:
    """A DOS date has no zone; Unix and NTFS extra fields are UTC; an impossible date is none."""
    (first, *_) = listed(make_zip(), "application/zip")
    assert isinstance(first, Member)
    assert (first.mtime, first.time_basis) == (STAMP * 10**9, "local?")
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        unix, ntfs, never = (zipfile.ZipInfo(n, (2001, 1, 1, 0, 0, 0)) for n in ("unix", "ntfs", "never"))
        unix.extra = struct.pack("<HHBi", 0x5455, 5, 1, STAMP)
        filetime = (STAMP * 10**7) + 116_444_736_000_000_000
        ntfs.extra = struct.pack("<HHIHHQQQ", 10, 32, 0, 1, 24, filetime, filetime, filetime)
        for info in (unix, ntfs, never):
            archive.writestr(info, b"x")
    data = out.getvalue().replace(struct.pack("<HH", 0, 0x2A21), struct.pack("<HH", 0, 0x2A01))  # day 0 does not exist
    got = [(m.mtime, m.time_basis) for m in listed(data, "application/zip") if isinstance(m, Member)]
    assert got == [(STAMP * 10**9, "utc"), (STAMP * 10**9, "utc"), (None, "utc")]


def test_zip_without_its_directory() -> None:
    """Local headers give all members, also those written to a pipe with sizes behind the data."""

    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.data = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data: bytes) -> int:  # type: ignore[override]
            self.data += data
            return len(data)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:  # type: ignore[arg-type]
        for name, data in FILES.items():
            archive.writestr(name, data)
    for whole in (make_zip(), bytes(pipe.data)):
        cut = whole[: whole.index(b"PK\x01\x02")]
        found = listed(cut, "application/zip")
        assert [p.kind for p in found if isinstance(p, Problem)] == ["truncated"]
        got = {
            m.name.decode(): b"".join(open_member(MemorySource(cut), "application/zip", m.index)) for m in found if isinstance(m, Member)
        }
        assert got == FILES


def test_zip_cut_anywhere_keeps_what_is_whole() -> None:
    """A cut inside the data gives the members before it whole and the one it hits as truncated."""
    whole = make_zip(zipfile.ZIP_STORED)
    cut = whole[: whole.index(FILES["noise.bin"][:64]) + 300_000]
    assert [failure(cut, "application/zip", i) for i in (1, 2, 3, 4)] == ["", "", "", "truncated"]


def test_zip_behind_other_data() -> None:
    """A self-extractor or polyglot: offsets count from the start of the archive."""
    assert contents(b"MZ" + bytes(100_000) + make_zip(), "application/zip") == FILES


def test_zip64() -> None:
    """ZIP64 end records and extra fields are read."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive, archive.open(zipfile.ZipInfo("big.bin"), "w", force_zip64=True) as file:
        file.write(FILES["noise.bin"])
    assert contents(out.getvalue(), "application/zip") == {"big.bin": FILES["noise.bin"]}


def test_zip_symlink_is_a_member_without_content() -> None:
    """A symbolic link carries its target and has no content."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        info = zipfile.ZipInfo("link")
        info.create_system, info.external_attr = 3, 0o120777 << 16
        archive.writestr(info, b"../target")
    (member,) = listed(out.getvalue(), "application/zip")
    assert isinstance(member, Member)
    assert (member.type, member.link, member.has_content) == ("symlink", b"../target", False)
    assert [k for k, _ in member.problems] == ["unsafe-name", "link"]


def test_deflate_that_is_longer_or_shorter_than_announced() -> None:
    """A size that does not fit the data is corrupt, and no byte beyond it is given."""
    whole = make_zip()
    for size in (1000, 10_000_000):
        changed = bytearray(whole)
        at = whole.index(b"PK\x01\x02", whole.index(b"PK\x01\x02", whole.index(b"PK\x01\x02") + 4) + 4)  # third entry: text.txt
        struct.pack_into("<I", changed, at + 24, size)
        assert failure(bytes(changed), "application/zip", 3) == "corrupt"


def test_budget_of_bytes_entries_ratio_and_depth() -> None:
    """Each limit raises its own kind and goes on raising; the list of members goes on after a limit of bytes."""
    found = listed(make_zip(), "application/zip", Budget(entries_left=3))
    assert [m.kind if isinstance(m, Problem) else m.step for m in found] == ["zip:1", "zip:2", "zip:3", "limit.entries"]
    budget, kinds = Budget(bytes_left=100_000), []
    for member in members(MemorySource(make_zip()), "application/zip", budget):
        assert isinstance(member, Member)
        try:
            list(member.blocks())
            kinds.append("")
        except Unreadable as error:
            kinds.append(error.kind)
    assert kinds == ["", "", *["limit.bytes"] * 4]
    bomb = zlib.compressobj(9, wbits=31)
    packed = bomb.compress(bytes(300 << 20)) + bomb.flush()
    assert failure(packed, "application/gzip") == "limit.ratio"
    budget = Budget(depth=2)
    with budget.inside(), budget.inside(), pytest.raises(Unreadable) as caught, budget.inside():
        pass
    assert caught.value.kind == "limit.depth"
    assert budget.depth == 2


def test_large_items_get_a_large_budget() -> None:
    """A backup of 50 GB of stored pictures may come out whole: 16 times the item, at least 2 GiB."""
    assert Budget.of(1000).bytes_left == 2 << 30
    assert Budget.of(50 << 30).bytes_left == 800 << 30


def test_tar_links_devices_and_sparse_files(tmp_path: Path) -> None:
    """Hard and symbolic links and devices have no content; a sparse file has its holes as zeros."""
    sparse = tmp_path / "sparse"
    with sparse.open("wb") as file:
        file.seek(5 << 20)
        file.write(b"end")
    (tmp_path / "soft").symlink_to("sparse")
    (tmp_path / "hard").hardlink_to(sparse)
    target = tmp_path / "x.tar"
    subprocess.run(["tar", "-S", "-cf", str(target), "-C", str(tmp_path), "sparse", "soft", "hard"], check=True)
    got = [
        (m.type, m.link, len(b"".join(m.blocks())))
        for m in members(MemorySource(target.read_bytes()), "application/x-tar", Budget())
        if isinstance(m, Member)
    ]
    assert got == [("file", b"", (5 << 20) + 3), ("symlink", b"sparse", 0), ("hardlink", b"sparse", 0)]


def test_media_types() -> None:
    """Office documents and +zip types are ZIP archives; a picture is not an archive and says so."""
    for media_type in (
        "application/epub+zip",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "application/zip",
    ):
        assert archives.scheme_of(media_type) == "zip"
    assert not archives.is_archive("image/jpeg")
    assert [p.kind for p in listed(b"x", "image/jpeg") if isinstance(p, Problem)] == ["unsupported"]
    assert [p.kind for p in listed(b"", "application/zip") if isinstance(p, Problem)] == ["empty"]


def test_errors_of_the_layer_below_are_kept() -> None:
    """A bad sector under an archive comes out as unreadable, not as corrupt."""

    class Bad:
        def __init__(self, data: bytes) -> None:
            self.data, self.size = data, len(data)

        def read_at(self, offset: int, size: int) -> bytes:
            if offset + size > 200_000 and offset < 400_000 and size < 600_000:
                raise Unreadable("unreadable", "bad sector", offset, size)
            return self.data[offset : offset + size]

    for data, media_type in ((make_tar(), "application/x-tar"), (gzip.compress(FILES["noise.bin"]), "application/gzip")):
        kinds = []
        for member in members(Bad(data), media_type, Budget()):
            if isinstance(member, Problem):
                kinds.append(member.kind)
                continue
            try:
                list(member.blocks())
            except Unreadable as error:
                kinds.append(error.kind)
        assert "unreadable" in kinds
        assert "corrupt" not in kinds


def test_version_of_libarchive_is_told() -> None:
    """The version of the library that touched the bytes can be written to the ledger."""
    assert len(libarchive.version().split(".")) == 3


@settings(max_examples=150, deadline=None, database=None, derandomize=True)
@given(
    st.sampled_from(["zip", "tar", "gz", "xz", "bz2"]),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=20),
    st.floats(0.05, 1),
)
def test_any_damage_ends_in_members_or_problems(kind: str, changes: list[tuple[float, int]], part: float) -> None:
    """Any bytes give members, problems and Unreadable with a known kind; never another exception, never more than the budget."""
    small = b"some text that compresses " * 200
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for i in range(6):
            archive.writestr(f"n{i}", small * (i + 1))
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive_tar:
        for i in range(6):
            info = tarfile.TarInfo("long/" * (40 * i) + "n")
            info.size = len(small)
            archive_tar.addfile(info, io.BytesIO(small))
    data = bytearray(
        {"zip": out.getvalue(), "tar": tar.getvalue(), "gz": gzip.compress(small), "xz": lzma.compress(small), "bz2": bz2.compress(small)}[
            kind
        ]
    )
    for at, value in changes:
        data[min(int(at * len(data)), len(data) - 1)] = value
    media_type = {
        "zip": "application/zip",
        "tar": "application/x-tar",
        "gz": "application/gzip",
        "xz": "application/x-xz",
        "bz2": "application/x-bzip2",
    }[kind]
    budget = Budget(bytes_left=1 << 24, entries_left=1000)
    for member in members(MemorySource(bytes(data[: int(part * len(data))])), media_type, budget):
        if isinstance(member, Problem):
            continue
        try:
            for _ in member.blocks():
                pass
        except Unreadable as error:
            assert error.kind in KINDS
    assert budget.bytes_out <= (1 << 24) + (1 << 18)


def test_a_tar_inside_a_gzip_is_read_without_keeping_it() -> None:
    """A forward source over a gzip member gives the TAR inside; members open again by both steps."""
    packed = MemorySource(gzip.compress(make_tar()))
    inner = archives.ForwardSource(lambda: open_member(packed, "application/gzip", 1))
    assert inner.read_at(257, 5) == b"ustar"
    got = {m.name.decode(): b"".join(m.blocks()) for m in members(inner, "application/x-tar", Budget()) if isinstance(m, Member)}
    assert got == FILES
    again = archives.ForwardSource(lambda: open_member(packed, "application/gzip", 1))
    assert FILES["noise.bin"] == b"".join(open_member(again, "application/x-tar", 4))


@settings(max_examples=40, deadline=None, database=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 20_000_000), st.integers(0, 6 << 20)), max_size=8))
def test_forward_source_gives_any_piece(reads: list[tuple[int, int]]) -> None:
    """Reads in any order are those of the bytes (at most a window at a time), with a bounded number of fresh starts."""
    data = random.Random(5).randbytes(1 << 20) * 17
    source = archives.ForwardSource(lambda: iter([data[i : i + 250_000] for i in range(0, len(data), 250_000)]))
    for offset, size in reads:
        assert data[offset : offset + min(size, 4 << 20)] == source.read_at(offset, size)


def test_members_in_no_directory_are_found() -> None:
    """A member that was taken out of the directory, but whose bytes are there, comes last and says so."""
    whole = make_zip()
    start = whole.index(b"PK\x01\x02")
    second = whole.index(b"PK\x01\x02", start + 4)
    third = whole.index(b"PK\x01\x02", second + 4)
    fourth = whole.index(b"PK\x01\x02", third + 4)
    fifth = whole.index(b"PK\x01\x02", fourth + 4)
    end = bytearray(whole[whole.rindex(b"PK\x05\x06") :])
    size = len(whole) - len(end) - start - (fifth - fourth)
    struct.pack_into("<HHI", end, 8, 5, 5, size)
    data = whole[:fourth] + whole[fifth : -len(end)] + bytes(end)
    found = listed(data, "application/zip")
    got = [(m.step, m.name, [k for k, _ in m.problems]) for m in found if isinstance(m, Member)]
    assert got[-1] == ("zip:6", b"noise.bin", ["corrupt"])
    assert [p for p in found if isinstance(p, Problem)] == []
    assert FILES["noise.bin"] == b"".join(open_member(MemorySource(data), "application/zip", 6))


def test_names_are_the_same_in_the_c_locale(tmp_path: Path) -> None:
    """In the C locale libarchive would give `?` for letters of 7z and pax names: the names come as UTF-8 all the same."""
    import sys

    if shutil.which("7z") is None:
        pytest.skip("7z is not installed")
    tree = tmp_path / "tree"
    tree.mkdir()
    name = "é 写真 \U0001f600.txt"
    (tree / name).write_bytes(b"x")
    subprocess.run(["7z", "a", "-t7z", "../x.7z", "."], cwd=tree, check=True, capture_output=True, env={**os.environ, "LC_ALL": "C.UTF-8"})
    subprocess.run(
        ["tar", "--format=pax", "-cf", str(tmp_path / "x.tar"), name], cwd=tree, check=True, env={**os.environ, "LC_ALL": "C.UTF-8"}
    )
    code = (
        "import sys; from safelight.extract import archives; from safelight.evidence.bytesource import MemorySource\n"
        "archives.warm_up()\n"
        "for path, kind in ((sys.argv[1], 'application/x-7z-compressed'), (sys.argv[2], 'application/x-tar')):\n"
        "    for m in archives.members(MemorySource(open(path, 'rb').read()), kind, archives.Budget()): print(m.name.hex())\n"
    )
    env = {**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    out = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "x.7z"), str(tmp_path / "x.tar")], check=True, capture_output=True, text=True, env=env
    )
    assert out.stdout.split() == [name.encode().hex()] * 2

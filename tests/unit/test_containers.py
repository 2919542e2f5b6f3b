"""Each disk-image format against the raw disk it was made of (qemu-img, ewfacquirestream), whole, cut and changed."""

from __future__ import annotations

import shutil
import struct
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest

from kits.container_kit import DISK_SIZE, ContainerKit, digest, disk_bytes, memory_segments
from safelight.evidence.bytesource import MemorySource
from safelight.evidence.containers import CONTAINERS, container, open_image, warm_up
from safelight.evidence.containers.segments import collect_segments
from safelight.evidence.source import Segment, Unreadable

Options = dict[str, tuple[str, ...]]

needs_qemu = pytest.mark.skipif(shutil.which("qemu-img") is None, reason="qemu-img is not installed")
needs_ewf = pytest.mark.skipif(shutil.which("ewfacquirestream") is None, reason="ewfacquirestream is not installed")


def convert(raw: Path, target: Path, form: str, *options: str) -> Path:
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", form, *options, str(raw), str(target)], check=True, capture_output=True)
    return target


def acquire(raw: Path, folder: Path, *options: str) -> Path:
    command = ["ewfacquirestream", "-q", "-t", str(folder / "x"), *options, "-e", "E", "-D", "d", "-N", "n", "-C", "1", "-E", "1"]
    with raw.open("rb") as source:
        subprocess.run(command, stdin=source, check=True, capture_output=True)
    return min(p for p in folder.iterdir() if p.suffix.lower() == ".e01")


@needs_ewf
class TestEwf(ContainerKit):
    container = "ewf"
    checked = True
    options: ClassVar[Options] = {
        "none": ("-c", "none", "-f", "encase6", "-S", "1.4G"),
        "fast": ("-c", "fast", "-f", "encase6", "-S", "1.4G"),
        "best": ("-c", "best", "-f", "encase6", "-S", "1.4G"),
        "empty-block": ("-c", "empty-block", "-f", "encase6", "-S", "1.4G"),
        "encase2": ("-c", "fast", "-f", "encase2", "-S", "1.4G"),
        "encase5": ("-c", "fast", "-f", "encase5", "-S", "1.4G"),
        "ftk": ("-c", "fast", "-f", "ftk", "-S", "1.4G"),
        "ewfx": ("-c", "fast", "-f", "ewfx", "-S", "1.4G"),
        "chunks of 512 KiB": ("-c", "fast", "-f", "encase6", "-b", "1024", "-S", "1.4G"),
        "split": ("-c", "none", "-f", "encase6", "-S", "1MiB"),
    }
    variants = tuple(options)

    def make(self, variant: str, raw: Path, folder: Path) -> Path:
        return acquire(raw, folder, *self.options[variant])


class QemuKit(ContainerKit):
    form = ""
    suffix = ""
    options: ClassVar[Options] = {}

    def make(self, variant: str, raw: Path, folder: Path) -> Path:
        return convert(raw, folder / f"x{self.suffix}", self.form, *self.options[variant])


@needs_qemu
class TestQcow2(QemuKit):
    container = form = "qcow2"
    suffix = ".qcow2"
    options: ClassVar[Options] = {
        "plain": (),
        "zlib": ("-c",),
        "zstd": ("-c", "-o", "compression_type=zstd"),
        "zlib, 4-KiB clusters": ("-c", "-o", "cluster_size=4096"),
        "512-byte clusters": ("-o", "cluster_size=512"),
        "2-MiB clusters": ("-c", "-o", "cluster_size=2M"),
        "version 2": ("-o", "compat=0.10"),
        "version 2, zlib": ("-c", "-o", "compat=0.10"),
        "preallocated": ("-o", "preallocation=metadata"),
    }
    variants = tuple(options)


@needs_qemu
class TestQcow1(QemuKit):
    container, form, suffix = "qcow1", "qcow", ".qcow"
    options: ClassVar[Options] = {"plain": ()}
    variants = tuple(options)


@needs_qemu
class TestVmdk(QemuKit):
    container = form = "vmdk"
    suffix = ".vmdk"
    options: ClassVar[Options] = {
        "sparse": (),
        "stream-optimised": ("-o", "subformat=streamOptimized"),
        "flat": ("-o", "subformat=monolithicFlat"),
        "split sparse": ("-o", "subformat=twoGbMaxExtentSparse"),
        "split flat": ("-o", "subformat=twoGbMaxExtentFlat"),
    }
    variants = tuple(options)


@needs_qemu
class TestVhd(QemuKit):
    container, form, suffix = "vhd", "vpc", ".vhd"
    options: ClassVar[Options] = {"dynamic": ("-o", "force_size=on"), "fixed": ("-o", "force_size=on,subformat=fixed")}
    variants = tuple(options)


@needs_qemu
class TestVhdx(QemuKit):
    container, form, suffix = "vhd", "vhdx", ".vhdx"
    options: ClassVar[Options] = {"dynamic": (), "fixed": ("-o", "subformat=fixed")}
    variants = tuple(options)


@needs_qemu
class TestVdi(QemuKit):
    container = form = "vdi"
    suffix = ".vdi"
    options: ClassVar[Options] = {"dynamic": (), "fixed": ("-o", "static=on")}
    variants = tuple(options)


class TestRaw(ContainerKit):
    container = "raw"
    may_be_raw = True  # raw images have nothing that a cut could be seen by
    variants = ("one file", ".000", ".001", ".aa")

    def make(self, variant: str, raw: Path, folder: Path) -> Path:
        data = raw.read_bytes()
        if variant == "one file":
            (folder / "x.dd").write_bytes(data)
            return folder / "x.dd"
        names = {".000": ("000", "001", "002", "003"), ".001": ("001", "002", "003", "004"), ".aa": ("aa", "ab", "ac", "ad")}[variant]
        for i, name in enumerate(names):
            (folder / f"x.{name}").write_bytes(data[i << 20 : (i + 1) << 20])
        return folder / f"x.{names[0]}"


def test_containers_end_with_raw_and_are_members() -> None:
    """Raw, which takes everything, is asked last; each member has name, detect and open; warm_up imports them all."""
    assert CONTAINERS[-1] == "raw"
    assert list(CONTAINERS) == [container(n).name for n in CONTAINERS]
    warm_up()


def test_shared_images_are_what_other_readers_say(shared: Path, evidence: Callable[[str], Path]) -> None:
    """Every image of the shared data has the SHA-256 that qemu-img or ewfexport gave it."""
    import json

    truth = json.loads((shared / "evidence" / "truth.json").read_text())
    evidence("ext2.splitraw.001")
    got = {n: digest(open_image(memory_segments(collect_segments(evidence(n))))[1]) for n in truth if n != "fat-differential.vhd"}
    assert {n: t["raw_sha256"] for n, t in truth.items() if n in got} == got


def test_differencing_vhd_without_its_parent_is_a_missing_part(evidence: Callable[[str], Path]) -> None:
    """A differencing VHD alone raises missing-part and names the parent."""
    with pytest.raises(Unreadable, match=r"fat-parent\.vhd") as caught:
        open_image(memory_segments([evidence("fat-differential.vhd")]))
    assert caught.value.kind == "missing-part"


@pytest.mark.parametrize(
    ("head", "kind", "words"),
    [
        (b"EVF2\r\n\x81\x00", "unsupported", "Ex01"),
        (b"LVF\x09\x0d\x0a\xff\x00", "unsupported", "L01"),
        (b"ADSEGMENTEDFILE\x00", "unsupported", "AD1"),
        (b"AFF10\r\n\x00", "unsupported", "AFF"),
        (b"PK\x03\x04" + bytes(26) + b"container.description", "unsupported", "AFF4"),
        (b"encrcdsa", "encrypted", "DMG"),
    ],
)
def test_known_formats_that_are_not_read_are_named(head: bytes, kind: str, words: str) -> None:
    """A format without a reader is refused by name and is not taken for a raw disk."""
    with pytest.raises(Unreadable, match=words) as caught:
        open_image([Segment(b"x", MemorySource(head + bytes(4096)))])
    assert kind == caught.value.kind


def test_no_bytes_are_an_empty_image() -> None:
    """A file of size 0 raises empty."""
    with pytest.raises(Unreadable) as caught:
        open_image([Segment(b"x", MemorySource(b""))])
    assert caught.value.kind == "empty"


@needs_ewf
class TestEwfDamage:
    """What the reader says about damaged E01 files, beyond the kit."""

    @pytest.fixture(scope="class")
    @classmethod
    def split(cls, tmp_path_factory: pytest.TempPathFactory) -> list[Segment]:
        folder = tmp_path_factory.mktemp("split")
        raw = folder / "disk.raw"
        raw.write_bytes(disk_bytes())
        return memory_segments(collect_segments(acquire(raw, folder, "-c", "none", "-f", "encase6", "-S", "1MiB", "-d", "sha1")))

    def test_stored_digests_are_those_of_the_disk(self, split: list[Segment]) -> None:
        """MD5 and SHA-1 of the acquisition are given in lower-case hex."""
        import hashlib

        _, image = open_image(split)
        data = disk_bytes()
        want = {("md5", hashlib.md5(data).hexdigest()), ("sha1", hashlib.sha1(data).hexdigest())}
        assert want == {(d.algorithm, d.value) for d in image.stored_digests}

    @pytest.mark.parametrize("lost", [1, 2, 3])
    def test_a_missing_segment_is_said_and_the_rest_is_read(self, split: list[Segment], lost: int) -> None:
        """Without one segment, what lies in the others is right and at its place; what lies in it is missing-part."""
        assert len(split) >= 4
        _, image = open_image([s for i, s in enumerate(split) if i != lost])
        assert "missing-part" in [p.kind for p in image.problems]
        data, good, kinds = disk_bytes(), 0, set()
        for offset in range(0, DISK_SIZE, 32768):
            try:
                assert data[offset : offset + 32768] == image.read_at(offset, 32768)
                good += 1
            except Unreadable as error:
                kinds.add(error.kind)
        assert {"missing-part"} == kinds
        assert good >= (DISK_SIZE // 32768) * (len(split) - 1) // len(split) - 34

    def test_segments_in_any_order(self, split: list[Segment]) -> None:
        """The number inside the segment counts, not the order in which they are given."""
        import hashlib

        assert hashlib.sha256(disk_bytes()).hexdigest() == digest(open_image([split[0], *split[:0:-1]])[1])

    def test_a_damaged_chunk_names_its_range_and_no_other_is_lost(self, split: list[Segment]) -> None:
        """One changed byte of a stored chunk loses 32 KiB, raised as corrupt with offset and size."""
        data = bytearray(split[0].source.read_at(0, split[0].source.size))
        data[500_000] ^= 1
        _, image = open_image([Segment(split[0].name, MemorySource(data)), *split[1:]])
        lost = []
        for offset in range(0, DISK_SIZE, 32768):
            try:
                image.read_at(offset, 32768)
            except Unreadable as error:
                lost.append((error.kind, error.offset, error.size))
        assert len(lost) == 1
        assert (lost[0][0], lost[0][2]) == ("corrupt", 32768)

    def test_the_second_table_is_used_when_the_first_is_damaged(self, split: list[Segment]) -> None:
        """A changed offset in `table` costs nothing while `table2` is sound."""
        data = bytearray(split[0].source.read_at(0, split[0].source.size))
        at = bytes(data).index(b"table\0\0\0") + 76 + 24 + 10
        data[at] ^= 0xFF
        _, image = open_image([Segment(split[0].name, MemorySource(data)), *split[1:]])
        assert disk_bytes()[:65536] == image.read_at(0, 65536)

    def test_offsets_beyond_2_gib(self) -> None:
        """EnCase 6.7: once the offsets of a table pass 2^31 all 32 bits are the offset and the length tells a stored chunk."""
        from safelight.evidence.containers.ewf import EwfImage

        reader = EwfImage.__new__(EwfImage)
        reader._chunk = 32768
        starts = [0x7FFF0000, 0x7FFF0000 + 32772, 0x80000008, 0x80000008 + 32772]
        run = reader._decode(struct.pack("<4I", *starts), 0, starts[3] + 32772)
        assert (starts, [False] * 4) == (run.starts, run.deflated)


@needs_qemu
class TestQcow2Chain:
    """Backing files and refusals."""

    def overlay(self, folder: Path) -> tuple[Path, Path, bytes]:
        raw = folder / "disk.raw"
        raw.write_bytes(disk_bytes())
        base = convert(raw, folder / "base.qcow2", "qcow2", "-c")
        top = folder / "top.qcow2"
        subprocess.run(
            ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", str(base), str(top)], check=True, capture_output=True
        )
        subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write -P 0x5a 1000000 70000", str(top)], check=True, capture_output=True)
        want = bytearray(disk_bytes())
        want[1000000:1070000] = b"\x5a" * 70000
        return top, base, bytes(want)

    def test_overlay_with_its_backing_file(self, tmp_path: Path) -> None:
        """An overlay given with its base reads as both together."""
        top, base, want = self.overlay(tmp_path)
        _, image = open_image(memory_segments([top, base]))
        assert want == image.read_at(0, DISK_SIZE)
        assert list(image.problems) == []

    def test_overlay_alone(self, tmp_path: Path) -> None:
        """Without its base the overlay says missing-part, gives what it holds itself and raises for the rest."""
        top, _, want = self.overlay(tmp_path)
        _, image = open_image(memory_segments([top]))
        assert [p.kind for p in image.problems] == ["missing-part"]
        assert want[1000000:1070000] == image.read_at(1000000, 70000)
        with pytest.raises(Unreadable) as caught:
            image.read_at(0, 512)
        assert caught.value.kind == "missing-part"

    def test_extended_l2_is_refused(self, tmp_path: Path) -> None:
        """Extended L2 entries end in unsupported, not in wrong bytes."""
        raw = tmp_path / "disk.raw"
        raw.write_bytes(disk_bytes())
        with pytest.raises(Unreadable, match="extended L2") as caught:
            open_image(memory_segments([convert(raw, tmp_path / "x.qcow2", "qcow2", "-o", "extended_l2=on")]))
        assert caught.value.kind == "unsupported"

    def test_encrypted_is_said(self, tmp_path: Path) -> None:
        """A QCOW2 whose header names LUKS ends in encrypted."""
        raw = tmp_path / "disk.raw"
        raw.write_bytes(disk_bytes())
        data = bytearray(convert(raw, tmp_path / "x.qcow2", "qcow2").read_bytes())
        data[35] = 2  # crypt_method, as `qemu-img create -o encrypt.format=luks` sets it
        with pytest.raises(Unreadable) as caught:
            open_image([Segment(b"x.qcow2", MemorySource(data))])
        assert caught.value.kind == "encrypted"


@needs_qemu
def test_differencing_vmdk_extent_that_is_gone(tmp_path: Path) -> None:
    """A descriptor whose extent is not there raises missing-part and names it."""
    raw = tmp_path / "disk.raw"
    raw.write_bytes(disk_bytes())
    target = convert(raw, tmp_path / "x.vmdk", "vmdk", "-o", "subformat=monolithicFlat")
    with pytest.raises(Unreadable, match=r"x-flat\.vmdk") as caught:
        open_image(memory_segments([target]))
    assert caught.value.kind == "missing-part"


def test_a_deflate_bomb_in_an_e01_chunk_is_cut_at_the_chunk() -> None:
    """A chunk that would inflate beyond its size is corrupt, and no more than one chunk is ever made of it."""
    from safelight.evidence.containers.ewf import EwfImage

    reader = EwfImage.__new__(EwfImage)
    from zlib_ng import zlib_ng

    reader._inflate, reader._adler32, reader._chunk, reader.size = zlib_ng.decompressobj, zlib_ng.adler32, 32768, 1 << 30
    packed = zlib.compress(bytes(50 << 20))
    with pytest.raises(Unreadable) as caught:
        reader._unpack(0, memoryview(packed), len(packed), True)
    assert caught.value.kind == "corrupt"


@needs_ewf
@pytest.mark.parametrize("compression", ["none", "fast"])
def test_chunks_before_a_cut_are_read_without_their_table(compression: str, tmp_path: Path) -> None:
    """An E01 cut in the middle has no table; its chunks are found one behind the other, and all before the cut are right."""
    raw = tmp_path / "disk.raw"
    raw.write_bytes(disk_bytes())
    path = acquire(raw, tmp_path, "-c", compression, "-f", "encase6", "-S", "1.4G")
    data = path.read_bytes()
    _, image = open_image([Segment(b"x.E01", MemorySource(data[: len(data) // 2]))])
    want, good = disk_bytes(), 0
    for offset in range(0, DISK_SIZE, 32768):
        try:
            assert want[offset : offset + 32768] == image.read_at(offset, 32768)
            good += 1
        except Unreadable as error:
            assert error.kind == "truncated"
    assert good >= DISK_SIZE // 32768 // 2 - 4
    assert {p.kind for p in image.problems} == {"truncated", "corrupt"}


@needs_qemu
def test_vmdk_snapshot_with_its_parent(tmp_path: Path) -> None:
    """A VMDK with a parent reads as both together; alone it is a missing part that names the parent."""
    raw = tmp_path / "disk.raw"
    raw.write_bytes(disk_bytes())
    base, top = convert(raw, tmp_path / "base.vmdk", "vmdk"), tmp_path / "top.vmdk"
    subprocess.run(["qemu-img", "create", "-q", "-f", "vmdk", "-F", "vmdk", "-b", str(base), str(top)], check=True, capture_output=True)
    subprocess.run(["qemu-io", "-f", "vmdk", "-c", "write -P 0x5a 1048576 65536", str(top)], check=True, capture_output=True)
    want = bytearray(disk_bytes())
    want[1048576 : 1048576 + 65536] = b"\x5a" * 65536
    assert bytes(want) == open_image(memory_segments([top, base]))[1].read_at(0, DISK_SIZE)
    with pytest.raises(Unreadable, match=r"base\.vmdk") as caught:
        open_image(memory_segments([top]))
    assert caught.value.kind == "missing-part"


def test_a_name_of_another_format_over_raw_bytes_is_said() -> None:
    """An E01 whose header is gone is read as raw with a type-mismatch; a flat extent and a plain image are raw without a word."""
    for stored, want in ((b"x.E01", ["type-mismatch"]), (b"X.VHD", ["type-mismatch"]), (b"x-flat.vmdk", []), (b"x.dd", []), (b"x.dmg", [])):
        name, image = open_image([Segment(stored, MemorySource(bytes(4096)))])
        assert (name, want) == ("raw", [p.kind for p in image.problems])


@needs_ewf
def test_a_damaged_volume_section_is_replaced_by_the_data_section(tmp_path: Path) -> None:
    """The geometry stands again in the `data` section: the image is read, and the damage is a problem."""
    raw = tmp_path / "disk.raw"
    raw.write_bytes(disk_bytes())
    data = bytearray(acquire(raw, tmp_path, "-c", "fast", "-f", "encase6", "-S", "1.4G").read_bytes())
    data[bytes(data).index(b"volume\0") + 76 + 4] ^= 1
    _, image = open_image([Segment(b"x.E01", MemorySource(data))])
    assert [p.kind for p in image.problems] == ["corrupt"]
    assert disk_bytes() == image.read_at(0, DISK_SIZE)

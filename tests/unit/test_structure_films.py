"""Structure of films: every good film of the test data is silent, each trap is told, and a huge film costs a few reads."""

from __future__ import annotations

import struct
import wave
from pathlib import Path

import pytest

from safelight.evidence.bytesource import MemorySource
from safelight.extract import structure
from safelight.extract.filetype import detect

MP4, MOV, MKV, AVI, WAV, WMV = "video/mp4", "video/quicktime", "video/x-matroska", "video/x-msvideo", "audio/x-wav", "video/x-ms-asf"

DAMAGED = {  # films of shared/data/video that their manifest calls cut, broken, encrypted, or that are playlists
    "exo_sample_mdat_too_long.mp4": ["truncated"],
    "exo_subsample_encrypted_noaltref.webm": ["encrypted"],
    "ft_fixture-corrupt.mkv": ["corrupt"],
    "ft_fixture-isom.mp4": ["truncated"],
    "ft_fixture-moov.mov": ["truncated"],
    "made/ftyp_only.mp4": ["corrupt"],
    "made/moov_removed.mp4": ["corrupt"],
    "made/truncated_half.mp4": ["truncated"],
    "made/playlist_dash_as.mp4": ["external-reference"],
    "made/playlist_ffconcat_as.mp4": ["external-reference"],
    "made/playlist_hls_as.mp4": ["external-reference"],
    "made/playlist_sdp_as.mp4": ["external-reference"],
}


def check(data: bytes, media_type: str) -> list[tuple[str, str]]:
    return structure.check(MemorySource(data), media_type)


def kinds(data: bytes, media_type: str) -> list[str]:
    return [kind for kind, _ in check(data, media_type)]


def box(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I4s", len(data) + 8, kind) + data


def full(kind: bytes, data: bytes) -> bytes:
    return box(kind, bytes(4) + data)


def dref(*entries: bytes) -> bytes:
    return box(b"dinf", full(b"dref", struct.pack(">I", len(entries)) + b"".join(entries)))


SELF = box(b"url ", b"\0\0\0\x01")
STTS = full(b"stts", struct.pack(">III", 1, 10, 512))
STSD = full(b"stsd", struct.pack(">I", 1) + box(b"avc1", bytes(78)))


def track(stbl: bytes = STSD + STTS, dinf: bytes | None = None) -> bytes:
    return box(b"trak", box(b"mdia", box(b"minf", (dref(SELF) if dinf is None else dinf) + box(b"stbl", stbl))))


FTYP = box(b"ftyp", b"isom\0\0\2\0isomiso2mp41")
MVHD = full(b"mvhd", bytes(96))


def film(*tracks: bytes, behind: bytes = b"") -> bytes:
    return FTYP + box(b"mdat", bytes(500)) + box(b"moov", MVHD + b"".join(tracks)) + behind


def test_films_of_the_test_data(shared: Path) -> None:
    """Of 70 public and made films the good ones give nothing, and the damaged ones what their manifest says."""
    folder = shared / "video"
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.stat().st_size:
            data = path.read_bytes()
            found = structure.check(MemorySource(data), detect(data[:65536], len(data)).media_type)
            assert [kind for kind, _ in found] == DAMAGED.get(str(path.relative_to(folder)), []), (path.name, found)


@pytest.mark.parametrize(
    "data",
    [
        film(track()),
        film(track(), behind=box(b"free", b"") * 50),
        film(track(), behind=bytes(4096)),  # cameras pad with zeros
        FTYP + box(b"moov", MVHD + track() + box(b"udta", b"\xa9nam not a box" + bytes(4))) + box(b"mdat", bytes(9)),
        FTYP + box(b"moov", MVHD + box(b"mvex", full(b"trex", bytes(20)))) + box(b"moof", full(b"mfhd", bytes(4))) + box(b"mdat", b"x"),
        FTYP + box(b"moov", box(b"cmov", box(b"dcom", b"zlib"))) + box(b"mdat", b"x"),
        FTYP + box(b"moov", MVHD + track()) + struct.pack(">I4s", 0, b"mdat") + bytes(1000),
        FTYP + box(b"moov", MVHD + track()) + struct.pack(">I4sQ", 1, b"mdat", 1016) + bytes(1000),
        film(track(dinf=dref(box(b"url ", bytes(4))))),  # a writer that forgot the flag names nothing
        film(track(stbl=STSD + STTS + full(b"stsz", struct.pack(">II", 100, 1_000_000)))),  # all samples of one size: no table
    ],
)
def test_good_boxes_are_silent(data: bytes) -> None:
    """Padding, old user data, fragments, compressed headers, boxes up to the end, 64-bit sizes, tables without entries."""
    assert check(data, MP4) == []


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (FTYP + box(b"moov", MVHD), ["corrupt"]),
        (FTYP + box(b"mdat", b"x"), ["corrupt"]),
        (film(track())[:-1], ["truncated"]),
        (FTYP + struct.pack(">I4sQ", 1, b"mdat", 1 << 60) + b"data", ["truncated"]),
        (FTYP + struct.pack(">I4sQ", 1, b"mdat", (1 << 64) - 1) + b"data", ["truncated"]),
        (FTYP + struct.pack(">I4sQ", 1, b"mdat", 8) + b"data" * 9, ["corrupt"]),
        (FTYP + box(b"free", b"") * 2000 + struct.pack(">I4s", 4, b"moov"), ["corrupt"]),
        (film(track(stbl=STSD + full(b"stts", struct.pack(">III", 0xFFFFFFFF, 1, 1)))), ["corrupt"]),
        (film(track(stbl=STSD + full(b"stsz", struct.pack(">III", 0, 2, 1)))), ["corrupt"]),
        (film(track(stbl=STSD + full(b"co64", struct.pack(">IQ", 2, 1)))), ["corrupt"]),
        (film(track(stbl=STSD + box(b"stts", b"\0"))), ["corrupt"]),
        (film(box(b"trak", struct.pack(">I4s", 999, b"mdia") + bytes(8))), ["corrupt"]),
        (film(track(stbl=full(b"stsd", struct.pack(">I", 1) + box(b"encv", bytes(78))) + STTS)), ["encrypted"]),
        (film(track(), behind=b"\xff\xd8\xff\xe0 something else behind the film"), ["trailing-data"]),
        (film(track(dinf=dref(SELF, box(b"url ", bytes(4) + b"http://canary.invalid/hit\0")))), ["external-reference"]),
        (film(track(dinf=dref(box(b"alis", bytes(4) + b"\0\x01alias record")))), ["external-reference"]),
        (film(track(dinf=box(b"dinf", full(b"dref", struct.pack(">I", 1 << 31))))), ["corrupt"]),
        (FTYP + box(b"moov", box(b"rmra", box(b"rmda", box(b"rdrf", bytes(4) + b"url \0\0\0\x04a.mov")))), ["external-reference"]),
    ],
)
def test_damaged_boxes_are_told(data: bytes, wanted: list[str]) -> None:
    """Missing tracks and tables, sizes that lie, counts without room, encryption, bytes behind the end, samples elsewhere."""
    assert kinds(data, MOV) == wanted


def test_deep_boxes_are_a_limit() -> None:
    """Three thousand nested boxes are not walked, and take no recursion."""
    deep = b"x"
    for _ in range(3000):
        deep = box(b"udta", deep)
    assert check(FTYP + box(b"moov", deep), MP4) == [("limit.depth", "boxes are nested deeper than 24 levels")]


class Huge:
    """A film of 10 GB that is not there: zeros but for its boxes; counts what is read."""

    size = 10 << 30

    def __init__(self) -> None:
        head = FTYP + struct.pack(">I4sQ", 1, b"mdat", self.size - len(FTYP) - 10_000)
        tail = box(b"moov", MVHD + track())
        self.parts = {0: head, self.size - 10_000: tail + struct.pack(">I4s", 10_000 - len(tail), b"free")}
        self.reads = self.read = 0

    def read_at(self, offset: int, size: int) -> bytes:
        self.reads, self.read = self.reads + 1, self.read + size
        data = bytearray(min(size, self.size - offset))
        for at, part in self.parts.items():
            start = max(at, offset)
            piece = part[start - at : offset + len(data) - at]
            data[start - offset : start - offset + len(piece)] = piece
        return bytes(data)


def test_a_huge_film_costs_a_few_reads() -> None:
    """10 GB of samples are stepped over: three blocks are read."""
    huge = Huge()
    assert structure.check(huge, MP4) == []
    assert huge.reads <= 3
    assert huge.read <= 3 * 16384


# ---- Matroska, RIFF, ASF


def element(number: int, data: bytes, length: int | None = None) -> bytes:
    size = len(data) if length is None else length
    return number.to_bytes((number.bit_length() + 7) // 8, "big") + struct.pack(">Q", size | 1 << 56) + data


HEAD = element(0x1A45DFA3, element(0x4282, b"matroska"))
TRACKS = element(0x1654AE6B, element(0xAE, element(0xD7, b"\x01")))
CLUSTER = element(0x1F43B675, element(0xE7, b"\0") + element(0xA3, bytes(100)))
UNKNOWN = (1 << 56) - 1


def test_matroska() -> None:
    """Whole and live recordings are silent; cut, damaged, trackless, encrypted and linked ones are told."""
    good = HEAD + element(0x18538067, TRACKS + CLUSTER * 3)
    assert check(good, MKV) == []
    assert check(HEAD + element(0x18538067, TRACKS + element(0x1F43B675, bytes(50), UNKNOWN), UNKNOWN), MKV) == []
    assert check(HEAD + element(0x18538067, TRACKS + element(0x2AD1D3, b"unknown") + CLUSTER), MKV) == []
    assert kinds(good[:-30], MKV) == ["truncated"]
    assert kinds(HEAD + element(0x18538067, CLUSTER), MKV) == ["corrupt"]
    assert kinds(HEAD + b"\0" * 40, MKV) == ["corrupt"]
    assert kinds(HEAD + element(0x18538067, TRACKS + b"\0" * 40 + CLUSTER), MKV) == ["corrupt"]
    assert kinds(HEAD[:10], MKV) == ["truncated"]
    encrypted = element(0x1654AE6B, element(0xAE, element(0x6D80, element(0x6240, element(0x5035, b"")))))
    assert kinds(HEAD + element(0x18538067, encrypted + CLUSTER), MKV) == ["encrypted"]
    linked = element(0x1549A966, element(0x3E83BB, b"next.mkv")) + TRACKS
    assert check(HEAD + element(0x18538067, linked + CLUSTER), MKV) == [
        ("external-reference", "the film names others to go on with: 'next.mkv'")
    ]


def chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + bytes(len(data) & 1)


def test_avi() -> None:
    """AVI in one part and in two is silent; without headers or streams, with a chunk that is too long, or cut, it is told."""
    headers = chunk(b"LIST", b"hdrl" + chunk(b"avih", bytes(56)) + chunk(b"LIST", b"strl" + chunk(b"strh", bytes(56))))
    movie = chunk(b"LIST", b"movi" + chunk(b"00dc", bytes(333)))
    good = chunk(b"RIFF", b"AVI " + headers + movie + chunk(b"idx1", bytes(16)))
    second = chunk(b"RIFF", b"AVIX" + movie)
    assert check(good, AVI) == []
    assert check(good + second, AVI) == []
    assert check(good[:4] + bytes(4) + good[8:], AVI) == []  # a recorder that was cut off leaves 0
    assert kinds(good[:-100], AVI) == ["truncated"]
    assert kinds((good + second)[:-100], AVI) == ["truncated"]
    assert kinds(chunk(b"RIFF", b"AVI " + movie), AVI) == ["corrupt"]
    assert kinds(chunk(b"RIFF", b"AVI " + chunk(b"LIST", b"hdrl" + chunk(b"avih", bytes(56))) + movie), AVI) == ["corrupt"]
    assert kinds(chunk(b"RIFF", b"AVI " + headers + movie + b"idx1" + struct.pack("<I", 1 << 30) + bytes(9)), AVI) == ["corrupt"]


def test_wav(tmp_path: Path) -> None:
    """WAV as Python writes it is silent, cut it is told; sizes of a stream are taken as unknown."""
    with wave.open(str(tmp_path / "a.wav"), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8000)
        out.writeframes(bytes(4000))
    good = (tmp_path / "a.wav").read_bytes()
    assert check(good, WAV) == []
    assert check(good[:4] + b"\xff" * 4 + good[8:40] + b"\xff" * 4 + good[44:], WAV) == []
    assert kinds(good[:-1000], WAV) == ["truncated"]
    assert kinds(good[:20], WAV) == ["truncated", "truncated"]


def test_asf_commands_and_encryption(shared: Path) -> None:
    """A script command with an address in a real film is active content and an external reference; a cut film is truncated."""
    good = (shared / "video" / "tika_testWMV.wmv").read_bytes()
    size, count = struct.unpack_from("<QI", good, 16)
    name, value = "URLANDEXIT".encode("utf-16-le"), "http://canary.invalid/hit\0".encode("utf-16-le")
    body = bytes(16) + struct.pack("<HHH", 1, 1, len(name) // 2) + name + struct.pack("<IHH", 0, 0, len(value) // 2) + value
    command = bytes.fromhex("301afb1e620bd011a39b00a0c90348f6") + struct.pack("<Q", len(body) + 24) + body
    changed = good[:16] + struct.pack("<QI", size + len(command), count + 1) + good[28:30] + command + good[30:]
    assert check(good, WMV) == []
    assert check(changed, WMV) == [
        ("active-content", "script commands make a player open something; nothing was opened"),
        ("external-reference", "script commands name 'http://canary.invalid/hit'"),
    ]
    assert kinds(good[: len(good) // 2], WMV) == ["truncated"]

"""Structure of mail, JSON and playlists, and what holds for all checks: bounded, silent on good files, never raising."""

from __future__ import annotations

import json
import random
import time
from email.message import EmailMessage
from pathlib import Path

import pytest

from safelight.evidence.bytesource import MemorySource
from safelight.evidence.source import Unreadable
from safelight.extract import structure
from safelight.extract.filetype import detect
from safelight.extract.structure import reading
from safelight.extract.worker import extract
from safelight.problems import KINDS
from safelight.sandbox.protocol import Item, Task

MAIL, JSON, M3U = "message/rfc822", "application/json", "application/vnd.apple.mpegurl"


def check(data: bytes, media_type: str) -> list[tuple[str, str]]:
    return structure.check(MemorySource(data), media_type)


def kinds(data: bytes, media_type: str) -> list[str]:
    return [kind for kind, _ in check(data, media_type)]


class Counting(MemorySource):
    """Counts the bytes that are read; may fail from an offset on."""

    def __init__(self, data: bytes, bad: int | None = None) -> None:
        super().__init__(data)
        self.read, self.bad = 0, bad

    def read_at(self, offset: int, size: int) -> bytes:
        if self.bad is not None and offset + size > self.bad:
            raise Unreadable("unreadable", "a bad sector", offset, size)
        data = super().read_at(offset, size)
        self.read += len(data)
        return data


# ---- mail


def message(levels: int, text: str = "hello") -> EmailMessage:
    """Return a message that was forwarded so many times."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "a@example.org", "b@example.org", "test"
    mail.set_content(text)
    mail.add_attachment(b"\x00" * 3000, "application", "octet-stream", filename="x.bin")
    for _ in range(levels):
        outer = EmailMessage()
        outer["From"], outer["To"], outer["Subject"] = "a@example.org", "b@example.org", "Fwd"
        outer.set_content("see below")
        outer.add_attachment(mail)
        mail = outer
    return mail


@pytest.mark.parametrize("levels", [0, 1, 10])
def test_usual_mail_is_silent(levels: int) -> None:
    """Mail with attachments, also forwarded ten times, is no problem."""
    assert check(bytes(message(levels)), MAIL) == []


def test_mail_nested_too_deep_is_told() -> None:
    """Thirty forwarded mails make sixty levels: multipart and message each."""
    assert check(bytes(message(30)), MAIL) == [("limit.depth", "parts are nested deeper than 50 levels")]


def test_depth_counts_open_parts_only() -> None:
    """Hundreds of multiparts one after the other, and headers quoted in a body, are no nesting."""
    row = b"".join(b"--o\nContent-Type: multipart/mixed; boundary=p%d\n\n--p%d\n\nx\n--p%d--\n" % (i, i, i) for i in range(300))
    assert check(b"From: a\nContent-Type: multipart/mixed; boundary=o\n\n" + row + b"--o--\n", MAIL) == []
    quoted = b"".join(b"\nContent-Type: multipart/mixed; boundary=q%d\n" % i for i in range(300))
    assert check(b"From: a\nSubject: a log\n\nthe headers were" + quoted, MAIL) == []


def test_messages_of_an_mbox_are_counted_apart() -> None:
    """Messages that end without closing their parts do not add up over a mailbox."""
    one = b"From a@example.org Mon Jan  1\nFrom: a\nContent-Type: multipart/mixed; boundary=b%d\n\n--b%d\n\nhello\n\n"
    box = b"".join(one % (i, i) for i in range(200))
    assert check(box, "application/mbox") == []
    assert kinds(box + b"From b@example.org Mon Jan  1\n" + bytes(message(30)), "application/mbox") == ["limit.depth"]


def test_a_boundary_on_the_edge_of_a_piece_is_seen() -> None:
    """Mail is read a MiB at a time; a folded header that is cut there counts."""
    for shift in range(0, 40, 3):
        body = b"x" * 69 + b"\n"
        filler = body * ((1 << 20) // 70 - 2)
        head = b"From: a\nContent-Type: multipart/mixed; boundary=o\n\n--o\n\n"
        pad = b"y" * ((1 << 20) - len(head) - len(filler) - 40 + shift) + b"\n"
        deep = b"".join(b"Content-Type: multipart/mixed;\n boundary=b%d\n\n--b%d\n" % (i, i) for i in range(60))
        assert kinds(head + filler + pad + b"--o\n" + deep, MAIL) == ["limit.depth"], shift


def test_types_of_deep_text() -> None:
    """Mail and JSON that libmagic gives up on get their type; text that merely begins alike does not."""
    deep = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (i, i) for i in range(3000))
    assert detect(deep[:65536], len(deep)).media_type == "message/rfc822"
    assert detect(b"[" * 65536, 100_000).media_type == "application/json"
    assert detect(b'{"a":' * 10_000, 50_000).media_type == "application/json"
    assert detect(b"Content-Type: multipart/mixed\n\nis a header of mail.\n", 60).media_type == "text/plain"
    assert detect(b"[[[[ a box of brackets ]]]]\n", 28).media_type == "text/plain"


# ---- JSON


def test_usual_json_is_silent() -> None:
    """Large and nested JSON, with brackets and numbers in strings, is no problem."""
    data = {"list": [{"a": [i, -1.5e-7, 1e308, "[" * 600 + '\\"' + "9" * 5000]} for i in range(200)]}
    assert check(json.dumps(data).encode(), JSON) == []
    assert check(json.dumps(data, indent=2).encode(), JSON) == []
    deep = "[" * 400 + "]" * 400
    assert check(deep.encode(), JSON) == []


def test_json_nested_too_deep_is_told() -> None:
    """More than 500 levels of arrays or objects, closed or not."""
    assert kinds(b"[" * 501, JSON) == ["limit.depth"]
    assert kinds(b'{"a":' * 501 + b"1" + b"}" * 501, JSON) == ["limit.depth"]
    assert kinds(b"[]" * 5000, JSON) == []


def test_json_numbers_that_nothing_can_hold_are_told() -> None:
    """An exponent of four digits, more than 4,300 digits."""
    assert kinds(b'{"a":1e999999}', JSON) == ["corrupt"]
    assert kinds(b'{"a":1E+0001000}', JSON) == ["corrupt"]
    assert kinds(b'{"a":1e-9999}', JSON) == []  # rounds to 0
    assert kinds(b"[" + b"9" * 4301 + b"]", JSON) == ["corrupt"]
    assert kinds(b"[" + b"9" * 4300 + b"]", JSON) == []


# ---- playlists


@pytest.mark.parametrize(
    ("data", "media_type", "named"),
    [
        (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n", M3U, "file:///etc/hostname"),
        (b'#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="http://canary.invalid/k"\n', M3U, "http://canary.invalid/k"),
        (b"\xef\xbb\xbf#EXTM3U\r\nsong.mp3\r\n", M3U, "song.mp3"),
        (b"ffconcat version 1.0\nfile '/etc/hostname'\n", "text/plain", "/etc/hostname"),
        (b"[playlist]\nFile1=http://canary.invalid/a\nNumberOfEntries=1\n", "text/plain", "http://canary.invalid/a"),
        (b"v=0\no=- 0 0 IN IP4 192.0.2.1\ns=x\nc=IN IP4 192.0.2.1\nt=0 0\nm=video 5004 RTP/AVP 96\n", "text/plain", "192.0.2.1"),
        (b"<?xml version='1.0'?>\n<MPD xmlns='urn:mpeg:dash:schema:mpd:2011'><BaseURL>a.mp4</BaseURL></MPD>", "text/xml", "a.mp4"),
    ],
)
def test_playlists_name_what_is_outside(data: bytes, media_type: str, named: str) -> None:
    """Each format of playlist that players open is an external reference, and the reason names the first one."""
    ((kind, reason),) = check(data, media_type)
    assert kind == "external-reference"
    assert f"'{named}'" in reason


@pytest.mark.parametrize(
    "data", [b"#EXTM3U\n# nothing\n", b"ffconcat is a word", b"v=0 means new", b"file 'x'\n", b"<xml><MPDx/></xml>", b"a" * 100_000]
)
def test_other_text_is_silent(data: bytes) -> None:
    """Text that names nothing, or only looks a little like a playlist, is no problem."""
    assert check(data, "text/plain") == []


def test_names_in_reasons_are_harmless() -> None:
    """What a reason quotes of evidence is one line of printable ASCII, and short."""
    ((_, reason),) = check(b"#EXTM3U\n\x1b[31mred\xff\xfe\xe2\x80\xae" + b"x" * 5000 + b"\n", M3U)
    assert reason.isascii() and reason.isprintable() and len(reason) < 400


# ---- all checks


def test_every_problem_kind_is_in_the_closed_list(shared: Path) -> None:
    """Whatever the hostile files draw out of the checks has a name in `problems.KINDS`."""
    for path in sorted((shared / "hostile").rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            for media_type in structure.CHECKS:
                assert {kind for kind, _ in check(data, media_type)} <= set(KINDS), path


def test_a_check_reads_a_bounded_part() -> None:
    """No check reads more than its budget of a file, whatever it claims to be."""
    data = bytes(64 << 20)
    for media_type, head in {
        "video/mp4": b"\0\0\0\x08free", "video/x-matroska": b"\x1aE\xdf\xa3\x80", "video/x-msvideo": b"RIFF", "application/pdf": b"%PDF-1.7",
        "application/vnd.sqlite3": b"SQLite format 3\0\x10\0\1\1\0\x40\x20\x20", MAIL: b"From: a\n", JSON: b"[", "text/plain": b"#EXTM3U",
    }.items():  # fmt: skip
        source = Counting(head + data)
        structure.check(source, media_type)
        assert 0 < source.read <= reading.BUDGET, media_type


def test_an_unreadable_part_ends_the_check() -> None:
    """What was found before a bad sector stands; nothing is raised."""
    source = Counting(b"ffconcat version 1.0\nfile 'a'\n" + bytes(100_000), bad=20_000)
    assert structure.check(source, "text/plain") == []
    assert structure.check(Counting(b"", bad=0), "video/mp4") == []


def test_unknown_types_have_no_check() -> None:
    """A type without a check gives nothing and reads nothing."""
    source = Counting(b"x" * 100)
    assert structure.check(source, "application/x-unknown") == []
    assert source.read == 0
    assert not structure.wants("image/jpeg")


def test_damaged_files_never_raise(shared: Path) -> None:
    """Good and hostile files with bytes changed, cut and doubled, under every type: no exception, kinds of the list, same again."""
    dice = random.Random(20160411)
    pool = [
        p.read_bytes()
        for p in sorted([*(shared / "video").iterdir(), *(shared / "hostile").iterdir()])
        if p.is_file() and p.stat().st_size < 120_000
    ]
    end, types = time.process_time() + 6, list(structure.CHECKS)
    for _ in range(4000):
        data = bytearray(dice.choice(pool))
        if not data or time.process_time() > end:
            continue
        for _ in range(dice.choice([1, 5, 60])):
            data[dice.randrange(min(len(data), dice.choice([100, 2000, 1 << 20])))] = dice.choice([0, 1, 255, dice.randrange(256)])
        cut = bytes(data[: dice.randrange(len(data))]) if dice.random() < 0.3 else bytes(data)
        guess = detect(cut[:65536], len(cut)).media_type
        media_type = guess if structure.wants(guess) and dice.random() < 0.9 else dice.choice(types)
        found = check(cut, media_type)
        assert found == check(cut, media_type)
        assert {kind for kind, _ in found} <= set(KINDS)
        assert all(reason.isprintable() for _, reason in found)


def test_members_of_archives_are_checked() -> None:
    """A document inside an archive is looked at like one that lies on the disk."""
    import io
    import zipfile

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a/list.m3u8", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n")
        archive.writestr("plain.txt", b"hello\n")
    data = packed.getvalue()
    items = [
        i
        for i in extract(Task(0, "folder/file:a.zip", b"a.zip", len(data)), lambda: MemorySource(data), "everything")
        if isinstance(i, Item)
    ]
    assert [[kind for kind, _ in item.problems] for item in items] == [[], ["external-reference"], []]

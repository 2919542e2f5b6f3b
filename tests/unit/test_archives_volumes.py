"""Archives of several volumes say that they are, and RAR5 references lead to their content."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

import images
from safelight.evidence.bytesource import MemorySource
from safelight.evidence.source import Unreadable
from safelight.extract.archives import Budget, Member, members
from safelight.problems import Problem
from small_archives import rar5


class Found(NamedTuple):
    """Contents by name, kinds of failure by name, problems of the archive."""

    contents: dict[bytes, bytes]
    failures: dict[bytes, str]
    problems: list[Problem]


def read_all(data: bytes, media_type: str) -> Found:
    found = Found({}, {}, [])
    for member in members(MemorySource(data), media_type, Budget()):
        if isinstance(member, Problem):
            found.problems.append(member)
        elif member.has_content:
            try:
                found.contents[member.name] = b"".join(member.blocks())
            except Unreadable as error:
                found.failures[member.name] = error.kind
    return found


def test_split_zip_names_its_volumes(tmp_path: Path) -> None:
    """The last volume of a split ZIP says that it is one, which members begin elsewhere, and gives those that lie in it."""
    (tmp_path / "a.bin").write_bytes(images.content(1, 300_000))
    (tmp_path / "c.txt").write_bytes(b"here\n")
    images.run("zip", "-q", "-s", "64k", "split.zip", "a.bin", "c.txt", cwd=tmp_path)
    found = read_all((tmp_path / "split.zip").read_bytes(), "application/zip")
    assert [(p.kind, p.reason[:17]) for p in found.problems] == [("missing-part", "the last of 5 vol")]
    assert found.contents == {b"c.txt": b"here\n"}
    assert found.failures == {b"a.bin": "missing-part"}


def test_volumes_of_7z_are_named(tmp_path: Path) -> None:
    """The first volume of a 7z archive of several is no archive that is merely damaged: the words say what it can be."""
    (tmp_path / "a.bin").write_bytes(images.content(1, 300_000))
    images.run("7z", "a", "-v64k", "-bd", "x.7z", "a.bin", cwd=tmp_path)
    found = read_all((tmp_path / "x.7z.001").read_bytes(), "application/x-7z-compressed")
    assert [p.kind for p in found.problems] == ["truncated"]
    assert "first volume of several" in found.problems[0].reason


def test_volumes_of_rar_are_named(tmp_path: Path) -> None:
    """A volume of a RAR archive of several says so; its whole members are read, the cut one ends in a problem. unar agrees on what is whole."""
    whole = rar5((b"one.txt", b"the first"), (b"two.txt", b"the second"))
    assert read_all(whole, "application/vnd.rar").problems == []
    part = rar5((b"one.txt", b"the first"), (b"two.txt", b"the sec"), volume=0, more=True)
    (tmp_path / "x.part1.rar").write_bytes(part)
    assert images.run("unar", "-q", "-o", "-", "x.part1.rar", "one.txt", cwd=tmp_path).stdout == b"the first"
    found = read_all(part, "application/vnd.rar")
    assert next((p.kind, p.reason[:16]) for p in found.problems) == ("missing-part", "volume 1 of a RA")
    assert found.contents == {b"one.txt": b"the first"}
    second = read_all(rar5((b"three.txt", b"x"), volume=1), "application/vnd.rar")
    assert second.problems[0].reason.startswith("volume 2 of a RAR")


@pytest.mark.shared
def test_rar_references_lead_to_their_content(shared: Path) -> None:
    """RAR5 stores a repeated file once: each reference gives the content of its target; a junction names where it leads."""
    corpus = shared / "hostile" / "corpus"
    found = read_all((corpus / "rar5-dups.rar").read_bytes(), "application/vnd.rar")
    tool = images.run("unar", "-q", "-o", "-", corpus / "rar5-dups.rar", "stest1.txt").stdout
    assert len(tool) == 2048
    assert found.contents == {b"stest%d.txt" % i: tool for i in range(1, 10)}
    links = {
        m.name: m.link
        for m in members(MemorySource((corpus / "rar5-symlink-win.rar").read_bytes()), "application/vnd.rar", Budget())
        if isinstance(m, Member)
    }
    assert links[b"links/dir_junction"] == b"/??/C:/Users/User/stuff/content/dir2"


def test_a_copy_of_nothing_and_a_copy_of_a_copy_are_refused() -> None:
    """References that lead to no stored file end in a problem; a sound one beside them is read."""
    copies = ((b"good", b"one.txt"), (b"lost", b"none.txt"), (b"twice", b"good"), (b"self", b"self"))
    found = read_all(rar5((b"one.txt", b"the first"), copies=copies), "application/vnd.rar")
    assert found.contents == {b"one.txt": b"the first", b"good": b"the first"}
    assert found.failures == {b"lost": "corrupt", b"twice": "corrupt", b"self": "corrupt"}

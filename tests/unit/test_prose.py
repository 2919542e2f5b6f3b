"""What libmagic says of the beginning of prose is what it says of the whole of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from safelight.extract import filetype
from safelight.extract.filetype import prose

ROOT = Path(__file__).parents[2]
TEXTS = sorted(
    [
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("src/**/*.py"),
        *ROOT.glob("src/**/*.c"),
        *ROOT.glob("tests/**/*.py"),
        *Path(json.__file__).parent.parent.glob("*.py"),
    ]
)


@pytest.fixture(scope="module")
def libmagic() -> object:
    magic = pytest.importorskip("magic")
    return magic.Magic(mime=True)


def test_prose_without_its_signs_is_what_libmagic_says_of_the_whole(libmagic: object) -> None:
    """Sources and pages, robbed of all signs, are the hardest prose: words that look like programs. The short way says the same."""
    taken = 0
    for path in TEXTS:
        text = path.read_bytes()[: filetype.HEAD_BYTES].translate(None, prose._SIGNS)
        for head in (text, text[text.find(b"\n", len(text) // 2) + 1 :], text.replace(b"\n", b" ")):
            if head and prose.is_prose(head):
                taken += 1
                assert libmagic.from_buffer(head) == filetype._libmagic(head), f"{path}: {head[:80]!r}"  # type: ignore[attr-defined]
    assert taken >= 100


@pytest.mark.parametrize(
    "text",
    [
        b"We met at the station.\nIt rained, as it always does, and nobody had an umbrella.\n" * 40,
        "Grüße aus Köln: das Wetter ist schön.\n".encode() * 40,
        "Grüße aus Köln: das Wetter ist schön.\n".encode("latin-1") * 40,
        "Ветер стих.\nМоре успокоилось, и мы вышли.\n".encode() * 40,
        b"a he that not from as it to to they from it are for he word are had " * 400,
    ],
)
def test_prose_is_known(text: bytes) -> None:
    """Letters in several languages are prose, and a plain text."""
    assert prose.is_prose(text)
    assert filetype.FileType("text/plain", "text", "text") == filetype.detect(text, len(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"import os\nimport sys\n\ndef run(a, b):\n    return a\n" * 9, "text/x-script.python"),
        (b"name,size,place\na,1,x\nb,2,y\n" * 9, "text/csv"),
        (b"(setq here 1)\n(defun there ())\n" * 9, "text/x-lisp"),
        (b".TH NAME 1\n.SH DESCRIPTION\nwords\n" * 9, "text/troff"),
        (b"BEGIN:VCALENDAR\nVERSION:2.0\nEND:VCALENDAR\n", "text/calendar"),
        (b"#include <stdio.h>\nint main(void) { return 0; }\n" * 9, "text/x-c"),
    ],
)
def test_texts_with_marks_are_looked_at_whole(text: bytes, expected: str) -> None:
    """Programs, tables and pages keep the type that libmagic gives them."""
    assert expected == filetype.detect(text, len(text)).media_type


def test_a_mark_behind_much_prose_is_found() -> None:
    """A word of a program in the middle of prose hands the whole head to libmagic."""
    words = b"it was a dark night and the wind came from the sea\n" * 100
    assert prose.is_prose(words)
    assert not prose.is_prose(words + b"def run(a, b):\n" + words)
    assert not prose.is_prose(words + b"{\n")
    assert not prose.is_prose(words + b"\x00")

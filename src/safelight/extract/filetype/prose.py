"""Plain prose, for which libmagic need not search: it tries some hundred patterns on each line and costs ten times the digests.

What libmagic can tell of a text beyond `text/plain` is told by marks: a word at the very beginning (it still gets the beginning),
brackets and signs of programming and markup, or a word at the beginning of a line. A text without any of these is prose.
`tests/unit/test_prose.py` compares with what libmagic says of the whole head, on texts of many kinds.
"""

from __future__ import annotations

BEGINNING = 256
"""Bytes of prose that libmagic is given."""

SEARCHED = 1 << 14
"""Bytes in which marks at the beginning of a line are looked for; libmagic's own patterns for text end at 8 KiB."""

_SIGNS = bytes(c for c in range(128) if not (chr(c).isalnum() or chr(c) in " \t\r\n.,:;!?'\"()-"))
"""What prose has none of: control characters, and the brackets and signs of programs and markup."""

_WORDS = tuple(
    b"import |from |def |class |try:|except|package |use |sub |my |our |require |include |typedef |struct |union |enum |static |extern |const "
    b"|int |char |void |float |double |unsigned |namespace |template |public |private |protected |public:|private:|protected:|function |var "
    b"|virtual |begin|end |program |unit |module |endmodule|definition |implementation |interface |procedure |proc |mode |uses |manifest|global "
    b"|echo |set |rem |call |goto |option |dim |export |c |subroutine |variable |create |:|.|'"
    b"|newsgroups|path:|xref|subject:|to:|from:|date:|received|return-path|message-id|x-|mime|content-|relay-version|article|dnl|divert|all:".split(
        b"|"
    )
)
"""Beginnings of lines, in small letters, that patterns of libmagic ask for: more than they are, since a line too many costs time only."""

_INSIDE = (
    b'"""',
    b"'''",
    b"libhdr",
    b"(setq",
    b"(def",
    b"(if",
    b"(autoload",
    b"(custom",
    b"(require",
    b"(provide",
    b"(let",
    b"(lambda",
    b"use strict",
    b"function(",
    b"function (",
)


def is_prose(head: bytes) -> bool:
    """Tell whether a text has none of the marks by which libmagic tells its type."""
    if len(head.translate(None, _SIGNS)) != len(head):
        return False
    start = head[:SEARCHED].lower().replace(b"\t", b" ")
    lines = start.split(b"\n")
    if len(lines) > 2 and all(b"," in line for line in lines[:8]):  # a table, perhaps: libmagic counts the commas of whole lines
        return False
    return not any(line.lstrip().startswith(_WORDS) for line in lines) and not any(mark in start for mark in _INSIDE)

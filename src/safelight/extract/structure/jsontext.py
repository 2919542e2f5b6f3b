"""JSON: how deep it is nested and whether its numbers can be held, told without parsing it.

Facts: RFC 8259 section 9 (a parser may limit depth and numbers) and section 6 (numbers beyond a double do not interoperate);
4,300 digits are what Python converts (`sys.set_int_max_str_digits`). The first 4 MiB are looked at.
"""

from __future__ import annotations

import re

from safelight.extract.structure.reading import Found, Reader

LOOKED_AT = 4 << 20
MAX_DEPTH = 500
"""Common parsers stop between 100 and 10,000 levels; no data format is known to need more than some dozen."""

MAX_DIGITS = 4300

# a string, also one that is cut by the end; possessive, and each one is matched to its end, so the search is linear
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.S)
_NUMBER = re.compile(rb"(?<!\d)\d{%d}|[eE][+]?0*+[1-9]\d{3}" % (MAX_DIGITS + 1))
_NESTED = re.compile(rb'(?:\[|\{"[^"\\]{0,40}":){50}')
_NO_BRACKET = bytes(c for c in range(256) if c not in b"[]{}")


def check(reader: Reader, found: list[Found]) -> None:
    """Say where the nesting is too deep, and where a number is beyond what a double holds."""
    bare = _STRING.sub(b" ", reader.piece(0, LOOKED_AT))
    if depth(bare) > MAX_DEPTH:
        found.append(("limit.depth", f"nested deeper than {MAX_DEPTH} levels"))
    if _NUMBER.search(bare):
        found.append(("corrupt", f"a number of more than {MAX_DIGITS} digits, or with an exponent of four digits: no program can hold it"))


def depth(bare: bytes) -> int:
    """Return the deepest nesting of brackets in JSON without its strings."""
    import numpy as np

    steps = np.zeros(256, np.int8)
    steps[list(b"[{")], steps[list(b"]}")] = 1, -1
    brackets = bare.translate(None, _NO_BRACKET)
    if not brackets:
        return 0
    return int(np.cumsum(steps[np.frombuffer(brackets, np.uint8)], dtype=np.int64).max())


def media_type(head: bytes) -> str | None:
    """Recognise JSON that is nested so deep that libmagic gives up: it begins by opening 50 brackets and nothing else."""
    return "application/json" if _NESTED.match(head[:16384].translate(None, b" \t\r\n")) else None

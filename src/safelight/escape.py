"""Show evidence text as text: names and values that came from evidence are data in every place where they are shown.

Bytes are kept raw in the tables; what people read is escaped here, visibly, and so that nothing can act on a terminal, a
spreadsheet or a reading direction. HTML is escaped by the template engine of the report, on top of this.
"""

from __future__ import annotations

import re
import unicodedata

_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_FORMULA = re.compile(r"(^|;)(?=[=+\-@\t\r\uff1d\uff0b\uff0d\uff20])")
"""Where a formula may begin: at the beginning of a cell, and behind a semicolon, which parts cells in a spreadsheet of half of Europe.
Full-width signs are taken for the plain ones by spreadsheets in East Asia."""


def readable(raw: bytes) -> str:
    r"""Return stored bytes as text: valid UTF-8 as it is, everything that is invalid, control or bidi as `\x..` or `\u....`.

    A backslash that stands in the name stays as it is; the raw bytes beside it tell the two apart.
    """
    return printable(raw.decode("utf-8", "surrogateescape"))


def printable(text: str) -> str:
    """Escape control, bidi, surrogate and other invisible characters of a text; the rest is unchanged."""
    if text.isprintable() and text.isascii():
        return text
    return "".join(_escape(c) for c in text)


def _escape(c: str) -> str:
    code = ord(c)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that was not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    if c in _BIDI or unicodedata.category(c) in ("Cc", "Cf", "Cs", "Cn", "Zl", "Zp"):
        return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
    return c


def cell(text: str) -> str:
    """Return a CSV cell that no spreadsheet takes for a formula: an apostrophe is put wherever one would begin."""
    return _FORMULA.sub(r"\1'", text)

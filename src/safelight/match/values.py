"""Judge the values of one record: normalise, refuse with a reason, recognise digests of nothing and of trivial content.

The rules are those of FORMATS.md section 1: strip dirt at both ends only, then demand exactly the length of the declared algorithm
in ASCII hex. Nothing is repaired inside a value, and a length never overrules a type that the source names.
"""

from __future__ import annotations

import base64
import binascii
import re
from binascii import unhexlify
from collections.abc import Iterable
from hashlib import md5, sha1, sha256, sha512

from safelight.match.entries import REASONS, WIDTHS, Record, Skip

DIRT = " \t\r\n\v\f\x00\x1c\x1d\x1e\x1f\x85\ufeff\u00a0\u200b\u200c\u200d\u2060\u2028\u2029\u3000\"'"
NOTHING = frozenset(("", "n/a", "na", "null", "none", "nil", "-"))
HEX = re.compile(r"[0-9A-Fa-f]+\Z", re.ASCII)
HEX_LENGTHS = {name: 2 * width for name, width in WIDTHS.items()}
BY_LENGTH = {32: "md5", 40: "sha1", 128: "sha512"}
PHOTODNA_BYTES = 144
MOST_VALUES = 1000
MOST_TEXT = 32768

_ALGORITHMS = {"md5": md5, "sha1": sha1, "sha256": sha256, "sha512": sha512}


def _digests_of(contents: Iterable[bytes]) -> frozenset[bytes]:
    return frozenset(make(c).digest() for c in contents for make in _ALGORITHMS.values())


EMPTY = _digests_of([b""])
"""Digests of zero bytes: skipped at import and never matched."""
TRIVIAL = _digests_of([b"\n", b"\0", bytes(512), bytes(4096)])
"""Digests of content that says nothing: flagged, and not matched unless the user says so."""

ALGORITHM_WORDS = {
    "md5": "md5",
    "sha1": "sha1",
    "sha": "sha1",
    "sha256": "sha256",
    "sha2256": "sha256",
    "sha512": "sha512",
    "pdq": "pdq",
    "photodna": "photodna",
    "pdna": "photodna",
}


def algorithm(word: str) -> str | None:
    """Name the algorithm of a word as sources write it (`SHA-256`, `sha_256`, `PDNA`); None where it is not one of ours."""
    return ALGORITHM_WORDS.get(word.strip(DIRT).lower().replace("-", "").replace("_", "").replace(" ", ""))


def clean(value: object) -> str:
    """Return a value as text with the dirt at both ends removed; "" for nothing at all and for the words that mean nothing."""
    if value is None or isinstance(value, bool):
        return ""
    text = str(value).strip(DIRT)
    return "" if len(text) < 5 and text.lower() in NOTHING else text


def photodna(text: str) -> bytes | str:
    """Return the 144 bytes of a PhotoDNA value (base64, URL-safe base64, hex or decimal list), or the reason against it."""
    raw: bytes
    try:
        if "," in text or ";" in text:
            raw = bytes(int(part) for part in re.split(r"[,;]", text.strip("[](){} ,;"), maxsplit=2000))
        elif len(text) == 2 * PHOTODNA_BYTES and HEX.match(text):
            raw = bytes.fromhex(text)
        else:
            raw = base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except (ValueError, binascii.Error):
        return "photodna_bad_length"
    if len(raw) != PHOTODNA_BYTES:
        return "photodna_bad_length"
    return "photodna_placeholder" if len(set(raw)) == 1 else raw


def digest(declared: str | None, text: str) -> tuple[str, bytes] | str:
    """Judge one cleaned, non-empty value of a digest or PDQ: (algorithm, bytes), or the reason against it.

    `declared` None means that the source does not name the algorithm; then the length decides, where it can.
    """
    if declared is not None and len(text) == HEX_LENGTHS[declared]:  # the way of nearly all values, kept short
        try:
            raw = unhexlify(text)
        except ValueError:  # also what is not ASCII; unlike bytes.fromhex it accepts no space inside
            pass
        else:
            if raw.count(raw[0]) == len(raw) and raw[0] >> 4 == raw[0] & 15:
                return "placeholder"
            return "empty_input" if raw in EMPTY else (declared, raw)
    if len(set(text.lower())) == 1:
        return "placeholder"
    if not HEX.match(text):
        return "bad_hash"
    name = declared
    if name is None:
        if len(text) == 64:
            return "ambiguous_type"
        name = BY_LENGTH.get(len(text))
    if name is None or len(text) != HEX_LENGTHS[name]:
        return "bad_hash"
    raw = bytes.fromhex(text)
    return "empty_input" if raw in EMPTY else (name, raw)


class Judged:
    """The values of one record, judged: what survives, what was refused."""

    __slots__ = ("digests", "opaque", "rejected")

    def __init__(self) -> None:
        self.digests: list[tuple[str, bytes]] = []
        self.opaque: list[tuple[str, bytes]] = []
        self.rejected: list[str] = []

    def add(self, declared: str | None, value: object) -> None:
        """Judge one value; a value that says nothing is not counted, the same value twice is one."""
        text = clean(value)
        if not text:
            return
        if len(self.digests) + len(self.opaque) + len(self.rejected) >= MOST_VALUES:
            if self.rejected[-1:] != ["too_many_values"]:
                self.rejected.append("too_many_values")
            return
        found = photodna(text) if declared == "photodna" else digest(declared, text)
        if isinstance(found, str):
            self.rejected.append(found)
        elif isinstance(found, bytes):
            self.add_opaque("photodna", found)
        elif found not in self.digests:
            self.digests.append(found)

    def add_opaque(self, kind: str, raw: bytes) -> None:
        """Keep bytes that cannot be matched here."""
        if (kind, raw) not in self.opaque:
            self.opaque.append((kind, raw[:MOST_TEXT]))

    def reason(self) -> str:
        """Return the one reason of a record without a surviving value."""
        order = {name: rank for rank, name in enumerate(REASONS)}
        if not self.rejected:
            return "no_hash"
        return min((r if r in order else "bad_hash" for r in self.rejected), key=order.__getitem__)


def judged_record(judged: Judged, record: Record) -> Record | Skip:
    """Return `record` filled with the judged values, or the skip that it becomes."""
    if not judged.digests and not judged.opaque:
        return Skip(position=record.position, line=record.line, reason=judged.reason(), repeats=record.repeats)
    record.digests = judged.digests
    record.opaque = judged.opaque
    record.rejected = judged.rejected
    record.trivial = any(raw in TRIVIAL for _, raw in judged.digests)
    return record


def flag(value: object) -> bool | None:
    """Read a flag as sources write it: booleans, 1/0, true/false, yes/no; None for null, nothing and what cannot be read."""
    if isinstance(value, bool):
        return value
    word = clean(value).lower()
    if word in ("true", "1", "yes", "y", "ja", "t", "x"):
        return True
    if word in ("false", "0", "no", "n", "nei", "nein", "f"):
        return False
    return None


def short_text(value: object) -> str:
    """Return text of bounded length, as stored."""
    return str(value)[:MOST_TEXT]

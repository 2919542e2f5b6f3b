"""Token stream of a JSON file of any size, often one line of many GB: bounded memory, exact place of the end, no recursion.

The parser is ijson's yajl2; its push interface keeps the events before an error, so what is complete in a cut file survives.
The end of the document is found in bytes, so that bytes behind it are counted (FORMATS.md T8).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from safelight.match.formats.text import decoder_of, encoding_of

CHUNK = 1 << 16
LARGEST_VALUE = 64 << 20
DEEPEST = 10_000
TOKENS = re.compile(rb'["{}\[\]]|\\.', re.DOTALL)

Token = tuple[str, Any]


class Cut(Exception):
    """The document does not end as JSON must; what was complete has been given."""


def utf8_chunks(stream: BinaryIO, encoding: str, skip: int) -> Iterator[bytes]:
    """Yield the file as UTF-8 without byte-order mark."""
    stream.seek(skip)
    recode = None if encoding == "utf-8" else decoder_of(encoding)  # only plain UTF-8 was checked whole
    while block := stream.read(CHUNK):
        yield recode.decode(block).encode("utf-8", "replace") if recode else block
    if recode and (rest := recode.decode(b"", final=True)):
        yield rest.encode("utf-8", "replace")


class _Quotes:
    """Tracks, at the speed of `bytes.count`, whether a place between two chunks is inside a string, and whether it is escaped."""

    def __init__(self) -> None:
        self.inside = False
        self.escaped = False

    def pass_over(self, chunk: bytes) -> None:
        body = chunk[1:] if self.escaped else chunk
        bare = body.replace(b"\\\\", b"")
        self.inside ^= (bare.count(b'"') - bare.count(b'\\"')) % 2 == 1
        self.escaped = bare.endswith(b"\\")


def end_in(chunk: bytes, inside: bool, escaped: bool, depth: int) -> int:
    """Return how many bytes of `chunk` belong to the document, which closes in it; -1 where it does not."""
    for found in TOKENS.finditer(chunk, 1 if escaped else 0):
        byte = found[0]
        if byte == b'"':
            inside = not inside
        elif not inside and byte in b"{[":
            depth += 1
        elif not inside and byte in b"}]":
            depth -= 1
            if depth == 0:
                return found.end()
    return -1


class JsonTokens:
    """The tokens of one document. After iteration: `trailing` bytes behind the end (0 when only white space), `encoding`.

    Raises `Cut` from the iteration where the document is not whole or not JSON; the tokens before that have been yielded.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self.encoding, self.skip = encoding_of(stream)
        self.trailing = 0
        self.depth = 0

    def _follow(self, tokens: list[Token]) -> bool:
        """Follow the nesting; return True where the document closed."""
        for event, _ in tokens:
            if event in ("start_map", "start_array"):
                self.depth += 1
            elif event in ("end_map", "end_array"):
                self.depth -= 1
                if self.depth == 0:
                    return True
        return False

    def __iter__(self) -> Iterator[list[Token]]:
        import ijson

        tokens = ijson.sendable_list()
        # use_float: yajl checks numbers itself. Without it ijson 3.6 hands out a null pointer (a crash) for an integer of more
        # digits than Python converts, measured with 5,000 nines; integers up to 2**63 - 1 stay exact either way.
        parser = ijson.basic_parse_coro(tokens, use_float=True)
        quotes, silent = _Quotes(), 0
        chunks = utf8_chunks(self.stream, self.encoding, self.skip)
        for chunk in chunks:
            inside, escaped, depth, why = quotes.inside, quotes.escaped, self.depth, ""
            try:
                parser.send(chunk)
            except (ijson.JSONError, ValueError, StopIteration) as error:
                why = str(error).split("\n")[0][:200] or "not JSON"
            ready = list(tokens)
            tokens.clear()
            closed = self._follow(ready)
            yield ready
            if closed:
                end = end_in(chunk, inside, escaped, depth)
                self._count_trailing(chunk[end:] if end >= 0 else b"", chunks)
                return
            if why:
                raise Cut(f"not valid JSON from here on: {why}")
            quotes.pass_over(chunk)
            silent = 0 if ready else silent + len(chunk)
            if silent > LARGEST_VALUE:
                raise Cut(f"one value is larger than {LARGEST_VALUE >> 20} MiB")
            if self.depth > DEEPEST:
                raise Cut(f"nested deeper than {DEEPEST} levels")
        raise Cut("the file ends before its JSON does")

    def _count_trailing(self, rest: bytes, chunks: Iterator[bytes]) -> None:
        count, blank = len(rest), not rest.strip()
        for chunk in chunks:
            count += len(chunk)
            blank = blank and not chunk.strip()
        self.trailing = 0 if blank else count

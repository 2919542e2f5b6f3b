"""The closed list of problem kinds: everything that evidence can do to us has a name here.

A problem is a fact: what could not be read, why, and where. Readers and extractors never log and go on; they yield a
`Problem`. `docs/reference/problems.md` is generated from this file.
"""

from __future__ import annotations

import msgspec

KINDS: dict[str, str] = {
    # the evidence itself
    "unreadable": "The medium or a layer below gave an error for a range of bytes.",
    "missing-part": "A segment, parent image or other part that the evidence names is not there.",
    "corrupt": "A structure contradicts itself; what could be read was kept.",
    "truncated": "The data end before their own structure says so.",
    "empty": "A file whose name or place promises content has zero bytes.",
    "unsupported": "A format that this version cannot read; it is named in the reason.",
    "reader-missing": "An optional library is not installed; the reason names it.",
    "encrypted": "Content is encrypted; the reason names the scheme.",
    "second-reader": "The first reader failed or gave up; the entries come from the second reader of the format.",
    "accounts": "The numbers of a volume do not add up (entries by walk and by table, bytes allocated and covered).",
    "false-orphans": "Implausible records were counted and not listed one by one.",
    "name-only": "A deleted name whose metadata is gone: there is no content to read.",
    "reallocated": "A deleted name whose record was used again: the content there is not that of the name.",
    "overwritten": "A deleted file whose clusters are (partly) in use again: the bytes are not those of the file.",
    "duplicate-address": "Two deleted names claim the same address.",
    "evidence-changed": "The evidence is not what it was when it was added.",
    # files
    "type-mismatch": "The content is of another type than the name says.",
    "trailing-data": "There are bytes after the end that the format declares.",
    "external-reference": "The file names something outside itself; nothing was fetched.",
    "active-content": "The file holds a program, script or action; nothing was run.",
    "unsafe-name": "A name that would leave its folder, or that differs between two places in the archive.",
    "link": "A link or device inside an archive: recorded, never followed or made.",
    "metadata": "Metadata (EXIF, XMP, ICC …) are damaged or refused; the picture was kept.",
    "no-vector": "The descriptor model gave no usable numbers for this picture.",
    # limits: always by count, bytes or CPU seconds, never by wall clock, so that the same item fails everywhere alike
    "limit.pixels": "More pixels than the decoder budget.",
    "limit.bytes": "More bytes than the budget of the item or of the whole tree below it.",
    "limit.ratio": "A compression ratio beyond the budget.",
    "limit.depth": "Nested deeper than the budget.",
    "limit.entries": "More entries than the budget.",
    "limit.frames": "More frames or pages than the budget.",
    "limit.metadata": "More metadata than the budget.",
    "limit.time": "The item used up its CPU seconds.",
    "limit.memory": "The item needed more memory than a worker may have.",
    "crashed": "The parser died on this item, twice.",
    "protocol": "A worker answered with something that is not a valid answer.",
}


class Problem(msgspec.Struct, frozen=True, array_like=True):
    """What went wrong, where. `origin` names an item, a volume or a container; `complete` says whether the neighbours are."""

    kind: str
    reason: str
    origin: str = ""
    complete: bool = True

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown problem kind {self.kind!r}")

"""SQLite databases: the header, and the trees of tables and indexes as far as their pages go. No SQL is run, no row is read.

Facts: sqlite.org/fileformat2.html (header, b-tree pages, records of sqlite_schema, the lock-byte page). The schema is read for
its root pages and for what its text would do in a program that runs it.
"""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

from safelight.extract.structure.reading import Found, Reader, quoted

MAX_ROOTS = 500
"""Tables and indexes that are looked at."""

MAX_ROWS = 5_000
MAX_TEXT = 8192
"""Rows of the schema that are read, and bytes of the text of each."""

MAX_CHILDREN = 8
"""Children of each interior page that are looked at: the first and the last."""

MAX_DEPTH = 20
"""SQLite's own limit of a cursor (BTCURSOR_MAX_DEPTH)."""

TABLE, INDEX = frozenset((0x05, 0x0D)), frozenset((0x02, 0x0A))
INTERIOR = frozenset((0x05, 0x02))

_RECURSIVE = re.compile(rb"\bcreate\s+(?:temp\s+|temporary\s+)?view\b.{1,4000}?\bas\s+with\s+recursive\b", re.I | re.S)
_REACHING = re.compile(rb"\b(load_extension|fts3_tokenizer|writefile|readfile|edit|fileio_\w{1,20})\s*\(", re.I)
_CODE = re.compile(rb"\s*create\s+(?:temp\s+|temporary\s+)?(?:view|trigger)\b", re.I)


class _Page(NamedTuple):
    """A b-tree page: its number, its bytes, where its header stands (100 on page 1), its kind, its cells."""

    number: int
    data: bytes
    at: int
    kind: int
    cells: tuple[int, ...]


class _Root(NamedTuple):
    """A tree to look at: its first page, the kinds that its pages may have, its name, depth."""

    page: int
    kinds: frozenset[int]
    name: bytes
    depth: int


class _Database:
    """The measures of one database."""

    def __init__(self, reader: Reader, found: list[Found], header: bytes) -> None:
        self.reader, self.found = reader, found
        size = struct.unpack_from(">H", header, 16)[0]
        self.page_size = 65536 if size == 1 else size
        self.usable = self.page_size - header[20]
        # 2 and 3 are UTF-16 in the two orders: texts of the schema are so too
        self.encoding = {2: "utf-16-le", 3: "utf-16-be"}.get(struct.unpack_from(">I", header, 56)[0])
        changed, self.claimed = struct.unpack_from(">II", header, 24)
        # the size in the header holds only where the writer knew of it (SQLite 3.7.0 and later)
        self.sized = changed == struct.unpack_from(">I", header, 92)[0] and self.claimed > 0
        self.pages = -(-reader.size // self.page_size) if self.page_size else 0

    def text(self, value: bytes) -> bytes:
        """Return a text of the database in UTF-8."""
        return value.decode(self.encoding, "replace").encode("utf-8", "replace") if self.encoding else value

    def page(self, number: int, what: str) -> _Page | None:
        """Return a b-tree page; note what is wrong with it and return None where it is none."""
        if not 0 < number <= max(self.pages, self.claimed if self.sized else 0):
            self.found.append(("corrupt", f"page {number} ({what}) is not there, the file has {self.pages} pages"))
            return None
        start = (number - 1) * self.page_size
        if start + self.page_size > self.reader.size:
            return None  # cut off: that the file is cut is told once
        data, at = self.reader.piece(start, self.page_size), 100 if number == 1 else 0
        kind = data[at]
        head = 12 if kind in INTERIOR else 8
        count, content = struct.unpack_from(">HH", data, at + 3)
        room = at + head + 2 * count
        if kind not in TABLE | INDEX or room > self.usable or (content or 65536) > self.page_size or data[at + 7] > 60:
            self.found.append(("corrupt", f"page {number} ({what}) is no page of a tree"))
            return None
        cells = struct.unpack_from(f">{count}H", data, at + head)
        if any(not room <= cell < self.usable for cell in cells):
            self.found.append(("corrupt", f"a cell of page {number} ({what}) lies outside the page"))
            return None
        return _Page(number, data, at, kind, cells)


def check(reader: Reader, found: list[Found]) -> None:
    """Check the header, then the schema and the tops of its trees."""
    header = reader.at(0, 100)
    if len(header) < 100:
        found.append(("truncated", f"the header needs 100 bytes, there are {len(header)}"))
        return
    base = _Database(reader, found, header)
    if not _header(base, header):
        return
    if reader.size % base.page_size:
        found.append(("corrupt", f"the file ends in the middle of a page of {base.page_size} bytes"))
    if base.sized and base.claimed * base.page_size > reader.size:
        have = reader.size // base.page_size
        found.append(("truncated", f"{have} of {base.claimed} pages are whole"))
    roots = _schema(base)
    _trees(base, roots)


def _header(base: _Database, header: bytes) -> bool:
    """Check the fixed fields of the header; False where nothing else can be told."""
    size = base.page_size
    if size < 512 or size & (size - 1):
        base.found.append(("corrupt", f"a page size of {size} bytes"))
        return False
    if base.usable < 480 or header[21:24] != b"\x40\x20\x20":
        base.found.append(("corrupt", "the header has impossible fields (reserved bytes, payload fractions)"))
        return False
    return True


def _schema(base: _Database) -> list[_Root]:
    """Walk the tree of sqlite_schema and return the trees that it names."""
    roots: list[_Root] = []
    waiting, seen, rows = [_Root(1, TABLE, b"sqlite_schema", 0)], {1}, 0
    while waiting and len(roots) < MAX_ROOTS:
        here = waiting.pop()
        page = _checked(base, here)
        if page is None:
            continue
        if page.kind in INTERIOR:
            waiting += reversed(_children(base, here, page, seen, every=True))
            continue
        for cell in dict.fromkeys(page.cells):
            rows += 1
            root = _schema_row(base, page, cell) if rows <= MAX_ROWS else None
            if root is not None and root.page not in seen:
                seen.add(root.page)
                roots.append(root)
    return roots[:MAX_ROOTS]


def _trees(base: _Database, roots: list[_Root]) -> None:
    """Look at the root of each tree, then, breadth first, at some children of each page."""
    seen, waiting = {root.page for root in roots} | {1}, roots
    while waiting:
        below: list[_Root] = []
        for here in waiting:
            page = _checked(base, here)
            if page is not None and page.kind in INTERIOR:
                below += _children(base, here, page, seen, every=False)
        waiting = below


def _checked(base: _Database, here: _Root) -> _Page | None:
    """Return the page of a tree if it is one of its kind."""
    what = f"of {quoted(here.name, 60)}"
    page = base.page(here.page, what)
    if page is not None and page.kind not in here.kinds:
        base.found.append(("corrupt", f"page {here.page} ({what}) is of another kind of tree"))
        return None
    return page


def _children(base: _Database, here: _Root, page: _Page, seen: set[int], every: bool) -> list[_Root]:
    """Return the places of the children of an interior page (of all, or of some), each only once."""
    if here.depth >= MAX_DEPTH:
        base.found.append(("corrupt", f"the tree of {quoted(here.name, 60)} is deeper than {MAX_DEPTH}"))
        return []
    cells = page.cells if every or len(page.cells) < MAX_CHILDREN else page.cells[: MAX_CHILDREN - 1]
    numbers = [struct.unpack_from(">I", page.data, cell)[0] for cell in cells if cell + 4 <= len(page.data)]
    numbers.append(struct.unpack_from(">I", page.data, page.at + 8)[0])
    children: list[_Root] = []
    for number in numbers:
        if number in seen:
            base.found.append(("corrupt", f"page {number} stands twice in the trees of the database"))
            return children
        seen.add(number)
        children.append(_Root(number, here.kinds, here.name, here.depth + 1))
    return children


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return a number of 1 to 9 bytes and the offset behind it; at the end of the data (0, len)."""
    value = 0
    for i in range(9):
        if at + i >= len(data):
            return 0, len(data)
        byte = data[at + i]
        if i == 8:
            return value << 8 | byte, at + 9
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + i + 1
    raise AssertionError("unreachable")


_SIZES = {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8, 7: 8, 8: 0, 9: 0}


def _schema_row(base: _Database, page: _Page, cell: int) -> _Root | None:
    """Read one row of sqlite_schema (type, name, tbl_name, rootpage, sql) as far as it lies on its page."""
    data = page.data
    payload, at = _varint(data, cell)
    _, start = _varint(data, at)
    local = _local(payload, base.usable)
    length, at = _varint(data, start)
    body, end = start + length, min(start + local, len(data))
    types: list[int] = []
    while at < min(body, end) and len(types) < 5:
        kind, at = _varint(data, at)
        types.append(kind)
    if len(types) < 5 or body > end:
        base.found.append(("corrupt", f"a row of the schema on page {page.number} is damaged"))
        return None
    values: list[bytes] = []
    for kind in types:
        size = _SIZES.get(kind, (kind - 12) // 2 if kind >= 12 else 0)
        values.append(data[body : min(body + size, end)])
        body += size
    what, name, sql = (base.text(values[i]) for i in (0, 1, 4))
    _text_of_schema(base, sql[:MAX_TEXT], name)
    number = 1 if types[3] == 9 else int.from_bytes(values[3], "big")
    if what == b"index" and number:
        return _Root(number, INDEX, name, 0)
    if what == b"table" and number:
        # a table WITHOUT ROWID lies in an index tree; its text may say so on pages that are not read
        return _Root(number, TABLE if payload == local and b"without" not in sql.lower() else TABLE | INDEX, name, 0)
    return None


def _local(payload: int, usable: int) -> int:
    """Return how much of a payload a leaf page of a table holds itself (fileformat2, section 1.6)."""
    most, least = usable - 35, (usable - 12) * 32 // 255 - 23
    if payload <= most:
        return payload
    some = least + (payload - least) % (usable - 4)
    return some if some <= most else least


def _text_of_schema(base: _Database, sql: bytes, name: bytes) -> None:
    """Look for views and triggers that would do harm in a program that reads them as if they were tables."""
    if _RECURSIVE.match(sql.lstrip()):
        base.found.append(("active-content", f"view {quoted(name, 60)} is a recursive query; views are never run"))
    elif _CODE.match(sql) and (calls := _REACHING.search(sql)):
        base.found.append(("active-content", f"view or trigger {quoted(name, 60)} calls {quoted(calls[1])}; it is never run"))

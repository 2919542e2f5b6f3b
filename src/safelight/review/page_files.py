"""The built page: a fixed list of files, read once at the start. A path that is not in the list is no file of ours."""

from __future__ import annotations

import re
from importlib.resources import files
from importlib.resources.abc import Traversable

TYPES = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
    "png": "image/png",
    "woff2": "font/woff2",
    "json": "application/json",
}
PLACEHOLDER = (
    b'<!doctype html><html lang="en"><meta charset="utf-8"><title>Safelight</title>'
    b"<h1>Safelight</h1><p>The review page is not built into this installation. Run <code>make page</code> and start again.</p></html>"
)


class Page:
    """The files by path: `/` and `/assets/…`, as (bytes, media type)."""

    def __init__(self) -> None:
        root = files("safelight.review").joinpath("page")
        self.found = {f"/{name}": (data, TYPES[name.rsplit(".", 1)[-1]]) for name, data in _read(root, "")}
        index = self.found.pop("/index.html", None)
        self.built = index is not None
        self.found["/"] = index or (PLACEHOLDER, TYPES["html"])


def _read(folder: Traversable, prefix: str) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    if not folder.is_dir():
        return found
    for entry in folder.iterdir():
        if entry.is_dir():
            found += _read(entry, f"{prefix}{entry.name}/")
        elif re.fullmatch(r"[\w.-]+", entry.name) and entry.name.rsplit(".", 1)[-1] in TYPES:
            found.append((f"{prefix}{entry.name}", entry.read_bytes()))
    return found

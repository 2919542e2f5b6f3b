"""Check that nothing under GPL or AGPL is part of Safelight: by the metadata of every locked package, by the libraries that
wheels bring along, and by what the source imports.

    python tools/check_licences.py

LGPL is allowed: such libraries are separate files that anyone may replace. Separate programs that tests call are no part of it.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]

STATED: dict[str, str] = {}
"""Licences of packages whose metadata say nothing, with where it was read."""

FORBIDDEN_IMPORTS = {
    "dissect": "AGPL",
    "exiv2": "GPL",
    "pyexiv2": "GPL",
    "fitz": "AGPL",
    "pymupdf": "AGPL",
    "gi": "may load GExiv2, GPL",
    "unrar": "not free",
}
GPL_LIBRARIES = re.compile(r"lib(x26[45]|exiv2|mupdf|poppler|readline|gsl|fftw3|unrar|magickcore|postproc)[-.]", re.IGNORECASE)
"""Shared libraries under GPL that wheels are known to bring along."""

PERMISSIVE = {"MIT", "ISC", "BSD-2-Clause", "BSD-3-Clause", "0BSD", "Apache-2.0"}
"""Licences of what may become part of the page, as SPDX names them."""

GPL = re.compile(r"(?<![A-Za-z])A?GPL|(?<!Lesser )(?<!Library )General Public License|Affero", re.IGNORECASE)
LESSER = re.compile(r"LGPL|Lesser General Public|Library General Public", re.IGNORECASE)


def main() -> int:
    """Print what is wrong and return 1, or the counts and 0."""
    names = locked(ROOT / "requirements.lock")
    tools = json.loads((ROOT / "web/package-lock.json").read_text("utf-8"))["packages"]
    faults = [*packages(names), *imports(ROOT / "src"), *page(tools)]
    for fault in faults:
        print(f"licences: {fault}")
    if not faults:
        print(f"licences: {len(names)} packages and their libraries, {len(tools) - 1} of the page and its tools, no GPL or AGPL")
    return 1 if faults else 0


def locked(lock: Path) -> list[str]:
    """Return the names of a lock file, without those that only Windows needs: Safelight does not run there."""
    found = re.findall(r"^([A-Za-z0-9._-]+)==(.*)$", lock.read_text("utf-8"), re.MULTILINE)
    return [name for name, rest in found if not re.search(r"; (sys_platform|os_name|platform_system) == '(win32|nt|Windows)'", rest)]


def packages(names: list[str]) -> Iterator[str]:
    """Yield what is wrong with the packages, as they are installed."""
    for name in names:
        try:
            found = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            yield f"{name} is locked and not installed: make setup"
            continue
        stated = licence(found) or STATED.get(name, "")
        if not stated:
            yield f"{name} says nothing of its licence; read it and enter it in STATED"
        elif forbidden(stated):
            yield f"{name} is under {stated!r}"
        for file in found.files or ():
            if GPL_LIBRARIES.search(file.name):
                yield f"{name} brings along {file.name}, which is under GPL"


def page(tools: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Yield what is wrong with what the page is built from: its parts must be permissive, its tools not under GPL."""
    for name, entry in tools.items():
        stated = entry.get("license", "")
        if not name:
            continue
        if not stated or forbidden(stated):
            yield f"{name} is under {stated or 'no stated licence'!r}"
        elif not entry.get("dev") and stated not in PERMISSIVE:
            yield f"{name} becomes part of the page and is under {stated!r}"


def licence(found: metadata.Distribution) -> str:
    """Return what a package says: the SPDX expression, else its classifiers, else the free text."""
    said = found.metadata.json
    classifiers = [c.split("::")[-1].strip() for c in said.get("classifier", ()) if c.startswith("License ::")]
    free = str(said.get("license", "")).strip().split("\n")[0]
    return str(said.get("license_expression", "")) or "; ".join(classifiers) or free


def forbidden(stated: str) -> bool:
    """Tell whether a licence leaves no way but GPL or AGPL. One of several that are offered is enough."""
    return all(GPL.search(LESSER.sub("", choice)) for choice in re.split(r"\bOR\b", stated))


def imports(source: Path) -> Iterator[str]:
    """Yield each import of a module that is forbidden, wherever it stands."""
    for path in sorted(source.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Import | ast.ImportFrom):
                continue
            for name in [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""]:
                if (top := name.split(".")[0].lower()) in FORBIDDEN_IMPORTS:
                    yield f"{path.relative_to(ROOT)}:{node.lineno} imports {name} ({FORBIDDEN_IMPORTS[top]})"


if __name__ == "__main__":
    sys.exit(main())

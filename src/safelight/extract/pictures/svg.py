"""SVG is a program for pictures: it is named and searched for what reaches out, never drawn."""

from __future__ import annotations

import re

_REACHES_OUT = re.compile(rb"""(?:href|src)\s*=\s*["']\s*(?:https?:|file:|ftp:|//)|url\(\s*["']?\s*(?:https?:|file:)|@import""", re.I)
_ACTIVE = re.compile(rb"""<\s*(?:\w+:)?script|\son[a-z]{3,20}\s*=|javascript:""", re.I)


def refuse_svg(data: bytes) -> list[tuple[str, str]]:
    """Return the problems of an SVG file; the first says that it is not drawn."""
    declared = re.search(rb"<!(?:DOCTYPE|ENTITY)", data, re.I) is not None
    problems = [("unsupported", "SVG is not drawn" + ("; its document type declaration is refused" if declared else ""))]
    if _REACHES_OUT.search(data) or (declared and re.search(rb"\b(?:SYSTEM|PUBLIC)\s*[\"']", data)):
        problems.append(("external-reference", "the SVG names something outside itself"))
    if _ACTIVE.search(data):
        problems.append(("active-content", "the SVG holds a script or an event handler"))
    return problems

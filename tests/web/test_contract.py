"""The page's types are those of the server."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_types_are_generated_from_the_description() -> None:
    """schema.d.ts is what the server's OpenAPI description gives: after a change there, `tools/web.sh types`."""
    if not (ROOT / "web/node_modules").is_dir():
        pytest.skip("the tools of the page are not installed: tools/setup.sh test")
    made = subprocess.run(
        [ROOT / "tools/web.sh", "openapi-typescript", "../src/safelight/review/openapi.json"], capture_output=True, check=True, timeout=120
    )
    assert made.stdout.decode() == (ROOT / "web/src/api/schema.d.ts").read_text("utf-8")


def test_no_html_is_made_of_text() -> None:
    """No source of the page makes HTML, code or styles from text."""
    words = (
        "{@html",
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
        'setAttribute("style"',
        'style="',
    )
    found = [
        (file.name, word)
        for file in (ROOT / "web/src").rglob("*")
        if file.suffix in (".ts", ".svelte")
        for word in words
        if word in file.read_text("utf-8")
    ]
    assert found == []

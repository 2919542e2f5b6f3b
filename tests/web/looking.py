"""Waiting for what a page shows. Playwright's own `wait_for_function` evaluates text in the page, which the content policy forbids."""

from __future__ import annotations

import time
from typing import Any


def until(page: Any, expression: str, seconds: float = 10) -> None:
    """Wait until an expression is true in the page; fail with it when it does not become so."""
    end = time.monotonic() + seconds
    while not page.evaluate(expression):
        assert time.monotonic() < end, f"still not so after {seconds} s: {expression}"
        page.wait_for_timeout(25)

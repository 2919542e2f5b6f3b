"""Imports point downwards only: what is low can be read, tested and replaced without what is above it.

Both kinds of import are counted, those at the top of a module and those inside functions; imports for type checking only are not.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import safelight

SOURCE = Path(safelight.__file__).parent

LAYERS: tuple[tuple[str, ...], ...] = (
    ("cli",),
    ("review",),
    ("report", "exports"),
    ("pipeline",),
    ("table",),
    ("verify", "access"),
    ("executors", "decisions"),  # decisions know the schemes of hash sets
    ("stack",),  # stacks use the distance and the quality gate of the matcher
    ("extract", "match", "facts", "alike"),
    ("sandbox",),
    ("evidence",),
    ("case",),
    ("ledger",),
    ("records", "problems", "durable", "escape", "errors", "native"),
)
"""Highest first. A module may import its own layer's own package, and what stands below; members of one layer are independent,
but for the pairs below."""

RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}

WITHIN: frozenset[tuple[str, str]] = frozenset(
    {("extract", "facts"), ("match", "facts"), ("alike", "facts"), ("alike", "match"), ("extract", "alike")}
)
"""Pairs within one layer that are meant: the first may import the second."""

BELOW_THE_SANDBOX: frozenset[tuple[str, str]] = frozenset({("sandbox.child", "extract"), ("sandbox.child", "match")})
"""The main loop of a worker runs inside the sandbox and calls what it is there for: it is the top of its own process."""

EXCEPTIONS: dict[tuple[str, str], str] = {}
"""Debts, each with its reason. The test fails when one is paid and still stands here."""


def modules() -> dict[str, Path]:
    """Every module of the package by its name within it."""
    return {str(p.relative_to(SOURCE).with_suffix("")).replace("/", "."): p for p in sorted(SOURCE.rglob("*.py"))}


def imports(path: Path, name: str) -> Iterator[str]:
    """Yield the names within the package that a module imports at run time."""
    for node in _run_time(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found = [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively"
            found = [f"{node.module}.{a.name}" for a in node.names]
        else:
            continue
        yield from (f.removeprefix("safelight.") for f in found if f.startswith("safelight."))


def _run_time(tree: ast.AST) -> Iterator[ast.AST]:
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            waiting += node.orelse
        else:
            waiting += ast.iter_child_nodes(node)


def faults() -> dict[tuple[str, str], str]:
    """Return each import that does not point downwards: (importing part, imported part) → an example."""
    found = {}
    for name, path in modules().items():
        part = name.split(".")[0]
        for target in imports(path, name):
            other = target.split(".")[0]
            if other == part or other not in RANK or part not in RANK:
                continue
            down = RANK[other] > RANK[part] or (part, other) in WITHIN
            if not down and (name, other) not in BELOW_THE_SANDBOX:
                found[(part, other)] = f"{name} imports {target}"
    return found


def test_every_module_has_a_layer() -> None:
    """A new module or package is given its place before it is merged."""
    parts = {name.split(".")[0] for name in modules()} - {"__init__"}
    assert parts - set(RANK) == set()


def test_imports_point_downwards() -> None:
    """No module imports a higher layer, and members of one layer do not know one another unless that is written down."""
    assert {pair: example for pair, example in faults().items() if pair not in EXCEPTIONS} == {}


def test_no_exception_outlives_its_reason() -> None:
    """A debt that was paid is struck from the list."""
    assert {pair for pair in EXCEPTIONS if pair not in faults()} == set()


@pytest.mark.parametrize("name", ["ledger", "records", "problems", "durable", "escape", "errors"])
def test_the_lowest_modules_know_little(name: str) -> None:
    """The lowest modules import nothing of the program but one another and its version."""
    allowed = {*LAYERS[-1], "__version__"}
    assert {t.split(".")[0] for t in imports(modules()[name], name)} <= allowed

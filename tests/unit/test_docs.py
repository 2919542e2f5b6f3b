"""The docs say what the program does: generated pages are those of today's code, and every command and option that a page names exists."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from safelight import errors
from safelight.case import Case, Exhibit
from safelight.cli.main import COMMANDS
from safelight.facts import layout
from safelight.problems import KINDS
from safelight.records import TABLES

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
REFERENCE = ROOT / "docs" / "reference"


@pytest.fixture(scope="module")
def make_docs(request: pytest.FixtureRequest) -> Iterator[object]:
    """The script that writes the generated pages."""
    sys.path.insert(0, str(ROOT / "tools"))
    yield importlib.import_module("make_docs")
    sys.path.remove(str(ROOT / "tools"))


def commands() -> dict[str, click.Command]:
    """Every command by its words."""
    found: dict[str, click.Command] = {}
    for name in COMMANDS:
        command = importlib.import_module(f"safelight.cli.{name}").command
        found[name] = command
        found |= {f"{name} {below}": inner for below, inner in getattr(command, "commands", {}).items()}
    return found


def options(command: click.Command) -> set[str]:
    """The options of a command, with those of help."""
    return {o for p in command.params if isinstance(p, click.Option) for o in (*p.opts, *p.secondary_opts)} | {"-h", "--help"}


def test_generated_pages_are_up_to_date(make_docs: object) -> None:
    """`make docs` would change nothing."""
    assert [str(p.relative_to(ROOT)) for p in make_docs.stale()] == []  # type: ignore[attr-defined]


def test_every_command_and_option_is_in_the_reference() -> None:
    """The page of commands has a section for each command with each of its options."""
    page = (REFERENCE / "commands.md").read_text("utf-8")
    sections = dict(re.findall(r"^##+ (.+?)\n(.*?)(?=^##|\Z)", page, re.MULTILINE | re.DOTALL))
    assert set(commands()) == set(sections)
    for name, command in commands().items():
        assert {o for o in options(command) if o not in sections[name]} == set(), name


def test_every_column_is_in_the_reference() -> None:
    """The page of tables has each table with each of its columns and what it says."""
    page = (REFERENCE / "tables.md").read_text("utf-8")
    for name, columns in TABLES.items():
        assert f"\n## {name}\n" in page
        assert [c.name for c in columns if f"| `{c.name}` | {c.type} | {c.doc} |" not in page] == []


def test_every_problem_kind_is_in_the_reference() -> None:
    """The page of problems is the closed list."""
    page = (REFERENCE / "problems.md").read_text("utf-8")
    assert re.findall(r"^\| `([a-z.-]+)` \|", page, re.MULTILINE) == list(KINDS)


def test_every_exit_code_is_in_the_reference() -> None:
    """Page and program know the same exit codes, and so does the README."""
    codes = {v for k, v in vars(errors).items() if k.isupper() and isinstance(v, int)}
    assert {int(c) for c in re.findall(r"^\| (\d+) \|", (REFERENCE / "exit-codes.md").read_text("utf-8"), re.MULTILINE)} == codes
    said = re.search(r"^## Exit codes\n\n(.*?)\n\[", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert said is not None
    assert {int(c) for c in re.findall(r"(?:^|· )(\d+) ", said[1])} == codes


def test_every_ledger_entry_is_described() -> None:
    """The page of the case has each kind of entry that the program writes."""
    written = {"match"}  # the word is chosen at run time beside match-removed
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args and isinstance(node.args[0], ast.Constant):
                owner = ast.unparse(node.func.value)
                if (node.func.attr == "append" and owner.endswith("ledger")) or (node.func.attr == "log" and owner.endswith("gate")):
                    written.add(node.args[0].value)
    page = (REFERENCE / "case.md").read_text("utf-8")
    assert len(written) > 10
    assert {w for w in written if f"| `{w}` |" not in page} == set()


def test_case_page_has_every_key_and_folder(tmp_path: Path) -> None:
    """Each key of case.toml and of an exhibit, each file of a new case and each folder of facts stands on the page."""
    page = (REFERENCE / "case.md").read_text("utf-8")
    case = Case.create(tmp_path / "new.case", "title", "test")
    names = {*case.settings, *Exhibit.__struct_fields__, *(p.name for p in case.folder.iterdir())}
    names |= {layout.LIST_STEP, *layout.EXTRACT_STEPS.values()}
    assert {n for n in names if n not in page} == set()


def shown_commands() -> Iterator[tuple[Path, list[str]]]:
    """Yield each call of safelight in a code block of a page that people wrote."""
    for page in PAGES:
        text = page.read_text("utf-8")
        if "made by `make docs`" in text:
            continue
        for block in re.findall(r"^```(?:sh|console)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            for line in block.splitlines():
                call = re.match(r"(?:\$ )?safelight (.*?)(?: #.*| > .*)?$", line)
                if call:
                    yield page, shlex.split(call[1])


def test_pages_name_only_commands_and_options_that_exist() -> None:
    """What a page tells people to type is understood by the program."""
    known, seen = commands(), 0
    for page, words in shown_commands():
        name = " ".join(words[:2]) if " ".join(words[:2]) in known else words[0]
        assert name in known, (page.name, words)
        given = {w.partition("=")[0] for w in words if w.startswith("-")}
        assert given <= options(known[name]), (page.name, words)
        seen += 1
    assert seen > 20


def test_readme_shows_every_command() -> None:
    """The README's first case leaves out no command but those that need a reason of their own."""
    shown = {words[0] for page, words in shown_commands() if page.name in ("README.md", "first-case.md")}
    assert shown == set(COMMANDS)


def test_make_targets_in_pages_exist() -> None:
    """`make …` in a page is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for page in PAGES:
        named = set(re.findall(r"`make ([a-z-]+)", page.read_text("utf-8"))) | set(
            re.findall(r"^make ([a-z-]+)", page.read_text("utf-8"), re.MULTILINE)
        )
        assert named <= targets, page.name


def test_links_between_pages_lead_somewhere() -> None:
    """A link to a file of the project has that file at its end."""
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text("utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), (page.name, target)


def test_paths_in_pages_exist() -> None:
    """A file of the project that a page names in code is there."""
    for page in PAGES:
        for path in re.findall(r"`((?:src|tests|tools|bench|docs)/[A-Za-z0-9_./-]+\.[a-z]+)`", page.read_text("utf-8")):
            assert "NAME" in path or (ROOT / path).exists(), (page.name, path)  # NAME: for the reader to fill


def test_pages_name_no_host_and_no_machine() -> None:
    """No page gives away where it was written: no path of a home, no package host."""
    for page in PAGES:
        text = page.read_text("utf-8")
        assert not re.search(r"/(home/(?!anna/)|root/|work/)|pypi\.|\.internal\b|localhost", text), page.name


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_locks_hold_digests_and_no_host(lock: str) -> None:
    """Each locked package has digests, and nothing says where it came from."""
    text = (ROOT / lock).read_text("utf-8")
    assert not re.search(r"://|--(index|extra|find|trusted)", text)
    packages = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]
    assert [p.split()[0] for p in packages if "--hash=sha256:" not in p] == []


def test_locks_hold_what_the_project_needs() -> None:
    """Every dependency of pyproject.toml is locked, and the development lock holds all of the other at the same version."""
    import tomllib

    def pins(name: str) -> dict[str, str]:
        found = re.findall(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", (ROOT / name).read_text("utf-8"), re.MULTILINE)
        return {n.lower().replace("_", "-"): v for n, v in found}

    runtime, development = pins("requirements.lock"), pins("requirements-dev.lock")
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    names = {re.split(r"[<>=! \[;]", w)[0].lower().replace("_", "-") for w in wanted}
    assert names - set(runtime) == set()
    assert {n: v for n, v in runtime.items() if development.get(n) != v} == {}

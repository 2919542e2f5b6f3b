"""The command line starts without the libraries that a command needs: asking for help costs nothing. No test here measures time."""

from __future__ import annotations

import subprocess
import sys

import pytest

from safelight.cli.main import COMMANDS

HEAVY = ("numpy", "pyarrow", "duckdb", "PIL", "rich", "msgspec", "jinja2", "distributed", "pytsk3", "litestar", "uvicorn")


def loaded(*words: str) -> set[str]:
    """Run the command line in a fresh interpreter and return the modules that stand in it at the end."""
    script = (
        "import sys\n"
        f"sys.argv = ['safelight', *{words!r}]\n"
        "from safelight.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit as e:\n    assert not e.code, e.code\n"
        "print('\\n' + ' '.join(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in done.stdout.splitlines()[-1].split()}


@pytest.mark.parametrize("words", [("--help",), ("--version",)])
def test_help_of_the_program_loads_nothing_heavy(words: tuple[str, ...]) -> None:
    """`safelight --help` and `--version` import no library but click."""
    assert loaded(*words) & set(HEAVY) == set()


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_loads_nothing_heavy(name: str) -> None:
    """Each command imports what it needs when it is called, not when it is described."""
    assert loaded(name, "--help") & set(HEAVY) == set()

"""Write the pages of docs/ that follow from the code: commands, tables, problems, exit codes, and the picture of the path.

    python tools/make_docs.py            write them
    python tools/make_docs.py --check    say which are not what the code says; status 1 if any

`tests/unit/test_docs.py` holds the pages to the code, so a column or an option cannot change without its page.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import click

sys.path.insert(0, str(Path(__file__).parent))

from pipeline_picture import pipeline_svg

from safelight import errors, problems, records
from safelight.cli.main import COMMANDS, safelight

DOCS = Path(__file__).resolve().parents[1] / "docs"
NOTE = "<!-- made by `make docs` from the code; do not edit -->\n"

WHERE = {
    "items": "`facts/extract-1/EXHIBIT/tables/items-*.parquet`",
    "contents": "`facts/extract-1/EXHIBIT/tables/contents-*.parquet`",
    "pictures": "`facts/extract-1/EXHIBIT/tables/pictures-*.parquet`",
    "problems": "`facts/list-1/EXHIBIT/problems.parquet` and `facts/*/EXHIBIT/tables/problems-*.parquet` (extract-1, features-1, descriptor-1-…)",
    "volumes": "`facts/list-1/EXHIBIT/volumes.parquet`",
    "matches": "`matches/SET-VERSION/matches.parquet`",
    "stacks": "`stacks/stack-1/stacks.parquet`",
    "features": "`facts/features-1/EXHIBIT/tables/features-*.parquet`",
    "panels": "`facts/features-1/EXHIBIT/tables/panels-*.parquet`",
    "vectors": "`facts/descriptor-1-MODEL/EXHIBIT/tables/vectors-*.parquet`, MODEL: the first 16 digits of its SHA-256",
    "alike": "`alike/alike-1/alike.parquet`",
}
WHAT = {
    "items": "One row a place: an entry of a file system, live or deleted, or a member of an archive, picture or document.",
    "contents": "One row for each different content of an exhibit. Many items may have one content.",
    "pictures": "One row for each content that was read as a picture.",
    "problems": "One row for each thing that could not be read, or is not what it seems. Kinds: [problems.md](problems.md).",
    "volumes": "One row a volume, with its accounts: what the tree of folders shows against what the metadata table says.",
    "matches": "One row for each content, entry of a hash set, and method.",
    "stacks": "One row a picture: the stack of pictures that look the same, and how far it is from the one that stands for it.",
    "features": "One row for each picture that had a second look (`run --features`) and has corners: see [alike](../methods/alike.md).",
    "panels": "One row for each rectangle inside a picture that holds a picture of its own.",
    "vectors": "One row for each picture that a model of the agency described (`run --features --descriptor`): see [alike](../methods/alike.md).",
    "alike": "One row for each two pictures that share a part, and method. Ranks below matches and stacks; stacks do not change.",
}
TYPES = {
    "bin16, bin20, bin32": "16, 20 or 32 raw bytes (`hex(column)` shows them)",
    "bin": "raw bytes of any length",
    "text": "UTF-8",
    "i8 … i64": "whole number of so many bits, with sign",
    "f64": "floating point number",
    "bool": "true or false",
    "list<bin32>": "list of 32-byte values",
    "map": "names to texts",
}
EXAMPLE = '''
import duckdb

case = "operation.case"
con = duckdb.connect()
for table in ("items", "contents", "pictures"):
    con.execute(f"create view {table} as select * from read_parquet('{case}/facts/extract-1/*/tables/{table}-*.parquet')")
rows = con.execute("""
    select exhibit, path, state, i.size, media_type, width, height, hex(pdq) as pdq
    from items i join contents c using (sha256) join pictures p using (sha256)
    where kind = 'image' order by exhibit, source, ordinal, member
""").fetchall()
'''.strip()

EXIT = {
    "DONE": "Done.",
    "DONE_WITH_PROBLEMS": "Done; problems are listed (`status` says which, and why).",
    "WRONG_USE": "Wrong use of the command. Nothing was changed.",
    "REFUSED": "Refused: a policy, no sandbox, evidence that is gone, unreadable or of another size, another run at work.",
    "NOT_VERIFIED": "Verification failed: evidence, facts, ledger or a hash set are not what they were; or a set must be confirmed first.",
    "OUT_OF_RESOURCES": "Out of space, memory or file handles. What is done is kept.",
    "INTERRUPTED": "Interrupted. What is done is kept; the same command goes on.",
}


def pages() -> dict[Path, str]:
    """Return each generated page by its path."""
    return {
        DOCS / "reference" / "commands.md": commands_page(),
        DOCS / "reference" / "tables.md": tables_page(),
        DOCS / "reference" / "problems.md": problems_page(),
        DOCS / "reference" / "exit-codes.md": exit_page(),
        DOCS / "pipeline.svg": pipeline_svg(),
    }


def commands_page() -> str:
    """Return the help of every command, in the order of work."""
    parts = [NOTE, "# Commands\n", "As `safelight COMMAND --help` prints them. Exit codes: [exit-codes.md](exit-codes.md).\n"]
    parts.append(f"```text\n{_help(safelight, 'safelight')}\n```\n")
    for name in COMMANDS:
        command = import_module(f"safelight.cli.{name}").command
        parts.append(f"## {name}\n\n```text\n{_help(command, f'safelight {name}')}\n```\n")
        for below, inner in getattr(command, "commands", {}).items():
            parts.append(f"### {name} {below}\n\n```text\n{_help(inner, f'safelight {name} {below}')}\n```\n")
    return "\n".join(parts)


def _help(command: click.Command, name: str) -> str:
    context = click.Context(command, info_name=name, terminal_width=110, help_option_names=["-h", "--help"])
    return "\n".join(line.rstrip() for line in command.get_help(context).splitlines())


def tables_page() -> str:
    """Return every table and column of records.py."""
    parts = [
        NOTE,
        "# Tables\n",
        "Facts are Parquet files in the case folder. DuckDB, pandas, polars, R and others read them in place, also while a run goes on; "
        "nothing but Safelight should write there. Where a column has no value it is null.\n",
        "Reading the files yourself goes past the gate that keeps an exhibit within its scope and writes the access to the ledger: "
        "`safelight find --format jsonl` does not.\n",
        "```python\n" + EXAMPLE + "\n```\n",
        "| type | means |\n|---|---|\n" + "\n".join(f"| `{t}` | {what} |" for t, what in TYPES.items()) + "\n",
        "A run with `--only digests` writes to `facts/digests-1/` instead of `facts/extract-1/`, with no pictures and no members. While an "
        "exhibit is worked on, its rows lie in `shards/NNNNNN/` beside `tables/`. See [case.md](case.md).\n",
    ]
    for name, columns in records.TABLES.items():
        parts.append(f"## {name}\n\n{WHAT[name]} In {WHERE[name]}.\n")
        parts.append(
            "| column | type | what it says |\n|---|---|---|\n" + "\n".join(f"| `{c.name}` | {c.type} | {c.doc} |" for c in columns) + "\n"
        )
    slots = ", ".join(f"{n} `{t}`" for n, t in enumerate(records.TRANSFORMS))
    parts.append(f"Slots of `pdq_transforms`, from 0: {slots}. `rotate90` is counter-clockwise, `flipx` upside down, `flipy` left-right.\n")
    return "\n".join(parts)


def problems_page() -> str:
    """Return the closed list of problem kinds."""
    head = [
        NOTE,
        "# Problems\n",
        "A problem is a fact: what could not be read or is not what it seems, where, and why. The list is closed; each row of the "
        "`problems` table has one of these kinds and a reason in words. `complete` says whether what lies beside it is complete.\n",
        "Kinds that begin with `limit.` are counted in bytes, entries or CPU seconds, never by the clock on the wall, so that the same "
        "item ends alike on every machine.\n",
    ]
    rows = "\n".join(f"| `{kind}` | {what} |" for kind, what in problems.KINDS.items())
    return "\n".join(head) + f"\n| kind | what it means |\n|---|---|\n{rows}\n"


def exit_page() -> str:
    """Return the exit codes of errors.py."""
    rows = "\n".join(f"| {getattr(errors, name)} | {what} |" for name, what in EXIT.items())
    text = "Every command ends with one of these. Data go to stdout; progress and messages go to stderr and say what happened, what is unharmed, what to do."
    return f"{NOTE}\n# Exit codes\n\n{text}\n\n| code | means |\n|---|---|\n{rows}\n"


def stale() -> list[Path]:
    """Return the pages that are not what the code says."""
    return [path for path, text in pages().items() if not path.exists() or path.read_text("utf-8") != text]


def main() -> int:
    """Write or check."""
    if sys.argv[1:] == ["--check"]:
        old = stale()
        for path in old:
            print(f"{path.relative_to(DOCS.parent)} is not what the code says: make docs")
        return 1 if old else 0
    for path, text in pages().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        print(path.relative_to(DOCS.parent))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Show a whole case on evidence made by code: each command before its output, and at the end a check that nothing was missed.

    python tools/demo.py [--transcript FILE]

Writes only below `demo/` in the current folder. Ends with a status other than 0 when a deleted picture was not found, a known one
not matched, a command ended otherwise than it should, or `verify` found a difference. `--transcript` also writes what was shown.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import make_demo_evidence

DEMO = Path("demo")
CASE = DEMO / "harbour.case"
REPORT = DEMO / "report.html"
SAFELIGHT = Path(sysconfig.get_path("scripts")) / "safelight"
DONE, WITH_PROBLEMS = 0, 1


class Show:
    """Prints commands and their output, and keeps a copy for the docs."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.faults: list[str] = []

    def say(self, text: str = "") -> None:
        print(text, flush=True)
        self.lines.append(text)

    def run(self, *words: str, codes: tuple[int, ...] = (DONE,), most: int = 40) -> str:
        """Run a command of Safelight, show it with what it says, and return its stdout."""
        self.say(f"\n$ safelight {shlex.join(words)}")
        done = subprocess.run([SAFELIGHT, *words], capture_output=True, check=False, stdin=subprocess.DEVNULL)
        out, err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        lines = [*err.splitlines(), *out.splitlines()] if words[0] == "run" else [*out.splitlines(), *err.splitlines()]
        for line in lines[:most]:
            self.say(line)
        if len(lines) > most:
            self.say(f"… {len(lines) - most} more lines")
        self.expect(done.returncode in codes, f"`{words[0]}` ended with status {done.returncode}, not {' or '.join(map(str, codes))}")
        return out

    def expect(self, true: bool, otherwise: str) -> None:
        if not true:
            self.faults.append(otherwise)


def main() -> int:
    parser = argparse.ArgumentParser(description="Show a whole case on evidence made by code.")
    parser.add_argument("--transcript", type=Path, help="Also write what was shown to this file.")
    asked = parser.parse_args()
    started, show = time.monotonic(), Show()
    for old in (CASE, DEMO / "library"):
        shutil.rmtree(old, ignore_errors=True)
    DEMO.mkdir(exist_ok=True)
    os.environ["SAFELIGHT_LIBRARY"] = str(DEMO / "library")
    truth = make_demo_evidence.main(DEMO).as_json()
    show.say("Evidence made by code: a laptop (ext4), a stick (FAT32, pictures deleted), a phone (folder). Nothing here is real.")
    commands(show)
    check(show, truth)
    show.say()
    for fault in show.faults:
        show.say(f"FAULT: {fault}")
    if not show.faults:
        farewell(show, truth, time.monotonic() - started)
    if asked.transcript:
        asked.transcript.write_text("\n".join(show.lines) + "\n")
    return 1 if show.faults else 0


def commands(show: Show) -> None:
    """Run each command once, in the order of work."""
    case = str(CASE)
    (laptop,) = (DEMO / "evidence").glob("laptop.*")
    show.run("new", case, "--title", "Harbour (demo)")
    show.run("add", case, str(laptop), "--exhibit", "2016-041-A", "--verify")
    show.run("add", case, str(DEMO / "evidence/stick.dd"), "--exhibit", "2016-041-B")
    show.run("add", case, str(DEMO / "evidence/phone"), "--exhibit", "2016-041-C")
    lists = DEMO / "lists"
    show.run("hashset", "add", str(lists / "demo-known.json"), "--as", "illegal", "--owner", "demo unit", codes=(DONE, WITH_PROBLEMS))
    show.run("hashset", "add", str(lists / "demo-lookalikes.pdq.txt"), "--as", "other", "--type", "pdq", codes=(DONE, WITH_PROBLEMS))
    show.run("hashset", "add", str(lists / "demo-nsrl.db"), "--as", "irrelevant", codes=(DONE, WITH_PROBLEMS))
    show.run("hashset", "list")
    show.run("run", case, "--workers", "2", codes=(DONE, WITH_PROBLEMS))
    show.run("status", case)
    show.run("find", case, "--kind", "image", "--deleted")
    first = find(show, "--known", "illegal", "--deleted", "--exhibit", "2016-041-B")
    if first:
        show.run("why", case, first[0]["item_id"])
        cat(show, first[0])
    show.run("report", case, "--pictures", "--output", str(REPORT), "--force", "--purpose", "demo", codes=(DONE, WITH_PROBLEMS))
    show.run("verify", case)


def find(show: Show, *words: str) -> list[dict[str, Any]]:
    """Return the items that `find` prints for scripts; not shown."""
    done = subprocess.run([SAFELIGHT, "find", CASE, *words, "--format", "jsonl"], capture_output=True, check=False)
    show.expect(done.returncode == DONE, f"`find {' '.join(words)}` ended with status {done.returncode}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def cat(show: Show, item: dict[str, Any]) -> None:
    """Take one picture out and compare its digest."""
    words = ["cat", str(CASE), item["item_id"], "--purpose", "demo"]
    target = DEMO / "picture.jpg"
    show.say(f"\n$ safelight {shlex.join(words)} > {target}")
    with target.open("wb") as out:
        code = subprocess.run([SAFELIGHT, *words], stdout=out, check=False).returncode
    equal = hashlib.sha256(target.read_bytes()).hexdigest() == item["sha256"]
    show.say(f"{target}: {target.stat().st_size} bytes, SHA-256 {'as found' if equal else 'DIFFERENT'}")
    show.expect(code == DONE and equal, "`cat` did not give the bytes that were found")


def check(show: Show, truth: dict[str, dict[str, str]]) -> None:
    """Compare what was found with what was hidden."""
    gone = {i["sha256"] for i in find(show, "--kind", "image", "--deleted")}
    for name, digest in truth["deleted"].items():
        show.expect(digest in gone, f"deleted picture not found: {name}")
    known = {i["sha256"]: i["matches"] for i in find(show, "--known", "illegal")}
    for name, digest in truth["known"].items():
        show.expect(any(m["method"] in ("md5", "sha1") for m in known.get(digest, [])), f"known picture not matched: {name}")
    show.expect(set(known) == set(truth["known"].values()), "something was matched that is not in the list")
    alike = {i["sha256"]: i["matches"] for i in find(show, "--known", "other")}
    for name, digest in truth["alike"].items():
        show.expect(any(m["method"] == "pdq" for m in alike.get(digest, [])), f"altered copy not matched: {name}")
    members = {i["sha256"] for i in find(show, "--kind", "image") if i["parent_id"]}
    for name, digest in truth["inside"].items():
        show.expect(digest in members, f"picture inside an archive not found: {name}")
    show.expect(bool(find(show, "--known", "irrelevant")), "no file of the system was matched")
    page = REPORT.read_text("utf-8") if REPORT.exists() else ""
    show.expect("2016-041-B" in page and "data:image/jpeg" in page, "the report has no exhibit or no picture in it")


def farewell(show: Show, truth: dict[str, dict[str, str]], seconds: float) -> None:
    counts = {name: len(found) for name, found in truth.items()}
    show.say(
        f"Checked: {counts['deleted']} deleted pictures found, {len(set(truth['known'].values()))} known ones matched by digest, "
        f"{counts['alike']} altered copies by look, {counts['inside']} inside nested archives. {seconds:.0f} s."
    )
    show.say(f"The report, for a browser: {REPORT.resolve().as_uri()}")
    show.say(f"The review page: .venv/bin/safelight serve {CASE} --library {DEMO / 'library'}")
    show.say("Next steps, with your own evidence:")
    show.say("  export PATH=$PWD/.venv/bin:$PATH")
    show.say("  safelight new my.case && safelight add my.case IMAGE-OR-FOLDER && safelight run my.case && safelight status my.case")
    show.say("  docs/guide/first-case.md explains each step; docs/reference/commands.md has every option.")


if __name__ == "__main__":
    sys.exit(main())

"""Where facts lie in a case, and which step version made them.

    facts/list-1/EXHIBIT/000000.parquet …      listed items, one file a shard; volumes.parquet, problems.parquet, step.json
    facts/extract-1/EXHIBIT/shards/000000/     items, contents, pictures, problems of one shard, while the exhibit is worked on
    facts/extract-1/EXHIBIT/tables/            the same, compacted: few files, contents and pictures once each
    renditions/EXHIBIT/000000.pack             the small pictures of one shard, one behind the other

A folder is complete or absent. `digests-1` stands beside `extract-1` for a run that was told to digest only,
`features-1` for a second look at the pictures, `descriptor-1-…` for the vectors of one model (the first 16 digits of its SHA-256).
"""

from __future__ import annotations

from pathlib import Path

LIST_STEP = "list-1"
EXTRACT_STEPS = {"everything": "extract-1", "digests": "digests-1", "features": "features-1"}
EXTRACTED = ("items", "contents", "pictures", "problems")
SECOND = ("features", "panels", "problems")
"""Tables of the second look at the pictures (`features-1`)."""
DESCRIPTOR = "descriptor-1-"
"""How the step of a model begins: another model is another step, so that vectors of two never mix."""
DESCRIBED = ("vectors", "problems")


def step_of(only: str) -> str:
    """Return the step for what is extracted; that of a model is its own name."""
    return only if only.startswith(DESCRIPTOR) else EXTRACT_STEPS[only]


def only_of(step: str) -> str:
    """Return what a step extracts."""
    return step if step.startswith(DESCRIPTOR) else {s: only for only, s in EXTRACT_STEPS.items()}[step]


class Layout:
    """Paths of the facts of one case."""

    def __init__(self, case: Path) -> None:
        self.case = case

    def listed(self, exhibit: str) -> Path:
        return self.case / "facts" / LIST_STEP / exhibit

    def list_shards(self, exhibit: str) -> list[Path]:
        """Return the listed shards in order; empty while the exhibit is not listed."""
        return sorted(self.listed(exhibit).glob("[0-9]*.parquet"))

    def list_shard(self, exhibit: str, number: int) -> Path:
        return self.listed(exhibit) / f"{number:06d}.parquet"

    def extracted(self, exhibit: str, only: str) -> Path:
        return self.case / "facts" / step_of(only) / exhibit

    def shard(self, exhibit: str, only: str, number: int) -> Path:
        return self.extracted(exhibit, only) / "shards" / f"{number:06d}"

    def tables(self, exhibit: str, only: str) -> Path:
        return self.extracted(exhibit, only) / "tables"

    def pack(self, exhibit: str, number: int) -> Path:
        return self.case / "renditions" / exhibit / f"{number:06d}.pack"

    def best(self, exhibit: str) -> str:
        """Return which extraction of an exhibit to read: a complete one before one that goes on, everything before digests."""
        for only in ("everything", "digests"):
            if self.tables(exhibit, only).is_dir():
                return only
        return "everything" if self.extracted(exhibit, "everything").is_dir() else "digests"

"""The descriptor model of a case: which one was stated last, and where its copy lies.

An agency may bring a model of its own (`run --features --descriptor MODEL.onnx`). The case keeps a copy under `models/`, so that the same
facts can be made again, on a cluster and on another machine too; the ledger holds what it is. Stated once, it holds until another is.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from safelight.case import Case
from safelight.facts.layout import DESCRIPTOR

FOLDER = "models"
FILE = "model.onnx"
NAMED = 16
"""Hexadecimal digits of its SHA-256 that a model is named by in folders and steps; all of them stand in the ledger."""


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """What a model is: its bytes, the size of the pictures that it takes, how many numbers it gives, how it wants its pixels.

    `mean` and `std`: of red, green and blue, in shares of white; a pixel p goes in as (p / 255 - mean) / std. `threshold`: inner product
    from which two pictures are compared. `runtime`: version of onnxruntime that examined it.
    """

    sha256: str
    size: int
    width: int
    height: int
    numbers: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    threshold: float
    runtime: str

    @property
    def name(self) -> str:
        return self.sha256[:NAMED]

    @property
    def step(self) -> str:
        """The step of the facts that this model makes."""
        return f"{DESCRIPTOR}{self.name}"


def folder_of(case: Case, model: Model) -> Path:
    """Return the folder of the case in which the copy of a model lies."""
    return case.folder / FOLDER / model.name


def current(case: Case) -> Model | None:
    """Return the model that was stated last; None where there was none, or an end was put to it."""
    last: Model | None = None
    if (case.folder / FOLDER).is_dir():  # most cases have none, and their ledger need not be read
        for entry in case.ledger.entries():
            if entry["what"] == "descriptor":
                last = msgspec.convert(entry["model"], Model) if entry["folder"] else None
    return last


def by_step(case: Case, step: str) -> Model:
    """Return the model of a step. Raise KeyError where the ledger names none."""
    for entry in case.ledger.entries():
        if entry["what"] == "descriptor" and entry["folder"]:
            model = msgspec.convert(entry["model"], Model)
            if model.step == step:
                return model
    raise KeyError(step)

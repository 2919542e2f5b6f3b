"""The descriptor model of an agency, outside the sandbox: examined in there, copied into the case, handed to workers.

Its bytes are digested here and parsed nowhere but in a worker. onnxruntime is never imported outside one: versions from 1.30 on write an
identifier of the machine into the home folder and call home, which a sandbox without home and network does not let them.
"""

from __future__ import annotations

import hashlib
import os
from importlib.util import find_spec
from pathlib import Path

from safelight.case import Case
from safelight.durable import sync_folder
from safelight.errors import Refused, Usage
from safelight.extract.descriptor import MODEL_BYTES
from safelight.facts.making import making
from safelight.facts.models import FILE, FOLDER, Model, by_step, current, folder_of
from safelight.sandbox.parent import RequestFailed, Sandbox, WorkerDied
from safelight.sandbox.protocol import Examined
from safelight.sandbox.protocol import Model as Load

NONE = "none"
"""What is said in place of a model to put an end to the one that was stated."""

NEEDED = (
    "A model is one ONNX file with its weights inside, one input float32 [1, 3, height, width], one output float32 [1, numbers] "
    "(docs/methods/alike.md, “A model of your own”). Nothing was changed."
)


def require_runtime() -> None:
    """Raise `Refused` where onnxruntime is not installed."""
    if find_spec("onnxruntime") is None:
        raise Refused(
            "a descriptor model needs the optional part: pip install 'safelight[descriptor]'. Nothing was changed. "
            "Without it: safelight run CASE --features --descriptor none"
        )


def examined(path: Path, walls: bool) -> tuple[Model, bytes]:
    """Return what a model is, as a worker found it, and its bytes. Raise `Usage` where it is none that can be used."""
    require_runtime()
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > MODEL_BYTES:
                raise Usage(f"{path} has {size >> 20} MiB; a model may have {MODEL_BYTES >> 20}. {NEEDED}")
            data = file.read()
            try:
                found = _load(file.fileno(), walls)
            except (RequestFailed, WorkerDied) as e:
                raise Usage(
                    f"{path} cannot be used as a descriptor model: {e.reason if isinstance(e, RequestFailed) else e}. {NEEDED}"
                ) from None
    except OSError as e:
        raise Usage(f"{path} cannot be read ({e.strerror or e}). Nothing was changed.") from None
    fields = {name: getattr(found, name) for name in Examined.__struct_fields__}
    return Model(sha256=hashlib.sha256(data).hexdigest(), size=len(data), **fields), data


def _load(fd: int, walls: bool) -> Examined:
    with Sandbox("descriptor", walls) as sandbox:
        (found,) = sandbox.ask(Load(), [fd])
    assert isinstance(found, Examined)
    return found


def keep(case: Case, chosen: tuple[Model, bytes] | None) -> None:
    """Copy a model into the case and state it in the ledger; None: state that there is none from now on. Call it under the lock of a run."""
    last = current(case)
    if chosen is None:
        if last is not None:
            case.ledger.append("descriptor", model=None, folder="", files={})
        return
    model, data = chosen
    if model == last:
        return
    (case.folder / FOLDER).mkdir(exist_ok=True)
    sync_folder(case.folder)
    folder = folder_of(case, model)
    with making(case, folder) as made:
        (made.folder / FILE).write_bytes(data)
        made.files = {FILE: [model.size, model.sha256, ""]}
    place = folder.relative_to(case.folder).as_posix()
    case.ledger.append("descriptor", model=model_words(model), folder=place, files=made.files)


def model_words(model: Model) -> dict[str, object]:
    """Return a model as the ledger says it."""
    return {name: getattr(model, name) for name in Model.__struct_fields__}


def give(case: Case, step: str, sandbox: Sandbox) -> None:
    """Let a worker load the model of a step from the copy in the case. Raise `Refused` where that is not what the ledger says."""
    try:
        model = by_step(case, step)
        path = folder_of(case, model) / FILE
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != model.sha256:
                raise Refused(
                    f"{path} is not the model that the ledger names. State the model again: run --features --descriptor MODEL.onnx"
                )
            (found,) = sandbox.ask(Load(), [file.fileno()])
    except OSError as e:
        raise Refused(
            f"{e.filename} cannot be read ({e.strerror}). State the model again: run --features --descriptor MODEL.onnx"
        ) from None
    except (RequestFailed, WorkerDied) as e:
        reason = e.reason if isinstance(e, RequestFailed) else str(e)
        raise Refused(f"the descriptor model of the case cannot be loaded on this machine: {reason}") from None
    if not isinstance(found, Examined) or found.numbers != model.numbers:
        raise Refused("the descriptor model of the case gives other numbers on this machine than when it was stated")

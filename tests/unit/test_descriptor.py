"""A model of the agency brings candidates: its vectors are those of a NumPy twin, its pairs those of brute force, and geometry decides."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from onnx import helper
from PIL import Image
from test_features import scene

from command import Command
from onnx_models import NUMBERS, SIDE, model, twin
from safelight.alike import index
from safelight.alike.nearest import MOST, nearest
from safelight.alike.step import alike_case
from safelight.case import Case
from safelight.errors import Refused, Usage
from safelight.extract import models
from safelight.extract.descriptor import Descriptor
from safelight.facts.models import current
from safelight.facts.reader import Facts

EXACT = 2**48


class Silent:
    def begin(self, step: str, exhibit: str, total: int | None) -> None: ...
    def advance(self, amount: int, done_bytes: int = 0) -> None: ...


@pytest.fixture(scope="module")
def evidence_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve scenes; a turned, a mirrored and a covered copy of three of them; what is no whole picture."""
    folder = tmp_path_factory.mktemp("pictures")
    for n in range(12):
        scene(500 + n).save(folder / f"{n}.png")
    scene(500).rotate(4, Image.Resampling.BICUBIC).save(folder / "turned.png")
    scene(501).transpose(Image.Transpose.FLIP_LEFT_RIGHT).crop((20, 15, 400, 300)).save(folder / "mirrored.png")
    covered = scene(502)
    covered.paste((250, 250, 250), (10, 10, 150, 110))
    covered.save(folder / "covered.jpg", quality=85)
    (folder / "broken.png").write_bytes((folder / "3.png").read_bytes()[:400])
    (folder / "no picture.txt").write_text("text\n" * 20)
    return folder


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.onnx"
    path.write_bytes(model(metadata={"safelight.threshold": "0.6"}))
    return path


def made(folder: Path, evidence: Path, *words: object) -> Command:
    folder.mkdir()
    safelight = Command(folder)
    safelight("new", safelight.case)
    safelight("add", safelight.case, evidence, "--exhibit", "A")
    safelight("run", safelight.case, "-q", "--features", *words)
    return safelight


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory, evidence_folder: Path, model_file: Path) -> Command:
    """A case with the model, by two workers."""
    return made(tmp_path_factory.mktemp("case") / "two", evidence_folder, "--descriptor", model_file, "--workers", 2)


def vectors_of(case: Path) -> dict[str, NDArray[np.float64]]:
    """The stored vectors by SHA-256."""
    (path,) = (case / "facts").glob("descriptor-1-*/A/tables/vectors-0000.parquet")
    rows = pq.read_table(path).to_pylist()
    return {row["sha256"].hex(): np.frombuffer(row["vector"], "<f2").astype(np.float64) for row in rows}


def test_vectors_equal_the_twin(described: Command, evidence_folder: Path) -> None:
    """What the worker stored is what NumPy computes of the same pixels, to the last place of a half float; one for each whole picture."""
    stored = vectors_of(described.case)
    items = {i["path"]: i["sha256"] for i in described.find()}
    checked = 0
    for path in sorted(evidence_folder.glob("*.png")):
        if path.name == "broken.png":
            continue
        small = Image.open(path).convert("RGB")
        factor = max(small.size) // (2 * SIDE)
        small = small.reduce(factor).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        assert np.abs(stored[items[path.name]] - twin(np.asarray(small))).max() < 1e-3
        checked += 1
    assert checked == 14 and set(stored) >= {items[p.name] for p in evidence_folder.glob("*.jpg")}
    assert all(len(v) == NUMBERS and abs(v @ v - 1) < 2e-3 for v in stored.values())


def brute(vectors: NDArray[np.float16], known: NDArray[np.bool_], threshold: float) -> set[tuple[int, int]]:
    """Each pair among the best of either, by whole numbers in plain loops."""
    rows = np.flatnonzero(known).tolist()
    exact = (vectors.astype(np.float64) * 2**24).astype(np.int64).astype(object)
    product = {(a, b): int((exact[a] * exact[b]).sum()) for a in rows for b in rows if a < b}
    kept: set[tuple[int, int]] = set()
    for n in rows:
        own = sorted((-p, pair) for pair, p in product.items() if n in pair and p >= threshold * EXACT)
        kept |= {pair for _, pair in own[:MOST]}
    return kept


@pytest.mark.parametrize("threshold", [0.2, 0.55, 0.97])
@pytest.mark.parametrize("block", [7, 2048])
def test_pairs_equal_brute_force(monkeypatch: pytest.MonkeyPatch, threshold: float, block: int) -> None:
    """Whatever the blocks, with equal vectors, with pictures that have none, with pairs that are dropped on the way."""
    rng = np.random.default_rng(3)
    raw = rng.normal(size=(70, 12))
    raw[30:45] = raw[30] + rng.normal(size=(15, 12)) * 0.05
    raw[50:62] = raw[50]
    vectors = (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float16)
    known = rng.random(70) > 0.1
    monkeypatch.setattr("safelight.alike.nearest.BLOCK", block)
    monkeypatch.setattr("safelight.alike.nearest.PRUNE", 40)
    a, b = nearest(vectors, known, threshold)
    found = list(zip(a.tolist(), b.tolist(), strict=True))
    assert found == sorted(brute(vectors, known, threshold))
    assert found


def test_what_the_index_misses_the_model_brings_and_geometry_decides(
    described: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a single candidate of the index the copies are linked, named as the model's; unrelated pairs near by the model are not."""
    shutil.copytree(described.case, tmp_path / "copy.case")
    case = Case(tmp_path / "copy.case")
    shutil.rmtree(case.folder / "alike")
    nothing = np.zeros(0, np.int64)
    monkeypatch.setattr(index, "candidates", lambda corners: (nothing, nothing, np.zeros(0, bool)))
    summary = alike_case(case, Silent())
    assert summary is not None
    names = {i["sha256"]: i["path"] for i in described.find()}
    rows = duckdb.sql(f"select hex(a), hex(b), method, mirrored from '{case.folder}/alike/alike-1/alike.parquet' where method <> 'panel'")
    linked = {(*sorted((names[a.lower()], names[b.lower()])), method, mirrored) for a, b, method, mirrored in rows.fetchall()}
    assert {("0.png", "turned.png", "descriptor", False), ("2.png", "covered.jpg", "descriptor", False)} <= linked
    assert len(linked) <= 3
    stored = vectors_of(case.folder)
    ordered = sorted(stored)
    pairs = brute(np.array([stored[n] for n in ordered]).astype(np.float16), np.ones(len(ordered), bool), 0.6)
    assert summary["candidates"] == 2 * len(pairs) > 2 * len(linked)


def test_the_index_keeps_its_links(described: Command) -> None:
    """What both bring together is a link of the features; `why` names what brought it."""
    (mirrored,) = (i["sha256"] for i in described.find() if i["path"] == "mirrored.png")
    (facts,) = json.loads(described("why", described.case, mirrored, "--format", "json").stdout)["contents"]
    assert [("features", True)] == [(link["method"], link["mirrored"]) for link in facts["alike"]]


def test_the_same_bytes_by_one_worker_and_later(described: Command, tmp_path: Path, evidence_folder: Path, model_file: Path) -> None:
    """One worker, the model stated in a later run, the file gone after that: the same facts, done once; verify finds all as it was."""
    own = tmp_path / "own.onnx"
    shutil.copy(model_file, own)
    one = made(tmp_path / "one", evidence_folder, "--workers", 1)
    assert not list((one.case / "facts").glob("descriptor*"))
    one("run", one.case, "-q", "--features", "--workers", 1, "--descriptor", own)
    own.unlink()
    for pattern in ("facts/descriptor-1-*/A/tables/vectors-0000.parquet", "alike/alike-1/alike.parquet", "models/*/model.onnx"):
        (left,), (right,) = one.case.glob(pattern), described.case.glob(pattern)
        assert left.relative_to(one.case) == right.relative_to(described.case) and left.read_bytes() == right.read_bytes()
    before = (one.case / "ledger.jsonl").read_text().count("\n")
    one("run", one.case, "-q", "--features")
    after = [json.loads(line)["what"] for line in (one.case / "ledger.jsonl").read_text().splitlines()]
    assert after[before:] == ["run", "run-end"]
    one("verify", one.case, expect=(0,))
    said = [json.loads(line) for line in (one.case / "ledger.jsonl").read_text().splitlines()]
    (stated,) = (e["model"] for e in said if e["what"] == "descriptor")
    assert (stated["width"], stated["numbers"], stated["threshold"], len(stated["sha256"])) == (SIDE, NUMBERS, 0.6, 64)
    assert stated["runtime"].count(".") == 2


def test_another_model_makes_new_facts(tmp_path: Path, evidence_folder: Path, model_file: Path) -> None:
    """Vectors of two models never meet; `none` takes the model's links away; a copy that was changed is refused and found by verify."""
    safelight = made(tmp_path / "case", evidence_folder, "--descriptor", model_file)
    first = current(Case(safelight.case))
    other = tmp_path / "other.onnx"
    other.write_bytes(model(metadata={"safelight.threshold": "0.6", "safelight.mean": "0.5,0.5,0.5"}))
    safelight("run", safelight.case, "-q", "--features", "--descriptor", other)
    second = current(Case(safelight.case))
    assert first is not None and second is not None and first.step != second.step and second.mean == (0.5, 0.5, 0.5)
    rows = Facts(Case(safelight.case)).rows("select distinct hex(model) as model from vectors")
    assert [r["model"].lower() for r in rows] == [second.sha256]
    assert {p.name for p in (safelight.case / "facts").glob("descriptor-*")} == {first.step, second.step}
    safelight("verify", safelight.case, expect=(0,))
    safelight("run", safelight.case, "-q", "--features", "--descriptor", "none")
    assert current(Case(safelight.case)) is None
    assert Facts(Case(safelight.case)).rows("select count(*) as n from vectors") == [{"n": 0}]
    kept = safelight.case / "models" / first.name / "model.onnx"
    kept.write_bytes(kept.read_bytes() + b"\0")
    assert b"model.onnx" in safelight("verify", safelight.case, expect=(4,)).stdout
    with pytest.raises(Refused, match="is not the model that the ledger names"):
        models.give(Case(safelight.case), first.step, None)  # type: ignore[arg-type]


NAN = [helper.make_node("Log", ["x"], ["logs"]), helper.make_node("Flatten", ["logs"], ["y"])]
SAME = [
    helper.make_node("Sub", ["x", "x"], ["zero"]),
    helper.make_node("Exp", ["zero"], ["one"]),
    helper.make_node("Flatten", ["one"], ["y"]),
]
LONG = [helper.make_node("Flatten", ["x"], ["y"])]
BAD = {
    "onnxruntime cannot load it": b"no model at all",
    "fixed height and width": model(shape=(1, 3, "height", "width")),
    "2 inputs": model(inputs=2),
    "2 outputs": model(outputs=2),
    "NaN": model(nodes=NAN, shape=(1, 3, 32, 32)),
    "the same vector": model(nodes=SAME, shape=(1, 3, 32, 32)),
    "12288 numbers": model(nodes=LONG),
    "3 numbers parted by commas": model(metadata={"safelight.mean": "grey"}),
    "0 < safelight.threshold": model(metadata={"safelight.threshold": "7"}),
    r"\[4, 3, 64, 64\]": model(shape=(4, 3, SIDE, SIDE)),
}


@pytest.mark.parametrize("words", BAD)
def test_what_is_no_usable_model_is_refused_in_words(words: str, tmp_path: Path) -> None:
    """Inside a worker behind its walls: the reason, what is needed, and nothing changed."""
    (tmp_path / "bad.onnx").write_bytes(BAD[words])
    with pytest.raises(Usage, match=words) as said:
        models.examined(tmp_path / "bad.onnx", walls=True)
    assert "float32 [1, 3, height, width]" in str(said.value) and "Nothing was changed." in str(said.value)


def test_a_bad_model_changes_nothing(tmp_path: Path, evidence_folder: Path) -> None:
    """The command ends with wrong use, before a line of the ledger; so it does without --features, and for a file that is not there."""
    safelight = Command(tmp_path)
    safelight("new", safelight.case)
    safelight("add", safelight.case, evidence_folder, "--exhibit", "A")
    (tmp_path / "bad.onnx").write_bytes(b"no model at all")
    before = (safelight.case / "ledger.jsonl").read_bytes()
    for words in (
        ("--features", "--descriptor", tmp_path / "bad.onnx"),
        ("--descriptor", tmp_path / "bad.onnx"),
        ("--features", "--descriptor", "gone.onnx"),
    ):
        err = safelight("run", safelight.case, "-q", *words, expect=(2,)).stderr
        assert b"Nothing was changed" in err and b"Traceback" not in err
    assert (safelight.case / "ledger.jsonl").read_bytes() == before


def test_without_onnxruntime_the_option_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The optional part is named, and how to go on without it."""
    monkeypatch.setattr(models, "find_spec", lambda name: None)
    with pytest.raises(Refused, match=r"pip install 'safelight\[descriptor\]'.*--descriptor none"):
        models.examined(tmp_path / "any.onnx", walls=True)


def test_a_picture_without_direction_is_a_problem(tmp_path: Path, evidence_folder: Path) -> None:
    """A model that gives zeros for one flat colour leaves that picture out, as a problem of its own, and describes the others."""
    folder = tmp_path / "evidence"
    folder.mkdir()
    shutil.copy(evidence_folder / "0.png", folder)
    Image.new("RGB", (200, 200), (0, 0, 0)).save(folder / "black.png")
    (tmp_path / "zero.onnx").write_bytes(model(metadata={"safelight.mean": "0,0,0", "safelight.std": "1,1,1"}))
    safelight = made(tmp_path / "case", folder, "--descriptor", tmp_path / "zero.onnx")
    rows = Facts(Case(safelight.case)).rows("select kind, reason from problems where step = 'descriptor'")
    assert [("no-vector", "descriptor model: the model gives no direction: zeros")] == [(r["kind"], r["reason"]) for r in rows]
    assert len(vectors_of(safelight.case)) == 1


def test_the_vector_does_not_depend_on_what_came_before() -> None:
    """The same pixels give the same bytes, again and after others."""
    loaded = Descriptor(model())
    pictures = [scene(n, 120, 90).convert("RGB") for n in range(3)]
    first = [loaded.vector(p) for p in pictures]
    assert first == [loaded.vector(p) for p in pictures] and len(set(first)) == 3
    assert Descriptor(model()).vector(pictures[2]) == first[2]

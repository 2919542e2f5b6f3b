"""Small ONNX models made by code: a mean of squares of pixels, projected by numbers that follow from a seed. Nothing was trained."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

SIDE, CELL, NUMBERS = 64, 8, 48
WEIGHTS = np.random.default_rng(5).normal(size=(3 * (SIDE // CELL) ** 2, NUMBERS)).astype(np.float32)


def model(
    nodes: list[Any] | None = None, shape: tuple[Any, ...] = (1, 3, SIDE, SIDE), outputs: int = 1, inputs: int = 1, metadata: Any = None
) -> bytes:
    """Return a model that pools its input in cells of 8 x 8 pixels and projects them; other nodes and shapes for what is to be refused."""
    chain = nodes or [
        helper.make_node("AveragePool", ["x"], ["cells"], kernel_shape=[CELL, CELL], strides=[CELL, CELL]),
        helper.make_node("Flatten", ["cells"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["y"]),
    ]
    chain += [helper.make_node("Identity", ["y"], [f"y{n}"]) for n in range(1, outputs)]
    taken = [helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)) for name in ["x", *(f"x{n}" for n in range(1, inputs))]]
    given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ["y", *(f"y{n}" for n in range(1, outputs))]]
    graph = helper.make_graph(chain, "tiny", taken, given, [numpy_helper.from_array(WEIGHTS, "weights")])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(made, metadata or {})
    data: bytes = made.SerializeToString()
    return data


def twin(pixels: NDArray[np.uint8], mean: Any = (0.485, 0.456, 0.406), std: Any = (0.229, 0.224, 0.225)) -> NDArray[np.float64]:
    """Return in double precision what the model gives for (64, 64, 3) pixels, brought to length 1."""
    scaled = (pixels.astype(np.float64) / 255 - np.array(mean)) / np.array(std)
    cells = scaled.reshape(SIDE // CELL, CELL, SIDE // CELL, CELL, 3).mean(axis=(1, 3)).transpose(2, 0, 1)
    found: NDArray[np.float64] = cells.reshape(-1) @ WEIGHTS.astype(np.float64)
    return found / np.linalg.norm(found)

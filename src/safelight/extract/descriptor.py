"""A descriptor model inside the sandbox: an ONNX file from the agency, one picture in, one vector out.

The model arrives as bytes and is run by onnxruntime on the CPU with one thread. Nothing of it is downloaded, nothing written, and a model
that keeps its weights in a second file is refused, since a worker opens no files.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from safelight.evidence.source import Unreadable
from safelight.sandbox.protocol import Examined

if TYPE_CHECKING:
    from PIL import Image

MODEL_BYTES = 192 << 20
"""The largest model: while it is loaded it takes three times its size, 676 MiB of the 860 that a worker may have (measured)."""

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of red, green and blue in shares of white, as most models were trained with (ImageNet); metadata of the model may say others."""

THRESHOLD = 0.5
"""Inner product from which two pictures are compared corner by corner, unless the model's metadata say another: no verdict, a budget."""

SIDES, NUMBERS = (16, 1024), (2, 4096)
"""Least and most pixels of a side, and numbers of a vector."""

Vector = NDArray[np.float32]


def warm_up() -> None:
    """Load onnxruntime before the sandbox closes. Raise ImportError where it is not installed."""
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)


class Descriptor:
    """A loaded model. Raise `Unreadable`, with what is wrong and what would be right, where it is none that can be used."""

    def __init__(self, data: bytes) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = options.enable_mem_pattern = False  # the memory of a worker is bounded
        options.use_deterministic_compute = True
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as e:  # the library has an exception of its own for each of its states
            raise Unreadable("unsupported", f"onnxruntime cannot load it: {_words(e)}") from None
        self._input, self.width, self.height = _input_of(self._session.get_inputs())
        if len(self._session.get_outputs()) != 1:
            raise Unreadable("unsupported", f"it has {len(self._session.get_outputs())} outputs; one is needed, the vector")
        said = self._session.get_modelmeta().custom_metadata_map
        self.mean, self.std = _three(said, "safelight.mean", MEAN), _three(said, "safelight.std", STD)
        self.threshold = _numbers(said, "safelight.threshold", (THRESHOLD,))[0]
        if not 0 < self.threshold <= 1 or min(self.std) <= 0:
            raise Unreadable("unsupported", "its metadata need 0 < safelight.threshold <= 1 and safelight.std above 0")
        self.runtime = str(onnxruntime.__version__)
        self.numbers = 0
        self.numbers = len(self._raw(np.zeros((self.height, self.width, 3), np.uint8)))
        if not NUMBERS[0] <= self.numbers <= NUMBERS[1]:
            raise Unreadable("unsupported", f"it gives {self.numbers} numbers; {NUMBERS[0]} to {NUMBERS[1]} are allowed")
        self._refuse_if_useless()

    def examined(self) -> Examined:
        """Return what the model is, for the side that holds its bytes."""
        return Examined(self.width, self.height, self.numbers, self.mean, self.std, self.threshold, self.runtime)

    def vector(self, picture: Image.Image) -> bytes:
        """Return the vector of an RGB picture: half floats (LE), of length 1. Raise `Unreadable` where the model gives no usable one."""
        from PIL import Image

        size = (self.width, self.height)
        small = picture if picture.size == size else picture.resize(size, Image.Resampling.BILINEAR)
        return normalised(self._raw(np.asarray(small, np.uint8)))

    def _raw(self, pixels: NDArray[np.uint8]) -> Vector:
        """Return what the model gives for (height, width, 3) pixels, as a flat vector."""
        try:
            (found,) = self._session.run(None, {self._input: prepared(pixels, self.mean, self.std)})
        except MemoryError:
            raise
        except Exception as e:  # as above
            raise Unreadable("no-vector", f"the model fails on it: {_words(e)}") from None
        if not isinstance(found, np.ndarray) or found.dtype != np.float32 or found.shape[:1] != (1,):
            kind = f"{found.dtype} {list(found.shape)}" if isinstance(found, np.ndarray) else type(found).__name__
            raise Unreadable("unsupported", f"its output is {kind}; float32 [1, numbers] is needed")
        if self.numbers and found.size != self.numbers:
            raise Unreadable("no-vector", f"the model gives {found.size} numbers for this picture and {self.numbers} for others")
        return found.reshape(-1)

    def _refuse_if_useless(self) -> None:
        """Try it on two pictures: a model that gives nothing for noise, or the same for both, would link nothing or all."""
        try:
            noise = normalised(self._raw(_noise(self.height, self.width, 1)))
            other = normalised(self._raw(_noise(self.height, self.width, 4)))
        except Unreadable as e:
            raise Unreadable("unsupported", f"tried on noise: {e.reason}") from None
        if noise == other:
            raise Unreadable("unsupported", "it gives the same vector for different pictures")


def prepared(pixels: NDArray[np.uint8], mean: tuple[float, ...], std: tuple[float, ...]) -> Vector:
    """Return (height, width, 3) pixels as the model takes them: float32 (1, 3, height, width), (p / 255 - mean) / std."""
    scaled = (pixels.astype(np.float32) / np.float32(255) - np.asarray(mean, np.float32)) / np.asarray(std, np.float32)
    return np.ascontiguousarray(scaled.transpose(2, 0, 1)[None])


def normalised(raw: Vector) -> bytes:
    """Return a vector brought to length 1 as half floats. Raise `Unreadable` where it has no direction."""
    length = float(np.sqrt(np.square(raw.astype(np.float64)).sum()))
    if not math.isfinite(length) or length < 1e-12:
        raise Unreadable(
            "no-vector", "the model gives no direction: " + ("NaN or infinite numbers" if length >= 1e-12 or length != length else "zeros")
        )
    return (raw.astype(np.float64) / length).astype("<f2").tobytes()


def _noise(height: int, width: int, grain: int) -> NDArray[np.uint8]:
    """Return a picture of scattered squares of so many pixels, always the same (a multiplicative hash: a worker has no `numpy.random`)."""
    rows, columns = -(-height // grain), -(-width // grain)
    count = np.arange(1, rows * columns * 3 + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15 + 2 * grain)
    small = ((count ^ (count >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9) >> np.uint64(56)).astype(np.uint8)
    return small.reshape(rows, columns, 3).repeat(grain, 0).repeat(grain, 1)[:height, :width]


def _input_of(inputs: list[Any]) -> tuple[str, int, int]:
    """Return name, width and height of the one input."""
    wanted = "one input is needed: float32 [1, 3, height, width] with a fixed height and width (batch may be free)"
    if len(inputs) != 1:
        raise Unreadable("unsupported", f"it has {len(inputs)} inputs; {wanted}")
    shape, kind = inputs[0].shape, inputs[0].type
    fixed = len(shape) == 4 and shape[1] == 3 and all(isinstance(n, int) and SIDES[0] <= n <= SIDES[1] for n in shape[2:])
    if kind != "tensor(float)" or not fixed or (isinstance(shape[0], int) and shape[0] != 1):
        raise Unreadable("unsupported", f"its input is {kind} {shape}; {wanted}, of {SIDES[0]} to {SIDES[1]} pixels")
    return inputs[0].name, shape[3], shape[2]


def _three(said: dict[str, str], name: str, default: tuple[float, float, float]) -> tuple[float, float, float]:
    r, g, b = _numbers(said, name, default)
    return r, g, b


def _numbers(said: dict[str, str], name: str, default: tuple[float, ...]) -> tuple[float, ...]:
    """Return the numbers that the metadata of the model state under a name, parted by commas."""
    if name not in said:
        return default
    try:
        found = tuple(float(v) for v in said[name].split(","))
    except ValueError:
        found = ()
    if len(found) != len(default) or not all(map(math.isfinite, found)):
        raise Unreadable(
            "unsupported", f"its metadata say {name} = {said[name][:60]!r}; {len(default)} numbers parted by commas are needed"
        )
    return found


def _words(e: Exception) -> str:
    return " ".join(str(e).split())[:300] or type(e).__name__

from typing import Any

from numpy.typing import NDArray

def decide(pairs: bytes | NDArray[Any], leads: NDArray[Any], /) -> None: ...

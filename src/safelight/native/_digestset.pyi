from typing import Any

import numpy as np
from numpy.typing import NDArray

Buffer = bytes | NDArray[Any]

def lookup(
    keys: Buffer, width: int, table: Buffer, bits: int, queries: Buffer, first: NDArray[np.int64], count: NDArray[np.int64], /
) -> None: ...

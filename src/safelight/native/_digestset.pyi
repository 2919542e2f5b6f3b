from typing import Any

from numpy.typing import NDArray

Buffer = bytes | NDArray[Any]

def lookup(keys: Buffer, width: int, table: Buffer, bits: int, queries: Buffer, /) -> tuple[bytes, bytes]: ...

from typing import Any

from numpy.typing import NDArray

Buffer = bytes | NDArray[Any]

def brute(
    queries: Buffer, entries: Buffer, distance: int, base: int, max_pairs: int, level: str, /
) -> tuple[bytes, bytes, bytes] | None: ...
def level() -> str: ...

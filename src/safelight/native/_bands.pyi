from typing import Any

from numpy.typing import NDArray

Buffer = bytes | NDArray[Any]

def order(rows: Buffer, offset: int, width: int, starts: NDArray[Any], ids: NDArray[Any], /) -> None: ...
def join(
    queries: Buffer,
    rows: Buffer,
    starts: Buffer,
    ids: Buffer,
    bands: bytes,
    band: int,
    distance: int,
    base: int,
    part: int,
    parts: int,
    max_pairs: int,
    level: str,
    /,
) -> bytes | None: ...
def query(
    queries: Buffer,
    rows: Buffer,
    file: Buffer,
    places: NDArray[Any],
    bands: bytes,
    distance: int,
    max_pairs: int,
    max_candidates: int,
    /,
) -> bytes | None: ...
def level() -> str: ...

from typing_extensions import Buffer

DECODED: int
UNSUITABLE: int
TOO_MANY_PIXELS: int
TOO_MUCH_MEMORY: int
TOO_MANY_SCANS: int
FAILED: int

Forms = tuple[tuple[tuple[bytes, ...], int, tuple[int, int, int, int]] | None, tuple[tuple[bytes, ...], int] | None]
"""trimmed (hashes, quality, rectangle) and nearest (hashes, quality)."""

def decode(
    data: Buffer, max_pixels: int, max_coefficient_bytes: int, max_scans: int, small_side: int, turns: bool, /
) -> tuple[int, int, int, int, tuple[bytes, ...], int, bytes, int, int, int, int, str, str, int, int, Forms]: ...

from typing_extensions import Buffer

DECODED: int
UNSUITABLE: int
TOO_MANY_PIXELS: int
TOO_MUCH_MEMORY: int
TOO_MANY_SCANS: int
FAILED: int

def decode(
    data: Buffer, max_pixels: int, max_coefficient_bytes: int, max_scans: int, small_side: int, turns: bool, /
) -> tuple[int, int, int, int, tuple[bytes, ...], int, bytes, int, int, int, int, str, str, int, int]: ...

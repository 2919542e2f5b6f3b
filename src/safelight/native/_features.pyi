from typing_extensions import Buffer

def extract(plane: Buffer, width: int, height: int, most: int, /) -> tuple[bytes, bytes]: ...

Four = tuple[float, float, float, float]
Ten = tuple[int, int, int, int, int, int, int, int, int, int]
Six = tuple[float, float, float, float, float, float]

def compare(
    points_a: Buffer, descriptors_a: Buffer, points_b: Buffer, descriptors_b: Buffer, mirrored: bool, /
) -> tuple[Ten, Six, Four, Four, float, float, bytes]: ...

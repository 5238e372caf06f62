"""Make `knob.stl`: the spare knob of a valve, a lobed ring with a hexagonal bore, 24 mm wide and 6 mm high.

    python examples/knob/make_stl.py

Our own design, under the licence of the project. Nothing but the standard library is needed.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path

POINTS = 96
LOBES = 8
RADIUS_MM, LOBE_MM, BORE_MM, HEIGHT_MM = 11.0, 1.0, 4.0, 6.0

Point = tuple[float, float, float]


def outline(z: float) -> list[Point]:
    """The lobed outer edge at height `z`, counter-clockwise."""
    angles = [2 * math.pi * i / POINTS for i in range(POINTS)]
    radii = [RADIUS_MM + LOBE_MM * math.cos(LOBES * a) for a in angles]
    return [(r * math.cos(a), r * math.sin(a), z) for r, a in zip(radii, angles, strict=True)]


def bore(z: float) -> list[Point]:
    """The hexagonal inner edge at height `z`, counter-clockwise, with as many points as the outline."""
    points = []
    for i in range(POINTS):
        a = 2 * math.pi * i / POINTS
        r = BORE_MM * math.cos(math.pi / 6) / math.cos((a % (math.pi / 3)) - math.pi / 6)
        points.append((r * math.cos(a), r * math.sin(a), z))
    return points


def band(lower: list[Point], upper: list[Point]) -> list[tuple[Point, Point, Point]]:
    """The triangles between two rings of the same number of points."""
    triangles = []
    for i in range(POINTS):
        j = (i + 1) % POINTS
        triangles += [(lower[i], lower[j], upper[j]), (lower[i], upper[j], upper[i])]
    return triangles


def normal(a: Point, b: Point, c: Point) -> Point:
    u = [b[i] - a[i] for i in range(3)]
    v = [c[i] - a[i] for i in range(3)]
    n = (u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0])
    length = math.hypot(*n)
    return (n[0] / length, n[1] / length, n[2] / length)


def main() -> None:
    low_out, top_out = outline(0), outline(HEIGHT_MM)
    low_in, top_in = bore(0), bore(HEIGHT_MM)
    faces = band(low_out, top_out) + band(top_in, low_in) + band(top_out, top_in) + band(low_in, low_out)
    stl = b"Printright example: knob".ljust(80, b"\0") + struct.pack("<I", len(faces))
    for face in faces:
        stl += struct.pack("<12fH", *normal(*face), *(x for point in face for x in point), 0)
    Path(__file__).with_name("knob.stl").write_bytes(stl)


if __name__ == "__main__":
    main()

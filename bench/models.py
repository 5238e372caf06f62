"""Small parts of our own making, for slicers: each a stack of rings, closed at both ends, as an STL in text."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from math import cos, pi, sin
from pathlib import Path

Point = tuple[float, float, float]
Outline = Callable[[float, float], tuple[float, float]]


def _stack(levels: list[float], outline: Outline, sides: int) -> list[list[Point]]:
    return [[(*outline(z, 2 * pi * i / sides), z) for i in range(sides)] for z in levels]


def _solid(rings: list[list[Point]]) -> str:
    sides = len(rings[0])
    faces: list[tuple[Point, Point, Point]] = []
    for low, high in pairwise(rings):
        for i in range(sides):
            j = (i + 1) % sides
            faces += [(low[i], low[j], high[j]), (low[i], high[j], high[i])]
    bottom, top = (0.0, 0.0, rings[0][0][2]), (0.0, 0.0, rings[-1][0][2])
    for i in range(sides):
        j = (i + 1) % sides
        faces += [(bottom, rings[0][j], rings[0][i]), (top, rings[-1][i], rings[-1][j])]
    text = ["solid part"]
    for face in faces:
        corners = [f"vertex {x:.5f} {y:.5f} {z:.5f}" for x, y, z in face]
        text += ["facet normal 0 0 0", "outer loop", *corners, "endloop", "endfacet"]
    return "\n".join([*text, "endsolid part"]) + "\n"


def _vase(z: float, angle: float) -> tuple[float, float]:
    """Twisted, and wider at the top."""
    radius = 8.0 + z * 0.45 + cos(5 * angle)
    return radius * cos(angle + z * 0.04), radius * sin(angle + z * 0.04)


def _mushroom(z: float, angle: float) -> tuple[float, float]:
    """A flat hat on a stem, which does not print without support."""
    radius = 5.0 if z < 8 else 14.0
    return radius * cos(angle), radius * sin(angle)


def _plate(z: float, angle: float) -> tuple[float, float]:
    """A square, all infill."""
    del z
    scale = 14.0 / max(abs(cos(angle)), abs(sin(angle)))
    return scale * cos(angle), scale * sin(angle)


def _pin(z: float, angle: float) -> tuple[float, float]:
    """Thin and tall: layers that are too quick to cool."""
    radius = 3.0 - z * 0.08
    return radius * cos(angle), radius * sin(angle)


_PARTS: dict[str, tuple[list[float], Outline, int]] = {
    "vase": ([2.0 * level for level in range(8)], _vase, 40),
    "mushroom": ([0.0, 8.0, 8.001, 11.0], _mushroom, 48),
    "plate": ([0.0, 2.0], _plate, 40),
    "pin": ([0.0, 20.0], _pin, 20),
}


def write_models(folder: Path) -> None:
    """Every part of ours as `NAME.stl`, and the example's knob."""
    for name, (levels, outline, sides) in _PARTS.items():
        (folder / f"{name}.stl").write_text(_solid(_stack(levels, outline, sides)))
    knob = Path(__file__).parents[1] / "examples" / "knob" / "knob.stl"
    (folder / "knob.stl").write_bytes(knob.read_bytes())

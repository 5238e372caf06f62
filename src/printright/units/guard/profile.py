"""What one machine can stand."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from printright.errors import BadSettings


@dataclass(frozen=True)
class GuardProfile:
    """The bounds of one machine, for its allow-list. Temperatures in degrees Celsius, lengths in millimeters.

    `origin_mm`: where the build volume begins in x and y; below 0 where the bed's center is 0, as on deltas.
    `margin_mm`: how far the head may leave the build volume sideways and at the top, where purge lines are drawn.
    `unhomed_mm`: how far an axis may be moved relatively while nobody knows where it stands.
    `extrude_max_mm`: filament in one move. Raises BadSettings for a limit that is no finite number or out of range.
    """

    build_volume_mm: tuple[float, float, float]
    nozzle_max_c: float
    bed_max_c: float
    chamber_max_c: float = 0.0
    tools: int = 1
    nozzle_diameter_mm: float | None = None
    margin_mm: float = 5.0
    unhomed_mm: float = 50.0
    extrude_max_mm: float = 200.0
    acceleration_max: float = 50_000.0
    speed_max_mm_s: float = 1_000.0
    jerk_max: float = 100.0
    firmware: str = "marlin2"
    origin_mm: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        if len(self.build_volume_mm) != 3:
            raise BadSettings("a build volume has three sides: width, depth and height in millimeters")
        if len(self.origin_mm) != 2:
            raise BadSettings("a build volume begins at two coordinates: x and y in millimeters")
        limits = {
            "origin_mm": (1 - max(self.origin_mm), 1 - sum(self.origin_mm), 10_001.0),
            "build volume": (min(self.build_volume_mm) - 0.999, max(self.build_volume_mm), 10_000.0),
            "nozzle_max_c": (self.nozzle_max_c, self.nozzle_max_c, 600.0),
            "bed_max_c": (self.bed_max_c + 1, self.bed_max_c, 300.0),
            "chamber_max_c": (self.chamber_max_c + 1, self.chamber_max_c, 200.0),
            "tools": (self.tools, self.tools, 16),
            "margin_mm": (self.margin_mm + 1, self.margin_mm, 100.0),
            "extrude_max_mm": (self.extrude_max_mm, self.extrude_max_mm, 10_000.0),
        }
        for name, (low, high, most) in limits.items():
            if not (isfinite(low) and isfinite(high) and low > 0 and high <= most):
                raise BadSettings(f"{name} is out of range", hint=f"it is a number up to {most:g}")

    @property
    def bounds_mm(self) -> tuple[tuple[float, float], tuple[float, float], tuple[float, float]]:
        """Where the head may go on each axis, margins included. None of these begins above 0."""
        width, depth, height = self.build_volume_mm
        (left, front), margin = self.origin_mm, self.margin_mm
        return (
            (left - margin, left + width + margin),
            (front - margin, front + depth + margin),
            (0.0, height + margin),
        )

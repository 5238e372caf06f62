"""Where the head is and may go: absolute and relative modes, homing, arcs.

The machine is told `PREAMBLE` before a file, so that it starts in the modes that are assumed here. An axis that
nobody knows the place of (before homing, after levelling) may be moved relatively by a little, in total.
"""

from __future__ import annotations

import re
from math import atan2, hypot, pi, tau

from printright.units.guard.profile import GuardProfile

PREAMBLE = (b"G90", b"M82", b"G92 E0")
MAX_PENDING_BYTES = 1 << 20
_EXTRUDED = re.compile(rb" E([^ \n]+)").findall
_VALUE = re.compile(rb"[^ \n]+").match

ARC_TOLERANCE_MM = 0.5
ROUNDING_MM = 0.01


class OutOfBounds(Exception):
    """A move that the machine must not make; its text is the rule."""


class Positions:
    """The state machine of one file. Lengths in millimeters; None for a place that is not known."""

    __slots__ = (
        *("_bounds", "_drift", "_e", "_e_step", "_pending", "_pending_bytes", "_unhomed"),
        *("e_relative", "moved", "relative", "xyz"),
    )

    def __init__(self, profile: GuardProfile) -> None:
        self._bounds = profile.bounds_mm
        self._unhomed, self._e_step = profile.unhomed_mm, profile.extrude_max_mm
        self.relative = self.e_relative = False
        self.xyz: list[float | None] = [None, None, None]
        self._e = 0.0
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._drift = [0.0, 0.0, 0.0]
        self.moved = 0.0
        """Filament of the moves that were looked at one by one, which in a report are all."""

    @property
    def e(self) -> float:
        """Where the extruder stands. What runs of relative moves fed is added up only here, where it is asked for."""
        if self._pending:
            self.e = self._e + sum(map(float, _EXTRUDED(b"".join(self._pending))))
        return self._e

    @e.setter
    def e(self, value: float) -> None:
        self._e = value
        self._pending.clear()
        self._pending_bytes = 0

    @property
    def in_runs(self) -> bool:
        """Whether moves may be checked many at a time: absolute ones only."""
        return not self.relative

    def line(self, x: float | None, y: float | None, z: float | None, e: float | None) -> None:
        """A straight move to, or by, these values. Raises OutOfBounds, and then nothing has changed."""
        step = 0.0
        if e is not None:
            step = e if self.e_relative else e - self.e
            if not -self._e_step <= step <= self._e_step:
                raise OutOfBounds(f"one move feeds more than {self._e_step:g} mm of filament")
        if self.relative:
            self._by(x, y, z)
        else:
            (x_low, x_high), (y_low, y_high), (z_low, z_high) = self._bounds
            if x is not None and not x_low <= x <= x_high:
                raise OutOfBounds("X is outside the build volume")
            if y is not None and not y_low <= y <= y_high:
                raise OutOfBounds("Y is outside the build volume")
            if z is not None and not z_low <= z <= z_high:
                raise OutOfBounds("Z is outside the build volume")
            xyz = self.xyz
            if x is not None:
                xyz[0] = x
            if y is not None:
                xyz[1] = y
            if z is not None:
                xyz[2] = z
        self._e += step
        self.moved += step

    def run(self, moves: bytes) -> None:
        """Many absolute moves, without comments, that are known to be inside: where the head is at their end."""
        for axis, letter in enumerate((b" X", b" Y", b" Z")):
            value = _last(letter, moves)
            if value is not None:
                self.xyz[axis] = value
        if self.e_relative:
            self._pending.append(moves)
            self._pending_bytes += len(moves)
            if self._pending_bytes > MAX_PENDING_BYTES:
                self.e += 0.0
        else:
            value = _last(b" E", moves)
            if value is not None:
                self._e = value

    def _by(self, *steps: float | None) -> None:
        xyz, drift = list(self.xyz), list(self._drift)
        for axis, step in enumerate(steps):
            if step is None:
                continue
            place = xyz[axis]
            low, high = self._bounds[axis]
            if place is None:
                drift[axis] += step
                if abs(drift[axis]) > self._unhomed:
                    raise OutOfBounds(f"{'XYZ'[axis]} moves relatively from an unknown place")
            elif not low - ROUNDING_MM <= place + step <= high + ROUNDING_MM:
                raise OutOfBounds(f"{'XYZ'[axis]} is outside the build volume")
            else:
                xyz[axis] = place + step
        self.xyz, self._drift = xyz, drift

    def arc(self, clockwise: bool, values: dict[str, float]) -> None:
        """G2 and G3: the whole arc must stay inside, not only its end. Raises OutOfBounds; nothing has changed then."""
        before = list(self.xyz), self._drift, self.e, self.moved
        try:
            self._arc(clockwise, values)
        except OutOfBounds:
            self.xyz, self._drift, self._e, self.moved = before
            raise

    def _arc(self, clockwise: bool, values: dict[str, float]) -> None:
        x, y, _ = self.xyz
        if x is None or y is None:
            raise OutOfBounds("an arc starts from an unknown place")
        i, j = values.get("I", 0.0), values.get("J", 0.0)
        radius = hypot(i, j)
        if radius < 1e-6:
            raise OutOfBounds("an arc has no radius")
        self.line(values.get("X"), values.get("Y"), values.get("Z"), values.get("E"))
        end_x, end_y, _ = self.xyz
        assert end_x is not None
        assert end_y is not None
        center_x, center_y = x + i, y + j
        if abs(hypot(end_x - center_x, end_y - center_y) - radius) > ARC_TOLERANCE_MM + radius / 100:
            raise OutOfBounds("an arc does not end on its circle")
        start = atan2(-j, -i)
        sweep = (atan2(end_y - center_y, end_x - center_x) - start) * (-1 if clockwise else 1) % tau
        # Start and end in one place is the whole circle; rounding may say so from either side.
        if sweep < 1e-9 or tau - sweep < 1e-9:
            sweep = tau
        for quarter, (dx, dy) in enumerate(((1, 0), (0, 1), (-1, 0), (0, -1))):
            if (quarter * pi / 2 - start) * (-1 if clockwise else 1) % tau <= sweep:
                for axis, value in ((0, center_x + dx * radius), (1, center_y + dy * radius)):
                    low, high = self._bounds[axis]
                    if not low - ROUNDING_MM <= value <= high + ROUNDING_MM:
                        raise OutOfBounds("an arc leaves the build volume")

    def mode(self, position: str) -> None:
        """G90, G91, M82, M83, as Marlin has them: G90 and G91 set all axes, M82 and M83 the extruder after them."""
        if position in ("absolute", "relative"):
            self.relative = self.e_relative = position == "relative"
        else:
            self.e_relative = position == "relative-e"

    def forget(self, axes: str) -> None:
        """The head was moved to a place that the file does not say."""
        for letter in axes:
            axis = "XYZ".index(letter)
            self.xyz[axis] = None
            self._drift[axis] = 0.0


def _last(letter: bytes, moves: bytes) -> float | None:
    place = moves.rfind(letter)
    match = _VALUE(moves, place + 2) if place >= 0 else None
    return None if match is None else float(match[0])

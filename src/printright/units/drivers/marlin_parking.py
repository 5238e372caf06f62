"""Where the head of a paused machine waits, and how it gets back into the file's own state of things.

The firmware's M125 differs between machines, and a stock build has none. So the head is moved by plain moves, and what
a file has set and the moves change (absolute or relative, feed rate, nozzle) is kept track of line by line, and set
again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from printright.errors import BadSettings
from printright.units.guard import GuardProfile

LIFT_MM = 10.0
LIFT, TRAVEL = b"F600", b"F6000"
_POSITION = re.compile(rb"X:\s?(-?[0-9.]+) Y:\s?(-?[0-9.]+) Z:\s?(-?[0-9.]+)").match
_FEED = re.compile(rb" F([0-9.]+)").search
_TARGET = re.compile(rb" [SR]([0-9.]+)").search
_MOVES = (b"G0 ", b"G1 ", b"G2 ", b"G3 ")

Position = tuple[float, float, float]


@dataclass(frozen=True)
class Parking:
    """`at_mm`: x and y where the head waits, `LIFT_MM` above the part. `nozzle_c`: the nozzle's target meanwhile, None
    for as it is.
    """

    at_mm: tuple[float, float]
    nozzle_c: float | None = None

    def check(self, profile: GuardProfile) -> None:
        """Raises BadSettings for a place that the head cannot reach, or a nozzle that is too hot."""
        for place, low, side in zip(self.at_mm, profile.origin_mm, profile.build_volume_mm[:2], strict=True):
            if not low - profile.margin_mm <= place <= low + side + profile.margin_mm:
                raise BadSettings("the place to wait in a pause is outside of the machine", hint="see `pause_at_mm`")
        if self.nozzle_c is not None and not 0 <= self.nozzle_c <= profile.nozzle_max_c:
            raise BadSettings("the nozzle's target in a pause is out of range", hint="see `pause_nozzle_c`")


class Modes:
    """What a file has set so far, of what parking changes. It begins with the guard's preamble: absolute."""

    def __init__(self) -> None:
        self.relative = self.e_relative = False
        self.feed: bytes | None = None
        self.nozzle_c: float | None = None

    def note(self, line: bytes) -> None:
        """Take in a line that is on its way to the machine."""
        if line.startswith(_MOVES):
            feed = _FEED(line)
            if feed is not None:
                self.feed = feed[1]
        elif line in (b"G90", b"G91"):
            self.relative = self.e_relative = line == b"G91"
        elif line in (b"M82", b"M83"):
            self.e_relative = line == b"M83"
        elif line.startswith((b"M104 ", b"M109 ")):
            target = _TARGET(line)
            self.nozzle_c = float(target[1]) if target else self.nozzle_c


class Pause:
    """One pause: `leave` when the machine has told where the head is, `back` when it goes on."""

    def __init__(self, parking: Parking, modes: Modes, height_mm: float) -> None:
        self._parking, self._modes, self._height_mm = parking, modes, height_mm
        self._from: Position | None = None

    @property
    def parked(self) -> bool:
        return self._from is not None

    def _cooled(self) -> float | None:
        """The target of the parked nozzle, where it is a lower one."""
        low, now = self._parking.nozzle_c, self._modes.nozzle_c
        return low if low is not None and now is not None and low < now else None

    def leave(self, position: Position) -> list[bytes]:
        """Up, aside, and cooler where that is wanted."""
        self._from = position
        x, y = self._parking.at_mm
        top = max(position[2], min(position[2] + LIFT_MM, self._height_mm))
        orders = [b"G90", b"G1 Z%.3f %b" % (top, LIFT), b"G1 X%.3f Y%.3f %b" % (x, y, TRAVEL)]
        cooled_c = self._cooled()
        return orders if cooled_c is None else [*orders, b"M104 S%.0f" % cooled_c]

    def back(self) -> list[bytes]:
        """Hot again, over the part, down, and everything as the file left it; nothing before `leave`."""
        if self._from is None:
            return []
        x, y, z = self._from
        modes = self._modes
        orders = [] if self._cooled() is None or modes.nozzle_c is None else [b"M109 S%.0f" % modes.nozzle_c]
        orders += [b"G90", b"G1 X%.3f Y%.3f %b" % (x, y, TRAVEL), b"G1 Z%.3f %b" % (z, LIFT)]
        if modes.feed is not None:
            orders.append(b"G1 F" + modes.feed)
        if modes.relative:
            orders.append(b"G91")
        return [*orders, b"M83" if modes.e_relative else b"M82"]


def position(line: bytes) -> Position | None:
    """Where the head is, in the answer to M114."""
    match = _POSITION(line)
    try:
        return (float(match[1]), float(match[2]), float(match[3])) if match else None
    except ValueError:
        return None

"""How long moves take: a planner of a few moves, without acceleration, enough to make a printer busy."""

from __future__ import annotations

import re
from collections import deque
from math import atan2, hypot, tau

PLANNER_MOVES = 16

_PARAMETER = re.compile(rb"([A-Z])(-?[0-9]*\.?[0-9]+|-?[0-9]+\.)")


class Motion:
    """The head's place in millimeters, and when the moves that were accepted will be done."""

    def __init__(self, time_scale: float, homing_s: float) -> None:
        self._scale, self._homing_s = time_scale, homing_s
        self.xyze = [0.0, 0.0, 0.0, 0.0]
        self._feed_mm_s = 25.0
        self._relative = self._e_relative = False
        self._ends: deque[float] = deque()

    def done_s(self) -> float:
        """When the last accepted move is done."""
        return self._ends[-1] if self._ends else 0.0

    def room_s(self, now_s: float) -> float:
        """When the planner takes another move; not later than `now_s` where it has room."""
        while self._ends and self._ends[0] <= now_s:
            self._ends.popleft()
        return self._ends[0] if len(self._ends) >= PLANNER_MOVES else now_s

    def stop(self) -> None:
        self._ends.clear()

    def wait(self, seconds: float, now_s: float) -> float:
        """Something else that keeps the machine for some of its own seconds."""
        self._ends.append(max(self.done_s(), now_s) + seconds / self._scale)
        return self._ends[-1]

    def command(self, word: bytes, command: bytes, now_s: float) -> None:
        """G0 to G3, G28, G90 to G92, M82 and M83."""
        values = {name: float(value) for name, value in _PARAMETER.findall(command[len(word) :])}
        match word:
            case b"G90" | b"G91":
                self._relative = self._e_relative = word == b"G91"
            case b"M82" | b"M83":
                self._e_relative = word == b"M83"
            case b"G92":
                self._set(values)
            case b"G28":
                self._set(dict.fromkeys([n for n in (b"X", b"Y", b"Z") if n in values] or [b"X", b"Y", b"Z"], 0.0))
                self.wait(self._homing_s, now_s)
            case _:
                self._move(word, values, now_s)

    def _set(self, values: dict[bytes, float]) -> None:
        for axis, name in enumerate((b"X", b"Y", b"Z", b"E")):
            self.xyze[axis] = values.get(name, self.xyze[axis])

    def _move(self, word: bytes, values: dict[bytes, float], now_s: float) -> None:
        if values.get(b"F"):
            self._feed_mm_s = values[b"F"] / 60
        before = list(self.xyze)
        for axis, name in enumerate((b"X", b"Y", b"Z", b"E")):
            if name in values:
                relative = self._e_relative if axis == 3 else self._relative
                self.xyze[axis] = values[name] + (before[axis] if relative else 0.0)
        length = hypot(*(after - was for after, was in zip(self.xyze[:3], before[:3], strict=True)))
        if word in (b"G2", b"G3"):
            length = self._arc(word == b"G2", before, values)
        self.wait((length or abs(self.xyze[3] - before[3])) / self._feed_mm_s, now_s)

    def _arc(self, clockwise: bool, before: list[float], values: dict[bytes, float]) -> float:
        i, j = values.get(b"I", 0.0), values.get(b"J", 0.0)
        x, y = self.xyze[0] - before[0] - i, self.xyze[1] - before[1] - j
        sweep = (atan2(y, x) - atan2(-j, -i)) * (-1 if clockwise else 1) % tau
        return hypot(i, j) * (sweep or tau)

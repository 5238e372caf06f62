"""Heaters that warm up and cool down at a constant rate, in simulated time."""

from __future__ import annotations

ROOM_C = 21.0


class Heater:
    """One heater: temperatures in degrees Celsius, `rate_c_s` degrees a second of the machine's own time."""

    def __init__(self, rate_c_s: float, time_scale: float) -> None:
        self._rate = rate_c_s * time_scale
        self._from_c, self._since_s = ROOM_C, 0.0
        self.target_c = 0.0

    def set(self, target_c: float, now_s: float) -> None:
        self._from_c, self._since_s = self.now_c(now_s), now_s
        self.target_c = target_c

    def now_c(self, now_s: float) -> float:
        goal = max(self.target_c, ROOM_C)
        way = goal - self._from_c
        step = self._rate * (now_s - self._since_s) if now_s > self._since_s else 0.0
        return goal if step >= abs(way) else self._from_c + (step if way > 0 else -step)

    def reached_s(self, now_s: float) -> float:
        """When the target will be reached."""
        return now_s + abs(max(self.target_c, ROOM_C) - self.now_c(now_s)) / self._rate

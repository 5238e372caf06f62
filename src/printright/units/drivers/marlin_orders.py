"""Our own orders to a printer, and how long we wait for it."""

from __future__ import annotations

from dataclasses import dataclass

HALT = b"\nM112\nM112\n"
"""The newline ends a line that may be under way; twice, because it carries no checksum."""

BARRIER = (b"M400", b"M114")
"""Wait for all moves, then say where the head is: the answer proves that every line before was taken."""

REPORT = b"M155 S2"
"""Tell the temperatures every two seconds, unasked."""

HEATERS_OFF = (b"M104 S0", b"M140 S0", b"M107")


def cool_and_leave(lift_mm: float) -> tuple[bytes, ...]:
    """The end of a print that is given up: heaters and fan off, head up and away from the part."""
    return (*HEATERS_OFF, b"G91", b"G1 Z%.1f F600" % lift_mm, b"G90", b"G28 X Y", *BARRIER)


@dataclass(frozen=True)
class Patience:
    """Times in seconds. `settle_s`: how long the line must be quiet after a resend request before sending again.
    `stall_s`: without an answer, the oldest line is sent again, then after twice as long, and so on. `silence_s`:
    without any sign of life, the machine is given up. `stop_s`: for a canceled print to cool down and park.
    """

    settle_s: float = 0.03
    stall_s: float = 10.0
    silence_s: float = 300.0
    stop_s: float = 120.0
    poll_temperature_s: float = 4.0

"""The allow-list that every line passes before it reaches a machine.

`GuardProfile` is what the machine can stand, `Guard` checks a file against the firmware's list (`marlin2.toml`)
narrowed to it, `KlipperGuard` does so for Klipper (`klipper.toml`), `GuardReport` tells a publisher beforehand.
"""

from printright.units.guard.gate import Finding, Guard, GuardReport
from printright.units.guard.klipper import KlipperGuard
from printright.units.guard.positions import PREAMBLE
from printright.units.guard.profile import GuardProfile

__all__ = ["PREAMBLE", "Finding", "Guard", "GuardProfile", "GuardReport", "KlipperGuard"]

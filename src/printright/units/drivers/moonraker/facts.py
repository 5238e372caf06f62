"""What a Klipper machine says about itself, and the allow-list narrowed to it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from printright.errors import BadSettings, MachineUnavailable
from printright.units.guard import GuardProfile, KlipperGuard
from printright.units.guard.klipper import FEATURES

OBJECTS = {"configfile": ["settings"], "toolhead": ["axis_minimum", "axis_maximum"]}
"""What to ask for. Source: Klipper's `docs/Status_Reference.md`."""


@dataclass(frozen=True)
class KlipperFacts:
    """The machine by its own configuration; lengths in millimeters, temperatures in degrees Celsius."""

    low_mm: tuple[float, float, float]
    high_mm: tuple[float, float, float]
    nozzle_max_c: float
    bed_max_c: float
    nozzle_diameter_mm: float
    extrude_max_mm: float
    features: frozenset[str]
    macros: frozenset[str]

    @classmethod
    def read(cls, status: dict[str, Any]) -> KlipperFacts:
        """From the answer to a query of OBJECTS. Raises MachineUnavailable for a machine that is not understood."""
        try:
            settings, toolhead = status["configfile"]["settings"], status["toolhead"]
            extruder = settings["extruder"]
            return cls(
                low_mm=_three(toolhead["axis_minimum"]),
                high_mm=_three(toolhead["axis_maximum"]),
                nozzle_max_c=float(extruder["max_temp"]),
                bed_max_c=float(settings.get("heater_bed", {}).get("max_temp", 0.0)),
                nozzle_diameter_mm=float(extruder["nozzle_diameter"]),
                extrude_max_mm=float(extruder["max_extrude_only_distance"]),
                features=frozenset(name for name in FEATURES if name in settings),
                macros=frozenset(
                    name.removeprefix("gcode_macro ").upper() for name in settings if name.startswith("gcode_macro ")
                ),
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            raise MachineUnavailable(
                "Klipper does not say what the machine can do", hint="a machine with [extruder] and axes is needed"
            ) from None

    def guard(self, profile: GuardProfile, macros: Collection[str]) -> KlipperGuard:
        """The allow-list within both the unit's bounds and the machine's own.

        Within the machine's own because Klipper quotes the place that it refuses to go to. Raises BadSettings where a
        macro of the machine stands in the place of an allowed command and the settings do not name it.
        """
        spans = [
            (max(low, bounds[0]), min(high, bounds[1]))
            for low, high, bounds in zip(self.low_mm, self.high_mm, profile.bounds_mm, strict=True)
        ]
        (left, right), (front, back), (_, top) = spans
        # The patterns of the allow-list begin at 0 or below.
        left, front = min(left, 0.0), min(front, 0.0)
        guard = KlipperGuard(
            replace(
                profile,
                build_volume_mm=(right - left, back - front, top),
                origin_mm=(left, front),
                nozzle_max_c=min(profile.nozzle_max_c, self.nozzle_max_c),
                bed_max_c=min(profile.bed_max_c, self.bed_max_c),
                nozzle_diameter_mm=self.nozzle_diameter_mm,
                extrude_max_mm=min(profile.extrude_max_mm, self.extrude_max_mm),
                margin_mm=0.0,
                firmware="klipper",
            ),
            macros=macros,
            features=self.features,
        )
        hidden = sorted((guard.words & self.macros) - set(macros))
        if hidden:
            raise BadSettings(
                f"printer.cfg replaces {', '.join(hidden[:5])} by macros, which see every such line of a file",
                hint="look at what they do, then name them in `macros` of [unit.moonraker], or remove them",
            )
        missing = sorted(set(macros) - self.macros)
        if missing:
            raise BadSettings(
                f"printer.cfg has no macro {', '.join(missing[:5])}", hint="correct `macros` of [unit.moonraker]"
            )
        return guard


def _three(values: list[float]) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in values[:3])
    return x, y, z

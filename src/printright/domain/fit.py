"""Does this print fit this machine now? One decision, for the queue that chooses a machine and the agent that is asked.

What is not known does not fit: nobody who could look is there when a queue decides.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import isfinite

from printright.domain.license import License
from printright.errors import BadValue

IDLE = "idle"
NOZZLE_TOLERANCE_MM = 0.01
# The allow-list at the machine lets the head as far beyond its volume, for lines that prime the nozzle.
REACH_TOLERANCE_MM = 5.0
_ALTERNATIVES = re.compile(r"\s*(?:/|\bor\b)\s*", re.IGNORECASE).split
_SPACES = re.compile(r"[\s_-]+").sub


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a print asks of a machine; empty or None where its publisher said nothing.

    `material` may name alternatives (`PLA or PETG`); `reach_mm` is how far the head goes in x, y and z.
    """

    material: str = ""
    nozzle_mm: float | None = None
    reach_mm: tuple[float, float, float] | None = None

    @classmethod
    def of(cls, license: License) -> Needs:
        """The license's own word on the material comes before the slicer's."""
        document = license.document
        return cls(
            material=document.material or document.estimate.material,
            nozzle_mm=document.estimate.nozzle_mm,
            reach_mm=document.estimate.reach_mm,
        )


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A machine as it stands there. `state` is `idle`, or in a word why not; `material` is what was loaded last.

    `reach_mm` is how far its head may go in x, y and z.
    """

    state: str
    bed_clear: bool
    material: str = ""
    nozzle_mm: float | None = None
    reach_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        measures = (*self.reach_mm, self.nozzle_mm or 0.0)
        if len(self.reach_mm) != 3 or not all(isfinite(each) and each >= 0 for each in measures):
            raise BadValue("a machine's measures are three lengths and a nozzle, in mm")


def obstacles(needs: Needs, machine: Machine) -> tuple[str, ...]:
    """Why this print does not fit this machine now, each reason in a few words; empty where it fits.

    1. the machine is idle  2. its bed is clear  3. the nozzle is the one  4. a material that will do is loaded
    5. the head stays inside the build volume.
    """
    found = []
    # 1
    if machine.state != IDLE:
        found.append(machine.state)
    # 2
    if not machine.bed_clear:
        found.append("bed not clear")
    # 3
    if needs.nozzle_mm is not None:
        if machine.nozzle_mm is None:
            found.append(f"nozzle not known, needs {needs.nozzle_mm:g} mm")
        elif abs(machine.nozzle_mm - needs.nozzle_mm) > NOZZLE_TOLERANCE_MM:
            found.append(f"nozzle {machine.nozzle_mm:g} mm, needs {needs.nozzle_mm:g} mm")
    # 4
    if needs.material and not same_material(needs.material, machine.material):
        found.append(f"{machine.material or 'nothing known'} loaded, needs {needs.material}")
    # 5
    if needs.reach_mm is not None:
        beyond = [
            f"{axis} to {reach:g} mm of {size:g}"
            for axis, reach, size in zip("XYZ", needs.reach_mm, machine.reach_mm, strict=True)
            if not reach <= size + REACH_TOLERANCE_MM
        ]
        found += [f"too large: {', '.join(beyond)}"] if beyond else []
    return tuple(found)


def same_material(wanted: str, loaded: str) -> bool:
    """Whether what is loaded is one of the materials that are wanted, whatever the spelling: `pla` is `PLA`."""
    plain = _plain(loaded)
    return bool(plain) and plain in {_plain(each) for each in _ALTERNATIVES(wanted)}


def _plain(material: str) -> str:
    return _SPACES("", material).casefold()

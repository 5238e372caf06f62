"""What a unit's operator says, sees and sets."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from printright.units.journal import JobEntry


class Word(StrEnum):
    """What the operator can say to a job that waits."""

    CONTINUE = "continue"
    FINISH = "finish"


@dataclass(frozen=True)
class AgentSettings:
    """How this unit's operator works.

    `clears_bed_itself`: the machine ejects finished parts, so that the next run of a job starts without the
    operator's word. `nozzle_mm` (None where nobody said) and `reach_mm`, how far the head may go in x, y and z, are for
    orders that must fit.
    """

    clears_bed_itself: bool = False
    nozzle_mm: float | None = None
    reach_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class JobView:
    """A job with the progress of its current run: `fraction` 0 to 1, `eta_s` seconds or None while unknown."""

    entry: JobEntry
    title: str
    fraction: float = 0.0
    eta_s: float | None = None
    lines_sent: int = 0

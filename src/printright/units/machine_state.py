"""What a unit knows of its machine beyond a job: its bed, the material loaded, and who did what.

None of it can be measured by most machines, so all of it is somebody's word, written down with name and time.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import StrEnum

from printright.errors import BadValue


class BedState(StrEnum):
    """UNKNOWN until somebody spoke or something was printed; OCCUPIED from a run's begin to somebody's word."""

    UNKNOWN = "unknown"
    CLEAR = "clear"
    OCCUPIED = "occupied"


@dataclass(frozen=True)
class Bed:
    """The bed, since `at_s` (unix seconds), by the word of `by`; empty where nobody spoke."""

    state: BedState = BedState.UNKNOWN
    by: str = ""
    at_s: int = 0

    def is_clear(self, *, clears_itself: bool) -> bool:
        """Whether a run may begin. A machine that ejects finished parts has a clear bed until a run fails on it."""
        return self.state is BedState.CLEAR or (clears_itself and self.state is BedState.UNKNOWN)

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Bed:
        data = json.loads(text)
        return cls(BedState(data["state"]), data["by"], data["at_s"])


@dataclass(frozen=True)
class Loaded:
    """The material in the machine, `PETG` and the like, and its color; empty where nobody said."""

    material: str = ""
    color: str = ""
    by: str = ""
    at_s: int = 0

    def __post_init__(self) -> None:
        for name in ("material", "color"):
            if len(getattr(self, name)) > 64 or not getattr(self, name).isprintable():
                raise BadValue(f"a {name} has up to 64 printable characters")

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Loaded:
        return cls(**json.loads(text))


@dataclass(frozen=True)
class Act:
    """One thing that somebody did at this unit; `operator` is a name, empty for the unit's owner at its socket."""

    operator: str
    what: str
    at_s: int

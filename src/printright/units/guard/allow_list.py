"""The allow-list of a firmware, read from its data file and narrowed to one machine's bounds."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from printright.errors import BadSettings
from printright.units.guard.profile import GuardProfile

COORDINATE = (-100_000.0, 100_000.0)


@dataclass(frozen=True)
class ParameterRule:
    """What may follow one letter: nothing (`flag`, or 0 or 1), or a number between `low` and `high`."""

    flag: bool = False
    integer: bool = False
    low: float = -999_999.0
    high: float = 999_999.0


@dataclass(frozen=True)
class CommandRule:
    """One command word: its parameters by letter, one of `require` present, and how it moves the head.

    `text`: a text for the display follows, sent where it is plain. `note`: a text follows, and nothing is sent.
    `drop`: allowed, and not sent. `absent`: where this letter is 0, a tool that is not there may be meant: not sent.
    """

    parameters: dict[str, ParameterRule] = field(default_factory=dict)
    require: str = ""
    position: str = ""
    text: bool = False
    drop: bool = False
    note: bool = False
    absent: str = ""


MOVE = {letter: ParameterRule() for letter in "XYZE"} | {"F": ParameterRule(low=0.0)}
ARC = MOVE | {letter: ParameterRule(low=COORDINATE[0], high=COORDINATE[1]) for letter in "IJ"}


@cache
def _table(firmware: str) -> dict[str, dict[str, Any]]:
    source = files(__package__) / f"{firmware}.toml"
    if not firmware.isalnum() or not source.is_file():
        raise BadSettings(f"no allow-list for firmware {firmware[:40]!r}", hint="Marlin 2.x is `marlin2`")
    return tomllib.loads(source.read_text("utf-8"))


def allow_list(profile: GuardProfile) -> dict[bytes, CommandRule]:
    """The rule of every command word that this machine may get. Raises BadSettings for an unknown firmware."""
    bounds = {
        "nozzle": ParameterRule(low=0.0, high=profile.nozzle_max_c),
        "bed": ParameterRule(low=0.0, high=profile.bed_max_c),
        "chamber": ParameterRule(low=0.0, high=profile.chamber_max_c),
        "acceleration": ParameterRule(low=0.0, high=profile.acceleration_max),
        "speed": ParameterRule(low=0.0, high=profile.speed_max_mm_s),
        "jerk": ParameterRule(low=0.0, high=profile.jerk_max),
        "tool": ParameterRule(integer=True, low=0, high=profile.tools - 1),
        "float": ParameterRule(),
        "flag": ParameterRule(flag=True),
    }
    rules = {b"T%d" % tool: CommandRule() for tool in range(profile.tools)}
    for word, entry in _table(profile.firmware).items():
        position = entry.get("position", "")
        parameters = dict(MOVE if position == "line" else ARC if position == "arc" else {})
        for letter, rule in entry.items():
            if len(letter) > 1:
                continue
            if isinstance(rule, str):
                parameters[letter] = bounds[rule]
            else:
                low, high = rule
                integer = isinstance(low, int) and isinstance(high, int)
                parameters[letter] = ParameterRule(integer=integer, low=low, high=high)
        rules[word.encode()] = CommandRule(
            parameters,
            require=entry.get("require", ""),
            position=position,
            text=entry.get("text", False),
            drop=entry.get("drop", False),
            note=entry.get("note", False),
            absent=entry.get("absent", ""),
        )
    return rules

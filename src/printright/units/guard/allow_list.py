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
    """What may follow one letter: nothing (`flag`; or 0 or 1), one of `values`, a number between `low` and `high`."""

    flag: bool = False
    integer: bool = False
    low: float = -999_999.0
    high: float = 999_999.0
    values: frozenset[bytes] = frozenset()


@dataclass(frozen=True)
class CommandRule:
    """One command word: its parameters by letter, one of `require` present, and how it moves the head.

    `text`: a text for the display follows, sent where it is plain. `note`: a text follows, and nothing is sent.
    `drop`: allowed, and not sent. `absent`: where this letter is 0, a tool that is not there may be meant: not sent.
    `names`: with this letter first, a name follows and nothing is sent.
    `only_with`: sent only with all letters of one of these. `feature`: a part of the machine's configuration that the
    command needs.
    """

    parameters: dict[str, ParameterRule] = field(default_factory=dict)
    require: str = ""
    position: str = ""
    text: bool = False
    drop: bool = False
    note: bool = False
    absent: str = ""
    names: str = ""
    only_with: tuple[str, ...] = ()
    feature: str = ""


MOVE = {letter: ParameterRule() for letter in "XYZE"} | {"F": ParameterRule(low=0.0)}
ARC = MOVE | {letter: ParameterRule(low=COORDINATE[0], high=COORDINATE[1]) for letter in "IJ"}


@cache
def _table(firmware: str) -> dict[str, dict[str, Any]]:
    source = files(__package__) / f"{firmware}.toml"
    if not firmware.isalnum() or not source.is_file():
        raise BadSettings(f"no allow-list for firmware {firmware[:40]!r}", hint="known: `marlin2`, `klipper`")
    return tomllib.loads(source.read_text("utf-8"))


def allow_list(profile: GuardProfile) -> dict[bytes, CommandRule]:
    """The rule of every command word that this machine may get. Raises BadSettings for an unknown firmware."""
    bounds = _bounds(profile)
    rules = {b"T%d" % tool: CommandRule() for tool in range(profile.tools)}
    for word, entry in _table(profile.firmware).items():
        if word == "extended":
            continue
        position = entry.get("position", "")
        moves = MOVE if position == "line" else ARC if position == "arc" else {}
        parameters = {letter: _parameter(rule, bounds) for letter, rule in entry.items() if len(letter) == 1}
        rules[word.encode()] = CommandRule(
            moves | parameters,
            require=entry.get("require", ""),
            position=position,
            text=entry.get("text", False),
            drop=entry.get("drop", False),
            note=entry.get("note", False),
            absent=entry.get("absent", ""),
            names=entry.get("names", ""),
            only_with=tuple(entry.get("only_with", ())),
            feature=entry.get("feature", ""),
        )
    return rules


def extended_list(profile: GuardProfile) -> dict[bytes, CommandRule]:
    """The rules of the commands whose parameters have names, for a firmware that has such. Raises BadSettings."""
    bounds = _bounds(profile)
    return {
        word.encode(): CommandRule(
            {name: _parameter(rule, bounds) for name, rule in entry.items() if name.isupper()},
            position=entry.get("position", ""),
            drop=entry.get("drop", False),
        )
        for word, entry in _table(profile.firmware).get("extended", {}).items()
    }


def _bounds(profile: GuardProfile) -> dict[str, ParameterRule]:
    return {
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


def _parameter(rule: Any, bounds: dict[str, ParameterRule]) -> ParameterRule:
    if isinstance(rule, str):
        return bounds[rule]
    if isinstance(rule[0], str):
        return ParameterRule(values=frozenset(value.encode() for value in rule))
    low, high = rule
    return ParameterRule(integer=isinstance(low, int) and isinstance(high, int), low=low, high=high)

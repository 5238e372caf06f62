"""The gate for Klipper: its own commands, macros that the unit's settings name, and what would make it quote a line.

Klipper writes the text of a command that it cannot understand into its log and tells it to every client. So a line must
not only be harmless, it must also be one that Klipper takes without a word.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Any

from printright.errors import BadSettings
from printright.units.guard.allow_list import CommandRule, extended_list
from printright.units.guard.gate import Broken, Guard, parameter_value
from printright.units.guard.positions import OutOfBounds, Positions
from printright.units.guard.profile import GuardProfile

FEATURES = ("gcode_arcs", "firmware_retraction")
"""Sections of printer.cfg that add commands of the allow-list."""

_MACRO = re.compile(r"[A-Z][A-Z0-9_]{0,39}").fullmatch
_CLASSIC = re.compile(rb"[GMT][0-9]{1,4}").fullmatch
_EXTENDED = re.compile(rb"[A-Z_]{2,40}[0-9]{0,4}").fullmatch
_KEY = re.compile(rb"[A-Z][A-Z0-9_]{0,39}").fullmatch
_MACRO_VALUE = re.compile(rb"[A-Za-z0-9_.+-]{1,40}").fullmatch
_MACRO_LETTER = re.compile(rb"[A-Z](?:-?[0-9]{1,6}(?:\.[0-9]{0,6})?)?").fullmatch
# Klipper refuses a speed of nothing and quotes the line.
_NO_SPEED = re.compile(rb"G[0-3] (?:.* )?F(?:0+\.?0*|\.0+)(?: |$)").match


class KlipperPositions(Positions):
    """Klipper's modes: G91 makes the extruder relative too, and G90 gives M82 or M83 back.

    An axis moves only when it was homed: Klipper refuses it otherwise, and quotes where it should have gone.
    """

    __slots__ = ("_e_mode", "homed")

    def __init__(self, profile: GuardProfile) -> None:
        super().__init__(profile)
        self._e_mode = False
        self.homed = ""

    def line(self, x: float | None, y: float | None, z: float | None, e: float | None) -> None:
        for axis, value in zip("XYZ", (x, y, z), strict=True):
            if value is not None and axis not in self.homed:
                raise OutOfBounds(f"{axis} moves before it was homed")
        super().line(x, y, z, e)

    @property
    def in_runs(self) -> bool:
        return not self.relative and len(self.homed) == 3

    def forget(self, axes: str) -> None:
        """Homed, or moved by what homes first."""
        super().forget(axes)
        self.homed = "".join(axis for axis in "XYZ" if axis in self.homed or axis in axes)

    def mode(self, position: str) -> None:
        if position == "off":
            self.homed = ""
        elif position in ("absolute", "relative"):
            self.relative = position == "relative"
        else:
            self._e_mode = position == "relative-e"
        self.e_relative = self.relative or self._e_mode

    def modes(self) -> bytes:
        """The commands that put Klipper into the modes that are assumed here."""
        return b"%b\n%b" % (b"G91" if self.relative else b"G90", b"M83" if self._e_mode else b"M82")


class KlipperGuard(Guard):
    """The allow-list of one machine with Klipper.

    `features`: those of FEATURES that its printer.cfg has. `macros`: the names that a file may call, with plain values;
    what a macro does is its owner's business. Raises BadSettings for a name that is none, or one of the allow-list.
    """

    max_command_bytes = 256
    max_line_bytes = 16_384

    def __init__(
        self,
        profile: GuardProfile,
        *,
        macros: Iterable[str] = (),
        features: Collection[str] = FEATURES,
    ) -> None:
        self._extended = extended_list(profile)
        self._macros = frozenset(_macro_name(name, self._extended) for name in macros)
        super().__init__(profile)
        self._rules = {word: rule for word, rule in self._rules.items() if not rule.feature or rule.feature in features}
        if profile.tools == 1:
            # Klipper has one extruder without a word for it.
            self._rules[b"T0"] = CommandRule(drop=True)

    @property
    def words(self) -> frozenset[str]:
        """What the allow-list names: a macro of the machine under one of these names would be called by any file."""
        return frozenset(word.decode() for word in (*self._rules, *self._extended))

    def _new_positions(self) -> Positions:
        return KlipperPositions(self.profile)

    def feed(self, chunk: bytes) -> list[bytes]:
        commands = super().feed(chunk)
        # Plain moves pass in runs, and of those only a speed of nothing can be wrong.
        text = b"\n".join(commands)
        if b" F0" in text or b" F.0" in text:
            for command in commands:
                if _NO_SPEED(command):
                    raise self._refusal(self.lines, command, "a speed of 0")
        return commands

    def check(self, line: bytes) -> bytes | None:
        command = super().check(line)
        if command is not None and _NO_SPEED(command):
            raise self._refusal(self.lines, line, "a speed of 0")
        return command

    def _other_word(self, word: bytes, tokens: list[bytes]) -> bytes | None:
        if word in self._macros:
            classic = _CLASSIC(word)
            if not all(_MACRO_LETTER(token) if classic else _macro_parameter(token) for token in tokens):
                raise Broken("a macro's parameter that is not a plain value")
            self.positions.forget("XYZ")
            assert isinstance(self.positions, KlipperPositions)
            return b"%b\n%b" % (b" ".join((word, *tokens)), self.positions.modes())
        rule = self._extended.get(word)
        if rule is None:
            raise Broken("the command is not on the allow-list")
        if rule.drop:
            return None
        seen = set()
        for token in tokens:
            key, equals, text = token.partition(b"=")
            name = key.decode()
            parameter = rule.parameters.get(name)
            if parameter is None or not equals:
                raise Broken("a parameter that the command may not have")
            if name in seen:
                raise Broken(f"parameter {name} twice")
            seen.add(name)
            parameter_value(name, parameter, text)
        if rule.position:
            self.positions.forget("XYZ")
        return b" ".join((word, *tokens))

    def _name(self, line: bytes) -> str:
        words = line.split(None, 1)
        return words[0].decode() if words and _EXTENDED(words[0]) else super()._name(line)


def _macro_name(name: str, extended: dict[bytes, Any]) -> bytes:
    if not _MACRO(name) or name.encode() in extended or name in ("G0", "G1", "G2", "G3"):
        raise BadSettings(
            f"{name[:40]!r} cannot be a macro that files may call",
            hint="a macro's name has capitals, digits and underscores, and is none of the allow-list's own commands",
        )
    return name.encode()


def _macro_parameter(token: bytes) -> bool:
    key, equals, value = token.partition(b"=")
    return bool(equals and _KEY(key) and _MACRO_VALUE(value))

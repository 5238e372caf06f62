"""Firmware of machines: versions that can be compared, and the least that a design asks for.

A firmware is written as `2.1.2` or with its name before it: `Marlin 2.1.2`. Versions are whole numbers with dots
between them, compared number by number; numbers that are missing count as 0, so that 2.1 is 2.1.0. Everything else is
no version (`v2.1`, `2.1-rc1`, `bugfix-2.1.x`, `2.01`): nobody can say what it is older than, and it satisfies nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from printright.domain.member import UnitProfile
from printright.errors import BadValue

MAX_MODELS = 64
_MAX_MODEL_CHARS = 100
_FIRMWARE = re.compile(r"(?:([A-Za-z][A-Za-z0-9_-]{0,39}) )?((?:0|[1-9][0-9]{0,8})(?:\.(?:0|[1-9][0-9]{0,8})){0,5})")


@dataclass(frozen=True)
class Firmware:
    """A firmware that can be compared: its name, empty where none is said, and its version without zeros at the end."""

    name: str
    version: tuple[int, ...]

    @classmethod
    def parse(cls, text: str) -> Firmware:
        """Raises BadValue for what is no version."""
        found = _FIRMWARE.fullmatch(text)
        if found is None:
            raise BadValue(
                f"{text[:60]!r} is not a firmware version that can be compared", hint="like 2.1.2 or Marlin 2.1.2"
            )
        numbers = [int(number) for number in found[2].split(".")]
        while numbers and numbers[-1] == 0:
            numbers.pop()
        return cls(found[1] or "", tuple(numbers))


@dataclass(frozen=True)
class MinimumFirmware:
    """The least firmware for each model that may print a design, in the order of the models; empty for any machine.

    Where it is not empty, a model that it does not name prints nothing.
    """

    models: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        names = [model for model, _ in self.models]
        if len(names) > MAX_MODELS or names != sorted(set(names)):
            raise BadValue(f"minimum firmware names each model once, in order, and at most {MAX_MODELS}")
        for model, firmware in self.models:
            if not 0 < len(model) <= _MAX_MODEL_CHARS or not model.isprintable():
                raise BadValue("a model has 1 to 100 printable characters")
            Firmware.parse(firmware)

    def __bool__(self) -> bool:
        return bool(self.models)

    @classmethod
    def parse(cls, options: Iterable[str]) -> MinimumFirmware:
        """From `MODEL=FIRMWARE`, as it is given on the command line. Raises BadValue."""
        found: dict[str, str] = {}
        for option in options:
            model, equals, firmware = option.rpartition("=")
            if not equals:
                raise BadValue(f"not a minimum firmware: {option[:80]!r}", hint="like 'Demo One=Marlin 2.1'")
            if model in found:
                raise BadValue(f"model {model!r} is named twice")
            found[model] = firmware
        return cls.of(found)

    @classmethod
    def of(cls, models: dict[str, str]) -> MinimumFirmware:
        """From a mapping of models to firmwares. Raises BadValue."""
        return cls(tuple(sorted(models.items())))

    def to_json(self) -> dict[str, str]:
        return dict(self.models)

    def fault(self, *, attested: bool, registered: bytes | None, profile: UnitProfile | None) -> str:
        """Why a unit does not satisfy this, in one line; empty where it does.

        1. Nothing is asked for.  2. A builder attests the unit: its own word for its firmware is worth nothing.
        3. The profile shown is the one that the builder and the ledger have: `registered` is the ledger's digest.
        4. Its model is named.  5. Its firmware is a version, of the name that is asked for, and not older.
        """
        # 1
        if not self.models:
            return ""
        # 2
        if attested is not True:
            return "the design asks for a minimum firmware, and no builder attests this unit's"
        # 3
        if profile is None:
            return "the design asks for a minimum firmware, and the unit does not show its profile"
        if registered is None or profile.digest != registered:
            return "the profile shown is not the one that the unit is enrolled with"
        # 4
        wanted = dict(self.models).get(profile.model)
        if wanted is None:
            return f"the design is not for machines of the model {profile.model[:60]!r}"
        # 5
        least = Firmware.parse(wanted)
        try:
            has = Firmware.parse(profile.firmware)
        except BadValue:
            return f"firmware {profile.firmware[:60]!r} cannot be compared with {wanted!r}, the least for this design"
        if has.name != least.name or has.version < least.version:
            return f"firmware {profile.firmware!r} is not {wanted!r} or newer, as the design asks"
        return ""


ANY_FIRMWARE = MinimumFirmware()

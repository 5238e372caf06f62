"""What a slicer said of its file: material, nozzle, time, weight, layer height, a picture. For lists, never for rules.

It comes from the file's publisher, who may say what it likes: a machine's bounds are checked on the file itself.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from printright.errors import BadValue

MAX_THUMBNAIL_BYTES = 256 << 10
_MATERIAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9 .,+/()_-]{0,63}").fullmatch
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True, kw_only=True)
class PrintEstimate:
    """One run of a print file, as far as its slicer told; None or empty for what it did not tell.

    `nozzle_mm` is the diameter, `time_s` the whole run, `filament_g` all of it, `reach_mm` how far the head goes in x,
    y and z, measured when the file was published. `thumbnail_png` is a whole PNG that
    was taken apart and put together again (`services/png.py`). Raises BadValue for a value out of range.
    """

    material: str = ""
    nozzle_mm: float | None = None
    time_s: int | None = None
    filament_g: float | None = None
    layer_height_mm: float | None = None
    reach_mm: tuple[float, float, float] | None = None
    thumbnail_png: bytes = field(default=b"", repr=False)

    def __post_init__(self) -> None:
        if self.material and not _MATERIAL(self.material):
            raise BadValue("the material of a print is up to 64 letters, digits, blanks and . , + / ( ) _ -")
        if self.time_s is not None and not (isinstance(self.time_s, int) and 0 < self.time_s < 1 << 31):
            raise BadValue("the time of a print is a number of seconds")
        for name, most in (("nozzle_mm", 10.0), ("filament_g", 1e6), ("layer_height_mm", 10.0)):
            value = getattr(self, name)
            if value is not None and not (isfinite(value) and 0 < value <= most):
                raise BadValue(f"{name} of a print is above 0 and at most {most:g}")
        if self.reach_mm is not None and not (
            len(self.reach_mm) == 3 and all(isfinite(each) and 0 <= each <= 10_000 for each in self.reach_mm)
        ):
            raise BadValue("reach_mm of a print is three lengths from 0 to 10,000")
        if len(self.thumbnail_png) > MAX_THUMBNAIL_BYTES:
            raise BadValue(f"the picture of a print has more than {MAX_THUMBNAIL_BYTES} bytes")
        if self.thumbnail_png and not self.thumbnail_png.startswith(PNG_SIGNATURE):
            raise BadValue("the picture of a print is a PNG")

    def __bool__(self) -> bool:
        return self != NO_ESTIMATE

    def describe(self) -> str:
        """In a few words, for a person: `PLA, 0.4 mm nozzle, 0.3 mm layers, 7 min, 12 g`."""
        said = [self.material] if self.material else []
        if self.nozzle_mm:
            said.append(f"{self.nozzle_mm:g} mm nozzle")
        if self.layer_height_mm:
            said.append(f"{self.layer_height_mm:g} mm layers")
        if self.time_s:
            said.append(duration(self.time_s))
        if self.filament_g:
            said.append(f"{self.filament_g:.3g} g")
        return ", ".join(said)

    def to_json(self) -> dict[str, Any]:
        """Only what is known; the picture in base64."""
        known: dict[str, Any] = {name: value for name, value in vars(self).items() if value}
        if self.reach_mm is not None:
            known["reach_mm"] = list(self.reach_mm)
        if self.thumbnail_png:
            known["thumbnail_png"] = base64.b64encode(self.thumbnail_png).decode()
        return known

    @classmethod
    def from_json(cls, data: Any) -> PrintEstimate:
        """The inverse of `to_json`. Raises BadValue for anything else."""
        try:
            made = cls(
                material=_typed(data, "material", str, ""),
                time_s=_typed(data, "time_s", int, None),
                reach_mm=_reach(data),
                thumbnail_png=base64.b64decode(_typed(data, "thumbnail_png", str, ""), validate=True),
                **{name: _typed(data, name, (int, float), None) for name in _MEASURES},
            )
        except (AttributeError, TypeError, OverflowError, binascii.Error) as error:
            raise BadValue(f"not what a slicer says of a print: {error}") from None
        if unknown := data.keys() - vars(made).keys():
            raise BadValue(f"not what a slicer says of a print: {min(unknown)}")
        return made


NO_ESTIMATE = PrintEstimate()
"""Where no slicer said anything."""


def duration(seconds: int) -> str:
    """`45 s`, `7 min`, `2 h 5 min`, `1 d 4 h`."""
    if seconds < 60:
        return f"{seconds} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


_MEASURES = ("nozzle_mm", "filament_g", "layer_height_mm")


def _typed(data: Any, name: str, kind: Any, missing: Any) -> Any:
    value = data.get(name, missing)
    if value is not missing and (not isinstance(value, kind) or isinstance(value, bool)):
        raise TypeError(name)
    return value


def _reach(data: Any) -> tuple[float, float, float] | None:
    listed = _typed(data, "reach_mm", list, None)
    if listed is None:
        return None
    if len(listed) != 3 or any(isinstance(each, bool) or not isinstance(each, (int, float)) for each in listed):
        raise TypeError("reach_mm")
    x, y, z = listed
    return x, y, z

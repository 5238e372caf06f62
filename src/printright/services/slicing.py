"""What a slicer wrote about its own file: material, nozzle, time, weight, layer height, thumbnail.

Read from the comments of PrusaSlicer, SuperSlicer, OrcaSlicer, Bambu Studio, Slic3r and Cura, at both ends of the file.
What is not said, or cannot be, is left out: a strange comment is no reason to refuse a print.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from printright.domain.estimate import MAX_THUMBNAIL_BYTES, NO_ESTIMATE, PrintEstimate
from printright.errors import BadValue
from printright.services.png import clean_png

HEAD_BYTES, TAIL_BYTES = 2 << 20, 1 << 20
"""Slicers write thumbnails first and their settings last; what lies between is the print."""

MAX_THUMBNAILS = 16
_COMMENT = re.compile(rb"^;(.*)$", re.MULTILINE).findall
_PAIR = re.compile(rb"([A-Za-z][A-Za-z0-9_.\[\]() ]{0,60}?) ?[=:] ?(.{0,2000})").fullmatch
_THUMBNAIL = re.compile(rb"thumbnail begin ([0-9]{1,4})[x ]([0-9]{1,4}) [0-9]{1,7}").fullmatch
_TIME = re.compile(r"(?:([0-9]{1,4})d ?)?(?:([0-9]{1,5})h ?)?(?:([0-9]{1,6})m ?)?(?:([0-9]{1,8})(?:\.[0-9]*)?s)?")
_ORCA_TIME = re.compile(r"total estimated time: ?([0-9dhms ]+)").search

# By meaning, what slicers call it; the first that says something counts.
_TIMES = ("estimated printing time (normal mode)", "model printing time", "time", "print.time")
_WEIGHTS = ("total filament used [g]", "total filament weight [g]", "filament used [g]")
_NOZZLES = ("nozzle_diameter", "extruder_train.0.nozzle.diameter")
_LAYERS = ("layer_height", "layer height")
_MATERIALS = ("filament_type",)
_LENGTHS = ("filament used [mm]",)
_ELAPSED = "time_elapsed"
# CuraEngine writes its header before it knows the time; Cura fills it in later, other callers leave it.
_CURA_UNKNOWN = "6666"
_SAID = {*_TIMES, *_WEIGHTS, *_NOZZLES, *_LAYERS, *_MATERIALS, *_LENGTHS}


def read_estimate(gcode: Path | bytes) -> PrintEstimate:
    """What the slicer says of a G-code file, or of its text. Raises OSError where it cannot be read."""
    said: dict[str, str] = {}
    thumbnails: list[bytes] = []
    for end in _ends(gcode):
        _read_comments(end, said, thumbnails)
    return estimate_of(said, thumbnails)


def estimate_of(said: Mapping[str, str], thumbnails: Iterable[bytes] = ()) -> PrintEstimate:
    """The estimate from a slicer's own words (names in lower case) and its PNGs, of which the largest is taken."""
    pictures = sorted((clean_png(each, MAX_THUMBNAIL_BYTES) for each in thumbnails), key=len)
    used = _used(said)
    fields = {
        "material": ", ".join(dict.fromkeys(_chosen(_first(said, _MATERIALS), ";", used))),
        "nozzle_mm": _only(_chosen(_first(said, _NOZZLES), ",", used)),
        "time_s": _time_s(_first(said, (*_TIMES, _ELAPSED))),
        "filament_g": _sum(_first(said, _WEIGHTS)),
        "layer_height_mm": _number(_first(said, _LAYERS)),
        "thumbnail_png": pictures[-1] if pictures else b"",
    }
    made = NO_ESTIMATE
    for name, value in fields.items():
        if value:
            made = _with(made, name, value)
    return made


def _with(made: PrintEstimate, name: str, value: Any) -> PrintEstimate:
    """With this field too, where it is in range."""
    try:
        return PrintEstimate(**{**vars(made), name: value})
    except BadValue:
        return made


def _ends(gcode: Path | bytes) -> list[bytes]:
    if isinstance(gcode, bytes):
        if len(gcode) <= HEAD_BYTES + TAIL_BYTES:
            return [gcode]
        return [gcode[:HEAD_BYTES], gcode[-TAIL_BYTES:]]
    with gcode.open("rb") as file:
        head = file.read(HEAD_BYTES)
        rest = file.seek(0, 2) - len(head)
        file.seek(len(head) + max(0, rest - TAIL_BYTES))
        tail = file.read(TAIL_BYTES)
    return [head + tail] if rest <= TAIL_BYTES else [head, tail]


def _read_comments(text: bytes, said: dict[str, str], thumbnails: list[bytes]) -> None:
    picture: list[bytes] | None = None
    for line in _COMMENT(text):
        comment = line.strip()
        if picture is not None:
            if comment == b"thumbnail end":
                thumbnails.append(_decoded(picture))
                picture = None
            else:
                picture.append(comment)
        elif _THUMBNAIL(comment) and len(thumbnails) < MAX_THUMBNAILS:
            picture = []
        elif pair := _PAIR(comment):
            name = pair[1].decode("ascii").lower()
            value = pair[2].decode("utf-8", "replace")
            if name == _ELAPSED:
                # Behind each layer: the last one is the whole.
                said[name] = value
            elif name in _SAID and (name, value) != ("time", _CURA_UNKNOWN):
                said.setdefault(name, value)


def _decoded(lines: list[bytes]) -> bytes:
    try:
        return base64.b64decode(b"".join(lines), validate=True)
    except binascii.Error:
        return b""


def _first(said: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((said[name] for name in names if said.get(name)), "")


def _used(said: Mapping[str, str]) -> list[bool]:
    """Which extruders feed anything; empty where the slicer does not tell them apart."""
    for names in (_LENGTHS, ("filament used [g]",)):
        amounts = _first(said, names).split(",")
        if len(amounts) > 1:
            return [bool(_number(each)) for each in amounts]
    return []


def _chosen(listed: str, separator: str, used: list[bool]) -> list[str]:
    values = [each.strip().strip('"') for each in listed.split(separator)]
    if len(values) == len(used) and any(used):
        values = [value for value, feeds in zip(values, used, strict=True) if feeds]
    return [value for value in values if value]


def _only(values: list[str]) -> float | None:
    """The one number that all of these say."""
    return _number(values[0]) if len(set(values)) == 1 else None


def _number(text: str) -> float | None:
    return float(text) if re.fullmatch(r" *[0-9]{1,9}(?:\.[0-9]{0,9})? *", text) else None


def _sum(listed: str) -> float | None:
    numbers = [each for each in map(_number, listed.split(",")) if each]
    return round(sum(numbers), 3) or None


def _time_s(text: str) -> int | None:
    """`1d 2h 3m 4s`, Orca's `...; total estimated time: 3m 4s`, or Cura's seconds."""
    if match := _ORCA_TIME(text):
        text = match[1]
    text = text.strip()
    seconds = _number(text)
    if seconds is None and (match := _TIME.fullmatch(text)):
        days, hours, minutes, rest = (int(each or 0) for each in match.groups())
        seconds = ((days * 24 + hours) * 60 + minutes) * 60 + rest
    return round(seconds) if seconds else None

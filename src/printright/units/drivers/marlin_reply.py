"""What Marlin's answers mean. Text of the firmware is never passed on: it may quote a line of the file."""

from __future__ import annotations

import re

from printright.units.driver import PrintEnd

_TEMPERATURE = re.compile(rb"(?<![A-Z])(T|B):\s*(-?[0-9.]{1,8})\s*/\s*(-?[0-9.]{1,8})").findall
_OK = re.compile(rb"ok N([0-9]{1,9})(?: |$)").match
_RESEND = re.compile(rb"(?:Resend|rs):?\s*N?([0-9]{1,9})\s*$").match
POSITION = re.compile(rb"X:\s?-?[0-9.]+ Y:\s?-?[0-9.]+").match

FATAL = (
    (b"thermal runaway", PrintEnd.KILLED, "the firmware's thermal protection stopped the machine: thermal runaway"),
    (b"heating failed", PrintEnd.KILLED, "the firmware's thermal protection stopped the machine: heating failed"),
    (b"malfunction", PrintEnd.KILLED, "the firmware's thermal protection stopped the machine: a heater malfunctions"),
    (b"mintemp", PrintEnd.KILLED, "the firmware stopped the machine: a temperature sensor is off or broken"),
    (b"maxtemp", PrintEnd.KILLED, "the firmware stopped the machine: a temperature is too high"),
    (b"kill()", PrintEnd.KILLED, "the machine was stopped by an emergency stop, or its firmware's"),
    (b"printer halted", PrintEnd.KILLED, "the machine was stopped by an emergency stop, or its firmware's"),
    (b"printer stopped", PrintEnd.KILLED, "the firmware stopped the machine after an error"),
)


def ok_number(line: bytes) -> int | None:
    """The line that an `ok` is for, where it says."""
    match = _OK(line)
    return int(match[1]) if match else None


def resend_number(line: bytes) -> int | None:
    """The line that shall be sent again, where this asks for one."""
    match = _RESEND(line)
    return int(match[1]) if match else None


def fatal(line: bytes) -> tuple[PrintEnd, str] | None:
    """The end that this line means for a print, with a sentence for the operator; None for an ordinary line."""
    if line.strip() == b"start":
        return PrintEnd.RESET, "the machine was reset or lost power"
    if not line.startswith((b"Error:", b"!!")):
        return None
    text = line.lower()
    return next(((end, sentence) for sign, end, sentence in FATAL if sign in text), None)


def signs_of_life(line: bytes) -> bool:
    """Whether the firmware says that it works on something that takes long."""
    return line.startswith(b"echo:busy:") or b" W:" in line


def temperatures(line: bytes) -> dict[str, tuple[float, float]]:
    """Heater letter (T, B) -> (now, target) in degrees Celsius; what is garbled is left out."""
    found = {}
    for name, now, target in _TEMPERATURE(line):
        try:
            found[name.decode()] = (float(now), float(target))
        except ValueError:
            continue
    return found


def firmware_name(line: bytes) -> str | None:
    """`Marlin 2.1.2.5 (Aug 1 2024 12:00:00)` of the answer to M115."""
    if not line.startswith(b"FIRMWARE_NAME:"):
        return None
    name = line[len(b"FIRMWARE_NAME:") :].split(b" SOURCE_CODE_URL:")[0].split(b" PROTOCOL_VERSION:")[0]
    return name.decode("ascii", "replace").strip()[:80]


def capability(line: bytes) -> tuple[str, bool] | None:
    """`Cap:NAME:1` of the answer to M115."""
    match = re.match(rb"Cap:([A-Z_]{1,40}):([01])", line)
    return (match[1].decode(), match[2] == b"1") if match else None

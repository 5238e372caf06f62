"""The first words with a Marlin printer: wait for it, begin counting lines, learn who it is. Blocking."""

from __future__ import annotations

import re
import select
import time
from dataclasses import dataclass, field

from printright.errors import MachineUnavailable
from printright.units.drivers.checksum import checksum
from printright.units.drivers.marlin_reply import capability, fatal, firmware_name, signs_of_life
from printright.units.drivers.serial_port import SerialPort, Unplugged

READABLE = frozenset((*range(0x20, 0x7F), *b"\r\n\t"))
END_WAIT = b"\nM108\n"
"""Ends a wait for heat, where the firmware has its emergency parser."""


@dataclass
class Greeting:
    """What was heard while greeting. `noise`: bytes that are no text, which another baud rate makes of any."""

    firmware: str = "unknown firmware"
    capabilities: dict[str, bool] = field(default_factory=dict)
    numbered_ok: bool = False
    heard: int = 0
    noise: int = 0
    busy: bool = False


def greet(port: SerialPort, timeout_s: float, end_wait: bool = False) -> Greeting:
    """Greet the firmware. A board that resets when its port is opened says nothing for some seconds, and forgets what
    it is sent meanwhile: so it is asked again and again. `end_wait`: a wait for heat that keeps it is ours, and is
    ended. Raises MachineUnavailable.
    """
    deadline_s = time.monotonic() + timeout_s
    greeting = Greeting()
    try:
        if end_wait:
            port.write(END_WAIT)
        while time.monotonic() < deadline_s:
            # A newline first: half a line of somebody else may lie in its buffer.
            if not _ask(port, b"\nN0 M110 N0*125\n", b"", min(deadline_s, time.monotonic() + 1.0), greeting):
                continue
            body = b"N1 M115"
            frame = b"%b*%d\n" % (body, checksum(body))
            if _ask(port, frame, b"FIRMWARE_NAME:", min(deadline_s, time.monotonic() + 2.0), greeting):
                return greeting
    except Unplugged:
        raise MachineUnavailable(
            f"the port {port.name} went away while its machine was greeted", hint="is its cable loose?"
        ) from None
    raise _silence(port, greeting)


def _silence(port: SerialPort, greeting: Greeting) -> MachineUnavailable:
    """Why nobody answered, as far as can be told."""
    if greeting.busy:
        return MachineUnavailable(
            f"the machine on {port.name} is busy and takes no commands yet",
            hint="it is heating or moving; wait for it, or reset it",
        )
    if greeting.noise > greeting.heard // 4:
        return MachineUnavailable(
            f"what answers on {port.name} makes no sense at {port.baud} baud",
            hint="set `baud` to the machine's own speed; 115200 and 250000 are usual",
        )
    if greeting.heard:
        return MachineUnavailable(
            f"something answers on {port.name}, but not as a Marlin printer does",
            hint="is it the right port, and `baud` the machine's speed? 115200 and 250000 are usual",
        )
    return MachineUnavailable(
        f"no Marlin printer answers on {port.name}",
        hint="is it switched on, is the baud rate right, does it need a reset after an emergency stop?",
    )


def _ask(port: SerialPort, question: bytes, wanted: bytes, deadline_s: float, greeting: Greeting) -> bool:
    """Ask and read until an `ok` that follows a line beginning with `wanted`, and then until all is quiet."""
    port.write(question)
    poll = select.poll()
    poll.register(port.descriptor, select.POLLIN)
    rest, seen, answered = b"", not wanted, False
    while True:
        wait_s = 0.03 if answered else deadline_s - time.monotonic()
        if wait_s <= 0 or not poll.poll(wait_s * 1000):
            return answered
        data = port.read()
        greeting.heard += len(data)
        greeting.noise += sum(byte not in READABLE for byte in data)
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            seen = seen or line.startswith(wanted)
            name, known = firmware_name(line), capability(line)
            if name is not None:
                greeting.firmware = name
            elif known is not None:
                greeting.capabilities[known[0]] = known[1]
            elif fatal(line) is not None:
                answered = greeting.busy = False
            elif signs_of_life(line):
                greeting.busy = True
            elif line.startswith(b"ok") and seen:
                answered = True
                greeting.numbered_ok = re.match(rb"ok N[0-9]+ P[0-9]+ B[0-9]+", line) is not None

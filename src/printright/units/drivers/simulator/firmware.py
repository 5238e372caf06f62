"""The side of a Marlin 2.1 printer that a host can see, without a terminal: bytes in, bytes out, time as an argument.

Written from Marlin's documentation and the observable behavior of its serial queue: line numbers and XOR checksums
are checked when a line arrives and a faulty line empties the receive buffer; `ok` comes when a command is done;
while a command keeps the machine, 128 bytes wait in the buffer and what comes on top is lost.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from math import inf, isinf

from printright.units.drivers.checksum import checksum
from printright.units.drivers.simulator.faults import KILLS, Faults
from printright.units.drivers.simulator.heaters import Heater
from printright.units.drivers.simulator.motion import Motion

BANNER = b"start\necho:Marlin 2.1.2.5 (simulated by Printright)\necho:SD init fail\n"
QUERIES = frozenset((b"M105", b"M110", b"M114", b"M115", b"M155"))
"""Commands that a host asks for itself; they do not count in the digest."""

HALTED = b"Error:Printer halted. kill() called!\n"
_EMERGENCY = re.compile(rb"(?:^|\n)[ \t]*(?:N[0-9]+ )?(M112|M108|M410)(?:\*[0-9]+)?[ \t\r]*(?=\n)")
_COMMAND = re.compile(rb"[GMT][0-9]").match
_NUMBERED = re.compile(rb"N(-?[0-9]+)").match
_LEADING = re.compile(rb"\s*([0-9]+)").match
_VALUE = re.compile(rb" ([A-Z])(-?[0-9.]+)").findall
_MOTIONS = frozenset((b"G0", b"G1", b"G2", b"G3", b"G28", b"G90", b"G91", b"G92", b"M82", b"M83"))


@dataclass(frozen=True)
class FirmwareSettings:
    """How the firmware was built. `time_scale`: how much faster than real it lives; infinite for no time at all.

    `numbered_ok`: `ok N12 P15 B3` instead of `ok` (ADVANCED_OK). `emergency_parser`: M112, M108 and M410 act at
    once, whatever keeps the machine. `ok_after_resend`: as Marlin 1.x did. `busy_s`: how often it says that it is
    busy, 0 for never. `homing_s`: how long homing takes, in the machine's own time.
    `resets_on_open`: as boards whose reset hangs on DTR, with `boot_s` of a boot loader that forgets what it is sent.
    `baud`: at any other speed there is only noise; 0 for a port without speed (native USB).
    """

    time_scale: float = inf
    numbered_ok: bool = True
    emergency_parser: bool = True
    ok_after_resend: bool = False
    autoreport: bool = True
    busy_s: float = 2.0
    homing_s: float = 6.0
    rx_bytes: int = 128
    resets_on_open: bool = False
    boot_s: float = 0.0
    baud: int = 0
    keep_transcript: bool = False


def _emergencies(data: bytes) -> list[bytes]:
    return _EMERGENCY.findall(b"\n" + data)


def _leading_number(text: bytes) -> int:
    match = _LEADING(text)
    return int(match[1]) if match else 0


def transcript_digest(commands: Iterable[bytes]) -> str:
    """What `Firmware.digest` is after exactly these commands, in this order."""
    digest = hashlib.sha256()
    for command in commands:
        if command.split(b" ", 1)[0] not in QUERIES:
            digest.update(command + b"\n")
    return digest.hexdigest()


class Firmware:
    """One simulated controller. `receive` and `tick` return what it says; `now_s` is a monotonic clock."""

    def __init__(self, settings: FirmwareSettings, faults: Faults | None = None) -> None:
        self._settings = settings
        self._faults = faults or Faults()
        self._strike_name, self._strike_at = self._faults.strike
        self._strikes = self._strike_at > 0
        self.transcript: list[bytes] = []
        self.accepted = self.unnumbered = self.faulty = self.overruns = self.arrived_max = 0
        self.killed = self.unplugged = self.off = False
        self._digest = hashlib.sha256()
        self._boot()

    def _boot(self) -> None:
        scale = self._settings.time_scale
        self.nozzle = Heater(3.0, scale)
        self.bed = Heater(1.0, scale)
        self.motion = None if isinf(scale) else Motion(scale, self._settings.homing_s)
        self.fan = 0
        self._rx = b""
        self._last = 0
        self._until_s: float | None = None
        self._waits_for_heat = False
        self._pending = b""
        self._busy_at_s = self._temperature_at_s = inf
        self._report_s = 0.0
        self._out: list[bytes] = []

    @property
    def digest(self) -> str:
        """SHA-256 of all commands executed, in order, without line numbers and the host's own queries."""
        return self._digest.hexdigest()

    def boot(self) -> bytes:
        """Power on, or reset: what is lost is everything but the record of what was executed."""
        self._boot()
        self.killed = self.off = False
        return BANNER

    def power_off(self) -> None:
        """What was executed is on record, and nothing else is left."""
        self._boot()
        self.off = self.unplugged = True

    # Bytes in ---------------------------------------------------------------------------------------------------

    def receive(self, data: bytes, now_s: float) -> bytes:
        """Bytes from the host."""
        if self.killed or self.off:
            return b""
        if self._settings.emergency_parser and (b"M1" in data or b"M4" in data):
            for word in _emergencies(data):
                if word == b"M112":
                    self._kill(b"echo:M112 Shutdown\n")
                    return self._say()
                self._interrupt(word, now_s)
        if self._until_s is None:
            self._rx += data
            self._run(now_s)
        else:
            room = max(0, self._settings.rx_bytes - 1 - len(self._rx))
            self.overruns += max(0, len(data) - room)
            self._rx += data[:room]
            self.arrived_max = max(self.arrived_max, len(self._rx))
        return self._say()

    def tick(self, now_s: float) -> bytes:
        """Time has passed: what waits may be done, and the firmware tells of itself."""
        if self.killed or self.off:
            return b""
        if self._until_s is not None and now_s >= self._until_s:
            self._until_s, self._waits_for_heat, self._busy_at_s = None, False, inf
            self._out.append(self._pending)
            self._run(now_s)
        if now_s >= self._busy_at_s:
            self._out.append(b"echo:busy: processing\n")
            self._busy_at_s = now_s + self._settings.busy_s
        if now_s >= self._temperature_at_s:
            waits = b" W:?" if self._waits_for_heat else b""
            self._out.append(b" " + self._temperatures(now_s) + waits + b"\n")
            every_s = 1.0 if self._waits_for_heat else self._report_s
            self._temperature_at_s = now_s + every_s if every_s else inf
        return self._say()

    def wakes_s(self) -> float:
        """When `tick` has something to do; infinite for never."""
        if self.killed or self.off:
            return inf
        return min(inf if self._until_s is None else self._until_s, self._busy_at_s, self._temperature_at_s)

    def _say(self) -> bytes:
        said = b"".join(self._out)
        self._out.clear()
        return said

    def _interrupt(self, word: bytes, now_s: float) -> None:
        """M108 ends a wait for heat, M410 any move."""
        if self._until_s is not None and (word == b"M410" or self._waits_for_heat):
            self._until_s = now_s
            if self.motion:
                self.motion.stop()

    def _kill(self, why: bytes) -> None:
        self._out.append(why + HALTED)
        self.nozzle.set(0.0, 0.0)
        self.bed.set(0.0, 0.0)
        self.killed = True

    def _run(self, now_s: float) -> None:
        lines = self._rx.split(b"\n")
        self._rx = lines.pop()
        if len(self._rx) > 4096:
            self._rx = self._rx[:96]
        out, numbered_ok = self._out, self._settings.numbered_ok
        for index, line in enumerate(lines):
            # The way of nearly every line: the next number, the right checksum, a move that takes no time.
            if line.startswith(b"N"):
                body, star, digits = line.rpartition(b"*")
                head, _, command = body.partition(b" ")
                if (
                    star
                    and head == b"N%d" % (self._last + 1)
                    and digits == b"%d" % checksum(body)
                    and b"M110" not in body
                    and b";" not in body
                ):
                    number = self._last = self._last + 1
                    reply = b"ok N%d P15 B3\n" % number if numbered_ok else b"ok\n"
                    if self.motion is None and command.startswith((b"G1 ", b"G0 ")):
                        self._count(command)
                    else:
                        self._execute(command, reply, now_s)
                        reply = b""
                        if self.killed:
                            return
                    if reply:
                        out.append(reply)
                    if self._strikes and self._strike():
                        return
                elif not self._arrive(line, now_s):
                    self._rx = b""
                    return
            elif not self._arrive(line, now_s) or self.killed:
                self._rx = b""
                return
            if self._until_s is not None:
                self._rx = b"\n".join((*lines[index + 1 :], self._rx))
                return

    def _arrive(self, line: bytes, now_s: float) -> bool:
        """Any line, as Marlin reads it: False where it asked for a resend and emptied its buffer."""
        line = line.rstrip(b"\r").partition(b";")[0].lstrip(b" ")
        if not line:
            return True
        command, reply = line, b"ok P15 B3\n" if self._settings.numbered_ok else b"ok\n"
        if match := _NUMBERED(line):
            number = int(match[1])
            renumbers = b"M110" in line
            if renumbers and (n := re.search(rb"M110.*N(-?[0-9]+)", line)):
                number = int(n[1])
            body, star, digits = line.rpartition(b"*")
            if number != self._last + 1 and not renumbers:
                return self._ask_again(b"Line Number is not Last Line Number+1, Last Line: ")
            if not star:
                return self._ask_again(b"No Checksum with line number, Last Line: ")
            if _leading_number(digits) != checksum(body):
                return self._ask_again(b"checksum mismatch, Last Line: ")
            self._last = number
            command = body[match.end() :].strip(b" ")
            reply = b"ok N%d P15 B3\n" % number if self._settings.numbered_ok else b"ok\n"
        else:
            self.unnumbered += 1
            command = command.partition(b"*")[0].rstrip(b" ")
        self._execute(command, reply, now_s)
        return True

    def _ask_again(self, error: bytes) -> bool:
        self.faulty += 1
        text = b"Error:%b%d\n" % (error, self._last) + b"Resend: %d\n" % (self._last + 1)
        text += b"Resend: %d\n" % (self._last + 1) * self._faults.storm
        self._out.append(text + (b"ok\n" if self._settings.ok_after_resend else b""))
        return False

    # Commands ---------------------------------------------------------------------------------------------------

    def _count(self, command: bytes) -> None:
        self.accepted += 1
        self._digest.update(command + b"\n")
        if self._settings.keep_transcript:
            self.transcript.append(command)

    def _execute(self, command: bytes, reply: bytes, now_s: float) -> None:
        word = command.split(b" ", 1)[0]
        if not _COMMAND(command):
            self._out.append(b'echo:Unknown command: "%b"\n' % command + reply)
            return
        if word not in QUERIES:
            self._count(command)
        values: dict[bytes, bytes] = dict(_VALUE(command))
        until_s = now_s
        match word:
            case b"M104" | b"M109" | b"M140" | b"M190":
                heater = self.nozzle if word in (b"M104", b"M109") else self.bed
                heater.set(float(values.get(b"S", values.get(b"R", b"0"))), now_s)
                if word in (b"M109", b"M190"):
                    until_s = heater.reached_s(now_s)
                    self._waits_for_heat = until_s > now_s
            case b"M105":
                reply = reply.rstrip() + b" " + self._temperatures(now_s) + b"\n"
            case b"M106" | b"M107":
                self.fan = int(float(values.get(b"S", b"255"))) if word == b"M106" else 0
            case b"M155":
                self._report_s = float(values.get(b"S", b"0"))
                self._temperature_at_s = now_s + self._report_s if self._report_s else inf
            case b"M114":
                x, y, z, e = self.motion.xyze if self.motion else (0.0, 0.0, 0.0, 0.0)
                self._out.append(b"X:%.2f Y:%.2f Z:%.2f E:%.2f Count X:0 Y:0 Z:0\n" % (x, y, z, e))
            case b"M115":
                self._out.append(self._capabilities())
            case b"M112":
                self._kill(b"echo:M112 Shutdown\n")
                return
            case _ if self.motion is not None:
                until_s = self._move(word, command, values, now_s)
        if until_s > now_s:
            self._wait(until_s, reply, now_s)
        else:
            self._out.append(reply)

    def _move(self, word: bytes, command: bytes, values: dict[bytes, bytes], now_s: float) -> float:
        assert self.motion is not None
        if word == b"G4":
            return self.motion.wait(float(values.get(b"S", b"0")) + float(values.get(b"P", b"0")) / 1000, now_s)
        if word in (b"M400", b"M84", b"M18"):
            return self.motion.done_s()
        if word not in _MOTIONS:
            return now_s
        self.motion.command(word, command, now_s)
        return self.motion.done_s() if word == b"G28" else self.motion.room_s(now_s)

    def _wait(self, until_s: float, reply: bytes, now_s: float) -> None:
        self._until_s, self._pending = until_s, reply
        if self._settings.busy_s:
            self._busy_at_s = now_s + self._settings.busy_s
        if self._waits_for_heat:
            self._temperature_at_s = min(self._temperature_at_s, now_s + 1.0)

    def _strike(self) -> bool:
        """The faults that come at a certain command, once; True where nothing of the buffer is left to do."""
        if self.accepted < self._strike_at:
            return False
        self._strikes = False
        match self._strike_name:
            case "reset_at":
                said = self._out
                self._boot()
                self._out = [*said, BANNER]
            case "power_off_at":
                self.power_off()
            case "unplug_at":
                self.unplugged = True
            case kind:
                self._kill(KILLS[kind])
        return True

    def stall(self, seconds: float, now_s: float) -> None:
        """Say nothing for a while, as a controller that is busy elsewhere."""
        if self._until_s is None:
            self._until_s, self._pending = now_s + seconds, b""

    def _temperatures(self, now_s: float) -> bytes:
        nozzle, bed = self.nozzle, self.bed
        return b"T:%.2f /%.2f B:%.2f /%.2f @:0 B@:0" % (
            nozzle.now_c(now_s),
            nozzle.target_c,
            bed.now_c(now_s),
            bed.target_c,
        )

    def _capabilities(self) -> bytes:
        settings = self._settings
        return (
            b"FIRMWARE_NAME:Marlin 2.1.2.5 (simulated) SOURCE_CODE_URL:github.com/MarlinFirmware/Marlin "
            b"PROTOCOL_VERSION:1.0 MACHINE_TYPE:Printright Simulator EXTRUDER_COUNT:1\n"
            b"Cap:SERIAL_XON_XOFF:0\nCap:EEPROM:0\nCap:AUTOREPORT_TEMP:%d\nCap:EMERGENCY_PARSER:%d\nCap:ARCS:1\n"
            % (settings.autoreport, settings.emergency_parser)
        )

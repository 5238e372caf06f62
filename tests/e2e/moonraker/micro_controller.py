"""A simulated printer board for a real Klipper: its micro-controller protocol on a pseudo-terminal.

Klipper's host part is a real program here; what it usually talks to is a chip. This is that chip, written from
Klipper's public description of the protocol ("Protocol" and "MCU commands"): framed messages, a data dictionary,
steppers that count, end stops that are hit, heaters with warmth and sensors, and the faults of a real board.
"""

from __future__ import annotations

import json
import os
import select
import threading
import time
import tty
import zlib
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

CLOCK_HZ = 12_000_000
SYNC = 0x7E
COMMANDS = (
    "identify_response offset=%u data=%.*s",
    "identify offset=%u count=%c",
    "get_uptime",
    "get_clock",
    "get_config",
    "finalize_config crc=%u",
    "allocate_oids count=%c",
    "emergency_stop",
    "clear_shutdown",
    "reset",
    "config_stepper oid=%c step_pin=%c dir_pin=%c invert_step=%c step_pulse_ticks=%u",
    "queue_step oid=%c interval=%u count=%hu add=%hi",
    "set_next_step_dir oid=%c dir=%c",
    "reset_step_clock oid=%c clock=%u",
    "stepper_get_position oid=%c",
    "stepper_stop_on_trigger oid=%c trsync_oid=%c",
    "config_trsync oid=%c",
    "trsync_start oid=%c report_clock=%u report_ticks=%u expire_reason=%c",
    "trsync_set_timeout oid=%c clock=%u",
    "trsync_trigger oid=%c reason=%c",
    "config_endstop oid=%c pin=%c pull_up=%c",
    "endstop_home oid=%c clock=%u sample_ticks=%u sample_count=%c rest_ticks=%u pin_value=%c trsync_oid=%c"
    " trigger_reason=%c",
    "endstop_query_state oid=%c",
    "config_digital_out oid=%c pin=%u value=%c default_value=%c max_duration=%u",
    "set_digital_out_pwm_cycle oid=%c cycle_ticks=%u",
    "queue_digital_out oid=%c clock=%u on_ticks=%u",
    "update_digital_out oid=%c value=%c",
    "set_digital_out pin=%u value=%c",
    "config_analog_in oid=%c pin=%u",
    "query_analog_in oid=%c clock=%u sample_ticks=%u sample_count=%c rest_ticks=%u min_value=%hu max_value=%hu"
    " range_check_count=%c",
)
RESPONSES = (
    "uptime high=%u clock=%u",
    "clock clock=%u",
    "config is_config=%c crc=%u is_shutdown=%c move_count=%hu",
    "shutdown clock=%u static_string_id=%hu",
    "is_shutdown static_string_id=%hu",
    "starting",
    "stats count=%u sum=%u sumsq=%u",
    "stepper_position oid=%c pos=%i",
    "trsync_state oid=%c can_trigger=%c trigger_reason=%c clock=%u",
    "endstop_state oid=%c homing=%c next_clock=%u pin_value=%c",
    "analog_in_state oid=%c next_clock=%u value=%hu",
)
REASONS = ("Command request", "ADC out of range", "Missed scheduling of next digital out event")
PINS = ("nozzle_heater", "bed_heater", "fan", "nozzle_sensor", "bed_sensor")
STEPPER_PINS = tuple(f"{axis}_{kind}" for axis in "xyze" for kind in ("step", "dir", "stop"))
_IDS = {text.split()[0]: number for number, text in enumerate((*COMMANDS, *RESPONSES))}
_FIELDS = {_IDS[text.split()[0]]: [part.split("=") for part in text.split()[1:]] for text in COMMANDS}
_NAMES = {number: name for name, number in _IDS.items()}


def dictionary() -> bytes:
    """What the board tells about itself: commands, answers, pins, constants."""
    pins = {name: number for number, name in enumerate((*PINS, *STEPPER_PINS))}
    return zlib.compress(
        json.dumps(
            {
                "app": "Klipper",
                "version": "simulated",
                "build_versions": "none",
                "config": {"MCU": "simulated", "CLOCK_FREQ": CLOCK_HZ, "ADC_MAX": 4095, "STATS_SUMSQ_BASE": 256},
                "commands": {text: _IDS[text.split()[0]] for text in COMMANDS[1:]},
                "responses": {text: _IDS[text.split()[0]] for text in (COMMANDS[0], *RESPONSES)},
                "enumerations": {"pin": pins, "static_string_id": {text: n for n, text in enumerate(REASONS, 2)}},
            }
        ).encode()
    )


def crc16(data: bytes) -> bytes:
    crc = 0xFFFF
    for byte in data:
        byte ^= crc & 0xFF
        byte ^= (byte & 0x0F) << 4
        crc = ((byte << 8) | (crc >> 8)) ^ (byte >> 4) ^ (byte << 3)
        crc &= 0xFFFF
    return crc.to_bytes(2, "big")


def encode(value: int) -> bytes:
    """An integer in seven-bit groups, the highest first; small ones are short, negative ones have the sign's bits."""
    groups = [value & 0x7F]
    for shift in (7, 14, 21, 28):
        if -(1 << (shift - 2)) <= value < 3 << (shift - 2):
            break
        groups.append((value >> shift) & 0x7F | 0x80)
    return bytes(reversed(groups))


def decode(data: bytes, at: int) -> tuple[int, int]:
    byte = data[at]
    at += 1
    value = byte & 0x7F
    if byte & 0x60 == 0x60:
        value |= -0x20
    while byte & 0x80:
        byte = data[at]
        at += 1
        value = (value << 7) | (byte & 0x7F)
    return value, at


@dataclass
class Stepper:
    """Runs of steps that are queued (end clock, steps), where it is, and where its end stop was hit.

    `stopped`: it takes no steps until its clock is set anew.
    """

    position: int = 0
    home: int = 0
    dir: int = 0
    clock: int = 0
    stopped: bool = False
    trsync: int = -1
    runs: deque[tuple[int, int]] = field(default_factory=deque)

    def queue(self, interval: int, count: int, add: int) -> None:
        self.clock += interval * count + add * (count * (count - 1) // 2)
        self.runs.append((self.clock, count if self.dir else -count))

    def advance(self, clock: int) -> None:
        while self.runs and self.runs[0][0] <= clock:
            self.position += self.runs.popleft()[1]


@dataclass
class Heater:
    """Warmth in degrees Celsius; `watts` is what full power adds in a second."""

    celsius: float = 25.0
    gain_c_s: float = 80.0
    loss: float = 0.05
    duty: float = 0.0
    refreshed: int = 0

    def step(self, seconds: float) -> None:
        self.celsius += seconds * (self.duty * self.gain_c_s - (self.celsius - 25.0) * self.loss)


class MicroController:
    """The board. `port` is where it answers. Faults: `silent`, `heaters_dead`, `sensor_torn` and `stop`."""

    def __init__(self) -> None:
        self._board, self._host = os.openpty()
        tty.setraw(self._board)
        tty.setraw(self._host)
        os.set_blocking(self._board, False)
        self.port = os.ttyname(self._host)
        self.silent = self.heaters_dead = self.sensor_torn = False
        self.heaters = {"nozzle_heater": Heater(), "bed_heater": Heater(gain_c_s=40.0)}
        self.dictionary = dictionary()
        self.started_s = time.monotonic()
        self._handlers: dict[str, Callable[..., None]] = {
            name[4:]: getattr(self, name) for name in dir(self) if name.startswith("_do_")
        }
        self._expected = 0
        self._rest, self._out = b"", b""
        self._ended = self._cycled = False
        self._reset()
        self._thread = threading.Thread(target=self._run, name="board", daemon=True)
        self._thread.start()

    def power_cycle(self) -> None:
        """Off and on again: it knows nothing, and all is off."""
        self._cycled = True

    def stop(self) -> None:
        """Switch it off."""
        self._ended = True
        self._thread.join()
        with suppress(OSError):
            os.close(self._board)
        with suppress(OSError):
            os.close(self._host)

    def _reset(self) -> None:
        self.crc: int | None = None
        self.shutdown_reason = 0
        self.pins: dict[int, str] = {}
        self.steppers: dict[int, Stepper] = {}
        self.axes: dict[str, Stepper] = {}
        self._cycles: dict[int, int] = {}
        self._limits: dict[int, int] = {}
        self._triggers: dict[int, int] = {}
        self._homing: dict[int, tuple[int, int, int, int]] = {}
        self._sensors: dict[int, list[int]] = {}
        for heater in self.heaters.values():
            heater.duty = 0.0

    @property
    def clock(self) -> int:
        return int((time.monotonic() - self.started_s) * CLOCK_HZ)

    # The wire ---------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._board, select.POLLIN)
        warmed_s = time.monotonic()
        while not self._ended:
            if poll.poll(4):
                with suppress(BlockingIOError, OSError):
                    heard = os.read(self._board, 8192)
                    if not self.silent:
                        self._hear(heard)
            if self._cycled:
                self._cycled = False
                self._rest = self._out = b""
                self._reset()
            now_s = time.monotonic()
            for heater in self.heaters.values():
                if self.heaters_dead:
                    heater.duty = 0.0
                heater.step(now_s - warmed_s)
            warmed_s = now_s
            self._tick(self.clock)
            if self.silent:
                self._out = b""
            if self._out:
                with suppress(BlockingIOError):
                    self._out = self._out[os.write(self._board, self._out) :]

    def _hear(self, data: bytes) -> None:
        self._rest += data
        while self._rest:
            size = self._rest[0]
            if not 5 <= size <= 64:
                self._rest = self._rest[1:]
                continue
            if len(self._rest) < size:
                return
            block, sequence = self._rest[:size], self._rest[1]
            if sequence & 0xF0 != 0x10 or block[-1] != SYNC or crc16(block[:-3]) != block[-3:-1]:
                self._rest = self._rest[1:]
                continue
            self._rest = self._rest[size:]
            if not self._expected:
                self._expected = sequence
            if sequence == self._expected:
                self._expected = 0x10 | (sequence + 1) & 0x0F
                self._commands(block[2:-3])
            self._frame(b"")

    def _frame(self, content: bytes) -> None:
        head = bytes((len(content) + 5, self._expected)) + content
        self._out += head + crc16(head) + bytes((SYNC,))

    def say(self, name: str, *values: int | bytes) -> None:
        content = encode(_IDS[name])
        for value in values:
            content += encode(len(value)) + value if isinstance(value, bytes) else encode(value)
        self._frame(content)

    def _commands(self, content: bytes) -> None:
        at = 0
        while at < len(content):
            number, at = decode(content, at)
            values = []
            for _, form in _FIELDS[number]:
                value, at = decode(content, at)
                values.append(value if form in ("%i", "%hi") else value & 0xFFFFFFFF)
            name = _NAMES[number]
            handler = self._handlers.get(name)
            free = ("identify", "get_config", "get_clock", "get_uptime", "clear_shutdown", "reset", "emergency_stop")
            if self.shutdown_reason and name not in free:
                self.say("is_shutdown", self.shutdown_reason)
            elif handler is not None:
                # What was under way at a reset is for nothing that is configured any more.
                with suppress(KeyError):
                    handler(*values)

    # What it is told --------------------------------------------------------------------------------------------

    def _do_identify(self, offset: int, count: int) -> None:
        self.say("identify_response", offset, self.dictionary[offset : offset + count])

    def _do_get_uptime(self) -> None:
        self.say("uptime", self.clock >> 32, self.clock & 0xFFFFFFFF)

    def _do_get_clock(self) -> None:
        self.say("clock", self.clock & 0xFFFFFFFF)

    def _do_get_config(self) -> None:
        self.say("config", int(self.crc is not None), self.crc or 0, int(self.shutdown_reason > 0), 1024)

    def _do_finalize_config(self, crc: int) -> None:
        self.crc = crc

    def _do_reset(self) -> None:
        self._reset()

    def _do_emergency_stop(self) -> None:
        self.shut_down(REASONS[0])

    def _do_clear_shutdown(self) -> None:
        self.shutdown_reason = 0

    def _do_config_stepper(self, oid: int, step_pin: int, *_: int) -> None:
        stepper = self.steppers[oid] = Stepper()
        self.axes[STEPPER_PINS[step_pin - len(PINS)][0]] = stepper

    def _do_set_next_step_dir(self, oid: int, dir: int) -> None:
        self.steppers[oid].dir = dir

    def _do_reset_step_clock(self, oid: int, clock: int) -> None:
        stepper = self.steppers[oid]
        stepper.advance(self.clock)
        stepper.runs.clear()
        stepper.clock, stepper.stopped = self._long(clock), False

    def _do_queue_step(self, oid: int, interval: int, count: int, add: int) -> None:
        stepper = self.steppers[oid]
        if not stepper.stopped:
            stepper.queue(interval, count, add)

    def _do_stepper_get_position(self, oid: int) -> None:
        self.steppers[oid].advance(self.clock)
        self.say("stepper_position", oid, self.steppers[oid].position)

    def _do_stepper_stop_on_trigger(self, oid: int, trsync: int) -> None:
        self.steppers[oid].trsync = trsync

    def _do_trsync_start(self, oid: int, *_: int) -> None:
        self._triggers[oid] = 0

    def _do_trsync_trigger(self, oid: int, reason: int) -> None:
        self._trigger(oid, reason)

    def _do_endstop_home(
        self, oid: int, clock: int, _t: int, count: int, _r: int, _v: int, sync: int, why: int
    ) -> None:
        self._homing.pop(oid, None)
        if count:
            self._homing[oid] = (self._long(clock) + CLOCK_HZ // 100, sync, why, 0)

    def _do_endstop_query_state(self, oid: int) -> None:
        self.say("endstop_state", oid, int(oid in self._homing), self.clock & 0xFFFFFFFF, 1)

    def _do_config_digital_out(self, oid: int, pin: int, _v: int, _d: int, max_duration: int) -> None:
        self.pins[oid] = PINS[pin]
        self._limits[oid] = max_duration

    def _do_set_digital_out_pwm_cycle(self, oid: int, ticks: int) -> None:
        self._cycles[oid] = ticks

    def _do_queue_digital_out(self, oid: int, _clock: int, on_ticks: int) -> None:
        heater = self.heaters.get(self.pins[oid])
        if heater is not None:
            heater.duty, heater.refreshed = min(1.0, on_ticks / self._cycles[oid]), self.clock

    def _do_config_analog_in(self, oid: int, pin: int) -> None:
        self.pins[oid] = PINS[pin]

    def _do_query_analog_in(
        self, oid: int, clock: int, _t: int, count: int, rest: int, low: int, high: int, _c: int
    ) -> None:
        self._sensors[oid] = [self._long(clock), count, rest, low, high]

    # What it does by itself -------------------------------------------------------------------------------------

    def _long(self, clock: int) -> int:
        """The time nearest to now of which these are the last 32 bits."""
        now = self.clock
        return now + ((clock - now + 0x80000000) & 0xFFFFFFFF) - 0x80000000

    def _tick(self, clock: int) -> None:
        for oid, (at, sync, reason, _) in list(self._homing.items()):
            if clock >= at:
                del self._homing[oid]
                self._trigger(sync, reason)
        for oid, sensor in self._sensors.items():
            at, count, rest, low, high = sensor
            if clock < at or self.shutdown_reason:
                continue
            sensor[0] = at + rest if clock < at + 4 * rest else clock + rest
            heater = self.heaters[self.pins[oid].replace("sensor", "heater")]
            value = 0xFFF * count if self.sensor_torn else int(heater.celsius / 500 * 4095 * count)
            if not low <= value <= high:
                self.shut_down(REASONS[1])
                return
            self.say("analog_in_state", oid, sensor[0] & 0xFFFFFFFF, value)
        for oid, limit in self._limits.items():
            pin = self.heaters.get(self.pins[oid])
            if limit and pin is not None and pin.duty and clock > pin.refreshed + limit + CLOCK_HZ:
                self.shut_down(REASONS[2])

    def _trigger(self, sync: int, reason: int) -> None:
        """Stop the steppers that wait for this; the first reason stands, and is said to whoever asks later."""
        if not self._triggers.get(sync):
            self._triggers[sync] = reason
            for stepper in self.steppers.values():
                if stepper.trsync == sync:
                    stepper.advance(self.clock)
                    stepper.runs.clear()
                    stepper.stopped, stepper.trsync, stepper.home = True, -1, stepper.position
        self.say("trsync_state", sync, 0, self._triggers[sync], self.clock & 0xFFFFFFFF)

    def positions_mm(self, steps_per_mm: int) -> dict[str, float]:
        """Where the axes are, by the steps that were made since the end stops were hit."""
        for stepper in self.axes.values():
            stepper.advance(self.clock)
        return {axis: (stepper.position - stepper.home) / steps_per_mm for axis, stepper in self.axes.items()}

    def shut_down(self, reason: str) -> None:
        """The board's own emergency stop: everything off, until it is reset."""
        if self.shutdown_reason:
            return
        self.shutdown_reason = REASONS.index(reason) + 2
        for heater in self.heaters.values():
            heater.duty = 0.0
        for stepper in self.steppers.values():
            stepper.advance(self.clock)
            stepper.runs.clear()
        self._homing.clear()
        self.say("shutdown", self.clock & 0xFFFFFFFF, self.shutdown_reason)

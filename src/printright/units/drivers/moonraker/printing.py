"""One print on Klipper: checked lines in scripts, one script at a time, and an account of what became of them.

Klipper plans up to seconds ahead and answers a script when it has all of it planned, so that it does not run dry
between two scripts. One at a time, because it goes on with the next script when a line of the last one failed.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from printright.units.driver import PrintEnd, PrintOutcome, Progress
from printright.units.drivers.moonraker.blocks import SCRIPT_BYTES, script_size
from printright.units.drivers.moonraker.bridge import Bridge, Disconnected, KlipperRefused
from printright.units.guard import KlipperGuard

PREAMBLE = (b"G90", b"M82", b"G92 E0", b"M220 S100", b"M221 S100")
"""The modes that the allow-list assumes at the beginning of a file; Klipper keeps them from print to print."""

HEATERS_OFF = (b"TURN_OFF_HEATERS", b"M107")
LIFT_MM = 10.0
SLICE_BYTES = 1536
PROGRESS_S = 0.1
FIRST_LINES = 4
NEAR_C = 1.0
ALIVE_S = 60.0
"""While the heaters warm up nothing moves; a dwell this often keeps Klipper's idle timeout from turning them off."""


@dataclass(frozen=True)
class KlipperPatience:
    """Times in seconds. `script_s`: what a script should take, so that pause and cancel come soon. `silence_s`: without
    a word from Klipper, which reports its temperatures several times a second, it is given up. `stop_s`: for a canceled
    print to cool down and park, before it is stopped with an emergency stop. `settle_s`: for a reason to arrive.
    """

    connect_s: float = 10.0
    script_s: float = 0.5
    silence_s: float = 30.0
    stop_s: float = 120.0
    settle_s: float = 2.0


class Machine(Protocol):
    """What a print sees of its machine."""

    ended: tuple[PrintEnd, str] | None
    """Why the machine cannot go on, once that is known."""

    def temperature(self, heater: str) -> tuple[float, float]:
        """Now and target, in degrees Celsius."""

    async def changed(self, timeout_s: float) -> None:
        """Wait until the machine has said something, or for so long."""


class Stopped(Exception):
    """The print ends here; `end` and `reason` say how."""

    def __init__(self, end: PrintEnd, reason: str) -> None:
        self.end, self.reason = end, reason


class Printing:
    """One file on its way. `run` once; the others may be called meanwhile, from the same event loop."""

    def __init__(
        self,
        bridge: Bridge,
        machine: Machine,
        guard: KlipperGuard,
        patience: KlipperPatience,
        *,
        total_bytes: int | None,
        on_progress: Callable[[Progress], None] | None,
        first_line: Callable[[], None] | None,
    ) -> None:
        self.paused = False
        self.lines_sent = self.lines_done = self.bytes_used = 0
        self._bridge, self._machine, self._guard, self._patience = bridge, machine, guard, patience
        self._total, self._on_progress, self._first_line = total_bytes, on_progress, first_line
        self._stopped: Stopped | None = None
        self._count = FIRST_LINES
        self._started_s = time.monotonic()
        self._told_s = 0.0

    def stop(self, end: PrintEnd, reason: str) -> None:
        """No further line of the file. An emergency stop stands above a cancel, and a cancel above nothing."""
        if self._stopped is None or end is PrintEnd.HALTED:
            self._stopped = Stopped(end, reason)

    async def run(self, chunks: AsyncIterable[bytes]) -> PrintOutcome:
        """Print it. Raises GcodeRefused and what `chunks` raises, after the heaters were turned off."""
        self._guard.start()
        try:
            await self._script(PREAMBLE)
            async for chunk in chunks:
                for at in range(0, len(chunk), SLICE_BYTES):
                    await self._send(self._guard.feed(chunk[at : at + SLICE_BYTES]))
                    self.bytes_used += len(chunk[at : at + SLICE_BYTES])
            await self._send(self._guard.finish())
            await self._go()
            await self._script((b"M400",))
            self._tell(time.monotonic())
        except Stopped as stopped:
            end, reason = stopped.end, stopped.reason
            if end in (PrintEnd.CANCELED, PrintEnd.LOST):
                try:
                    reason += await cool_down(self._bridge, self._guard, self._patience)
                except Disconnected:
                    # Nobody knows whether it is cold, and whoever finds it again has to see to that.
                    end, reason = PrintEnd.UNPLUGGED, f"{reason}; the connection was lost before it had cooled down"
            return self._outcome(end, reason)
        except BaseException as error:
            # Shielded: the task itself may be on its way out.
            cooling = cool_down(self._bridge, self._guard, self._patience)
            try:
                await asyncio.shield(asyncio.create_task(cooling))
            except Disconnected:
                if isinstance(error, Exception):
                    reason = "the file ended too early, and the connection was lost before the machine had cooled down"
                    return self._outcome(PrintEnd.UNPLUGGED, reason)
            raise
        finally:
            self._guard.start()
        return self._outcome(PrintEnd.COMPLETED, "")

    async def _send(self, commands: list[bytes]) -> None:
        """Lines of the file, in scripts that end where the driver has to wait for heat itself."""
        rest = deque(commands)
        while rest:
            await self._go()
            if (wait := _heat_wait(rest[0])) is not None:
                await self._heat(*wait)
                rest.popleft()
                continue
            lines: list[bytes] = []
            size = 0
            while rest and len(lines) < self._count and _heat_wait(rest[0]) is None:
                size += script_size((rest[0],))
                if lines and size > SCRIPT_BYTES:
                    break
                lines.append(rest.popleft())
            before_s = time.monotonic()
            await self._script(lines, of_file=True)
            self._pace(time.monotonic() - before_s)

    def _pace(self, took_s: float) -> None:
        # What a script takes is what its moves take, as soon as Klipper is as far ahead as it plans.
        if took_s > self._patience.script_s:
            self._count = max(1, self._count // 2)
        elif took_s < self._patience.script_s / 4:
            self._count = min(512, self._count * 2)
        now_s = time.monotonic()
        if now_s - self._told_s > PROGRESS_S:
            self._tell(now_s)

    def _tell(self, now_s: float) -> None:
        self._told_s = now_s
        if self._on_progress is None:
            return
        duration_s = now_s - self._started_s
        fraction = min(1.0, self.bytes_used / self._total) if self._total else 0.0
        eta_s = duration_s * (1 - fraction) / fraction if fraction > 0.005 else None
        self._on_progress(Progress(self.lines_sent, self.bytes_used, fraction, eta_s, duration_s))

    async def _go(self) -> None:
        """Wait while paused. Raises Stopped."""
        while True:
            self._check()
            if not self.paused:
                return
            await self._machine.changed(1.0)

    def _check(self) -> None:
        if self._stopped is not None:
            raise self._stopped
        if self._machine.ended is not None:
            raise Stopped(*self._machine.ended)

    async def _script(self, lines: tuple[bytes, ...] | list[bytes], *, of_file: bool = False) -> None:
        """Have Klipper run these, and wait until all are done or planned. Raises Stopped."""
        if of_file:
            self.lines_sent += len(lines)
            if self._first_line is not None:
                self._first_line()
                self._first_line = None
        try:
            await self._bridge.ask("gcode/script", {"script": b"\n".join(lines).decode("ascii")})
        except Disconnected as gone:
            self._check()
            if gone.silent:
                raise Stopped(PrintEnd.SILENT, "Klipper does not answer any more") from None
            raise Stopped(PrintEnd.UNPLUGGED, "the connection to Moonraker or Klipper was lost") from None
        except KlipperRefused:
            # After a shutdown the reason comes with the next report.
            deadline_s = time.monotonic() + self._patience.settle_s
            while self._machine.ended is None and self._stopped is None and time.monotonic() < deadline_s:
                await self._machine.changed(0.1)
            self._check()
            raise Stopped(PrintEnd.LOST, "Klipper refused a command of the file") from None
        if of_file:
            self.lines_done += len(lines)

    async def _heat(self, heater: str, celsius: float, either_way: bool, command: bytes) -> None:
        """Set a target and wait for it. Klipper's own waits (M109, M190) could not be canceled. Raises Stopped."""
        await self._script((command,), of_file=True)
        alive_s = time.monotonic()
        near = 0
        while celsius > 0 and near < 3:
            await self._go()
            await self._machine.changed(1.0)
            now_c, _ = self._machine.temperature(heater)
            reached = abs(now_c - celsius) <= NEAR_C if either_way else now_c >= celsius - NEAR_C
            near = near + 1 if reached else 0
            if time.monotonic() - alive_s > ALIVE_S:
                alive_s = time.monotonic()
                await self._script((b"G4 P1",))

    def _outcome(self, end: PrintEnd, reason: str) -> PrintOutcome:
        completed = end is PrintEnd.COMPLETED
        if not completed and self.lines_sent:
            reason += f"; it has confirmed {self.lines_done} of {self.lines_sent} lines"
        return PrintOutcome(
            completed=completed,
            lines_sent=self.lines_sent,
            reason=reason,
            duration_s=time.monotonic() - self._started_s,
            end=end,
            bytes_sent=self.bytes_used,
        )


async def cool_down(bridge: Bridge, guard: KlipperGuard, patience: KlipperPatience) -> str:
    """Heaters off, head up and away; where that is not confirmed in time, an emergency stop.

    Says what went wrong. Raises Disconnected.
    """
    z = guard.positions.xyz[2]
    lift = LIFT_MM / 2 if z is None else max(0.0, min(LIFT_MM, guard.profile.build_volume_mm[2] - z))
    try:
        async with asyncio.timeout(patience.stop_s):
            await bridge.ask("gcode/script", {"script": b"\n".join(HEATERS_OFF).decode()})
            with suppress(KlipperRefused):
                # Not where it was never homed.
                await bridge.ask("gcode/script", {"script": f"G91\nG1 Z{lift:.1f} F600\nG90\nG28 X Y\nM400"})
    except (KlipperRefused, TimeoutError):
        with suppress(Disconnected, KlipperRefused, TimeoutError):
            async with asyncio.timeout(patience.settle_s):
                await bridge.ask("emergency_stop", {})
        return "; it did not cool down in time and was stopped by an emergency stop"
    return ""


def _heat_wait(command: bytes) -> tuple[str, float, bool, bytes] | None:
    """What a wait for heat means: heater, target, whether to wait for cooling too, the command that only sets it."""
    word, _, rest = command.partition(b" ")
    if word not in (b"M109", b"M190"):
        return None
    values = {token[:1]: token[1:] for token in rest.split()}
    celsius = values.get(b"R", values.get(b"S", b"0"))
    heater, plain = ("extruder", b"M104 S%b") if word == b"M109" else ("heater_bed", b"M140 S%b")
    return heater, float(celsius), b"R" in values, plain % celsius

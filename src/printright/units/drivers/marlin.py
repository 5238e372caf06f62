"""Printers that run Marlin, over a serial port."""

from __future__ import annotations

import asyncio
import re
import select
import time
from collections.abc import AsyncIterable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import ParamSpec

from printright.errors import MachineUnavailable, Misuse
from printright.units.driver import (
    Capabilities,
    Driver,
    DriverState,
    MachineStatus,
    PrintEnd,
    PrintOutcome,
    Progress,
)
from printright.units.drivers.checksum import checksum
from printright.units.drivers.marlin_job import Job, Stage
from printright.units.drivers.marlin_reply import capability, fatal, firmware_name
from printright.units.drivers.marlin_sender import HALT, MarlinSender, Patience
from printright.units.drivers.marlin_wire import Wire
from printright.units.drivers.serial_port import SerialPort, Unplugged
from printright.units.guard import Guard

WINDOW_BYTES = 127
"""What Marlin's receive buffer of 128 bytes holds (RX_BUFFER_SIZE, the smallest that is usual)."""

CHUNKS_AHEAD = 2

Arguments = ParamSpec("Arguments")


@dataclass
class _Greeting:
    firmware: str = "unknown firmware"
    capabilities: dict[str, bool] = field(default_factory=dict)
    numbered_ok: bool = False


class MarlinDriver(Driver):
    """One Marlin printer on `port`. `guard` is the allow-list that every line passes; it belongs to this driver.

    Pausing leaves head and heaters as they are. A print that comes after the machine was switched off and on again
    connects by itself.
    """

    def __init__(
        self,
        port: str,
        baud: int = 115_200,
        *,
        guard: Guard,
        window_bytes: int = WINDOW_BYTES,
        connect_timeout_s: float = 10.0,
        patience: Patience | None = None,
    ) -> None:
        self._port_name, self._baud, self._guard = port, baud, guard
        self._window_bytes, self._connect_timeout_s = window_bytes, connect_timeout_s
        self._patience = patience or Patience()
        self._sender: MarlinSender | None = None
        self._opened: SerialPort | None = None
        self._halts = 0
        self._job: Job | None = None

    async def connect(self) -> Capabilities:
        """Take the port, greet the firmware and learn what it can do. Raises MachineUnavailable, AlreadyRunning."""
        if self._sender is not None:
            await self.close()
        halts = self._halts
        port = self._opened = await asyncio.to_thread(SerialPort, self._port_name, self._baud)
        try:
            greeting = await asyncio.to_thread(_greet, port, self._connect_timeout_s)
            if self._halts != halts:
                raise MachineUnavailable("an emergency stop was ordered while the machine was being connected")
        except BaseException:
            port.close()
            raise
        finally:
            self._opened = None
        wire = Wire(first=2, numbered_ok=greeting.numbered_ok, window_bytes=self._window_bytes)
        reports = greeting.capabilities.get("AUTOREPORT_TEMP", False)
        self._sender = MarlinSender(port, wire, self._patience, autoreport=reports)
        self._sender.start()
        profile = self._guard.profile
        return Capabilities(
            firmware=greeting.firmware,
            build_volume_mm=profile.build_volume_mm,
            nozzle_max_c=profile.nozzle_max_c,
            bed_max_c=profile.bed_max_c,
            nozzle_diameter_mm=profile.nozzle_diameter_mm,
            numbered_ok=greeting.numbered_ok,
            emergency_parser=greeting.capabilities.get("EMERGENCY_PARSER", False),
            reports_temperatures=reports,
        )

    async def print(
        self,
        chunks: AsyncIterable[bytes],
        *,
        total_bytes: int | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        first_line: Callable[[], None] | None = None,
    ) -> PrintOutcome:
        if self._job is not None and self._job.stage is not Stage.ENDED:
            raise Misuse("the machine is printing already", hint="wait for its end, or cancel it")
        if self._sender is None or not self._sender.alive:
            await self.connect()
        sender = self._sender
        assert sender is not None
        loop = asyncio.get_running_loop()
        room = asyncio.Semaphore(CHUNKS_AHEAD)
        self._guard.start()
        job = self._job = Job(
            self._guard,
            total_bytes=total_bytes,
            on_progress=_in_loop(loop, on_progress),
            on_first_line=_in_loop(loop, first_line),
            on_chunk_used=lambda: _call_soon(loop, room.release),
        )
        done = asyncio.wrap_future(job.done)
        try:
            await asyncio.wrap_future(sender.call(lambda: sender.begin(job)))
        except BaseException:
            job.stage = Stage.ENDED
            raise
        feeding = asyncio.create_task(_feed(chunks, job, sender, room))
        try:
            await asyncio.wait((feeding, done), return_when=asyncio.FIRST_COMPLETED)
            if feeding.done() and (error := feeding.exception()) is not None:
                await self._stop(sender, "the file could not be read on", error)
            outcome = await asyncio.shield(done)
        except asyncio.CancelledError:
            await self._stop(sender, "the agent is shutting down", None)
            with suppress(asyncio.CancelledError):
                await done
            raise
        finally:
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)
        if job.error is not None:
            raise job.error
        return outcome

    async def pause(self) -> None:
        await self._pause(True)

    async def resume(self) -> None:
        await self._pause(False)

    async def _pause(self, paused: bool) -> None:
        sender = self._sender
        if sender is not None and self._printing:
            with suppress(MachineUnavailable):
                await asyncio.wrap_future(sender.call(lambda: sender.pause(paused)))

    async def cancel(self) -> None:
        """See Driver. Returns when the machine is cool(ing), up and away; heaters that wait may delay that."""
        if self._sender is not None and self._printing:
            await self._stop(self._sender, "canceled by the operator", None)
            assert self._job is not None
            await asyncio.wait((asyncio.wrap_future(self._job.done),))

    async def halt(self) -> None:
        """See Driver. M112 goes out at once, between two lines; the port is closed."""
        self._halts += 1
        sender, opened = self._sender, self._opened
        if opened is not None:
            with suppress(Unplugged):
                opened.write(HALT)
        if sender is None or not sender.alive:
            return
        sender.halt()
        await asyncio.to_thread(sender.close)

    @property
    def _printing(self) -> bool:
        return self._job is not None and self._job.stage is not Stage.ENDED

    @staticmethod
    async def _stop(sender: MarlinSender, reason: str, error: BaseException | None) -> None:
        with suppress(MachineUnavailable):
            await asyncio.wrap_future(sender.call(lambda: sender.stop_job(PrintEnd.CANCELED, reason, error)))

    def status(self) -> MachineStatus:
        return MachineStatus(DriverState.OFFLINE) if self._sender is None else self._sender.status()

    async def close(self) -> None:
        await self.cancel()
        if self._sender is not None:
            await asyncio.to_thread(self._sender.close)
            self._sender = None


async def _feed(chunks: AsyncIterable[bytes], job: Job, sender: MarlinSender, room: asyncio.Semaphore) -> None:
    async for chunk in chunks:
        await room.acquire()
        job.put(chunk)
        sender.wake()
    job.end_of_file()
    sender.wake()


def _call_soon(loop: asyncio.AbstractEventLoop, function: Callable[..., object], *arguments: object) -> None:
    # The loop may be closed when a print ends with its process.
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(function, *arguments)


def _in_loop(
    loop: asyncio.AbstractEventLoop, function: Callable[Arguments, None] | None
) -> Callable[Arguments, None] | None:
    """A function for the sender's thread that has this one called in the event loop."""
    if function is None:
        return None

    def call(*arguments: Arguments.args, **_: Arguments.kwargs) -> None:
        _call_soon(loop, function, *arguments)

    return call


def _greet(port: SerialPort, timeout_s: float) -> _Greeting:
    """Wait for the firmware, begin counting lines, ask who it is. Blocking. Raises MachineUnavailable."""
    deadline_s = time.monotonic() + timeout_s
    greeting = _Greeting()
    try:
        while time.monotonic() < deadline_s:
            # A newline first: half a line of somebody else may lie in its buffer.
            if not _ask(port, b"\nN0 M110 N0*125\n", b"", min(deadline_s, time.monotonic() + 1.0), greeting):
                continue
            body = b"N1 M115"
            frame = b"%b*%d\n" % (body, checksum(body))
            if _ask(port, frame, b"FIRMWARE_NAME:", min(deadline_s, time.monotonic() + 2.0), greeting):
                return greeting
    except Unplugged:
        pass
    raise MachineUnavailable(
        f"no Marlin printer answers on {port.name}",
        hint="is it switched on, is the baud rate right, does it need a reset after an emergency stop?",
    )


def _ask(port: SerialPort, question: bytes, wanted: bytes, deadline_s: float, greeting: _Greeting) -> bool:
    """Ask and read until an `ok` that follows a line beginning with `wanted`, and then until all is quiet."""
    port.write(question)
    poll = select.poll()
    poll.register(port.descriptor, select.POLLIN)
    rest, seen, answered = b"", not wanted, False
    while True:
        wait_s = 0.03 if answered else deadline_s - time.monotonic()
        if wait_s <= 0 or not poll.poll(wait_s * 1000):
            return answered
        *lines, rest = (rest + port.read()).split(b"\n")
        for line in lines:
            seen = seen or line.startswith(wanted)
            name, known = firmware_name(line), capability(line)
            if name is not None:
                greeting.firmware = name
            elif known is not None:
                greeting.capabilities[known[0]] = known[1]
            elif fatal(line) is not None:
                answered = False
            elif line.startswith(b"ok") and seen:
                answered = True
                greeting.numbered_ok = re.match(rb"ok N[0-9]+ P[0-9]+ B[0-9]+", line) is not None

"""Printers that run Marlin, over a serial port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Callable
from concurrent.futures import Future
from contextlib import suppress
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
from printright.units.drivers.marlin_greeting import greet
from printright.units.drivers.marlin_job import Job, Stage
from printright.units.drivers.marlin_orders import HALT, REPORT, Patience
from printright.units.drivers.marlin_parking import Parking
from printright.units.drivers.marlin_sender import MarlinSender
from printright.units.drivers.marlin_wire import Wire
from printright.units.drivers.serial_port import SerialPort, Unplugged
from printright.units.guard import Guard

WINDOW_BYTES = 127
"""What Marlin's receive buffer of 128 bytes holds (RX_BUFFER_SIZE, the smallest that is usual)."""

CHUNKS_AHEAD = 2

Arguments = ParamSpec("Arguments")


class MarlinDriver(Driver):
    """One Marlin printer on `port`. `guard` is the allow-list that every line passes; it belongs to this driver.

    Pausing leaves head and heaters as they are, or with `parking` moves the head aside and lets the nozzle cool. A
    print that comes after the machine was switched off and on again connects by itself.
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
        parking: Parking | None = None,
    ) -> None:
        self._port_name, self._baud, self._guard = port, baud, guard
        self._window_bytes, self._connect_timeout_s = window_bytes, connect_timeout_s
        self._patience = patience or Patience()
        self._parking = parking
        if parking is not None:
            parking.check(guard.profile)
        self._sender: MarlinSender | None = None
        self._opened: SerialPort | None = None
        self._halts = 0
        self._connecting = asyncio.Lock()
        self._job: Job | None = None

    async def connect(self) -> Capabilities:
        """Take the port, greet the firmware and learn what it can do. Raises MachineUnavailable, AlreadyRunning."""
        if self._sender is not None:
            await self.close()
        async with self._connecting:
            return await self._connect()

    async def tend(self, *, ours: bool) -> bool:
        """See Driver. Heaters and fan only: where the head is, nobody knows after a reset."""
        async with self._connecting:
            if self._printing or self.status().state is DriverState.HALTED:
                return False
            if self._sender is None or not self._sender.alive:
                await self._connect(end_wait=ours)
            sender = self._sender
            assert sender is not None
            if ours:
                cooled: Future[None] = Future()
                await asyncio.wrap_future(sender.call(lambda: sender.cool_down(cooled)))
                await asyncio.wrap_future(cooled)
        return ours

    async def _connect(self, *, end_wait: bool = False) -> Capabilities:
        halts = self._halts
        port = self._opened = await asyncio.to_thread(SerialPort, self._port_name, self._baud)
        try:
            greeting = await asyncio.to_thread(greet, port, self._connect_timeout_s, end_wait)
            if self._halts != halts:
                raise MachineUnavailable("an emergency stop was ordered while the machine was being connected")
        except BaseException:
            port.close()
            raise
        finally:
            self._opened = None
        at_once = greeting.capabilities.get("EMERGENCY_PARSER", False)
        # Without it an emergency stop waits behind what the firmware has: then that is one line.
        window = self._window_bytes if at_once else 0
        wire = Wire(first=2, numbered_ok=greeting.numbered_ok, window_bytes=window)
        reports = greeting.capabilities.get("AUTOREPORT_TEMP", False)
        first: tuple[bytes, ...] = (REPORT,) if reports else ()
        if greeting.capabilities.get("AUTO_REPORT_POSITION", False):
            # At a print's end a position report proves that all was taken: there must be none that nobody asked for.
            first += (b"M154 S0",)
        self._sender = MarlinSender(port, wire, self._patience, first=first, halts_at_once=at_once)
        self._sender.start()
        profile = self._guard.profile
        return Capabilities(
            firmware=greeting.firmware,
            build_volume_mm=profile.build_volume_mm,
            nozzle_max_c=profile.nozzle_max_c,
            bed_max_c=profile.bed_max_c,
            nozzle_diameter_mm=profile.nozzle_diameter_mm,
            numbered_ok=greeting.numbered_ok,
            emergency_parser=at_once,
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
        loop = asyncio.get_running_loop()
        room = asyncio.Semaphore(CHUNKS_AHEAD)
        self._guard.start()
        job = self._job = Job(
            self._guard,
            total_bytes=total_bytes,
            on_progress=_in_loop(loop, on_progress),
            on_first_line=_in_loop(loop, first_line),
            on_chunk_used=lambda: _call_soon(loop, room.release),
            parking=self._parking,
        )
        done = asyncio.wrap_future(job.done)
        try:
            async with self._connecting:
                if self._sender is None or not self._sender.alive:
                    await self._connect()
                sender = self._sender
                assert sender is not None
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

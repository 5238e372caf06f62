"""A printer that OctoPrint runs. The lines are checked here; OctoPrint's own sender numbers, repeats and paces them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable, Callable
from contextlib import suppress
from pathlib import Path

from printright.errors import CouldNotCheck, MachineUnavailable, Misuse
from printright.units.driver import (
    Capabilities,
    Driver,
    DriverState,
    MachineStatus,
    PrintEnd,
    PrintOutcome,
    Progress,
)
from printright.units.drivers.octoprint.link import Link, Report
from printright.units.guard import PREAMBLE, Guard

WINDOW_BYTES = 128 * 1024
"""How much plaintext may wait in OctoPrint's memory: some thousand lines."""

SLICE_BYTES = 8 * 1024
CONNECT_TIMEOUT_S = 10.0
OPENING = (b"M29", *PREAMBLE)
"""Sent before the file: no printer saves what follows to its SD card, and its modes are those of the guard."""

REDIAL_S = 2.0
PROGRESS_S = 0.1
START_TIMEOUT_S = 60.0
LIFT_MM = 10.0
STATES = {
    "idle": DriverState.IDLE,
    "printing": DriverState.PRINTING,
    "paused": DriverState.PAUSED,
    "error": DriverState.ERROR,
    "halted": DriverState.HALTED,
}


class _Run:
    """One print: what was said to the plugin, and how far it is."""

    def __init__(self, number: int, total_bytes: int | None) -> None:
        self.number, self.total_bytes = number, total_bytes
        self.started_s = time.monotonic()
        self.lines = self.bytes_said = 0
        self.ends: list[tuple[int, int, int]] = []
        """(line count, bytes of G-code, bytes of the file) after each message, oldest first, until they are taken."""
        self.bytes_taken = self.bytes_used = 0
        self.asked_to_stop: tuple[PrintEnd, str] | None = None

    def taken(self, lines: int) -> None:
        while self.ends and self.ends[0][0] <= lines:
            _, self.bytes_taken, self.bytes_used = self.ends.pop(0)


class OctoPrintDriver(Driver):
    """The printer of the OctoPrint whose Printright plugin listens at `path`.

    Once connected it keeps dialing, so that OctoPrint may be restarted. OctoPrint's own scripts run
    before, while and after a print; canceling here also switches heaters and fan off and moves the head away.
    """

    def __init__(self, path: str | Path, *, guard: Guard, connect_timeout_s: float = CONNECT_TIMEOUT_S) -> None:
        self._path, self._guard, self._timeout_s = Path(path), guard, connect_timeout_s
        self._link: Link | None = None
        self._dialing: asyncio.Task[None] | None = None
        self._dialed = asyncio.Event()
        self._refusal: Exception | None = None
        self._run: _Run | None = None
        self._numbers = int(time.time() * 1000)
        """Run numbers differ from those of an agent before: they count on from the clock."""

    async def connect(self) -> Capabilities:
        """See Driver. That OctoPrint has no printer connected is no reason to fail: a print would say so."""
        link = await self._dial()
        profile = self._guard.profile
        assert link.report is not None
        return Capabilities(
            firmware=link.report.firmware or "not connected to OctoPrint yet",
            build_volume_mm=profile.build_volume_mm,
            nozzle_max_c=profile.nozzle_max_c,
            bed_max_c=profile.bed_max_c,
            nozzle_diameter_mm=profile.nozzle_diameter_mm,
            reports_temperatures=True,
        )

    async def _dial(self) -> Link:
        """The link, connecting where there is none. Raises MachineUnavailable, AlreadyRunning."""
        if self._link is None or not self._link.alive:
            if self._dialing is None:
                self._link = await Link.open(self._path, self._timeout_s)
                self._dialing = asyncio.create_task(self._keep_dialing())
            else:
                self._dialed.clear()
                self._refusal = None
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._timeout_s):
                        await self._dialed.wait()
                if self._link is None or not self._link.alive:
                    raise self._refusal or MachineUnavailable(f"OctoPrint's plugin does not answer on {self._path}")
        return self._link

    async def _keep_dialing(self) -> None:
        while True:
            link = self._link
            if link is not None and link.alive:
                await link.end()
            try:
                self._link = await Link.open(self._path, self._timeout_s)
            except Exception as error:
                self._refusal = error
                self._dialed.set()
                await asyncio.sleep(REDIAL_S)
            else:
                self._dialed.set()

    async def print(
        self,
        chunks: AsyncIterable[bytes],
        *,
        total_bytes: int | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        first_line: Callable[[], None] | None = None,
    ) -> PrintOutcome:
        if self._run is not None:
            raise Misuse("the machine is printing already", hint="wait for its end, or cancel it")
        self._numbers += 1
        run = self._run = _Run(self._numbers, total_bytes)
        try:
            link = await self._dial()
            report = link.report
            assert report is not None
            if report.state != "idle":
                raise MachineUnavailable(f"OctoPrint cannot print now: {report.problem or report.state}")
            self._guard.start()
            return await self._print(link, run, chunks, on_progress, first_line)
        finally:
            self._run = None
            self._guard.start()

    async def _print(
        self,
        link: Link,
        run: _Run,
        chunks: AsyncIterable[bytes],
        on_progress: Callable[[Progress], None] | None,
        first_line: Callable[[], None] | None,
    ) -> PrintOutcome:
        await link.say("start", run=run.number, size=run.total_bytes)
        feeding = asyncio.create_task(self._feed(link, run, chunks))
        watching = asyncio.create_task(self._watch(link, run, on_progress, first_line))
        try:
            await asyncio.wait((feeding, watching), return_when=asyncio.FIRST_COMPLETED)
            error = feeding.exception() if feeding.done() else None
            if error is not None:
                await self._stop(run, PrintEnd.CANCELED, "the file could not be read on")
            outcome = await asyncio.shield(watching)
            if error is not None:
                raise error
            return outcome
        except asyncio.CancelledError:
            await self._stop(run, PrintEnd.CANCELED, "the agent is shutting down")
            with suppress(asyncio.CancelledError, CouldNotCheck):
                await watching
            raise
        finally:
            for task in (feeding, watching):
                task.cancel()
            await asyncio.gather(feeding, watching, return_exceptions=True)

    async def _feed(self, link: Link, run: _Run, chunks: AsyncIterable[bytes]) -> None:
        used = 0
        await self._say_lines(link, run, list(OPENING), used)
        async for chunk in chunks:
            for at in range(0, len(chunk), SLICE_BYTES):
                piece = chunk[at : at + SLICE_BYTES]
                used += len(piece)
                await self._say_lines(link, run, self._guard.feed(piece), used)
        await self._say_lines(link, run, self._guard.finish(), used)
        await link.say("end", run=run.number, count=run.lines)

    @staticmethod
    async def _say_lines(link: Link, run: _Run, lines: list[bytes], used: int) -> None:
        if not lines:
            return
        async with link.changed:
            await link.changed.wait_for(lambda: not link.alive or run.bytes_said - run.bytes_taken < WINDOW_BYTES)
        first = run.lines
        run.lines += len(lines)
        run.bytes_said += sum(map(len, lines))
        run.ends.append((run.lines, run.bytes_said, used))
        # The gate lets printable ASCII pass only.
        text = [line.decode("ascii") for line in lines]
        await link.say("lines", run=run.number, first=first, lines=text, bytes=used)

    async def _watch(
        self,
        link: Link,
        run: _Run,
        on_progress: Callable[[Progress], None] | None,
        first_line: Callable[[], None] | None,
    ) -> PrintOutcome:
        """Follow the plugin's reports until the run has ended. Raises MachineUnavailable where it never began."""
        told_s, begun = 0.0, False
        report: Report | None = None
        by_s = time.monotonic() + START_TIMEOUT_S
        while True:
            async with link.changed:
                with suppress(TimeoutError):
                    async with asyncio.timeout(None if begun else max(0.1, by_s - time.monotonic())):
                        await link.news(report)
                report = link.report
                assert report is not None
                ours = report.run == run.number
                if ours:
                    # The waiting feeder is notified by this same report: it looks after we have counted.
                    run.taken(report.taken)
                    link.changed.notify_all()
            begun = begun or ours
            if ours and report.ended == "refused":
                raise MachineUnavailable(f"OctoPrint did not begin the print: {report.reason}")
            if ours and report.sent > len(OPENING) and first_line is not None:
                first_line()
                first_line = None
            now_s = time.monotonic()
            if ours and on_progress is not None and (report.ended or now_s - told_s > PROGRESS_S):
                told_s = now_s
                on_progress(self._progress(run, report))
            if ours and report.ended:
                return self._outcome(run, report, PrintEnd(report.ended), report.reason)
            if not link.alive:
                if run.asked_to_stop is not None:
                    end, reason = run.asked_to_stop
                else:
                    end, reason = PrintEnd.UNPLUGGED, f"OctoPrint went away in the middle: {link.why}"
                return self._outcome(run, report if ours else None, end, reason)
            if not begun and now_s > by_s:
                await link.say("cancel", lines=[])
                raise MachineUnavailable("OctoPrint's plugin does not begin the print")

    @staticmethod
    def _progress(run: _Run, report: Report) -> Progress:
        duration_s = time.monotonic() - run.started_s
        fraction = min(1.0, run.bytes_used / run.total_bytes) if run.total_bytes else 0.0
        eta_s = duration_s * (1 - fraction) / fraction if fraction > 0.005 else None
        sent = max(0, report.sent - len(OPENING))
        return Progress(sent, run.bytes_used, fraction, eta_s, duration_s)

    @staticmethod
    def _outcome(run: _Run, report: Report | None, end: PrintEnd, reason: str) -> PrintOutcome:
        if end is PrintEnd.CANCELED and run.asked_to_stop is not None:
            end, reason = run.asked_to_stop
        return PrintOutcome(
            completed=end is PrintEnd.COMPLETED,
            lines_sent=max(0, (report.sent if report else 0) - len(OPENING)),
            reason=reason,
            duration_s=time.monotonic() - run.started_s,
            end=end,
            bytes_sent=run.bytes_used,
            resends=report.resends if report else 0,
        )

    async def pause(self) -> None:
        if self._run is not None and self._link is not None:
            await self._link.say("pause")

    async def resume(self) -> None:
        if self._run is not None and self._link is not None:
            await self._link.say("resume")

    async def cancel(self) -> None:
        """See Driver. Returns when OctoPrint has ended the print."""
        run, link = self._run, self._link
        if run is None or link is None:
            return
        await self._stop(run, PrintEnd.CANCELED, "canceled by the operator")
        async with link.changed:
            await link.changed.wait_for(lambda: self._run is not run or not link.alive or self._ended(link, run))

    @staticmethod
    def _ended(link: Link, run: _Run) -> bool:
        return link.report is not None and link.report.run == run.number and bool(link.report.ended)

    async def _stop(self, run: _Run, end: PrintEnd, reason: str) -> None:
        if self._link is None or run.asked_to_stop is not None:
            return
        run.asked_to_stop = end, reason
        lift = b"G1 Z%.1f F600" % self._lift_mm()
        park = [b"G91", lift, b"G90", b"G28 X Y"]
        await self._link.say("cancel", lines=[line.decode("ascii") for line in park])

    def _lift_mm(self) -> float:
        z = self._guard.positions.xyz[2]
        return LIFT_MM / 2 if z is None else max(0.0, min(LIFT_MM, self._guard.profile.build_volume_mm[2] - z))

    async def halt(self) -> None:
        """See Driver. OctoPrint sends M112 in front of everything and lets go of the printer."""
        if self._link is not None:
            if self._run is not None:
                self._run.asked_to_stop = PrintEnd.HALTED, "an emergency stop was ordered"
            await self._link.say("halt")

    def status(self) -> MachineStatus:
        link = self._link
        report = link.report if link is not None and link.alive else None
        if report is None:
            return MachineStatus(DriverState.OFFLINE)
        return MachineStatus(
            state=STATES.get(report.state, DriverState.OFFLINE),
            nozzle_c=report.nozzle[0],
            nozzle_target_c=report.nozzle[1],
            bed_c=report.bed[0],
            bed_target_c=report.bed[1],
            lines_sent=max(0, report.sent - len(OPENING)),
            bytes_sent=self._run.bytes_used if self._run else 0,
            resends=report.resends,
        )

    async def close(self) -> None:
        await self.cancel()
        if self._dialing is not None:
            self._dialing.cancel()
            await asyncio.gather(self._dialing, return_exceptions=True)
            self._dialing = None
        if self._link is not None:
            await self._link.close()
            self._link = None

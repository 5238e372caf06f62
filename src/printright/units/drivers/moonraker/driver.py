"""Printers that run Klipper: connecting, printing, stopping, through Moonraker's bridge to Klipper's API."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterable, Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

from printright.errors import AlreadyRunning, BadSettings, MachineUnavailable, Misuse
from printright.units.driver import (
    Capabilities,
    Driver,
    DriverState,
    MachineStatus,
    PrintEnd,
    PrintOutcome,
    Progress,
)
from printright.units.drivers.moonraker.bridge import Bridge, Disconnected, KlipperRefused
from printright.units.drivers.moonraker.facts import OBJECTS, KlipperFacts
from printright.units.drivers.moonraker.printing import HEATERS_OFF, KlipperPatience, Printing
from printright.units.drivers.moonraker.traces import Traces, check_traces
from printright.units.guard import GuardProfile, KlipperGuard

REPORTS: dict[str, list[str]] = {
    "webhooks": ["state", "state_message"],
    "toolhead": ["estimated_print_time"],
    "extruder": ["temperature", "target"],
    "heater_bed": ["temperature", "target"],
    "print_stats": ["state"],
}
"""What Klipper reports four times a second; the time, so that it always has something to report."""

SHUTDOWNS = (
    ("not heating at expected rate", "Klipper's thermal protection stopped the machine: a heater does not heat"),
    ("adc out of range", "Klipper's thermal protection stopped the machine: a temperature sensor is off or broken"),
    ("lost communication", "Klipper lost the connection to the machine's board"),
    ("m112", "the machine was stopped by an emergency stop"),
    ("webhooks request", "the machine was stopped by an emergency stop"),
)
"""Klipper's reasons in sentences of ours: its own may quote a line."""

STOPPED = "Klipper stopped the machine after an error"


class MoonrakerDriver(Driver):
    """One Klipper printer behind the Moonraker at `url`.

    `profile` is what the unit's settings allow, within what the machine itself allows. `macros` are those that a file
    may call. `api_key_file` is read at every connect. `traces` is what Klipper may keep of a file. A print that comes
    after Klipper or Moonraker was restarted connects by itself.
    """

    def __init__(
        self,
        url: str,
        *,
        profile: GuardProfile,
        macros: Collection[str] = (),
        api_key_file: Path | None = None,
        traces: Traces = Traces.NONE,
        patience: KlipperPatience | None = None,
    ) -> None:
        self._url, self._profile, self._macros = url, profile, macros
        self._api_key_file = api_key_file
        self._accepted = traces
        self._patience = patience or KlipperPatience()
        self._bridge: Bridge | None = None
        self._guard: KlipperGuard | None = None
        self._lock: socket.socket | None = None
        self._printing: Printing | None = None
        self._ended_job = asyncio.Event()
        self._report: dict[str, dict[str, Any]] = {}
        self._news = asyncio.Event()
        self._ours_halted = False
        self._connecting = asyncio.Lock()
        self.ended: tuple[PrintEnd, str] | None = None

    @property
    def traces(self) -> str:
        return "" if self._accepted is Traces.NONE else str(self._accepted)

    async def connect(self) -> Capabilities:
        """Take the machine. Raises MachineUnavailable, AlreadyRunning; BadSettings where it would keep traces."""
        async with self._connecting:
            return await self._connect()

    async def _connect(self) -> Capabilities:
        await self._drop()
        self._take_lock()
        self._report, self.ended = {}, None
        patience = self._patience
        bridge = await Bridge.open(
            self._url,
            self._api_key(),
            self._hear,
            timeout_s=patience.connect_s,
            silence_s=patience.silence_s,
        )
        try:
            async with asyncio.timeout(patience.connect_s):
                info = await bridge.ask("info", {})
                if info.get("state") != "ready":
                    raise MachineUnavailable(
                        f"Klipper at {self._url} is not ready",
                        hint="see its screen or web page; after an emergency stop it needs FIRMWARE_RESTART",
                    )
                check_traces(info, self._accepted)
                facts = KlipperFacts.read((await bridge.ask("objects/query", {"objects": OBJECTS}))["status"])
                self._guard = facts.guard(self._profile, self._macros)
                self._hear((await bridge.ask("objects/subscribe", {"objects": REPORTS}))["status"])
        except (Disconnected, KlipperRefused, TimeoutError, KeyError):
            await bridge.close()
            raise MachineUnavailable(f"Klipper at {self._url} does not answer", hint="see its log") from None
        except BaseException:
            await bridge.close()
            raise
        self._bridge, self._ours_halted = bridge, False
        narrowed = self._guard.profile
        return Capabilities(
            firmware=f"Klipper {str(info.get('software_version', ''))[:60]}".strip(),
            build_volume_mm=narrowed.build_volume_mm,
            nozzle_max_c=narrowed.nozzle_max_c,
            bed_max_c=narrowed.bed_max_c,
            nozzle_diameter_mm=facts.nozzle_diameter_mm,
            emergency_parser=True,
            reports_temperatures=True,
        )

    async def print(
        self,
        chunks: AsyncIterable[bytes],
        *,
        total_bytes: int | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        first_line: Callable[[], None] | None = None,
    ) -> PrintOutcome:
        if self._printing is not None:
            raise Misuse("the machine is printing already", hint="wait for its end, or cancel it")
        try:
            await self._be_connected()
        except BadSettings as unsafe:
            raise MachineUnavailable(unsafe.message, hint=unsafe.hint) from None
        assert self._bridge is not None
        assert self._guard is not None
        if self._busy:
            raise MachineUnavailable("the machine is printing for another program", hint="wait for that print's end")
        self._ended_job.clear()
        self._printing = Printing(
            self._bridge,
            self,
            self._guard,
            self._patience,
            total_bytes=total_bytes,
            on_progress=on_progress,
            first_line=first_line,
        )
        try:
            return await self._printing.run(chunks)
        finally:
            self._printing = None
            self._ended_job.set()

    async def tend(self, *, ours: bool) -> bool:
        """See Driver. Heaters and fan only: somebody may be at the machine. Not while another program prints on it."""
        if self._printing is not None or self._state() is DriverState.HALTED:
            return False
        await self._be_connected()
        if not ours or self._busy or self._bridge is None:
            return False
        try:
            async with asyncio.timeout(self._patience.connect_s):
                await self._bridge.ask("gcode/script", {"script": b"\n".join(HEATERS_OFF).decode()})
        except (Disconnected, KlipperRefused, TimeoutError):
            raise MachineUnavailable("the machine has not confirmed that its heaters are off") from None
        return True

    async def _be_connected(self) -> None:
        async with self._connecting:
            if self._bridge is None or not self._bridge.alive or self.ended is not None:
                await self._connect()

    async def pause(self) -> None:
        self._pause(True)

    async def resume(self) -> None:
        self._pause(False)

    def _pause(self, paused: bool) -> None:
        if self._printing is not None:
            self._printing.paused = paused
            self._news.set()

    async def cancel(self) -> None:
        """See Driver. Returns when the machine is cool(ing), up and away; after `stop_s` by an emergency stop."""
        if self._printing is None:
            return
        self._printing.stop(PrintEnd.CANCELED, "canceled by the operator")
        self._news.set()
        try:
            async with asyncio.timeout(self._patience.stop_s):
                await self._ended_job.wait()
        except TimeoutError:
            # The script that it is at takes too long: a dwell, or moves that hardly end.
            await self._emergency_stop()
            await self._ended_job.wait()

    async def halt(self) -> None:
        """See Driver. Klipper takes an emergency stop while it is at a script; FIRMWARE_RESTART ends it."""
        if self._printing is not None:
            self._printing.stop(PrintEnd.HALTED, "an emergency stop was ordered")
        self._ours_halted = True
        self._news.set()
        await self._emergency_stop()

    async def _emergency_stop(self) -> None:
        with suppress(MachineUnavailable, Disconnected, KlipperRefused, TimeoutError):
            async with asyncio.timeout(self._patience.settle_s):
                if self._bridge is not None and self._bridge.alive:
                    await self._bridge.ask("emergency_stop", {})
                    return
                bridge = await Bridge.open(
                    self._url, self._api_key(), lambda _: None, timeout_s=self._patience.settle_s, silence_s=60.0
                )
                try:
                    await bridge.ask("emergency_stop", {})
                finally:
                    await bridge.close()

    def status(self) -> MachineStatus:
        nozzle, bed = self.temperature("extruder"), self.temperature("heater_bed")
        printing = self._printing
        return MachineStatus(
            state=self._state(),
            nozzle_c=nozzle[0],
            nozzle_target_c=nozzle[1],
            bed_c=bed[0],
            bed_target_c=bed[1],
            lines_sent=printing.lines_sent if printing else 0,
            bytes_sent=printing.bytes_used if printing else 0,
            halts_at_once=True,
        )

    def _state(self) -> DriverState:
        if self._ours_halted or (self.ended is not None and self.ended[0] is PrintEnd.KILLED):
            return DriverState.HALTED
        if self._bridge is None or not self._bridge.alive:
            return DriverState.OFFLINE
        if self.ended is not None:
            return DriverState.ERROR
        if self._printing is None:
            return DriverState.IDLE
        return DriverState.PAUSED if self._printing.paused else DriverState.PRINTING

    async def close(self) -> None:
        await self.cancel()
        await self._drop()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    # What a print sees (`printing.Machine`) -----------------------------------------------------------------------

    def temperature(self, heater: str) -> tuple[float, float]:
        report = self._report.get(heater, {})
        return float(report.get("temperature") or 0.0), float(report.get("target") or 0.0)

    async def changed(self, timeout_s: float) -> None:
        self._news.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._news.wait()

    def _hear(self, status: dict[str, Any]) -> None:
        for name, values in status.items():
            self._report.setdefault(name, {}).update(values)
        state = self._report.get("webhooks", {})
        if self.ended is None and state.get("state") in ("shutdown", "error"):
            text = str(state.get("state_message", "")).lower()
            sentence = next((sentence for sign, sentence in SHUTDOWNS if sign in text), STOPPED)
            self.ended = PrintEnd.KILLED, sentence
        elif self.ended is None and self._printing is not None and self._busy:
            self.ended = PrintEnd.LOST, "another program started a print on this machine"
        self._news.set()

    @property
    def _busy(self) -> bool:
        return self._report.get("print_stats", {}).get("state") in ("printing", "paused")

    # ---------------------------------------------------------------------------------------------------------------

    async def _drop(self) -> None:
        if self._bridge is not None:
            await self._bridge.close()
            self._bridge = None

    def _api_key(self) -> str | None:
        if self._api_key_file is None:
            return None
        try:
            return self._api_key_file.read_text().strip()
        except (OSError, ValueError):
            raise BadSettings(
                f"the file with Moonraker's API key, {self._api_key_file}, cannot be read",
                hint="`api_key_file` in [unit.moonraker] names it",
            ) from None

    def _take_lock(self) -> None:
        """One agent of this computer for one machine. A name that the system forgets with the process."""
        if self._lock is not None:
            return
        lock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            lock.bind(f"\0printright moonraker {self._url.rstrip('/')}"[:100])
        except OSError:
            lock.close()
            raise AlreadyRunning(
                f"another process uses the machine at {self._url}", hint="only one agent may drive a machine"
            ) from None
        self._lock = lock

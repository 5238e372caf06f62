"""Serve a simulated printer until interrupted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from printright.errors import BadSettings
from printright.units.drivers.simulator.faults import Faults
from printright.units.drivers.simulator.firmware import FirmwareSettings
from printright.units.drivers.simulator.terminal import Simulator


async def serve_simulator(
    *,
    link: Path | None = None,
    time_scale: float = 1.0,
    seed: int = 0,
    faults: Faults | None = None,
    settings: FirmwareSettings | None = None,
    status_socket: Path | None = None,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Run a printer `time_scale` times faster than real (infinite: at once) until canceled.

    `link` becomes a link to its terminal, `ready` is told the terminal's name, `status_socket` answers every
    connection with one line of JSON. Raises BadSettings.
    """
    if not time_scale > 0:
        raise BadSettings("a printer's time scale is more than 0", hint="1 is real time, inf takes no time at all")
    settings = settings or FirmwareSettings(time_scale=time_scale)
    simulator = Simulator(settings, faults, seed=seed, link=link, status_socket=status_socket)
    try:
        if ready is not None:
            ready(simulator.port)
        simulator.start()
        await asyncio.to_thread(simulator.join)
    finally:
        simulator.stop()

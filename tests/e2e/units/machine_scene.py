"""A simulated printer on a pseudo-terminal with our driver on it, and a file to print."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from math import inf
from pathlib import Path
from typing import Any

from printright.units.drivers.marlin import MarlinDriver
from printright.units.drivers.marlin_orders import BARRIER, Patience
from printright.units.drivers.marlin_parking import Parking
from printright.units.drivers.simulator import Faults, FirmwareSettings, Simulator
from printright.units.guard import PREAMBLE, Guard, GuardProfile

PROFILE = GuardProfile((250.0, 210.0, 210.0), nozzle_max_c=290.0, bed_max_c=110.0)
IMPATIENT = Patience(settle_s=0.005, stall_s=0.15, silence_s=20.0, stop_s=10.0, poll_temperature_s=0.2)


def part(lines: int, seed: int = 1) -> bytes:
    """A print file: heat, home, so many moves, cool down."""
    moves = random.Random(seed)
    text = ["M104 S200", "M140 S60", "G28", "M109 S200", "M106 S128", "G1 Z0.2 F3000"]
    text += [
        f"G1 X{moves.uniform(0, 250):.3f} Y{moves.uniform(0, 210):.3f} E{index * 0.01:.5f}"
        + (" ; comment" if index % 10 == 0 else "")
        for index in range(lines)
    ]
    text += ["M104 S0", "M140 S0", "M107", "M84"]
    return "\n".join(text).encode() + b"\n"


def commands_of(file: bytes) -> list[bytes]:
    """What the printer must execute for this file, in this order, each once."""
    guard = Guard(PROFILE)
    return [*PREAMBLE, *guard.feed(file), *guard.finish(), BARRIER[0]]


async def chunks(file: bytes, size: int = 65536) -> AsyncIterator[bytes]:
    for at in range(0, len(file), size):
        yield file[at : at + size]


def moves_of(simulator: Simulator) -> list[bytes]:
    """The moves of the file that the printer has executed."""
    return [command for command in list(simulator.firmware.transcript) if command.startswith(b"G1 X")]


@asynccontextmanager
async def machine(
    *,
    faults: Faults | None = None,
    seed: int = 0,
    numbered_ok: bool = True,
    emergency_parser: bool = True,
    ok_after_resend: bool = False,
    autoreport: bool = True,
    time_scale: float = inf,
    patience: Patience = IMPATIENT,
    link: Path | None = None,
    parking: Parking | None = None,
    **built: Any,
) -> AsyncIterator[tuple[Simulator, MarlinDriver]]:
    settings = FirmwareSettings(
        time_scale=time_scale,
        numbered_ok=numbered_ok,
        emergency_parser=emergency_parser,
        ok_after_resend=ok_after_resend,
        autoreport=autoreport,
        busy_s=0.1,
        keep_transcript=True,
        **built,
    )
    with Simulator(settings, faults, seed=seed, link=link) as simulator:
        driver = MarlinDriver(str(link or simulator.port), guard=Guard(PROFILE), patience=patience, parking=parking)
        try:
            yield simulator, driver
        finally:
            await driver.close()


async def until(what: Callable[[], bool], timeout_s: float = 15.0) -> None:
    """Wait for something to be so. Raises TimeoutError."""
    deadline_s = time.monotonic() + timeout_s
    while not what():
        if time.monotonic() > deadline_s:
            raise TimeoutError("it did not come to that")
        await asyncio.sleep(0.002)

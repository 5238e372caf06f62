"""One OctoPrint for all tests here, since it starts slowly, and a new pseudo-terminal printer for each."""

from __future__ import annotations

import random
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from math import inf
from pathlib import Path
from typing import Any

import pytest

from e2e.octoprint.octoprint_server import OctoPrint, build_plugin
from printright.units.drivers.octoprint import OctoPrintDriver
from printright.units.drivers.simulator import FirmwareSettings, Simulator
from printright.units.guard import Guard, GuardProfile

PROFILE = GuardProfile((250.0, 210.0, 210.0), nozzle_max_c=290.0, bed_max_c=110.0)


@pytest.fixture(scope="session")
def octoprint() -> Iterator[OctoPrint]:
    # Short names: a Unix socket lies deep in it.
    with tempfile.TemporaryDirectory(prefix="op-", dir="/tmp") as name:
        folder = Path(name)
        server = OctoPrint(folder / "o", build_plugin(folder))
        try:
            server.start()
            yield server
        finally:
            server.stop()


class Bench:
    """The server with a printer connected, and a driver of an agent."""

    def __init__(self, octoprint: OctoPrint, printer: Simulator, driver: OctoPrintDriver) -> None:
        self.octoprint, self.printer, self.driver = octoprint, printer, driver

    @property
    def moves(self) -> list[bytes]:
        return [line for line in list(self.printer.firmware.transcript) if line.startswith(b"G1 X")]


@pytest.fixture
def bench(octoprint: OctoPrint) -> Callable[..., Any]:
    """`async with bench(time_scale=...) as b`: everything of its own but the server."""

    @asynccontextmanager
    async def made(**settings: Any) -> AsyncIterator[Bench]:
        keep = {"time_scale": inf, "keep_transcript": True, **settings}
        with Simulator(FirmwareSettings(**keep)) as printer:
            octoprint.connect(printer.port)
            driver = OctoPrintDriver(octoprint.socket, guard=Guard(PROFILE))
            try:
                await driver.connect()
                yield Bench(octoprint, printer, driver)
            finally:
                await driver.close()
                octoprint.disconnect()

    return made


def gcode(lines: int, seed: int = 1, canary: str = "") -> bytes:
    """Warm up, home, so many moves, cool down. `canary`: a move in the middle that nothing else looks like."""
    moves = random.Random(seed)
    text = ["M104 S200", "M140 S60", "G28", "M109 S200", "G1 Z0.2 F3000"]
    text += [f"G1 X{moves.uniform(0, 250):.3f} Y{moves.uniform(0, 210):.3f} E{i * 0.01:.5f}" for i in range(lines)]
    if canary:
        text[len(text) // 2] = canary
    text += ["M104 S0", "M140 S0", "M107", "M84"]
    return "\n".join(text).encode() + b"\n"


async def chunks(file: bytes, size: int = 65536) -> AsyncIterator[bytes]:
    for at in range(0, len(file), size):
        yield file[at : at + size]

"""Prints through a real OctoPrint on a pseudo-terminal Marlin: what the printer gets, and how each end is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from e2e.octoprint.conftest import PROFILE, chunks, gcode
from e2e.units.machine_scene import until
from printright.errors import AlreadyRunning, GcodeRefused, MachineUnavailable
from printright.units.driver import DriverState, PrintEnd, Progress
from printright.units.drivers.octoprint import OctoPrintDriver
from printright.units.guard import Guard

pytestmark = pytest.mark.needs("octoprint")
Make = Callable[..., Any]


async def slow(file: bytes, gate: asyncio.Event) -> AsyncIterator[bytes]:
    """The first half of a file; the rest when the gate opens."""
    yield file[: len(file) // 2]
    await gate.wait()
    yield file[len(file) // 2 :]


def wanted(file: bytes) -> list[bytes]:
    return [line for line in file.split(b"\n") if line.startswith(b"G1 X")]


async def test_the_printer_gets_every_line_once_and_the_outcome_is_told(bench: Make) -> None:
    # More than the plugin takes at once.
    file, told, first = gcode(5_000), list[Progress](), list[int]()
    async with bench() as b:
        capabilities = await b.driver.connect()
        assert "Marlin" in capabilities.firmware
        outcome = await b.driver.print(
            chunks(file), total_bytes=len(file), on_progress=told.append, first_line=lambda: first.append(1)
        )
        assert outcome.completed, outcome
        assert outcome.lines_sent == file.count(b"\n")
        assert b.moves == wanted(file)
        assert first == [1]
        assert told[-1].fraction == 1.0
        assert [each.fraction for each in told] == sorted(each.fraction for each in told)
        # Once more, since OctoPrint is free again and has nothing left of the first.
        assert b.octoprint.api("GET", "job").data["job"]["file"]["name"] is None
        again = await b.driver.print(chunks(file), total_bytes=len(file))
        assert again.completed, again
        assert b.moves == wanted(file) * 2


async def test_pause_and_resume_from_both_sides(bench: Make) -> None:
    file, gate = gcode(400), asyncio.Event()
    async with bench() as b:
        printing = asyncio.create_task(b.driver.print(slow(file, gate), total_bytes=len(file)))
        await until(lambda: len(b.moves) > 50)
        await b.driver.pause()
        await until(lambda: b.driver.status().state is DriverState.PAUSED)
        gate.set()
        b.octoprint.api("POST", "job", {"command": "pause", "action": "resume"})
        await until(lambda: b.driver.status().state is not DriverState.PAUSED)
        # At once after pausing, while OctoPrint is still about it.
        await b.driver.pause()
        await b.driver.resume()
        outcome = await printing
        assert outcome.completed, outcome
        assert b.moves == wanted(file)


@pytest.mark.parametrize("who", ["agent", "octoprint"])
async def test_cancel_from_both_sides_is_a_failed_run_with_heaters_off(bench: Make, who: str) -> None:
    file, gate = gcode(400), asyncio.Event()
    async with bench() as b:
        printing = asyncio.create_task(b.driver.print(slow(file, gate), total_bytes=len(file)))
        await until(lambda: len(b.moves) > 50)
        if who == "agent":
            await b.driver.cancel()
        else:
            b.octoprint.api("POST", "job", {"command": "cancel"})
        outcome = await printing
        assert outcome.end is PrintEnd.CANCELED
        assert ("operator" if who == "agent" else "in OctoPrint") in outcome.reason
        await until(lambda: b"M140 S0" in b.printer.firmware.transcript[-8:])
        assert len(b.moves) < 400
        await until(lambda: b.driver.status().state is DriverState.IDLE)


async def test_a_printer_unplugged_in_the_middle_is_told(bench: Make) -> None:
    file, gate = gcode(400), asyncio.Event()
    async with bench() as b:
        printing = asyncio.create_task(b.driver.print(slow(file, gate), total_bytes=len(file)))
        await until(lambda: len(b.moves) > 50)
        b.octoprint.api("POST", "connection", {"command": "disconnect"})
        outcome = await printing
        assert outcome.end is PrintEnd.UNPLUGGED
        assert not outcome.completed
        with pytest.raises(MachineUnavailable, match="no printer is connected"):
            await b.driver.print(chunks(file))


async def test_an_emergency_stop_halts(bench: Make) -> None:
    file, gate = gcode(400), asyncio.Event()
    async with bench() as b:
        printing = asyncio.create_task(b.driver.print(slow(file, gate), total_bytes=len(file)))
        await until(lambda: len(b.moves) > 50)
        await b.driver.halt()
        outcome = await printing
        assert outcome.end is PrintEnd.HALTED
        await until(lambda: b.printer.firmware.killed)


async def test_a_refused_line_never_arrives_and_the_print_ends(bench: Make) -> None:
    file = gcode(100) + b"M500\n"
    async with bench() as b:
        with pytest.raises(GcodeRefused, match="M500"):
            await b.driver.print(chunks(file), total_bytes=len(file))
        await until(lambda: b"M140 S0" in b.printer.firmware.transcript[-8:])
        assert b"M500" not in b.printer.firmware.transcript


async def test_an_agent_that_vanishes_ends_the_print(bench: Make) -> None:
    """Red without `printing.cancel(())` in line_socket.py: OctoPrint would print what it has and wait on."""
    file, gate = gcode(4_000), asyncio.Event()
    async with bench() as b:
        agent = OctoPrintDriver(b.octoprint.socket, guard=Guard(PROFILE))
        with pytest.raises(AlreadyRunning):
            await agent.connect()
        printing = asyncio.create_task(b.driver.print(slow(file, gate), total_bytes=len(file)))
        await until(lambda: len(b.moves) > 50)
        b.driver._link._writer.transport.abort()
        assert (await printing).end is PrintEnd.UNPLUGGED
        await until(lambda: b.octoprint.state() == "Operational")
        await until(lambda: b"M140 S0" in b.printer.firmware.transcript[-8:])
        sent = len(b.moves)
        assert sent < 4_000
        await agent.close()
        # The agent dials again by itself.
        await until(lambda: b.driver.status().state is DriverState.IDLE)
        assert len(b.moves) == sent


async def test_a_busy_octoprint_begins_nothing(bench: Make) -> None:
    async with bench() as b:
        boundary = b"x"
        body = b'--x\r\nContent-Disposition: form-data; name="file"; filename="own.gcode"\r\n\r\n'
        body += b"G28\n" + b"G1 X1 Y1 F100\nG1 X2 Y2\n" * 10_000 + b"\r\n--x--\r\n"
        admin = b.octoprint.client("admin")
        admin.request("POST", "/api/files/local", body, kind=f"multipart/form-data; boundary={boundary.decode()}")
        assert b.octoprint.api("POST", "files/local/own.gcode", {"command": "select", "print": True}).status == 204
        await until(lambda: b.driver.status().state is DriverState.PRINTING)
        with pytest.raises(MachineUnavailable, match="cannot print now"):
            await b.driver.print(chunks(gcode(10)))
        b.octoprint.api("POST", "job", {"command": "cancel"})
        await until(lambda: b.octoprint.state() == "Operational")
        assert b.octoprint.api("DELETE", "files/local/own.gcode").status in (204, 409)

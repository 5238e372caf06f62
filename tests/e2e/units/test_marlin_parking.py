"""A pause that moves the head aside and lets the nozzle cool, and a print that goes on as if nothing had been."""

from __future__ import annotations

import asyncio

import pytest
from machine_scene import PROFILE, chunks, commands_of, machine, moves_of, until

from printright.errors import BadSettings
from printright.units.driver import DriverState, PrintEnd
from printright.units.drivers.marlin import MarlinDriver
from printright.units.drivers.marlin_parking import Parking
from printright.units.guard import Guard

PARKING = Parking((5.0, 200.0), 150.0)
HEAD = b"M104 S210\nG28\nM83\nG1 Z0.3 F1200\nG1 X100 Y100 F9000\nG1 F1800\n"


def zigzag(relative: bool) -> bytes:
    """Moves that lean on the state in front of them: feed rate, absolute or relative head, relative filament."""
    if relative:
        return HEAD + b"G91\n" + b"G1 X2 E0.1\nG1 X-2 E0.1\n" * 40 + b"G90\n"
    return HEAD + b"".join(b"G1 X%d E0.1\n" % (100 + index % 7) for index in range(80))


def since(executed: list[bytes], command: bytes) -> list[bytes]:
    return executed[executed.index(command) :]


@pytest.mark.parametrize("relative", [False, True], ids=["absolute", "relative"])
async def test_a_pause_parks_and_cools_and_the_print_goes_on_where_it_was(relative: bool) -> None:
    # Red without: any line of `Pause.leave` or `Pause.back`; `note` in `MarlinSender._pump`.
    file = zigzag(relative)
    async with machine(time_scale=150.0, homing_s=1.0, parking=PARKING) as (simulator, driver):
        firmware = simulator.firmware
        printing = asyncio.create_task(driver.print(chunks(file)))
        await until(lambda: len(moves_of(simulator)) > 20)
        await driver.pause()
        assert driver.status().state is DriverState.PAUSED
        await until(lambda: b"M104 S150" in firmware.transcript)
        assert firmware.motion is not None
        assert firmware.motion.xyze[:3] == [5.0, 200.0, 10.3]
        assert firmware.nozzle.target_c == 150
        lines = driver.status().lines_sent
        await asyncio.sleep(0.05)
        assert driver.status().lines_sent == lines
        await driver.resume()
        assert (await printing).completed
        executed = list(firmware.transcript)
        place, feed = firmware.motion.xyze, firmware.motion._feed_mm_s
    begin = executed.index(b"M400")
    end = executed.index(b"M83", begin) + 1
    between = executed[begin:end]
    assert between[7].startswith(b"G1 X10")
    assert between[7].endswith(b"F6000")
    del between[7]
    assert between == [
        b"M400", b"G90", b"G1 Z10.300 F600", b"G1 X5.000 Y200.000 F6000", b"M104 S150",
        b"M109 S210", b"G90", b"G1 Z0.300 F600", b"G1 F1800", *([b"G91"] if relative else []), b"M83",
    ]  # fmt: skip
    assert executed[:begin] + executed[end:] == commands_of(file)
    async with machine(time_scale=150.0, homing_s=1.0) as (simulator, driver):
        assert (await driver.print(chunks(file))).completed
        assert simulator.firmware.motion is not None
        assert place == pytest.approx(simulator.firmware.motion.xyze)
        assert feed == simulator.firmware.motion._feed_mm_s


async def test_a_pause_taken_back_at_once_and_one_that_ends_in_a_cancel() -> None:
    # Red without: `_pause = None` in `pause` (parks while it prints) and in `stop_job` (parks while it cools down).
    file = zigzag(False)
    async with machine(time_scale=150.0, homing_s=1.0, parking=PARKING) as (simulator, driver):
        printing = asyncio.create_task(driver.print(chunks(file)))
        await until(lambda: len(moves_of(simulator)) > 20)
        await driver.pause()
        await driver.resume()
        await until(lambda: len(moves_of(simulator)) > 40)
        await driver.pause()
        await until(lambda: b"M104 S150" in simulator.firmware.transcript)
        await driver.cancel()
        assert (await printing).end is PrintEnd.CANCELED
        executed = simulator.firmware.transcript
        assert executed.count(b"G1 X5.000 Y200.000 F6000") == 1
        assert b"G1 Z0.0 F600" in since(executed, b"M104 S0")
        assert simulator.firmware.nozzle.target_c == 0


@pytest.mark.parametrize("parking", [Parking((300.0, 0.0)), Parking((0.0, 0.0), 400.0)], ids=["place", "nozzle"])
def test_a_pause_outside_of_the_machine_is_refused(parking: Parking) -> None:
    with pytest.raises(BadSettings, match="pause"):
        MarlinDriver("/dev/null", guard=Guard(PROFILE), parking=parking)

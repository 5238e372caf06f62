"""Prints on a real Klipper through a real Moonraker, on a simulated board."""

from __future__ import annotations

import asyncio
import re
import signal
from pathlib import Path

import pytest
from klipper_scene import STEPS_PER_MM, Shop, chunks, driving, part, until

from printright.errors import AlreadyRunning, BadSettings, GcodeRefused, MachineUnavailable, Misuse
from printright.units.driver import DriverState, PrintEnd, Progress
from printright.units.drivers.moonraker import Traces

pytestmark = [pytest.mark.needs("kalico"), pytest.mark.needs("moonraker"), pytest.mark.needs("cc")]


def cold(shop: Shop) -> bool:
    return all(heater.duty == 0 for heater in shop.board.heaters.values())


async def test_a_print_is_done_when_the_machine_has_made_every_step(klipper: Shop) -> None:
    # Red without: in `Printing.run`, the last `_send` (lines missing) or the M400 (steps missing).
    file = part(60, heat="M104 S50\nM140 S30\nM190 S30\nM109 S50")
    progress: list[Progress] = []
    first: list[int] = []
    async with driving(klipper) as driver:
        capabilities = await driver.connect()
        assert capabilities.firmware.startswith("Klipper")
        assert capabilities.nozzle_diameter_mm == 0.4
        outcome = await driver.print(
            chunks(file, 700),
            total_bytes=len(file),
            on_progress=progress.append,
            first_line=lambda: first.append(len(klipper.board.axes)),
        )
        places = klipper.board.positions_mm(STEPS_PER_MM)
        assert outcome.completed, outcome
        assert outcome.end is PrintEnd.COMPLETED
        assert outcome.lines_sent == file.count(b"\n")
        assert outcome.bytes_sent == len(file)
        x, y = re.findall(rb"G1 X([0-9.]+) Y([0-9.]+)", file)[-1]
        assert places["x"] == pytest.approx(float(x), abs=0.1)
        assert places["y"] == pytest.approx(float(y), abs=0.1)
        assert places["e"] == pytest.approx(0.6, abs=0.1)
        assert cold(klipper)
        assert progress[-1].fraction == 1.0
        assert len(first) == 1
        assert driver.status().state is DriverState.IDLE
        assert driver.status().nozzle_c > 45


async def test_no_line_after_a_pause_until_resumed_and_one_print_at_a_time(klipper: Shop) -> None:
    # Red without: in `Printing._go`, the wait.
    async with driving(klipper) as driver:
        printing = asyncio.create_task(driver.print(chunks(part(2000))))
        await until(lambda: driver.status().lines_sent > 20)
        with pytest.raises(Misuse):
            await driver.print(chunks(b"G28\n"))
        second = klipper.driver()
        with pytest.raises(AlreadyRunning):
            await second.connect()
        await driver.pause()
        paused = driver._printing
        assert paused is not None
        await until(lambda: paused.lines_done == paused.lines_sent)
        sent = driver.status().lines_sent
        await asyncio.sleep(0.3)
        assert driver.status().lines_sent == sent
        assert driver.status().state is DriverState.PAUSED
        await driver.resume()
        await until(lambda: driver.status().lines_sent > sent)
        await driver.cancel()
        assert (await printing).end is PrintEnd.CANCELED


async def test_cancel_sends_no_further_line_cools_down_and_parks(klipper: Shop) -> None:
    # Red without: in `Printing._check`, `_stopped`; in `cool_down`, HEATERS_OFF (heaters), the lift and G28 (park).
    async with driving(klipper) as driver:
        printing = asyncio.create_task(driver.print(chunks(part(2000))))
        await until(lambda: driver.status().lines_sent > 30)
        before_mm = klipper.board.positions_mm(STEPS_PER_MM)["z"]
        await driver.cancel()
        outcome = await printing
        # The board may still have been on its way when it was asked before.
        assert klipper.board.positions_mm(STEPS_PER_MM)["z"] == pytest.approx(before_mm + 10, abs=1.0)
        assert outcome.end is PrintEnd.CANCELED
        assert outcome.reason.startswith("canceled by the operator; it has confirmed")
        assert outcome.lines_sent < 1000
        assert cold(klipper)
        answer = await klipper.call("GET", "/printer/objects/query?toolhead=position")
        assert answer["result"]["status"]["toolhead"]["position"][:2] == [0, 0]
        assert driver.status().state is DriverState.IDLE


async def test_cancel_ends_a_wait_for_heat(klipper: Shop) -> None:
    # Red without: in `_heat_wait`, taking M109 for a wait of the driver's: Klipper's own cannot be ended.
    async with driving(klipper) as driver:
        printing = asyncio.create_task(driver.print(chunks(b"M109 S280\nG28\n")))
        await until(lambda: driver.status().nozzle_target_c == 280)
        await driver.cancel()
        outcome = await printing
        assert outcome.end is PrintEnd.CANCELED
        assert "emergency" not in outcome.reason
        assert klipper.board.heaters["nozzle_heater"].duty == 0


async def test_a_line_that_klipper_refuses_ends_the_print_cold(klipper: Shop) -> None:
    # Red without: in `Printing._script`, the clause for KlipperRefused.
    file = b"M104 S50\nG28\nG1 X100 Y100 Z1 F9000\nM83\nG1 X100.1 E45 F600\n" + b"G1 X150\n" * 50
    async with driving(klipper) as driver:
        outcome = await driver.print(chunks(file))
        assert outcome.end is PrintEnd.LOST
        assert outcome.reason.startswith("Klipper refused a command of the file")
        assert cold(klipper)


async def test_a_refused_file_ends_the_print_cold(klipper: Shop) -> None:
    # Red without: in `Printing.run`, the clause for every other exception.
    async with driving(klipper) as driver:
        with pytest.raises(GcodeRefused, match="SAVE_CONFIG") as refused:
            await driver.print(chunks(b"M104 S80\nG28\nG1 X5\n" * 40 + b"SAVE_CONFIG secret=1\n"))
        assert "secret" not in str(refused.value)
        assert cold(klipper)


@pytest.mark.load
async def test_a_file_that_breaks_off_and_a_task_that_is_canceled_end_cold(klipper: Shop) -> None:
    async def broken():  # type: ignore[no-untyped-def]
        yield part(50)[:900]
        raise OSError("store gone")

    async with driving(klipper) as driver:
        with pytest.raises(OSError, match="store gone"):
            await driver.print(broken())
        assert cold(klipper)
        printing = asyncio.create_task(driver.print(chunks(part(2000))))
        await until(lambda: driver.status().lines_sent > 20)
        printing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await printing
        assert cold(klipper)


async def test_traces_are_refused_unless_they_are_accepted(klipper: Shop) -> None:
    # Red without: in `MoonrakerDriver.connect`, `check_traces`.
    async with driving(klipper, traces=Traces.NONE) as driver:
        with pytest.raises(BadSettings, match='traces = "moves-in-klippy-log"'):
            await driver.connect()
        with pytest.raises(MachineUnavailable, match="last moves"):
            await driver.print(chunks(b"G28\n"))
    async with driving(klipper, macros=("NO_SUCH",)) as driver:
        with pytest.raises(BadSettings, match="no macro NO_SUCH"):
            await driver.connect()
    async with driving(klipper, macros=("START_PART",)) as driver:
        assert (await driver.print(chunks(b"START_PART\nG1 X5 F9000\n"))).completed


@pytest.mark.parametrize(
    ("fault", "file", "sentence"),
    [
        # Red without: in `MoonrakerDriver._hear`, the look at the state; in SHUTDOWNS, the sentence.
        ("sensor_torn", part(2000), "a temperature sensor is off or broken"),
        pytest.param("heaters_dead", b"G28\nM109 S280\nG1 X5\n", "a heater does not heat", marks=pytest.mark.load),
        pytest.param("silent", part(2000), "lost the connection to the machine's board", marks=pytest.mark.load),
    ],
    ids=["sensor torn", "heaters dead", "board silent"],
)
async def test_a_machine_that_fails_in_the_middle(klipper: Shop, fault: str, file: bytes, sentence: str) -> None:
    async with driving(klipper) as driver:
        printing = asyncio.create_task(driver.print(chunks(file)))
        await until(lambda: driver.status().nozzle_target_c > 0)
        setattr(klipper.board, fault, True)
        outcome = await printing
        assert outcome.end is PrintEnd.KILLED
        assert sentence in outcome.reason
        assert driver.status().state is DriverState.HALTED
        with pytest.raises(MachineUnavailable, match="FIRMWARE_RESTART"):
            await driver.print(chunks(b"G28\n"))
        assert fault == "silent" or cold(klipper)
    await klipper.reset()


@pytest.mark.load
@pytest.mark.parametrize("program", ["moonraker", "klippy"])
async def test_a_program_dies_in_mid_print(klipper: Shop, program: str) -> None:
    # Red without: in `MoonrakerDriver.tend`, the script; without a Klipper, the board switches itself off.
    async with driving(klipper) as driver:
        printing = asyncio.create_task(driver.print(chunks(part(2000))))
        await until(lambda: driver.status().lines_sent > 20)
        klipper.end(getattr(klipper, program), signal.SIGKILL)
        getattr(klipper, f"start_{program}")()
        outcome = await printing
        assert outcome.end is PrintEnd.UNPLUGGED
        assert "confirmed" in outcome.reason
        assert driver.status().state is DriverState.OFFLINE
        await klipper.ready()
        assert await driver.tend(ours=True)
        assert cold(klipper)
        assert not await driver.tend(ours=False)
        assert (await driver.print(chunks(b"G28 X\n"))).completed


async def test_halt_stops_at_once_in_front_of_everything(klipper: Shop) -> None:
    # Red without: in `MoonrakerDriver.halt`, the emergency stop.
    async with driving(klipper) as driver:
        printing = asyncio.create_task(driver.print(chunks(b"M104 S80\nG28\nG4 P60000\n" + part(100))))
        await until(lambda: driver.status().nozzle_target_c == 80)
        await driver.halt()
        await until(lambda: klipper.board.shutdown_reason > 0)
        outcome = await printing
        assert outcome.end is PrintEnd.HALTED
        assert cold(klipper)
        assert driver.status().state is DriverState.HALTED


@pytest.mark.load
async def test_a_klipper_without_a_log_prints_by_default(tmp_path: Path) -> None:
    # Red without: in `check_traces`, step 2.
    shop = Shop(tmp_path, log=False)
    try:
        await shop.ready()
        async with driving(shop, traces=Traces.NONE) as driver:
            assert (await driver.print(chunks(part(20)))).completed
            assert driver.traces == ""
    finally:
        shop.stop()


@pytest.mark.load
async def test_moonraker_asks_for_a_key_and_gets_it_from_a_file(tmp_path: Path) -> None:
    # Red without: in `Bridge.open`, the header.
    shop = Shop(tmp_path, login=True, klippy=False)
    try:
        await shop.ready()
        async with driving(shop) as driver:
            with pytest.raises(MachineUnavailable, match="api_key_file"):
                await driver.connect()
        key = tmp_path / "key"
        async with driving(shop, api_key_file=key) as driver:
            with pytest.raises(BadSettings, match="cannot be read"):
                await driver.connect()
            key.write_text(shop.api_key() + "\n")
            # Past the door: what is missing now is Klipper.
            with pytest.raises(MachineUnavailable, match="no connection to Klipper"):
                await driver.connect()
    finally:
        shop.stop()

"""Ports that come and go, that others hold, that reset the board, and at the wrong speed."""

from __future__ import annotations

import asyncio
import fcntl
import os
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import pytest
from machine_scene import PROFILE, chunks, commands_of, machine, moves_of, part, until

from printright.errors import AlreadyRunning, MachineUnavailable, PrintrightError
from printright.units.driver import DriverState, PrintEnd
from printright.units.drivers.marlin import MarlinDriver
from printright.units.drivers.serial_port import SerialPort, claim
from printright.units.drivers.simulator import Faults, Simulator
from printright.units.guard import Guard

FILE = part(60)


async def test_a_cable_pulled_and_put_back_between_prints(tmp_path: Path) -> None:
    """The name stays, the device behind it is another one, as with /dev/serial/by-id."""
    # Red where the driver keeps the descriptor of the port that went away, or resolves its name once.
    async with machine(link=tmp_path / "by-id") as (simulator, driver):
        assert (await driver.print(chunks(FILE))).completed
        former = simulator.port
        held = os.openpty()
        try:
            simulator.unplug()
            await until(lambda: driver.status().state is DriverState.OFFLINE)
            with pytest.raises(MachineUnavailable, match="cannot be opened"):
                await driver.tend(ours=False)
            simulator.join()
            also_held = os.openpty()
            simulator.plug()
            assert not await driver.tend(ours=False)
            assert driver.status().state is DriverState.IDLE
            assert (await driver.print(chunks(FILE))).completed
        finally:
            for descriptor in (*held, *also_held):
                os.close(descriptor)
        assert simulator.port != former
        assert simulator.firmware.transcript == commands_of(FILE) * 2


@pytest.mark.parametrize("ours", [True, False], ids=["ours", "somebody-elses"])
async def test_a_machine_found_again_in_mid_print_is_cooled_down_if_the_print_was_ours(
    tmp_path: Path, ours: bool
) -> None:
    # Red without: in `MarlinDriver.tend`, `cool_down`; and, of somebody else's, without `if ours`.
    async with machine(link=tmp_path / "port", faults=Faults(unplug_at=40)) as (simulator, driver):
        outcome = await driver.print(chunks(FILE))
        assert outcome.end is PrintEnd.UNPLUGGED
        simulator.plug()
        firmware = simulator.firmware
        assert (firmware.nozzle.target_c, firmware.bed.target_c) == (200, 60)
        before = len(firmware.transcript)
        assert await driver.tend(ours=ours) is ours
        if ours:
            assert (firmware.nozzle.target_c, firmware.bed.target_c, firmware.fan) == (0, 0, 0)
        else:
            assert firmware.transcript[before:] == []
            assert (firmware.nozzle.target_c, firmware.bed.target_c) == (200, 60)


@pytest.mark.parametrize("emergency_parser", [True, False], ids=["emergency-parser", "without"])
async def test_a_machine_found_again_while_it_heats_for_us(tmp_path: Path, emergency_parser: bool) -> None:
    # Red without: END_WAIT in `greet` (with the parser); `busy` in `_silence` (without).
    link = tmp_path / "port"
    async with machine(link=link, time_scale=2.0, emergency_parser=emergency_parser) as (simulator, driver):
        printing = asyncio.create_task(driver.print(chunks(b"M109 S280\nG1 X1\n")))
        await until(lambda: simulator.firmware.nozzle.target_c == 280)
        simulator.unplug()
        assert (await printing).end is PrintEnd.UNPLUGGED
        simulator.plug()
        if emergency_parser:
            assert await driver.tend(ours=True)
            assert simulator.firmware.nozzle.target_c == 0
        else:
            driver._connect_timeout_s = 0.6
            with pytest.raises(MachineUnavailable, match="busy"):
                await driver.tend(ours=True)


async def test_power_that_fails_in_mid_print_and_comes_back(tmp_path: Path) -> None:
    link, fails = tmp_path / "port", Faults(power_off_at=40, back_s=0.1)
    async with machine(link=link, faults=fails) as (simulator, driver):
        outcome = await driver.print(chunks(FILE))
        assert (outcome.completed, outcome.end) == (False, PrintEnd.UNPLUGGED)
        assert simulator.firmware.transcript == commands_of(FILE)[:40]
        await until(lambda: link.is_symlink() and not simulator.pulled)
        assert await driver.tend(ours=True)
        assert simulator.firmware.nozzle.target_c == 0
        assert (await driver.print(chunks(FILE))).completed


async def test_a_board_that_resets_when_its_port_is_opened() -> None:
    """Its boot loader swallows the first words."""
    # Red where the greeting is said once, or the banner ends it.
    async with machine(resets_on_open=True, boot_s=1.2) as (simulator, driver):
        for _ in range(2):
            assert (await driver.print(chunks(FILE))).completed
        await driver.close()
        assert (await driver.print(chunks(FILE))).completed
        assert simulator.firmware.transcript == commands_of(FILE) * 3


async def test_a_wrong_baud_rate_is_called_that() -> None:
    # Red without: `noise` in `_silence`.
    async with machine(baud=57_600, resets_on_open=True) as (simulator, driver):
        # It is the board's banner that shows it: what the printer does not understand, it mostly does not answer.
        driver._connect_timeout_s = 0.5
        with pytest.raises(MachineUnavailable, match="makes no sense at 115200 baud") as wrong:
            await driver.connect()
        assert "250000" in wrong.value.hint
        right = MarlinDriver(simulator.port, 57_600, guard=Guard(PROFILE))
        assert (await right.print(chunks(FILE))).completed
        await right.close()


async def test_something_that_is_no_printer_is_called_that() -> None:
    async with machine() as (simulator, driver):
        simulator.firmware.receive = lambda data, now_s: b"login: \n"  # type: ignore[method-assign]
        driver._connect_timeout_s = 0.3
        with pytest.raises(MachineUnavailable, match="not as a Marlin printer does"):
            await driver.connect()


# Who else may hold the port --------------------------------------------------------------------------------------

HOLD = "import fcntl,os,sys,termios; fd=os.open(sys.argv[1],os.O_RDWR|os.O_NOCTTY); {}; print(flush=True); input()"
FLOCK, EXCLUSIVE = "fcntl.flock(fd,fcntl.LOCK_EX)", "fcntl.ioctl(fd,termios.TIOCEXCL)"


def as_nobody(port: str, attempt: Callable[[], None]) -> str:
    """What `attempt` raises in a process without privileges, which alone is bound by TIOCEXCL; empty for nothing."""
    if os.getuid() == 0:
        os.chmod(port, 0o666)  # noqa: PTH101
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        said = ""
        try:
            if os.getuid() == 0:
                os.setgid(65_534)
                os.setuid(65_534)
            attempt()
        except (OSError, PrintrightError) as error:
            said = f"{type(error).__name__} {error}"
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as told:
        return told.read()


@pytest.mark.parametrize("lock", [FLOCK, EXCLUSIVE], ids=["flock", "TIOCEXCL"])
def test_a_port_that_another_program_holds_is_left_alone(lock: str) -> None:
    # Red without: `exclusive=True` (flock); EBUSY in `_locked` (TIOCEXCL).
    with Simulator() as simulator:
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLD.format(lock), simulator.port], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert holder.stdout is not None
        holder.stdout.readline()
        accepted = simulator.firmware.accepted
        said = as_nobody(simulator.port, lambda: SerialPort(simulator.port, 115_200).close())
        holder.communicate(b"\n")
        assert said.startswith(AlreadyRunning.__name__), said
        assert "another process uses the port" in said
        assert simulator.firmware.accepted == accepted


def test_a_claimed_port_is_closed_to_programs_that_ask_for_no_lock() -> None:
    # Red without: the ioctl in `claim`. On a pseudo-terminal `SerialPort` leaves it out, so that it is done here.
    with Simulator() as simulator:
        port = SerialPort(simulator.port, 115_200)
        attempt = lambda: os.close(os.open(simulator.port, os.O_RDWR | os.O_NOCTTY))  # noqa: E731
        assert as_nobody(simulator.port, attempt) == ""
        claim(port.descriptor)
        assert "busy" in as_nobody(simulator.port, attempt)
        fcntl.ioctl(port.descriptor, termios.TIOCNXCL)
        port.close()


# Emergencies -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("runaway_at", "thermal runaway"),
        ("heating_failed_at", "heating failed"),
        ("maxtemp_at", "temperature is too high"),
        ("mintemp_at", "sensor is off or broken"),
    ],
)
async def test_what_the_firmware_stops_by_itself_is_told_with_its_reason(fault: str, reason: str) -> None:
    # Red without: its line in `marlin_reply.FATAL`.
    async with machine(faults=Faults.parse(f"{fault}=30")) as (simulator, driver):
        outcome = await driver.print(chunks(FILE))
        assert (outcome.completed, outcome.end) == (False, PrintEnd.KILLED)
        assert reason in outcome.reason
        assert simulator.firmware.nozzle.target_c == 0
        assert driver.status().state is DriverState.HALTED
        # Nobody wakes up a machine that has stopped itself.
        assert not await driver.tend(ours=True)


@pytest.mark.parametrize("numbered_ok", [True, False], ids=["numbered", "plain"])
@pytest.mark.parametrize("emergency_parser", [True, False], ids=["emergency-parser", "without"])
async def test_after_an_emergency_stop_at_most_one_line_is_executed(emergency_parser: bool, numbered_ok: bool) -> None:
    """With the emergency parser none, whatever waits in the machine; without it, the one line under way."""
    # Red without: the write of HALT; `window` in `MarlinDriver._connect` (a buffer of lines is in front of the order).
    settings = {"emergency_parser": emergency_parser, "numbered_ok": numbered_ok}
    async with machine(time_scale=4.0, **settings) as (simulator, driver):
        # Each move takes a twentieth of a second, and the planner is full.
        file = b"".join(b"G1 X%d F3000\n" % (10 * (n % 2)) for n in range(400))
        printing = asyncio.create_task(driver.print(chunks(file)))
        await until(lambda: len(moves_of(simulator)) > 20)
        executed = len(simulator.firmware.transcript)
        await driver.halt()
        assert (await printing).end is PrintEnd.HALTED
        await until(lambda: simulator.firmware.killed)
        after = [line for line in simulator.firmware.transcript[executed:] if line != b"M112"]
        assert len(after) <= (0 if emergency_parser else 1), after
        assert driver.status().halts_at_once is emergency_parser


async def test_without_an_emergency_parser_an_emergency_stop_waits_for_the_heat() -> None:
    """Why the status says so, and the button beside the machine stays."""
    async with machine(time_scale=100.0, emergency_parser=False) as (simulator, driver):
        printing = asyncio.create_task(driver.print(chunks(b"M109 S200\nG1 X1\n")))
        await until(lambda: simulator.firmware.nozzle.target_c == 200)
        await driver.halt()
        assert (await printing).end is PrintEnd.HALTED
        assert not simulator.firmware.killed
        await until(lambda: simulator.firmware.killed)
        assert b"G1 X1" not in simulator.firmware.transcript


async def test_a_halt_while_the_machine_is_being_connected_begins_no_print() -> None:
    # Red without: `_opened` in `MarlinDriver.halt`; the comparison of `_halts` in `_connect`.
    async with machine(resets_on_open=True, boot_s=1.0) as (simulator, driver):
        printing = asyncio.create_task(driver.print(chunks(FILE)))
        await until(lambda: driver._opened is not None)
        await driver.halt()
        with pytest.raises(MachineUnavailable, match="emergency stop"):
            await printing
        assert not simulator.firmware.transcript

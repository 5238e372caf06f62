"""Printing over a pseudo-terminal: each line exactly once, whatever the cable does."""

from __future__ import annotations

import asyncio

import pytest
from machine_scene import PROFILE, chunks, commands_of, machine, moves_of, part, until

from printright.errors import AlreadyRunning, GcodeRefused, MachineUnavailable, Misuse
from printright.units.driver import DriverState, PrintEnd, Progress
from printright.units.drivers.marlin import MarlinDriver
from printright.units.drivers.marlin_orders import HEATERS_OFF
from printright.units.drivers.simulator import Faults, Simulator, transcript_digest
from printright.units.guard import Guard

FILE = part(600)


async def test_a_printer_says_what_it_can_do() -> None:
    async with machine() as (_, driver):
        can = await driver.connect()
        assert can.firmware == "Marlin 2.1.2.5 (simulated)"
        assert can.numbered_ok
        assert can.emergency_parser
        assert (can.nozzle_max_c, can.build_volume_mm) == (290.0, (250.0, 210.0, 210.0))
        assert driver.status().state is DriverState.IDLE


@pytest.mark.parametrize("numbered_ok", [True, False], ids=["numbered", "plain"])
async def test_a_file_is_executed_line_by_line_in_order(numbered_ok: bool) -> None:
    async with machine(numbered_ok=numbered_ok) as (simulator, driver):
        seen: list[Progress] = []
        first: list[int] = []
        outcome = await driver.print(
            chunks(FILE, 1000),
            total_bytes=len(FILE),
            on_progress=seen.append,
            first_line=lambda: first.append(simulator.firmware.accepted),
        )
        assert outcome.completed
        assert outcome.end is PrintEnd.COMPLETED
        assert outcome.lines_sent == FILE.count(b"\n")
        assert outcome.bytes_sent == len(FILE)
        assert simulator.firmware.transcript == commands_of(FILE)
        assert simulator.firmware.digest == transcript_digest(commands_of(FILE))
        await asyncio.sleep(0)
        assert len(first) == 1
        assert seen[-1].fraction == 1.0
        assert simulator.firmware.overruns == 0
        assert driver.status().state is DriverState.IDLE


async def test_a_second_print_on_the_same_connection() -> None:
    async with machine() as (simulator, driver):
        for _ in range(2):
            assert (await driver.print(chunks(FILE))).completed
        assert simulator.firmware.transcript == commands_of(FILE) * 2


NOISE = {
    # Red without: in `MarlinSender._hear_more`, the call of `_resend`.
    "corrupted-lines": Faults(corrupt=0.03),
    # Red without: in `MarlinSender._watch`, the call of `doubt` (a lost newline is answered by nothing).
    "lost-bytes": Faults(drop=0.03),
    "corrupted-answers": Faults(reply_corrupt=0.03),
    # Red without: in `MarlinSender._watch`, the call of `doubt` (with oks that carry no number).
    "lost-answers": Faults(reply_drop=0.02),
    "oks-that-nobody-asked-for": Faults(doubled_ok=0.05),
    "resend-storm": Faults(corrupt=0.03, storm=5),
    "stalls": Faults(stall=0.03, stall_s=0.05),
    "all-at-once": Faults(
        corrupt=0.01, drop=0.01, reply_corrupt=0.01, reply_drop=0.01, doubled_ok=0.02, storm=2, stall=0.01
    ),
}


@pytest.mark.parametrize("firmware", ["numbered", "plain", "ok-after-resend"])
@pytest.mark.parametrize("noise", NOISE)
async def test_every_line_is_executed_once_over_a_bad_cable(noise: str, firmware: str) -> None:
    file = part(250)
    seed = sum(noise.encode() + firmware.encode())
    print(f"seed {seed}")
    async with machine(
        faults=NOISE[noise],
        seed=seed,
        numbered_ok=firmware == "numbered",
        ok_after_resend=firmware == "ok-after-resend",
    ) as (simulator, driver):
        outcome = await driver.print(chunks(file))
        assert outcome.completed, outcome
        assert simulator.cable is not None
        assert simulator.cable.injected > 0
        assert outcome.lines_sent == file.count(b"\n")
        # M108 and M112 are ours alone and were not sent; no command of the file is there twice, or missing.
        assert simulator.firmware.transcript == commands_of(file)


async def test_a_print_is_not_done_before_the_machine_has_done_it() -> None:
    """Oks that nobody asked for run ahead of a slow machine: only the position report says that it is done."""
    # Red without: in `MarlinSender._at_barrier`, the look at `_position_seen`.
    async with machine(faults=Faults(doubled_ok=0.6), numbered_ok=False, time_scale=300.0) as (simulator, driver):
        file = b"G28\n" + b"G1 X10 F3000\nG1 X200\n" * 15
        assert (await driver.print(chunks(file))).completed
        assert simulator.firmware.transcript == commands_of(file)


async def test_a_window_never_overruns_the_printers_buffer() -> None:
    # Red without: in `Wire._room`, the comparison with the window.
    async with machine(time_scale=2000.0) as (simulator, driver):
        assert (await driver.print(chunks(part(300)))).completed
        assert simulator.firmware.arrived_max > 60
        assert simulator.firmware.overruns == 0
        assert simulator.firmware.faulty == 0


async def test_temperatures_are_known_while_heating() -> None:
    for autoreport in (True, False):
        async with machine(time_scale=15.0, autoreport=autoreport) as (simulator, driver):
            printing = asyncio.create_task(driver.print(chunks(b"M109 S100\nG1 X1\n")))
            await until(lambda: 30 < driver.status().nozzle_c < 100)
            assert (await printing).completed
            assert simulator.firmware.nozzle.target_c == 100
            await until(lambda: driver.status().nozzle_target_c == 100)


async def test_no_line_after_a_pause_until_resumed() -> None:
    # Red without: in `MarlinSender._pump`, `not job.paused`.
    async with machine(time_scale=1000.0) as (simulator, driver):
        file = part(300)
        printing = asyncio.create_task(driver.print(chunks(file)))
        await until(lambda: len(moves_of(simulator)) > 20)
        await driver.pause()
        sent = driver.status().lines_sent
        assert driver.status().state is DriverState.PAUSED
        await until(lambda: not driver._sender._wire.in_flight)  # type: ignore[union-attr]
        await asyncio.sleep(0.2)
        assert driver.status().lines_sent == sent < 300
        await driver.resume()
        assert (await printing).completed
        assert simulator.firmware.transcript == commands_of(file)


@pytest.mark.parametrize("paused", [False, True], ids=["printing", "paused"])
async def test_cancel_sends_no_further_line_cools_down_and_parks(paused: bool) -> None:
    # Red without: in `MarlinSender.stop_job`, `job.stop` (lines), HEATERS_OFF (heaters), `lift` (park).
    async with machine(time_scale=1000.0) as (simulator, driver):
        printing = asyncio.create_task(driver.print(chunks(part(400))))
        await until(lambda: len(moves_of(simulator)) > 20)
        if paused:
            await driver.pause()
        await driver.cancel()
        outcome = await printing
        assert not outcome.completed
        assert outcome.end is PrintEnd.CANCELED
        assert outcome.reason == "canceled by the operator"
        firmware = simulator.firmware
        executed = firmware.transcript
        moves = commands_of(part(400))
        assert executed[: len(moves_of(simulator)) + 9] == moves[: len(moves_of(simulator)) + 9]
        assert executed[-8:] == [b"M104 S0", b"M140 S0", b"M107", b"G91", b"G1 Z10.0 F600", b"G90", b"G28 X Y", b"M400"]
        assert outcome.lines_sent == len(moves_of(simulator)) + 6
        assert (firmware.nozzle.target_c, firmware.bed.target_c, firmware.fan) == (0, 0, 0)
        assert driver.status().state is DriverState.IDLE
        assert (await driver.print(chunks(FILE[:200]))).completed


async def test_cancel_ends_a_wait_for_heat() -> None:
    # Red without: in `MarlinSender.stop_job`, the M108.
    async with machine(time_scale=5.0) as (simulator, driver):
        printing = asyncio.create_task(driver.print(chunks(b"M109 S280\nG1 X1\n")))
        await until(lambda: simulator.firmware.nozzle.target_c == 280)
        await driver.cancel()
        assert (await printing).end is PrintEnd.CANCELED
        assert simulator.firmware.nozzle.target_c == 0


async def test_halt_stops_at_once_in_front_of_everything() -> None:
    # Red without: in `MarlinSender.halt`, the write of HALT.
    async with machine(time_scale=30.0) as (simulator, driver):
        printing = asyncio.create_task(driver.print(chunks(b"M104 S250\nG28\nG4 S500\n" + part(100))))
        await until(lambda: b"G4 S500" in simulator.firmware.transcript)
        executed = len(simulator.firmware.transcript)
        await driver.halt()
        outcome = await printing
        assert outcome.end is PrintEnd.HALTED
        await until(lambda: simulator.firmware.killed)
        assert len(simulator.firmware.transcript) == executed
        assert simulator.firmware.nozzle.target_c == 0
        assert driver.status().state is DriverState.HALTED


async def test_a_halted_machine_prints_again_after_its_reset() -> None:
    async with machine() as (simulator, driver):
        await driver.connect()
        await driver.halt()
        await until(lambda: simulator.firmware.killed)
        driver._connect_timeout_s = 0.3
        with pytest.raises(MachineUnavailable, match="reset"):
            await driver.print(chunks(FILE))
        simulator.reset()
        await until(lambda: not simulator.firmware.killed)
        driver._connect_timeout_s = 10.0
        assert (await driver.print(chunks(FILE))).completed


@pytest.mark.parametrize(
    ("faults", "end"),
    [
        # Red without: in `SerialPort.read`, turning OSError and nothing into Unplugged.
        (Faults(unplug_at=200), PrintEnd.UNPLUGGED),
        # Red without: in `marlin_reply.fatal`, the line for `start`.
        (Faults(reset_at=200), PrintEnd.RESET),
        # Red without: in `marlin_reply.FATAL`, thermal runaway and kill.
        (Faults(runaway_at=200), PrintEnd.KILLED),
    ],
    ids=["unplugged", "reset", "runaway"],
)
@pytest.mark.parametrize("numbered_ok", [True, False], ids=["numbered", "plain"])
async def test_a_machine_that_fails_in_the_middle(faults: Faults, end: PrintEnd, numbered_ok: bool) -> None:
    async with machine(faults=faults, numbered_ok=numbered_ok) as (simulator, driver):
        outcome = await driver.print(chunks(FILE))
        assert not outcome.completed
        assert outcome.end is end
        assert outcome.reason
        executed = len(simulator.firmware.transcript) - 3
        # What was under way in the window may have been sent and not executed.
        assert executed <= outcome.lines_sent <= executed + 5
        assert simulator.firmware.transcript == commands_of(FILE)[: executed + 3]
        expected = DriverState.HALTED if end is PrintEnd.KILLED else DriverState.OFFLINE
        assert driver.status().state is expected


async def test_a_reset_that_nobody_announced() -> None:
    """The banner is lost; the firmware asks for line 1, which is long gone."""
    # Red without: in `MarlinSender._resend`, the count of nonsense.
    async with machine(faults=Faults(reset_at=300)) as (simulator, driver):
        assert simulator.cable is not None
        to_host = simulator.cable.to_host
        simulator.cable.to_host = lambda data: to_host(data.replace(b"start\n", b""))  # type: ignore[method-assign]
        outcome = await driver.print(chunks(FILE))
        assert outcome.end is PrintEnd.LOST
        # It got nothing more of the file, and was told to cool down.
        await until(lambda: len(simulator.firmware.transcript) == 303)
        assert simulator.firmware.transcript == [*commands_of(FILE)[:300], *HEATERS_OFF]


async def test_a_machine_that_falls_silent() -> None:
    # Red without: in `MarlinSender._watch`, the comparison with `silence_s`.
    from dataclasses import replace

    from machine_scene import IMPATIENT

    async with machine(patience=replace(IMPATIENT, silence_s=0.5)) as (simulator, driver):
        await driver.connect()
        simulator.firmware.killed = True
        outcome = await driver.print(chunks(FILE))
        assert outcome.end is PrintEnd.SILENT
        assert driver.status().state is DriverState.ERROR


async def test_one_port_one_driver() -> None:
    # Red without: in `SerialPort.__init__`, `exclusive=True`.
    async with machine() as (simulator, driver):
        await driver.connect()
        second = MarlinDriver(simulator.port, guard=Guard(PROFILE))
        with pytest.raises(AlreadyRunning):
            await second.connect()
        assert (await driver.print(chunks(FILE))).completed
        await driver.close()
        await second.connect()
        await second.close()


async def test_a_port_that_is_not_there_and_one_that_says_nothing() -> None:
    with pytest.raises(MachineUnavailable, match="cannot be opened"):
        await MarlinDriver("/dev/no-such-port", guard=Guard(PROFILE)).connect()
    simulator = Simulator()
    try:
        with pytest.raises(MachineUnavailable, match="no Marlin printer answers"):
            await MarlinDriver(simulator.port, guard=Guard(PROFILE), connect_timeout_s=0.3).connect()
    finally:
        simulator.stop()


async def test_a_refused_line_ends_the_print_with_heaters_off() -> None:
    # Red without: in `MarlinSender._prepare_and_wait_s`, the except clause.
    async with machine() as (simulator, driver):
        with pytest.raises(GcodeRefused, match="line 307: M500") as refused:
            await driver.print(chunks(part(300)[: -len(b"M104 S0\nM140 S0\nM107\nM84\n")] + b"M500 secret\nG1 X1\n"))
        assert "secret" not in str(refused.value)
        assert not any(command.startswith(b"M500") for command in simulator.firmware.transcript)
        assert simulator.firmware.nozzle.target_c == simulator.firmware.bed.target_c == 0
        assert driver.status().state is DriverState.IDLE


async def test_a_file_that_breaks_off_ends_the_print_with_heaters_off() -> None:
    async def broken():  # type: ignore[no-untyped-def]
        yield part(300)[:5000]
        raise OSError("store gone")

    async with machine() as (simulator, driver):
        with pytest.raises(OSError, match="store gone"):
            await driver.print(broken())
        assert simulator.firmware.nozzle.target_c == 0


async def test_a_print_whose_task_is_canceled_leaves_a_cold_machine() -> None:
    # Red without: in `MarlinDriver.print`, the except clause for CancelledError.
    async with machine(time_scale=100.0) as (simulator, driver):
        printing = asyncio.create_task(driver.print(chunks(part(400))))
        await until(lambda: len(moves_of(simulator)) > 5)
        printing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await printing
        assert len(moves_of(simulator)) < 390
        assert simulator.firmware.nozzle.target_c == 0
        assert driver.status().state is DriverState.IDLE


async def test_one_print_at_a_time_and_nothing_to_stop_in_between() -> None:
    async with machine(time_scale=1000.0) as (simulator, driver):
        await driver.connect()
        await driver.pause()
        await driver.resume()
        await driver.cancel()
        assert driver.status().state is DriverState.IDLE
        printing = asyncio.create_task(driver.print(chunks(FILE)))
        await until(lambda: simulator.firmware.accepted > 3)
        with pytest.raises(Misuse):
            await driver.print(chunks(FILE))
        await driver.cancel()
        await printing


async def test_nothing_of_the_file_is_kept_after_the_print() -> None:
    # Red without: in `Wire.forget`, deleting from the ring; in `Job.forget`, any of the lines.
    import gc

    marker = b"G1 X123.456 Y65.4321"
    async with machine() as (simulator, driver):
        simulator.firmware._settings = simulator.firmware._settings.__class__(busy_s=0.1)
        await driver.print(chunks((marker + b"\n") * 500))
        sender = driver._sender
        assert sender is not None
        assert not [frame for frame in sender._wire._ring.values() if marker in frame]
        job = driver._job
        assert job is not None
        kept = [job._chunk, *job._chunks, *job.ready, driver._guard._rest]
        assert not [data for data in kept if data]
        gc.collect()

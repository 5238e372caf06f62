"""The simulated firmware says what Marlin says."""

from __future__ import annotations

from functools import reduce
from math import inf
from operator import xor

import pytest

from printright.errors import BadSettings, BadValue
from printright.units.drivers.checksum import checksum
from printright.units.drivers.simulator import Faults, Firmware, FirmwareSettings, serve_simulator, transcript_digest
from printright.units.drivers.simulator.faults import NoisyCable
from printright.units.drivers.simulator.firmware import BANNER


def line(number: int, command: str) -> bytes:
    body = f"N{number} {command}".encode()
    return body + b"*%d\n" % reduce(xor, body)


def firmware(**settings: object) -> Firmware:
    return Firmware(FirmwareSettings(keep_transcript=True, **settings))  # type: ignore[arg-type]


def test_the_checksum_of_the_documentation() -> None:
    # RepRap wiki: "N0 M110 N0*125", and every length around the steps of the folding.
    assert checksum(b"N0 M110 N0") == 125
    for size in range(300):
        data = bytes((index * 37 + size) % 256 for index in range(size))
        assert checksum(data) == reduce(xor, data, 0)


def test_numbered_lines_are_executed_and_confirmed() -> None:
    machine = firmware()
    assert machine.receive(line(1, "G28") + line(2, "G1 X10"), 0) == b"ok N1 P15 B3\nok N2 P15 B3\n"
    assert machine.transcript == [b"G28", b"G1 X10"]
    assert machine.digest == transcript_digest([b"G28", b"M105", b"G1 X10"])


def test_plain_oks_where_built_so() -> None:
    assert firmware(numbered_ok=False).receive(line(1, "G28"), 0) == b"ok\n"


def test_bytes_come_in_any_pieces() -> None:
    machine = firmware()
    said = b"".join(machine.receive(bytes((byte,)), 0) for byte in line(1, "G28") + line(2, "G1 X10 Y5"))
    assert said == b"ok N1 P15 B3\nok N2 P15 B3\n"


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (b"N2 G1 X10*0\n", b"checksum mismatch, Last Line: 1"),
        (b"N2 G1 X10\n", b"No Checksum with line number, Last Line: 1"),
        (line(3, "G1 X10"), b"Line Number is not Last Line Number+1, Last Line: 1"),
        (line(1, "G28"), b"Line Number is not Last Line Number+1, Last Line: 1"),
    ],
    ids=["checksum", "no-checksum", "skipped", "repeated"],
)
def test_a_faulty_line_is_asked_for_again_and_empties_the_buffer(sent: bytes, error: bytes) -> None:
    machine = firmware()
    machine.receive(line(1, "G28"), 0)
    assert machine.receive(sent + line(2, "G1 X99"), 0) == b"Error:" + error + b"\nResend: 2\n"
    assert machine.transcript == [b"G28"]
    assert machine.receive(line(2, "G1 X10"), 0) == b"ok N2 P15 B3\n"


def test_m110_sets_the_count() -> None:
    machine = firmware()
    assert b"ok" in machine.receive(line(0, "M110 N0"), 0)
    assert b"ok" in machine.receive(line(1, "G28"), 0)
    machine.receive(line(77, "M110 N99"), 0)
    assert machine.receive(line(100, "G1 X1"), 0) == b"ok N100 P15 B3\n"


def test_what_is_no_command_is_echoed_and_not_executed() -> None:
    machine = firmware()
    assert machine.receive(b"O5 G1 X10*33\n", 0) == b'echo:Unknown command: "O5 G1 X10"\nok P15 B3\n'
    assert machine.transcript == []


def test_heating_takes_its_time_and_says_so() -> None:
    machine = firmware(time_scale=1.0, busy_s=2.0)
    assert machine.receive(line(1, "M109 S51"), 100.0) == b""
    assert machine.wakes_s() == 101.0
    assert machine.tick(101.0) == b" T:24.00 /51.00 B:21.00 /0.00 @:0 B@:0 W:?\n"
    assert b"echo:busy: processing\n" in machine.tick(102.0)
    assert machine.tick(109.9).count(b"ok") == 0
    assert machine.tick(110.1).startswith(b"ok N1")
    assert machine.nozzle.now_c(110.1) == 51.0


def test_m108_ends_the_wait_for_heat_only_with_an_emergency_parser() -> None:
    for emergency_parser in (True, False):
        machine = firmware(time_scale=1.0, emergency_parser=emergency_parser)
        machine.receive(line(1, "M109 S200"), 0)
        said = machine.receive(b"M108\n", 1.0) + machine.tick(1.0)
        assert (b"ok N1" in said) is emergency_parser


def test_m112_stops_at_once_whatever_it_does() -> None:
    machine = firmware(time_scale=1.0)
    machine.receive(line(1, "M104 S200") + line(2, "G28"), 0)
    assert b"Error:Printer halted. kill() called!" in machine.receive(b"G1 X10\nM112\n", 1.0)
    assert machine.killed
    assert machine.nozzle.target_c == 0
    assert machine.receive(line(3, "G1 X1"), 2.0) == b""
    assert machine.boot() == BANNER
    assert machine.receive(line(1, "G28"), 3.0) == b""


def test_while_it_is_busy_128_bytes_wait_and_the_rest_is_lost() -> None:
    machine = firmware(time_scale=1.0)
    machine.receive(line(1, "G28"), 0)
    machine.receive(line(2, "G1 X1"), 1.0)
    assert machine.overruns == 0
    machine.receive(b"x" * 200, 1.0)
    assert machine.overruns == len(line(2, "G1 X1")) + 200 - 127


def test_moves_take_their_time_once_the_planner_is_full() -> None:
    machine = firmware(time_scale=1.0)
    said = machine.receive(b"".join(line(n, f"G1 X{n % 2 * 100} F6000") for n in range(1, 41)), 0.0)
    assert said.count(b"ok") == 15
    for now_s in range(1, 60):
        said += machine.tick(float(now_s))
    assert said.count(b"ok") == 40
    assert machine.motion is not None
    assert machine.motion.xyze[0] == 0.0


def test_positions_are_known_in_all_modes() -> None:
    machine = firmware(time_scale=1e9)
    for number, command in enumerate(("G28", "G1 X10 Y5 E2", "G91", "G1 X5 E1", "G90", "M83", "G1 E1", "G92 E0"), 1):
        machine.receive(line(number, command), float(number))
        machine.tick(number + 0.5)
    assert machine.receive(line(9, "M114"), 20.0).startswith(b"X:15.00 Y:5.00 Z:0.00 E:0.00 Count")


def test_capabilities_and_temperatures_when_asked() -> None:
    machine = firmware()
    said = machine.receive(b"M115\n", 0)
    assert b"FIRMWARE_NAME:Marlin" in said
    assert b"Cap:EMERGENCY_PARSER:1" in said
    assert machine.receive(line(1, "M105"), 0) == b"ok N1 P15 B3 T:21.00 /0.00 B:21.00 /0.00 @:0 B@:0\n"
    machine.receive(line(2, "M155 S2"), 10.0)
    assert machine.wakes_s() == 12.0
    assert machine.tick(12.0).startswith(b" T:21.00")
    machine.receive(line(3, "M155 S0"), 13.0)
    assert machine.wakes_s() == inf


def test_the_same_seed_makes_the_same_faults() -> None:
    lines = [line(number, "G1 X10 Y20") for number in range(1, 200)]
    runs = [NoisyCable(Faults(corrupt=0.1, drop=0.1), seed) for seed in (7, 7, 8)]
    whole, pieces, other = (b"".join(lines), lines, lines)
    first = runs[0].to_printer(whole)
    assert first == b"".join(runs[1].to_printer(piece) for piece in pieces)
    assert first != b"".join(runs[2].to_printer(piece) for piece in other)
    assert runs[0].injected > 10


def test_faults_are_named_on_the_command_line() -> None:
    assert Faults.parse("corrupt=0.5,reset_at=7,storm=2") == Faults(corrupt=0.5, reset_at=7, storm=2)
    assert Faults.parse("") == Faults()
    for text in ("corupt=1", "corrupt=many", "reset_at=1.5"):
        with pytest.raises(BadValue):
            Faults.parse(text)


async def test_time_does_not_stand_still() -> None:
    with pytest.raises(BadSettings):
        await serve_simulator(time_scale=0.0)

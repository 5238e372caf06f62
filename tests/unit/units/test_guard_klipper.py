"""The allow-list for Klipper: what passes, what is dropped, what must never pass or be quoted."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

import pytest

from printright.errors import BadSettings, GcodeRefused
from printright.units.guard import GuardProfile, KlipperGuard

PROFILE = GuardProfile((250.0, 210.0, 210.0), nozzle_max_c=290.0, bed_max_c=110.0, margin_mm=0.0, firmware="klipper")


def guard(**changes: object) -> KlipperGuard:
    return KlipperGuard(PROFILE, **{"features": (), **changes})  # type: ignore[arg-type]


def passed(text: bytes, **changes: object) -> list[bytes]:
    gate = guard(**changes)
    return gate.feed(b"G28\n" + text + b"\n")[1:]


NEVER = [
    b"SAVE_CONFIG",
    b"RESTART",
    b"FIRMWARE_RESTART",
    b"RUN_SHELL_COMMAND CMD=x",
    b"CALL_REMOTE_METHOD METHOD=shutdown_machine",
    b"SET_PIN PIN=x VALUE=1",
    b"SET_HEATER_TEMPERATURE HEATER=extruder TARGET=400",
    b"SDCARD_PRINT_FILE FILENAME=x",
    b"SDCARD_RESET_FILE",
    b"FORCE_MOVE STEPPER=stepper_x DISTANCE=500 VELOCITY=100",
    b"SET_KINEMATIC_POSITION X=0",
    b"SET_GCODE_OFFSET Z=-5",
    b"SET_GCODE_VARIABLE MACRO=x VARIABLE=y VALUE=1",
    b"SAVE_GCODE_STATE NAME=x",
    b"SET_STEPPER_ENABLE STEPPER=stepper_x ENABLE=0",
    b"SET_TMC_CURRENT STEPPER=stepper_x CURRENT=5",
    b"RESPOND MSG=secret",
    b"ECHO secret",
    b"PAUSE",
    b"CANCEL_PRINT",
    b"START_PART",
    b"SET_PRESSURE_ADVANCE EXTRUDER=x",
    b"SET_PRESSURE_ADVANCE ADVANCE=9",
    b"SET_PRESSURE_ADVANCE ADVANCE=0.1 ADVANCE=0.2",
    b"SET_PRESSURE_ADVANCE ADVANCE",
    b'SET_PRESSURE_ADVANCE ADVANCE="0.1"',
    b"SET_VELOCITY_LIMIT ACCEL=1e9",
    b"M112",
    b"M20",
    b"M23 x",
    b"M118 secret",
    b"M0",
    b"M600",
    b"G29",
    b"G2 X1 I1",
    b"G10",
    b"G20",
    b"G92 X0",
    b"M106 P2 S255",
    b"M104 S400",
    b"T1",
    b"G1 X300",
    b"G1 X-1",
    b"g1 x5",
    b"N5 G1 X5*3",
    b"G1 X1 F0",
    b"G1 X1 F0.0",
    b"G1 F00 X1",
]


@pytest.mark.parametrize("line", NEVER, ids=lambda line: line.decode().replace(" ", "_"))
@pytest.mark.parametrize("cut", [1, 1000])
def test_what_must_never_pass(line: bytes, cut: int) -> None:
    # Red where the command stands in klipper.toml; for a speed of nothing, without `_NO_SPEED` in `feed` and `check`.
    gate = guard()
    data = b"G28\nG1 X1 Y1 F600\n" + line + b"\n"
    with pytest.raises(GcodeRefused, match="line 3: ") as refused:
        deque((gate.feed(data[at : at + cut]) for at in range(0, len(data), cut)), maxlen=0)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "line",
    [
        b"M117 Layer 3",
        b"M73 P50 R10",
        b"M105",
        b"M900 K0.05",
        b"M201 X1000 Y1000",
        b"M205 X8",
        b"M204 P800",
        b"T0",
        b"SET_PRINT_STATS_INFO CURRENT_LAYER=3",
        b"EXCLUDE_OBJECT_DEFINE NAME='part 1' POLYGON=[" + b"[1.0,2.0]," * 300 + b"]",
    ],
    ids=lambda line: line.decode().split()[0],
)
def test_what_klipper_does_not_know_or_would_tell_others_is_dropped(line: bytes) -> None:
    # Red without: `drop` at the command, `only_with` for M204.
    assert passed(line) == []


def test_what_passes_is_what_was_written() -> None:
    lines = [
        b"M204 S1500",
        b"M204 P800 T900",
        b"SET_PRESSURE_ADVANCE ADVANCE=0.05 SMOOTH_TIME=0.04",
        b"SET_VELOCITY_LIMIT ACCEL=3000",
        b"TURN_OFF_HEATERS",
        b"M109 S210",
        b"M84",
    ]
    assert passed(b"\n".join(lines)) == lines
    arc = b"G1 X50 Y50\nG2 X60 Y50 I5 J0"
    assert passed(arc, features=("gcode_arcs",)) == arc.split(b"\n")


def test_an_axis_moves_only_after_it_was_homed() -> None:
    # Red without: in `KlipperPositions`, the check in `line`; for the last, position = "off" of M84.
    for text in (b"G1 X1\n", b"G28 X\nG1 X1 Y1\n", b"G28\nM84\nG1 X5 E1\n"):
        with pytest.raises(GcodeRefused, match="before it was homed"):
            guard().feed(text)
    assert guard().feed(b"G28 X\nG1 X1\nG1 E1 F600\n")[-1] == b"G1 E1 F600"


def test_the_extruder_s_mode_is_its_own() -> None:
    # Klipper comes back from G91 to M83; Marlin's G90 would have made E absolute, and this 600 mm of filament.
    text = b"M83\nG91\nG1 Z1 E1\nG90\n" + b"G1 X5 E100\n" * 6
    assert len(passed(text)) == 10
    with pytest.raises(GcodeRefused, match="filament"):
        passed(b"M82\nG1 X5 E100\nG1 X6 E400\n")


def test_a_macro_is_called_only_by_name_with_plain_values_and_leaves_the_modes_alone() -> None:
    # Red without: in `_other_word`, the look at each token; the modes after it.
    macros = ("START_PART", "M600")
    assert passed(b"M83\nSTART_PART BED=60 NOZZLE=210.5 NAME=pla-1", macros=macros)[1] == (
        b"START_PART BED=60 NOZZLE=210.5 NAME=pla-1\nG90\nM83"
    )
    assert passed(b"G91\nM600 X10", macros=macros)[1] == b"M600 X10\nG91\nM82"
    for bad in (b"START_PART BED", b"START_PART BED={x}", b'START_PART B="1"', b"M600 X=1", b"M600 a"):
        with pytest.raises(GcodeRefused):
            passed(bad, macros=macros)
    for name in ("G1", "TURN_OFF_HEATERS", "lower", "A B", "1A", ""):
        with pytest.raises(BadSettings):
            guard(macros=(name,))


def test_the_machine_s_own_bounds_stand() -> None:
    low = KlipperGuard(replace(PROFILE, origin_mm=(-5.0, 0.0)))
    assert low.feed(b"G28\nG1 X-4.5 Y1\n")[1] == b"G1 X-4.5 Y1"
    with pytest.raises(GcodeRefused):
        low.feed(b"G1 X-5.5\n")
    assert "G1" in guard().words
    assert "SET_PRESSURE_ADVANCE" in guard().words
    with pytest.raises(BadSettings):
        KlipperGuard(replace(PROFILE, firmware="reprap"))

"""What the vectors cannot say: endless input, reports, modes that follow each other, profiles."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from printright.errors import BadSettings, GcodeRefused
from printright.units.guard import Guard, GuardProfile
from printright.units.guard.allow_list import allow_list

PROFILE = GuardProfile((250.0, 210.0, 210.0), nozzle_max_c=290.0, bed_max_c=110.0)


@pytest.fixture
def guard() -> Guard:
    return Guard(PROFILE)


def feed_endlessly(guard: Guard, chunk: bytes) -> None:
    for _ in range(1000):
        assert guard.feed(chunk) == []


def test_a_line_without_end_does_not_fill_memory(guard: Guard) -> None:
    # Red without: `raise self._refusal(... "a line has no end")` in `Guard._shorten`.
    with pytest.raises(GcodeRefused, match="a line has no end"):
        feed_endlessly(guard, b"1" * 64)


def test_a_comment_without_end_does_not_fill_memory(guard: Guard) -> None:
    # Red without: the check of MAX_COMMENT_BYTES in `Guard._shorten`.
    with pytest.raises(GcodeRefused, match="a comment has no end"):
        feed_endlessly(guard, b";" + b"1" * 65535)


def test_a_long_comment_is_no_fault_and_keeps_the_command_before_it(guard: Guard) -> None:
    assert guard.feed(b"G1 X10 ; " + b"x" * 3000) == []
    assert guard.feed(b"y" * 3000) == []
    assert guard.feed(b"\nG1 Y1\n") == [b"G1 X10", b"G1 Y1"]


def test_a_report_goes_on_after_a_refusal_and_counts(tmp_path: Path) -> None:
    path = tmp_path / "part.gcode"
    path.write_bytes(b"G28\nM500\nG1 X10 E1\nM997\nG1 X20 E3.5\n")
    report = Guard(PROFILE).check_file(path)
    assert not report.ok
    assert [(finding.line, finding.word) for finding in report.findings] == [(2, "M500"), (4, "M997")]
    assert (report.lines, report.commands, report.filament_mm) == (5, {"G28": 1, "G1": 2}, 3.5)
    assert Guard(PROFILE).check_file([b"G28\nM5", b"00\nG1 X10 E1\nM997\nG1 X20 E3.5\n"]) == report


def test_a_report_ends_after_twenty_findings() -> None:
    assert len(Guard(PROFILE).check_file([b"M500\n" * 1000]).findings) == 20


def test_g91_makes_the_extruder_relative_and_m82_takes_that_back(guard: Guard) -> None:
    guard.feed(b"G28\nG1 E100\nG91\nG1 E150\nM82\n")
    assert guard.positions.e == 250.0
    with pytest.raises(GcodeRefused, match="filament"):
        guard.feed(b"G1 E1\n")


def test_relative_moves_add_up(guard: Guard) -> None:
    guard.feed(b"G28\nG1 X240 Y5 Z1\nG91\nG1 X10\nG1 X-10 Y-3 Z4\n")
    assert guard.positions.xyz == [240.0, 2.0, 5.0]
    with pytest.raises(GcodeRefused, match="X is outside"):
        guard.feed(b"G1 X20\n")


def test_a_new_file_begins_with_nothing_known(guard: Guard) -> None:
    guard.feed(b"G91\nG1 X1\nG1 Y")
    guard.start()
    assert guard.feed(b"G1 X250\n") == [b"G1 X250"]
    assert guard.lines == 1


def test_each_tool_of_the_machine_and_no_other() -> None:
    guard = Guard(replace(PROFILE, tools=2))
    assert guard.feed(b"T1\nM104 S200 T1\nT0\n") == [b"T1", b"M104 S200 T1", b"T0"]
    with pytest.raises(GcodeRefused):
        guard.feed(b"T2\n")


def test_a_heated_chamber_is_allowed_where_there_is_one() -> None:
    assert Guard(replace(PROFILE, chamber_max_c=70.0)).feed(b"M141 S60\n") == [b"M141 S60"]


@pytest.mark.parametrize(
    "change",
    [
        {"nozzle_max_c": 0.0},
        {"nozzle_max_c": float("nan")},
        {"bed_max_c": float("inf")},
        {"build_volume_mm": (250.0, 0.0, 210.0)},
        {"build_volume_mm": (250.0, 210.0)},
        {"tools": 0},
        {"margin_mm": -2.0},
        {"firmware": "../../etc/passwd"},
        {"firmware": "klipper"},
    ],
)
def test_a_profile_that_cannot_be_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(BadSettings):
        Guard(replace(PROFILE, **change))


def test_the_list_contains_nothing_that_must_never_pass() -> None:
    """The list itself, so that a new line of data cannot open a door without this test knowing."""
    words = {word.decode() for word in allow_list(PROFILE)}
    never = {f"M{n}" for n in (*range(20, 35), *range(500, 505), 524, 928, 997, 999, 112, 108, 410, 118, 876)}
    never |= {f"M{n}" for n in (42, 43, 92, 110, 155, 206, 218, 260, 261, 280, 301, 302, 303, 304, 851, 906, 907)}
    never |= {f"M{n}" for n in range(810, 820)} | {"G5", "G20", "G53", "G54"}
    assert not words & never
    assert {
        "G0",
        "G1",
        "G2",
        "G3",
        "G28",
        "G29",
        "G90",
        "G91",
        "G92",
        "M82",
        "M83",
        "M104",
        "M109",
        "M140",
        "M190",
    } <= words

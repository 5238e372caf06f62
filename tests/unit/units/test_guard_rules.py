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
        {"origin_mm": (5.0, 0.0)},
        {"origin_mm": (0.0, float("nan"))},
        {"origin_mm": (0.0,)},
        {"margin_mm": -2.0},
        {"firmware": "../../etc/passwd"},
        {"firmware": "reprap"},
    ],
)
def test_a_profile_that_cannot_be_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(BadSettings):
        Guard(replace(PROFILE, **change))


def test_what_is_sent_is_what_the_guard_says(guard: Guard) -> None:
    """A plus is left out, and so is what means nothing for the part; nothing else is changed."""
    file = b'G28\nM862.3 P "MK3S"\nM115 U3.11.0\nG5\nM105\nM117 Bed is hot!\nM117 Printing\n'
    file += b"G1 X+10 Y+.5\nG91\nG1 Z+0.5 E-5\n"
    assert guard.feed(file) == [b"G28", b"M117 Printing", b"G1 X10 Y.5", b"G91", b"G1 Z0.5 E-5"]
    assert guard.positions.xyz == [10.0, 0.5, None]


def test_a_machine_that_counts_from_the_center_of_its_bed() -> None:
    delta = replace(PROFILE, build_volume_mm=(200.0, 200.0, 200.0), origin_mm=(-100.0, -100.0))
    guard = Guard(delta)
    file = b"G28\n" + b"G1 X-98 Y0 E1\nG3 X0 Y-98 I98 E2\nG1 X-70.5 Y70 E2\nG1 X104.5 Y-104.9 E3\n" * 50
    assert len(guard.feed(file)) == 201
    for line in (b"G1 X-105.5", b"G1 X105.5", b"G1 Y150 E3", b"G1 X1 Y-150 E3", b"G1 Z-1"):
        with pytest.raises(GcodeRefused, match="outside"):
            Guard(delta).feed(b"G1 X1 Y1 E1\n" * 9 + line + b"\n")


def test_lines_that_passed_once_are_counted_each_time(guard: Guard) -> None:
    with pytest.raises(GcodeRefused, match="line 602"):
        guard.feed(b"M204 S800\nM106 S100 ; fan\nG91\n" * 200 + b"G1 X1\nM106 S256\n")
    guard.start()
    assert guard.feed(b"M106 S100 ; fan\n") == [b"M106 S100"]


def test_the_longest_line_of_a_run_is_not_too_long() -> None:
    # Red with one more digit for any number in `moves.py`.
    largest = replace(PROFILE, build_volume_mm=(9990.0, 9990.0, 9990.0), origin_mm=(-5000.0, 0.0), extrude_max_mm=9999)
    axes = b" X-4999.1234 Y9994.1234 Z9994.1234"
    line = b"G1 F123456.12%b E-9998.12345 F123456.12345" % axes
    assert 70 < len(line) <= 80
    assert Guard(largest).feed((b"G1 X1 Y1 E1\nG92 E0\nM83\n" + line + b"\n") * 2)[-1] == line


@pytest.mark.parametrize("extrude_max_mm", [0.5, 1.0, 2.0, 19.0, 20.0, 150.0, 200.0, 2000.0])
@pytest.mark.parametrize("start", [b"M82\nG92 E0\n", b"M83\n", b"M82\nG92 E1234.5\n"])
def test_the_most_filament_in_a_move_is_that_of_the_profile(extrude_max_mm: float, start: bytes) -> None:
    """Whatever the limit, runs of moves keep it to the last bit of what the check of each line keeps."""
    profile = replace(PROFILE, extrude_max_mm=extrude_max_mm)
    absolute = b"M82" in start
    for step in (0.99, -0.99, 1.01, -1.01):
        for base in (0.0, 99.9, 1234.5) if absolute else (0.0,):
            moves = b"G1 X1 Y9 E%.4f\nG1 X2 Y9 E%.4f\n" % (base, base)
            last = b"G1 X3 Y9 E%.4f\n" % (base + step * extrude_max_mm)
            assert refusal(profile, start + moves + last, whole=True) == refusal(
                profile, start + moves + last, whole=False
            )
            file = start + b"G92 E%.4f\n" % base + moves + last
            found = refusal(profile, file, whole=True)
            assert ("more than" in found) is (abs(step) > 1)
            assert found == refusal(profile, file, whole=False)


def refusal(profile: GuardProfile, file: bytes, *, whole: bool) -> str:
    """What is wrong with a file, fed at once or line by line; empty where nothing is."""
    guard = Guard(profile)
    try:
        if whole:
            guard.feed(file)
        else:
            for line in file.splitlines():
                guard.check(line)
    except GcodeRefused as refused:
        return refused.message
    return ""


def test_the_list_contains_nothing_that_must_never_pass() -> None:
    """The list itself, so that a new line of data cannot open a door without this test knowing."""
    rules = allow_list(PROFILE)
    words = {word.decode() for word, rule in rules.items() if not rule.drop and not rule.note}
    never = {f"M{n}" for n in (*range(20, 35), *range(500, 505), 524, 928, 997, 999, 112, 108, 410, 118, 876)}
    never |= {f"M{n}" for n in (42, 43, 92, 110, 155, 206, 218, 260, 261, 280, 301, 302, 303, 304, 851, 906, 907)}
    never |= {f"M{n}" for n in range(810, 820)} | {
        "G6",
        "G20",
        "G53",
        "G54",
        "M80",
        "M81",
        "M120",
        "M121",
        "M149",
        "M290",
        "M575",
        "M808",
    }
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

"""Whatever is fed to the guard: what comes out is printable, on the list, in bounds, and passes again unchanged."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from printright.errors import GcodeRefused
from printright.units.guard import Guard, GuardProfile
from printright.units.guard.allow_list import allow_list
from printright.units.guard.moves import digits_below

PROFILE = GuardProfile((250.0, 210.0, 210.0), nozzle_max_c=290.0, bed_max_c=110.0)
WORDS = sorted(word.decode() for word in allow_list(PROFILE))
REFUSED = re.compile(
    rb"(?i)(?<![A-Z0-9])(M(2[0-9]|3[0-4]|50[0-4]|997|999|112|410|108|118|110|928|81[0-9]|92|206)|G20|G5)(?![0-9])"
)

numbers = st.one_of(
    st.floats(-400, 400).map(lambda value: f"{value:.3f}"),
    st.integers(-500, 500).map(str),
    st.sampled_from(["", "1e5", "nan", "-.5", ".5", "0x1", "--1", "99999999", "1.", ".", "+1"]),
)
parameters = st.tuples(st.sampled_from("XYZEFSPTRIJKNGM*x"), numbers).map("".join)
words = st.one_of(
    st.sampled_from(WORDS),
    st.sampled_from(["M500", "M997", "m500", "G01", "N5", "@x", "M117", "M112", "M29", "G28X"]),
    st.tuples(st.sampled_from("GMTN"), st.integers(0, 1100)).map(lambda pair: f"{pair[0]}{pair[1]}"),
)
lines = st.one_of(
    st.tuples(words, st.lists(parameters, max_size=5)).map(lambda line: " ".join((line[0], *line[1])).encode()),
    st.tuples(words, st.sampled_from([" ", "\t", "\r", "\x00", ";", "", "\u00a0", "*12", " M500"]), words).map(
        lambda parts: "".join(parts).encode()
    ),
    st.binary(max_size=120).filter(lambda data: b"\n" not in data),
    st.sampled_from([b"G90", b"G91", b"M83", b"M82", b"G28", b"G92 E0", b"G92 E950", b"G1 X10 Y10 Z10", b"", b"; a"]),
)


def passed(guard: Guard, file: list[bytes]) -> list[bytes]:
    commands = []
    for line in file:
        try:
            command = guard.check(line)
        except GcodeRefused:
            continue
        if command is not None:
            commands.append(command)
    return commands


@given(st.lists(lines, max_size=30))
def test_nothing_refused_and_nothing_unprintable_comes_out(file: list[bytes]) -> None:
    for command in passed(Guard(PROFILE), file):
        assert re.fullmatch(rb"[\x20-\x7e]{1,80}", command)
        assert command.split(b" ")[0].decode() in WORDS
        assert not REFUSED.search(command)
        assert b";" not in command
        assert b"*" not in command
        assert not re.search(rb"N[0-9]", command)


@given(st.lists(lines, max_size=30))
def test_what_passed_passes_again_unchanged(file: list[bytes]) -> None:
    commands = passed(Guard(PROFILE), file)
    # A file of its own: refused lines, which may have moved nothing, are not in it.
    assert Guard(PROFILE).feed(b"\n".join(commands) + b"\n") == commands


moves = st.tuples(
    st.sampled_from(["G1", "G0"]),
    st.sampled_from(["", "", " F1200", " F7.5", " Z1.5", " Z-1", " Z300"]),
    *(
        st.one_of(st.just(""), st.floats(-10, 260).map(lambda value, axis=axis: f" {axis}{value:.3f}"))  # type: ignore[misc]
        for axis in "XYZ"
    ),
    st.one_of(
        st.just(""),
        st.floats(-100, 300).map(lambda value: f" E{value:.4f}"),
        st.floats(90, 110).map(lambda value: f" E{value:.2f}"),
        st.floats(990, 1210).map(lambda value: f" E{value:.1f}"),
    ),
    st.sampled_from(
        ["", "", "", " F900", " F7800.00000", " F9.123456", " Z1", ";TYPE:Skin", " ; X9999 E9", "\t;", " "]
    ),
).map(lambda parts: "".join(parts).encode())


@given(st.lists(st.one_of(moves, moves, moves, lines), max_size=40), st.integers(1, 400))
def test_feeding_pieces_is_checking_line_by_line(file: list[bytes], cut: int) -> None:
    """Runs of moves are checked at once and lines cut anywhere: neither makes a difference."""
    data = b"\n".join(file)
    pieces, single = Guard(PROFILE), Guard(PROFILE)
    fed: list[bytes] = []
    expected: list[bytes] = []
    refused: list[str | None] = [None, None]
    try:
        for at in range(0, len(data), cut):
            fed += pieces.feed(data[at : at + cut])
        fed += pieces.finish()
    except GcodeRefused as error:
        refused[0] = str(error)
    try:
        for line in data.split(b"\n"):
            expected += [command] if (command := single.check(line)) is not None else []
    except GcodeRefused as error:
        refused[1] = str(error)
    assert refused[0] == refused[1]
    assert fed == expected[: len(fed)]
    if refused[0] is None:
        assert fed == expected
        assert [round(at, 6) for at in pieces.positions.xyz if at is not None] == [
            round(at, 6) for at in single.positions.xyz if at is not None
        ]
        assert abs(pieces.positions.e - single.positions.e) < 1e-6


@given(st.integers(1, 2000))
def test_digits_below_a_limit(limit: int) -> None:
    pattern = re.compile(digits_below(limit))
    assert all(bool(pattern.fullmatch(str(number))) is (number < limit) for number in range(2 * limit + 12))


@given(st.lists(lines, max_size=60))
def test_the_head_never_leaves_the_volume_and_heaters_their_bounds(file: list[bytes]) -> None:
    """An own, slow reading of what passed, with the places that are known."""
    place: dict[str, float] = {}
    relative = False
    for command in passed(Guard(PROFILE), file):
        word, *rest = command.decode().split(" ")
        if word == "M117":
            continue
        values = {token[0]: token[1:] for token in rest}
        if word in ("G90", "G91"):
            relative = word == "G91"
        elif word in ("G28", "G29", "G27"):
            place.clear()
        elif word in ("G0", "G1", "G2", "G3"):
            for axis in "XYZ":
                if axis in values:
                    if relative and axis in place:
                        place[axis] += float(values[axis])
                    elif not relative:
                        place[axis] = float(values[axis])
            limits = {"X": (-5, 255), "Y": (-5, 215), "Z": (0, 215)}
            assert all(limits[axis][0] - 0.02 <= at <= limits[axis][1] + 0.02 for axis, at in place.items())
        elif word in ("M104", "M109"):
            assert all(0 <= float(values[name]) <= 290 for name in "SR" if name in values)
        elif word in ("M140", "M190"):
            assert all(0 <= float(values[name]) <= 110 for name in "SR" if name in values)

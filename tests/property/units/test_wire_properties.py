"""Our wire against a firmware that takes lines only in order, over a channel that loses and repeats: each line once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from printright.units.drivers.checksum import checksum
from printright.units.drivers.marlin_wire import Wire
from printright.units.drivers.simulator import Firmware, FirmwareSettings


@st.composite
def troubles(draw: st.DrawFn) -> list[str]:
    return draw(st.lists(st.sampled_from(["", "", "", "lost", "damaged", "mute", "echo", "doubt"]), max_size=60))


@given(st.integers(1, 40), troubles(), st.booleans(), st.sampled_from([40, 127, 500]))
def test_every_command_is_taken_once_and_in_order(
    count: int, trouble: list[str], numbered_ok: bool, window_bytes: int
) -> None:
    """A turn: the wire sends what it may; trouble befalls the last frame or the answers; the wire hears the rest.

    `Resend` must be believed, `ok` only for pacing: the firmware's transcript is the judge.
    """
    firmware = Firmware(FirmwareSettings(numbered_ok=numbered_ok, keep_transcript=True))
    wire = Wire(first=1, numbered_ok=numbered_ok, window_bytes=window_bytes)
    commands = [b"G1 X%d Y%d" % (index, index * 2) for index in range(count)]
    todo = list(commands)
    turns = 0
    # As in the sender, the end is a barrier: nothing is done before the last number is confirmed by a resend or ok.
    while len(firmware.transcript) < count or wire.in_flight:
        turns += 1
        assert turns < 40 * (count + len(trouble) + 2)
        frames = []
        while True:
            frame = wire.again() if wire.sent < wire.next else wire.new(todo[0]) if todo else None
            if frame is None:
                break
            if wire.sent == wire.next and todo and frame.split(b" ", 1)[1].startswith(todo[0]):
                todo.pop(0)
            frames.append(frame)
        kind = trouble.pop() if trouble else ""
        if kind == "lost" and frames:
            frames.pop()
        if kind == "damaged" and frames:
            frames[0] = frames[0][:3] + b"#" + frames[0][4:]
        if kind == "echo":
            frames += frames
        said = firmware.receive(b"".join(frames), 0.0)
        if kind == "mute":
            said = b""
        heard = False
        for line in said.splitlines():
            if line.startswith(b"Resend: "):
                heard = wire.back_to(int(line[8:])) or heard
            elif line.startswith(b"ok N"):
                wire.ok(int(line[4:].split(b" ")[0]))
                heard = True
            elif line.startswith(b"ok"):
                wire.ok(None)
                heard = True
        if not heard or kind == "doubt":
            if wire.in_flight:
                wire.doubt()
            elif len(firmware.transcript) < count and not todo and wire.sent == wire.next:
                # Oks without numbers were miscounted: the barrier's frame asks for what is missing.
                body = b"N%d M114" % wire.next
                for line in firmware.receive(b"%b*%d\n" % (body, checksum(body)), 0.0).splitlines():
                    if line.startswith(b"Resend: "):
                        assert wire.back_to(int(line[8:]))
    assert firmware.transcript == commands


@given(st.integers(1, 300), st.integers(-5, 320))
def test_a_request_for_a_line_that_is_not_there_changes_nothing(sent: int, wanted: int) -> None:
    wire = Wire(first=1, numbered_ok=False, window_bytes=127)
    for _ in range(sent):
        assert wire.new(b"G1 X1") is not None
        assert wire.new(b"G1 X1") is None
        wire.ok(None)
    state = (wire.acked, wire.sent, wire.next)
    known = max(1, wire.next - 128) <= wanted <= wire.next
    assert wire.back_to(wanted) is known
    if not known:
        assert (wire.acked, wire.sent, wire.next) == state


@given(st.lists(st.integers(0, 40), min_size=1, max_size=50), st.integers(50, 300))
def test_a_window_is_never_exceeded(sizes: list[int], window_bytes: int) -> None:
    # Red without: the comparison with the window in `Wire._room`.
    wire = Wire(first=1, numbered_ok=True, window_bytes=window_bytes)
    flight: list[int] = []
    for size in sizes:
        frame = wire.new(b"G" * (size + 1))
        if frame is None:
            wire.ok(wire.sent - 1)
            flight.clear()
            frame = wire.new(b"G" * (size + 1))
            assert frame is not None
        flight.append(len(frame))
        assert sum(flight) <= window_bytes or len(flight) == 1

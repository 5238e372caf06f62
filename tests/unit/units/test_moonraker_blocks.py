"""Messages of one piece, and what Klipper would remember of them."""

from __future__ import annotations

import json
from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from printright.units.drivers.moonraker.blocks import (
    COVER,
    END,
    PIECE_BYTES,
    SCRIPT_BYTES,
    block,
    request,
    script_size,
)

LINES = st.lists(
    st.binary(min_size=1, max_size=256).map(lambda raw: bytes(32 + byte % 90 for byte in raw)), max_size=40
)


@settings(deadline=None)
@given(scripts=st.lists(LINES, min_size=1, max_size=5))
def test_klipper_never_remembers_a_line_where_it_could_write_it_down(scripts: list[list[bytes]]) -> None:
    """Klipper's reading of its socket, as in its source: 4096 bytes, then all whole requests remembered."""
    # Red without: in `block`, the tail or the padding.
    wire = b""
    for number, lines in enumerate(scripts):
        kept = list(lines)
        while script_size(kept) > SCRIPT_BYTES:
            kept.pop()
        text = b"\n".join(kept).decode()
        wire += block(request(number, "gcode/script", {"script": text})) + END
    remembered: deque[bytes] = deque(maxlen=20)
    partial, asked = b"", []
    for at in range(0, len(wire), PIECE_BYTES):
        *requests, partial = (partial + wire[at : at + PIECE_BYTES]).split(END)
        remembered.extend(requests)
        asked += [json.loads(each) for each in requests]
        assert {bytes(each).rstrip() for each in remembered} == {COVER}
        assert not partial
    assert [each["id"] for each in asked if "id" in each] == list(range(len(scripts)))


def test_a_message_is_one_piece_or_nothing() -> None:
    assert len(block(b"{}")) == PIECE_BYTES - 1
    full = request(1, "gcode/script", {"script": "x" * SCRIPT_BYTES})
    assert len(block(full)) == PIECE_BYTES - 1
    for bad in (full + b" " * 9, b'{"a":"\x03"}'):
        with pytest.raises(ValueError, match="too long"):
            block(bad)
    assert script_size([b"G1 X1", b"MACRO\nG90"]) == len(json.dumps("G1 X1\nMACRO\nG90\n")) - 2

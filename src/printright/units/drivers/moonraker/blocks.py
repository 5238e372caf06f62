"""Requests in blocks of one size, so that Klipper never has a line of a file where it keeps requests.

Klipper remembers the last 20 requests of each client and writes them into its log when it shuts down. It reads its
socket in pieces of 4096 bytes and remembers all requests of a piece before it does anything else. So every message is
exactly one piece, and in each the requests that matter are followed by more harmless ones than it remembers: at no
moment in which it could shut down does it remember anything else. Source: Klipper's `docs/API_Server.md` (framing) and
`klippy/webhooks.py` of v0.13.0-730 and Kalico 2026.10; ADR 11.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

PIECE_BYTES = 4096
END = b"\x03"
"""Ends a request. Moonraker's bridge adds the last one of a message."""

COVER = b'{"method":"info"}'
"""A request that asks for no answer."""

COVERS = 32
"""More than the 20 requests that Klipper remembers."""

_TAIL = END + END.join((COVER,) * COVERS)
ROOM_BYTES = PIECE_BYTES - len(END) - len(_TAIL)
"""What is left of a message for requests that matter."""


def request(number: int, method: str, params: dict[str, Any]) -> bytes:
    """One request, to be answered under this number."""
    return json.dumps({"id": number, "method": method, "params": params}, separators=(",", ":")).encode()


SCRIPT_BYTES = ROOM_BYTES - len(request(999_999_999, "gcode/script", {"script": ""}))
"""What a script may have, counted with `script_size`."""


def script_size(lines: Iterable[bytes]) -> int:
    """The bytes that these lines take in a script: each has a newline, which is two characters in JSON."""
    return sum(len(line) + line.count(b"\n") + 2 for line in lines)


def block(request: bytes) -> bytes:
    """The message for one request, whole. The caller sees to it that it fits."""
    text = request + _TAIL
    if END in request or len(text) > PIECE_BYTES - len(END):
        raise ValueError("a request is too long for one message")
    return text.ljust(PIECE_BYTES - len(END))

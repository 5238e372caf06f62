"""Numbered, checksummed lines and what to do when one is lost: Marlin's serial protocol without a port or a clock.

Marlin takes a numbered line only if its number follows the last and its checksum fits; else it says `Resend: n`, and n
is the truth about what it has: everything in front of n, once each, and nothing after. So a line may be sent again
whenever in doubt. `ok` is only a hint for pacing, and is believed for more than one line in flight only where it
carries the line's number (ADVANCED_OK). Source: marlinfw.org/docs, "G-code: M110" and "Host protocol"; ADR 5.
"""

from __future__ import annotations

from printright.units.drivers.checksum import checksum

RING_LINES = 128
"""Lines that are kept for a resend: more than fit into any window."""

OVERHEAD_BYTES = 14
"""`N1234567 ` in front of a command, `*255` and the newline behind it."""


class Wire:
    """The lines in flight. Numbers below `acked` are done, from `acked` to `sent` in flight, to `next` to send again.

    `window_bytes` is what may be in flight with numbered oks (Marlin's receive buffer); without, it is one line.
    """

    def __init__(self, *, first: int, numbered_ok: bool, window_bytes: int) -> None:
        self.acked = self.sent = self.next = first
        self.numbered_ok = numbered_ok
        self.resends = 0
        self._window = window_bytes
        self._flight = 0
        self._single_until = first
        self._ring: dict[int, bytes] = {}

    @property
    def in_flight(self) -> bool:
        return self.sent > self.acked

    def _room(self, size: int) -> bool:
        if self.sent == self.acked:
            return True
        return self.numbered_ok and self.acked >= self._single_until and self._flight + size <= self._window

    def new(self, command: bytes) -> bytes | None:
        """The frame of a new command, now in flight; None while there is no room. Only when nothing is to be resent."""
        if not self._room(len(command) + OVERHEAD_BYTES):
            return None
        number = self.next
        body = b"N%d %b" % (number, command)
        frame = b"%b*%d\n" % (body, checksum(body))
        self._ring[number] = frame
        self._ring.pop(number - RING_LINES, None)
        self.next = self.sent = number + 1
        self._flight += len(frame)
        return frame

    def again(self) -> bytes | None:
        """The next frame that has to be sent again, now in flight; None while there is no room."""
        frame = self._ring[self.sent]
        if not self._room(len(frame)):
            return None
        self.sent += 1
        self._flight += len(frame)
        self.resends += 1
        return frame

    def ok(self, number: int | None) -> None:
        """An `ok`, with the number of the line that is done where the firmware says it."""
        if number is None:
            number = -1 if self.numbered_ok else self.acked
        if self.acked <= number < self.sent:
            while self.acked <= number:
                self._flight -= len(self._ring[self.acked])
                self.acked += 1

    def back_to(self, number: int) -> bool:
        """`Resend: number`: that line and all after it are to be sent again, the first one alone.

        False where the request makes no sense: for a line not sent yet (a garbled answer), or long forgotten (the
        firmware has lost count).
        """
        if number == self.next:
            # It has all that was sent: an answer was lost, not a line.
            self.acked = self.sent = number
            self._flight = 0
            return True
        if number not in self._ring or number > self.next:
            return False
        self.acked = self.sent = number
        self._flight = 0
        self._single_until = number + 1
        return True

    def doubt(self) -> None:
        """Nothing was heard for too long: the oldest line in flight is to be sent again."""
        self.back_to(self.acked)

    def forget(self) -> None:
        """Drop the lines that are kept and done: they are somebody's secret, and the print is over."""
        for number in [number for number in self._ring if number < self.acked]:
            del self._ring[number]

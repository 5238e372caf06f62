"""The cable end of a simulated printer: a pseudo-terminal, with what a host can tell of a real serial port."""

from __future__ import annotations

import errno
import os
import select
import termios
import time
import tty
from contextlib import suppress
from math import inf
from pathlib import Path

from printright.errors import BadSettings

OUTGOING_LIMIT = 1 << 16
LOOK_S = 0.01


class Line:
    """A new terminal. `link` becomes a link to it, and is taken over from one that is gone.

    `held`: our end of the other side stays open, so that hosts come and go unnoticed; otherwise `opened` tells of them.
    `baud`: at any other speed there is only noise, 0 for a port without one. Raises BadSettings where `link` is taken.
    """

    def __init__(self, link: Path | None, baud: int, *, held: bool) -> None:
        if link is not None and link.exists() and not link.is_symlink():
            raise BadSettings(f"{link} is there already and is no link", hint="choose another name for the port")
        self.master, slave = os.openpty()
        tty.setraw(slave)
        os.set_blocking(self.master, False)
        self.name = os.ttyname(slave)
        self._slave: int | None = slave
        self._link = link
        if not held:
            os.close(slave)
            self._slave = None
        if link is not None:
            # In one step: a host may look at any moment.
            new = link.with_name(f"{link.name}.{os.getpid()}")
            new.symlink_to(self.name)
            new.replace(link)
        self._speed = getattr(termios, f"B{baud}") if baud else None
        self._outgoing = b""
        self._poll: select.poll | None = None
        self._host = held
        self._opened = self.closed = False

    def watch(self, poll: select.poll) -> None:
        """Have `poll` tell of what comes."""
        self._poll = poll
        if self._host:
            poll.register(self.master, select.POLLIN)

    def heard(self, event: int) -> bytes:
        """What came from the host; nothing where it went away."""
        data = b""
        with suppress(OSError):
            data = os.read(self.master, 4096)
        if not data and event & select.POLLHUP and self._poll is not None:
            # Without anybody at the other end, the terminal would report that all the time.
            self._poll.unregister(self.master)
            self._host = False
        return self._noise(data)

    def looks_s(self) -> float:
        """When `opened` wants to be asked next."""
        return inf if self._host else time.monotonic() + LOOK_S

    def opened(self) -> bool:
        """Whether a host has opened the port since this was asked last."""
        if self._host or self._poll is None:
            return False
        look = select.poll()
        look.register(self.master, 0)
        if any(event & select.POLLHUP for _, event in look.poll(0)):
            return False
        self._host = True
        self._poll.register(self.master, select.POLLIN)
        return True

    def say(self, data: bytes) -> None:
        self._outgoing += self._noise(data)

    def flush(self) -> None:
        """Write what the host takes."""
        if not self._outgoing or self._poll is None:
            return
        if not self._host:
            self._outgoing = b""
            return
        try:
            written = os.write(self.master, self._outgoing)
            self._outgoing = self._outgoing[written:]
        except BlockingIOError:
            # Nobody reads: a UART would not wait either.
            self._outgoing = self._outgoing[:OUTGOING_LIMIT]
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            self._outgoing = b""
        self._poll.modify(self.master, select.POLLIN | (select.POLLOUT if self._outgoing else 0))

    def _noise(self, data: bytes) -> bytes:
        """What bytes of one speed look like at another."""
        if self._speed is None or not data or termios.tcgetattr(self.master)[5] == self._speed:
            return data
        return bytes((byte * 7 + 3) & 0xFF | 0x80 for byte in data)

    def close(self) -> None:
        """Pull the cable. As udev does, its name goes with it."""
        if not self.closed:
            self.closed = True
            if self._link is not None and self._link.is_symlink() and str(self._link.readlink()) == self.name:
                self._link.unlink()
            if self._slave is not None:
                os.close(self._slave)
            os.close(self.master)

"""A serial port that belongs to this process alone."""

from __future__ import annotations

import errno
import fcntl
import os
import termios
from contextlib import suppress

import serial  # type: ignore[import-untyped]

from printright.errors import AlreadyRunning, MachineUnavailable


class Unplugged(Exception):
    """The port is gone."""


class SerialPort:
    """An open port, not blocking: `read` and `write` do what they can at once. Raises Unplugged when it is gone.

    Opening takes a lock on the port (flock, as OctoPrint, minicom and picocom do) and then has the kernel refuse it to
    programs that ask for no lock (TIOCEXCL), so that nobody can mix lines with ours; root alone still can. Raises
    AlreadyRunning or MachineUnavailable.
    """

    def __init__(self, name: str, baud: int) -> None:
        self.name, self.baud = name, baud
        try:
            self._serial = serial.Serial(name, baud, timeout=0, exclusive=True)
        except serial.SerialException as error:
            if _locked(error):
                raise AlreadyRunning(
                    f"another process uses the port {name}", hint="only one agent or host may drive a machine"
                ) from None
            raise MachineUnavailable(
                f"the port {name} cannot be opened: {os.strerror(error.errno) if error.errno else 'no such port'}",
                hint="is the machine switched on and its cable in? May this user open serial ports?",
            ) from None
        except (OSError, ValueError):
            raise MachineUnavailable(f"the port {name} cannot be set to {baud} baud") from None
        self.descriptor: int = self._serial.fileno()
        if not _is_pseudo(self.descriptor):
            claim(self.descriptor)

    def read(self) -> bytes:
        """What has arrived, at least a byte; call it when the port is readable."""
        try:
            data = os.read(self.descriptor, 4096)
        except BlockingIOError:
            return b""
        except OSError:
            raise Unplugged from None
        if not data:
            raise Unplugged
        return data

    def write(self, data: bytes) -> int:
        """How many bytes were taken."""
        try:
            return os.write(self.descriptor, data)
        except BlockingIOError:
            return 0
        except OSError:
            raise Unplugged from None

    def close(self) -> None:
        with suppress(OSError):
            self._serial.close()


def claim(descriptor: int) -> None:
    """Nobody but root opens this terminal any more, until it is closed everywhere."""
    fcntl.ioctl(descriptor, termios.TIOCEXCL)


def _is_pseudo(descriptor: int) -> bool:
    # A pseudo-terminal keeps the claim of a process that was killed for as long as its other end lives.
    return os.major(os.fstat(descriptor).st_rdev) in range(136, 144)


def _locked(error: serial.SerialException) -> bool:
    text = str(error).lower()
    return error.errno in (errno.EBUSY, errno.EWOULDBLOCK) or "lock" in text or "busy" in text

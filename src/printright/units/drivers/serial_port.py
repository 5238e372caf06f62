"""A serial port that belongs to this process alone."""

from __future__ import annotations

import errno
import os
from contextlib import suppress

import serial  # type: ignore[import-untyped]

from printright.errors import AlreadyRunning, MachineUnavailable


class Unplugged(Exception):
    """The port is gone."""


class SerialPort:
    """An open port, not blocking: `read` and `write` do what they can at once. Raises Unplugged when it is gone.

    Opening takes a lock on the port, so that a second process cannot mix its lines with ours. Raises AlreadyRunning
    or MachineUnavailable.
    """

    def __init__(self, name: str, baud: int) -> None:
        self.name = name
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


def _locked(error: serial.SerialException) -> bool:
    text = str(error).lower()
    return error.errno in (errno.EBUSY, errno.EWOULDBLOCK) or "lock" in text or "busy" in text

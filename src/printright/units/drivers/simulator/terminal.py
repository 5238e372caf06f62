"""A simulated printer on a pseudo-terminal: what a serial port with a printer on it looks like to a host."""

from __future__ import annotations

import errno
import json
import os
import select
import socket
import threading
import time
import tty
from contextlib import suppress
from math import isinf
from pathlib import Path
from random import Random

from printright.errors import BadSettings
from printright.units.drivers.simulator.faults import Faults, NoisyCable
from printright.units.drivers.simulator.firmware import Firmware, FirmwareSettings

OUTGOING_LIMIT = 1 << 16


class Simulator:
    """One printer. `port` is the terminal's name; `start` serves it in a thread, `run` in the caller's.

    Made for tests, the demo and benchmarks; Linux and other POSIX systems. Raises BadSettings where `link` is taken.
    """

    def __init__(
        self,
        settings: FirmwareSettings | None = None,
        faults: Faults | None = None,
        *,
        seed: int = 0,
        link: Path | None = None,
        status_socket: Path | None = None,
    ) -> None:
        self.firmware = Firmware(settings or FirmwareSettings(), faults)
        self._faults = faults or Faults()
        noisy = self._faults != Faults(storm=self._faults.storm)
        self.cable = NoisyCable(self._faults, seed) if noisy else None
        self._random = Random(seed + 1)  # noqa: S311
        self._link = link
        if link is not None and link.exists() and not link.is_symlink():
            raise BadSettings(f"{link} is there already and is no link", hint="choose another name for the port")
        self._master, self._slave = os.openpty()
        # Our end of the other side stays open, so that a host can come and go like on a real port.
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.port = os.ttyname(self._slave)
        if link is not None:
            with suppress(FileNotFoundError):
                link.unlink()
            link.symlink_to(self.port)
        self._wake_in, self._wake_out = os.pipe()
        self._ask: socket.socket | None = None
        if status_socket is not None:
            self._ask = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._ask.bind(str(status_socket))
            self._ask.listen(4)
        self._thread: threading.Thread | None = None
        self._stopping = self._reset = False
        self.pulled = False
        self._outgoing = b""

    def start(self) -> Simulator:
        self._thread = threading.Thread(target=self.run, name="simulated-printer", daemon=True)
        self._thread.start()
        return self

    def request_stop(self) -> None:
        """Let `run` return soon."""
        self._stopping = True
        self._wake()

    def join(self) -> None:
        """Wait until the printer is off, or its cable pulled."""
        if self._thread is not None:
            self._thread.join()

    def stop(self) -> None:
        """Switch the printer off and give the terminal back."""
        self.request_stop()
        self.join()
        self._pull()
        if self._link is not None:
            with suppress(FileNotFoundError):
                self._link.unlink()
        if self._ask is not None:
            Path(self._ask.getsockname()).unlink(missing_ok=True)
            self._ask.close()
        for descriptor in (self._wake_in, self._wake_out):
            with suppress(OSError):
                os.close(descriptor)

    def unplug(self) -> None:
        """Pull the cable."""
        self.firmware.unplugged = True
        self._wake()

    def reset(self) -> None:
        """Press the reset button."""
        self._reset = True
        self._wake()

    def __enter__(self) -> Simulator:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def report(self) -> dict[str, object]:
        """What the printer did and how it is."""
        firmware, now_s = self.firmware, time.monotonic()
        return {
            "port": self.port,
            "time_s": now_s,
            "accepted": firmware.accepted,
            "digest": firmware.digest,
            "faulty": firmware.faulty,
            "unnumbered": firmware.unnumbered,
            "overruns": firmware.overruns,
            "killed": firmware.killed,
            "nozzle_c": firmware.nozzle.now_c(now_s),
            "nozzle_target_c": firmware.nozzle.target_c,
            "bed_c": firmware.bed.now_c(now_s),
            "bed_target_c": firmware.bed.target_c,
            "fan": firmware.fan,
        }

    def run(self) -> None:
        """Serve until `stop`, or until the cable is pulled."""
        poll = select.poll()
        poll.register(self._master, select.POLLIN)
        poll.register(self._wake_in, select.POLLIN)
        if self._ask is not None:
            poll.register(self._ask, select.POLLIN)
        self._outgoing += self.firmware.boot()
        self._flush(poll)
        clock, firmware, cable = time.monotonic, self.firmware, self.cable
        while not self._stopping:
            wakes_s = firmware.wakes_s()
            timeout = None if isinf(wakes_s) else max(0.0, (wakes_s - clock()) * 1000)
            said = b""
            for descriptor, event in poll.poll(timeout):
                if descriptor == self._master:
                    if event & ~select.POLLOUT:
                        try:
                            data = os.read(self._master, 4096)
                        except OSError:
                            return
                        if cable is not None:
                            said += cable.early_ok()
                            data = self._noise(cable, data)
                        said += firmware.receive(data, clock())
                elif descriptor == self._wake_in:
                    os.read(self._wake_in, 64)
                else:
                    self._answer()
            if not isinf(wakes_s):
                said += firmware.tick(clock())
            if self._reset:
                self._reset = False
                said += firmware.boot()
            if said:
                self._outgoing += cable.to_host(said) if cable is not None else said
            if firmware.unplugged:
                self._pull()
                return
            if self._outgoing:
                self._flush(poll)

    def _noise(self, cable: NoisyCable, data: bytes) -> bytes:
        if self._random.random() < self._faults.stall:
            cable.injected += 1
            self.firmware.stall(self._faults.stall_s, time.monotonic())
        return cable.to_printer(data)

    def _flush(self, poll: select.poll) -> None:
        try:
            written = os.write(self._master, self._outgoing)
            self._outgoing = self._outgoing[written:]
        except BlockingIOError:
            # Nobody reads: a UART would not wait either.
            self._outgoing = self._outgoing[:OUTGOING_LIMIT]
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            self._outgoing = b""
        poll.modify(self._master, select.POLLIN | (select.POLLOUT if self._outgoing else 0))

    def _answer(self) -> None:
        assert self._ask is not None
        client, _ = self._ask.accept()
        with client:
            client.sendall(json.dumps(self.report()).encode() + b"\n")

    def _wake(self) -> None:
        with suppress(OSError):
            os.write(self._wake_out, b"!")

    def _pull(self) -> None:
        if not self.pulled:
            self.pulled = True
            os.close(self._slave)
            os.close(self._master)

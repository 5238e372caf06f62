"""A simulated printer on a pseudo-terminal: what a serial port with a printer on it looks like to a host."""

from __future__ import annotations

import json
import os
import select
import socket
import threading
import time
from contextlib import suppress
from math import inf, isinf
from pathlib import Path
from random import Random

from printright.units.drivers.simulator.faults import Faults, NoisyCable
from printright.units.drivers.simulator.firmware import Firmware, FirmwareSettings
from printright.units.drivers.simulator.line import Line


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
        self._settings = settings or FirmwareSettings()
        self.firmware = Firmware(self._settings, faults)
        self._faults = faults or Faults()
        noisy = self._faults != Faults(storm=self._faults.storm)
        self.cable = NoisyCable(self._faults, seed) if noisy else None
        self._random = Random(seed + 1)  # noqa: S311
        self._link = link
        self._line = Line(link, self._settings.baud, held=not self._settings.resets_on_open)
        self._wake_in, self._wake_out = os.pipe()
        self._ask: socket.socket | None = None
        if status_socket is not None:
            self._ask = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._ask.bind(str(status_socket))
            self._ask.listen(4)
        self._thread: threading.Thread | None = None
        self._stopping = self._reset = self._power_fails = False
        self._boots_s = 0.0

    @property
    def port(self) -> str:
        """The terminal's name; another one after the cable was put back."""
        return self._line.name

    @property
    def pulled(self) -> bool:
        return self._line.closed

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
        self._line.close()
        if self._ask is not None:
            Path(self._ask.getsockname()).unlink(missing_ok=True)
            self._ask.close()
        for descriptor in (self._wake_in, self._wake_out):
            with suppress(OSError):
                os.close(descriptor)

    def unplug(self) -> None:
        """Pull the cable; the machine lives on."""
        self.firmware.unplugged = True
        self._wake()

    def power_off(self) -> None:
        """Switch the machine off, or have its power fail; its port goes away."""
        self._power_fails = True
        self._wake()

    def plug(self) -> None:
        """Put the cable back, or switch the machine on, after `unplug` or `power_off`."""
        self.join()
        self._come_back()
        self.start()

    def _come_back(self) -> None:
        self._line = Line(self._link, self._settings.baud, held=not self._settings.resets_on_open)
        self.firmware.unplugged = False
        self._boots_s = time.monotonic() if self.firmware.off else inf

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
        """Serve until `stop`, or until cable or power are gone for good."""
        while self._serve() and self._faults.back_s and not self._waits(self._faults.back_s):
            self._come_back()

    def _serve(self) -> bool:
        """Serve one connection of cable and power; whether it ended by losing one of them."""
        poll = select.poll()
        poll.register(self._wake_in, select.POLLIN)
        if self._ask is not None:
            poll.register(self._ask, select.POLLIN)
        line, clock, firmware, cable = self._line, time.monotonic, self.firmware, self.cable
        line.watch(poll)
        while not self._stopping:
            wakes_s = min(firmware.wakes_s(), self._boots_s, line.looks_s())
            timeout = None if isinf(wakes_s) else max(0.0, (wakes_s - clock()) * 1000)
            said = b""
            for descriptor, event in poll.poll(timeout):
                if descriptor == line.master:
                    data = line.heard(event)
                    if data and isinf(self._boots_s):
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
            if self._reset or line.opened():
                # A boot loader hears nothing, and forgets what it is sent.
                self._boots_s = clock() + (0.0 if self._reset else self._settings.boot_s)
                self._reset = False
            if clock() >= self._boots_s:
                self._boots_s = inf
                said += firmware.boot()
            if said:
                line.say(cable.to_host(said) if cable is not None else said)
            if self._power_fails:
                self._power_fails = False
                firmware.power_off()
            if firmware.unplugged:
                line.close()
                return True
            line.flush()
        return False

    def _waits(self, seconds: float) -> bool:
        """Wait, or be stopped meanwhile."""
        poll = select.poll()
        poll.register(self._wake_in, select.POLLIN)
        until_s = time.monotonic() + seconds
        while not self._stopping and (rest_s := until_s - time.monotonic()) > 0:
            if poll.poll(rest_s * 1000):
                os.read(self._wake_in, 64)
        return self._stopping

    def _noise(self, cable: NoisyCable, data: bytes) -> bytes:
        if self._random.random() < self._faults.stall:
            cable.injected += 1
            self.firmware.stall(self._faults.stall_s, time.monotonic())
        return cable.to_printer(data)

    def _answer(self) -> None:
        assert self._ask is not None
        client, _ = self._ask.accept()
        with client:
            client.sendall(json.dumps(self.report()).encode() + b"\n")

    def _wake(self) -> None:
        with suppress(OSError):
            os.write(self._wake_out, b"!")

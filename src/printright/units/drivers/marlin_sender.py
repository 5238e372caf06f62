"""The thread that talks to one Marlin printer from connecting to closing.

A thread of its own, not a task of the event loop: a printer whose buffer runs empty leaves a blob on the part, so
sending must not wait for what else the agent does. It writes what the window takes, checks the next lines of the file
while the printer works on those, then reads the answers.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress

from printright.errors import GcodeRefused, MachineUnavailable
from printright.units.driver import DriverState, MachineStatus, PrintEnd
from printright.units.drivers.marlin_job import Job, Stage
from printright.units.drivers.marlin_orders import BARRIER, HALT, HEATERS_OFF, REPORT, Patience, cool_and_leave
from printright.units.drivers.marlin_parking import Pause, Position, position
from printright.units.drivers.marlin_reply import POSITION, fatal, ok_number, resend_number, signs_of_life, temperatures
from printright.units.drivers.marlin_wire import Wire
from printright.units.drivers.serial_port import SerialPort, Unplugged
from printright.units.guard import PREAMBLE

HALT_S = 0.25
PROGRESS_S = 0.1
WATCH_S = 0.05
MAX_SAME_RESENDS = 100
AFTER = {PrintEnd.HALTED: DriverState.HALTED, PrintEnd.KILLED: DriverState.HALTED}
AFTER |= {PrintEnd.LOST: DriverState.ERROR, PrintEnd.SILENT: DriverState.ERROR}


class MarlinSender:
    """Owns an open port with a firmware that has just been greeted. `start` begins the thread."""

    def __init__(
        self, port: SerialPort, wire: Wire, patience: Patience, *, first: tuple[bytes, ...], halts_at_once: bool
    ) -> None:
        self._port, self._wire, self._patience = port, wire, patience
        self._poll_temperature, self._halts_at_once = REPORT not in first, halts_at_once
        self._commands: deque[bytes] = deque(first)
        self._calls: deque[tuple[Callable[[], None], Future[None]]] = deque()
        self._wake_in, self._wake_out = os.pipe()
        os.set_blocking(self._wake_in, False)
        self._write_lock = threading.Lock()
        self._outgoing = b""
        self._rest = b""
        self._job: Job | None = None
        self._barrier = 0
        self._position_seen = False
        self._cooled: Future[None] | None = None
        self._pause: Pause | None = None
        self._position: Position | None = None
        self._recovering_until_s: float | None = None
        self._same_resend, self._nonsense = (0, 0), 0
        self._closing = self.halted = False
        self._temperatures: dict[str, tuple[float, float]] = {}
        self.state = DriverState.IDLE
        now_s = time.monotonic()
        self._sign_s = self._asked_s = self._told_s = self._watch_s = self._doubted_s = now_s
        self._doubts = 0
        self._stop_by_s = 0.0
        self.alive = True
        self._thread = threading.Thread(target=self._run, name="marlin", daemon=True)

    # For other threads ------------------------------------------------------------------------------------------

    def start(self) -> None:
        self._thread.start()

    def call(self, action: Callable[[], None]) -> Future[None]:
        """Do something in the sender's thread, between two lines. Fails with MachineUnavailable when it has ended."""
        future: Future[None] = Future()
        self._calls.append((action, future))
        self.wake()
        if not self.alive:
            self._refuse_calls()
        return future

    def wake(self) -> None:
        with suppress(OSError):
            os.write(self._wake_out, b"!")

    def halt(self) -> None:
        """Emergency stop, in front of everything that waits. From any thread."""
        self.halted = True
        with self._write_lock:
            self._outgoing, data, until_s = b"", HALT, time.monotonic() + HALT_S
            with suppress(Unplugged):
                while data and time.monotonic() < until_s:
                    data = data[self._port.write(data) :]
        self.wake()

    def close(self) -> None:
        """End the thread and close the port."""
        self._closing = True
        self.wake()
        if self._thread.is_alive():
            self._thread.join()

    def status(self) -> MachineStatus:
        nozzle, bed = self._temperatures.get("T", (0.0, 0.0)), self._temperatures.get("B", (0.0, 0.0))
        job = self._job
        return MachineStatus(
            state=self.state,
            nozzle_c=nozzle[0],
            nozzle_target_c=nozzle[1],
            bed_c=bed[0],
            bed_target_c=bed[1],
            lines_sent=job.lines_sent if job else 0,
            bytes_sent=job.bytes_used if job else 0,
            resends=self._wire.resends,
            halts_at_once=self._halts_at_once,
        )

    # Called through `call` --------------------------------------------------------------------------------------

    def begin(self, job: Job) -> None:
        self._job = job
        self._wire.resends = 0
        self._commands.extend(PREAMBLE)
        self.state = DriverState.PRINTING
        self._sign_s = time.monotonic()

    def cool_down(self, cooled: Future[None]) -> None:
        """Between prints: heaters and fan off. `cooled` is done when the firmware has taken that."""
        self._cooled = cooled
        self._commands.extend((*HEATERS_OFF, BARRIER[-1]))

    def pause(self, paused: bool) -> None:
        job = self._job
        if job is None or job.stage is not Stage.SENDING or job.paused is paused:
            return
        job.paused = paused
        self.state = DriverState.PAUSED if paused else DriverState.PRINTING
        if paused and job.parking is not None:
            # The machine says where it is when it has done what it has.
            self._pause = Pause(job.parking, job.modes, job.height_mm)
            self._commands.extend(BARRIER)
        elif not paused and self._pause is not None:
            if not self._pause.parked:
                self._barrier = 0
                self._commands = deque(command for command in self._commands if command not in BARRIER)
            self._commands.extend(self._pause.back())
            self._pause = None

    def stop_job(self, end: PrintEnd, reason: str, error: BaseException | None = None) -> None:
        """End the print: nothing more of the file, heaters off, head up and away."""
        job = self._job
        if job is None or job.stage in (Stage.STOPPING, Stage.ENDED):
            return
        # A parked head is up already.
        parked, self._pause = self._pause is not None and self._pause.parked, None
        lift_mm = job.lift_mm()
        job.stop(end, reason, error)
        self._barrier = 0
        self._commands.clear()
        self._commands.extend(cool_and_leave(0.0 if parked else lift_mm))
        self._stop_by_s = time.monotonic() + self._patience.stop_s
        self._write(b"M108\n")

    # The thread -------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        end, reason = PrintEnd.UNPLUGGED, "the connection was closed"
        try:
            end, reason = self._serve()
        except Unplugged:
            end, reason = PrintEnd.UNPLUGGED, "the machine was unplugged or switched off"
        finally:
            if self.halted:
                end, reason = PrintEnd.HALTED, "an emergency stop was ordered"
            self._bury(end, reason)

    def _bury(self, end: PrintEnd, reason: str) -> None:
        if end in (PrintEnd.SILENT, PrintEnd.LOST):
            with suppress(Unplugged):
                self._port.write(b"\n" + b"\n".join(HEATERS_OFF) + b"\n")
        self._wire.forget()
        self._commands.clear()
        self.state = AFTER.get(end, DriverState.OFFLINE)
        self.alive = False
        self._port.close()
        if self._job is not None and self._job.stage is not Stage.ENDED:
            if self._job.end is PrintEnd.COMPLETED or end is PrintEnd.HALTED:
                self._job.end, self._job.reason = end, reason
            self._job.finish(self._wire.resends)
        self._refuse_calls()

    def _refuse_calls(self) -> None:
        cooled, self._cooled = self._cooled, None
        if cooled is not None:
            cooled.set_exception(MachineUnavailable("the machine went away before its heaters were off"))
        while self._calls:
            _, future = self._calls.popleft()
            future.set_exception(MachineUnavailable("the machine is not connected any more"))

    def _serve(self) -> tuple[PrintEnd, str]:
        poll = select.poll()
        poll.register(self._port.descriptor, select.POLLIN)
        poll.register(self._wake_in, select.POLLIN)
        while not self._closing and not self.halted:
            self._pump()
            for descriptor, _ in poll.poll(self._prepare_and_wait_s() * 1000):
                if descriptor == self._wake_in:
                    with suppress(BlockingIOError):
                        os.read(self._wake_in, 256)
                    continue
                ended = self._hear(self._port.read())
                if ended is not None:
                    return ended
            while self._calls:
                action, future = self._calls.popleft()
                action()
                future.set_result(None)
            now_s = time.monotonic()
            if now_s >= self._watch_s:
                self._watch_s = now_s + WATCH_S
                ended = self._watch(now_s)
                if ended is not None:
                    return ended
        return PrintEnd.UNPLUGGED, "the connection was closed"

    def _prepare_and_wait_s(self) -> float:
        """Check some lines of the file while the machine works; then how long to wait for its answer."""
        job = self._job
        if job is not None and job.hungry:
            try:
                job.prepare()
            except GcodeRefused as refused:
                self.stop_job(PrintEnd.CANCELED, "the file was refused", refused)
                return 0.0
            if job.hungry:
                return 0.0
        if self._outgoing:
            return 0.002
        if self._recovering_until_s is not None:
            return max(0.0, self._recovering_until_s - time.monotonic())
        if not self._wire.in_flight and (self._commands or (job is not None and job.flows)):
            return 0.0
        return WATCH_S

    def _pump(self) -> None:
        """Write what the window takes: first what is to be sent again, then our own commands, then the file."""
        if self._outgoing:
            self._write(b"")
            return
        if self._recovering_until_s is not None:
            if time.monotonic() < self._recovering_until_s:
                return
            self._recovering_until_s = None
        wire, job, batch = self._wire, self._job, []
        if job is not None and job.flows and job.all_sent:
            job.stage = Stage.FINISHING
            self._commands.extend(BARRIER)
        while True:
            if wire.sent < wire.next:
                frame = wire.again()
            elif self._commands:
                frame = wire.new(self._commands[0])
                if frame is not None and self._commands.popleft() == BARRIER[-1]:
                    self._barrier, self._position_seen = wire.sent - 1, False
            elif job is not None and job.ready and job.flows:
                frame = wire.new(job.ready[0])
                if frame is not None:
                    line = job.ready.popleft()
                    job.lines_sent += 1
                    if job.parking is not None:
                        job.modes.note(line)
            else:
                break
            if frame is None:
                break
            batch.append(frame)
        if batch:
            self._write(b"".join(batch))
            if job is not None and job.on_first_line is not None and job.lines_sent:
                job.on_first_line()
                job.on_first_line = None

    def _write(self, data: bytes) -> None:
        with self._write_lock:
            if not self.halted:
                self._outgoing += data
                self._outgoing = self._outgoing[self._port.write(self._outgoing) :]

    # What the machine says --------------------------------------------------------------------------------------

    def _hear(self, data: bytes) -> tuple[PrintEnd, str] | None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._rest = self._rest[-1024:]
        wire, acked = self._wire, self._wire.acked
        for line in lines:
            if line.startswith(b"ok"):
                if self._recovering_until_s is None:
                    wire.ok(ok_number(line))
                self._sign_s = time.monotonic()
                if b"T:" in line:
                    self._temperatures.update(temperatures(line))
            else:
                ended = self._hear_more(line)
                if ended is not None:
                    return ended
        if wire.acked != acked:
            self._doubts = self._nonsense = 0
            if wire.acked > self._same_resend[0]:
                self._same_resend = (0, 0)
            if self._barrier and wire.acked > self._barrier:
                self._at_barrier()
        if self._recovering_until_s is not None:
            self._recovering_until_s = time.monotonic() + self._patience.settle_s
        return None

    def _hear_more(self, line: bytes) -> tuple[PrintEnd, str] | None:
        ended = fatal(line)
        if ended is not None:
            return ended
        number = resend_number(line)
        if number is not None:
            return self._resend(number)
        if signs_of_life(line):
            self._sign_s, self._doubts = time.monotonic(), 0
        if b"T:" in line:
            self._temperatures.update(temperatures(line))
        elif self._barrier and POSITION(line):
            self._position_seen, self._position = True, position(line)
        return None

    def _resend(self, number: int) -> tuple[PrintEnd, str] | None:
        self._sign_s = time.monotonic()
        if not self._wire.back_to(number):
            # Once, it is a garbled answer, and the stalled line is sent again soon. Again and again, it has lost count.
            self._nonsense += 1
            return (PrintEnd.LOST, "the machine has lost count of the lines") if self._nonsense >= 5 else None
        # All that is on its way is heard out before anything is sent: see ADR 5.
        self._recovering_until_s = self._sign_s + self._patience.settle_s
        line, times = self._same_resend
        self._same_resend = (number, times + 1 if number == line else 1)
        if self._same_resend[1] > MAX_SAME_RESENDS:
            return PrintEnd.LOST, "the connection to the machine is too noisy"
        return None

    def _at_barrier(self) -> None:
        self._barrier = 0
        job = self._job
        ends = job is not None and job.stage in (Stage.FINISHING, Stage.STOPPING)
        parks = self._pause is not None and not self._pause.parked
        if (ends or parks or self._cooled is not None) and not self._position_seen:
            self._commands.append(BARRIER[-1])
            return
        if self._cooled is not None:
            self._cooled.set_result(None)
            self._cooled = None
        if self._pause is not None and parks and self._position is not None:
            self._commands.extend(self._pause.leave(self._position))
        if job is None or not ends:
            return
        self._end_job(job)

    def _end_job(self, job: Job) -> None:
        self._wire.forget()
        self.state = DriverState.IDLE
        if job.on_progress is not None:
            job.on_progress(job.progress())
        job.finish(self._wire.resends)

    # What time brings -------------------------------------------------------------------------------------------

    def _watch(self, now_s: float) -> tuple[PrintEnd, str] | None:
        job, patience = self._job, self._patience
        if self._wire.in_flight and self._recovering_until_s is None:
            if now_s - self._sign_s > patience.silence_s:
                return PrintEnd.SILENT, "the machine does not answer any more"
            stall_s = min(60.0, patience.stall_s * 2**self._doubts)
            if now_s - max(self._sign_s, self._doubted_s) > stall_s:
                # The newline ends a line whose own was lost on the way.
                self._doubts, self._doubted_s = min(self._doubts + 1, 20), now_s
                self._wire.doubt()
                self._write(b"\n")
        elif not self._wire.in_flight:
            self._sign_s = now_s
        if self._poll_temperature and now_s - self._asked_s > patience.poll_temperature_s and not self._commands:
            self._asked_s = now_s
            self._commands.append(b"M105")
        if job is None or job.stage is Stage.ENDED:
            return None
        if job.stage is Stage.STOPPING and now_s > self._stop_by_s:
            job.reason += "; the machine has not confirmed that its heaters are off"
            self._end_job(job)
        elif job.on_progress is not None and now_s - self._told_s > PROGRESS_S:
            self._told_s = now_s
            job.on_progress(job.progress())
        return None

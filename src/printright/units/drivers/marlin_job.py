"""One print on its way through the sender: chunks in, checked commands out, an outcome at the end."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from enum import Enum

from printright.units.driver import PrintEnd, PrintOutcome, Progress
from printright.units.drivers.marlin_parking import Modes, Parking
from printright.units.guard import Guard

SLICE_BYTES = 1536
AHEAD_LINES = 64
LIFT_MM = 10.0


class Stage(Enum):
    """A print sends its file, then either waits for the machine to be done, or has it cool down."""

    SENDING = "sending"
    FINISHING = "finishing"
    STOPPING = "stopping"
    ENDED = "ended"


class Job:
    """Owned by the sender's thread, except `put`, `end_of_file` and `done`, which another thread may use.

    `on_chunk_used` is called in the sender's thread whenever there is room for another chunk.
    """

    def __init__(
        self,
        guard: Guard,
        *,
        total_bytes: int | None,
        on_progress: Callable[[Progress], None] | None,
        on_first_line: Callable[[], None] | None,
        on_chunk_used: Callable[[], None],
        parking: Parking | None = None,
    ) -> None:
        self.stage = Stage.SENDING
        self.paused = False
        self.ready: deque[bytes] = deque()
        self.lines_sent = self.bytes_used = 0
        self.error: BaseException | None = None
        self.end, self.reason = PrintEnd.COMPLETED, ""
        self.done: Future[PrintOutcome] = Future()
        self.on_progress, self.on_first_line = on_progress, on_first_line
        self.started_s = time.monotonic()
        self.parking, self.modes = parking, Modes()
        self.height_mm = guard.profile.build_volume_mm[2]
        self._guard = guard
        self._total = total_bytes
        self._on_chunk_used = on_chunk_used
        self._chunks: deque[bytes | None] = deque()
        self._chunk, self._offset = b"", 0
        self._file_ended = False

    def put(self, chunk: bytes) -> None:
        """Plaintext to be printed after what was put before."""
        self._chunks.append(chunk)

    def end_of_file(self) -> None:
        self._chunks.append(None)

    @property
    def all_sent(self) -> bool:
        return self._file_ended and not self.ready

    @property
    def flows(self) -> bool:
        """Whether there is a line to send, or that was the last and the print is to be finished."""
        return self.stage is Stage.SENDING and not self.paused and (bool(self.ready) or self._file_ended)

    @property
    def hungry(self) -> bool:
        """Whether there is something that `prepare` could work on, and room for it."""
        return (
            self.stage is Stage.SENDING
            and len(self.ready) < AHEAD_LINES
            and (self._offset < len(self._chunk) or bool(self._chunks))
        )

    def prepare(self) -> None:
        """Check the next lines of the file, about fifty. Raises GcodeRefused.

        The sender calls this while the machine is at work on what it has, so that checking costs no time on the wire.
        """
        if self._offset >= len(self._chunk):
            chunk = self._chunks.popleft()
            if chunk is None:
                self._file_ended = True
                self.ready.extend(self._guard.finish())
                return
            self._chunk, self._offset = chunk, 0
            self._on_chunk_used()
        piece = self._chunk[self._offset : self._offset + SLICE_BYTES]
        self._offset += len(piece)
        self.bytes_used += len(piece)
        self.ready.extend(self._guard.feed(piece))

    def lift_mm(self) -> float:
        """How far the head can go up from the highest place that it may have reached."""
        z = self._guard.positions.xyz[2]
        return LIFT_MM / 2 if z is None else max(0.0, min(LIFT_MM, self._guard.profile.build_volume_mm[2] - z))

    def stop(self, end: PrintEnd, reason: str, error: BaseException | None = None) -> None:
        """No further line of the file; what is left of it is forgotten."""
        if self.stage in (Stage.SENDING, Stage.FINISHING):
            self.stage = Stage.STOPPING
            self.end, self.reason, self.error = end, reason, error
        self.forget()

    def forget(self) -> None:
        self.ready.clear()
        self._chunks.clear()
        self._chunk, self._offset = b"", 0
        self._guard.start()

    def finish(self, resends: int) -> None:
        """The outcome, once."""
        self.stage = Stage.ENDED
        self.forget()
        if self.done.done():
            return
        self.done.set_result(
            PrintOutcome(
                completed=self.end is PrintEnd.COMPLETED,
                lines_sent=self.lines_sent,
                reason=self.reason,
                duration_s=time.monotonic() - self.started_s,
                end=self.end,
                bytes_sent=self.bytes_used,
                resends=resends,
            )
        )

    def progress(self) -> Progress:
        duration_s = time.monotonic() - self.started_s
        fraction = min(1.0, self.bytes_used / self._total) if self._total else 0.0
        eta_s = duration_s * (1 - fraction) / fraction if fraction > 0.005 else None
        return Progress(self.lines_sent, self.bytes_used, fraction, eta_s, duration_s)

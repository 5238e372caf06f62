"""The port of a machine: what an agent needs from a printer, whichever kind it is.

A driver gets plaintext in chunks, checks it, sends it and forgets it: nothing of it goes to disk, log or message.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, Callable
from dataclasses import dataclass
from enum import Enum, StrEnum


class DriverState(Enum):
    """What the machine is doing. HALTED is after an emergency stop or a kill: only a reset at the machine ends it."""

    OFFLINE = "offline"
    IDLE = "idle"
    PRINTING = "printing"
    PAUSED = "paused"
    HALTED = "halted"
    ERROR = "error"


class PrintEnd(StrEnum):
    """Why a print ended."""

    COMPLETED = "completed"
    CANCELED = "canceled"
    HALTED = "halted"
    UNPLUGGED = "unplugged"
    RESET = "reset"
    KILLED = "killed"
    SILENT = "silent"
    LOST = "lost"


@dataclass(frozen=True)
class MachineStatus:
    """The machine now; temperatures in degrees Celsius as last reported, counters of the running or last print."""

    state: DriverState
    nozzle_c: float = 0.0
    nozzle_target_c: float = 0.0
    bed_c: float = 0.0
    bed_target_c: float = 0.0
    lines_sent: int = 0
    bytes_sent: int = 0
    resends: int = 0
    halts_at_once: bool | None = None
    """Whether an emergency stop acts in the middle of a command, or waits for it; None where nobody knows."""


@dataclass(frozen=True)
class Capabilities:
    """What the machine can do. `firmware` is its own name for itself; bounds are those of the unit's profile."""

    firmware: str
    build_volume_mm: tuple[float, float, float]
    nozzle_max_c: float
    bed_max_c: float
    nozzle_diameter_mm: float | None = None
    numbered_ok: bool = False
    emergency_parser: bool = False
    reports_temperatures: bool = False


@dataclass(frozen=True)
class Progress:
    """How far a print is: `fraction` 0 to 1 of the file, `eta_s` seconds to go or None while unknown."""

    lines_sent: int
    bytes_sent: int
    fraction: float
    eta_s: float | None
    duration_s: float


@dataclass(frozen=True)
class PrintOutcome:
    """How a print ended. `reason` is a sentence for the operator, empty where `completed`.

    `lines_sent` counts the lines of the file that were written to the machine, each once.
    """

    completed: bool
    lines_sent: int
    reason: str
    duration_s: float
    end: PrintEnd
    bytes_sent: int = 0
    resends: int = 0


class Driver(ABC):
    """One machine. All methods are called from one event loop; `status` answers at once from what is known."""

    @property
    def traces(self) -> str:
        """What the machine may keep of a file, in the word of the unit's settings; empty where it keeps nothing."""
        return ""

    @abstractmethod
    async def connect(self) -> Capabilities:
        """Take the machine for this process. Raises MachineUnavailable (it does not answer) or AlreadyRunning."""

    async def tend(self, *, ours: bool) -> bool:
        """Between prints: connect where there is no connection.

        `ours`: the machine was left in the middle of a print of ours, so that its heaters may still be on, and are to
        be switched off; the answer is whether the machine has confirmed that. Without it nothing that the machine may
        be doing is touched. Raises MachineUnavailable, AlreadyRunning. A driver whose host looks after a machine that
        it lost need not do more than this.
        """
        del ours
        if self.status().state is DriverState.OFFLINE:
            await self.connect()
        return False

    @abstractmethod
    async def print(
        self,
        chunks: AsyncIterable[bytes],
        *,
        total_bytes: int | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        first_line: Callable[[], None] | None = None,
    ) -> PrintOutcome:
        """Print plaintext that comes in chunks with any boundaries; returns when the machine has done all of it.

        `total_bytes` is the size of the plaintext, for progress. `first_line` is called once, when the first line is
        on the wire. A machine that fails or is stopped in the middle ends in an outcome that is not `completed`.
        Raises GcodeRefused for a line that the machine must not get, and what `chunks` raises, after heaters were
        switched off; MachineUnavailable where it does not answer before the first line; Misuse while printing.
        """

    @abstractmethod
    async def pause(self) -> None:
        """Send no further line until `resume`; what the machine has, it finishes. Nothing to do when not printing."""

    @abstractmethod
    async def resume(self) -> None:
        """Go on after `pause`."""

    @abstractmethod
    async def cancel(self) -> None:
        """End the print: no further line of the file, heaters and fan off, head away from the part."""

    @abstractmethod
    async def halt(self) -> None:
        """Emergency: stop at once, in front of everything else. The machine needs a reset afterwards."""

    @abstractmethod
    def status(self) -> MachineStatus:
        """The machine as last heard of."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of the machine. A print that runs is canceled first."""

"""What Klipper keeps of a file that it prints, and whether the machine's owner accepts it.

When Klipper shuts down on a fault (an emergency stop too), it writes into its log what it sent to the steppers last:
not the lines of the file, but the last moves that came of them. Nothing that a client sends can prevent that; only a
Klipper without a log does.
"""

from __future__ import annotations

import socket
from enum import StrEnum
from pathlib import Path
from typing import Any

from printright.errors import BadSettings


class Traces(StrEnum):
    """What the owner accepts: nothing, or the last moves of a print in klippy.log after a shutdown."""

    NONE = "none"
    MOVES = "moves-in-klippy-log"


def check_traces(info: dict[str, Any], accepted: Traces, proc: Path = Path("/proc")) -> None:
    """Raises BadSettings where Klipper, by its answer to `info`, keeps more than is accepted.

    1. the owner accepts it  2. Klipper has no log file  3. what it says goes nowhere, seen from this machine itself.
    """
    # 1
    if accepted is Traces.MOVES:
        return
    # 2
    if info.get("log_file") is None and _mute(info, proc):
        return
    raise BadSettings(
        "Klipper writes the last moves of a print into its log when it shuts down on a fault",
        hint=f'run Klipper without a log, or accept that with `traces = "{Traces.MOVES}"` in [unit.moonraker]',
    )


def _mute(info: dict[str, Any], proc: Path) -> bool:
    # 3
    process = info.get("process_id")
    if not isinstance(process, int) or info.get("hostname") != socket.gethostname():
        return False
    folder = proc / str(process)
    try:
        program = (folder / "cmdline").read_bytes()
        outputs = {(folder / "fd" / number).readlink() for number in ("1", "2")}
    except OSError:
        return False
    return (b"klippy" in program or b"kalico" in program) and outputs == {Path("/dev/null")}

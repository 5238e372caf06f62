"""Which Klipper may print: the decision, on processes of this machine."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from printright.errors import BadSettings
from printright.units.drivers.moonraker.traces import Traces, check_traces


def info(process: int, **changes: Any) -> dict[str, Any]:
    return {"log_file": None, "process_id": process, "hostname": socket.gethostname()} | changes


def named(process: subprocess.Popen[bytes]) -> None:
    """Until the system shows the program's name."""
    while not Path(f"/proc/{process.pid}/cmdline").read_bytes():
        pass


@pytest.fixture
def mute() -> Iterator[subprocess.Popen[bytes]]:
    """A process that looks like a Klipper that says nothing to anybody."""
    code = "import sys; sys.stdin.read()"
    options = {"stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([sys.executable, "-c", code, "klippy.py"], **options) as process:  # type: ignore[call-overload]
        named(process)
        yield process
        process.communicate()


def test_a_klipper_without_a_log_and_without_a_voice_may_print(mute: subprocess.Popen[bytes]) -> None:
    check_traces(info(mute.pid), Traces.NONE)


@pytest.mark.parametrize(
    "changes",
    [{"log_file": "/tmp/klippy.log"}, {"hostname": "elsewhere"}, {"process_id": None}, {"process_id": os.getpid()}],
    ids=["log", "another computer", "no process", "another program"],
)
def test_whatever_may_keep_something_is_refused(mute: subprocess.Popen[bytes], changes: dict[str, Any]) -> None:
    # Red without: in `check_traces`, step 2; in `_mute`, the host name, the process, the program's name.
    with pytest.raises(BadSettings, match="moves-in-klippy-log"):
        check_traces(info(mute.pid, **changes), Traces.NONE)
    check_traces(info(mute.pid, **changes), Traces.MOVES)


def test_what_goes_anywhere_is_refused(tmp_path: Path) -> None:
    # Red without: in `_mute`, the look at the outputs; and where what cannot be seen would pass.
    code = "import sys; sys.stdin.read()"
    with (tmp_path / "out").open("wb") as out:
        command = [sys.executable, "-c", code, "klippy.py"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=out) as process:
            named(process)
            with pytest.raises(BadSettings):
                check_traces(info(process.pid), Traces.NONE)
            process.communicate()
    with pytest.raises(BadSettings):
        check_traces(info(os.getpid()), Traces.NONE, proc=tmp_path)

"""The simulator as a program of its own, as the demo and the benchmarks use it."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
from math import inf
from pathlib import Path

import pytest
from machine_scene import PROFILE, chunks, commands_of, part

from printright.errors import BadSettings
from printright.units.drivers.marlin import MarlinDriver
from printright.units.drivers.simulator import Simulator, serve_simulator, transcript_digest
from printright.units.guard import Guard


async def print_part(port: str, file: bytes) -> None:
    driver = MarlinDriver(port, guard=Guard(PROFILE))
    assert (await driver.print(chunks(file))).completed
    await driver.close()


async def test_a_printer_in_a_process_of_its_own(tmp_path: Path) -> None:
    link, status, file = tmp_path / "printer", tmp_path / "status", part(300)
    options = ["--link", str(link), "--status-socket", str(status)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "printright.units.drivers.simulator", *options, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    port = (await process.stdout.readline()).decode().strip()
    assert str(link.readlink()) == port
    await print_part(str(link), file)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(status))
        report = json.loads(client.makefile().readline())
    assert report["digest"] == transcript_digest(commands_of(file))
    assert (report["faulty"], report["overruns"], report["nozzle_target_c"]) == (0, 0, 0)
    process.send_signal(signal.SIGTERM)
    rest, _ = await process.communicate()
    assert process.returncode == 0
    assert json.loads(rest)["accepted"] == report["accepted"]
    assert not link.is_symlink()
    assert not status.exists()


async def test_serving_until_canceled(tmp_path: Path) -> None:
    link = tmp_path / "printer"
    ready: asyncio.Queue[str] = asyncio.Queue()
    serving = asyncio.create_task(serve_simulator(link=link, time_scale=inf, ready=ready.put_nowait))
    await ready.get()
    await print_part(str(link), part(50))
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert not link.is_symlink()


async def test_a_file_is_not_overwritten_by_a_link(tmp_path: Path) -> None:
    path = tmp_path / "thesis.txt"
    path.write_text("years of work")
    with pytest.raises(BadSettings):
        Simulator(link=path)
    assert path.read_text() == "years of work"

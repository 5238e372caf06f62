"""No line of a licensed file can be had from OctoPrint: not from its disk, its logs, its pages, or its API.

The file has a canary in it, a move that nothing else looks like. Red when `comm._log` is not made quiet (tamed.py), for
terminal and serial.log; when the net over the log handlers is not spread, for the virtual printer's log; and when the
lines go through any file.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from e2e.octoprint.conftest import PROFILE, chunks, gcode
from e2e.octoprint.octoprint_server import Client, OctoPrint
from e2e.octoprint.test_octoprint_prints import slow
from e2e.units.machine_scene import until
from printright.errors import MachineUnavailable
from printright.units.drivers.octoprint import OctoPrintDriver
from printright.units.guard import Guard

pytestmark = pytest.mark.needs("octoprint")

CANARY = "G1 X123.321 Y45.654 E1.98765 F1234"
PARTS = (b"X123.321", b"Y45.654", b"E1.98765")
DOWNLOADS = ("timelapse", "files/local", "files/sdcard", "logs", "camera/current")
VALUES = {
    "origin": ["local", "sdcard"], "target": ["local", "sdcard"], "identifier": ["printright"], "username": ["admin"],
    "plugin": ["printright", "gcodeviewer", "logging", "backup"], "plugin_id": ["printright", "backup"],
}  # fmt: skip


def found(data: bytes) -> bool:
    return any(part in data for part in PARTS)


def files(base: Path) -> Iterator[Path]:
    for folder in (base, Path("/dev/shm")):
        for path in folder.rglob("*"):
            if path.is_file() and not path.is_symlink():
                yield path


def on_disk(octoprint: OctoPrint) -> list[str]:
    """Where the canary is: in OctoPrint's folder, in what its process has open, in new files of the temp folder."""
    places = []
    for path in files(octoprint.base):
        try:
            if found(path.read_bytes()):
                places.append(str(path))
        except OSError:
            continue
    assert octoprint.process is not None
    for link in Path(f"/proc/{octoprint.process.pid}/fd").iterdir():
        try:
            target = str(link.readlink())
            if target.startswith(("/dev/pts", "socket:", "pipe:", "anon_inode:", "/dev/null", "/dev/ptmx")):
                continue
            if found(link.read_bytes()):
                places.append(target)
        except OSError:
            continue
    return places


def through_routes(octoprint: OctoPrint, admin: Client, names: list[str]) -> tuple[list[str], int]:
    """Every GET route of the server, as an admin, with every file name that could be meant."""
    rules = json.loads((octoprint.base / "data" / "show_routes" / "routes.json").read_text())
    paths = [f"/downloads/{place}/{name}" for place in DOWNLOADS for name in names]
    for rule, methods in rules:
        if "GET" in methods and not re.search(r"logout|/shutdown|/static/", rule):
            paths += filled(rule, names)
    bad = [path for path in dict.fromkeys(paths) if found(admin.get(path.replace(" ", "%20")).raw)]
    return bad, len(set(paths))


def filled(rule: str, names: list[str]) -> list[str]:
    made = [rule]
    for argument, name in re.findall(r"(<(?:[^:<>]+:)?([^<>]+)>)", rule):
        values = VALUES.get(name, names[:2])
        made = [path.replace(argument, value) for path in made for value in values]
    return made


class Pushed:
    """What OctoPrint pushes to a browser of an admin, all of it."""

    def __init__(self) -> None:
        self.text = b""

    async def listen(self, octoprint: OctoPrint, session: str) -> None:
        url = f"http://127.0.0.1:{octoprint.port}/sockjs/000/{session}/websocket"
        async with aiohttp.ClientSession() as client, client.ws_connect(url, max_msg_size=0) as socket:
            await socket.send_str(json.dumps([json.dumps({"auth": f"admin:{session}"})]))
            async for message in socket:
                self.text += str(message.data).encode()


async def test_nothing_of_a_licensed_file_can_be_had(bench: Callable[..., Any]) -> None:
    file, gate, pushed = gcode(600, canary=CANARY), asyncio.Event(), Pushed()
    file = file.replace(CANARY.encode(), b"\n".join([CANARY.encode()] * 3))
    async with bench() as b:
        admin = b.octoprint.client("admin")
        login = admin.post("/api/login", {"passive": True}).data
        listening = asyncio.create_task(pushed.listen(b.octoprint, login["session"]))
        await until(lambda: b"current" in pushed.text or listening.done())

        async def first_half() -> AsyncIterator[bytes]:
            at = file.rindex(CANARY.encode()) + len(CANARY) + 40
            yield file[:at]
            await gate.wait()
            yield file[at:]

        printing = asyncio.create_task(b.driver.print(first_half(), total_bytes=len(file)))
        await until(lambda: CANARY.encode() in b.printer.firmware.transcript or printing.done())
        assert not printing.done()
        # During the print, with the canary sent and the rest still waiting.
        assert on_disk(b.octoprint) == []
        names = ["licensed job", "licensed_job", "licensed job.gcode", "serial.log", "octoprint.log"]
        bad, asked = await asyncio.to_thread(through_routes, b.octoprint, admin, names)
        assert bad == []
        assert asked > 80
        gate.set()
        outcome = await printing
        assert outcome.completed, outcome
        # After it.
        await until(lambda: b"PrintDone" in pushed.text)
        assert on_disk(b.octoprint) == []
        bad, _ = await asyncio.to_thread(through_routes, b.octoprint, admin, names)
        assert bad == []
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        assert b"Send: N" in pushed.text, "the terminal was not listened to"
        assert b"(licensed line)" in pushed.text
        assert not found(pushed.text)
        serial_log = (b.octoprint.base / "logs" / "serial.log").read_bytes()
        assert b"(licensed line)" in serial_log, "serial logging was off"
        listed = b.octoprint.api("GET", "files?recursive=true").raw
        assert b"licensed" not in listed
        # The log is open again for what is not licensed.
        b.octoprint.api("POST", "printer/command", {"command": "M117 open again"})
        await until(lambda: b"M117 open again" in (b.octoprint.base / "logs" / "serial.log").read_bytes())


async def test_commands_that_would_record_the_file_are_held_back(bench: Callable[..., Any]) -> None:
    """Red without the allow-list in printing.py: M28 has the printer write all that follows to its SD card."""
    file, gate = gcode(200), asyncio.Event()
    async with bench() as b:
        printing = asyncio.create_task(b.driver.print(slow(file, gate), total_bytes=len(file)))
        await until(lambda: len(b.moves) > 20)
        for command in ("M28 steal.gco", "M928 log.txt", "M111 S247", "M106 S12"):
            assert b.octoprint.api("POST", "printer/command", {"command": command}).status == 204
        await until(lambda: b"M106 S12" in b.printer.firmware.transcript)
        gate.set()
        assert (await printing).completed
        words = {line.split(b" ")[0] for line in b.printer.firmware.transcript}
        assert not words & {b"M28", b"M928", b"M111"}
        # What was begun before is ended before the first line.
        lines = list(b.printer.firmware.transcript)
        assert lines.index(b"M29") < lines.index(b"M104 S200")


async def test_lines_that_the_printer_repeats_are_hidden(bench: Callable[..., Any]) -> None:
    """A firmware that echoes what it gets, as Marlin does after M111."""
    file = gcode(200, canary=CANARY)
    async with bench() as b:
        receive = b.printer.firmware.receive

        def echoing(data: bytes, now_s: float) -> bytes:
            echo = b"".join(b"echo:" + line + b"\n" for line in data.split(b"\n") if line.startswith(b"N"))
            return echo + bytes(receive(data, now_s))

        b.printer.firmware.receive = echoing
        assert (await b.driver.print(chunks(file), total_bytes=len(file))).completed
        b.printer.firmware.receive = receive
        log = (b.octoprint.base / "logs" / "serial.log").read_bytes()
        assert b"Recv: (licensed line)" in log
        assert on_disk(b.octoprint) == []


async def test_the_virtual_printer_is_refused_unless_a_developer_insists(octoprint: OctoPrint) -> None:
    """OctoPrint's virtual printer is part of OctoPrint and logs what it gets."""
    file, admin = gcode(12, canary=CANARY), octoprint.client("admin")

    def allow(value: bool) -> None:
        changed = {"plugins": {"printright": {"allow_virtual_printer": value}}}
        assert admin.post("/api/settings", changed).status == 200

    octoprint.api("POST", "connection", {"command": "connect", "port": "VIRTUAL", "baudrate": 115200})
    await until(lambda: octoprint.state() == "Operational", 40)
    driver = OctoPrintDriver(octoprint.socket, guard=Guard(PROFILE))
    try:
        await driver.connect()
        with pytest.raises(MachineUnavailable, match="virtual printer"):
            await driver.print(chunks(file))
        allow(True)
        await until(lambda: driver._link is not None and driver._link.report.state == "idle")
        file = file.replace(b"M109 S200\n", b"").replace(b"M104 S200\n", b"").replace(b"M140 S60\n", b"")
        outcome = await driver.print(chunks(file), total_bytes=len(file))
        assert outcome.completed, outcome
        # Even its own log has not the canary: the net hides records with a recent line.
        assert on_disk(octoprint) == []
    finally:
        allow(False)
        await driver.close()
        octoprint.disconnect()

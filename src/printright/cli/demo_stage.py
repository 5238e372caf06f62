"""The demo's stage: folders and keys of the participants, and the processes that run for them.

Everything here is what a real participant has: the same folders, the same commands in processes of their own.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from printright.cli.home import Home
from printright.cli.member import member_card
from printright.cli.setup import create_home
from printright.errors import CouldNotCheck

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 15.0
# The keys live for a minute and their passwords lie beside them: a keystore's full second each would protect nothing.
WORK_FACTOR = 1 << 13


class Stage:
    """Use it in an `async with` block: leaving it ends every process that it started, the last one first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._processes: list[asyncio.subprocess.Process] = []
        self._log = (folder / "processes.log").open("ab")

    async def __aenter__(self) -> Stage:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in reversed(self._processes):
            await _stop(process)
        self._log.close()

    def member(self, name: str) -> Home:
        """A new member's folder with keys, and its card."""
        home = self._home(name, "")
        member_card(home, name)
        return home

    def unit(self, name: str, *, port: str, store: str, custodians: dict[str, str], driver: str = "marlin") -> Home:
        """A new unit's folder with keys."""
        urls = "\n".join(f"{json.dumps(address)} = {json.dumps(url)}" for address, url in custodians.items())
        settings = f'[unit]\ndriver = "{driver}"\nport = "{port}"\nclears_bed_itself = true\n'
        settings += f'[store]\nupstream = ["{store}"]\n'
        return self._home(name, settings + f"[custodians]\n{urls}\n")

    def _home(self, name: str, extra: str) -> Home:
        folder = self.folder / name
        folder.mkdir()
        password = folder / "password"
        password.touch(mode=0o600)
        password.write_text(secrets.token_urlsafe(24) + "\n")
        return create_home(folder, password_file=password, network=None, extra=extra, work_factor=WORK_FACTOR)

    async def start(self, *arguments: str, home: Path | None = None) -> dict[str, Any]:
        """Start `printright ... --json` and return what it says when it is ready. Raises CouldNotCheck."""
        environment = {**os.environ, "PRINTRIGHT_HOME": str(home or self.folder)}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "printright", *arguments, "--json"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=self._log,
            env=environment,
        )
        self._processes.append(process)
        assert process.stdout is not None
        said = b""
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                while line := await process.stdout.readline():
                    said += line
                    if line == b"}\n":
                        data: dict[str, Any] = json.loads(said)
                        return data
        except TimeoutError:
            pass
        raise CouldNotCheck(
            f"`printright {' '.join(arguments[:2])}` did not start", hint=f"what it said is in {self._log.name}"
        )

    @asynccontextmanager
    async def process(self, *arguments: str, home: Path) -> AsyncIterator[dict[str, Any]]:
        """A process for the time of a block."""
        data = await self.start(*arguments, home=home)
        process = self._processes[-1]
        try:
            yield data
        finally:
            await _stop(process)


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()

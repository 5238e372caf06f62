"""The connection to Klipper through Moonraker's bridge: a websocket whose messages are Klipper's own API.

The bridge (`/klippysocket`) passes bytes on and keeps nothing. Moonraker's own `printer.gcode.script` would do neither:
its connection to Klipper is shared, and what Klipper remembers of it cannot be kept free of lines (see `blocks`).
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import aiohttp

from printright.errors import MachineUnavailable
from printright.units.drivers.moonraker.blocks import block, request

HEARTBEAT_S = 5.0
MAX_ANSWER_BYTES = 16 << 20
"""The largest is the machine's configuration."""


class Disconnected(Exception):
    """Moonraker or Klipper is gone. `silent`: it was there, and said nothing for too long."""

    def __init__(self, *, silent: bool = False) -> None:
        self.silent = silent


class KlipperRefused(Exception):
    """Klipper answered with an error. Its text is not kept: it may quote a line."""


class Bridge:
    """An open connection. `ask` may be called by several tasks at once; the answers find their way by number."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        socket: aiohttp.ClientWebSocketResponse,
        on_status: Callable[[dict[str, Any]], None],
        silence_s: float,
    ) -> None:
        self._session, self._socket, self._on_status = session, socket, on_status
        self._silence_s = silence_s
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._closed = False
        self._silent = False
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def open(
        cls,
        url: str,
        api_key: str | None,
        on_status: Callable[[dict[str, Any]], None],
        *,
        timeout_s: float,
        silence_s: float,
    ) -> Bridge:
        """Connect. Raises MachineUnavailable."""
        headers = {"X-Api-Key": api_key} if api_key else {}
        session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None, connect=timeout_s))
        try:
            async with asyncio.timeout(timeout_s):
                socket = await session.ws_connect(
                    f"{url.rstrip('/')}/klippysocket",
                    headers=headers,
                    heartbeat=HEARTBEAT_S,
                    max_msg_size=MAX_ANSWER_BYTES,
                )
        except BaseException as error:
            await session.close()
            raise _unavailable(url, error) from None
        return cls(session, socket, on_status, silence_s)

    @property
    def alive(self) -> bool:
        return not self._closed and not self._socket.closed

    async def ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """Klipper's answer. Raises KlipperRefused, Disconnected."""
        if not self.alive:
            raise Disconnected
        number = next(self._numbers)
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            await self._socket.send_bytes(block(request(number, method, params)))
            return await answer
        except (ConnectionError, aiohttp.ClientError):
            raise Disconnected from None
        finally:
            del self._waiting[number]

    async def close(self) -> None:
        self._closed = True
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        with suppress(Exception):
            async with asyncio.timeout(1.0):
                await self._socket.close()
        await self._session.close()

    async def _read(self) -> None:
        try:
            while True:
                async with asyncio.timeout(self._silence_s):
                    message = await self._socket.receive()
                if message.type not in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT):
                    return
                self._hear(message.data)
        except TimeoutError:
            self._silent = True
        finally:
            self._closed = True
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(Disconnected(silent=self._silent))
            self._on_status({})

    def _hear(self, data: bytes | str) -> None:
        try:
            answer = json.loads(data)
        except ValueError:
            return
        if not isinstance(answer, dict):
            return
        waiting = self._waiting.get(answer.get("id", 0))
        if waiting is None:
            params = answer.get("params")
            if isinstance(params, dict) and isinstance(params.get("status"), dict):
                self._on_status(params["status"])
        elif not waiting.done():
            if isinstance(answer.get("result"), dict):
                waiting.set_result(answer["result"])
            else:
                waiting.set_exception(KlipperRefused())


def _unavailable(url: str, error: BaseException) -> BaseException:
    if isinstance(error, aiohttp.WSServerHandshakeError):
        if error.status in (401, 403):
            return MachineUnavailable(
                f"Moonraker at {url} asks who we are",
                hint="put its API key into the file that `api_key_file` names, or this machine into `trusted_clients`",
            )
        return MachineUnavailable(
            f"Moonraker at {url} has no connection to Klipper", hint="is Klipper running? See its log and Moonraker's"
        )
    if isinstance(error, (aiohttp.ClientError, OSError, TimeoutError, ValueError)):
        return MachineUnavailable(
            f"no Moonraker answers at {url}", hint="is it running, and is the unit's `port` its address?"
        )
    return error

"""A gateway on the way to a ledger, a custodian or a store that loses, doubles, delays or changes what passes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType

import aiohttp
from aiohttp import web

LATE_S = 0.05
# Words of a fault: what becomes of one request.
PASS, LOSE, REFUSE, DOUBLE, LATE, FLIP, CUT = "pass", "lose", "refuse", "double", "late", "flip", "cut"


class Proxy:
    """`with Proxy(upstream) as proxy`: `proxy.url` leads to `upstream`; `fault(number, body)` says what happens.

    LOSE: the request arrives, its answer does not. REFUSE: neither. DOUBLE: it arrives twice, the second answer comes
    back. FLIP, CUT: one bit of the answer is another; its second half is missing.
    """

    def __init__(self, upstream: str, fault: Callable[[int, bytes], str] = lambda number, body: PASS) -> None:
        self.upstream, self.fault = upstream.rstrip("/"), fault
        self.seen: list[tuple[str, bytes]] = []
        """What became of each request, and its body."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Proxy:
        self._thread.start()
        port = self._in_loop(self._serve())
        self.url = f"http://127.0.0.1:{port}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._in_loop(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _in_loop(self, work: object) -> int:
        future: Future[int] = asyncio.run_coroutine_threadsafe(work, self._loop)  # type: ignore[arg-type]
        return future.result(30)

    async def _serve(self) -> int:
        self._session = aiohttp.ClientSession()
        self._runner = web.ServerRunner(web.Server(self._handle, access_log=None))
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        return int(self._runner.addresses[0][1])

    async def _close(self) -> int:
        await self._runner.cleanup()
        await self._session.close()
        return 0

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        word = self.fault(len(self.seen) + 1, body)
        self.seen.append((word, body))
        if word == REFUSE:
            return self._hang_up(request)
        answer = await self._forward(request, body)
        if word == DOUBLE:
            answer = await self._forward(request, body)
        if word == LOSE or answer is None:
            return self._hang_up(request)
        if word == LATE:
            await asyncio.sleep(LATE_S)
        status, headers, data = answer
        if word == FLIP and data:
            data = data[:-1] + bytes((data[-1] ^ 1,))
        if word == CUT:
            data = data[: len(data) // 2]
        return web.Response(status=status, headers=headers, body=data)

    async def _forward(self, request: web.BaseRequest, body: bytes) -> tuple[int, dict[str, str], bytes] | None:
        kinds = ("Content-Type", "Accept", "Authorization")
        headers = {name: value for name, value in request.headers.items() if name in kinds}
        try:
            async with self._session.request(
                request.method, self.upstream + request.path, data=body or None, headers=headers
            ) as answer:
                kept = {
                    name: answer.headers[name] for name in ("Retry-After", "Content-Type") if name in answer.headers
                }
                return answer.status, kept, await answer.read()
        except aiohttp.ClientError:
            return None

    @staticmethod
    def _hang_up(request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

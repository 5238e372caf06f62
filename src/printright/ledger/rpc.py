"""JSON-RPC 2.0 over HTTP, single and in batches, through the first gateway that answers.

Every gateway is checked before its first answer counts, and again after each failure and on each new connection: the
process behind an address may be another one by then, and a client must never move to another chain without knowing
it. An answer that came over a new connection counts only after that check.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import Any

import aiohttp
import msgspec

from printright.errors import LedgerUnavailable

MAX_ANSWER_BYTES = 256 * 1024 * 1024


class RpcError(Exception):
    """The gateway answered with an error. `data` is the revert's data where it gave any."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data

    def revert(self) -> bytes | None:
        """The data of a revert, None for an error of another kind. Nodes differ in where they put it."""
        data = self.data
        if isinstance(data, dict):
            data = data.get("data", data.get("result"))
        if isinstance(data, str):
            start = data.find("0x")
            if start >= 0:
                try:
                    return bytes.fromhex(data[start + 2 :])
                except ValueError:
                    pass
        if self.code == 3 or "revert" in self.message.lower():
            return b""
        return None


class _TimedOut(LedgerUnavailable):
    """No answer in time."""


class _ErrorBody(msgspec.Struct):
    code: int = 0
    message: str = ""
    data: Any = None


@dataclass
class _Gateway:
    url: str
    checked: bool = False


class Rpc:
    """A client for the gateways of one network, tried in order. `check` is run against a gateway before it is used and
    raises what `BadSettings` there is; use `request_at` in it.
    """

    def __init__(self, urls: Sequence[str], *, timeout_s: float = 30.0) -> None:
        self._gateways = [_Gateway(url) for url in urls]
        self._current = 0
        self._session: aiohttp.ClientSession | None = None
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._batches = True
        self.check: Callable[[str], Awaitable[None]] | None = None

    async def __aenter__(self) -> Rpc:
        trace = aiohttp.TraceConfig()
        trace.on_connection_create_start.append(_new_connection)
        # No proxies from the environment, no redirects, no compression to bomb us with.
        self._session = aiohttp.ClientSession(
            timeout=self._timeout,
            headers={"Content-Type": "application/json", "Accept-Encoding": "identity"},
            connector=aiohttp.TCPConnector(limit=64),
            trust_env=False,
            trace_configs=[trace],
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def check_all(self) -> None:
        """Check every gateway that answers. Raises what `check` raises, and LedgerUnavailable where none answers."""
        failures: dict[str, LedgerUnavailable] = {}
        for gateway in self._gateways * 2:
            if gateway.checked or isinstance(failures.get(gateway.url), _TimedOut):
                continue
            try:
                await self._checked(gateway)
            except LedgerUnavailable as error:
                failures[gateway.url] = error
        if not any(gateway.checked for gateway in self._gateways):
            raise _none_answers(failures)

    async def request(self, method: str, *params: Any, result: Any = Any) -> Any:
        """One request. Raises RpcError, LedgerUnavailable. `result` is the type that the answer must have."""
        return _one(await self._post(_body(0, method, params)), result)

    async def request_at(self, url: str, method: str, *params: Any) -> Any:
        """One request at one gateway, which need not be checked."""
        return _one(await self._post_at(url, _body(0, method, params)), Any)

    async def batch(self, calls: Sequence[tuple[str, Sequence[Any]]], result: Any = Any) -> list[Any]:
        """Several requests at one gateway in one go, in order. An RpcError stands in the list, it is not raised."""
        return await self.batch_bodies([_body(i, method, params) for i, (method, params) in enumerate(calls)], result)

    async def batch_bodies(self, bodies: Sequence[bytes], result: Any = Any) -> list[Any]:
        """The same from encoded requests, whose ids must be 0, 1, 2 ..."""
        if not bodies:
            return []
        if self._batches:
            answer = await self._post(b"[" + b",".join(bodies) + b"]")
            if answer.lstrip()[:1] == b"[":
                return _many(answer, len(bodies), result)
            self._batches = False  # A gateway without batches answers with one error, or with nonsense.
        results: list[Any] = []
        for i, body in enumerate(bodies):
            try:
                results.append(_one(await self._post(body), result, i))
            except RpcError as error:
                results.append(error)
        return results

    async def _post(self, body: bytes) -> bytes:
        # A kept connection may have been closed while it was idle, so that one failure says little: every gateway gets
        # a second chance on a new connection, after its check. All our requests may be repeated.
        failures: dict[str, LedgerUnavailable] = {}
        for turn in range(2 * len(self._gateways)):
            index = (self._current + turn) % len(self._gateways)
            gateway = self._gateways[index]
            if isinstance(failures.get(gateway.url), _TimedOut):
                continue
            try:
                if not gateway.checked:
                    await self._checked(gateway)
                answer = await self._post_at(gateway.url, body, gateway)
                if not gateway.checked:
                    await self._checked(gateway)
            except LedgerUnavailable as error:
                gateway.checked = False
                failures[gateway.url] = error
                continue
            self._current = index
            return answer
        raise _none_answers(failures)

    async def _checked(self, gateway: _Gateway) -> None:
        if self.check is not None:
            await self.check(gateway.url)
        gateway.checked = True

    async def _post_at(self, url: str, body: bytes, gateway: _Gateway | None = None) -> bytes:
        if self._session is None:
            raise LedgerUnavailable("the ledger is closed")
        try:
            async with self._session.post(url, data=body, allow_redirects=False, trace_request_ctx=gateway) as response:
                answer = bytearray()
                async for chunk in response.content.iter_any():
                    answer += chunk
                    if len(answer) > MAX_ANSWER_BYTES:
                        raise LedgerUnavailable("an answer without end")
                if response.status != 200 and bytes(answer.lstrip()[:1]) not in (b"{", b"["):
                    raise LedgerUnavailable(f"HTTP status {response.status}")
                if response.status in (429, 502, 503, 504):
                    raise LedgerUnavailable(f"HTTP status {response.status}")
                return bytes(answer)
        except TimeoutError as error:
            raise _TimedOut(f"no answer within {self._timeout.total:g} s") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise LedgerUnavailable(str(error) or type(error).__name__) from error


async def _new_connection(
    session: aiohttp.ClientSession, context: SimpleNamespace, params: aiohttp.TraceConnectionCreateStartParams
) -> None:
    del session, params
    if isinstance(context.trace_request_ctx, _Gateway):
        context.trace_request_ctx.checked = False


def _none_answers(failures: dict[str, LedgerUnavailable]) -> LedgerUnavailable:
    return LedgerUnavailable(
        "no gateway of the ledger answers: " + "; ".join(f"{url}: {error.message}" for url, error in failures.items()),
        hint="check that the ledger runs and that `rpc_urls` in the network file is right; trying again is safe",
    )


def _body(id: int, method: str, params: Sequence[Any]) -> bytes:
    return msgspec.json.encode({"jsonrpc": "2.0", "id": id, "method": method, "params": params})


@cache
def _decoder(result: Any, many: bool) -> msgspec.json.Decoder[Any]:
    reply = msgspec.defstruct(
        "Reply",
        [
            ("id", int | str | None, None),
            ("result", result | None if result is not Any else Any, None),
            ("error", _ErrorBody | None, None),
        ],
    )
    return msgspec.json.Decoder(list[reply] if many else reply)  # type: ignore[valid-type]


def _decode(answer: bytes, result: Any, many: bool) -> Any:
    try:
        return _decoder(result, many).decode(answer)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise LedgerUnavailable(f"not an answer to JSON-RPC: {error}", hint="the RPC server is faulty") from error


def _one(answer: bytes, result: Any, id: int = 0) -> Any:
    reply = _decode(answer, result, many=False)
    if reply.error is not None:
        raise RpcError(reply.error.code, reply.error.message, reply.error.data)
    if reply.id != id:
        raise LedgerUnavailable("the RPC server answered another request")
    return reply.result


def _many(answer: bytes, count: int, result: Any) -> list[Any]:
    results: list[Any] = [None] * count
    seen = [False] * count
    for reply in _decode(answer, result, many=True):
        if not isinstance(reply.id, int) or not 0 <= reply.id < count or seen[reply.id]:
            raise LedgerUnavailable("the RPC server answered a request that was not made, or one twice")
        seen[reply.id] = True
        error = reply.error
        results[reply.id] = reply.result if error is None else RpcError(error.code, error.message, error.data)
    if not all(seen):
        raise LedgerUnavailable("the RPC server left out an answer")
    return results

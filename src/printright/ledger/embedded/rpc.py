"""JSON-RPC 2.0 over the methods: single requests, batches, notifications. Source: jsonrpc.org/specification.

A batch is answered in its order, one request after the other, so that a sender may put dependent transactions into one.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from typing import Any

import msgspec

from printright.errors import LedgerUnavailable
from printright.ledger.embedded.chain import Chain
from printright.ledger.embedded.methods import INSTANT, METHODS, TIME_TRAVEL, Method
from printright.ledger.embedded.wire import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    LIMIT_EXCEEDED,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    RpcError,
)

MAX_BATCH = 1_000
MAX_DEPTH = 32
MAX_BRACKETS = 200_000
_STRUCTURE = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]')
_log = logging.getLogger(__name__)
Json = dict[str, Any]


class Dispatcher:
    """Answers request bodies. `executor` is the one thread on which the chain lives."""

    def __init__(self, chain: Chain, executor: Executor, *, allow_time_travel: bool) -> None:
        self._chain = chain
        self._executor = executor
        self._methods: Mapping[str, Method] = {**METHODS, **(TIME_TRAVEL if allow_time_travel else {})}

    async def answer(self, body: bytes) -> bytes | None:
        """The response body, None where nothing is to be answered (notifications)."""
        try:
            if _nested_too_deep(body):
                return _encode(_error(None, PARSE_ERROR, f"parse error: nested deeper than {MAX_DEPTH}"))
            request = msgspec.json.decode(body)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return _encode(_error(None, PARSE_ERROR, "parse error"))
        if not isinstance(request, list):
            answer = await self._one(request)
            return None if answer is None else _encode(answer)
        if not request:
            return _encode(_error(None, INVALID_REQUEST, "empty batch"))
        if len(request) > MAX_BATCH:
            return _encode(
                _error(None, LIMIT_EXCEEDED, f"batch too large: {len(request)} requests, at most {MAX_BATCH} are taken")
            )
        answers = [answer for each in request if (answer := await self._one(each)) is not None]
        return _encode(answers) if answers else None

    async def _one(self, request: Any) -> Json | None:
        if not isinstance(request, dict):
            return _error(None, INVALID_REQUEST, "invalid request")
        identity = request.get("id")
        name, given = request.get("method"), request.get("params")
        if request.get("jsonrpc") != "2.0" or not isinstance(name, str) or isinstance(identity, bool | list | dict):
            known = identity if isinstance(identity, str | int | float) else None
            return _error(known, INVALID_REQUEST, "invalid request")
        answer = await self._run(identity, name, given)
        return answer if "id" in request else None

    async def _run(self, identity: Any, name: str, given: Any) -> Json:
        method = self._methods.get(name)
        if method is None:
            return _error(identity, METHOD_NOT_FOUND, f"the method {name[:80]} does not exist/is not available")
        if given is None:
            given = []
        if not isinstance(given, list):
            return _error(identity, INVALID_PARAMS, "non-array args")
        try:
            if name in INSTANT:
                result = method(self._chain, given)
            else:
                result = await self._on_thread(method, given)
        except RpcError as error:
            return _error(identity, error.code, error.message, error.data)
        except LedgerUnavailable as error:
            return _error(identity, INTERNAL_ERROR, str(error))
        except Exception:
            # A fault of ours must not end the server, and its text may hold what is none of the caller's business.
            _log.exception("%s failed", name)
            return _error(identity, INTERNAL_ERROR, f"internal error in {name}; see the ledger's log")
        return {"jsonrpc": "2.0", "id": identity, "result": result}

    async def _on_thread(self, method: Callable[..., Any], given: list[Any]) -> Any:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, method, self._chain, given)


def _error(identity: Any, code: int, message: str, data: str | None = None) -> Json:
    error: Json = {"code": code, "message": message}
    if data is not None:
        error["data"] = data
    return {"jsonrpc": "2.0", "id": identity, "error": error}


def _nested_too_deep(body: bytes) -> bool:
    """Whether decoding would nest deeper than any request does.

    py-evm raises Python's recursion limit to 100,000, at which a JSON decoder overflows the C stack and the process
    is gone; a body of brackets would end the ledger.
    """
    opening = body.count(b"[") + body.count(b"{")
    if opening <= MAX_DEPTH:
        return False
    if opening > MAX_BRACKETS:
        return True
    depth = 0
    for found in _STRUCTURE.finditer(body):
        token = found[0]
        if token in (b"[", b"{"):
            depth += 1
            if depth > MAX_DEPTH:
                return True
        elif token in (b"]", b"}"):
            depth -= 1
    return False


def _encode(answer: Any) -> bytes:
    return msgspec.json.encode(answer)

"""The custodian's HTTP server: `POST /v1/release`, `GET /v1/status` and, for its readers, `GET /v1/log`.

Requests are signed and answers sealed, so plain HTTP leaks no key and lets nobody ask in another's name; put a TLS
proxy in front where the traffic itself is private. Sizes, times and the number of connections are bounded.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from aiohttp import web

from printright.domain.ids import Address
from printright.domain.release import SpendNotFinal
from printright.errors import BadSettings, BadValue, CouldNotCheck, NotMine, PrintrightError, Refused
from printright.ledger.port import Ledger
from printright.services.anchoring import Anchoring, AnchorSettings, OpenSender
from printright.services.custodian import Custodian, CustodianLimits, TooManyRequests
from printright.services.log_access import HEADER, check_reader
from printright.services.log_access import PATH as LOG_PATH
from printright.services.release_log import ReleaseLog
from printright.services.share_request import PATH, STATUS_PATH, No, decode_request, encode_no, encode_share
from printright.vault.keys import UnsealingKey

log = logging.getLogger(__name__)

_JSON = {"Content-Type": "application/json", "Cache-Control": "no-store"}


@dataclass(frozen=True)
class CustodianSettings:
    """Where a custodian listens, where its log lies, and what it takes from the network.

    `anchors` says when the log is anchored; `log_readers` are the accounts that may read it. `port` 0 takes a free one.
    Raises BadSettings for limits that are none.
    """

    address: Address
    release_log: Path
    host: str = "127.0.0.1"
    port: int = 0
    max_body_bytes: int = 256 * 1024
    read_timeout_s: float = 10.0
    keepalive_s: float = 75.0
    max_connections: int = 512
    retry_after_s: float = 1.0
    anchors: AnchorSettings = field(default_factory=AnchorSettings)
    log_readers: tuple[Address, ...] = ()
    limits: CustodianLimits = field(default_factory=CustodianLimits)

    def __post_init__(self) -> None:
        positive = {
            "max_body_bytes": self.max_body_bytes,
            "read_timeout_s": self.read_timeout_s,
            "keepalive_s": self.keepalive_s,
            "max_connections": self.max_connections,
            "retry_after_s": self.retry_after_s,
            "unit_requests_per_s": self.limits.unit_requests_per_s,
            "unit_burst": self.limits.unit_burst,
            "concurrent": self.limits.concurrent,
            "ledger_timeout_s": self.limits.ledger_timeout_s,
        }
        for name, value in positive.items():
            if not (value > 0 and math.isfinite(value)):
                raise BadSettings(f"`{name}` is {value}: a custodian needs a bound there, more than 0")
        if not 0 <= self.port < 65_536:
            raise BadSettings(f"`port` is {self.port}, not 0 to 65535")


async def serve_custodian(
    settings: CustodianSettings,
    ledger: Ledger,
    unsealing_key: UnsealingKey,
    *,
    former_keys: Sequence[UnsealingKey] = (),
    sender: OpenSender | None = None,
    bound: asyncio.Future[int] | None = None,
) -> None:
    """Serve until cancelled; `bound` gets the port once connections are accepted.

    `former_keys` open what is still sealed to them; `sender` anchors the log, which nobody does without it. Raises
    AlreadyRunning, LogDamaged or LogUnavailable for the release log, BadSettings for an address that is taken; while it
    serves, LogDamaged in a group.
    """
    async with custodian_server(settings, ledger, unsealing_key, former_keys, sender) as port:
        if bound is not None:
            bound.set_result(port)
        await asyncio.get_running_loop().create_future()


@contextlib.asynccontextmanager
async def custodian_server(
    settings: CustodianSettings,
    ledger: Ledger,
    unsealing_key: UnsealingKey,
    former_keys: Sequence[UnsealingKey] = (),
    sender: OpenSender | None = None,
) -> AsyncIterator[int]:
    """Serve inside the `async with` block, which gets the port. Raises as `serve_custodian`."""
    releases = await asyncio.to_thread(ReleaseLog, settings.release_log, settings.address)
    try:
        anchoring = None
        if sender is not None:
            anchoring = Anchoring(ledger, sender, settings.address, releases, settings.anchors)
            await anchoring.check()
        custodian = Custodian(
            address=settings.address,
            ledger=ledger,
            unsealing_key=unsealing_key,
            releases=releases,
            former_keys=former_keys,
            limits=settings.limits,
        )
        front = _Front(custodian, settings)
        try:
            server = await asyncio.get_running_loop().create_server(
                front.connection, settings.host, settings.port, backlog=128
            )
        except OSError as error:
            raise BadSettings(
                f"cannot listen on {settings.host}:{settings.port}: {error.strerror}", hint="choose another port"
            ) from None
        try:
            port = server.sockets[0].getsockname()[1]
            log.info("custodian %s listens on %s:%d", settings.address, settings.host, port)
            if anchoring is None:
                yield port
            else:
                # A log that turns out not to be ours ends the group, and with it what runs in the block.
                async with asyncio.TaskGroup() as group:
                    anchors = group.create_task(anchoring.run())
                    yield port
                    anchors.cancel()
        finally:
            server.close()
            await front.shutdown()
    finally:
        releases.close()


class _Front:
    """aiohttp's request parser with our bounds around it; without its router, which two paths do not need."""

    def __init__(self, custodian: Custodian, settings: CustodianSettings) -> None:
        self._custodian, self._settings = custodian, settings
        self._web = web.Server(
            self._handle,
            keepalive_timeout=settings.keepalive_s,
            lingering_time=min(settings.read_timeout_s, 2.0),
            max_line_size=2048,
            max_field_size=4096,
            max_headers=64,
            access_log=None,
            auto_decompress=False,
            loop=asyncio.get_running_loop(),
        )

    def connection(self) -> asyncio.Protocol:
        """For each new connection: a request handler, or the door where there are too many."""
        return self._web() if len(self._web.connections) < self._settings.max_connections else _Door()

    async def shutdown(self) -> None:
        """End idle connections, give requests at work a moment to be answered."""
        self._web.pre_shutdown()
        await self._web.shutdown(5.0)

    async def _handle(self, http: web.BaseRequest) -> web.StreamResponse:
        if http.path == STATUS_PATH and http.method == "GET":
            return web.Response(body=msgspec.json.encode(self._status()), headers=_JSON)
        if http.path == LOG_PATH and http.method == "GET":
            return await self._log(http)
        if http.path != PATH:
            return _no(404, No(f"no such path; this is a custodian: POST {PATH}"))
        if http.method != "POST":
            return _no(405, No("POST only"), Allow="POST")
        try:
            async with asyncio.timeout(self._settings.read_timeout_s):
                body = await self._body(http)
        except TimeoutError:
            return _no(408, No("the request did not arrive in time"), Connection="close")
        if body is None:
            return _no(413, No(f"more than {self._settings.max_body_bytes} bytes"), Connection="close")
        return await self._answer(body)

    async def _log(self, http: web.BaseRequest) -> web.StreamResponse:
        custodian, releases = self._custodian, self._custodian.releases
        try:
            header = http.headers.get(HEADER, "")
            check_reader(header, custodian.domain, custodian.address, self._settings.log_readers, int(time.time()))
        except Refused as error:
            return _no(403, _reason(error))
        left = releases.size_bytes
        response = web.StreamResponse(headers={"Content-Type": "application/jsonl", "Cache-Control": "no-store"})
        response.content_length = left
        await response.prepare(http)
        with releases.path.open("rb") as file:
            while left and (chunk := await asyncio.to_thread(file.read, min(left, 1 << 20))):
                await response.write(chunk)
                left -= len(chunk)
        await response.write_eof()
        return response

    async def _answer(self, body: bytes) -> web.Response:
        """Each class of error has its status: what a rule refused is 403, what could not be checked 503."""
        try:
            share = await self._custodian.release(decode_request(body))
        except SpendNotFinal as error:
            return _no(425, _reason(error), **_after(self._settings.retry_after_s))
        except TooManyRequests as error:
            return _no(429, _reason(error), **_after(error.retry_after_s))
        except BadValue as error:
            return _no(400, _reason(error))
        except (Refused, NotMine) as error:
            log.info("refused: %s", error)
            return _no(403, _reason(error))
        except CouldNotCheck as error:
            log.warning("could not check: %s", error)
            return _no(503, _reason(error), **_after(self._settings.retry_after_s))
        except Exception as error:
            # The type only: whatever went wrong here may have a key share in its arguments.
            log.error("the custodian failed with %s", type(error).__name__)
            return _no(500, No("the custodian failed"))
        return web.Response(body=encode_share(share), headers=_JSON)

    async def _body(self, http: web.BaseRequest) -> bytes | None:
        limit = self._settings.max_body_bytes
        if http.content_length is not None and http.content_length > limit:
            return None
        body = bytearray()
        while chunk := await http.content.readany():
            body += chunk
            if len(body) > limit:
                return None
        return bytes(body)

    def _status(self) -> dict[str, object]:
        head = self._custodian.releases.head
        return {
            "printright": "custodian/1",
            "custodian": self._custodian.address,
            "chain_id": self._custodian.domain.chain_id,
            "contract": self._custodian.domain.contract,
            "release_log": {"entries": head.entries, "head": head.digest.hex()},
        }


class _Door(asyncio.Protocol):
    """For the connection that is one too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


def _no(status: int, no: No, **headers: str) -> web.Response:
    return web.Response(status=status, body=encode_no(no), headers={**_JSON, **headers})


def _reason(error: PrintrightError) -> No:
    return No(error.message, error.hint)


def _after(seconds: float) -> dict[str, str]:
    return {"Retry-After": str(math.ceil(seconds))}

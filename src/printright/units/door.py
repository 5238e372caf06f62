"""The door of a unit's agent: who is asking, may they, and is it an honest request. Nothing passes that is not let in.

People and programs come by the Unix socket, where the kernel says whose process it is, or by a loopback port with a
token. No page in a browser comes in: not by a form, not by a script, not by a name that was made to point here.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import time
import urllib.parse
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler, Middleware

from printright.errors import BadSettings, BadValue, NotMine, PrintrightError, Refused
from printright.units.operators import Operator, Operators, Permission

log = logging.getLogger(__name__)

OPERATOR = web.RequestKey("operator", str)
KNOWN_AS = web.RequestKey("known_as", Operator)
ON_BEHALF_OF = "Printright-On-Behalf-Of"
MAX_BODY_BYTES = 1 << 20
MAX_FAILURES, FAILURES_S = 10, 60.0
MAX_CONNECTIONS = 128
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_NO_STORE = {"Cache-Control": "no-store"}


class _NoHeaders(logging.Filter):
    """aiohttp logs the header line that it cannot read, and that may be the one with the token."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and isinstance(record.exc_info[1], HttpProcessingError):
            record.exc_info = None
        return True


_http_log = logging.getLogger(f"{__name__}.http")
_http_log.addFilter(_NoHeaders())


class UnknownOperator(NotMine):
    """Nobody that this unit knows."""


class NotAllowed(Refused):
    """Somebody that this unit knows, who may not do this."""


class NotThisWay(Refused):
    """A request as a browser sends it for a page of somebody else, or not in the form that we take."""


class TooManyFailures(Refused):
    """Wrong tokens, one after the other."""


_STATUS: dict[type[PrintrightError], int] = {
    UnknownOperator: 401,
    NotAllowed: 403,
    NotThisWay: 403,
    TooManyFailures: 429,
}


@dataclass(frozen=True)
class DoorSettings:
    """Where the door is: `socket`, open to other accounts where `shared`, and `port` on loopback, 0 for any free one.

    `hosts` are further names, in lower case, under which a proxy in front reaches the port. A body has to be there
    `body_s` after its header, a header `first_request_s` after its connection.
    """

    socket: Path
    shared: bool = False
    port: int | None = None
    hosts: tuple[str, ...] = ()
    body_s: float = 10.0
    first_request_s: float = 10.0


@dataclass
class Door:
    """Lets requests in. `routes` says what each may need, by method and path: one that is not there is not let in."""

    operators: Operators
    routes: Mapping[tuple[str, str], Permission]
    settings: DoorSettings
    clock: Callable[[], float] = time.monotonic
    _failures: deque[float] = field(default_factory=deque)
    _silent: dict[asyncio.Protocol, asyncio.TimerHandle] = field(default_factory=dict)

    async def let_in(self, request: web.Request) -> None:
        """Raise where a request is not let in; else `request[OPERATOR]` is the name to write down.

        1. no page of a browser  2. somebody that the unit knows  3. who may do this  4. a body that comes in time
        5. for whom, where a program asks on behalf of its users.
        """
        # 1
        peer = request.transport.get_extra_info("socket") if request.transport else None
        local = peer is not None and peer.family == socket.AF_UNIX
        self._no_browser(request, local)
        # 2
        operator = await self._who(request, peer if local else None)
        # 3
        resource = request.match_info.route.resource
        needed = self.routes.get((request.method, resource.canonical if resource else ""))
        if needed is None:
            raise web.HTTPNotFound
        if not operator.may(needed):
            raise NotAllowed(f"operator {operator.name} may not {needed}", hint="the unit's admin gives permissions")
        # 4
        if request.can_read_body:
            async with asyncio.timeout(self.settings.body_s):
                await request.read()
        # 5
        request[KNOWN_AS] = operator
        request[OPERATOR] = _on_behalf(request, operator)

    def _no_browser(self, request: web.Request, local: bool) -> None:
        host = request.headers.get("Host", "").rsplit(":", 1)[0] if not local else "localhost"
        if host.lower() not in (*_LOOPBACK, *self.settings.hosts):
            raise NotThisWay("this agent does not answer to that name", hint="name it in `api_hosts` of its settings")
        if "Origin" in request.headers or request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            raise NotThisWay("this agent does not answer to pages in a browser")
        if request.method == "POST" and request.content_type != "application/json":
            raise NotThisWay("the body is not application/json")

    async def _who(self, request: web.Request, peer: socket.socket | None) -> Operator:
        # A token says more than an account: two programs of one account may have one each.
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme:
            operator = None
            if scheme.lower() == "bearer":
                operator = await asyncio.to_thread(self.operators.by_token, token.strip())
            if operator is None:
                raise self._failed("no operator has this token")
            return operator
        if peer is None:
            raise self._failed("say who you are with a token")
        _, uid, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
        operator = await asyncio.to_thread(self.operators.by_uid, uid)
        if operator is None:
            raise UnknownOperator(
                f"the account with user id {uid} is no operator of this unit",
                hint="its owner can make it one: `printright unit operator add`",
            )
        return operator

    def _failed(self, message: str) -> PrintrightError:
        """What a failed attempt is told. Too many are told less, and logged once: a right token still opens."""
        now = self.clock()
        while self._failures and self._failures[0] < now - FAILURES_S:
            self._failures.popleft()
        if len(self._failures) >= MAX_FAILURES:
            return TooManyFailures("too many requests with wrong tokens or none", hint="wait a minute")
        self._failures.append(now)
        if len(self._failures) == MAX_FAILURES:
            log.warning("%d requests with wrong tokens or none within %.0f s", MAX_FAILURES, FAILURES_S)
        return UnknownOperator(message, hint="a token is made by `printright unit operator add`")

    # Connections -----------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def serving(self, application: web.Application) -> AsyncIterator[int | None]:
        """Serve while the context lasts, which gets the port, if there is one. Raises BadSettings for one in use."""
        runner = web.AppRunner(
            application,
            access_log=None,
            logger=_http_log,
            max_line_size=2_048,
            max_field_size=4_096,
            lingering_time=2.0,
        )
        await runner.setup()
        assert runner.server is not None
        servers: list[asyncio.Server] = []
        try:
            try:
                await self._listen(self._protocols(runner.server), servers)
            except OSError as error:
                raise BadSettings(f"the API cannot listen: {error}", hint="see `api_socket` and `api_port`") from None
            yield int(servers[1].sockets[0].getsockname()[1]) if len(servers) > 1 else None
        finally:
            for server in servers:
                server.close()
            await runner.cleanup()
            self.settings.socket.unlink(missing_ok=True)

    async def _listen(self, made: Callable[[], asyncio.Protocol], servers: list[asyncio.Server]) -> None:
        loop, at = asyncio.get_running_loop(), self.settings
        at.socket.unlink(missing_ok=True)
        servers.append(await loop.create_unix_server(made, str(at.socket)))
        # Whoever opens it is known by the kernel's word; the home itself is closed to all but its owner.
        at.socket.chmod(0o666 if at.shared else 0o600)
        if at.port is not None:
            servers.append(await loop.create_server(made, "127.0.0.1", at.port))

    def _protocols(self, server: web.Server) -> Callable[[], asyncio.Protocol]:
        """For each connection a protocol of `server`; those too many, and those that say nothing, are closed."""

        def made() -> asyncio.Protocol:
            if len(server.connections) >= MAX_CONNECTIONS:
                return _Shut()
            protocol = server()
            self._silent[protocol] = asyncio.get_running_loop().call_later(
                self.settings.first_request_s, self._close_silent, protocol
            )
            return protocol

        return made

    def _close_silent(self, protocol: web.RequestHandler) -> None:
        del self._silent[protocol]
        if protocol.transport is not None:
            protocol.transport.close()

    @property
    def middleware(self) -> Middleware:
        """What stands before every handler; it also gives errors their form: `{"error", "hint", "exit_code"}`."""

        @web.middleware
        async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
            timer = self._silent.pop(request.protocol, None)
            if timer is not None:
                timer.cancel()
            try:
                await self.let_in(request)
                return await handler(request)
            except PrintrightError as error:
                return _error(error, _STATUS.get(type(error), 400))
            except TimeoutError:
                return _error(BadValue("the body did not come in time"), 408)
            except web.HTTPRequestEntityTooLarge:
                return _error(BadValue(f"a body has at most {MAX_BODY_BYTES} bytes"), 413)
            except web.HTTPNotFound:
                return _error(BadValue("nothing is here under that name"), 404)

        return guarded


class _Shut(asyncio.Protocol):
    """For the connection that is one too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


def _on_behalf(request: web.Request, operator: Operator) -> str:
    """The name to write down: `octoprint/Anna` where `octoprint` asks for its user Anna, so that none is another's."""
    if ON_BEHALF_OF not in request.headers:
        return operator.name
    if not operator.may(Permission.DELEGATE):
        raise NotAllowed(f"operator {operator.name} may not speak for others", hint="that needs `delegate`")
    name = urllib.parse.unquote(request.headers[ON_BEHALF_OF], errors="replace").strip()
    if not name or len(name) > 64 or not name.isprintable() or "�" in name:
        raise BadValue(f"{ON_BEHALF_OF} is a name of up to 64 printable characters, percent-encoded UTF-8")
    return f"{operator.name}/{name}"


def _error(error: PrintrightError, status: int) -> web.Response:
    body = {"error": error.message, "hint": error.hint, "exit_code": error.exit_code}
    response = web.json_response(body, status=status, headers=_NO_STORE)
    if status in (401, 408, 413, 429):
        response.force_close()
    if status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    if status == 429:
        response.headers["Retry-After"] = str(int(FAILURES_S))
    return response

"""The embedded ledger as a process: folder, chain, worker thread and HTTP server, from start to a clean stop.

py-evm and SQLite work on one dedicated thread: it is the lock that keeps writers apart, and it leaves the event loop
free to answer everybody else meanwhile. There is no authentication, as with any development node, hence loopback,
JSON content type only and a check of the Host header, so that no web page can reach it through the user's browser.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import web
from eth_utils.address import is_address

from printright.domain.ids import Address
from printright.errors import AlreadyRunning, BadSettings
from printright.ledger.embedded import folder as folders
from printright.ledger.embedded.chain import Chain
from printright.ledger.embedded.database import Database
from printright.ledger.embedded.evm import Clock, wall_clock
from printright.ledger.embedded.rpc import Dispatcher

MAX_BODY_BYTES = 5 * 1024 * 1024
KEEP_ALIVE_S = 120.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """What an embedded ledger is made of and where it is served.

    `host` is a loopback address unless `allowed_hosts` names what clients put into the Host header; `port` 0 takes a
    free one. `genesis_accounts` maps addresses to wei; gas is free, so that nobody needs any. `allow_time_travel`
    offers evm_increaseTime and evm_mine, for demo and tests. Raises BadSettings.
    """

    folder: Path
    chain_id: int
    genesis_accounts: Mapping[Address, int] = field(default_factory=dict)
    host: str = "127.0.0.1"
    port: int = 8545
    allowed_hosts: frozenset[str] = frozenset()
    allow_time_travel: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.chain_id < 2**53:
            raise BadSettings(f"chain id {self.chain_id} is out of range", hint="take one from 1 to 2**53 - 1")
        if not 0 <= self.port < 2**16:
            raise BadSettings(f"port {self.port} is out of range", hint="take one from 0 to 65535")
        if not _is_loopback(self.host) and not self.allowed_hosts:
            raise BadSettings(
                f"the ledger has no authentication and {self.host} is not a loopback address",
                hint="serve it on 127.0.0.1, or name the allowed hosts and protect the port yourself",
            )
        for address, balance in self.genesis_accounts.items():
            if not is_address(address):
                raise BadSettings(f"genesis account {address!r} is no address")
            if not 0 <= balance < 2**255:
                raise BadSettings(f"the balance of genesis account {address} is out of range")


@contextlib.contextmanager
def opened(settings: Settings, *, clock: Clock = wall_clock) -> Iterator[Chain]:
    """The chain of a folder, locked while open; to be used by one thread at a time.

    Raises AlreadyRunning where another process has it, BadSettings where it was made for another chain id or genesis
    or is no ledger, StorageFailed where block 0 cannot be written.
    """
    purpose = folders.purpose(settings.chain_id, settings.genesis_accounts)
    with folders.locked(settings.folder) as path:
        try:
            database = Database(path)
        except sqlite3.Error as error:
            raise BadSettings(
                f"{path} cannot be opened as a ledger: {error}", hint="restore it, or name a new folder"
            ) from error
        try:
            if recorded := database.records():
                folders.check_purpose(settings.folder, recorded, purpose)
            yield Chain(database, settings.chain_id, settings.genesis_accounts, purpose, clock=clock)
        finally:
            database.close()


@contextlib.asynccontextmanager
async def running(settings: Settings, *, clock: Clock = wall_clock) -> AsyncIterator[str]:
    """Serve the ledger while the context is open, and give its URL. Raises as `opened`, and AlreadyRunning for a
    port that is taken."""
    loop = asyncio.get_running_loop()
    stack = contextlib.ExitStack()
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger") as executor:
        chain = await loop.run_in_executor(executor, stack.enter_context, opened(settings, clock=clock))
        try:
            dispatcher = Dispatcher(chain, executor, allow_time_travel=settings.allow_time_travel)
            runner = web.AppRunner(
                application(dispatcher, settings.allowed_hosts),
                access_log=None,
                keepalive_timeout=KEEP_ALIVE_S,
                handle_signals=False,
                shutdown_timeout=5.0,
            )
            await runner.setup()
            try:
                site = web.TCPSite(runner, settings.host, settings.port)
                try:
                    await site.start()
                except OSError as error:
                    raise AlreadyRunning(
                        f"{settings.host}:{settings.port} cannot be served: {error.strerror}",
                        hint="stop what uses the port, or take another",
                    ) from error
                yield _url(runner)
            finally:
                await runner.cleanup()
        finally:
            # After what is in progress on the thread: a block is finished or was never begun.
            await asyncio.shield(loop.run_in_executor(executor, stack.close))


async def serve(settings: Settings, *, ready: Callable[[str], None] = lambda _: None) -> None:
    """Run the ledger until cancelled; `ready` is called once with its URL. Raises as `running`."""
    async with running(settings) as url:
        _log.info("ledger %s served at %s", settings.folder, url)
        ready(url)
        await asyncio.get_running_loop().create_future()


def application(dispatcher: Dispatcher, allowed_hosts: frozenset[str]) -> web.Application:
    """The HTTP side: POST / with application/json."""

    async def handle(request: web.Request) -> web.Response:
        if not _host_allowed(request.headers.get("Host", ""), allowed_hosts):
            return web.Response(status=403, text="invalid host specified\n")
        if request.content_type != "application/json":
            return web.Response(status=415, text="invalid content type, only application/json is supported\n")
        answer = await dispatcher.answer(await request.read())
        if answer is None:
            return web.Response(status=204)
        return web.Response(body=answer, content_type="application/json")

    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app.router.add_post("/", handle)
    return app


def _host_allowed(header: str, allowed: frozenset[str]) -> bool:
    """Whether the Host header names this machine: else a page of another site was rebound to our address."""
    try:
        host = urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return False
    return host == "localhost" or host in allowed or _is_loopback(host)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _url(runner: web.AppRunner) -> str:
    host, port = runner.addresses[0][:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

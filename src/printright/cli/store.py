"""printright store: serve."""

from __future__ import annotations

import asyncio

import click

from printright.cli.home import Home
from printright.cli.output import noun, result, verb

app = noun("Serve a store of encrypted packages.")


@verb(app)
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8650, show_default=True)
async def serve(host: str, port: int) -> None:
    """Serve this participant's store by digest, until interrupted. Everything in it is encrypted or signed."""
    from aiohttp import web

    from printright.vault.stores.http import store_app
    from printright.vault.stores.local import LocalStore

    home = Home.current()
    runner = web.AppRunner(store_app(LocalStore(home.folder / home.settings().store.folder)), access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        url = f"http://{host}:{runner.addresses[0][1]}"
        result({"url": url}, f"the store is at {url}")
        await asyncio.get_running_loop().create_future()
    finally:
        await runner.cleanup()

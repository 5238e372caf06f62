"""printright store: serve."""

from __future__ import annotations

import click

from printright.cli.home import Home
from printright.cli.output import noun, result, verb

app = noun("Serve a store of encrypted packages.")


@verb(app)
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8650, show_default=True)
async def serve(host: str, port: int) -> None:
    """Serve this participant's store to others by digest, until interrupted. Everything in it is encrypted."""
    from printright.vault.stores.http import serve_store
    from printright.vault.stores.local import LocalStore

    home = Home.current()
    store = LocalStore(home.folder / home.settings().store.folder)
    await serve_store(store, host=host, port=port, ready=lambda url: result({"url": url}, f"the store is at {url}"))

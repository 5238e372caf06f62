"""printright custodian: serve, log; the commands that hand a key on are in `resharing`."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

import click

from printright.cli import resharing
from printright.cli.home import Home
from printright.cli.output import noun, result, verb

app = noun("Keep a share of design keys and release it by the ledger's word.")
resharing.register(app)


@verb(app)
@click.option("--host", help="[default: from the settings, 127.0.0.1]")
@click.option("--port", type=int, help="[default: from the settings, 8700]")
async def serve(host: str | None, port: int | None) -> None:
    """Release shares to units with a final, running job, until interrupted. There is no way to ask for an exception."""
    from printright.domain.words import checksum
    from printright.services.anchoring import AnchorSettings
    from printright.services.custodian_http import CustodianSettings, serve_custodian

    home = Home.current()
    settings = home.settings().custodian
    address = home.ledger_key().address
    bound: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    serving = CustodianSettings(
        address=address,
        release_log=home.folder / "release.log",
        host=host or settings.host,
        port=settings.port if port is None else port,
        anchors=AnchorSettings(settings.anchor_entries, settings.anchor_s),
        log_readers=tuple(checksum(each) for each in settings.log_readers),
    )

    def ready(future: asyncio.Future[int]) -> None:
        if not future.cancelled():
            url = f"http://{serving.host}:{future.result()}"
            result({"custodian": address, "url": url}, f"custodian {address} at {url}")

    bound.add_done_callback(ready)
    async with home.ledger() as ledger:
        await serve_custodian(
            serving,
            ledger,
            home.unsealing_key(),
            former_keys=home.former_keys(),
            sender=lambda: home.ledger(sending=True),
            bound=bound,
        )


@verb(app)
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
def log(file: Path | None) -> None:
    """Verify a release log's chain and print its head.  [default: this participant's]"""
    from printright.services.release_log import verify

    head = verify(file or Home.current().folder / "release.log")
    data = dataclasses.asdict(head)
    lines = [f"{name:10}{value.hex() if isinstance(value, bytes) else value}" for name, value in data.items()]
    result(data, "\n".join(lines))

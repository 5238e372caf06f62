"""printright ledger: serve, deploy, status, jobs."""

from __future__ import annotations

from pathlib import Path

import click

from printright.cli.home import Home, parse_address
from printright.cli.output import home_folder, noun, result, table, verb

app = noun("Serve the embedded ledger, deploy the contract, look at the ledger.")


@verb(app)
@click.option("--folder", type=click.Path(path_type=Path), help="Where the chain is kept.  [default: HOME/chain]")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8545, show_default=True)
@click.option("--chain-id", default=424242, show_default=True, help="Choose your own: it tells networks apart.")
@click.option("--allowed-host", multiple=True, help="Host header to accept when it listens beyond loopback.")
async def serve(folder: Path | None, host: str, port: int, chain_id: int, allowed_host: tuple[str, ...]) -> None:
    """Serve the embedded ledger until interrupted: one process, one site, every block on disk before its answer.

    Gas is free on it, so that nobody needs coin.
    """
    from printright.ledger.embedded import Settings
    from printright.ledger.embedded import serve as serve_ledger

    settings = Settings(
        folder=folder or home_folder() / "chain",
        chain_id=chain_id,
        host=host,
        port=port,
        allowed_hosts=frozenset(allowed_host),
    )
    await serve_ledger(
        settings, ready=lambda url: result({"url": url, "chain_id": chain_id}, f"ledger of chain {chain_id} at {url}")
    )


@verb(app)
@click.option("--rpc", default="http://127.0.0.1:8545", show_default=True, help="JSON-RPC of the network.")
@click.option("--name", default="printright", show_default=True, help="What the network is called.")
@click.option(
    "--finality",
    required=True,
    help="When a block cannot be undone: single-node, finalized-tag, bft-seal, or depth:N.",
)
@click.option("--registrar", help="Who admits members.  [default: this participant]")
async def deploy(rpc: str, name: str, finality: str, registrar: str | None) -> None:
    """Deploy the contract and write this participant's network file, which all others copy."""
    from printright.ledger.evm import deploy as deploy_contract

    home = Home.current()
    signer = home.ledger_key()
    network = await deploy_contract(
        rpc, signer, parse_address(registrar) if registrar else signer.address, name=name, finality=finality
    )
    path = home.folder / home.settings().network
    path.write_text(network.dump())
    result(
        {"network": str(path), "contract": network.contract, "chain_id": network.chain_id},
        f"contract {network.contract} on chain {network.chain_id}; the network file is {path}",
    )


@verb(app)
async def status() -> None:
    """The ledger in the words of the trade: blocks, members, units, designs, licenses, jobs and parts."""
    from printright.services.history import read_history

    async with Home.current().ledger() as ledger:
        newest = await ledger.block_number()
        history = await read_history(ledger)
    data = {
        "network": ledger.network.name,
        "chain_id": ledger.network.chain_id,
        "contract": ledger.network.contract,
        "newest_block": newest,
        "final_block": history.block,
        "members": sum(member.roles != 0 for member in history.members.values()),
        "active_units": sum(unit.active for unit in history.units.values()),
        "designs": len(history.designs),
        "licenses": len(history.licenses),
        "copies_issued": sum(license.issued for license in history.licenses.values()),
        "copies_available": sum(license.available for license in history.licenses.values()),
        "jobs": len(history.jobs),
        "parts": sum(job.good for job in history.jobs.values()),
    }
    result(data, "\n".join(f"{key.replace('_', ' '):18}{value}" for key, value in data.items()))


@verb(app)
async def jobs() -> None:
    """All jobs on the ledger, the newest last."""
    from printright.services.history import read_history

    async with Home.current().ledger() as ledger:
        history = await read_history(ledger)
    rows = [
        {
            "job": job.id.hex(),
            "unit": job.unit,
            "sequence": job.sequence,
            "license": job.license.hex(),
            "quantity": job.quantity,
            "state": str(job.state),
            "good": job.good,
            "failed": job.failed,
            "block": job.started_block,
        }
        for job in history.jobs.values()
    ]
    result(
        rows,
        table(rows, "job", "unit", "sequence", "quantity", "state", "good", "failed", "block", empty="no jobs yet"),
    )

"""printright audit: replay all events and check the invariants; hold custodians' logs against them."""

from __future__ import annotations

import dataclasses
import sys
import tempfile
import time
from pathlib import Path

import click

from printright.cli.home import Home, network_option, parse_address, reading_ledger
from printright.cli.output import command, result
from printright.errors import Misuse


@network_option
@click.option(
    "--log",
    "logs",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A custodian's release log; several times for several.",
)
@click.option(
    "--custodian",
    "custodians",
    multiple=True,
    metavar="WHO=URL",
    help="Fetch this custodian's log; it must name us among its readers. WHO: address or card.",
)
@click.option(
    "--threshold",
    default=1,
    show_default=True,
    help="How many of the given logs must have released the key of each job with good copies.",
)
async def run(network: Path | None, logs: tuple[Path, ...], custodians: tuple[str, ...], threshold: int) -> None:
    """Replay the whole ledger and hold it against the contract, invariant by invariant. Exit code 1 on a finding.

    With logs of custodians, also: what they anchored is in them, and every release had a job.
    """
    from rich.console import Console
    from rich.progress import Progress

    from printright.services.audit import audit

    with tempfile.TemporaryDirectory(prefix="printright-") as folder:
        async with reading_ledger(network) as ledger:
            fetched = await _fetch(custodians, Path(folder))
            with Progress(console=Console(stderr=True), transient=True) as progress:
                task = progress.add_task("comparing", total=None)
                report = await audit(
                    ledger,
                    logs=[*logs, *fetched],
                    threshold=threshold,
                    progress=lambda done, total: progress.update(task, completed=done, total=total),
                )
    lines = [
        f"block {report.block}: {report.members} members, {report.units} units, {report.designs} designs, "
        f"{report.licenses} licenses, {report.jobs} jobs, {report.parts} parts, {report.anchors} anchors; "
        f"{report.releases} releases in logs; {report.comparisons} comparisons",
        *(f"invariant {f.invariant}: {f.subject}: {f.text}" for f in report.findings),
        "every invariant holds" if not report.findings else f"{len(report.findings)} findings",
    ]
    result(dataclasses.asdict(report), "\n".join(lines))
    if report.findings:
        sys.exit(1)


async def _fetch(custodians: tuple[str, ...], folder: Path) -> list[Path]:
    if not custodians:
        return []
    import aiohttp

    from printright.domain.words import TypedDomain
    from printright.services.log_access import fetch_log

    home = Home.current()
    network, key = home.network(), home.ledger_key()
    found = []
    async with aiohttp.ClientSession() as session:
        for number, each in enumerate(custodians):
            who, separator, url = each.partition("=")
            if not separator:
                raise Misuse(
                    f"not a custodian and its address: {each!r}", hint="like member.json=http://127.0.0.1:8700"
                )
            domain = TypedDomain(network.chain_id, network.contract)
            to = folder / f"{number}.log"
            found.append(await fetch_log(session, url, parse_address(who), key, domain, int(time.time()), to))
    return found


app: click.Command = command(run, "audit")

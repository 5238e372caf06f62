"""printright audit: replay all events and check the invariants."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import click

from printright.cli.home import network_option, reading_ledger
from printright.cli.output import command, result


@network_option
async def run(network: Path | None) -> None:
    """Replay the whole ledger and hold it against the contract, invariant by invariant. Exit code 1 on a finding."""
    from rich.console import Console
    from rich.progress import Progress

    from printright.services.audit import audit

    async with reading_ledger(network) as ledger:
        with Progress(console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task("comparing", total=None)
            report = await audit(
                ledger, progress=lambda done, total: progress.update(task, completed=done, total=total)
            )
    lines = [
        f"block {report.block}: {report.members} members, {report.units} units, {report.designs} designs, "
        f"{report.licenses} licenses, {report.jobs} jobs, {report.parts} parts; {report.comparisons} comparisons",
        *(f"invariant {f.invariant}: {f.subject}: {f.text}" for f in report.findings),
        "every invariant holds" if not report.findings else f"{len(report.findings)} findings",
    ]
    result(dataclasses.asdict(report), "\n".join(lines))
    if report.findings:
        sys.exit(1)


app: click.Command = command(run, "audit")

"""printright part: labels, check, check-out."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from printright.cli.home import Home, network_option, parse_address, reading_ledger
from printright.cli.output import noun, result, verb
from printright.errors import Misuse, PartRefused

if TYPE_CHECKING:
    from printright.cli.agent_client import AgentClient

app = noun("Labels and checks of the parts made.")


@verb(app)
@click.argument("job", required=False)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder for the QR codes as PNG.")
@click.option("--terminal", is_flag=True, help="Draw the QR codes in the terminal.")
def labels(job: str | None, out: Path | None, terminal: bool) -> None:
    """The labels of a finished job's parts, as text and QR codes. On the unit that made them.

    JOB is its id, or a unique beginning of it.  [default: the last finished one]
    """
    import segno

    from printright.cli.agent_client import AgentClient

    client = AgentClient.current()
    rows = client.get(f"/v1/jobs/{_finished(client, job)}/labels")
    for row in rows:
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            path = out / f"{row['serial']}.png"
            segno.make_qr(row["label"], error="m").save(str(path), scale=6)
            row["png"] = str(path)

    def draw() -> None:
        for row in rows:
            click.echo(f"{row['serial']}  {row.get('png', '')}\n  {row['label']}")
            if terminal:
                segno.make_qr(row["label"], error="l").terminal(compact=True)

    result(rows, draw)


def _finished(client: AgentClient, beginning: str | None) -> str:
    if beginning is not None and len(beginning) == 64:
        return beginning
    ids = [job["job"] for job in client.get("/v1/jobs") if job["stage"] == "finished"]
    found = ids[:1] if beginning is None else [id for id in ids if id.startswith(beginning.lower())]
    if len(found) != 1:
        raise Misuse(
            f"{len(found)} finished jobs begin with {beginning!r}" if beginning else "no job is finished yet",
            hint="see `printright job history`",
        )
    return str(found[0])


@verb(app)
@click.argument("label", required=False)
@click.option("--image", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Read the code from a PNG.")
@network_option
async def check(label: str | None, image: Path | None, network: Path | None) -> None:
    """Is the part genuine? LABEL is the text of its QR code. Needs no account and no key."""
    from printright.services.check import check_part

    async with reading_ledger(network) as ledger:
        report = await check_part(ledger, _label(label, image))
    data = dataclasses.asdict(report)
    made = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(report.made_at_s))
    lines = [
        f"genuine: {report.serial}",
        f"  made {made} by {report.maker} on unit {report.unit}",
        f"  under license {report.license.hex()} of {report.licensor}",
        f"  part {report.index + 1} of {report.good} of job {report.job.hex()}",
    ]
    if report.builder:
        lines += [f"  the unit is attested by its builder {report.builder}"]
    if report.checked_out_by and report.checked_out_at_s:
        when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(report.checked_out_at_s))
        lines += [f"  ALREADY CHECKED OUT on {when} by {report.checked_out_by}: if that was not you, this is a copy"]
    result(data, "\n".join(lines))


@verb(app, "check-out")
@click.argument("label", required=False)
@click.option("--image", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Read the code from a PNG.")
@click.option("--by", help="In whose name: address or card.  [default: this participant]")
async def check_out(label: str | None, image: Path | None, by: str | None) -> None:
    """Take a part out of circulation, once: dispensed, built in, decommissioned."""
    from printright.services.check import check_out as send_check_out

    home = Home.current()
    parsed = _label(label, image)
    async with home.ledger(sending=True) as ledger:
        holder: Any = parse_address(by) if by else ledger.address
        receipt = await ledger.wait_final(await send_check_out(ledger, parsed, holder, int(time.time())))
    result(
        {"part": parsed.part, "by": holder, "tx": receipt.tx_hash, "gas": receipt.gas_used},
        f"{parsed.serial} is checked out by {holder}",
    )


def _label(text: str | None, image: Path | None) -> Any:
    from printright.domain.part import PartLabel

    if text is not None and image is None:
        return PartLabel.parse(text)
    if image is not None and text is None:
        return PartLabel.parse(scan(image))
    raise Misuse("give the label's text or --image, one of them")


def scan(image: Path) -> str:
    """The text of the code in a picture. Raises PartRefused where there is none, Misuse without the extra `scan`."""
    try:
        import zxingcpp
        from PIL import Image
    except ImportError:
        raise Misuse(
            "reading codes from pictures needs the extra `scan`", hint="pip install 'printright[scan]'"
        ) from None
    found = zxingcpp.read_barcodes(Image.open(str(image)))
    if not found:
        raise PartRefused(f"there is no code in {image}", hint="take a sharper picture")
    return str(found[0].text)

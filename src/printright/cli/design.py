"""printright design: publish, version, withdraw, list, show; the rest is in `design_3mf`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from printright.cli.home import Home, parse_address
from printright.cli.output import noun, read_json, result, table, verb
from printright.errors import BadValue

if TYPE_CHECKING:
    from printright.domain.ids import ContentId
    from printright.services.print_file import PrintFile
    from printright.services.publish import Design, DesignShelf
    from printright.vault.committee import Custodian

app = noun("Encrypt and publish designs.")


def shelf_of(home: Home) -> DesignShelf:
    from printright.services.publish import DesignShelf

    return DesignShelf(home.folder / "designs")


def publishing(function: Any) -> Any:
    options = [
        click.argument("source", type=click.Path(exists=True, dir_okay=False, path_type=Path)),
        click.option("--title", required=True, help="What the design is called on licenses."),
        click.option("--parts-per-run", default=1, show_default=True, help="How many parts one run of the file makes."),
        click.option("--material", default="", help="PLA, `PLA or PETG` ...  [default: what the slicer says]"),
        click.option("--nozzle-mm", type=float, help="Diameter of the nozzle.  [default: what the slicer says]"),
        click.option("--notes", default=""),
        click.option(
            "--custodian",
            "cards",
            multiple=True,
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="Card (member.json) of a custodian; several times for several.  [default: this participant]",
        ),
        click.option(
            "--minimum-firmware",
            multiple=True,
            metavar="MODEL=VERSION",
            help="Custodians refuse other models and older firmware; several times for several models.  [default: any]",
        ),
        click.option("--threshold", default=1, show_default=True, help="How many custodians must release together."),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def custodians_of(home: Home, cards: tuple[Path, ...]) -> list[Custodian]:
    from printright.vault.committee import Custodian

    paths = cards or (home.folder / "member.json",)
    try:
        return [
            Custodian(parse_address(card["address"]), bytes.fromhex(card["key"]))
            for card in (read_json(path) for path in paths)
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise BadValue(f"not a member's card: {error}", hint="it is made by `printright member create`") from None


async def publish_source(source: Path, previous: ContentId | None, file_name: str = "", **options: Any) -> None:
    """Publish a print file, unpacked to plain G-code and checked; a model, checked; or any other file, as it is."""
    from printright.domain.estimate import NO_ESTIMATE
    from printright.services.print_file import PrintFile, is_print_file, open_print_file
    from printright.services.sealed_model import ANY_FILE, check_model, media_type_of
    from printright.vault.package import GCODE

    name = file_name or source.name
    if is_print_file(name):
        with open_print_file(source, name) as file:
            reach_mm = refuse_dangerous(file.path, name)
            measured = replace(file, estimate=replace(file.estimate, reach_mm=reach_mm))
            await _publish(measured, GCODE, previous, **options)
        return
    media_type = media_type_of(name)
    if media_type != ANY_FILE:
        check_model(source, media_type)
    await _publish(PrintFile(source, name, NO_ESTIMATE), media_type, previous, **options)


async def _publish(
    file: PrintFile,
    media_type: str,
    previous: ContentId | None,
    title: str,
    parts_per_run: int,
    material: str,
    nozzle_mm: float | None,
    notes: str,
    cards: tuple[Path, ...],
    minimum_firmware: tuple[str, ...],
    threshold: int,
) -> None:
    from rich.console import Console
    from rich.progress import DownloadColumn, Progress, TransferSpeedColumn

    from printright.domain.firmware import MinimumFirmware
    from printright.services.publish import publish
    from printright.vault.details import Details

    minimum = MinimumFirmware.parse(minimum_firmware)
    home = Home.current()
    estimate = file.estimate
    if nozzle_mm is not None:
        estimate = replace(estimate, nozzle_mm=nozzle_mm)
    if material:
        estimate = replace(estimate, material=material)
    owner_key = home.ledger_key()
    columns = (*Progress.get_default_columns(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("encrypting", total=file.path.stat().st_size)
        async with home.ledger(sending=True) as ledger:
            design, receipt = await publish(
                ledger,
                home.store(),
                shelf_of(home),
                file.path,
                Details(
                    file_name=file.name,
                    material=estimate.material,
                    notes=notes,
                    estimated_time_s=estimate.time_s,
                    thumbnail=estimate.thumbnail_png,
                ),
                title=title,
                owner_key=owner_key,
                custodians=custodians_of(home, cards),
                threshold=threshold,
                parts_per_run=parts_per_run,
                previous=previous,
                estimate=estimate,
                media_type=media_type,
                minimum_firmware=minimum,
                progress=lambda done: progress.update(task, completed=done),
            )
            await ledger.wait_final(receipt)
    result(
        {
            "content": design.content,
            "title": title,
            "manifest": design.manifest,
            "estimate": design.estimate.to_json(),
            "tx": receipt.tx_hash,
            "gas": receipt.gas_used,
        },
        f"{title} is published as {design.content.hex()}",
    )


def refuse_dangerous(source: Path, name: str) -> tuple[float, float, float]:
    """A file that every printer would refuse is better refused here; returns how far the head goes in x, y and z.

    Raises GcodeRefused with all findings.
    """
    from printright.errors import GcodeRefused
    from printright.units.guard import Guard, GuardProfile

    # A large and hot machine with all that a machine may have: what each printer can stand, it checks for itself.
    largest = GuardProfile((1500.0, 1500.0, 1000.0), 350.0, 150.0, 100.0, tools=16, origin_mm=(-500.0, -500.0))
    report = Guard(largest).check_file(source)
    if not report.ok:
        found = "; ".join(f"line {finding.line}: {finding.word}: {finding.rule}" for finding in report.findings)
        raise GcodeRefused(f"{name}: {found}", hint="no printer will run these lines: slice again without them")
    return report.reach_mm


@verb(app)
@publishing
async def publish(source: Path, **options: Any) -> None:
    """Encrypt SOURCE, put it into the store and fix it on the ledger.

    G-code (.gcode, .bgcode, .gcode.3mf) is unpacked to plain text and passes the printers' allow-list first, a 3MF or
    STL those of its form; what is neither can be licensed, and no unit prints it.
    """
    await publish_source(source, None, **options)


@verb(app)
@click.option("--after", required=True, help="Title or id of the version that this one follows.")
@publishing
async def version(source: Path, after: str, **options: Any) -> None:
    """Publish a new version of a design. The former stays as it is."""
    await publish_source(source, shelf_of(Home.current()).get(after).content, **options)


@verb(app)
@click.argument("designs", nargs=-1, required=True)
async def withdraw(designs: tuple[str, ...]) -> None:
    """Withdraw versions for good, by title or id: no job starts with them any more."""
    from printright.services import publish as service

    home = Home.current()
    shelf = shelf_of(home)
    chosen = [shelf.get(name) for name in designs]
    async with home.ledger(sending=True) as ledger:
        receipt = await ledger.wait_final(await service.withdraw(ledger, chosen))
    result({"withdrawn": [design.content for design in chosen], "tx": receipt.tx_hash}, "withdrawn")


@verb(app, "list")
def list_designs() -> None:
    """The designs that this member published."""
    rows = [_row(design) for design in shelf_of(Home.current()).all()]
    result(rows, table(rows, "design", "title", "parts per run", "printed", empty="no designs published yet"))


def _row(design: Design) -> dict[str, Any]:
    return {
        "design": design.content,
        "title": design.title,
        "parts_per_run": design.parts_per_run,
        "printed": design.estimate.describe(),
        "estimate": design.estimate.to_json(),
    }


@verb(app)
@click.argument("design")
@click.option("--thumbnail", type=click.Path(dir_okay=False, path_type=Path), help="Write the slicer's picture there.")
def show(design: str, thumbnail: Path | None) -> None:
    """One DESIGN of this member, by title or id, with what its slicer said: material, nozzle, time, weight, picture."""
    found = shelf_of(Home.current()).get(design)
    if thumbnail is not None:
        if not found.estimate.thumbnail_png:
            raise BadValue(
                f"{found.title} has no picture", hint="slicers write one where the profile has thumbnails on"
            )
        try:
            thumbnail.write_bytes(found.estimate.thumbnail_png)
        except OSError as error:
            raise BadValue(f"cannot write {thumbnail}: {error.strerror}") from None
    data = {
        **_row(found),
        "manifest": found.manifest,
        "file_sha256": found.file_sha256,
        "previous": found.previous,
    }
    lines = [f"{found.title}: {found.content.hex()}", f"  parts per run  {found.parts_per_run}"]
    if found.previous is not None:
        lines.append(f"  follows        {found.previous.hex()}")
    said = found.estimate.describe()
    lines.append(f"  printed        {said or 'nothing is known of it'}")
    lines += [f"  picture        {len(found.estimate.thumbnail_png)} bytes"] if found.estimate.thumbnail_png else []
    result(data, "\n".join(lines))


from printright.cli import design_3mf  # noqa: E402, F401  (its commands are of this noun)

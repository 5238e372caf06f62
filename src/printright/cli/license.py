"""printright license: grant, grant-many, import, list, show, check, revoke, pause, resume, credit, assign."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from printright.cli.home import Home, parse_address
from printright.cli.output import noun, read_json, result, table, verb
from printright.errors import BadValue

if TYPE_CHECKING:
    from printright.domain.license import License
    from printright.ledger.port import Ledger, Receipt
    from printright.services.licensing import GrantOrder, LicenseBook

app = noun("Grant, revoke, assign and check licenses.")
_UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "y": 365 * 86_400}
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def expiry(text: str, now_s: int) -> int:
    """`90d`, `12h`, `2027-06-30` or unix seconds, as unix seconds. Raises BadValue."""
    if match := re.fullmatch(r"(\d+)([smhdy])", text):
        return now_s + int(match[1]) * _UNITS_S[match[2]]
    if text.isdigit():
        return int(text)
    try:
        return int(time.mktime(time.strptime(text, "%Y-%m-%d")) - time.timezone) + 86_399
    except ValueError:
        raise BadValue(f"{text!r} is no expiry", hint="for example 90d, 12h, 2027-06-30") from None


def _book(home: Home) -> LicenseBook:
    from printright.services.licensing import LicenseBook

    return LicenseBook(home.folder / "licenses")


def _order(home: Home, row: dict[str, Any]) -> GrantOrder:
    """A grant order from the options of `grant`, or from a row of `grant-many`."""
    from printright.domain.license import Limits
    from printright.services.licensing import GrantOrder
    from printright.services.publish import DesignShelf

    design = DesignShelf(home.folder / "designs").get(row["design"])
    described = json.dumps(row, sort_keys=True)
    reference = row.get("reference") or hashlib.sha256(described.encode()).hexdigest()
    expires_at_s = _stable_expiry(home, reference, row.get("expires") or "90d")
    limits = Limits(
        expires_at_s=expires_at_s,
        job_time_s=expiry(row.get("job_time") or "7d", 0),
        assignable=bool(row.get("assignable")),
        attested_only=bool(row.get("attested_only")),
    )
    units = row.get("units") or ()
    return GrantOrder(
        reference=reference,
        licensee=parse_address(row["to"]),
        content=design.content,
        copies=int(row["copies"]),
        limits=limits,
        title=row.get("title") or design.title,
        manifest=design.manifest,
        allowance=int(row.get("allowance") or 0),
        units=tuple(parse_address(unit) for unit in (units.split() if isinstance(units, str) else units)),
        material=row.get("material") or "",
        place=row.get("place") or "",
        price=row.get("price") or "",
        notes=row.get("notes") or "",
        estimate=design.estimate,
    )


def _stable_expiry(home: Home, reference: str, text: str) -> int:
    # "90d" means from the first time the order was given: a repeat after a crash is the same order.
    drafted = _book(home).find(reference)
    return drafted.limits.expires_at_s if drafted else expiry(text, int(time.time()))


def _report(license: License) -> dict[str, Any]:
    return {
        "license": license.id.hex(),
        "licensee": license.licensee,
        "title": license.document.title,
        "copies": license.copies,
        "allowance": license.allowance,
        "expires": time.strftime("%Y-%m-%d %H:%M", time.gmtime(license.limits.expires_at_s)),
    }


def _write(license: License, path: Path) -> None:
    from printright.services.whole_file import write_whole

    write_whole(path, json.dumps(license.to_json(), indent=1) + "\n", mode=0o644)


@verb(app)
@click.option("--design", required=True, help="Title or id of a design published from this home.")
@click.option("--to", required=True, help="The licensee: its address or its card.")
@click.option("--copies", required=True, type=int, help="How many parts may be made.")
@click.option("--allowance", default=0, show_default=True, help="Failed copies that return by themselves.")
@click.option("--expires", default="90d", show_default=True, help="90d, 12h, 2027-06-30 ...")
@click.option("--job-time", default="7d", show_default=True, help="After this an unfinished job can be closed.")
@click.option("--unit", "units", multiple=True, help="Only this unit (address or enrolment.json); several times.")
@click.option("--assignable", is_flag=True, help="The licensee may give unused copies to another.")
@click.option("--attested-only", is_flag=True, help="Only units attested by their builder.")
@click.option("--material", default="")
@click.option("--place", default="")
@click.option("--price", default="")
@click.option("--notes", default="")
@click.option("--reference", help="Names the order: the same one is granted once.  [default: from the options]")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Where to write the license file.")
async def grant(out: Path | None, **options: Any) -> None:
    """Grant a license; the file it writes is for the licensee."""
    from printright.services import licensing

    home = Home.current()
    async with home.ledger(sending=True) as ledger:
        license, receipt = await licensing.grant(ledger, _book(home), _order(home, options))
        await ledger.wait_final(receipt)
    path = out or home.folder / f"{license.id.hex()[:16]}.license.json"
    _write(license, path)
    result(
        {**_report(license), "file": str(path), "tx": receipt.tx_hash, "gas": receipt.gas_used},
        f"license {license.id.hex()}: {license.copies} copies of {license.document.title} for {license.licensee}\n"
        f"the license file for the licensee is {path}",
    )


@verb(app, "grant-many")
@click.argument("orders", type=FILE)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder for the license files.")
async def grant_many(orders: Path, out: Path | None) -> None:
    """Grant the licenses of a CSV file: columns design, to, copies, and any other option of `grant`."""
    from printright.services import licensing

    home = Home.current()
    with orders.open(newline="") as file:
        rows = [{key.replace("-", "_"): value for key, value in row.items()} for row in csv.DictReader(file)]
    for number, row in enumerate(rows, start=2):
        if not row.get("design") or not row.get("to") or not (row.get("copies") or "").isdigit():
            raise BadValue(f"line {number} of {orders} needs design, to and copies")
        row["reference"] = row.get("reference") or f"{orders.name}:{number}:{json.dumps(row, sort_keys=True)}"
    async with home.ledger(sending=True) as ledger:
        licenses = await licensing.grant_many(ledger, _book(home), [_order(home, row) for row in rows])
    folder = out or home.folder
    folder.mkdir(parents=True, exist_ok=True)
    for license in licenses:
        _write(license, folder / f"{license.id.hex()[:16]}.license.json")
    data = [_report(license) for license in licenses]
    result(data, table(data, "license", "licensee", "title", "copies", "expires"))


@verb(app, "import")
@click.argument("file", type=FILE)
def import_license(file: Path) -> None:
    """Hand a license file to this unit's agent, which fetches the package ahead."""
    from printright.cli.agent_client import AgentClient

    offer = AgentClient.current().post("/v1/licenses", read_json(file))
    result(offer, f"license {offer['license']['id']}: {offer['available']} copies for this unit {offer['note']}")


@verb(app, "list")
async def list_licenses() -> None:
    """The licenses that this member granted, with their counters on the ledger."""
    home = Home.current()
    rows = []
    async with home.ledger() as ledger:
        for license in _book(home).all():
            counters = await ledger.call("counters", license.id)
            state = "revoked" if counters.ended else "paused" if counters.paused else ""
            rows.append(
                {
                    **_report(license),
                    "available": counters.available,
                    "used": counters.used,
                    "lost": counters.lost,
                    "state": state if counters.issued or counters.ended else "not on the ledger",
                }
            )
    columns = ("license", "licensee", "title", "copies", "available", "used", "lost", "expires", "state")
    result(rows, table(rows, *columns, empty="no licenses granted yet"))


@verb(app)
@click.argument("file", type=FILE)
async def show(file: Path) -> None:
    """A license file in words, and its counters on the ledger."""
    from printright.domain.license import License

    license = License.from_json(read_json(file))
    async with Home.current().ledger() as ledger:
        counters = await ledger.call("counters", license.id)
    data = {**_report(license), "counters": counters._asdict(), "document": license.document.to_json()}
    counted = "\n".join(f"  {name:12}{value}" for name, value in counters._asdict().items())
    said = license.document.estimate.describe()
    title = f"{license.document.title}, from {license.licensor}" + (f"\n  printed: {said}" if said else "")
    result(data, f"license {license.id.hex()}\n  {title}\n{counted}")


@verb(app)
@click.argument("file", type=FILE)
@click.argument("design_file", type=FILE)
async def check(file: Path, design_file: Path) -> None:
    """Does this design file match the license? For the rights holder, who has the salt."""
    from printright.domain.license import License
    from printright.errors import Refused
    from printright.services.print_file import open_print_file
    from printright.services.publish import DesignShelf, file_sha256

    home = Home.current()
    license = License.from_json(read_json(file))
    design = DesignShelf(home.folder / "designs").get(license.content.hex())
    with open_print_file(design_file) as plain:
        sha256 = file_sha256(plain.path)
    async with home.ledger() as ledger:
        matches = await ledger.call(
            "check", license.licensee, license.terms.abi(), design.manifest_digest, design.salt, sha256
        )
    if not matches:
        raise Refused(f"{design_file} is not the file of this license, or the license is not on the ledger")
    result({"matches": True}, f"{design_file} is the file that the license is for")


async def _change(
    files: tuple[Path, ...], change: Callable[[Ledger, list[License]], Awaitable[Receipt]], done: str
) -> None:
    from printright.domain.license import License

    licenses = [License.from_json(read_json(file)) for file in files]
    async with Home.current().ledger(sending=True) as ledger:
        receipt = await ledger.wait_final(await change(ledger, licenses))
    result({"licenses": [each.id for each in licenses], "tx": receipt.tx_hash, "gas": receipt.gas_used}, done)


@verb(app)
@click.argument("files", type=FILE, nargs=-1, required=True)
async def revoke(files: tuple[Path, ...]) -> None:
    """Revoke the unused rest of licenses. What runs may finish."""
    from printright.services import licensing

    await _change(files, licensing.revoke, "revoked")


@verb(app)
@click.argument("files", type=FILE, nargs=-1, required=True)
async def pause(files: tuple[Path, ...]) -> None:
    """No job starts with these licenses until they are resumed."""
    from printright.services import licensing

    await _change(files, licensing.pause, "paused")


@verb(app)
@click.argument("files", type=FILE, nargs=-1, required=True)
async def resume(files: tuple[Path, ...]) -> None:
    """Let jobs start again with these licenses."""
    from printright.services import licensing

    await _change(files, licensing.resume, "resumed")


@verb(app)
@click.argument("file", type=FILE)
@click.option("--copies", required=True, type=int)
@click.option("--reference", required=True, help="Names the credit: the same one counts once.")
async def credit(file: Path, copies: int, reference: str) -> None:
    """Give lost copies back to the licensee."""
    from printright.services import licensing

    await _change((file,), lambda ledger, each: licensing.credit(ledger, each[0], copies, reference), "credited")


@verb(app)
@click.argument("file", type=FILE)
@click.option("--to", required=True, help="The new licensee: its address or its card.")
@click.option("--copies", required=True, type=int)
@click.option("--allowance", default=0, show_default=True, help="How much of the spoilage allowance goes along.")
@click.option("--reference", required=True, help="Names the order: the same one is done once.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Where to write the new license file.")
async def assign(file: Path, to: str, copies: int, allowance: int, reference: str, out: Path | None) -> None:
    """Give unused copies to another licensee, where the license allows it. For the licensee."""
    from printright.domain.license import License
    from printright.services import licensing

    home = Home.current()
    license = License.from_json(read_json(file))
    async with home.ledger(sending=True) as ledger:
        given, receipt = await licensing.assign(
            ledger,
            _book(home),
            license,
            reference=reference,
            licensee=parse_address(to),
            copies=copies,
            allowance=allowance,
        )
        await ledger.wait_final(receipt)
    path = out or home.folder / f"{given.id.hex()[:16]}.license.json"
    _write(given, path)
    result({**_report(given), "file": str(path)}, f"{copies} copies are now {to}'s; the new license file is {path}")

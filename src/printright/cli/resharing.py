"""printright custodian: order, contribute, collect, accept, put-into-force, show, rotate-key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from printright.cli.design import custodians_of
from printright.cli.home import Home, parse_address
from printright.cli.output import read_json, result, verb
from printright.errors import BadValue, Misuse

if TYPE_CHECKING:
    from printright.domain.ids import Address, Digest
    from printright.services.reshare import Present
    from printright.vault.custody_record import Acceptance

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_OUT = click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="Where to write it.  [default: here]"
)


def register(app: click.Group) -> None:
    """Add the commands to `printright custodian`."""
    for function in (order, contribute, collect, accept, put_into_force, show, rotate_key):
        verb(app)(function)


def _manifest(home: Home, name: str) -> Digest:
    """A design by title or id on this member's shelf, or by the digest of its manifest in the stores."""
    from printright.domain.ids import Digest, bytes32
    from printright.services.publish import DesignShelf

    if len(name) == 64:
        return Digest(bytes32(name, "the manifest's digest"))
    return Digest(DesignShelf(home.folder / "designs").get(name).manifest)


def _write(path: Path, data: bytes) -> None:
    from printright.services.whole_file import write_whole

    write_whole(path.absolute(), data.decode(), mode=0o644)


@click.argument("design")
@click.option("--custodian", "cards", multiple=True, required=True, type=_FILE, help="Card of a next custodian.")
@click.option("--threshold", default=1, show_default=True, help="How many of them must release together.")
@_OUT
async def order(design: str, cards: tuple[Path, ...], threshold: int, out: Path | None) -> None:
    """Order that the key of DESIGN is handed on: title, id, or the digest of its manifest. Its owner signs.

    Those who stay come with cards of new unsealing keys (`rotate-key`), or what they held stays worth stealing.
    """
    from printright.services import reshare

    home = Home.current()
    async with home.ledger() as ledger:
        now = await reshare.present(ledger, home.store(), _manifest(home, design))
    made = reshare.order(now, custodians_of(home, cards), threshold, home.ledger_key())
    kept = {each.public_key for each in now.committee.custodians} & {each.public_key for each in made.custodians}
    path = out or Path(f"custody-order-{made.epoch}.json")
    _write(path, made.to_json())
    text = f"{path}: for {now.committee.threshold} or more of the present custodians to contribute to"
    warning = f"\n{len(kept)} of them keep their unsealing key: `printright custodian rotate-key`" if kept else ""
    result({"order": made.digest, "epoch": made.epoch, "file": str(path), "keys_kept": len(kept)}, text + warning)


@click.argument("order_file", metavar="ORDER", type=_FILE)
@_OUT
async def contribute(order_file: Path, out: Path | None) -> None:
    """Share this custodian's share among the custodians that ORDER names."""
    from printright.services import reshare
    from printright.vault.custody_record import Order

    home = Home.current()
    given = Order.from_json(order_file.read_bytes())
    async with home.ledger() as ledger:
        keys = [home.unsealing_key(), *home.former_keys()]
        made = await reshare.contribute_to(given, ledger, home.store(), home.ledger_key(), keys)
    path = out or Path(f"custody-contribution-{given.epoch}-{made.dealer}.json")
    _write(path, made.to_json())
    result({"dealer": made.dealer, "contribution": made.blob, "file": str(path)}, f"{path}: for the rights holder")


@click.argument("order_file", metavar="ORDER", type=_FILE)
@click.argument("contributions", nargs=-1, required=True, type=_FILE)
@_OUT
async def collect(order_file: Path, contributions: tuple[Path, ...], out: Path | None) -> None:
    """Make a record of ORDER and CONTRIBUTIONS, for the next custodians to accept. Wrong ones are named, left out."""
    from printright.services import reshare
    from printright.vault.custody_record import Contribution, Order

    home = Home.current()
    given = Order.from_json(order_file.read_bytes())
    parts = [Contribution.from_json(path.read_bytes()) for path in contributions]
    async with home.ledger() as ledger:
        record, wrong = await reshare.collect(given, parts, ledger, home.store())
    path = out or Path(f"custody-record-{given.epoch}.json")
    _write(path, record.to_json())
    lines = [f"{path}: for the next custodians to accept", *(f"left out: {who}: {why}" for who, why in wrong.items())]
    dealers = [dealer for dealer, _ in record.dealers]
    result({"file": str(path), "dealers": dealers, "left_out": wrong}, "\n".join(lines))


@click.argument("record_file", metavar="RECORD", type=_FILE)
@_OUT
async def accept(record_file: Path, out: Path | None) -> None:
    """Open this custodian's share of RECORD, check it, and say so. Dealers that sealed something else are named."""
    from printright.services import reshare
    from printright.vault.custody_record import CustodyRecord

    home = Home.current()
    record = CustodyRecord.from_json(record_file.read_bytes())
    async with home.ledger() as ledger:
        keys = [home.unsealing_key(), *home.former_keys()]
        made = await reshare.accept(record, ledger, home.store(), home.ledger_key(), keys)
    path = out or Path(f"custody-acceptance-{record.order.epoch}-{made.custodian}.json")
    card = {"printright": "custody-acceptance/1", "custodian": made.custodian, "signature": made.signature.hex()}
    _write(path, json.dumps(card, indent=1).encode())
    result({"custodian": made.custodian, "file": str(path)}, f"{path}: for the rights holder")


@click.argument("record_file", metavar="RECORD", type=_FILE)
@click.argument("acceptances", nargs=-1, required=True, type=_FILE)
@click.option("--without", multiple=True, metavar="WHO", help="Go on without this one's acceptance: address or card.")
async def put_into_force(record_file: Path, acceptances: tuple[Path, ...], without: tuple[str, ...]) -> None:
    """Name RECORD on the ledger: from then on custodians release shares of the next committee only."""
    from printright.services import reshare
    from printright.vault.custody_record import CustodyRecord

    home = Home.current()
    record = CustodyRecord.from_json(record_file.read_bytes())
    given = [_acceptance(path) for path in acceptances]
    spared = [parse_address(each) for each in without]
    async with home.ledger(sending=True) as ledger:
        done, receipt = await reshare.put_into_force(record, given, ledger, home.store(), without=spared)
        receipt = await ledger.wait_final(receipt)
    data = {"record": done.blob, "epoch": done.order.epoch, "tx": receipt.tx_hash, "gas": receipt.gas_used}
    result(data, f"epoch {done.order.epoch} is in force: custody record {done.blob.hex()}")


@click.argument("design")
async def show(design: str) -> None:
    """Who holds the key of DESIGN (title, id, or digest of its manifest), and how it came to them, checked."""
    from printright.services import reshare

    home = Home.current()
    async with home.ledger() as ledger:
        now = await reshare.present(ledger, home.store(), _manifest(home, design))
    epochs = _epochs(now)
    lines = []
    for each in epochs:
        lines.append(f"epoch {each['epoch']}: {each['threshold']} of {len(each['custodians'])}{each['note']}")
        lines += [f"  {c['address']}{'' if c['accepted'] else '  (did not accept)'}" for c in each["custodians"]]
    result({"epochs": epochs}, "\n".join(lines))


def _epochs(now: Present) -> list[dict[str, Any]]:
    first, found = now.manifest.custody.committee, []
    everybody = {each.address for each in first.custodians}
    committees = [(first, everybody)]
    committees += [(record.committee, {a.custodian for a in record.acceptances}) for record, _ in now.chain]
    for committee, accepted in committees:
        found.append(
            {
                "epoch": committee.epoch,
                "record": committee.record,
                "threshold": committee.threshold,
                "in_force": committee == now.committee,
                "note": ", in force" if committee == now.committee else "",
                "custodians": [
                    {"address": each.address, "key": each.public_key, "accepted": each.address in accepted}
                    for each in committee.custodians
                ],
            }
        )
    return found


def rotate_key() -> None:
    """Make this member's next unsealing key, and a card with it. The settings are yours to change: it says how."""
    from printright.vault.keys.files import create_unsealing_file

    home = Home.current()
    card = read_json(home.folder / "member.json")
    number = next(n for n in range(2, 10_000) if not (home.folder / f"keys/{n}").exists())
    key = create_unsealing_file(home.folder / f"keys/{number}", home.password())
    path = home.folder / f"member-{number}.json"
    _write(path, (json.dumps({**card, "key": key.public_key.hex()}, indent=1) + "\n").encode())
    settings = home.settings()
    former = [*settings.custodian.former_keys, settings.keys.unsealing]
    uri = f"file:keys/{number}/unsealing.pem"
    text = (
        f"the next card is {path}\nin {home.settings_path}, and start the custodian again:\n"
        f"[keys]\nunsealing = {json.dumps(uri)}\n[custodian]\nformer_keys = {json.dumps(former)}"
    )
    result({"card": str(path), "unsealing": uri, "former_keys": former}, text)


def _acceptance(path: Path) -> Acceptance:
    from printright.vault.custody_record import Acceptance

    card = read_json(path)
    try:
        if card["printright"] != "custody-acceptance/1":
            raise Misuse(f"{path} is no acceptance of a custody record")
        who: Address = parse_address(card["custodian"])
        return Acceptance(who, bytes.fromhex(card["signature"]))
    except (KeyError, TypeError, ValueError) as error:
        raise BadValue(f"{path} is no acceptance of a custody record: {error}") from None

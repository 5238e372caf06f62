"""printright member: create, show, admit, suspend, list."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import click

from printright.cli.home import Home, parse_address
from printright.cli.output import home_folder, noun, read_json, result, table, verb
from printright.cli.setup import create_home, key_options
from printright.errors import BadValue, Misuse

app = noun("Create, admit and suspend members.")


@verb(app)
@click.option("--name", required=True, help="The member's name; it stays off the ledger.")
@key_options
@click.option("--network", type=click.Path(exists=True, path_type=Path), help="A network file to copy into the home.")
def create(name: str, network: Path | None, **keys: Any) -> None:
    """Create a participant's folder with its two keys: one for the ledger, one for unsealing."""
    home = create_home(home_folder(), network=network, **keys)
    card = member_card(home, name)
    result(card, f"{name} is {card['address']}\nits card for the registrar is {home.folder / 'member.json'}")


def member_card(home: Home, name: str) -> dict[str, str]:
    """What the registrar needs to admit a member, also written to `member.json`."""
    import json

    # Salted, so that nobody who reads the ledger can try names against the digest.
    salt = os.urandom(32)
    address, key = home.public_halves()
    card = {
        "printright": "member/1",
        "name": name,
        "salt": salt.hex(),
        "profile": hashlib.sha256(salt + name.encode()).hexdigest(),
        "address": address,
        "key": key.hex(),
    }
    (home.folder / "member.json").write_text(json.dumps(card, indent=1) + "\n")
    return card


@verb(app)
def show() -> None:
    """This participant's address and public sealing key."""
    home = Home.current()
    path = home.folder / "member.json"
    if not path.exists():
        raise Misuse(f"{home.folder} is not a member's folder", hint="a unit's is shown by `printright unit show`")
    card = read_json(path)
    result(card, f"{card['name']}: {card['address']}")


@verb(app)
@click.argument("card", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--roles", required=True, help="rights-holder, maker, builder, custodian; several with commas.")
async def admit(card: Path, roles: str) -> None:
    """Admit the member whose card this is, or change its roles. For the registrar."""
    from printright.domain.member import Role
    from printright.services import members

    data = read_json(card)
    if not isinstance(data, dict) or data.get("printright") != "member/1":
        raise BadValue(f"{card} is not a member's card", hint="it is made by `printright member create`")
    member = parse_address(data["address"])
    key, profile = bytes.fromhex(data["key"]), bytes.fromhex(data["profile"])
    async with Home.current().ledger(sending=True) as ledger:
        receipt = await members.admit(ledger, member, Role.parse(roles), key, profile)
        await ledger.wait_final(receipt)
    result(
        {"member": member, "roles": roles, "tx": receipt.tx_hash, "gas": receipt.gas_used},
        f"{data['name']} ({member}) is admitted as {roles}",
    )


@verb(app)
@click.argument("address")
async def suspend(address: str) -> None:
    """Take all roles from a member and retire its units. For the registrar."""
    from printright.services import members

    member = parse_address(address)
    async with Home.current().ledger(sending=True) as ledger:
        receipt = await members.suspend(ledger, member)
        await ledger.wait_final(receipt)
    result({"member": member, "tx": receipt.tx_hash, "gas": receipt.gas_used}, f"{member} is suspended")


@verb(app, "list")
async def list_members() -> None:
    """All members and their roles."""
    from printright.services.history import read_history

    async with Home.current().ledger() as ledger:
        history = await read_history(ledger)
    rows = [
        {
            "address": address,
            "roles": member.roles.words() or "suspended",
            "active_units": sum(unit.active and unit.operator == address for unit in history.units.values()),
        }
        for address, member in history.members.items()
    ]
    result(rows, table(rows, "address", "roles", "active units", empty="no members yet"))

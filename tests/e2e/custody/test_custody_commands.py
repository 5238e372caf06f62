"""The commands of the page `how-to/committee`, by the homes of an owner and four custodians."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from custody_scene import REGISTRAR, Scene, sending

from printright.cli.home import Home
from printright.cli.main import cli
from printright.cli.member import member_card
from printright.cli.setup import create_home
from printright.domain.member import Role
from printright.domain.words import EMPTY_32
from printright.ledger.evm import open_ledger
from printright.services.members import admit

pytestmark = pytest.mark.needs("anvil")


def home(custody: Scene, folder: Path, name: str) -> Home:
    """A member's home; all have their store in one folder."""
    password = folder / "password"
    password.write_text("a password for tests\n")
    store = f"[store]\nfolder = {json.dumps(str(folder / 'store'))}\n"
    made = create_home(folder / name, password_file=password, network=None, extra=store, work_factor=1 << 12)
    (made.folder / "network.toml").write_text(custody.network.dump())
    member_card(made, name)
    return made


def printright(home: Home, *args: object, fails: str = "") -> Any:
    """A command's JSON result. With `fails`, it must end with a message that says so."""
    ran = CliRunner().invoke(cli, [*map(str, args), "--home", str(home.folder), "--json"], catch_exceptions=False)
    if fails:
        assert ran.exit_code != 0
        assert fails in ran.stderr, ran.stderr
        return json.loads(ran.stderr)
    assert ran.exit_code == 0, ran.output
    return json.loads(ran.stdout)


async def admitted(custody: Scene, owner: Home, folder: Path) -> None:
    custody.chain.fund(owner.ledger_key())
    async with sending(custody.network, REGISTRAR, folder) as registrar:
        address, point = owner.ledger_key().address, owner.unsealing_key().public_key
        await admit(registrar, address, Role.RIGHTS_HOLDER, point, EMPTY_32)


def test_a_committee_of_three_replaces_one(custody: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    owner, a, b, c, d = (home(custody, tmp_path, name) for name in ("owner", "a", "b", "c", "d"))
    asyncio.run(admitted(custody, owner, tmp_path))
    source = tmp_path / "bracket.gcode"
    source.write_text("G28\nG1 X10 Y10 F3000\n")
    cards = [part for each in (a, b, c) for part in ("--custodian", each.folder / "member.json")]
    printright(owner, "design", "publish", source, "--title", "bracket", "--threshold", 2, *cards)
    (only,) = printright(owner, "custodian", "show", "bracket")["epochs"]
    assert (only["epoch"], only["threshold"], only["in_force"], len(only["custodians"])) == (0, 2, True, 3)

    # 1. New keys for those who stay.
    next_cards = []
    for each in (a, b):
        said = printright(each, "custodian", "rotate-key")
        settings = (each.folder / "printright.toml").read_text()
        settings = settings.replace("[keys]\n", f"[keys]\nunsealing = {json.dumps(said['unsealing'])}\n", 1)
        settings += f"[custodian]\nformer_keys = {json.dumps(said['former_keys'])}\n"
        (each.folder / "printright.toml").write_text(settings)
        next_cards += ["--custodian", said["card"]]
    a, b = Home(a.folder), Home(b.folder)
    # 2. to 4. Order, contribute, collect.
    to = [*next_cards, "--custodian", d.folder / "member.json"]
    ordered = printright(owner, "custodian", "order", "bracket", "--threshold", 2, *to, "--out", "order.json")
    assert (ordered["epoch"], ordered["keys_kept"]) == (1, 0)
    printright(d, "custodian", "contribute", "order.json", fails="holds no share in epoch 0")
    for name, each in (("a", a), ("c", c)):
        printright(each, "custodian", "contribute", "order.json", "--out", f"contribution-{name}.json")
    printright(owner, "custodian", "collect", "order.json", "contribution-a.json", fails="1 good contributions, 2 are")
    both = ("contribution-a.json", "contribution-c.json")
    collected = printright(owner, "custodian", "collect", "order.json", *both, "--out", "record.json")
    assert collected["dealers"] == [1, 3]
    # 5. and 6. Accept, put into force.
    printright(c, "custodian", "accept", "record.json", fails="is not of the next committee")
    for name, each in (("a", a), ("b", b), ("d", d)):
        printright(each, "custodian", "accept", "record.json", "--out", f"acceptance-{name}.json")
    force = ("custodian", "put-into-force", "record.json")
    printright(owner, *force, "acceptance-a.json", "acceptance-b.json", fails="not accepted by")
    printright(owner, *force, "order.json", fails="no acceptance")
    accepted = [f"acceptance-{name}.json" for name in "abd"]
    done = printright(owner, *force, *accepted)
    assert printright(owner, *force, *accepted) == done  # again, after a lost answer
    first, second = printright(owner, "custodian", "show", "bracket")["epochs"]
    assert (first["in_force"], second["in_force"], second["record"]) == (False, True, done["record"])
    assert [each["accepted"] for each in second["custodians"]] == [True] * 3

    async def on_ledger() -> str:
        async with open_ledger(custody.network) as ledger:
            content = (await ledger.events(names=["CustodyChanged"]))[-1].content  # type: ignore[attr-defined]
            return str((await ledger.call("design", content)).custody.hex())

    assert asyncio.run(on_ledger()) == done["record"]
    printright(a, "custodian", "contribute", "order.json", fails="in force is epoch 1")

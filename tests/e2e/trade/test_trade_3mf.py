"""Models as designs, by the command line on a real ledger: published, licensed, sealed, checked, imported."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from printright.cli.home import Home
from printright.cli.main import cli
from printright.cli.setup import create_home
from printright.domain.license import License
from printright.domain.member import Role
from printright.errors import PackageRefused
from printright.ledger.evm import deploy, open_ledger
from printright.services import members
from printright.units.keyring import DesignKeys

VECTORS = Path(__file__).parents[2] / "vectors" / "threemf"
MISUSE, REFUSED, NOT_MINE = 2, 3, 5
Run = Callable[..., dict[str, Any]]


def key_files(folder: Path, name: str, password: bytes = b"") -> tuple[Path, Path]:
    """An RSA key pair as PEM files: private, public."""
    key = rsa.generate_private_key(65537, 2048)
    private, public = folder / f"{name}.pem", folder / f"{name}.pub.pem"
    scheme = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    encoding = serialization.Encoding.PEM
    private.write_bytes(key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, scheme))
    public.write_bytes(key.public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo))
    return private, public


async def found_network(rpc_url: str, folder: Path) -> None:
    """Two members on a fresh ledger: a rights holder and a maker."""
    (folder / "password").write_text("correct horse\n")
    homes = {
        name: create_home(folder / name, password_file=folder / "password", network=None, work_factor=4096)
        for name in ("holder", "shop")
    }
    registrar = homes["holder"].ledger_key()
    network = await deploy(rpc_url, registrar, registrar.address, name="test", finality="single-node")
    async with open_ledger(network, signer=registrar, journal=folder / "registrar.sqlite") as ledger:
        for name, home in homes.items():
            (home.folder / "network.toml").write_text(network.dump())
            address, key = home.public_halves()
            role = Role.RIGHTS_HOLDER | Role.CUSTODIAN | Role.MAKER
            await members.admit(ledger, address, role, key, bytes(32))
            card = {"printright": "member/1", "name": name, "salt": "00", "address": address, "key": key.hex()}
            (home.folder / "member.json").write_text(json.dumps(card))


@pytest.fixture
def run(rpc_url: str, tmp_path: Path) -> Run:
    asyncio.run(found_network(rpc_url, tmp_path))

    def command(home: str, *words: str | Path, exits: int = 0) -> dict[str, Any]:
        ran = CliRunner().invoke(cli, [*map(str, words), "--home", str(tmp_path / home), "--json"])
        assert ran.exit_code == exits, ran.output + repr(ran.exception)
        lines = (ran.stderr if exits else ran.stdout).splitlines()
        return dict(json.loads("\n".join(lines[next(n for n, line in enumerate(lines) if line.startswith("{")) :])))

    return command


@pytest.mark.parametrize("rpc_url", ["embedded"], indirect=True)
def test_models_by_the_command_line(run: Run, tmp_path: Path) -> None:
    a_model_from_publishing_to_import(run, tmp_path)
    hostile_and_foreign_models(run, tmp_path)


def a_model_from_publishing_to_import(run: Run, tmp_path: Path) -> None:
    model = tmp_path / "bracket.3mf"
    model.write_bytes((VECTORS / "accepted-plain.3mf").read_bytes())
    private, public = key_files(tmp_path, "press")

    published = run("holder", "design", "publish", model, "--title", "bracket")
    shop = tmp_path / "shop" / "member.json"
    license_file = tmp_path / "bracket.license.json"
    grant = ("license", "grant", "--design", "bracket", "--to", shop, "--copies", "2", "--expires", "30d")
    run("holder", *grant, "--out", license_file)

    sealed = tmp_path / "sealed.3mf"
    export = ("design", "export-3mf", model, "--design", "bracket", "--for", f"press-7={public}")
    made = run("holder", *export, "--license", license_file, "--out", sealed)
    license_id = json.loads(license_file.read_text())["id"]
    assert (made["content"], made["license"]) == (published["content"], license_id)

    # The print shop sees what it got, and that it is for its license.
    facts = run("shop", "design", "check-3mf", sealed, "--key", private, "--license", license_file)
    assert facts["authenticated"]
    assert facts["consumers"] == ["press-7"]
    assert (facts["content"], facts["license"]) == (published["content"], license_id)

    # What was sealed for it is not its own to publish; the rights holder may.
    imported = ("design", "import-3mf", sealed, "--key", private, "--title", "mine now")
    assert "not yours" in run("shop", *imported, exits=REFUSED)["message"]
    again = run("holder", *imported)
    assert again["content"] not in (published["content"], None)
    assert run("holder", *imported)["tx"] == again["tx"], "the same call again publishes nothing"

    # No unit would print it as G-code.
    holder = Home(tmp_path / "holder")
    with pytest.raises(PackageRefused, match="model/3mf"):
        asyncio.run(
            DesignKeys(
                ledger=None,  # type: ignore[arg-type]
                store=holder.store(),
                custodians={},
                unit_key=holder.ledger_key(),
                unsealing_key=holder.unsealing_key(),
                identity=None,  # type: ignore[arg-type]
                session=None,  # type: ignore[arg-type]
            ).fetch(License.from_json(json.loads(license_file.read_text())))
        )

    # Another key, another license, another file, and a target that is there: refused, and nothing is written.
    before = sealed.read_bytes()
    _, other = key_files(tmp_path, "other")
    stranger, _ = key_files(tmp_path, "stranger", b"pass")
    (tmp_path / "pass").write_text("pass\n")
    wrong = ("design", "check-3mf", sealed, "--key", stranger, "--key-password-file", tmp_path / "pass")
    assert run("shop", *wrong, exits=NOT_MINE)["error"] == "WrongKey"
    (tmp_path / "pass").write_text("wrong\n")
    assert "password" in run("shop", *wrong, exits=NOT_MINE)["message"]
    second = tmp_path / "second.license.json"
    run("holder", *grant, "--reference", "another", "--out", second)
    check = ("design", "check-3mf", sealed, "--license", second)
    assert "another license" in run("shop", *check, exits=REFUSED)["message"]
    assert "is there already" in run("holder", *export, "--out", sealed, exits=MISUSE)["message"]
    model.write_bytes((VECTORS / "accepted-stored.3mf").read_bytes())
    export_other = ("design", "export-3mf", model, "--design", "bracket", "--for", f"x={other}")
    assert "not the file" in run("holder", *export_other, "--out", tmp_path / "no.3mf", exits=REFUSED)["message"]
    assert sealed.read_bytes() == before
    assert not (tmp_path / "no.3mf").exists()
    assert not list(tmp_path.glob(".*.new"))


def hostile_and_foreign_models(run: Run, tmp_path: Path) -> None:
    # A file of a CAD system that uses lib3mf, sealed for the rights holder, becomes its design.
    key = ("--key", VECTORS / "consumer.pem", "--consumer", "shop")
    foreign = VECTORS / "accepted-secure-lib3mf.3mf"
    assert run("holder", "design", "import-3mf", foreign, *key, "--title", "from cad")["content"]
    for name in (
        "refused-bomb-ratio",
        "refused-script-orca-json",
        "refused-xml-billion-laughs",
        "accepted-secure-lib3mf",
    ):
        refusal = run("holder", "design", "publish", VECTORS / f"{name}.3mf", "--title", name, exits=REFUSED)
        assert refusal["error"] == "ModelRefused"
    refusal = run(
        "holder", "design", "import-3mf", VECTORS / "refused-secure-part-bit.3mf", *key, "--title", "x", exits=REFUSED
    )
    assert "does not authenticate" in refusal["message"]
    listed = CliRunner().invoke(cli, ["design", "list", "--json", "--home", str(tmp_path / "holder")])
    assert {row["title"] for row in json.loads(listed.stdout)} == {"bracket", "mine now", "from cad"}

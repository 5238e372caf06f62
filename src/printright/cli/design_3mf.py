"""printright design export-3mf, import-3mf, check-3mf: encrypted models in the industry's format."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from printright.cli.design import app, publish_source, publishing, shelf_of
from printright.cli.home import Home
from printright.cli.output import read_json, result, verb
from printright.errors import BadValue

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    from printright.domain.license import License
    from printright.vault.secure_content import Binding, Recipient

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_LICENSE = click.option("--license", "license_file", type=_FILE, help="License file that the 3MF is for.")
_PASSWORD = click.option(
    "--key-password-file", type=_FILE, help="File with the RSA key's password.  [default: asked for, if it has one]"
)
_AS = click.option("--consumer", help="Which of the file's consumers you are.  [default: all are tried]")


@verb(app, "export-3mf")
@click.argument("source", type=_FILE)
@click.option("--design", required=True, help="Title or id of the design that SOURCE was published as.")
@click.option(
    "--for",
    "consumers",
    multiple=True,
    required=True,
    metavar="ID=PEM",
    help="A consumer's id and the file with its RSA public key; several times for several.",
)
@_LICENSE
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The file to write.")
@click.option("--no-compression", is_flag=True, help="Encrypt without deflating first.")
def export_3mf(
    source: Path, design: str, consumers: tuple[str, ...], license_file: Path | None, out: Path, no_compression: bool
) -> None:
    """Seal SOURCE, a published 3MF or STL, for outside systems: 3MF Secure Content, bound to the design and a license.

    Whoever has a consumer's private key opens it without asking the ledger: this hands the model over.
    """
    from printright.services.sealed_model import export_sealed

    found = shelf_of(Home.current()).get(design)
    made = export_sealed(
        found,
        source,
        out,
        [_recipient(each) for each in consumers],
        license=_license(license_file),
        compress=not no_compression,
    )
    left = f"; left out: {', '.join(made.left_out)}" if made.left_out else ""
    result(
        {
            "file": out,
            "key_uuid": str(made.key_uuid),
            "encrypted": made.encrypted,
            "left_out": made.left_out,
            **_bound(made.binding),
        },
        f"{found.title} is sealed in {out}, {len(made.encrypted)} parts encrypted{left}",
    )


@verb(app, "import-3mf")
@click.option("--key", required=True, type=_FILE, help="Your RSA private key, PEM.")
@_PASSWORD
@_AS
@click.option("--after", help="Title or id of the version that this one follows.")
@publishing
async def import_3mf(
    source: Path, key: Path, key_password_file: Path | None, consumer: str | None, after: str | None, **options: Any
) -> None:
    """Open SOURCE, a 3MF that was sealed for you, in memory, and publish it as a design of yours."""
    from printright.services.sealed_model import opened_model

    shelf = shelf_of(Home.current())
    previous = shelf.get(after).content if after else None
    with opened_model(source, _private_key(key, key_password_file), consumer, shelf) as plain:
        await publish_source(plain, previous, file_name=source.name, **options)


@verb(app, "check-3mf")
@click.argument("source", type=_FILE)
@click.option("--key", type=_FILE, help="Your RSA private key, PEM: with it everything is authenticated.")
@_PASSWORD
@_AS
@_LICENSE
def check_3mf(
    source: Path,
    key: Path | None,
    key_password_file: Path | None,
    consumer: str | None,
    license_file: Path | None,
) -> None:
    """Say who SOURCE, a sealed 3MF, is for, and which design and license it is bound to. Nothing is written."""
    from printright.services.sealed_model import check_sealed

    private = _private_key(key, key_password_file) if key else None
    facts = check_sealed(source, key=private, consumer=consumer, license=_license(license_file))
    bound = _bound(facts.binding)
    lines = [
        f"for {', '.join(facts.consumers) or 'nobody by name'}; {len(facts.encrypted)} parts encrypted",
        f"design {bound['content'] or 'none named'}, license {bound['license'] or 'none named'}",
        "everything in it authenticates" if facts.authenticated else "not authenticated: that needs --key",
    ]
    result(
        {
            "consumers": facts.consumers,
            "encrypted": facts.encrypted,
            "key_uuids": facts.key_uuids,
            "authenticated": facts.authenticated,
            **bound,
        },
        "\n".join(lines),
    )


def _recipient(text: str) -> Recipient:
    from printright.vault.secure_content import Recipient
    from printright.vault.secure_content.wrapping import load_public

    # Ids of consumers have all kinds of signs in them, and so have paths; the last one parts them.
    consumer, equals, path = text.rpartition("=")
    if not equals or not consumer or not path:
        raise BadValue(f"not a consumer: {text!r}", hint="ID=PEM, such as press-7=press-7.pub.pem")
    return Recipient(consumer, load_public(Path(path)))


def _private_key(path: Path, password_file: Path | None) -> RSAPrivateKey:
    from printright.vault.secure_content.wrapping import load_private

    def password() -> str:
        if password_file is None:
            return str(click.prompt(f"Password of {path}", hide_input=True, err=True))
        try:
            return password_file.read_text().rstrip("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise BadValue(f"cannot read {password_file}: {error}") from None

    return load_private(path, password)


def _license(path: Path | None) -> License | None:
    from printright.domain.license import License

    return License.from_json(read_json(path)) if path else None


def _bound(binding: Binding | None) -> dict[str, str | None]:
    from printright.vault.secure_content import NO_LICENSE

    if binding is None:
        return {"content": None, "license": None}
    license_id = None if binding.license == NO_LICENSE else binding.license.hex()
    return {"content": binding.content.hex(), "license": license_id}

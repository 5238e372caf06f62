"""printright key: create, show."""

from __future__ import annotations

import click

from printright.cli.home import ask_pin
from printright.cli.output import noun, result, verb

app = noun("Make keys in hardware tokens, and look at them.")


@verb(app)
@click.argument("token", metavar="URI")
@click.option(
    "--name", default="printright", show_default=True, help="The keys are called NAME-ledger, NAME-unsealing."
)
def create(token: str, name: str) -> None:
    """Make a ledger key and an unsealing key in the token that URI names: `pkcs11:token=LABEL?module-name=LIBRARY`.

    The private halves never leave it. The PIN is asked for, or comes from the URI's pin-source (`file:/path`,
    `env:NAME`).
    """
    from printright.vault.keys import open_ledger_key, open_unsealing_key
    from printright.vault.keys.pkcs11_uri import TokenUri
    from printright.vault.keys.uri import token_keys

    ledger, unsealing = map(str, token_keys().create_token_keys(TokenUri.parse(token), name, ask_pin))
    address = open_ledger_key(ledger, ask_pin).address
    key = open_unsealing_key(unsealing, ask_pin).public_key
    result(
        {"ledger": ledger, "unsealing": unsealing, "address": address, "key": key},
        f"account {address}\n--ledger-key '{ledger}'\n--unsealing-key '{unsealing}'",
    )


@verb(app)
@click.argument("uri")
def show(uri: str) -> None:
    """What URI opens: the key's public half, and what the token says of the private one."""
    from printright.vault.keys import LedgerKey
    from printright.vault.keys.pkcs11_uri import TokenUri
    from printright.vault.keys.uri import token_keys

    key, facts = token_keys().open_token_key(TokenUri.parse(uri), ask_pin)
    data: dict[str, object] = {"label": facts.label, "id": facts.id}
    if isinstance(key, LedgerKey):
        data |= {"purpose": "ledger", "address": key.address}
        text = f"ledger key {facts.label}: account {key.address}"
    else:
        data |= {"purpose": "unsealing", "key": key.public_key}
        text = f"unsealing key {facts.label}: {key.public_key.hex()}"
    data |= {"made_in_token": facts.made_in_token, "never_extractable": facts.never_extractable}
    made = "made in the token" if facts.made_in_token else "NOT made in the token: somebody may have a copy"
    was = "was never extractable" if facts.never_extractable else "WAS extractable once: somebody may have a copy"
    result(data, f"{text}\nit is sensitive and not extractable, {made}, and {was}")

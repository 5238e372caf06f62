"""Make a participant's folder: settings, keys, and a copy of the network file."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from printright.cli.home import Home, Settings, ask_pin
from printright.errors import Misuse

if TYPE_CHECKING:
    from printright.vault.keys import CreatedKeys


def key_options(function: Any) -> Any:
    """The options of commands that make a folder: where its keys are."""
    options = [
        click.option(
            "--ledger-key", metavar="URI", help="A ledger key in a token: `pkcs11:...`.  [default: a new file]"
        ),
        click.option(
            "--unsealing-key", metavar="URI", help="An unsealing key in a token: `pkcs11:...`.  [default: a new file]"
        ),
        click.option("--password-file", type=click.Path(dir_okay=False, path_type=Path), help="Instead of the prompt."),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def create_home(
    folder: Path,
    *,
    password_file: Path | None,
    network: Path | None,
    extra: str = "",
    work_factor: int | None = None,
    ledger_key: str | None = None,
    unsealing_key: str | None = None,
) -> Home:
    """Create `folder` with new keys in files, but for those whose URIs in a token are given.

    `extra` is more TOML for the settings. Raises Misuse where there are keys, and what opening a token's key raises:
    then nothing is made.
    """
    home = Home(folder)
    if home.settings_path.exists():
        raise Misuse(f"{folder} is a participant's folder already", hint="choose another --home")
    in_token = _open_given(ledger_key, unsealing_key)
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    lines = ["[keys]"]
    lines += [f"ledger = {json.dumps(ledger_key)}"] if ledger_key is not None else []
    lines += [f"unsealing = {json.dumps(unsealing_key)}"] if unsealing_key is not None else []
    if ledger_key is None or unsealing_key is None:
        if password_file is None:
            password = click.prompt(
                "New password of the keystores", hide_input=True, confirmation_prompt=True, err=True
            )
        else:
            password = password_file.read_text().rstrip("\n")
            relative = os.path.relpath(password_file.resolve(), folder.resolve())
            lines += [f"password_file = {json.dumps(relative)}"]
        home.created = in_token(folder / "keys", password, {} if work_factor is None else {"work_factor": work_factor})
    else:
        home.created = in_token(folder / "keys", "", {})
    lines += [extra] if extra else []
    home.settings_path.write_text("\n".join(lines) + "\n")
    home.settings()
    if network is not None:
        shutil.copyfile(network, folder / Settings().network)
    return home


def _open_given(
    ledger_uri: str | None, unsealing_uri: str | None
) -> Callable[[Path, str, dict[str, int]], CreatedKeys]:
    """Open the given keys; returns what makes those that are not given, in files."""
    from printright.vault.keys import CreatedKeys, create_keys, open_ledger_key, open_unsealing_key
    from printright.vault.keys.pkcs11_uri import TokenUri

    for uri in (ledger_uri, unsealing_uri):
        if uri is not None:
            TokenUri.parse(uri)
    ledger = None if ledger_uri is None else open_ledger_key(ledger_uri, ask_pin)
    unsealing = None if unsealing_uri is None else open_unsealing_key(unsealing_uri, ask_pin)

    def make(folder: Path, password: str, how: dict[str, int]) -> CreatedKeys:
        from printright.vault.keys import files

        if ledger is None and unsealing is None:
            return create_keys(folder, password, **how)
        made_ledger = ledger or files.create_ledger_file(folder, password, **how)
        made_unsealing = unsealing or files.create_unsealing_file(folder, password, **how)
        return CreatedKeys(
            made_ledger.address,
            made_unsealing.public_key,
            ledger_uri or (folder / files.LEDGER_FILE).resolve().as_uri(),
            unsealing_uri or (folder / files.UNSEALING_FILE).resolve().as_uri(),
        )

    return make

"""Make a participant's folder: settings, keys, and a copy of the network file."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import click

from printright.cli.home import Home, Settings
from printright.errors import Misuse


def create_home(
    folder: Path, *, password_file: Path | None, network: Path | None, extra: str = "", work_factor: int | None = None
) -> Home:
    """Create `folder` with new keys. `extra` is more TOML for the settings. Raises Misuse where there are keys."""
    from printright.vault.keys import create_keys

    home = Home(folder)
    if home.settings_path.exists():
        raise Misuse(f"{folder} is a participant's folder already", hint="choose another --home")
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    if password_file is None:
        password = click.prompt("New password of the keystores", hide_input=True, confirmation_prompt=True, err=True)
    else:
        password = password_file.read_text().rstrip("\n")
    if work_factor is None:
        home.created = create_keys(folder / "keys", password)
    else:
        home.created = create_keys(folder / "keys", password, work_factor=work_factor)
    lines = []
    if password_file is not None:
        lines += ["[keys]", f"password_file = {json.dumps(os.path.relpath(password_file.resolve(), folder.resolve()))}"]
    lines += [extra] if extra else []
    home.settings_path.write_text("\n".join(lines) + "\n")
    home.settings()
    if network is not None:
        shutil.copyfile(network, folder / Settings().network)
    return home

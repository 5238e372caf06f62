"""Where a keystore's password comes from."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable
from pathlib import Path

from printright.errors import BadSettings

_MAX_BYTES = 4096


def password_source(text: str) -> Callable[[], str]:
    """`prompt`, `env:NAME` or `file:/path` (first line), read when called. Raises BadSettings, then too."""
    kind, _, name = text.partition(":")
    if text == "prompt":
        return lambda: getpass.getpass("Password of the key: ")
    if kind == "env" and name:
        return lambda: _from_environment(name)
    if kind == "file" and name:
        return lambda: _from_file(Path(name))
    raise BadSettings("not a source of a password", hint="prompt, env:NAME or file:/path")


def _from_environment(name: str) -> str:
    password = os.environ.get(name, "")
    if not password:
        raise BadSettings(f"the environment variable {name} is not set", hint="it shall hold the key's password")
    return password


def _from_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            line = file.readline(_MAX_BYTES)
        password = line.decode().rstrip("\r\n")
    except (OSError, UnicodeDecodeError):
        raise BadSettings(f"cannot read a password from {path}", hint="one line of text") from None
    if not password:
        raise BadSettings(f"the password file {path} is empty")
    return password

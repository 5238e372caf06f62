"""Where a token's PIN comes from: a file, a variable of the environment, or somebody who is asked.

A PIN is never an argument of a command, part of a URI, or in a message, representation or log.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

from printright.errors import BadSettings

_MAX_BYTES = 256
_HINT = "pin-source=file:/absolute/path or pin-source=env:NAME; without one you are asked"


def pin_source(source: str | None, prompt: Callable[[], str]) -> Callable[[], str]:
    """How to get the PIN: by `source` (`file:` or `env:`), else by `prompt`. Raises BadSettings for another source.

    A file or variable is read at each login, so that a changed PIN needs no restart. The answer to a prompt is kept
    for as long as the process lives, since a token that was pulled out wants it again.
    """
    if source is None:
        answers: list[str] = []

        def asked() -> str:
            if not answers:
                answers.append(prompt())
            return answers[0]

        return asked
    kind, _, place = source.partition(":")
    if kind == "env" and place.isidentifier():
        return lambda: _from_environment(place)
    if kind == "file":
        parts = urlsplit(source)
        if parts.netloc in ("", "localhost") and parts.path.startswith("/") and not parts.query and not parts.fragment:
            path = Path(unquote(parts.path))
            return lambda: _from_file(path)
    raise BadSettings("this source of a PIN is not known here", hint=_HINT)


def _from_environment(name: str) -> str:
    if name not in os.environ:
        raise BadSettings(f"the variable {name}, which should hold the token's PIN, is not set")
    return os.environ[name]


def _from_file(path: Path) -> str:
    """A file's only line. What other users can read or write is refused, as ssh does with keys."""
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & 0o006:
                raise BadSettings(f"everybody can read or write the PIN file {path}", hint="chmod 600")
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise BadSettings(f"cannot read the PIN file {path}: {error.strerror}") from None
    try:
        text = data.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        text = "\n"
    if len(data) > _MAX_BYTES or "\n" in text:
        raise BadSettings(f"the PIN file {path} is not one line of text")
    return text

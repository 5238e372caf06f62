"""printright unit operator: add, list, remove. Works on the file in the unit's home, whether its agent runs or not."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from printright.cli.home import Home
from printright.cli.output import noun, result, table, verb
from printright.errors import Misuse

if TYPE_CHECKING:
    from printright.units.operators import Operators

operators = noun("Who may use this unit's agent, and for what.")
_PERMISSIONS = ("view", "print", "control", "delegate", "admin")


def _file() -> Operators:
    from printright.units.operators import Operators

    return Operators(Home.current().folder / "operators.toml")


@verb(operators)
@click.argument("name")
@click.option(
    "--may",
    "permissions",
    multiple=True,
    required=True,
    type=click.Choice(_PERMISSIONS),
    help="view: see everything, halt in an emergency; print: order and label; control: pause, cancel, bed, material;"
    " delegate: speak for users of its own; admin: all. Several times.",
)
@click.option("--uid", type=int, help="This account's processes at the Unix socket are the operator; no token then.")
@click.option(
    "--token-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to write the token, mode 0600.  [default: it is shown, once]",
)
def add(name: str, permissions: tuple[str, ...], uid: int | None, token_file: Path | None) -> None:
    """Let NAME use this unit's agent, known by a token or by an account of this machine. Counts at once."""
    from printright.units.operators import Permission

    chosen = frozenset(map(Permission, permissions))
    file = None if token_file is None else _new_file(token_file)
    token = _file().add(name, chosen, uid=uid, with_token=uid is None or file is not None)
    data = {"operator": name, "permissions": sorted(chosen), "uid": uid}
    text = f"{name} may {', '.join(sorted(chosen))}"
    if token is None:
        result(data, f"{text}, as user id {uid}")
    elif file is None:
        result({**data, "token": token}, f"{text}\nthe token, which is shown only now:\n{token}")
    else:
        with os.fdopen(file, "w") as opened:
            opened.write(token + "\n")
        result({**data, "token_file": str(token_file)}, f"{text}\nthe token is in {token_file}")


def _new_file(path: Path) -> int:
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Misuse(f"cannot make {path}: {error.strerror}", hint="a token goes into a new file") from None


@verb(operators, "list")
def list_operators() -> None:
    """The operators of this unit. The account that owns it needs no entry: at its socket it may do everything."""
    rows = [
        {
            "name": each.name,
            "may": ", ".join(sorted(each.permissions)),
            "uid": "" if each.uid is None else each.uid,
            "token": "yes" if each.token_sha256 else "no",
        }
        for each in _file().all()
    ]
    result(rows, table(rows, "name", "may", "uid", "token", empty="nobody but the owner's account"))


@verb(operators)
@click.argument("name")
def remove(name: str) -> None:
    """Take NAME's permissions and token away; counts at the next request."""
    _file().remove(name)
    result({"removed": name}, f"{name} is no operator any more")

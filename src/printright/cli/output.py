"""What every command shares: --home and --json, the one place that prints, and the one place that exits."""

from __future__ import annotations

import functools
import inspect
import json
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import click

from printright.errors import Misuse, PrintrightError

DEFAULT_HOME = Path.home() / ".config" / "printright"


def noun(help: str) -> click.Group:
    """The group of one noun."""
    return click.Group(help=help, no_args_is_help=True)


def verb(app: click.Group, name: str | None = None) -> Callable[[Callable[..., Any]], click.Command]:
    """Register a command of `app`; stands above its click options. See `command`."""

    def register(function: Callable[..., Any]) -> click.Command:
        made = command(function, name or function.__name__.replace("_", "-"))
        app.add_command(made)
        return made

    return register


def command(function: Callable[..., Any], name: str) -> click.Command:
    """A command from a function, sync or async, that bears click's options and arguments.

    It gets --home and --json, and the PrintrightErrors it raises become a message, a hint and an exit code.
    """

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            if inspect.iscoroutinefunction(function):
                _run_until_terminated(function(*args, **kwargs))
            else:
                function(*args, **kwargs)
        except PrintrightError as error:
            fail(error)
        except BaseExceptionGroup as group:
            # Task groups wrap what their tasks raise.
            ours, others = group.split(PrintrightError)
            if ours is None or others is not None:
                raise
            fail(_first(ours))
        except KeyboardInterrupt:
            sys.exit(130)

    home = click.Option(
        ["--home"],
        type=click.Path(file_okay=False, path_type=Path),
        expose_value=False,
        callback=_remember("home"),
        help="Folder of this participant.  [env: PRINTRIGHT_HOME]",
    )
    as_json = click.Option(
        ["--json"],
        is_flag=True,
        expose_value=False,
        callback=_remember("json"),
        help="Print one JSON document instead of text.",
    )
    made = click.command(name)(run)
    made.params += [home, as_json]
    return made


def _run_until_terminated(work: Coroutine[Any, Any, None]) -> None:
    # Imported here: the commands of a machine's operator need no event loop, and are not to wait for one.
    import asyncio

    async def terminable() -> None:
        # A service manager's SIGTERM ends a server as Ctrl-C does: a print is cancelled, files and sockets are closed.
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        await work

    try:
        asyncio.run(terminable())
    except asyncio.CancelledError:
        sys.exit(143)


def _remember(name: str) -> Callable[[click.Context, click.Parameter, Any], Any]:
    def callback(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
        del param
        ctx.meta[f"printright.{name}"] = value
        return value

    return callback


def home_folder() -> Path:
    """--home, or PRINTRIGHT_HOME, or the default."""
    given = click.get_current_context().meta.get("printright.home")
    return Path(given or os.environ.get("PRINTRIGHT_HOME") or DEFAULT_HOME)


def wants_json() -> bool:
    return bool(click.get_current_context().meta.get("printright.json"))


def result(data: Any, text: str | Callable[[], None] = "") -> None:
    """Print a command's result: `data` as JSON with --json, else `text`, which may draw for itself."""
    if wants_json():
        click.echo(json.dumps(data, indent=1, default=_plain))
    elif callable(text):
        text()
    elif text:
        click.echo(text)


def table(rows: list[dict[str, Any]], *columns: str, empty: str = "none") -> Callable[[], None]:
    """A drawing of `rows` for people; one column for each name."""

    def draw() -> None:
        from rich.console import Console
        from rich.table import Table

        if not rows:
            click.echo(empty)
            return
        drawn = Table(*columns, box=None, header_style="bold", pad_edge=False)
        for row in rows:
            drawn.add_row(*(_plain(row.get(column.replace(" ", "_"), "")) for column in columns))
        Console(width=None if sys.stdout.isatty() else 220).print(drawn)

    return draw


def fail(error: PrintrightError) -> None:
    """Say what happened and what to do next, and exit with the error's code."""
    if wants_json():
        body = {"error": type(error).__name__, "message": error.message, "hint": error.hint}
        click.echo(json.dumps(body), err=True)
    else:
        click.secho(f"{type(error).__name__}: {error.message}", fg="red", err=True)
        if error.hint:
            click.echo(f"  {error.hint}", err=True)
    sys.exit(error.exit_code)


def read_json(path: Path) -> Any:
    """A JSON file's content. Raises Misuse."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise Misuse(f"cannot read {path}: {error}") from None


def _first(group: BaseExceptionGroup[Any]) -> PrintrightError:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error


def _plain(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else str(value)

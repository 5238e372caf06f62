"""Commands as a person types them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from printright.cli.main import cli


def run(home: Path, *arguments: str, code: int = 0) -> dict[str, Any]:
    """A command in a process of its own; its result or, where it is to fail, its error."""
    done = subprocess.run(
        [sys.executable, "-m", "printright", *arguments, "--json"],
        env={**os.environ, "PRINTRIGHT_HOME": str(home)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == code, f"{arguments}: {done.stdout}{done.stderr}"
    found: dict[str, Any] = json.loads(done.stderr if code else done.stdout)
    return found


def call(home: Path, *arguments: str, code: int = 0) -> dict[str, Any]:
    """The same command in this process, where starting one would be most of the time."""
    done = CliRunner().invoke(cli, [*arguments, "--home", str(home), "--json"])
    assert done.exit_code == code, f"{arguments}: {done.output} {done.exception!r}"
    found: dict[str, Any] = json.loads(done.stderr if code else done.stdout)
    return found

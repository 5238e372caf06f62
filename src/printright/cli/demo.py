"""printright demo: the whole story on one machine, on the code paths and processes of production."""

from __future__ import annotations

import asyncio
import shutil
import sys
import time
from pathlib import Path

import click

from printright.cli.output import command, result, wants_json
from printright.errors import Misuse


@click.option(
    "--output",
    default="demo-output",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the participants' folders, the QR codes and the report go; emptied first.",
)
@click.option("--example", type=click.Path(exists=True, path_type=Path), help="Folder with knob.stl and profile.ini.")
def run(output: Path, example: Path | None) -> None:
    """Publish a sliced part, license three copies, print two, check them; then everything that is refused, and why."""
    from printright.cli.demo_report import Report
    from printright.cli.demo_story import tell

    marker = output / ".printright-demo"
    if output.exists() and any(output.iterdir()):
        if not marker.exists():
            raise Misuse(f"{output} is not empty and is not from an earlier demo", hint="choose another --output")
        shutil.rmtree(output)
    output.mkdir(parents=True, exist_ok=True)
    marker.touch()
    report = Report(quiet=wants_json())
    began = time.monotonic()
    asyncio.run(tell(output, example or _example(), report))
    report.close(time.monotonic() - began, output)
    result(report.data(), "")
    if not report.ok:
        sys.exit(1)


def _example() -> Path:
    found = Path(__file__).parents[3] / "examples" / "knob"
    if not found.exists():
        raise Misuse("the example is not beside the package", hint="run from a checkout, or name it with --example")
    return found


app: click.Command = command(run, "demo")

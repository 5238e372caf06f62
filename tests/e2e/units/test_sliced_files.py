"""Files from a real slicer pass the guard whole, and reach the printer's motors complete."""

from __future__ import annotations

import subprocess
from itertools import pairwise
from math import cos, pi, sin
from pathlib import Path

import pytest
from machine_scene import PROFILE, chunks, commands_of, machine

from printright.units.guard import Guard
from programs import program

Point = tuple[float, float, float]

# Start and end code of printers that are common; a line break is backslash and n in a profile.
ENDER = r"G28 ; home all axes\nG92 E0\nG1 Z2.0 F3000\nG1 X0.1 Y20 Z0.3 F5000.0\nG1 X0.1 Y200.0 Z0.3 F1500.0 E15\nG92 E0"
ENDER_END = (
    r"G91\nG1 E-2 F2700\nG1 E-2 Z0.2 F2400\nG1 X5 Y5 F3000\nG1 Z10\nG90\nG1 X0 Y200\nM106 S0\nM104 S0\nM140 S0"
    r"\nM84 X Y E"
)
LEVELED = (
    r"G90\nM83\nM140 S[first_layer_bed_temperature]\nM104 S160\nG28\nG29\nM420 S1 Z10"
    r"\nM190 S[first_layer_bed_temperature]\nM109 S[first_layer_temperature]\nG92 E0.0\nG1 Y-3.0 F1000.0"
    r"\nG1 X60.0 E9.0 F1000.0\nM221 S95\nM900 K0.05\nM117 Printing [layer_height]"
)

COMMON = {
    "bed_shape": "0x0,250x0,250x210,0x210",
    "max_print_height": "210",
    "nozzle_diameter": "0.4",
    "temperature": "210",
    "first_layer_temperature": "215",
    "bed_temperature": "60",
    "first_layer_bed_temperature": "60",
}
PROFILES: dict[str, dict[str, str]] = {
    "marlin2-default": {"gcode_flavor": "marlin2"},
    "marlin2-relative-limits-progress": {
        "gcode_flavor": "marlin2",
        "use_relative_e_distances": "1",
        "layer_gcode": "G92 E0",
        "machine_limits_usage": "emit_to_gcode",
        "remaining_times": "1",
        "start_gcode": LEVELED,
    },
    "marlin-ender-comments": {
        "gcode_flavor": "marlin",
        "gcode_comments": "1",
        "gcode_label_objects": "1",
        "start_gcode": ENDER,
        "end_gcode": ENDER_END,
    },
    "marlin2-firmware-retraction-spiral": {
        "gcode_flavor": "marlin2",
        "use_firmware_retraction": "1",
        "spiral_vase": "1",
        "perimeters": "1",
        "top_solid_layers": "0",
        "fill_density": "0",
    },
    "marlin2-supports-raft-brim": {
        "gcode_flavor": "marlin2",
        "support_material": "1",
        "raft_layers": "2",
        "brim_width": "5",
        "skirts": "3",
        "fill_pattern": "gyroid",
        "default_acceleration": "1000",
        "perimeter_acceleration": "800",
        "z_offset": "0.05",
    },
}


def vase(path: Path, sides: int = 24) -> None:
    """A twisted cup that is wider at the top: curves, overhangs and a flat bottom, as an STL in text."""

    def ring(z: float, radius: float, turn: float) -> list[Point]:
        return [
            (radius * cos(2 * pi * (i + turn) / sides), radius * sin(2 * pi * (i + turn) / sides), z)
            for i in range(sides)
        ]

    rings = [ring(level * 2.0, 8.0 + level * 0.9, level * 0.3) for level in range(7)]
    faces: list[tuple[Point, Point, Point]] = []
    for low, high in pairwise(rings):
        for i in range(sides):
            j = (i + 1) % sides
            faces += [(low[i], low[j], high[j]), (low[i], high[j], high[i])]
    bottom, top = (0.0, 0.0, 0.0), (0.0, 0.0, rings[-1][0][2])
    for i in range(sides):
        j = (i + 1) % sides
        faces += [(bottom, rings[0][j], rings[0][i]), (top, rings[-1][i], rings[-1][j])]
    text = ["solid vase"]
    for face in faces:
        text += [
            "facet normal 0 0 0",
            "outer loop",
            *(f"vertex {x:.5f} {y:.5f} {z:.5f}" for x, y, z in face),
            "endloop",
            "endfacet",
        ]
    path.write_text("\n".join([*text, "endsolid vase"]) + "\n")


def slice_part(folder: Path, settings: dict[str, str]) -> bytes:
    model, profile, output = folder / "vase.stl", folder / "profile.ini", folder / "vase.gcode"
    vase(model)
    profile.write_text("".join(f"{name} = {value}\n" for name, value in {**COMMON, **settings}.items()))
    slicer = program("prusa-slicer")
    assert slicer is not None
    subprocess.run(
        [slicer, "--datadir", folder / "data", "--load", profile, "--export-gcode", "--output", output, model],
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=120,
    )
    return output.read_bytes()


@pytest.mark.needs("prusa-slicer")
@pytest.mark.parametrize("name", PROFILES)
def test_no_line_of_a_sliced_file_is_refused(name: str, tmp_path: Path) -> None:
    file = slice_part(tmp_path, PROFILES[name])
    report = Guard(PROFILE).check_file([file])
    assert report.ok, report.findings
    # Runs of lines at once, as at a machine, and each line by itself: the same commands.
    fed, single = Guard(PROFILE), Guard(PROFILE)
    commands = fed.feed(file) + fed.finish()
    assert commands == [command for line in file.splitlines() if (command := single.check(line)) is not None]
    assert report.commands["G1"] > 1000
    assert report.filament_mm > 100


@pytest.mark.needs("prusa-slicer")
async def test_a_sliced_file_is_executed_whole(tmp_path: Path) -> None:
    file = slice_part(tmp_path, PROFILES["marlin-ender-comments"])
    async with machine() as (simulator, driver):
        outcome = await driver.print(chunks(file), total_bytes=len(file))
        assert outcome.completed
        assert simulator.firmware.transcript == commands_of(file)
        assert simulator.firmware.nozzle.target_c == 0

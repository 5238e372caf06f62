"""Slicers with the profiles that they come with: real start and end G-code of printers that people have.

PrusaSlicer brings its vendors' profiles along; CuraEngine gets Cura's definitions, whose words in braces Cura's own
window would fill in; Slic3r is told in the same language as PrusaSlicer. All from Debian (`tests/programs.py bench`).
"""

from __future__ import annotations

import configparser
import json
import os
import re
import subprocess
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from printright.units.guard import GuardProfile

ROOT = Path(__file__).parents[1]
VENDORS = Path("/usr/share/PrusaSlicer/profiles")
CURA = ROOT / ".cache" / "cura" / "usr" / "share" / "cura" / "resources"
TIMEOUT_S = 180
# What describes profiles to PrusaSlicer's window and nothing to its slicing.
_WINDOW = (
    *("compatible_printers", "compatible_printers_condition", "compatible_prints", "compatible_prints_condition"),
    *("default_filament_profile", "default_print_profile", "filament_vendor", "host_type", "print_host"),
    *("printer_variant", "renamed_from", "setting_id"),
)
_OUR_PLA = {"filament_type": "PLA", "filament_density": "1.24", "temperature": "210", "bed_temperature": "60"}


@dataclass(frozen=True)
class Job:
    """One file to be made: by which slicer, for which printer, of which models, with what changed in the profile."""

    slicer: str
    printer: str
    models: tuple[str, ...] = ("knob",)
    vendor: str = ""
    filament: str = ""
    changes: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        changed = ",".join(self.changes)
        return f"{self.slicer} {self.printer} {'+'.join(self.models)} {self.filament} {changed}".strip()


def slice_job(job: Job, models: Path, output: Path) -> GuardProfile:
    """Make the file, and say what its printer can stand: its volume, and 300 and 120 degrees."""
    work = output.with_suffix(".work")
    work.mkdir()
    files = [models / f"{name}.stl" for name in job.models]
    return {"prusa": _prusa, "slic3r": _slic3r, "cura": _cura}[job.slicer](job, files, output, work)


def _run(*command: str | Path, **environment: str) -> None:
    ran = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
        env={**os.environ, **environment},
    )
    if ran.returncode:
        raise RuntimeError(f"{command[0]}: {ran.stderr[-2000:]!r}")


def _prusa(job: Job, models: list[Path], output: Path, work: Path) -> GuardProfile:
    settings = {**_vendor_profile(job), **job.changes}
    profile = work / "profile.ini"
    profile.write_text("".join(f"{name} = {value}\n" for name, value in settings.items()))
    merge = ["--merge"] if len(models) > 1 else []
    _run(
        *("prusa-slicer", "--datadir", work / "data", "--load", profile, *merge),
        *("--export-gcode", "--output", output, *models),
    )
    return _guard_profile(settings)


def _slic3r(job: Job, models: list[Path], output: Path, work: Path) -> GuardProfile:
    settings = {**_vendor_profile(job), **job.changes}
    # Slic3r knows the older half of these names, counts extruders from 1, and has no expressions: its own start code.
    known = {
        name: value
        for name, value in settings.items()
        if name in _slic3r_names() and not name.endswith("_extruder") and value and not set(value) & set("{[")
    }
    profile = work / "profile.ini"
    profile.write_text("".join(f"{name} = {value}\n" for name, value in known.items()))
    merge = ["--merge"] if len(models) > 1 else []
    _run("slic3r", "--no-gui", "--load", profile, *merge, "--output", output, *models)
    return _guard_profile(settings)


@cache
def _slic3r_names() -> set[str]:
    helped = subprocess.run(["slic3r", "--help"], capture_output=True, text=True, check=False).stdout
    return {name.replace("-", "_") for name in re.findall(r"--([a-z0-9-]+)", helped)}


def _guard_profile(settings: dict[str, str]) -> GuardProfile:
    corners = [tuple(map(float, corner.split("x"))) for corner in settings["bed_shape"].split(",")]
    left, right = min(0.0, *(x for x, _ in corners)), max(x for x, _ in corners)
    front, back = min(0.0, *(y for _, y in corners)), max(y for _, y in corners)
    tools = len(settings.get("nozzle_diameter", "0.4").split(","))
    volume = (right - left, back - front, float(settings["max_print_height"]))
    return GuardProfile(volume, 300.0, 120.0, chamber_max_c=60.0, tools=tools, origin_mm=(left, front))


@cache
def _vendor(name: str) -> configparser.RawConfigParser:
    read = configparser.RawConfigParser(strict=False, delimiters=("=",), comment_prefixes=("#",))
    read.optionxform = str  # type: ignore[assignment,method-assign]
    read.read(VENDORS / f"{name}.ini", encoding="utf-8")
    return read


def _section(vendor: str, kind: str, name: str) -> dict[str, str]:
    """A profile with those that it inherits from."""
    own = dict(_vendor(vendor)[f"{kind}:{name}"])
    made: dict[str, str] = {}
    for parent in own.pop("inherits", "").split(";"):
        if parent.strip():
            made |= _section(vendor, kind, parent.strip())
    return made | own


def _vendor_profile(job: Job) -> dict[str, str]:
    printer = _section(job.vendor, "printer", job.printer)
    layers = printer["default_print_profile"].strip('"')
    filament = job.filament or printer.get("default_filament_profile", "").split(";")[0].strip().strip('"')
    chosen = _section(job.vendor, "filament", filament) if filament else _OUR_PLA
    settings = _section(job.vendor, "print", layers) | chosen | printer
    return {name: value for name, value in settings.items() if name not in _WINDOW}


def _cura(job: Job, models: list[Path], output: Path, work: Path) -> GuardProfile:
    del work
    values = {**_definition(job.printer), **job.changes}

    def filled(text: str) -> str:
        return re.sub(r"\{([a-z0-9_]+)[^}]*\}", lambda match: str(values.get(match[1], match[0])), text)

    given = {name: filled(str(values[name])) for name in ("machine_start_gcode", "machine_end_gcode")} | job.changes
    settings = [part for name, value in given.items() for part in ("-s", f"{name}={value}")]
    loads = [part for model in models for part in ("-l", model)]
    definition = CURA / "definitions" / f"{job.printer}.def.json"
    search = f"{CURA / 'definitions'}:{CURA / 'extruders'}"
    _run(
        "CuraEngine", "slice", "-j", definition, *settings, "-e0", "-o", output, *loads, CURA_ENGINE_SEARCH_PATH=search
    )
    volume = (float(values["machine_width"]), float(values["machine_depth"]), float(values["machine_height"]))
    centered = str(values["machine_center_is_zero"]).lower() == "true"
    profile = GuardProfile(volume, 300.0, 120.0, chamber_max_c=60.0, tools=int(values["machine_extruder_count"]))
    return replace(profile, origin_mm=(-volume[0] / 2, -volume[1] / 2)) if centered else profile


def _definition(name: str) -> dict[str, Any]:
    """Cura's values for a printer, inherited ones included; formulas are left at their defaults, as the engine does."""
    data = json.loads((CURA / "definitions" / f"{name}.def.json").read_text())
    values = _definition(data["inherits"]) if "inherits" in data else {}

    def take(settings: dict[str, Any]) -> None:
        for setting, about in settings.items():
            if "default_value" in about:
                values[setting] = about["default_value"]
            take(about.get("children", {}))

    take(data.get("settings", {}))
    for setting, about in data.get("overrides", {}).items():
        if "default_value" in about:
            values[setting] = about["default_value"]
        if isinstance(about.get("value"), (int, float)):
            values[setting] = about["value"]
    return values

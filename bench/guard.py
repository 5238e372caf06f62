"""Does the allow-list stop what it need not? Real slicers, real profiles, files made now, all through the guard.

A line that is refused counts as a false block. The rate holds for the profiles below. Those that are refused with
reason (they send a machine outside of itself, or write what is no command) are left out, and named in docs/adr/0017.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from bench.figure import Figure, figure, interleaved
from bench.models import write_models
from bench.printing import PROFILE, OpenGate, part
from bench.slicers import Job, slice_job
from printright.units.guard import Guard

RESEARCH, CREALITY = "PrusaResearch", "Creality"
MK3, MINI = "Original Prusa i3 MK3S & MK3S+", "Original Prusa MINI & MINI+"
ENDER, CR10 = "Creality Ender-3 (0.4 mm nozzle)", "Creality CR-10 (0.4 mm nozzle)"
BRIM = {"brim_width": "5", "skirts": "3"}

JOBS = [
    # PrusaSlicer, with its vendors' printers, prints and filaments
    Job("prusa", MK3, vendor=RESEARCH),
    Job("prusa", MK3, ("vase",), RESEARCH, "Prusament PETG", {"spiral_vase": "1", "bottom_solid_layers": "3"}),
    Job(
        "prusa", MK3, ("mushroom",), RESEARCH, "Prusament ASA", {"support_material": "1", "support_material_auto": "1"}
    ),
    Job("prusa", MK3, ("knob", "pin"), RESEARCH, "Generic ABS", {"complete_objects": "0", "gcode_label_objects": "1"}),
    Job("prusa", f"{MK3} MMU2S", ("plate",), RESEARCH),
    Job("prusa", MINI, ("pin",), RESEARCH, changes={"gcode_comments": "1"}),
    Job("prusa", MINI, ("plate",), RESEARCH, "Generic PETG @MINI", BRIM),
    Job("prusa", "Original Prusa i3 MK2S", ("plate",), RESEARCH, changes={"fill_pattern": "gyroid"}),
    Job("prusa", "Original Prusa i3 MK2.5S", ("mushroom",), RESEARCH, changes={"raft_layers": "2"}),
    Job("prusa", ENDER, vendor=CREALITY),
    Job("prusa", ENDER, ("vase",), CREALITY, "Generic PETG @CREALITY", {"use_firmware_retraction": "1", "wipe": "0"}),
    Job("prusa", CR10, ("mushroom",), CREALITY, "Generic ABS @CREALITY", {"support_material": "1", **BRIM}),
    Job("prusa", "Creality Ender-3 S1 Pro (0.4 mm nozzle)", ("plate", "pin"), CREALITY),
    Job("prusa", "Creality CR-6 SE (0.4 mm nozzle)", ("pin",), CREALITY, changes={"gcode_flavor": "marlin2"}),
    Job("prusa", "Anycubic i3 Mega S", ("knob",), "Anycubic", changes={"use_relative_e_distances": "1"}),
    Job("prusa", "Anycubic 4Max Pro 2.0", ("plate",), "Anycubic"),
    Job("prusa", "Anycubic Predator 0.4 nozzle", ("vase",), "Anycubic"),
    Job("prusa", "Elegoo Neptune-3", ("mushroom",), "Elegoo"),
    Job("prusa", "Zonestar Z5X", ("vase",), "Zonestar", changes={"machine_limits_usage": "emit_to_gcode"}),
    Job("prusa", "FLSun Q5", ("knob",), "FLSun"),
    Job("prusa", "Proton X Rail", ("plate",), "INAT"),
    Job("prusa", "Ultimaker 2", ("knob",), "Ultimaker"),
    # CuraEngine with Cura's definitions
    Job("cura", "creality_ender3"),
    Job("cura", "creality_ender3", ("vase",), changes={"magic_spiralize": "true", "relative_extrusion": "true"}),
    Job("cura", "creality_cr10", ("mushroom",), changes={"support_enable": "true", "adhesion_type": "brim"}),
    Job("cura", "prusa_i3_mk3", ("plate",)),
    Job("cura", "prusa_i3", ("pin",), changes={"retraction_hop_enabled": "true", "layer_height": "0.2"}),
    Job("cura", "ultimaker2", ("knob",)),
    Job("cura", "ultimaker2_plus", ("plate",)),
    Job("cura", "ultimaker_original", ("knob", "pin"), changes={"adhesion_type": "raft"}),
    Job("cura", "artillery_sidewinder_x1", ("mushroom",), changes={"machine_firmware_retract": "true"}),
    Job("cura", "biqu_b1", ("plate",), changes={"acceleration_enabled": "true", "jerk_enabled": "true"}),
    Job("cura", "anet3d_a8", ("pin",)),
    Job("cura", "wanhao_i3plus", ("knob",), changes={"ironing_enabled": "true"}),
    Job("cura", "tronxy_x5sa", ("vase",), changes={"coasting_enable": "true"}),
    Job("cura", "flsun_qq_s", ("knob",)),
    # Slic3r, in the same language as PrusaSlicer
    Job("slic3r", ENDER, ("knob",), CREALITY),
    Job("slic3r", CR10, ("vase",), CREALITY, changes={"spiral_vase": "1", "gcode_comments": "1"}),
    Job("slic3r", "Anycubic i3 Mega S", ("plate",), "Anycubic", changes={"use_relative_e_distances": "1", **BRIM}),
    Job(
        "slic3r", "Elegoo Neptune-3", ("plate", "pin"), "Elegoo", changes={"use_firmware_retraction": "1", "wipe": "0"}
    ),
]


def blocks(jobs: list[Job]) -> tuple[int, int, list[str]]:
    """Files and lines looked at, and what was refused of them: each line, with its file."""
    lines, refused = 0, []
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder) / "models"
        models.mkdir()
        write_models(models)
        for number, job in enumerate(jobs):
            output = Path(folder) / f"{number}.gcode"
            guard = Guard(slice_job(job, models, output))
            report = guard.check_file(output)
            assert report.commands.get("G1", 0) > 500, f"{job.name}: hardly anything in it"
            # A guard that stops looking would count the rest as passed.
            lines += output.read_bytes().count(b"\n")
            if report.ok:
                # Machines check runs of lines at once; what comes out is the same.
                guard.start()
                assert len(guard.feed(output.read_bytes()) + guard.finish()) == sum(report.commands.values()), job.name
            refused += [f"{job.name}: line {found.line}: {found.word}: {found.rule}" for found in report.findings]
    return len(jobs), lines, refused


def microseconds_per_line(id: str, file: bytes) -> Figure:
    """What checking costs a line, on the one core that it runs on, beside what splitting lines costs."""
    chunks = [file[at : at + 65536] for at in range(0, len(file), 65536)]

    def side(gate: type[Guard]) -> float:
        guard = gate(PROFILE)
        began_s = time.process_time()
        for chunk in chunks:
            guard.feed(chunk)
        return (time.process_time() - began_s) / file.count(b"\n") * 1e6

    times = interleaved(25, checked=lambda: side(Guard), split=lambda: side(OpenGate))
    return figure(
        id,
        round(times["checked"], 3),
        "us",
        "<= 2",
        peer="the same lines split and not checked",
        peer_value=round(times["split"], 3),
        ratio=round(times["checked"] / times["split"], 2),
    )


def figures() -> list[Figure]:
    files, lines, refused = blocks(JOBS)
    assert files >= 30
    for line in refused:
        print(line)
    blocked = len({line.split(": line ")[0] for line in refused})
    knob = Path(__file__).parents[1] / "examples" / "knob" / "knob.gcode"
    return [
        figure(
            "guard.false_block_rate",
            len(refused) / lines,
            "of lines",
            "<= 0.001",
            peer=f"{lines:,} lines of {files} files from PrusaSlicer, CuraEngine and Slic3r",
        ),
        figure("guard.files_blocked", blocked, "files", "<= 0", peer=f"{files} files"),
        microseconds_per_line("guard.line_us_moves", part(30_000)),
        microseconds_per_line("guard.line_us_sliced", knob.read_bytes()),
    ]

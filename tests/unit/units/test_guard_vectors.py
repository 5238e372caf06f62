"""Every file in tests/vectors/gcode, whole and cut anywhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from printright.errors import GcodeRefused
from printright.units.guard import Guard, GuardProfile

VECTORS = Path(__file__).parents[2] / "vectors" / "gcode"
REFUSED = sorted(VECTORS.glob("refused-*.gcode"))
ACCEPTED = sorted(VECTORS.glob("accepted-*.gcode"))


def guard() -> Guard:
    return Guard(GuardProfile((250.0, 210.0, 210.0), nozzle_max_c=290.0, bed_max_c=110.0))


def commands(data: bytes, cut: int) -> list[bytes]:
    gate = guard()
    fed = [command for at in range(0, len(data), cut) for command in gate.feed(data[at : at + cut])]
    return fed + gate.finish()


@pytest.mark.parametrize("path", REFUSED, ids=lambda path: path.stem)
def test_a_fault_is_refused_with_its_line_and_rule(path: Path) -> None:
    # Red without: in `Guard._check_fully`, the step for the rule that the vector names.
    data = path.read_bytes()
    rule = data.split(b"\n")[0].removeprefix(b"; rule: ").decode()
    report = guard().check_file(path)
    assert [finding.line for finding in report.findings] == [len(data.splitlines()) if b"\r" not in data else 10]
    assert report.findings[0].rule.startswith(rule)
    for cut in (1, 7, 64, 4096, len(data)):
        with pytest.raises(GcodeRefused) as refused:
            commands(data, cut)
        # Nothing of the line but its command word.
        last = data.rstrip(b"\n").split(b"\n")[-1].decode("latin-1")
        rest = last.split(" ", 1)[1] if " " in last else last[6:]
        assert len(rest) < 4 or rest not in str(refused.value)
        assert "line " in refused.value.message


@pytest.mark.parametrize("path", ACCEPTED, ids=lambda path: path.stem)
def test_what_slicers_write_passes(path: Path) -> None:
    report = guard().check_file(path)
    assert report.ok, report.findings
    whole = commands(path.read_bytes(), 1 << 20)
    assert len(whole) == sum(report.commands.values())
    assert all(b";" not in command and command == command.strip() for command in whole)
    for cut in (1, 7, 64, 4096):
        assert commands(path.read_bytes(), cut) == whole


def test_there_are_vectors() -> None:
    assert len(REFUSED) > 80
    assert len(ACCEPTED) > 10

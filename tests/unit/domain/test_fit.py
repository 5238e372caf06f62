"""Does a print fit a machine: each thing that is asked, what is not known, and words that mean the same."""

from __future__ import annotations

from dataclasses import replace

import pytest

from printright.domain.fit import Machine, Needs, obstacles, same_material
from printright.errors import BadValue

NEEDS = Needs(material="PETG", nozzle_mm=0.4, reach_mm=(100.0, 100.0, 50.0))
MACHINE = Machine(state="idle", bed_clear=True, material="petg", nozzle_mm=0.4, reach_mm=(250.0, 210.0, 200.0))


def test_it_fits() -> None:
    assert obstacles(NEEDS, MACHINE) == ()
    assert obstacles(Needs(), Machine(state="idle", bed_clear=True)) == (), "who asks for nothing gets any machine"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"state": "offline"}, "offline"),
        ({"state": "busy with a job"}, "busy with a job"),
        ({"bed_clear": False}, "bed not clear"),
        ({"nozzle_mm": 0.6}, "nozzle 0.6 mm, needs 0.4 mm"),
        ({"nozzle_mm": None}, "nozzle not known, needs 0.4 mm"),
        ({"material": "PLA"}, "PLA loaded, needs PETG"),
        ({"material": ""}, "nothing known loaded, needs PETG"),
        ({"reach_mm": (90.0, 210.0, 200.0)}, "too large: X to 100 mm of 90"),
        ({"reach_mm": (0.0, 0.0, 0.0)}, "too large: X to 100 mm of 0, Y to 100 mm of 0, Z to 50 mm of 0"),
    ],
)
def test_each_thing_that_does_not_fit_is_told(change: dict[str, object], reason: str) -> None:
    assert obstacles(NEEDS, replace(MACHINE, **change)) == (reason,)


def test_everything_at_once_is_told() -> None:
    assert len(obstacles(NEEDS, Machine(state="printing", bed_clear=False))) == 5


@pytest.mark.parametrize(
    ("wanted", "loaded", "same"),
    [
        ("PLA", "pla", True),
        ("PLA", "PLA ", True),
        ("PA-CF", "pa cf", True),
        ("PLA or PETG", "PETG", True),
        ("PLA / PETG", "pla", True),
        ("PLA", "PLA+", False),
        ("PLA, PETG", "PLA", False),
        ("PLA", "", False),
        ("PLA or ", "", False),
    ],
)
def test_materials(wanted: str, loaded: str, same: bool) -> None:
    # `PLA, PETG` is what a slicer says of a file that needs both.
    assert same_material(wanted, loaded) is same


@pytest.mark.parametrize("size", [(1.0, 2.0), (1.0, 2.0, float("nan")), (1.0, 2.0, -3.0)])
def test_measures_that_are_none_are_refused(size: tuple[float, ...]) -> None:
    with pytest.raises(BadValue):
        replace(MACHINE, reach_mm=size)

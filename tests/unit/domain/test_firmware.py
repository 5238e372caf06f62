"""Versions of firmware: compared as numbers, and whatever is none satisfies nothing."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from printright.domain.firmware import ANY_FIRMWARE, Firmware, MinimumFirmware
from printright.domain.member import UnitProfile
from printright.errors import BadValue

PROFILE = UnitProfile(b"s" * 32, "printer", "Demo One", "Marlin 2.1.2", "SN-1")
LEAST = MinimumFirmware.parse(["Demo One=Marlin 2.1", "Other=3"])
NUMBERS = st.lists(st.integers(0, 999_999_999), min_size=1, max_size=6)


def fault(minimum: MinimumFirmware = LEAST, **changes: object) -> str:
    profile = dataclasses.replace(PROFILE, **changes)  # type: ignore[arg-type]
    return minimum.fault(attested=True, registered=profile.digest, profile=profile)


@pytest.mark.parametrize(
    ("older", "newer"),
    [("2.1", "2.1.1"), ("2.9", "2.10"), ("1.9999", "2"), ("Marlin 2.0.9.7", "Marlin 2.1"), ("9", "A 10")],
)  # fmt: skip
def test_versions_compare_as_numbers(older: str, newer: str) -> None:
    assert Firmware.parse(older).version < Firmware.parse(newer).version


def test_missing_numbers_are_zeros() -> None:
    assert Firmware.parse("2.1") == Firmware.parse("2.1.0.0")
    assert Firmware.parse("0") == Firmware.parse("0.0")


@pytest.mark.parametrize(
    "text",
    ["", " ", "v2.1", "2.1-rc1", "2.1+7", "bugfix-2.1.x", "2.x", "2.01", "2..1", ".2", "2.", "2,1", "-1", "2.1 ",
     " 2.1", "Marlin", "Marlin  2.1", "Marlin 2.1 beta", "2.1\n", "٢.1", "2.1\0", "1234567890",
     "1.2.3.4.5.6.7", "9" * 1000, "Mär 2.1", "2 2.1"],
)  # fmt: skip
def test_what_is_no_version(text: str) -> None:
    with pytest.raises(BadValue):
        Firmware.parse(text)
    assert "cannot be compared" in fault(firmware=text)
    with pytest.raises(BadValue):
        MinimumFirmware.of({"Demo One": text})


@given(NUMBERS, NUMBERS)
def test_a_unit_satisfies_what_is_not_newer_than_its_own(has: list[int], least: list[int]) -> None:
    minimum = MinimumFirmware.of({"Demo One": ".".join(map(str, least))})
    said = fault(minimum, firmware=".".join(map(str, has)))
    padded = [numbers + [0] * (6 - len(numbers)) for numbers in (has, least)]
    assert (said == "") is (padded[0] >= padded[1])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, ""),
        ({"firmware": "Marlin 2.1"}, ""),
        ({"firmware": "Marlin 2.0.9"}, "is not 'Marlin 2.1' or newer"),
        ({"firmware": "2.1.2"}, "is not 'Marlin 2.1' or newer"),
        ({"firmware": "marlin 2.1.2"}, "is not 'Marlin 2.1' or newer"),
        ({"firmware": "Klipper 9"}, "is not 'Marlin 2.1' or newer"),
        ({"model": "Demo Two"}, "not for machines of the model 'Demo Two'"),
        ({"model": "demo one"}, "not for machines of the model"),
        ({"model": "Other", "firmware": "3.0.1"}, ""),
    ],
)
def test_units(changes: dict[str, str], said: str) -> None:
    if said:
        assert said in fault(**changes)
    else:
        assert fault(**changes) == ""


def test_only_a_builders_word_for_the_profile_on_the_ledger_counts() -> None:
    good = {"attested": True, "registered": PROFILE.digest, "profile": PROFILE}
    assert LEAST.fault(**good) == ""  # type: ignore[arg-type]
    for change, said in (
        ({"attested": False}, "no builder attests"),
        ({"profile": None}, "does not show its profile"),
        ({"registered": None}, "not the one that the unit is enrolled with"),
        ({"registered": b"x" * 32}, "not the one that the unit is enrolled with"),
        ({"profile": dataclasses.replace(PROFILE, firmware="Marlin 9")}, "not the one that the unit is enrolled with"),
    ):
        assert said in LEAST.fault(**{**good, **change})  # type: ignore[arg-type]
        assert ANY_FIRMWARE.fault(**{**good, **change}) == ""  # type: ignore[arg-type]


def test_what_is_given_comes_back() -> None:
    assert MinimumFirmware.of(LEAST.to_json()) == LEAST
    assert MinimumFirmware.parse(["a=b=1"]) == MinimumFirmware((("a=b", "1"),))
    assert not ANY_FIRMWARE
    for wrong in (["Demo One"], ["=1"], ["a=1", "a=2"], ["a="], ["a\n=1"], ["a" * 101 + "=1"]):
        with pytest.raises(BadValue):
            MinimumFirmware.parse(wrong)
    with pytest.raises(BadValue):
        MinimumFirmware.of({f"m{n}": "1" for n in range(65)})
    with pytest.raises(BadValue):
        MinimumFirmware((("b", "1"), ("a", "1")))

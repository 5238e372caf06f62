"""What a slicer said of a print: one form in files, nothing out of range, words for people."""

from __future__ import annotations

import json

import pytest

from printright.domain.estimate import MAX_THUMBNAIL_BYTES, NO_ESTIMATE, PNG_SIGNATURE, PrintEstimate, duration
from printright.errors import BadValue

KNOB = PrintEstimate(
    material="PLA",
    nozzle_mm=0.4,
    time_s=402,
    filament_g=12.0,
    layer_height_mm=0.3,
    reach_mm=(80.5, 0, 20.25),
    thumbnail_png=PNG_SIGNATURE,
)


def test_an_estimate_survives_its_file() -> None:
    assert PrintEstimate.from_json(json.loads(json.dumps(KNOB.to_json()))) == KNOB
    assert KNOB.to_json()["thumbnail_png"] == "iVBORw0KGgo="


def test_what_is_not_known_is_not_written() -> None:
    assert NO_ESTIMATE.to_json() == {}
    assert PrintEstimate.from_json({}) == NO_ESTIMATE
    assert not NO_ESTIMATE
    assert PrintEstimate(time_s=1)
    assert PrintEstimate(time_s=1).to_json() == {"time_s": 1}


@pytest.mark.parametrize(
    "change",
    [
        {"material": "PLA<script>"},
        {"material": "P" * 65},
        {"material": 7},
        {"material": None},
        {"nozzle_mm": 0},
        {"nozzle_mm": -0.4},
        {"nozzle_mm": 1e9},
        {"nozzle_mm": float("nan")},
        {"nozzle_mm": True},
        {"nozzle_mm": "0.4"},
        {"time_s": 1.5},
        {"time_s": 0},
        {"time_s": 1 << 31},
        {"filament_g": float("inf")},
        {"layer_height_mm": [0.2]},
        {"reach_mm": [1, 2]},
        {"reach_mm": [1, 2, "3"]},
        {"reach_mm": [1, 2, True]},
        {"reach_mm": [1, 2, -3]},
        {"reach_mm": [1, 2, float("inf")]},
        {"reach_mm": "big"},
        {"thumbnail_png": "not base64"},
        {"thumbnail_png": "R0lGODlh"},
        {"printer": "MK3S"},
    ],
)
def test_what_cannot_be_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(BadValue):
        PrintEstimate.from_json({**KNOB.to_json(), **change})


@pytest.mark.parametrize("data", [None, [], "PLA", 7])
def test_no_object_is_no_estimate(data: object) -> None:
    with pytest.raises(BadValue):
        PrintEstimate.from_json(data)


def test_a_picture_has_a_limit_and_is_not_in_logs() -> None:
    large = PNG_SIGNATURE + bytes(MAX_THUMBNAIL_BYTES)
    with pytest.raises(BadValue, match="picture"):
        PrintEstimate(thumbnail_png=large)
    assert "PNG" not in repr(KNOB)


def test_in_words() -> None:
    assert KNOB.describe() == "PLA, 0.4 mm nozzle, 0.3 mm layers, 7 min, 12 g"
    assert PrintEstimate(filament_g=3.7049).describe() == "3.7 g"
    assert NO_ESTIMATE.describe() == ""
    words = {45: "45 s", 402: "7 min", 3599: "1 h", 7500: "2 h 5 min", 86_400: "1 d", 100_800: "1 d 4 h"}
    assert {seconds: duration(seconds) for seconds in words} == words

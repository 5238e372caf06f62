"""The shelf of designs: what it keeps is what it was given, those from before estimates included."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from printright.domain.estimate import NO_ESTIMATE, PNG_SIGNATURE, PrintEstimate
from printright.domain.ids import ContentId
from printright.errors import BadValue
from printright.services.publish import Design, DesignShelf


def design(**changes: object) -> Design:
    values: dict[str, object] = {
        **dict.fromkeys(("commitment", "manifest", "manifest_digest", "salt", "file_sha256"), b"x" * 32),
        "title": "knob",
        "content": ContentId(b"c" * 32),
        "parts_per_run": 1,
        "previous": None,
    }
    return Design(**{**values, **changes})  # type: ignore[arg-type]


def test_a_design_comes_back_as_it_was(tmp_path: Path) -> None:
    shelf = DesignShelf(tmp_path)
    said = PrintEstimate(material="PLA", nozzle_mm=0.4, time_s=402, thumbnail_png=PNG_SIGNATURE)
    kept = design(estimate=said, previous=ContentId(b"p" * 32))
    shelf.add(kept)
    assert shelf.all() == [kept]


def test_a_design_from_before_has_no_estimate(tmp_path: Path) -> None:
    shelf = DesignShelf(tmp_path)
    shelf.add(design())
    path = next(tmp_path.glob("*.json"))
    data = json.loads(path.read_text())
    del data["estimate"]
    path.write_text(json.dumps(data))
    assert shelf.get("knob").estimate == NO_ESTIMATE
    path.write_text(json.dumps({**data, "estimate": {"time_s": "long"}}))
    with pytest.raises(BadValue):
        shelf.all()

"""Print files in other forms than text: every vector, read or refused, and nothing left behind."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from printright.domain.estimate import PrintEstimate
from printright.errors import BadValue, GcodeRefused, Misuse, PrintrightError
from printright.services.bgcode import read_bgcode
from printright.services.meatpack import unpack
from printright.services.print_file import is_print_file, open_print_file

VECTORS = Path(__file__).parents[2] / "vectors" / "print_files"
OUTCOMES: dict[str, str] = json.loads((VECTORS / "outcomes.json").read_text())
ACCEPTED = sorted(VECTORS.glob("accepted-*"))
TEXT = (VECTORS / "accepted.gcode").read_bytes()


def commands(text: bytes) -> list[bytes]:
    lines = (line.partition(b";")[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


@pytest.mark.parametrize("path", ACCEPTED, ids=lambda path: path.name)
def test_what_slicers_export_becomes_plain_text(path: Path) -> None:
    with open_print_file(path) as file:
        assert commands(file.path.read_bytes()) == commands(TEXT)
        assert file.name == f"{path.name.split('.')[0]}.gcode"
        assert (file.estimate.material, file.estimate.nozzle_mm, file.estimate.time_s) == ("PETG", 0.4, 1926)
        assert (file.estimate.filament_g, file.estimate.layer_height_mm) == (3.01, 0.2)
        assert bool(file.estimate.thumbnail_png) is ("without-checksums" not in path.name)
        kept = file.path
    assert not kept.exists()


def test_comments_come_along_where_the_file_has_them() -> None:
    with open_print_file(VECTORS / "accepted-as-prusaslicer.bgcode") as file:
        assert b";TYPE:Perimeter X9\n" in file.path.read_bytes()


@pytest.mark.parametrize("name", OUTCOMES)
def test_a_fault_is_refused_with_one_line(name: str) -> None:
    # Red without: the check of `bgcode._blocks`, `_block`, `_inflated`, `meatpack.unpack` or `print_file._packaged`
    # that has these words.
    with pytest.raises(PrintrightError, match=OUTCOMES[name]) as refused, open_print_file(VECTORS / name):
        pass
    assert refused.value.exit_code in (2, 3)
    assert "\n" not in str(refused.value)
    assert b"G1 X" not in str(refused.value).encode()


def test_there_are_vectors() -> None:
    assert len(OUTCOMES) > 40
    assert len(ACCEPTED) > 10
    assert {path.name for path in VECTORS.glob("refused-*")} == OUTCOMES.keys()


def test_plain_text_is_read_where_it_is(tmp_path: Path) -> None:
    path = tmp_path / "knob.GCODE"
    path.write_bytes(b";TIME:60\nG28\n")
    with open_print_file(path) as file:
        assert (file.path, file.name, file.estimate) == (path, "knob.GCODE", PrintEstimate(time_s=60))


def test_nothing_unpacked_is_a_file_with_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with open_print_file(VECTORS / "accepted-plain.bgcode") as file:
        assert "memfd" in str(file.path.readlink())
        assert not list(tmp_path.iterdir())


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadValue, match="cannot read"), open_print_file(tmp_path / "none.bgcode"):
        pass


def test_the_names_of_print_files() -> None:
    assert all(map(is_print_file, ("a.gcode", "a.GCO", "a.g", "a.bgcode", "a.BGC", "a.gcode.3mf")))
    assert not any(map(is_print_file, ("a.3mf", "a.stl", "gcode", "a.gcode.zip")))


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "heatshrink2", None)
    data = (VECTORS / "accepted-as-prusaslicer.bgcode").read_bytes()
    with pytest.raises(Misuse, match="extra `bgcode`"):
        read_bgcode(data)
    # Plain and deflated files need nothing.
    assert read_bgcode((VECTORS / "accepted-deflate.bgcode").read_bytes())[0] == TEXT


GOOD = (VECTORS / "accepted-as-prusaslicer.bgcode").read_bytes()
UNMARKED = (VECTORS / "accepted-without-checksums.bgcode").read_bytes()


@settings(deadline=None)
@given(st.sampled_from([GOOD, UNMARKED]), st.data())
def test_whatever_is_done_to_it_a_file_is_read_or_refused(good: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(good)))
    changed = good[:at] + data.draw(st.binary(max_size=12)) + good[at + data.draw(st.integers(0, 12)) :]
    with suppress(GcodeRefused):
        text, estimate = read_bgcode(changed)
        assert len(text) < 16 * len(changed)
        assert PrintEstimate.from_json(estimate.to_json()) == estimate


@given(st.binary(max_size=300))
def test_any_bytes_unpack_or_are_refused(data: bytes) -> None:
    with suppress(GcodeRefused):
        assert len(unpack(b"\xff\xff\xfb" + data)) <= 4 * len(data)

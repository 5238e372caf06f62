"""Print files as slicers export them, by the command line on a real ledger: published as text, found again, refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_trade_3mf import Run, run  # noqa: F401  (the fixture)

VECTORS = Path(__file__).parents[2] / "vectors"
FILES = VECTORS / "print_files"
MISUSE, REFUSED = 2, 3


@pytest.mark.parametrize("rpc_url", ["embedded"], indirect=True)
def test_print_files_by_the_command_line(run: Run, tmp_path: Path) -> None:  # noqa: F811
    part = FILES / "accepted-as-prusaslicer.bgcode"
    published = run("holder", "design", "publish", part, "--title", "part")
    assert published["estimate"]["material"] == "PETG"
    assert run("holder", "design", "publish", part, "--title", "part")["tx"] == published["tx"], "the same again"

    # What the slicer said is shown, and goes onto the license.
    picture = tmp_path / "part.png"
    shown = run("holder", "design", "show", "part", "--thumbnail", picture)
    assert shown["printed"] == "PETG, 0.4 mm nozzle, 0.2 mm layers, 32 min, 3.01 g"
    assert picture.read_bytes().startswith(b"\x89PNG")
    file = tmp_path / "part.license.json"
    grant = ("license", "grant", "--design", "part", "--to", tmp_path / "shop" / "member.json", "--copies", "1")
    run("holder", *grant, "--out", file)
    assert run("shop", "license", "show", file)["document"]["estimate"]["time_s"] == 1926

    # Any form of the same text is the file of the license; another text is not.
    assert run("holder", "license", "check", file, part)["matches"]
    other = FILES / "accepted-one-plate.gcode.3mf"
    assert "not the file" in run("holder", "license", "check", file, other, exits=REFUSED)["message"]
    assert run("holder", "design", "publish", other, "--title", "plate")["content"] != published["content"]

    # Hostile files, and lines that no machine may get, whatever they are packed in; nothing is published.
    for name, exits in (
        ("refused-one-bit.bgcode", REFUSED),
        ("refused-script.gcode.3mf", REFUSED),
        ("refused-two-plates.gcode.3mf", MISUSE),
    ):
        assert run("holder", "design", "publish", FILES / name, "--title", "no", exits=exits)["hint"]
    settings = VECTORS / "gcode" / "refused-eeprom-500.gcode"
    assert "M500" in run("holder", "design", "publish", settings, "--title", "no", exits=REFUSED)["message"]
    assert (
        "cannot write"
        in run("holder", "design", "show", "part", "--thumbnail", tmp_path / "a" / "b", exits=MISUSE)["message"]
    )

"""Shared by all tests: real programs, and skipping with a reason where one is missing on a user's machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "contracts")]

from programs import program  # noqa: E402

# How long an example takes is the machine's business: no test is red because others keep it busy.
settings.register_profile("printright", deadline=None)
settings.load_profile("printright")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # `-m load` runs them.
    if "load" not in config.getoption("-m"):
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("load")])
        items[:] = [item for item in items if not item.get_closest_marker("load")]
    for item in items:
        # Machines that keep time: beside another test, a busy core makes them miss it.
        if "e2e/moonraker/" in item.nodeid or "e2e/units/test_marlin" in item.nodeid:
            item.add_marker(pytest.mark.realtime)
        for marker in item.iter_markers("needs"):
            name = marker.args[0]
            if program(name) is None and os.environ.get("CI") != "true":
                item.add_marker(pytest.mark.skip(reason=f"{name} is not installed here"))

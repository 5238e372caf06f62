"""The town that all fault tests share: one ledger, one printer; each attempt has homes of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from fault_town import Town, town


@pytest.fixture(scope="session")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with town(tmp_path_factory.mktemp("faults")) as found:
        yield found
        found.audited()


@pytest.fixture(autouse=True)
def no_child_left(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "faults" in request.fixturenames:
        request.getfixturevalue("faults").end_all()


@pytest.fixture(scope="session")
def seed() -> int:
    value = int(os.environ.get("FAULT_SEED", str(int.from_bytes(os.urandom(4), "big"))))
    print(f"FAULT_SEED={value}")
    return value

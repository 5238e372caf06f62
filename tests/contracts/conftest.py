"""The scene that the contract tests share, taken back after every test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.contracts.chain import BoaChain
from tests.contracts.scene import Scene, settle


@pytest.fixture(scope="module")
def settled() -> Scene:
    return settle(Scene(BoaChain()))


@pytest.fixture
def scene(settled: Scene) -> Iterator[Scene]:
    """The settled network on titanoboa."""
    with settled.chain.anchored():
        yield settled.copy()

"""One Klipper machine for all tests here: starting it takes seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from klipper_scene import Shop


@pytest.fixture(scope="package")
def klipper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder: Path = tmp_path_factory.mktemp("klipper")
    shop = Shop(folder)
    try:
        asyncio.run(shop.ready())
        yield shop
    finally:
        shop.stop()

"""A ledger in a fresh folder: as a chain in this thread, or served over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
from embedded_scene import CHAIN_ID, Client, Local, Signer

from printright.domain.ids import Address
from printright.ledger.embedded.server import Settings, opened, running


@pytest.fixture
def rich() -> Signer:
    """The genesis account with coins."""
    return Signer("rich")


@pytest.fixture
def settings(tmp_path: Path, rich: Signer) -> Settings:
    return Settings(
        folder=tmp_path / "ledger",
        chain_id=CHAIN_ID,
        genesis_accounts={Address(rich.address): 10**24},
        port=0,
        allow_time_travel=True,
    )


@pytest.fixture
def local(settings: Settings) -> Iterator[Local]:
    with opened(settings) as chain:
        yield Local(chain)


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[Client]:
    async with running(settings) as url, aiohttp.ClientSession() as session:
        yield Client(url, session)

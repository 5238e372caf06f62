"""One Anvil for all ledger tests that leave its past alone; those that rewrite it start their own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from e2e.ledger.anvil import Anvil, Key, anvil
from printright.ledger.events import event_specs
from printright.ledger.evm import deploy, open_ledger
from printright.ledger.network import Network

REGISTRAR = Key.named("registrar")


@dataclass(frozen=True)
class Site:
    """A chain with the contract, whose registrar is REGISTRAR."""

    chain: Anvil
    network: Network

    def admitted(self, member: str) -> int:
        """How often the ledger says that this member was admitted, asked from outside."""
        topics = [event_specs()["MemberAdmitted"].topic, "0x" + bytes(12).hex() + member[2:].lower()]
        query = {"fromBlock": "0x0", "toBlock": "latest", "address": self.network.contract, "topics": topics}
        return len(self.chain.rpc("eth_getLogs", query))

    def member(self, name: str) -> Key:
        """A funded rights holder of this name."""
        key = Key.named(name)
        self.chain.fund(key)
        return key


def found(chain: Anvil, finality: str = "single-node") -> Site:
    """Deploy on a fresh chain."""
    chain.fund(REGISTRAR)
    network = deploy(chain.url, REGISTRAR, REGISTRAR.address, name="test", finality=finality)
    return Site(chain, asyncio.run(network))


@pytest.fixture(scope="session")
def shared_site() -> Iterator[Site]:
    with anvil() as chain:
        yield found(chain)


@pytest.fixture
def site(shared_site: Site) -> Iterator[Site]:
    """The shared chain, put back afterwards to what it was."""
    before = shared_site.chain.rpc("evm_snapshot")
    yield shared_site
    shared_site.chain.rpc("evm_revert", before)


ADMIT_REST = (1, b"\x04" + bytes(132), bytes(32))


async def admit(site: Site, member: Key, folder: Path) -> None:
    async with open_ledger(site.network, signer=REGISTRAR, journal=folder / "registrar") as ledger:
        await ledger.send(f"admit {member.address}", "admit_member", member.address, *ADMIT_REST)

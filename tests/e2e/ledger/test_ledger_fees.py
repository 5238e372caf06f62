"""Fees that rise while a transaction waits: it is outbid under its nonce, and counts once, whichever is mined."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest

from e2e.ledger.anvil import Key, anvil
from e2e.ledger.conftest import ADMIT_REST, REGISTRAR, Site, found
from printright.ledger.evm import EvmLedger, open_ledger
from printright.ledger.journal import Entry
from printright.ledger.sending import FEE_HEADROOM, Situation
from printright.ledger.transaction import Fees

pytestmark = pytest.mark.needs("anvil")

MEMBER = Key.named("fees").address
T = TypeVar("T")


@pytest.fixture
def slow_site() -> Iterator[Site]:
    """A chain that mines when it is told to, at the base fee that it is told."""
    with anvil() as chain:
        site = found(chain)
        chain.rpc("evm_setAutomine", False)
        yield site


def base_fee(site: Site) -> int:
    return int(site.chain.rpc("eth_getBlockByNumber", "latest", False)["baseFeePerGas"], 16)


def mine_at(site: Site, wei: int) -> None:
    site.chain.rpc("anvil_setNextBlockBaseFeePerGas", hex(wei))
    site.chain.mine()


@contextmanager
def mining_at(site: Site, wei: int) -> Iterator[None]:
    """Blocks at this base fee while the context lasts."""
    done = threading.Event()

    def mine() -> None:
        while not done.wait(0.05):
            mine_at(site, wei)

    thread = threading.Thread(target=mine)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


async def in_pool(ledger: EvmLedger, key: str) -> Entry:
    """The journalled entry, once the node has its transaction."""
    assert ledger.sender is not None
    while True:
        entry = ledger.sender.journal.entries([key]).get(key)
        if entry and await ledger.rpc.request("eth_getTransactionByHash", "0x" + entry.hash.hex()):
            return entry
        await asyncio.sleep(0.01)


def start(work: Awaitable[T]) -> asyncio.Task[T]:
    return asyncio.ensure_future(work)  # type: ignore[return-value]


def outbid(ledger: EvmLedger, entry: Entry) -> Entry:
    """Sign and journal a higher bid for this entry, as if fees had risen; nothing is sent."""
    assert ledger.sender is not None
    dear = Fees(10**15, 10**10)
    (new,) = ledger.sender._outbid(entry.nonce, entry.nonce, Situation(0, dear, price_wei=10**14))
    return new


async def test_a_transaction_whose_fee_cannot_be_mined_any_more_is_outbid(slow_site: Site, tmp_path: Path) -> None:
    """Red without `self._outbid` in Sender._submit_up_to: the transaction waits for its fee for ever."""
    site = slow_site
    async with open_ledger(site.network, signer=REGISTRAR, journal=tmp_path / "j") as ledger:
        sending = start(ledger.send("k", "admit_member", MEMBER, *ADMIT_REST))
        first = await in_pool(ledger, "k")
        dear = base_fee(site) * FEE_HEADROOM * 10
        with mining_at(site, dear):
            receipt = await sending
        assert receipt.tx_hash != first.hash
        assert ledger.sender is not None
        entry = ledger.sender.journal.entries(["k"])["k"]
        assert (entry.hash, entry.nonce) == (receipt.tx_hash, first.nonce)
        assert [each.hash for each in ledger.sender.journal.outbidden(entry)] == [first.hash]
        assert await ledger.send("k", "admit_member", MEMBER, *ADMIT_REST) == receipt
    assert site.admitted(MEMBER) == 1


async def test_what_was_outbid_may_be_mined_all_the_same(slow_site: Site, tmp_path: Path) -> None:
    """The client dies when the higher bid is journalled and not sent. Red without `outbidden` in Sender._mined."""
    site = slow_site
    async with open_ledger(site.network, signer=REGISTRAR, journal=tmp_path / "j") as ledger:
        sending = start(ledger.send("k", "admit_member", MEMBER, *ADMIT_REST))
        first = await in_pool(ledger, "k")
        sending.cancel()
        new = outbid(ledger, first)
        assert new.hash != first.hash
        mine_at(site, base_fee(site))
    async with open_ledger(site.network, signer=REGISTRAR, journal=tmp_path / "j") as ledger:
        receipt = await ledger.lookup("k")
        assert receipt is not None
        assert receipt.tx_hash == first.hash
        assert await ledger.send("k", "admit_member", MEMBER, *ADMIT_REST) == receipt
        assert await ledger.wait_final(receipt) == receipt
        assert ledger.sender is not None
        assert ledger.sender.journal.by_hash(new.hash) == ledger.sender.journal.by_hash(first.hash)
    assert site.admitted(MEMBER) == 1


async def test_what_a_dead_process_left_below_the_price_does_not_stop_what_follows(
    slow_site: Site, tmp_path: Path
) -> None:
    """Red where only the followed transaction is outbid and not those of lower nonces."""
    site = slow_site
    members = [Key.named(f"fees {i}").address for i in range(3)]
    async with open_ledger(site.network, signer=REGISTRAR, journal=tmp_path / "j") as ledger:
        for key, member in zip("ab", members, strict=False):
            sending = start(ledger.send(key, "admit_member", member, *ADMIT_REST))
            await in_pool(ledger, key)
            sending.cancel()
    dear = base_fee(site) * FEE_HEADROOM * 10
    mine_at(site, dear)
    assert [site.admitted(member) for member in members] == [0, 0, 0]
    async with open_ledger(site.network, signer=REGISTRAR, journal=tmp_path / "j") as ledger:
        with mining_at(site, dear):
            await ledger.send("c", "admit_member", members[2], *ADMIT_REST)
    assert [site.admitted(member) for member in members] == [1, 1, 1]


def test_a_higher_bid_is_one_that_nodes_take() -> None:
    former = Fees(800, 100)
    assert Fees(10_000, 90).beyond(former) == Fees(10_000, 113)
    assert Fees(801, 500).beyond(former) == Fees(901, 500)
    assert Fees(10, None).beyond(Fees(10, None)) == Fees(12, None)
    assert replace(former, most=0, tip=0).beyond(Fees(0, 0)) == Fees(1, 1)

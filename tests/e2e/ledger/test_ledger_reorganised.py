"""The chain changes its mind, or somebody else uses the account."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.ledger.anvil import Key, anvil
from e2e.ledger.conftest import ADMIT_REST, REGISTRAR, Site, found
from printright.ledger.evm import open_ledger
from printright.ledger.journal import Journal
from printright.ledger.port import Call, Receipt
from printright.ledger.sending import NonceTaken
from printright.ledger.transaction import Fees, Unsigned

pytestmark = pytest.mark.needs("anvil")


@pytest.fixture(params=["depth:70"])
def deep(request: pytest.FixtureRequest) -> Iterator[Site]:
    with anvil() as chain:
        yield found(chain, request.param)


async def mine_until(site: Site, task: asyncio.Task[Receipt]) -> Receipt:
    while not task.done():
        await asyncio.to_thread(site.chain.mine)
        await asyncio.sleep(0)
    return task.result()


async def test_not_final_before_its_depth(deep: Site, tmp_path: Path) -> None:
    async with open_ledger(deep.network, signer=REGISTRAR, journal=tmp_path / "j") as ledger:
        receipt = await ledger.send("k", "admit_member", REGISTRAR.address, *ADMIT_REST)
        assert await ledger.final_block() == -1
        waiting = asyncio.create_task(ledger.wait_final(receipt))
        final = await mine_until(deep, waiting)
        assert final == receipt
        assert await ledger.final_block() >= receipt.block_number
        assert deep.chain.height() >= receipt.block_number + 70


@pytest.mark.parametrize("depth", [1, 7, 64])
async def test_reorganised_away_the_same_bytes_go_again(deep: Site, tmp_path: Path, depth: int) -> None:
    """Red without `self._submit_up_to` in sending.Sender.follow."""
    chain = deep.chain
    members = [Key.named(f"reorg {i}").address for i in range(3)]
    chain.mine(3)
    async with open_ledger(deep.network, signer=REGISTRAR, journal=tmp_path / "j") as ledger:
        calls = [Call(str(i), "admit_member", (member, *ADMIT_REST)) for i, member in enumerate(members)]
        receipts = await ledger.send_many(calls)
        chain.mine(depth - 1)
        deepest = receipts[-1]
        assert isinstance(deepest, Receipt)
        depth_of_first = chain.height() - receipts[0].block_number + 1  # type: ignore[union-attr]
        chain.reorganize(depth_of_first)
        assert [deep.admitted(member) for member in members] == [0, 0, 0]
        # Only the last is waited for: the earlier nonces have to go again with it.
        final = await mine_until(deep, asyncio.create_task(ledger.wait_final(deepest)))
        assert final.tx_hash == deepest.tx_hash
        assert final.block_hash != deepest.block_hash
        again = await ledger.send_many(calls)
        assert [r.tx_hash for r in again] == [r.tx_hash for r in receipts]  # type: ignore[union-attr]
    assert [deep.admitted(member) for member in members] == [1, 1, 1]


async def test_a_repeat_after_a_reorganisation_is_the_same_transaction(deep: Site, tmp_path: Path) -> None:
    """A node restored from a backup (snapshot and revert) has forgotten it altogether."""
    chain = deep.chain
    before = chain.rpc("evm_snapshot")
    async with open_ledger(deep.network, signer=REGISTRAR, journal=tmp_path / "j") as ledger:
        first = await ledger.send("k", "admit_member", REGISTRAR.address, *ADMIT_REST)
    chain.rpc("evm_revert", before)
    assert deep.admitted(REGISTRAR.address) == 0
    async with open_ledger(deep.network, signer=REGISTRAR, journal=tmp_path / "j") as ledger:
        second = await ledger.send("k", "admit_member", REGISTRAR.address, *ADMIT_REST)
        other = await ledger.send("other", "admit_member", REGISTRAR.address, *ADMIT_REST)
    assert second.tx_hash == first.tx_hash != other.tx_hash
    assert deep.admitted(REGISTRAR.address) == 2


async def test_a_refusal_that_is_reorganised_away_is_tried_again(deep: Site, tmp_path: Path) -> None:
    """What the ledger refused in a block that is gone may succeed in the new order."""
    chain, oem = deep.chain, deep.member("oem")
    async with (
        open_ledger(deep.network, signer=REGISTRAR, journal=tmp_path / "registrar") as registrar,
        open_ledger(deep.network, signer=oem, journal=tmp_path / "oem") as ledger,
    ):
        call = Call("k", "grant", (bytes(32), 1, 0))
        (refused,) = await ledger.send_many([call])
        assert not isinstance(refused, Receipt)
        chain.reorganize(1)
        await registrar.send("admit", "admit_member", oem.address, *ADMIT_REST)
        (granted,) = await ledger.send_many([call])
        assert isinstance(granted, Receipt)


def foreign(site: Site, nonce: int) -> None:
    """Somebody else sends from the registrar's account."""
    fees = Fees(100 * 10**9, 10**9)
    unsigned = Unsigned(site.network.chain_id, nonce, fees, 50_000, bytes(19) + b"\1", b"")
    site.chain.rpc("eth_sendRawTransaction", "0x" + unsigned.signed(REGISTRAR.sign_digest(unsigned.digest())).hex())


async def test_a_foreign_transaction_with_our_nonce(deep: Site, tmp_path: Path) -> None:
    """Told as long as it is not final; then signed again, under the same key and on record.

    Red when `_lost_nonce` asks the newest block instead of the final one, and when `supersede` is not called.
    """
    chain = deep.chain
    member = Key.named("foreign").address
    journal = Journal(tmp_path / "j")
    async with open_ledger(deep.network, signer=REGISTRAR, journal=journal, mined_within_s=5) as ledger:
        first = await ledger.send("0", "admit_member", member, *ADMIT_REST)
        entry = journal.entries(["0"])["0"]
        # The block with ours goes, and the foreign one comes instead.
        chain.reorganize(1)
        foreign(deep, entry.nonce)
        for _ in range(2):
            with pytest.raises(NonceTaken):
                await ledger.send("0", "admit_member", member, *ADMIT_REST)
        assert deep.admitted(member) == 0
        assert journal.superseded("0") == []
        chain.mine(70)
        again = await ledger.send("0", "admit_member", member, *ADMIT_REST)
        assert again.tx_hash != first.tx_hash
        assert journal.superseded("0") == [first.tx_hash]
        assert await ledger.send("0", "admit_member", member, *ADMIT_REST) == again
    assert deep.admitted(member) == 1


async def test_foreign_transactions_before_ours_do_no_harm(deep: Site, tmp_path: Path) -> None:
    async with open_ledger(deep.network, signer=REGISTRAR, journal=tmp_path / "j") as ledger:
        await ledger.send("0", "admit_member", REGISTRAR.address, *ADMIT_REST)
        foreign(deep, 2)
        await ledger.send("1", "admit_member", REGISTRAR.address, *ADMIT_REST)
    assert deep.admitted(REGISTRAR.address) == 2

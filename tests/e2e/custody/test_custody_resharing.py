"""A custodian leaves, the key goes to another committee, the package stays what it is. Real chain, real servers."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from custody_liars import Liar, sealed, serving
from custody_scene import CUSTODIANS, KEYS, OWNER, QUICK, Scene, ask, collect, custodians, post, sending, start_job
from resharing_scene import LEAVES, NEWCOMERS, NEXT, STAYS, Handover, keeper

from printright.errors import BadSettings, CustodianUnavailable, NotMine, PackageRefused
from printright.ledger.evm import open_ledger
from printright.ledger.refusals import CustodyChangedBefore
from printright.services import reshare
from printright.vault.custody import open_share
from printright.vault.custody_in_force import CustodyInForce, fetch_chain
from printright.vault.custody_record import subshare_info
from printright.vault.resharing import WrongSubshares
from printright.vault.sealing import seal

pytestmark = pytest.mark.needs("anvil")

HASTY = dataclasses.replace(QUICK, patience_s=1.0)


def kept_by_next(custody: Scene, handover: Handover) -> Scene:
    """The scene with the next committee's custodians to be asked."""
    return dataclasses.replace(custody, custodian_keys=handover.keepers())


async def test_the_next_committee_releases_and_the_present_one_no_more(custody: Scene, tmp_path: Path) -> None:
    await start_job(custody, tmp_path)
    handover = Handover(custody, tmp_path)
    record, acceptances = await handover.accepted()
    async with custodians(custody, tmp_path) as urls:
        # Ordered, contributed and accepted is not in force.
        assert await collect(custody, urls) == custody.design_key
        in_force = await handover.in_force(await handover.put_into_force(record, acceptances))
        status, answer, _ = await post(urls[LEAVES], ask(custody, LEAVES))
        assert (status, "the request is for the manifest's own custody" in answer["reason"]) == (425, True), answer
        with pytest.raises(CustodianUnavailable, match="the ledger shows custody record"):
            await collect(custody, urls, asking=HASTY)
        # Who left is not asked, nor would it be of use: its old key opens nothing of the new record.
        with pytest.raises(BadSettings, match="addresses of 1 are known"):
            await collect(custody, urls, custody=in_force)
    (tmp_path / "next").mkdir()
    async with custodians(kept_by_next(custody, handover), tmp_path / "next") as urls:
        assert await collect(custody, urls, custody=in_force) == custody.design_key
        with pytest.raises(BadSettings):
            await collect(custody, urls)


async def test_a_change_that_is_not_final_yet_is_waited_for(custody: Scene, tmp_path: Path) -> None:
    # Invariant 14 for custody: red where step 12 of `decide` is asked of one block only.
    await start_job(custody, tmp_path)
    custody.chain.mine(5)
    handover = Handover(custody, tmp_path)
    in_force = await handover.all_steps()
    (tmp_path / "next").mkdir()
    async with custodians(kept_by_next(custody, handover), tmp_path / "next", finality="depth:3") as urls:
        with pytest.raises(CustodianUnavailable, match="not final yet"):
            await collect(custody, urls, custody=in_force, asking=HASTY)
        async with custodians(custody, tmp_path, finality="depth:3") as old:
            with pytest.raises(CustodianUnavailable, match="the ledger shows custody record"):
                await collect(custody, old, asking=HASTY)
        custody.chain.mine(4)
        assert await collect(custody, urls, custody=in_force) == custody.design_key


async def test_a_custodian_who_serves_an_old_share_is_named(
    custody: Scene, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # Red where the unit combines with the manifest's commitments in mind instead of the record's.
    await start_job(custody, tmp_path)
    handover = Handover(custody, tmp_path)
    in_force = await handover.all_steps()
    index = in_force.committee.index_of(STAYS)
    assert index == 1
    old = open_share(custody.manifest, custody.custodian_keys[STAYS])
    lie = sealed(custody, bytes([index]) + old.value, index, custody_digest=in_force.committee.record)
    (tmp_path / "next").mkdir()
    async with custodians(kept_by_next(custody, handover), tmp_path / "next") as urls, serving(Liar(lie)) as url:
        assert await collect(custody, {**urls, STAYS: url}, custody=in_force) == custody.design_key
        alone = {STAYS: url, NEWCOMERS[0].address: urls[NEWCOMERS[0].address]}
        with pytest.raises(CustodianUnavailable, match=f"{STAYS}: it released an old share, of epoch 0"):
            await collect(custody, alone, custody=in_force, asking=HASTY)
    assert f"custodian {STAYS} released an old share, of epoch 0 instead of 1" in caplog.text


async def test_two_lying_dealers_are_named_and_done_without(custody: Scene, tmp_path: Path) -> None:
    # t-1 = 2 of the five contribute wrongly: one another share than its own, one seals nonsense, which only its
    # receivers can tell.
    handover = Handover(custody, tmp_path)
    async with open_ledger(custody.network) as ledger:
        order = await handover.order(ledger)
        good = [await handover.contribution(order, ledger, each) for each in CUSTODIANS]
        other = custody.custodian_keys[CUSTODIANS[1]]
        wrong_share = dataclasses.replace(good[0], commitments=good[1].commitments).signed(KEYS[CUSTODIANS[0]])
        info = subshare_info(order.digest, 3, 2)
        lie = seal(NEXT[1].unsealing.public_key, os.urandom(32), info)
        nonsense = dataclasses.replace(good[2], sealed=(good[2].sealed[0], lie, good[2].sealed[2])).signed(
            KEYS[CUSTODIANS[2]]
        )
        given = [wrong_share, nonsense, good[1], good[3], good[4]]
        record, wrong = await reshare.collect(order, given, ledger, handover.store)
        assert wrong == {CUSTODIANS[0]: f"custodian {CUSTODIANS[0]} contributed another share than its own"}
        assert [dealer for dealer, _ in record.dealers] == [2, 3, 4]
        with pytest.raises(WrongSubshares) as error:
            await handover.acceptances(record, ledger)
        assert error.value.dealers == (3,)
        record, _ = await reshare.collect(order, [wrong_share, good[1], good[3], good[4]], ledger, handover.store)
        acceptances = await handover.acceptances(record, ledger)
        with pytest.raises(reshare.TooFew, match=f"2 good contributions, 3 are needed.*{CUSTODIANS[0]}"):
            await reshare.collect(order, [wrong_share, good[1], good[1], good[3]], ledger, handover.store)
        with pytest.raises(NotMine):
            await reshare.accept(record, ledger, handover.store, KEYS[CUSTODIANS[0]], [other])
    await start_job(custody, tmp_path)
    in_force = await handover.in_force(await handover.put_into_force(record, acceptances))
    async with custodians(kept_by_next(custody, handover), tmp_path) as urls:
        assert await collect(custody, urls, custody=in_force) == custody.design_key


async def test_an_absent_next_custodian_can_be_done_without_but_not_too_many(custody: Scene, tmp_path: Path) -> None:
    handover = Handover(custody, tmp_path)
    record, acceptances = await handover.accepted()
    absent = NEXT[2].key.address
    async with sending(custody.network, OWNER, tmp_path) as ledger:

        async def force(given: Any, *without: str) -> Any:
            return await reshare.put_into_force(record, given, ledger, handover.store, without=without)  # type: ignore[arg-type]

        with pytest.raises(reshare.TooFew, match=f"not accepted by {absent}"):
            await force(acceptances[:2])
        with pytest.raises(PackageRefused, match="1 custodians accepted, 2 must"):
            await force(acceptances[:1], absent, NEXT[1].key.address)
        design = await ledger.call("design", custody.manifest.content_id)
        assert design.custody == bytes(32)
        done, receipt = await force(acceptances[:2], absent)
        # Again, after a lost answer: the same.
        assert await force(acceptances[:2], absent) == (done, receipt)


async def test_who_may_order_contribute_and_replay(custody: Scene, tmp_path: Path) -> None:
    handover = Handover(custody, tmp_path)
    async with open_ledger(custody.network) as ledger:
        order = await handover.order(ledger)
        with pytest.raises(NotMine):
            await handover.order(ledger, KEYS[CUSTODIANS[0]])
        stolen = dataclasses.replace(order, signature=b"").signed(KEYS[CUSTODIANS[0]])
        with pytest.raises(PackageRefused, match="not signed by the package's owner"):
            await handover.contribution(stolen, ledger, CUSTODIANS[0])
        with pytest.raises(NotMine, match="holds no share in epoch 0"):
            await reshare.contribute_to(order, ledger, handover.store, NEWCOMERS[0], [NEXT[1].unsealing])
        with pytest.raises(NotMine, match="is not here"):
            await reshare.contribute_to(order, ledger, handover.store, KEYS[LEAVES], [NEXT[1].unsealing])
        contributions = [await handover.contribution(order, ledger, each) for each in CUSTODIANS[:3]]
    record, acceptances = await handover.accepted()
    first = await handover.put_into_force(record, acceptances)
    async with open_ledger(custody.network) as ledger:
        # The order that was carried out, and its contributions, are of the past.
        for replayed in (order, first.order):
            with pytest.raises(PackageRefused, match="in force is epoch 1"):
                await handover.contribution(replayed, ledger, CUSTODIANS[0])
            with pytest.raises(PackageRefused, match="in force is epoch 1"):
                await reshare.collect(replayed, contributions, ledger, handover.store)
        again = await handover.order(ledger)
        assert (again.epoch, again.former) == (2, first.blob)
        with pytest.raises(reshare.TooFew, match="is to another order"):
            await reshare.collect(again, contributions, ledger, handover.store)
    # A record on top of what is no more in force is refused by us, and by the ledger.
    other = dataclasses.replace(first, acceptances=first.acceptances[:2])
    async with sending(custody.network, OWNER, tmp_path) as ledger:
        with pytest.raises(PackageRefused, match="in force is epoch 1"):
            await reshare.put_into_force(
                record, acceptances[:2], ledger, handover.store, without=[acceptances[2].custodian]
            )
        with pytest.raises(CustodyChangedBefore):
            await ledger.send("old", "change_custody", custody.manifest.content_id, order.former, other.blob)


async def test_a_second_handover_follows_the_first(custody: Scene, tmp_path: Path) -> None:
    first = Handover(custody, tmp_path)
    await first.all_steps()
    to = tuple(keeper(each.key, 2) for each in (*NEXT[:2], keeper(NEWCOMERS[2])))
    second = Handover(custody, tmp_path, to=to, threshold=3)
    async with open_ledger(custody.network) as ledger:
        order = await second.order(ledger)
        contributions = [
            await reshare.contribute_to(order, ledger, second.store, each.key, [each.unsealing]) for each in NEXT[1:]
        ]
        record, _ = await reshare.collect(order, contributions, ledger, second.store)
        acceptances = await second.acceptances(record, ledger)
    in_force: CustodyInForce = await second.in_force(await second.put_into_force(record, acceptances))
    assert in_force.committee.epoch == 2
    assert len(await fetch_chain(custody.manifest, second.blob, in_force.committee.record, second.store)) == 2
    await start_job(custody, tmp_path)
    async with custodians(kept_by_next(custody, second), tmp_path) as urls:
        assert await collect(custody, urls, custody=in_force) == custody.design_key


# Killed ------------------------------------------------------------------------------------------------------


WRITES = ("fsync", "fdatasync", "replace", "rename", "link")


def die_at(count: int) -> None:
    """Kill this process at its count-th call of the kernel that makes something last, before it is made."""
    left = count

    def dying(real: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), 9)
            return real(*args, **kwargs)

        return call

    for name in WRITES:
        setattr(os, name, dying(getattr(os, name)))


def killed(count: int, work: Any) -> bool:
    """Do the work in a child that dies at its count-th write. Whether it died."""
    child = os.fork()
    if child == 0:
        try:
            die_at(count)
            asyncio.run(work())
            os._exit(0)
        except BaseException:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) in (0, -9)
    return os.waitstatus_to_exitcode(status) == -9


def test_killed_at_any_write_a_handover_is_finished_by_the_same_command(custody: Scene, tmp_path: Path) -> None:
    # Red where `put_into_force` does not look up what it sent before: the repeat then meets its own change.
    handover = Handover(custody, tmp_path)
    record, acceptances = asyncio.run(handover.accepted())

    async def force() -> None:
        await handover.put_into_force(record, acceptances)

    died = 0
    while killed(died + 1, force):
        died += 1
        assert died < 100
    assert died >= 3
    done = asyncio.run(handover.put_into_force(record, acceptances))
    in_force = asyncio.run(handover.in_force(done))

    async def print_one() -> bytes:
        await start_job(custody, tmp_path)
        async with custodians(kept_by_next(custody, handover), tmp_path) as urls:
            return await collect(custody, urls, custody=in_force)

    assert asyncio.run(print_one()) == custody.design_key
    with ExitStack():
        assert len(asyncio.run(fetch_chain(custody.manifest, handover.blob, done.blob, handover.store))) == 1

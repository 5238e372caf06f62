"""Members, licenses, parts and the audit, through the services, on every ledger we run."""

from __future__ import annotations

import time

import pytest

from printright.domain.license import Limits
from printright.domain.part import PartLabel
from printright.errors import BadValue, LedgerRefused, PartRefused
from printright.services import licensing, members
from printright.services.audit import audit
from printright.services.check import check_out, check_part
from printright.services.history import JobState, read_history
from trade_steps import Trade, finish, label_of, start


async def test_a_license_is_granted_once_for_its_reference(trade: Trade) -> None:
    order = trade.order("order 7")
    first, receipt = await licensing.grant(trade.owner, trade.book, order)
    second, again = await licensing.grant(trade.owner, trade.book, order)
    assert (first, receipt.tx_hash) == (second, again.tx_hash)
    assert len((await read_history(trade.owner)).licenses) == 1
    with pytest.raises(BadValue, match="was used for another license"):
        await licensing.grant(trade.owner, trade.book, trade.order("order 7", copies=4))


async def test_many_licenses_in_few_transactions(trade: Trade) -> None:
    before = await trade.owner.block_number()
    licenses = await licensing.grant_many(trade.owner, trade.book, [trade.order(f"n{i}") for i in range(120)])
    assert await trade.owner.block_number() - before <= 2
    history = await read_history(trade.owner)
    assert set(history.licenses) == {license.id for license in licenses}


async def test_from_grant_to_check_out(trade: Trade) -> None:
    license, _ = await licensing.grant(trade.owner, trade.book, trade.order("one"))
    job = await start(trade, license, 2)
    labels = await finish(trade, license, job, good=2)
    for label in labels:
        report = await check_part(trade.rival, PartLabel.parse(label.text()))
        assert (report.maker, report.unit, report.licensor) == (
            trade.maker.address,
            trade.unit.address,
            trade.owner.address,
        )
        assert report.checked_out_by is None
    now = int(time.time())
    receipt = await check_out(trade.rival, labels[0], trade.rival.address, now)  # type: ignore[arg-type]
    again = await check_out(trade.rival, labels[0], trade.rival.address, now)  # type: ignore[arg-type]
    assert again.tx_hash == receipt.tx_hash
    with pytest.raises(LedgerRefused, match="checked out before"):
        await check_out(trade.owner, labels[0], trade.owner.address, now)  # type: ignore[arg-type]
    assert (await check_part(trade.owner, labels[0])).checked_out_by == trade.rival.address
    assert (await check_part(trade.owner, labels[1])).checked_out_by is None


async def test_forged_labels_are_refused(trade: Trade) -> None:
    license, _ = await licensing.grant(trade.owner, trade.book, trade.order("one"))
    job = await start(trade, license, 2)
    genuine, other = await finish(trade, license, job, good=2)
    forged = [
        label_of(trade, job, 2, 0, "PR-0000-0000-0000-0000", genuine.code, genuine.proof),
        label_of(trade, job, 2, 0, genuine.serial, other.code, genuine.proof),
        label_of(trade, job, 2, 1, genuine.serial, genuine.code, other.proof),
        label_of(trade, b"q" * 32, 2, 0, genuine.serial, genuine.code, genuine.proof),
    ]
    for label in forged:
        with pytest.raises(PartRefused, match="forged"):
            await check_part(trade.owner, label)


async def test_pause_resume_revoke_credit_close(trade: Trade) -> None:
    license, _ = await licensing.grant(trade.owner, trade.book, trade.order("one", copies=6))
    for _ in range(2):
        await licensing.pause(trade.owner, [license])
        with pytest.raises(LedgerRefused, match="paused"):
            await start(trade, license, 1)
        await licensing.resume(trade.owner, [license])
    await start(trade, license, 2)
    second = await start(trade, license, 3)  # gives the first up
    history = await read_history(trade.owner)
    assert [job.state for job in history.jobs.values()] == [JobState.GIVEN_UP, JobState.RUNNING]
    await licensing.close_job(trade.owner, license, trade.unit.address, 1, 1)  # type: ignore[arg-type]
    await finish(trade, license, second, good=2, failed=1)
    await licensing.credit(trade.owner, license, 1, "goodwill")
    assert (await licensing.credit(trade.owner, license, 1, "goodwill")).gas_used
    counters = await trade.owner.call("counters", license.id)
    assert (counters.available, counters.used, counters.lost, counters.credited) == (3, 2, 1, 2)
    await licensing.revoke(trade.owner, [license])
    with pytest.raises(LedgerRefused, match="revoked"):
        await start(trade, license, 1)
    report = await audit(trade.owner)
    assert report.findings == ()
    assert report.parts == 2


async def test_copies_are_assigned_where_the_terms_allow_it(trade: Trade) -> None:
    limits = Limits(int(time.time()) + 3_600, assignable=True)
    license, _ = await licensing.grant(trade.owner, trade.book, trade.order("one", copies=5, limits=limits))
    book = trade.book
    given, _ = await licensing.assign(
        trade.maker,
        book,
        license,
        reference="to the rival",
        licensee=trade.rival.address,
        copies=2,  # type: ignore[arg-type]
    )
    assert (await trade.owner.call("counters", license.id)).issued == 3
    assert (await trade.owner.call("counters", given.id)).issued == 2
    with pytest.raises(LedgerRefused):
        await start(trade, given, 1)  # our unit is the maker's, not the rival's
    assert (await audit(trade.owner)).findings == ()


async def test_a_suspended_members_units_stop(trade: Trade) -> None:
    license, _ = await licensing.grant(trade.owner, trade.book, trade.order("one"))
    await members.suspend(trade.registrar, trade.maker.address)  # type: ignore[arg-type]
    with pytest.raises(LedgerRefused, match="enrolled"):
        await start(trade, license, 1)
    assert (await audit(trade.owner)).findings == ()

"""Everything for which no share leaves. Real chain, real servers."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from anvil import anvil
from custody_scene import (
    CUSTODIANS,
    OPERATOR,
    OTHER_UNIT,
    OWNER,
    QUICK,
    REGISTRAR,
    UNIT,
    Scene,
    ask,
    collect,
    custodians,
    logged,
    post,
    sending,
    start_job,
)
from custody_vault import ledger_key, signed_manifest

from printright.domain.words import EMPTY_32, TypedDomain, checksum, keccak
from printright.errors import CustodianUnavailable, ReleaseRefused
from printright.services.share_request import SignedRequest

pytestmark = pytest.mark.needs("anvil")

A, B = CUSTODIANS[:2]


async def refused(custody: Scene, folder: Path, url: str, request: SignedRequest, status: int, reason: str) -> None:
    """The custodian says no with this reason, and its log does not grow."""
    before = len(logged(folder, A))
    found, answer, _ = await post(url, request)
    assert (found, reason in answer["reason"]) == (status, True), answer
    assert "sealed" not in answer
    assert len(logged(folder, A)) == before


async def test_a_request_for_somebody_or_something_else_is_refused(custody: Scene, tmp_path: Path) -> None:
    await start_job(custody, tmp_path)
    await start_job(custody, tmp_path, unit=OTHER_UNIT)
    mine = ask(custody, A)
    elsewhere = TypedDomain(custody.domain.chain_id + 1, custody.domain.contract)
    other_contract = TypedDomain(custody.domain.chain_id, checksum(bytes(20)))

    def signed(request: Any, key: Any = UNIT, domain: TypedDomain = custody.domain) -> SignedRequest:
        return dataclasses.replace(mine, request=request, signature=key.sign_digest(request.digest(domain)))

    now = int(time.time())
    change = dataclasses.replace
    cases = {
        "of another custodian": (ask(custody, B), "is for custodian"),
        "by another unit": (signed(mine.request, OTHER_UNIT), "is not signed by"),
        "by the operator": (signed(mine.request, OPERATOR), "is not signed by"),
        "for another chain": (signed(mine.request, UNIT, elsewhere), "is not signed by"),
        "for another contract": (signed(mine.request, UNIT, other_contract), "is not signed by"),
        "with a changed nonce": (change(mine, request=change(mine.request, nonce=EMPTY_32)), "is not signed by"),
        "with a changed key": (
            change(mine, request=change(mine.request, unit_key=custody.other_unsealing.public_key)),
            "is not signed by",
        ),
        "with the other twin of the signature": (change(mine, signature=twin(mine.signature)), "is not signed by"),
        "with no signature": (change(mine, signature=bytes(65)), "is not signed by"),
        "for another unit's job": (ask(custody, A, job=custody.job_id(1, OTHER_UNIT.address)), "another one"),
        "to another key": (
            ask(custody, A, unit_key=custody.other_unsealing.public_key),
            "not the registered unsealing key",
        ),
        "by a unit nobody enrolled": (ask(custody, A, unit=ledger_key("stranger")), "not enrolled"),
        "expired": (ask(custody, A, expires_at_s=now - 1), "has expired"),
        "from years ahead": (ask(custody, A, expires_at_s=now + 10**8), "more than"),
        "with other terms": (ask(custody, A, terms=change(custody.terms, document=EMPTY_32)), "under this license"),
        "for another manifest": (ask(custody, A, manifest=EMPTY_32), "manifest shown"),
    }
    async with custodians(custody, tmp_path) as urls:
        for request, reason in cases.values():
            await refused(custody, tmp_path, urls[A], request, 403, reason)
        assert (await post(urls[A], mine))[0] == 200


def twin(signature: bytes) -> bytes:
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    s = order - int.from_bytes(signature[32:64], "big")
    return signature[:32] + s.to_bytes(32, "big") + bytes([55 - signature[64]])


async def test_a_manifest_that_is_not_the_owners_is_refused(custody: Scene, tmp_path: Path) -> None:
    await start_job(custody, tmp_path)
    mine = ask(custody, A)
    raw = mine.manifest
    keys = {each: key.public_key for each, key in custody.custodian_keys.items()}
    thief = ledger_key("thief")
    stolen = dataclasses.replace(custody.manifest, owner=thief.address).signed(thief)
    other, _ = signed_manifest(OWNER, keys, 3)
    without, _ = signed_manifest(OWNER, {each: key for each, key in keys.items() if each != A}, 3)
    async with custodians(custody, tmp_path) as urls:
        for flipped in (
            raw.replace(b'text/x.gcode"', b'text/x.gcodf"'),
            raw.replace(b'"parts_per_run":1', b'"parts_per_run":2'),
        ):
            assert flipped != raw
            changed = dataclasses.replace(mine, manifest=flipped)
            await refused(custody, tmp_path, urls[A], changed, 403, "not signed by its owner")
        for made, reason in ((stolen, "another design"), (other, "another design"), (without, "names no share")):
            changed = dataclasses.replace(ask(custody, A, manifest=made.digest), manifest=made.to_json())
            await refused(custody, tmp_path, urls[A], changed, 403, reason)
            # And with terms of that design, which the ledger does not know.
            terms = dataclasses.replace(custody.terms, content=made.content_id)
            changed = dataclasses.replace(ask(custody, A, manifest=made.digest, terms=terms), manifest=made.to_json())
            await refused(
                custody, tmp_path, urls[A], changed, 403, "names no share" if made is without else "not published"
            )


Change = Callable[[Scene, Path], Awaitable[None]]


async def send(custody: Scene, folder: Path, key: Any, function: str, *arguments: Any) -> None:
    async with sending(custody.network, key, folder) as ledger:
        await ledger.send(function, function, *arguments)


async def finish(custody: Scene, folder: Path) -> None:
    license = custody.terms.license_id(OWNER.address, OPERATOR.address)
    await send(custody, folder, UNIT, "finish_job", license, 0, 1, keccak(b"evidence"), EMPTY_32)


async def start_under_other_license(custody: Scene, folder: Path) -> None:
    terms = dataclasses.replace(custody.terms, limits=dataclasses.replace(custody.terms.limits, job_time_s=1))
    await send(custody, folder, OWNER, "grant", terms.hash(OPERATOR.address), 1, 0)
    await send(custody, folder, UNIT, "start_job", terms.abi(), 1, 2, ())


CHANGES: dict[str, tuple[Change, str]] = {
    "retired unit": (lambda c, f: send(c, f, UNIT, "retire_unit", UNIT.address), "not enrolled"),
    "suspended operator": (lambda c, f: send(c, f, REGISTRAR, "suspend_member", OPERATOR.address, []), "not a maker"),
    "withdrawn design": (lambda c, f: send(c, f, OWNER, "withdraw", [c.terms.content]), "withdrawn"),
    "finished job": (finish, "runs no job"),
    "job given up for the next": (lambda c, f: start_job(c, f, 2), "another one"),
    "job given up for another license": (start_under_other_license, "runs no job"),
}


@pytest.mark.parametrize("finality", ["single-node", "depth:5"])
@pytest.mark.parametrize("name", CHANGES)
async def test_what_changes_after_the_start_counts_at_once(
    custody: Scene, tmp_path: Path, name: str, finality: str
) -> None:
    # With depth:5 the job is final and the change is not: red where `decide` looks at the final block alone.
    change, reason = CHANGES[name]
    await start_job(custody, tmp_path)
    custody.chain.mine(10)
    async with custodians(custody, tmp_path, finality=finality) as urls:
        assert (await post(urls[A], ask(custody, A)))[0] == 200
        await change(custody, tmp_path)
        await refused(custody, tmp_path, urls[A], ask(custody, A), 403, reason)
        with pytest.raises(ReleaseRefused, match=reason):
            await collect(custody, urls)


# Finality ----------------------------------------------------------------------------------------------------


async def test_no_share_leaves_before_the_spend_is_final(custody: Scene, tmp_path: Path) -> None:
    # Invariant 14. Red where step 12 of `decide` is deleted.
    async with custodians(custody, tmp_path, finality="depth:4") as urls:
        status, answer, after = await post(urls[A], ask(custody, A))
        assert (status, after) == (425, 1), answer
        await start_job(custody, tmp_path)
        for _ in range(4):
            status, answer, after = await post(urls[A], ask(custody, A))
            assert (status, after) == (425, 1), answer
            assert "final" in answer["reason"]
            assert logged(tmp_path, A) == []
            custody.chain.mine()
        status, answer, _ = await post(urls[A], ask(custody, A))
        assert status == 200
    assert len(logged(tmp_path, A)) == 1


async def test_a_unit_waits_while_its_spend_becomes_final(custody: Scene, tmp_path: Path) -> None:
    await start_job(custody, tmp_path)
    async with custodians(custody, tmp_path, finality="depth:3") as urls:
        async with asyncio.TaskGroup() as group:
            key = group.create_task(collect(custody, urls))
            while not key.done():
                custody.chain.mine()
                await asyncio.sleep(0.2)
        assert key.result() == custody.design_key


async def test_a_spend_that_a_reorganisation_took_away_releases_nothing(custody: Scene, tmp_path: Path) -> None:
    custody.chain.mine(10)
    await start_job(custody, tmp_path)
    custody.chain.mine(1)
    async with custodians(custody, tmp_path, finality="depth:3") as urls:
        assert (await post(urls[A], ask(custody, A)))[0] == 425
        custody.chain.reorganize(2)
        custody.chain.mine(10)
        status, answer, _ = await post(urls[A], ask(custody, A))
        assert (status, "does not show job 1" in answer["reason"]) == (425, True)
        with pytest.raises(CustodianUnavailable, match="does not show job 1"):
            await collect(custody, urls, asking=dataclasses.replace(QUICK, patience_s=1.5))
    assert all(logged(tmp_path, each) == [] for each in CUSTODIANS)


async def test_custodians_whose_nodes_were_forked_away_say_not_yet_and_change_nothing(
    custody: Scene, tmp_path: Path
) -> None:
    # Two of five see a chain of their own, longer, on which the job was never started.
    with anvil() as away:
        away.rpc("anvil_loadState", custody.chain.rpc("anvil_dumpState"))
        away.mine(50)
        await start_job(custody, tmp_path)
        async with custodians(custody, tmp_path, nodes=dict.fromkeys((A, B), away.url)) as urls:
            status, answer, _ = await post(urls[A], ask(custody, A))
            assert (status, "does not show job 1" in answer["reason"]) == (425, True), answer
            assert await collect(custody, urls) == custody.design_key
    assert [len(logged(tmp_path, each)) for each in CUSTODIANS] == [0, 0, 1, 1, 1]

"""Custodians anchor their logs on the ledger; a log that is not the anchored one starts no custodian and is named."""

from __future__ import annotations

import asyncio
import dataclasses
import shutil
import time
from pathlib import Path

import aiohttp
import pytest
from custody_scene import (
    CUSTODIANS,
    KEYS,
    OPERATOR,
    REGISTRAR,
    Scene,
    ask,
    collect,
    custodians,
    logged,
    post,
    sending,
    start_job,
)

from printright.domain.words import TypedDomain
from printright.errors import CustodianUnavailable, ReleaseRefused
from printright.ledger.evm import open_ledger
from printright.services.anchoring import AnchorSettings
from printright.services.audit import audit
from printright.services.history import read_history
from printright.services.log_access import fetch_log, reader_header
from printright.services.release_log import LogDamaged, verify

pytestmark = pytest.mark.needs("anvil")

A = CUSTODIANS[0]
OFTEN = AnchorSettings(every_entries=2, every_s=3600, retry_after_s=0.1)
SOON = AnchorSettings(every_entries=1000, every_s=0.2, retry_after_s=0.1)


async def anchors(custody: Scene, count: int) -> list[int]:
    """How many entries custodian A anchored, once there are so many anchors."""
    async with asyncio.timeout(30), open_ledger(custody.network) as ledger:
        while True:
            found = (await read_history(ledger)).anchors.get(A, [])
            if len(found) >= count:
                return [each.entries for each in found]
            await asyncio.sleep(0.1)


async def test_logs_are_anchored_and_the_audit_finds_them_in_order(custody: Scene, tmp_path: Path) -> None:
    await start_job(custody, tmp_path)
    async with custodians(custody, tmp_path, anchors=OFTEN) as urls:
        for _ in range(2):
            assert await collect(custody, urls) == custody.design_key
        assert await anchors(custody, 1) == [2]
    # Started again, after every so many seconds, and nothing is anchored twice.
    async with custodians(custody, tmp_path, anchors=SOON) as urls:
        assert (await post(urls[A], ask(custody, A)))[0] == 200
        assert await anchors(custody, 2) == [2, 3]
        async with open_ledger(custody.network) as ledger, aiohttp.ClientSession() as session:
            now_s, to = int(time.time()), tmp_path / "fetched"
            log = await fetch_log(session, urls[A], A, REGISTRAR, custody.domain, now_s, to)
            assert log.read_bytes() == (tmp_path / f"{A}.log").read_bytes()
            report = await audit(ledger, logs=[log, *(tmp_path / f"{each}.log" for each in CUSTODIANS)], threshold=3)
    assert (report.findings, report.releases) == ((), 10)
    assert report.anchors >= 3


async def test_a_log_without_what_was_anchored_starts_no_custodian(custody: Scene, tmp_path: Path) -> None:
    # Red where `Anchoring.check` is not awaited before the port is opened.
    await start_job(custody, tmp_path)
    async with custodians(custody, tmp_path, anchors=OFTEN) as urls:
        for _ in range(2):
            await post(urls[A], ask(custody, A))
        await anchors(custody, 1)
    path, kept = tmp_path / f"{A}.log", tmp_path / "kept"
    shutil.copy(path, kept)
    lines = kept.read_bytes().splitlines(keepends=True)
    only_a = dataclasses.replace(custody, custodian_keys={A: custody.custodian_keys[A]})
    for name, data in {"cut": b"".join(lines[:2]), "fresh": b""}.items():
        path.write_bytes(data)
        with pytest.raises(LogDamaged, match="does not contain entry 2 as it was anchored"):
            async with custodians(only_a, tmp_path, anchors=OFTEN):
                pytest.fail(f"a {name} log")
    shutil.copy(kept, path)
    async with custodians(only_a, tmp_path, anchors=OFTEN) as urls:
        assert (await post(urls[A], ask(custody, A)))[0] == 200
    assert verify(path).entries == 3


async def test_an_anchor_by_somebody_else_in_the_custodians_name_stops_it(custody: Scene, tmp_path: Path) -> None:
    only_a = dataclasses.replace(custody, custodian_keys={A: custody.custodian_keys[A]})
    await start_job(custody, tmp_path)

    async def forked() -> None:
        async with custodians(only_a, tmp_path, anchors=OFTEN) as urls:
            async with sending(custody.network, KEYS[A], tmp_path) as other:
                await other.send("fork", "anchor", 9, bytes(32))
            for _ in range(2):
                await post(urls[A], ask(custody, A))
            await asyncio.sleep(30)

    with pytest.raises(BaseExceptionGroup) as error:
        await forked()
    assert error.group_contains(LogDamaged, match="in this custodian's name")


async def test_releases_go_on_while_the_log_cannot_be_anchored(custody: Scene, tmp_path: Path) -> None:
    # Its account is no custodian's: nothing is anchored, and nobody's print waits for that.
    async with sending(custody.network, REGISTRAR, tmp_path) as registrar:
        await registrar.send("suspend", "suspend_member", A, [])
    await start_job(custody, tmp_path)
    async with custodians(custody, tmp_path, anchors=SOON) as urls:
        for _ in range(2):
            assert await collect(custody, urls) == custody.design_key
        assert await anchors(custody, 0) == []
    assert len(logged(tmp_path, A)) == 2


async def test_the_log_is_for_its_readers(custody: Scene, tmp_path: Path) -> None:
    now, elsewhere = int(time.time()), TypedDomain(custody.domain.chain_id + 1, custody.domain.contract)
    async with custodians(custody, tmp_path) as urls, aiohttp.ClientSession() as session:
        for key, custodian, domain, at in (
            (OPERATOR, A, custody.domain, now),
            (REGISTRAR, CUSTODIANS[1], custody.domain, now),
            (REGISTRAR, A, elsewhere, now),
            (REGISTRAR, A, custody.domain, now - 3600),
            (REGISTRAR, A, custody.domain, now + 3600),
        ):
            with pytest.raises(ReleaseRefused, match="does not show us its log"):
                await fetch_log(session, urls[A], custodian, key, domain, at, tmp_path / "log")
        good = reader_header(custody.domain, A, REGISTRAR, now + 60)
        for header in ("", "a b c", good.replace(" ", ""), f"{OPERATOR.address} {good.split(' ', 1)[1]}", good + "00"):
            async with session.get(urls[A] + "/v1/log", headers={"Printright-Reader": header}) as response:
                assert response.status == 403
                assert "job" not in await response.text()
        with pytest.raises(CustodianUnavailable):
            await fetch_log(session, "http://127.0.0.1:9", A, REGISTRAR, custody.domain, now, tmp_path / "log")

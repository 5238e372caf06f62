"""A key released by 3 of 5 custodians over HTTP, and what happens where something is away. Real chain, real servers."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import logging
import os
import resource
import signal
import threading
from pathlib import Path

import aiohttp
import pytest
from custody_liars import Liar, sealed
from custody_scene import (
    CUSTODIANS,
    OTHER_UNIT,
    QUICK,
    UNIT,
    Scene,
    ask,
    collect,
    custodians,
    logged,
    post,
    scene,
    start_job,
)
from custody_vault import unsealing_key

from printright.domain.ids import Address
from printright.domain.release import share_info
from printright.errors import BadSettings, CustodianUnavailable, WrongKey
from printright.services.release import Asking, collect_design_key
from printright.services.share_request import STATUS_PATH, encode_request
from printright.vault.committee import AS_PUBLISHED
from printright.vault.custody import open_share
from printright.vault.keys import LedgerKey, UnsealingKey

pytestmark = pytest.mark.needs("anvil")

A, B = CUSTODIANS[:2]


async def test_three_of_five_release_and_say_so_in_their_logs(custody: Scene, tmp_path: Path) -> None:
    await start_job(custody, tmp_path)
    async with custodians(custody, tmp_path) as urls:
        # No hedge: on a busy machine a fourth would be asked because the third is slow.
        assert await collect(custody, urls, asking=dataclasses.replace(QUICK, hedge_after_s=30.0)) == custody.design_key
        async with aiohttp.ClientSession() as session, session.get(urls[A] + STATUS_PATH) as response:
            status = await response.json()
    assert [len(logged(tmp_path, each)) for each in CUSTODIANS] == [1, 1, 1, 0, 0]
    (entry,) = logged(tmp_path, A)
    assert (entry.job, entry.unit, entry.share, entry.quantity) == (custody.job_id(1).hex(), UNIT.address, 1, 1)
    assert (status["custodian"], status["release_log"]["entries"]) == (A, 1)


async def test_asked_again_after_a_lost_answer_it_answers_again_and_marks_it(custody: Scene, tmp_path: Path) -> None:
    await start_job(custody, tmp_path)
    async with custodians(custody, tmp_path) as urls:
        shares = set()
        for _ in range(3):
            status, answer, _ = await post(urls[A], ask(custody, A))
            assert (status, answer["index"]) == (200, 1)
            info = share_info(custody.job_id(1), custody.manifest.digest, AS_PUBLISHED, 1)
            shares.add(custody.unit_unsealing.open(base64.b64decode(answer["sealed"]), info))
    assert shares == {open_share(custody.manifest, custody.custodian_keys[A]).to_bytes()}
    assert [entry.repeat for entry in logged(tmp_path, A)] == [False, True, True]


def test_one_of_one_at_the_rights_holders_node(tmp_path: Path) -> None:
    with scene(tmp_path, threshold=1, count=1) as alone:

        async def print_one() -> bytes:
            await start_job(alone, tmp_path)
            async with custodians(alone, tmp_path) as urls:
                return await collect(alone, urls)

        assert asyncio.run(print_one()) == alone.design_key
    assert len(logged(tmp_path, A)) == 1


class Token(LedgerKey, UnsealingKey):
    """Keys that live elsewhere and take their time; pulled out, they say so."""

    def __init__(self, ledger: LedgerKey, unsealing: UnsealingKey, *, pulled_out: bool = False) -> None:
        self._ledger, self._unsealing, self._pulled_out = ledger, unsealing, pulled_out

    @property
    def address(self) -> Address:
        return self._ledger.address

    @property
    def public_key(self) -> bytes:
        return self._unsealing.public_key

    def sign_digest(self, digest: bytes) -> bytes:
        assert threading.current_thread() is not threading.main_thread()
        if self._pulled_out:
            raise WrongKey("the token is gone", hint="plug it in again")
        return self._ledger.sign_digest(digest)

    def open(self, sealed: bytes, info: bytes) -> bytes:
        assert threading.current_thread() is not threading.main_thread()
        return self._unsealing.open(sealed, info)


async def test_keys_in_tokens_are_asked_in_a_thread_and_may_fail(custody: Scene, tmp_path: Path) -> None:
    await start_job(custody, tmp_path)
    keys = {address: Token(UNIT, key) for address, key in custody.custodian_keys.items()}
    tokens = dataclasses.replace(custody, custodian_keys=keys, unit_unsealing=Token(UNIT, custody.unit_unsealing))
    async with custodians(tokens, tmp_path) as urls, aiohttp.ClientSession() as session:
        for pulled_out in (False, True):
            token = Token(UNIT, custody.unit_unsealing, pulled_out=pulled_out)
            asked = collect_design_key(
                custody.manifest,
                custody.job(),
                urls,
                unit_key=token,
                unsealing_key=token,
                session=session,
                asking=QUICK,
            )
            if pulled_out:
                with pytest.raises(WrongKey, match="token is gone"):
                    await asked
            else:
                assert await asked == custody.design_key


async def test_two_may_be_away_and_three_may_not(custody: Scene, tmp_path: Path) -> None:
    await start_job(custody, tmp_path)
    async with custodians(custody, tmp_path, away=CUSTODIANS[:2]) as urls:
        assert await collect(custody, urls) == custody.design_key
    async with custodians(custody, tmp_path, away=CUSTODIANS[:3]) as urls:
        impatient = dataclasses.replace(QUICK, patience_s=1.0)
        with pytest.raises(CustodianUnavailable, match=f"fewer than 3 of 5.*{A}: no answer"):
            await collect(custody, urls, asking=impatient)
        with pytest.raises(BadSettings, match="3 custodians are needed"):
            await collect(custody, dict(list(urls.items())[:2]))


# What cannot be checked or kept ------------------------------------------------------------------------------


async def test_a_ledger_that_does_not_answer_releases_nothing(custody: Scene, tmp_path: Path) -> None:
    await start_job(custody, tmp_path)
    async with custodians(custody, tmp_path, ledger_timeout_s=0.5) as urls:
        children = [custody.chain.process.pid, *descendants(custody.chain.process.pid)]
        for pid in children:
            os.kill(pid, signal.SIGSTOP)
        try:
            status, answer, after = await post(urls[A], ask(custody, A))
        finally:
            for pid in reversed(children):
                os.kill(pid, signal.SIGCONT)
        assert (status, after) == (503, 1), answer
        assert logged(tmp_path, A) == []
        assert (await post(urls[A], ask(custody, A)))[0] == 200


def descendants(pid: int) -> list[int]:
    children = [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return children + [deeper for child in children for deeper in descendants(child)]


async def test_with_a_full_disk_no_share_leaves(custody: Scene, tmp_path: Path) -> None:
    # Red where the answer leaves before `releases.record` returns.
    await start_job(custody, tmp_path)
    async with custodians(custody, tmp_path) as urls:
        path = tmp_path / f"{A}.log"
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        for room in (0, 50):
            resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + room, hard))
            try:
                status, answer, after = await post(urls[A], ask(custody, A))
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            assert (status, after) == (503, 1), answer
            assert "sealed" not in answer
            assert logged(tmp_path, A) == []
        assert (await post(urls[A], ask(custody, A)))[0] == 200
    assert [entry.repeat for entry in logged(tmp_path, A)] == [False]


async def test_a_unit_that_asks_too_often_is_told_to_wait(custody: Scene, tmp_path: Path) -> None:
    await start_job(custody, tmp_path)
    async with custodians(custody, tmp_path, unit_requests_per_s=0.01, unit_burst=3) as urls:
        found = [(await post(urls[A], ask(custody, A)))[0] for _ in range(5)]
        assert found == [200, 200, 200, 429, 429]
        # Another unit has its own allowance, and nobody can use up this one's without its key.
        other = ask(custody, A, unit=OTHER_UNIT)
        assert (await post(urls[A], other))[0] == 425
        forged = dataclasses.replace(other, signature=ask(custody, A).signature)
        assert (await post(urls[A], forged))[0] == 403


# Secrets -----------------------------------------------------------------------------------------------------


async def test_no_key_and_no_share_shows_in_a_log_message_or_representation(
    custody: Scene, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await start_job(custody, tmp_path)
    shares = [open_share(custody.manifest, key) for key in custody.custodian_keys.values()]
    told: list[str] = [repr(share) for share in shares] + [repr(custody.manifest), repr(ask(custody, A))]
    async with custodians(custody, tmp_path, away=CUSTODIANS[:1]) as urls:
        server = await asyncio.start_server(Liar(sealed(custody, b"\x02" + os.urandom(32), 2)), "127.0.0.1", 0)
        async with server:
            urls[B] = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            assert await collect(custody, urls) == custody.design_key
            urls[CUSTODIANS[4]] = urls[A]
            for patience in (0.2, 1.0):
                with pytest.raises(CustodianUnavailable) as error:
                    await collect(custody, urls, asking=Asking(0.05, 0.5, 0.05, patience))
                told += [str(error.value), repr(error.value), repr(error.value.__context__)]
    told += [record.getMessage() for record in caplog.records]
    told += [path.read_text() for path in tmp_path.glob("*.log")]
    text = "\n".join(told)
    for secret in (custody.design_key, *(share.value for share in shares)):
        for form in (secret.hex(), base64.b64encode(secret).decode().rstrip("="), repr(secret)[2:-1]):
            assert form not in text
    assert f"{A}: no answer" in text


async def test_a_failure_inside_tells_its_kind_and_nothing_else(
    custody: Scene, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await start_job(custody, tmp_path)
    async with custodians(custody, tmp_path) as urls:
        # A custodian started with another account's key: the package has no share for it.
        custody_with_other_key = dataclasses.replace(custody, custodian_keys={A: unsealing_key("no custodian")})
        (tmp_path / "other").mkdir()
        async with custodians(custody_with_other_key, tmp_path / "other") as wrong:
            status, answer, _ = await post(wrong[A], ask(custody, A))
        assert (status, logged(tmp_path / "other", A)) == (403, []), answer
        assert (await post(urls[A], encode_request(ask(custody, A))))[0] == 200

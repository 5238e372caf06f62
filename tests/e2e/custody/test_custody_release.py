"""A key released by 3 of 5 custodians over HTTP, and everything for which no share leaves. Real chain, real servers."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import gzip
import logging
import os
import resource
import signal
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
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
    scene,
    sending,
    start_job,
)
from custody_vault import ledger_key, signed_manifest, unsealing_key

from printright.domain.ids import Address
from printright.domain.release import share_info
from printright.domain.words import EMPTY_32, TypedDomain, checksum, keccak
from printright.errors import BadSettings, CustodianUnavailable, ReleaseRefused, WrongKey
from printright.services.release import Asking, collect_design_key
from printright.services.share_request import STATUS_PATH, SignedRequest, encode_request
from printright.vault.committee import AS_PUBLISHED
from printright.vault.custody import open_share
from printright.vault.keys import LedgerKey, UnsealingKey
from printright.vault.sealing import seal

pytestmark = pytest.mark.needs("anvil")

A, B = CUSTODIANS[:2]


async def refused(custody: Scene, folder: Path, url: str, request: SignedRequest, status: int, reason: str) -> None:
    """The custodian says no with this reason, and its log does not grow."""
    before = len(logged(folder, A))
    found, answer, _ = await post(url, request)
    assert (found, reason in answer["reason"]) == (status, True), answer
    assert "sealed" not in answer
    assert len(logged(folder, A)) == before


async def test_three_of_five_release_and_say_so_in_their_logs(custody: Scene, tmp_path: Path) -> None:
    await start_job(custody, tmp_path)
    async with custodians(custody, tmp_path) as urls:
        assert await collect(custody, urls) == custody.design_key
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


# Custodians that lie -----------------------------------------------------------------------------------------


class Liar:
    """An HTTP server that answers every request with the same bytes; None hangs."""

    def __init__(self, answer: bytes | None) -> None:
        self._answer = answer

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (await reader.read(65_536)) and self._answer is None:
                pass
            if self._answer is not None:
                writer.write(self._answer)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()


def http(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def sealed(custody: Scene, share: bytes, index: int, info_index: int | None = None) -> bytes:
    info = share_info(custody.job_id(1), custody.manifest.digest, AS_PUBLISHED, info_index or index)
    text = base64.b64encode(seal(custody.unit_unsealing.public_key, share, info)).decode()
    return http(b'{"index":%d,"sealed":"%s","repeat":false}' % (index, text.encode()))


LIES: dict[str, Callable[[Scene, int], bytes | None]] = {
    "hangs": lambda custody, index: None,
    "closes": lambda custody, index: b"",
    "is no HTTP server": lambda custody, index: b"\xff\x00" * 100,
    "garbage": lambda custody, index: http(os.urandom(300)),
    "an empty object": lambda custody, index: http(b"{}"),
    "endless": lambda custody, index: http(b" " * 1_000_000),
    "a wrong share": lambda custody, index: sealed(custody, bytes([index]) + os.urandom(32), index),
    "a short share": lambda custody, index: sealed(custody, b"\x01", index),
    "another number": lambda custody, index: sealed(custody, bytes([index]) + os.urandom(32), index % 5 + 1),
    "another number inside": lambda custody, index: sealed(custody, bytes([index % 5 + 1]) + os.urandom(32), index),
    "sealed for another number": lambda custody, index: sealed(custody, os.urandom(33), index, index % 5 + 1),
    "a share it was told": lambda custody, index: sealed(
        custody, open_share(custody.manifest, custody.custodian_keys[CUSTODIANS[4]]).to_bytes(), index
    ),
    "refuses": lambda custody, index: http(b'{"reason":"\x1b[31mno"}', "403 Forbidden"),
    "sends elsewhere": lambda custody, index: http(b"", "307 Temporary Redirect", "Location: http://127.0.0.1:9/"),
    "never yet": lambda custody, index: http(b"", "425 Too Early", "Retry-After: 1e99"),
    "a bomb": lambda custody, index: http(gzip.compress(bytes(50_000_000)), "200 OK", "Content-Encoding: gzip"),
}


@pytest.mark.parametrize("lie", LIES)
async def test_two_liars_among_five_change_nothing(custody: Scene, tmp_path: Path, lie: str) -> None:
    # Red without the check value in `recover_key`: the first three shares give a wrong key.
    await start_job(custody, tmp_path)
    async with custodians(custody, tmp_path) as urls:
        servers = []
        for index, address in enumerate(CUSTODIANS[:2], start=1):
            server = await asyncio.start_server(Liar(LIES[lie](custody, index)), "127.0.0.1", 0)
            urls[address] = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            servers.append(server)
        try:
            assert await collect(custody, urls) == custody.design_key
        finally:
            for server in servers:
                server.close()


async def test_an_endless_answer_is_not_listened_to(custody: Scene, tmp_path: Path) -> None:
    # Red without MAX_ANSWER_BYTES in `_post`: the unit then takes what comes until its time is up.
    sent = 0

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            while True:
                writer.write(b" " * 65_536)
                await writer.drain()
                sent += 65_536
        except ConnectionError:
            writer.close()

    await start_job(custody, tmp_path)
    async with custodians(custody, tmp_path) as urls:
        server = await asyncio.start_server(pour, "127.0.0.1", 0)
        async with server:
            urls[A] = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            assert await collect(custody, urls) == custody.design_key
    assert sent < 32 * 1024 * 1024  # what fits between two sockets


async def test_wrong_shares_are_named(custody: Scene, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    await start_job(custody, tmp_path)
    async with custodians(custody, tmp_path) as urls:
        server = await asyncio.start_server(Liar(sealed(custody, b"\x01" + os.urandom(32), 1)), "127.0.0.1", 0)
        async with server:
            urls[A] = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            assert await collect(custody, urls) == custody.design_key
    assert [record.getMessage() for record in caplog.records if "wrong share" in record.getMessage()] == [
        f"custodian {A} released a wrong share: it does not fit the commitment to share 1"
    ]


# What no share leaves for ------------------------------------------------------------------------------------


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

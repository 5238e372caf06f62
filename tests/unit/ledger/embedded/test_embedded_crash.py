"""kill -9 and full disks: a block is on the ledger entirely or not at all, and what was answered is."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from embedded_scene import CHAIN_ID, Client, Local, RpcFailed, Signer, returning

from printright.ledger.embedded.database import StorageFailed

HERE = Path(__file__).parent
NOBODY = "0x" + "42" * 20


@pytest.fixture
def seed() -> int:
    """Printed, and so shown with a failure; set PRINTRIGHT_SEED to repeat one."""
    value = int(os.environ.get("PRINTRIGHT_SEED") or random.SystemRandom().randrange(2**32))
    print(f"PRINTRIGHT_SEED={value}")
    return value


def crash(kind: str, folder: Path, seed: int) -> dict[str, Any]:
    """One kind of `embedded_crash`, in a process of its own, since it forks."""
    done = subprocess.run(
        [sys.executable, str(HERE / "embedded_crash.py"), kind, str(folder), str(seed)],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_killed_before_each_statement(tmp_path: Path, seed: int) -> None:
    # Red without BEGIN IMMEDIATE in `Database.commit`: each statement would then be on disk by itself.
    result = crash("killed-statements", tmp_path, seed)
    assert result["states"] == ["before"] * (result["points"] - 1) + ["after"]
    assert result["points"] > 20


def test_killed_inside_a_write(tmp_path: Path, seed: int) -> None:
    # Red with `PRAGMA journal_mode = OFF` in `Database`: half a block is then what is there.
    result = crash("torn-writes", tmp_path, seed)
    assert set(result["states"]) == {"before"}
    assert result["points"] > 40


def test_killed_while_it_is_made(tmp_path: Path, seed: int) -> None:
    # Red where `Chain._make_genesis` writes the records before block 0: the folder would seem to be made.
    result = crash("torn-births", tmp_path, seed)
    assert (result["points"] > 20, len(result["heads"])) == (True, 1)


def test_disk_full_at_any_byte(tmp_path: Path, seed: int) -> None:
    # Red where neither `Database.commit` nor `Chain._mine` lets go of what is pending: half a block would be seen.
    assert crash("full-disk", tmp_path, seed)["points"] > 20


SERVE = """
import asyncio, sys
from pathlib import Path
from printright.ledger.embedded import Settings, serve
asyncio.run(serve(Settings(Path(sys.argv[1]), int(sys.argv[2]), port=0), ready=lambda url: print(url, flush=True)))
"""


async def test_killed_while_serving(tmp_path: Path, seed: int) -> None:
    # Red without the `database.commit` in `Chain._mine`.
    rng = random.Random(seed)
    signers = [Signer(f"client {number}") for number in range(3)]
    answered: dict[str, str] = {}
    for _ in range(4):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", SERVE, str(tmp_path / "ledger"), str(CHAIN_ID), stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        url = (await process.stdout.readline()).decode().strip()
        async with aiohttp.ClientSession() as session:
            client = Client(url, session)
            for transaction_hash, block_hash in answered.items():
                receipt = await client("eth_getTransactionReceipt", transaction_hash)
                assert receipt["blockHash"] == block_hash
            total = 0
            for signer in signers:
                signer.nonce = int(await client("eth_getTransactionCount", signer.address, "latest"), 16)
                total += signer.nonce
            # Blocks and accounts agree, and at most one transaction of each client was mined without its answer.
            assert int(await client("eth_blockNumber"), 16) == total
            assert len(answered) <= total <= len(answered) + len(signers) * 4

            async def use(signer: Signer, client: Client = client) -> None:
                while True:
                    receipt = await client.send(signer.sign(NOBODY))
                    answered[receipt["transactionHash"]] = receipt["blockHash"]

            users = [asyncio.create_task(use(signer)) for signer in signers]
            await asyncio.sleep(0.05 + rng.random() * 0.4)
            process.send_signal(signal.SIGKILL)
            assert await process.wait() == -signal.SIGKILL
            ended = await asyncio.gather(*users, return_exceptions=True)
            assert all(isinstance(each, aiohttp.ClientError) for each in ended), ended
    assert len(answered) > 10


async def test_a_full_disk_is_told_to_the_client(tmp_path: Path) -> None:
    # The limit is set on the running server from outside: its next write fails, later ones do not.
    import resource

    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVE, str(tmp_path / "ledger"), str(CHAIN_ID), stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    url = (await process.stdout.readline()).decode().strip()
    try:
        async with aiohttp.ClientSession() as session:
            client, signer = Client(url, session), Signer("client")
            await client.send(signer.sign(NOBODY))
            raw = signer.sign(NOBODY)
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
            with pytest.raises(RpcFailed, match="block 2 was not written") as refused:
                await client.send(raw)
            assert refused.value.code == -32603
            assert "free some space and send it again" in refused.value.message
            assert await client("eth_blockNumber") == "0x1"
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            assert (await client.send(raw))["blockNumber"] == "0x2"
    finally:
        process.terminate()
        await process.wait()


def test_a_full_database_is_let_go_of(local: Local, rich: Signer) -> None:
    # Red without the ROLLBACK in `Database.commit`: the next block would find a transaction open.
    execute = local.chain.database.connection.execute
    raw = Signer("writer").sign(None, returning(b"\0" * 20_000))
    (pages,) = execute("PRAGMA page_count").fetchone()
    for more in range(6):
        execute(f"PRAGMA max_page_count = {pages + more}")
        with pytest.raises(StorageFailed, match="database or disk is full"):
            local.chain.send(raw)
        assert local("eth_blockNumber") == "0x0"
    execute("INSERT INTO block VALUES (1, x'00', 0)")
    with pytest.raises(StorageFailed, match="UNIQUE"):
        local.chain.send(rich.sign(NOBODY))
    execute("DELETE FROM block WHERE number = 1")
    execute("PRAGMA max_page_count = 1000000")
    assert local.send(raw)["status"] == "0x1"

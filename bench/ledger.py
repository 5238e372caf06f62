"""Exactly-once sending against the least that any sender must do: pre-signed transactions in batched JSON-RPC.

Both sides send the same number of grants to a fresh Anvil with the same contract and stop the clock when the last
receipt is there. The peer signs before its clock starts, journals nothing, decodes no event and checks only the
status; batches, connections and polling are the same on both sides. One process for client and bench, one for Anvil.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from bench.figure import Figure, figure, interleaved

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from e2e.ledger.anvil import Anvil, Key, anvil  # noqa: E402
from printright.errors import LedgerRefused  # noqa: E402
from printright.ledger.contracts import contract, gas_limit  # noqa: E402
from printright.ledger.evm import deploy, open_ledger  # noqa: E402
from printright.ledger.network import Network  # noqa: E402
from printright.ledger.pipeline import GROUP, GROUPS_IN_FLIGHT  # noqa: E402
from printright.ledger.port import Call  # noqa: E402
from printright.ledger.transaction import Fees, Unsigned  # noqa: E402

GRANTS = 4_000
ROUNDS = 7
# Blocks at a steady pace and as large as need be: Anvil's mining on arrival forgets transactions that come in bursts.
CHAIN = ("--block-time", "0.05", "--gas-limit", "1000000000000")
# Anvil has one core and the client the others: compared are the clients, not how they share Anvil's core.
CORES = sorted(os.sched_getaffinity(0))
REGISTRAR, OEM = Key.named("registrar"), Key.named("oem")


async def _prepare(chain: Anvil, folder: Path) -> Network:
    chain.fund(REGISTRAR, OEM)
    network = await deploy(chain.url, REGISTRAR, REGISTRAR.address, name="bench", finality="single-node")
    async with open_ledger(network, signer=REGISTRAR, journal=folder / "registrar") as ledger:
        await ledger.send("admit", "admit_member", OEM.address, 1, b"\x04" + bytes(132), bytes(32))
    return network


async def _ours() -> float:
    with anvil(*CHAIN, cores=CORES[-1:]) as chain, tempfile.TemporaryDirectory() as name:
        network = await _prepare(chain, Path(name))
        calls = [Call(f"grant-{i}", "grant", (os.urandom(32), 100, 5)) for i in range(GRANTS)]
        async with open_ledger(network, signer=OEM, journal=Path(name) / "oem") as ledger:
            start = time.perf_counter()
            receipts = await ledger.send_many(calls)
            elapsed = time.perf_counter() - start
        assert len(receipts) == GRANTS
        assert not any(isinstance(receipt, LedgerRefused) for receipt in receipts)
        return GRANTS / elapsed


class _Receipt(msgspec.Struct):
    status: str


class _Reply(msgspec.Struct):
    id: int
    result: _Receipt | None = None


async def _bare() -> float:
    with anvil(*CHAIN, cores=CORES[-1:]) as chain, tempfile.TemporaryDirectory() as name:
        network = await _prepare(chain, Path(name))
        signed = []
        for nonce in range(GRANTS):
            data = contract().function("grant").encode((os.urandom(32), 100, 5))
            to = bytes.fromhex(network.contract[2:])
            unsigned = Unsigned(network.chain_id, nonce, Fees(20 * 10**9, 10**9), gas_limit(len(data)), to, data)
            raw = unsigned.signed(OEM.sign_digest(unsigned.digest()))
            signed.append((raw.hex(), unsigned.hash_of(raw).hex()))
        async with aiohttp.ClientSession(headers={"Content-Type": "application/json"}) as session:
            start = time.perf_counter()
            await _send_signed(session, chain.url, signed)
            elapsed = time.perf_counter() - start
        return GRANTS / elapsed


async def _send_signed(session: aiohttp.ClientSession, url: str, signed: Sequence[tuple[str, str]]) -> None:
    room, in_order = asyncio.Semaphore(GROUPS_IN_FLIGHT), asyncio.Lock()
    replies = msgspec.json.Decoder(list[_Reply])

    async def post(method: str, params: Sequence[str]) -> bytes:
        bodies = [
            '{"jsonrpc":"2.0","id":%d,"method":"%s","params":["0x%s"]}' % (i, method, each)  # noqa: UP031
            for i, each in enumerate(params)
        ]
        async with session.post(url, data="[" + ",".join(bodies) + "]") as response:
            return await response.read()

    async def one(group: Sequence[tuple[str, str]]) -> None:
        async with in_order:
            await post("eth_sendRawTransaction", [raw for raw, _ in group])
        waiting = [tx_hash for _, tx_hash in group]
        delay = 0.004
        while waiting:
            found: list[Any] = replies.decode(await post("eth_getTransactionReceipt", waiting))
            assert all(reply.result is None or reply.result.status == "0x1" for reply in found)
            waiting = [waiting[reply.id] for reply in found if reply.result is None]
            if waiting:
                await asyncio.sleep(delay)
                delay = min(delay * 1.5, 0.25)
        room.release()

    async with asyncio.TaskGroup() as tasks:
        for start in range(0, len(signed), GROUP):
            await room.acquire()
            tasks.create_task(one(signed[start : start + GROUP]))


def figures() -> list[Figure]:
    """Transactions a second of both, and their ratio."""
    os.sched_setaffinity(0, CORES[:-1] or CORES)
    try:
        medians = interleaved(ROUNDS, ours=lambda: asyncio.run(_ours()), bare=lambda: asyncio.run(_bare()))
    finally:
        os.sched_setaffinity(0, CORES)
    ratio = medians.ratio("ours", "bare")
    return [
        figure(
            "ledger.client_vs_presigned",
            round(medians["ours"], 1),
            "tx/s",
            ">= 0.9",
            peer="pre-signed batches, no journal",
            peer_value=round(medians["bare"], 1),
            ratio=round(ratio, 3),
            judge_ratio=True,
        )
    ]


if __name__ == "__main__":
    for each in figures():
        print(each)

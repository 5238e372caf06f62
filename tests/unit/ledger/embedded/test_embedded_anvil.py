"""The same raw transactions at the same times on Anvil: same gas, same outcome, same events, same blooms."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from embedded_scene import CHAIN_ID, Client, Local, RpcFailed, Scene, Signer, logging_code, returning

from programs import program

NOBODY = "0x" + "42" * 20
SAME = ("status", "gasUsed", "cumulativeGasUsed", "contractAddress", "logsBloom", "type", "from", "to")
SAME += ("transactionHash", "effectiveGasPrice", "transactionIndex", "blockNumber")
SAME_LOG = ("address", "topics", "data", "blockNumber", "logIndex", "transactionHash", "transactionIndex", "removed")


@pytest.fixture
async def anvil(rich: Signer, local: Local) -> AsyncIterator[Client]:
    path = program("anvil")
    assert path is not None
    genesis = local("eth_getBlockByNumber", "0x0", False)
    process = await asyncio.create_subprocess_exec(
        path, "--port", "0", "--chain-id", str(CHAIN_ID), "--hardfork", "cancun", "--accounts", "0",
        "--block-base-fee-per-gas", "0", "--gas-price", "0", "--disable-min-priority-fee", "--gas-limit", "60000000",
        "--timestamp", str(int(genesis["timestamp"], 16)),
        stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        while not (line := (await process.stdout.readline()).decode()).startswith("Listening on "):
            assert line
        async with aiohttp.ClientSession() as session:
            client = Client("http://" + line.removeprefix("Listening on ").strip(), session)
            await client("anvil_setBalance", rich.address, hex(10**24))
            yield client
    finally:
        process.terminate()
        await process.wait()


def script(local: Local, rich: Signer) -> list[bytes]:
    """Every kind of transaction and outcome; sent to our ledger as they are made."""
    sent: list[bytes] = []

    def send(raw: bytes) -> None:
        local.send(raw)
        sent.append(raw)

    scene, other = Scene(), Signer("other")
    scene.setup(local.call, send)
    license_id = scene.license(local.call)
    send(scene.start(1))
    send(scene.finish(license_id))
    send(scene.start(2, quantity=100))
    send(scene.start(3))
    send(scene.start(9))
    send(scene.start(4, gas=40_000))
    send(other.sign(scene.contract, b"\1\2\3\4"))
    send(rich.sign(NOBODY, value=1, type=0, gasPrice=5))
    send(rich.sign(NOBODY, value=1, type=1, gasPrice=5, accessList=[]))
    access = [{"address": scene.contract, "storageKeys": ["0x" + "00" * 32, "0x" + "01" * 32]}]
    send(rich.sign(scene.contract, type=1, accessList=access))
    send(rich.sign(NOBODY, maxFeePerGas=9, maxPriorityFeePerGas=2, accessList=access))
    words = [bytes([number]) * 32 for number in range(4)]
    send(other.sign(None, logging_code([((), b"a"), (tuple(words), b"b"), (tuple(words[:2]), b"c")])))
    send(other.sign(None, returning(bytes.fromhex("5f5f5f5f5f305a6103e890f100"))))
    send(other.sign(None, b"\xfe", gas=100_000))
    # TSTORE, TLOAD, MCOPY, then SELFDESTRUCT in the creating transaction (EIP-1153, 5656, 6780)
    send(other.sign(None, bytes.fromhex("60015f5d5f5c5f5260205f60205e5fff"), value=0))
    return sent


@pytest.mark.needs("anvil")
async def test_receipts_are_as_anvils(anvil: Client, local: Local, rich: Signer) -> None:
    raws = await asyncio.to_thread(script, local, rich)
    statuses = set()
    for number, raw in enumerate(raws, 1):
        (ours,) = local("eth_getBlockReceipts", hex(number))
        block = local("eth_getBlockByNumber", hex(number), False)
        await anvil("evm_setNextBlockTimestamp", int(block["timestamp"], 16))
        theirs = await mined(anvil, raw)
        assert selected(ours, SAME) == selected(theirs, SAME), number
        assert [selected(log, SAME_LOG) for log in ours["logs"]] == [
            selected(log, SAME_LOG) for log in theirs["logs"]
        ], number
        statuses.add(ours["status"])
        their_block = await anvil("eth_getBlockByNumber", hex(number), False)
        for name in ("gasUsed", "logsBloom", "transactionsRoot", "receiptsRoot", "baseFeePerGas", "gasLimit"):
            assert block[name] == their_block[name], (number, name)
        mine = local("eth_getTransactionByHash", ours["transactionHash"])
        their = await anvil("eth_getTransactionByHash", ours["transactionHash"])
        shared = (mine.keys() & their.keys()) - {"blockHash"}
        assert selected(mine, tuple(shared)) == selected(their, tuple(shared)), number
    assert statuses == {"0x0", "0x1"}


@pytest.mark.needs("anvil")
async def test_calls_are_as_anvils(anvil: Client, local: Local, rich: Signer) -> None:
    for number, raw in enumerate(await asyncio.to_thread(script, local, rich), 1):
        block = local("eth_getBlockByNumber", hex(number), False)
        await anvil("evm_setNextBlockTimestamp", int(block["timestamp"], 16))
        await mined(anvil, raw)
    scene = Scene()
    scene.unit.nonce = 6
    start = {"from": scene.unit.address, "to": scene.contract}
    from embedded_scene import calldata

    for data in (
        calldata("job", scene.unit.address),
        calldata("release_facts", scene.unit.address, scene.terms),
        calldata("start_job", scene.terms, 1, 7, []),
        calldata("start_job", scene.terms, 1, 4, []),
        calldata("start_job", scene.terms, 9_999, 4, []),
        b"\1\2\3\4",
    ):
        request = {**start, "data": "0x" + data.hex()}
        assert outcome(lambda r=request: local("eth_call", r, "latest")) == await async_outcome(
            anvil, "eth_call", request, "latest"
        )


async def mined(anvil: Client, raw: bytes) -> dict[str, Any]:
    """Anvil answers before it mines; ours does not."""
    transaction_hash = await anvil("eth_sendRawTransaction", "0x" + raw.hex())
    async with asyncio.timeout(30):
        while (receipt := await anvil("eth_getTransactionReceipt", transaction_hash)) is None:
            pass
    answer: dict[str, Any] = receipt
    return answer


def selected(value: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    # Addresses are lower case here and there, or have a checksum.
    return {name: item.lower() if isinstance(item := value[name], str) else item for name in names}


def outcome(act: Any) -> Any:
    from printright.ledger.embedded.wire import RpcError

    try:
        return act()
    except RpcError as error:
        return error.code, error.data


async def async_outcome(client: Client, method: str, *params: object) -> Any:
    try:
        return await client(method, *params)
    except RpcFailed as error:
        return error.code, error.data

"""JSON-RPC 2.0 and HTTP: what a stranger on the loopback may send."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from dataclasses import replace

import aiohttp
import pytest
from embedded_scene import Client, RpcFailed, Scene, Signer

from printright.errors import AlreadyRunning
from printright.ledger.embedded import Settings, rpc, serve
from printright.ledger.embedded.server import MAX_BODY_BYTES, running

NOBODY = "0x" + "42" * 20


def request(method: str, *params: object, **more: object) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params), **more}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", -32700),
        (b"{", -32700),
        (b"\xff\xfe", -32700),
        # Red without `rpc._nested_too_deep`: the test process is killed by the decoder's stack overflow.
        (b"[" * 100_000, -32700),
        (b'[{"a":' * 100_000, -32700),
        (b"[1," * 40, -32700),
        (b"[]", -32600),
        (b"1", -32600),
        (b'"eth_chainId"', -32600),
        (b"{}", -32600),
        (b'{"jsonrpc":"1.0","id":1,"method":"eth_chainId"}', -32600),
        (b'{"jsonrpc":"2.0","id":{},"method":"eth_chainId"}', -32600),
        (b'{"jsonrpc":"2.0","id":true,"method":"eth_chainId"}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":7}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_sign"}', -32601),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":{}}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[1]}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":[]}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":[null]}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":["0x12"]}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_getBlockByNumber","params":["0x1", 1, 2]}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_getBlockByNumber","params":["0x0", "yes"]}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_getTransactionReceipt","params":["0x00"]}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_sendRawTransaction","params":["0x0"]}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_feeHistory","params":[[], "latest"]}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_feeHistory","params":["0x1", "latest", [101]]}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"evm_increaseTime","params":[-1]}', -32602),
    ],
)
async def test_malformed_requests_get_one_clear_error(client: Client, body: bytes, code: int) -> None:
    status, answer = await client.post(body)
    decoded = json.loads(answer)
    assert (status, decoded["jsonrpc"], decoded["error"]["code"]) == (200, "2.0", code)
    assert "Traceback" not in decoded["error"]["message"]
    assert await client("eth_blockNumber") == "0x0"


async def test_brackets_in_text_are_no_nesting(client: Client) -> None:
    answer = await client.json(request("web3_" + '[{\\"' * 100))
    assert answer["error"]["code"] == -32601


async def test_ids_come_back_as_they_were(client: Client) -> None:
    for identity in (0, -1, "", "abc", 1.5, None):
        assert (await client.json(request("eth_chainId", id=identity)))["id"] == identity


async def test_a_batch_is_answered_in_its_order(client: Client, rich: Signer) -> None:
    sends = [request("eth_sendRawTransaction", "0x" + rich.sign(NOBODY, value=1).hex(), id=n) for n in range(5)]
    mixed = [*sends, request("eth_getBalance", NOBODY, "latest", id="b"), 7, request("nothing", id=9)]
    quiet = {"jsonrpc": "2.0", "method": "eth_chainId"}
    answers = await client.json([*mixed, quiet])
    assert [answer["id"] for answer in answers] == [0, 1, 2, 3, 4, "b", None, 9]
    assert answers[5]["result"] == "0x5"
    assert (answers[6]["error"]["code"], answers[7]["error"]["code"]) == (-32600, -32601)
    assert await client("eth_blockNumber") == "0x5"


async def test_notifications_get_no_answer(client: Client) -> None:
    quiet = json.dumps({"jsonrpc": "2.0", "method": "eth_chainId"}).encode()
    assert await client.post(quiet) == (204, b"")
    assert await client.post(b"[" + quiet + b"]") == (204, b"")


async def test_a_batch_has_a_limit(client: Client) -> None:
    answer = await client.json([request("eth_chainId")] * (rpc.MAX_BATCH + 1))
    assert answer["error"]["code"] == -32005
    assert len(await client.json([request("eth_chainId")] * rpc.MAX_BATCH)) == rpc.MAX_BATCH


async def test_a_body_has_a_limit(client: Client) -> None:
    # Red without client_max_size in `server.application`.
    status, _ = await client.post(b" " * (MAX_BODY_BYTES + 1))
    assert status == 413
    assert await client("eth_chainId") == "0x1c03"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8545", "127.0.0.1.evil.example", "10.0.0.1", "[", ""])
async def test_a_rebound_name_is_turned_away(client: Client, host: str) -> None:
    # Red without the Host check in `server.application`.
    assert (await client.post(json.dumps(request("eth_chainId")).encode(), Host=host))[0] == 403


@pytest.mark.parametrize("host", ["localhost", "localhost:1234", "127.0.0.1:1", "[::1]:8545", "127.9.9.9"])
async def test_this_machine_has_many_names(client: Client, host: str) -> None:
    assert (await client.post(json.dumps(request("eth_chainId")).encode(), Host=host))[0] == 200


async def test_a_web_page_cannot_post_without_asking(client: Client) -> None:
    # A browser sends these types across sites without a preflight, and the preflight of JSON is not granted.
    body = json.dumps(request("eth_chainId")).encode()
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        assert (await client.post(body, **{"Content-Type": kind}))[0] == 415
    async with aiohttp.ClientSession() as session, session.options(client.url) as response:
        assert response.status == 405
        assert "Access-Control-Allow-Origin" not in response.headers


async def test_named_hosts_are_served(settings: Settings) -> None:
    async with (
        running(replace(settings, allowed_hosts=frozenset({"ledger.site"}))) as url,
        aiohttp.ClientSession() as session,
    ):
        body = json.dumps(request("eth_chainId")).encode()
        assert (await Client(url, session).post(body, Host="ledger.site:80"))[0] == 200
        assert (await Client(url, session).post(body, Host="other.site"))[0] == 403


async def test_time_travel_is_off_unless_asked_for(settings: Settings) -> None:
    async with (
        running(replace(settings, allow_time_travel=False)) as url,
        aiohttp.ClientSession() as session,
    ):
        for method in ("evm_increaseTime", "evm_mine"):
            with pytest.raises(RpcFailed, match="does not exist") as refused:
                await Client(url, session)(method, 1)
            assert refused.value.code == -32601


async def test_writers_do_not_interleave(client: Client) -> None:
    # Red with two worker threads in `server.running`: two blocks would get the same number.
    signers = [Signer(f"writer {number}") for number in range(6)]

    async def write(signer: Signer) -> list[int]:
        return [int((await client.send(signer.sign(NOBODY)))["blockNumber"], 16) for _ in range(5)]

    numbers = await asyncio.gather(*(write(signer) for signer in signers))
    assert sorted(number for several in numbers for number in several) == list(range(1, 31))


async def test_readers_see_whole_blocks_while_others_write(client: Client) -> None:
    async def call(to: str, data: bytes) -> bytes:
        return bytes.fromhex((await client("eth_call", {"to": to, "data": "0x" + data.hex()}, "latest"))[2:])

    scene, sent = Scene(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def later(coroutine: object) -> object:
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result()  # type: ignore[arg-type]

    await asyncio.to_thread(scene.setup, lambda to, data: later(call(to, data)), lambda raw: later(client.send(raw)))

    async def write() -> None:
        for sequence in range(1, 11):
            await client.send(scene.start(sequence))
        sent.set()

    async def read() -> int:
        seen = 0
        while not sent.is_set():
            number = await client("eth_blockNumber")
            block = await client("eth_getBlockByNumber", number, True)
            receipts = await client("eth_getBlockReceipts", number)
            assert [each["hash"] for each in block["transactions"]] == [each["transactionHash"] for each in receipts]
            seen += 1
        return seen

    _, seen, _ = await asyncio.gather(write(), read(), read())
    assert seen > 0


async def test_serve_says_when_it_is_ready_and_stops_when_cancelled(settings: Settings, rich: Signer) -> None:
    for round_ in range(2):
        ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(serve(settings, ready=ready.set_result))
        url = await ready
        async with aiohttp.ClientSession() as session:
            receipt = await Client(url, session).send(rich.sign(NOBODY))
            assert receipt["blockNumber"] == hex(round_ + 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
    assert not (settings.folder / "ledger.sqlite-wal").exists()


async def test_a_taken_port_is_told_and_the_folder_let_go(settings: Settings) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = replace(settings, port=other.getsockname()[1])
        with pytest.raises(AlreadyRunning, match="cannot be served"):
            async with running(taken):
                pass
    async with running(settings):
        with pytest.raises(AlreadyRunning, match="already served by process"):
            async with running(settings):
                pass


def test_importing_the_package_does_not_import_py_evm() -> None:
    # py-evm takes a second and raises the recursion limit of whoever imports it.
    code = (
        "import sys, printright.ledger.embedded as e; print('eth' in sys.modules, e.__all__, sys.getrecursionlimit())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False ['Settings', 'serve'] 1000\n"

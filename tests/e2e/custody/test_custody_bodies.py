"""What a custodian's port is sent by people who mean harm: nothing of it is released, and it goes on serving."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from custody_scene import CUSTODIANS, Scene, ask, logged, post, settings, start_job
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from printright.ledger.evm import open_ledger
from printright.services.custodian_http import custodian_server
from printright.services.share_request import PATH, encode_request

pytestmark = pytest.mark.needs("anvil")
A = CUSTODIANS[0]


@pytest.fixture
async def url(custody: Scene, tmp_path: Path) -> AsyncIterator[str]:
    """A custodian of little patience, before a job that it would release for."""
    await start_job(custody, tmp_path)
    given = dataclasses.replace(
        settings(A, tmp_path), max_body_bytes=20_000, read_timeout_s=0.3, keepalive_s=0.5, max_connections=8
    )
    async with (
        open_ledger(custody.network) as ledger,
        custodian_server(given, ledger, custody.custodian_keys[A]) as port,
    ):
        yield f"http://127.0.0.1:{port}"
        assert (await post(f"http://127.0.0.1:{port}", ask(custody, A)))[0] == 200
        assert len(logged(tmp_path, A)) == 1


async def raw(url: str, *pieces: bytes) -> bytes:
    """Send bytes as they are and read until the server closes; b"" for a server that just did."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rsplit(":", 1)[1]))
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        async with asyncio.timeout(10):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def test_too_much_is_not_read(url: str) -> None:
    status, answer, _ = await post(url, b" " * 20_001)
    assert (status, answer["reason"]) == (413, "more than 20000 bytes")

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 4096

    async with aiohttp.ClientSession() as session:
        try:
            async with session.post(url + PATH, data=endless()) as response:
                assert response.status == 413
        except aiohttp.ClientError:
            pass  # cut off while sending, which is as good


async def test_what_comes_too_slowly_is_cut_off(url: str) -> None:
    # Red without `read_timeout_s` around `_body`, and without `keepalive_s` for what never ends its headers.
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n".encode()
    assert (await raw(url, head + b"{")).startswith(b"HTTP/1.1 408")
    assert await raw(url, head[:30]) == b""
    assert await raw(url) == b""


async def test_only_so_many_connections_are_kept(url: str) -> None:
    port = int(url.rsplit(":", 1)[1])
    held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(8)]
    assert await raw(url, b"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n") == b""
    for _, writer in held:
        writer.close()
    answers = [await raw(url, b"GET /v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") for _ in range(200)]
    assert any(answer.startswith(b"HTTP/1.1 200") for answer in answers)


async def test_other_paths_and_methods_are_no_way_in(url: str) -> None:
    async with aiohttp.ClientSession() as session:
        for method, path, status in (
            ("GET", PATH, 405),
            ("PUT", PATH, 405),
            ("POST", "/v1/status", 404),
            ("GET", "/", 404),
            ("GET", "/v1/release/../../etc/passwd", 404),
            ("POST", "/v1/release?force=1", 400),
        ):
            async with session.request(method, url + path) as response:
                assert response.status == status, (method, path)
                assert "reason" in json.loads(await response.read())


@pytest.mark.parametrize(
    "bytes_",
    [b"\x00" * 100, b"POST / HTTP/9.9\r\n\r\n", b"GET " + b"/" * 9000 + b" HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00"],
)
async def test_what_is_no_http_gets_an_error_or_nothing(url: str, bytes_: bytes) -> None:
    answer = await raw(url, bytes_)
    assert answer == b"" or answer.split(b"\r\n")[0].split()[1] in (b"400", b"404")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=70) | st.just("0x" + "00" * 20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


def at(document: Any, path: tuple[str, ...], value: Any) -> Any:
    return value if not path else {**document, path[0]: at(document[path[0]], path[1:], value)}


async def test_anything_else_in_a_fields_place_is_refused(url: str, custody: Scene) -> None:
    # Red where `decode_request` lets an exception of another kind through: the answer is then a 500.
    good = json.loads(encode_request(ask(custody, A)))
    paths = [(name,) for name in good] + [("terms", name) for name in good["terms"]]
    paths += [("manifest", name) for name in good["manifest"]] + [
        ("manifest", "manifest", name) for name in good["manifest"]["manifest"]
    ]
    loop = asyncio.get_running_loop()

    @hypothesis_settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(path=st.sampled_from(paths), value=JSON)
    def one_field(path: tuple[str, ...], value: Any) -> None:
        body = json.dumps(at(good, path, value)).encode()
        status, answer, _ = asyncio.run_coroutine_threadsafe(post(url, body), loop).result(20)
        assert status in (400, 403, 413, 425), (path, value, answer)
        assert "sealed" not in answer

    await asyncio.to_thread(one_field)

    @hypothesis_settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode) | st.just(b"[" * 15_000))
    def any_bytes(body: bytes) -> None:
        status, answer, _ = asyncio.run_coroutine_threadsafe(post(url, body), loop).result(20)
        assert status == 400, answer

    await asyncio.to_thread(any_bytes)

    whole = encode_request(ask(custody, A))
    for odd in (whole.replace(b'"0x', b'"\xff', 1), whole.replace(b'"0x', b'"\\ud800', 1)):
        assert (await post(url, odd))[0] == 400
    for cut in range(0, len(whole), 97):
        assert (await post(url, whole[:cut]))[0] == 400
    assert (await post(url, json.dumps({**good, "force": True}).encode()))[0] == 400

"""Custodians that lie: up to t-1 of them change nothing, and whoever sends a wrong share is named."""

from __future__ import annotations

import asyncio
import gzip
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from custody_liars import Liar, http, sealed
from custody_scene import (
    CUSTODIANS,
    Scene,
    collect,
    custodians,
    start_job,
)

from printright.vault.custody import open_share

pytestmark = pytest.mark.needs("anvil")

A, B = CUSTODIANS[:2]


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

"""A local store with others behind it: right bytes from whoever has them, and never wrong ones."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer

from printright.domain.ids import Digest
from printright.errors import PackageRefused, StoreUnavailable
from printright.vault.stores.http import HttpStore, store_app
from printright.vault.stores.layered import LayeredStore
from printright.vault.stores.local import LocalStore

DATA = b"a package's window" * 1000
DIGEST = Digest(hashlib.sha256(DATA).digest())


@pytest.fixture
def remote(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "remote")


@pytest.fixture
async def url(remote: LocalStore) -> AsyncIterator[str]:
    async with TestServer(store_app(remote)) as server:
        yield str(server.make_url("/"))


def layered(tmp_path: Path, *urls: str) -> tuple[LayeredStore, LocalStore]:
    local = LocalStore(tmp_path / "local")
    return LayeredStore(local, [HttpStore(url, local, timeout_s=0.5) for url in urls]), local


async def test_what_is_not_here_is_fetched_and_kept(tmp_path: Path, remote: LocalStore, url: str) -> None:
    await remote.put(DATA)
    store, local = layered(tmp_path, "http://127.0.0.1:1", url)
    assert (await store.get(DIGEST)).read_bytes() == DATA
    assert await local.has(DIGEST)


async def test_a_local_blob_gone_bad_is_fetched_again(tmp_path: Path, remote: LocalStore, url: str) -> None:
    # Red without the handler of PackageRefused in `LayeredStore.get`.
    await remote.put(DATA)
    store, local = layered(tmp_path, url)
    path = await store.get(DIGEST)
    path.chmod(0o600)
    path.write_bytes(DATA[:-1] + b"?")
    assert (await store.get(DIGEST)).read_bytes() == DATA
    assert (await local.get(DIGEST)).read_bytes() == DATA


async def test_bad_here_and_nowhere_else_is_refused(tmp_path: Path) -> None:
    store, local = layered(tmp_path)
    path = local.path(await local.put(DATA))
    path.chmod(0o600)
    path.write_bytes(DATA + b"?")
    with pytest.raises(PackageRefused):
        await store.get(DIGEST)


async def test_nobody_has_it(tmp_path: Path, url: str) -> None:
    store, _ = layered(tmp_path, url)
    with pytest.raises(StoreUnavailable):
        await store.get(DIGEST)

"""Stores: only whole and right bytes, whatever dies, fills up or lies."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import random
import resource
import signal
import sys
import time
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from vault_scene import DETAILS, Member

from printright.domain.ids import Digest
from printright.errors import BadSettings, BadValue, PackageRefused, StoreUnavailable
from printright.vault import PublishedPackage, fetch_manifest, open_package, publish_package
from printright.vault.manifest import Manifest
from printright.vault.stores.http import HttpStore, store_app
from printright.vault.stores.local import LocalStore

DATA = random.Random(5).randbytes(3_000_000)
DIGEST = Digest(hashlib.sha256(DATA).digest())


def blobs(store: LocalStore) -> list[Path]:
    return [path for path in store.path(DIGEST).parents[1].rglob("*") if path.is_file()]


def waiting(store: LocalStore) -> list[Path]:
    return list((store.path(DIGEST).parents[2] / "incoming").iterdir())


async def test_bytes_and_files_by_their_digest(store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(DATA)
    assert not await store.has(DIGEST)
    assert await store.put(DATA) == await store.put(tmp_path / "data") == DIGEST
    assert await store.has(DIGEST)
    assert (await store.get(DIGEST)).read_bytes() == DATA
    assert await store.read(DIGEST, len(DATA)) == DATA
    assert len(blobs(store)) == 1
    assert not waiting(store)
    with pytest.raises(PackageRefused, match="more than"):
        await store.read(DIGEST, len(DATA) - 1)
    with pytest.raises(StoreUnavailable, match="no blob"):
        await store.get(Digest(bytes(32)))
    with pytest.raises(BadValue):
        await store.get(Digest(b"../../etc/passwd"))


async def test_a_blob_over_the_limit_leaves_nothing(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "small", limit_bytes=1000)
    await store.put(bytes(1000))
    with pytest.raises(PackageRefused, match="larger"):
        await store.put(bytes(1001))
    assert len(blobs(store)) == 1
    assert not waiting(store)


@contextmanager
def room_for(size_bytes: int) -> Iterator[None]:
    """No file of this process can grow beyond `size_bytes`: the write that would fails, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


@pytest.mark.parametrize("room", [0, 1, 1000, 1_000_000, len(DATA) - 1])
async def test_a_full_disk_leaves_nothing_half(store: LocalStore, room: int) -> None:
    # Red where Incoming writes to the blob's own path, or leaves its file behind.
    with room_for(room), pytest.raises(StoreUnavailable, match="make room"):
        await store.put(DATA)
    assert not blobs(store)
    assert not waiting(store)
    assert await store.put(DATA) == DIGEST


@pytest.mark.parametrize("room", [0, 500, 100_000, 125_000])
async def test_a_full_disk_while_publishing(
    store: LocalStore, source: Path, members: tuple[Member, ...], room: int
) -> None:
    with room_for(room), pytest.raises((StoreUnavailable, OSError)):
        await publish_package(
            source,
            DETAILS,
            owner_signer=members[0].ledger,
            custodians=[members[0].custodian],
            threshold=1,
            store=store,
        )
    for path in blobs(store):
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
        with pytest.raises(PackageRefused):
            Manifest.from_json(path.read_bytes())
    assert not waiting(store)


PUBLISHER = """
import asyncio, sys
from pathlib import Path
from cryptography.hazmat.primitives.asymmetric import ec
from printright.vault import Custodian, Details, publish_package
from printright.vault.keys import SoftwareLedgerKey, SoftwareUnsealingKey
from printright.vault.stores.local import LocalStore

owner = SoftwareLedgerKey(bytes([1]) * 32)
custodian = Custodian(owner.address, SoftwareUnsealingKey(ec.derive_private_key(5, ec.SECP256R1())).public_key)
store = LocalStore(Path(sys.argv[1]))

async def main():
    print("ready", flush=True)
    while True:
        await publish_package(Path(sys.argv[2]), Details(file_name="a.gcode"), owner_signer=owner,
                              custodians=[custodian], threshold=1, store=store)

asyncio.run(main())
"""


async def test_killed_at_any_moment_the_store_holds_only_whole_packages(tmp_path: Path) -> None:
    # Red where a blob is written in place, or the manifest is put before its windows.
    seed = int.from_bytes(os.urandom(4), "big")
    print("seed", seed)
    chance = random.Random(seed)
    source = tmp_path / "a.gcode"
    source.write_bytes(random.Random(1).randbytes(400_000))
    folder = tmp_path / "store"
    for number in range(100):
        # At least four, and more on a machine so busy that none of them wrote a blob.
        if number >= 4 and blobs(LocalStore(folder)):
            break
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PUBLISHER, str(folder), str(source),
            stdout=asyncio.subprocess.PIPE, env={**os.environ, "TMPDIR": str(tmp_path)},
        )  # fmt: skip
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
        await asyncio.sleep(chance.uniform(0.0, 0.15))
        process.kill()
        await process.wait()
    store = LocalStore(folder)
    packages = 0
    for path in blobs(store):
        data = path.read_bytes()
        assert hashlib.sha256(data).hexdigest() == path.name
        if data.startswith(b'{"manifest"'):
            await open_package(Manifest.from_json(data), store)
            packages += 1
    print("packages", packages)
    assert blobs(store)


async def test_what_a_crash_left_is_swept_after_a_day(tmp_path: Path) -> None:
    LocalStore(tmp_path)
    old, young = tmp_path / "incoming" / "old", tmp_path / "incoming" / "young"
    old.write_bytes(b"half")
    young.write_bytes(b"half")
    os.utime(old, (time.time() - 90_000,) * 2)
    LocalStore(tmp_path)
    assert not old.exists()
    assert young.exists()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailable):
        LocalStore(tmp_path / "file" / "store")


@pytest.fixture
async def server(store: LocalStore) -> AsyncIterator[TestServer]:
    async with TestServer(store_app(store, put_token="right", limit_bytes=4_000_000)) as running:
        yield running


def client(server: TestServer, folder: Path, **options: object) -> HttpStore:
    return HttpStore(str(server.make_url("/")), LocalStore(folder), **options)  # type: ignore[arg-type]


async def test_a_package_over_http(
    server: TestServer, store: LocalStore, published: PublishedPackage, tmp_path: Path
) -> None:
    remote = client(server, tmp_path / "cache")
    manifest = await fetch_manifest(published.manifest_blob, remote)
    await open_package(manifest, remote)
    assert await remote.has(manifest.window("file").sha256)
    assert not await remote.has(DIGEST)
    with pytest.raises(StoreUnavailable, match="no blob"):
        await remote.get(DIGEST)
    await server.close()
    await open_package(manifest, remote)  # what was fetched is there without the server
    with pytest.raises(StoreUnavailable, match="did not answer"):
        await remote.get(DIGEST)
    with pytest.raises(StoreUnavailable):
        await remote.has(DIGEST)


async def test_a_copy_that_went_bad_is_fetched_again(server: TestServer, store: LocalStore, tmp_path: Path) -> None:
    # Red where HttpStore.get trusts its cache, or refuses for good because of it.
    await store.put(DATA)
    remote = client(server, tmp_path / "cache")
    copy = await remote.get(DIGEST)
    copy.chmod(0o600)
    copy.write_bytes(DATA[:-1])
    assert (await remote.get(DIGEST)).read_bytes() == DATA


async def test_putting_needs_the_token(server: TestServer, store: LocalStore, tmp_path: Path) -> None:
    for token in (None, "wrong", "Right", ""):
        with pytest.raises(StoreUnavailable, match="did not take"):
            await client(server, tmp_path / "cache", token=token).put(DATA)
    assert not await store.has(DIGEST)
    assert await client(server, tmp_path / "cache", token="right").put(DATA) == DIGEST
    assert (await store.get(DIGEST)).read_bytes() == DATA
    with pytest.raises(StoreUnavailable, match="413"):
        await client(server, tmp_path / "cache", token="right").put(bytes(4_000_001))


async def test_what_is_put_must_have_its_digest(server: TestServer, store: LocalStore) -> None:
    headers = {"Authorization": "Bearer right"}
    async with aiohttp.ClientSession() as session:
        url = server.make_url(f"/blobs/{DIGEST.hex()}")
        async with session.put(url, data=io.BytesIO(DATA[:-1]), headers=headers) as answer:
            assert answer.status == 422
        for path in ("/blobs/..%2f..%2fetc%2fpasswd", "/blobs/" + "A" * 64, "/blobs/ab", "/"):
            async with session.get(server.make_url(path)) as answer:
                assert answer.status == 404
    assert not blobs(store)
    assert not waiting(store)


async def test_without_a_token_nobody_puts(store: LocalStore, tmp_path: Path) -> None:
    async with TestServer(store_app(store)) as closed:
        for token in (None, "None", ""):
            with pytest.raises(StoreUnavailable):
                await client(closed, tmp_path / "cache", token=token).put(b"x")


@contextmanager
def no_traces(cache: LocalStore) -> Iterator[None]:
    yield
    assert not blobs(cache)
    assert not waiting(cache)


async def test_servers_that_lie(tmp_path: Path) -> None:
    """Other bytes, too few, too many, none, a redirect, an endless or hanging answer: never accepted, never kept."""

    async def lie(request: web.Request) -> web.StreamResponse:
        kind = request.query_string or request.path.split("/")[1]
        if kind == "other":
            return web.Response(body=DATA[:-1] + b"\0")
        if kind == "truncated":
            return web.Response(body=DATA[:-1])
        if kind == "longer":
            return web.Response(body=DATA + b"\0")
        if kind == "redirect":
            raise web.HTTPFound("/genuine/blobs/x")
        if kind == "broken":
            raise web.HTTPInternalServerError
        if kind == "compressed":
            return web.Response(body=zlib.compress(DATA), headers={"Content-Encoding": "deflate"})
        answer = web.StreamResponse()
        if kind == "cut":
            answer.content_length = len(DATA)
        await answer.prepare(request)
        if kind == "cut":
            await answer.write(DATA[:1000])
            assert request.transport is not None
            request.transport.close()
        elif kind == "hanging":
            await answer.write(DATA[:1000])
            await stop.wait()
        else:
            while not stop.is_set():
                await answer.write(bytes(65536))
        return answer

    stop = asyncio.Event()
    app = web.Application()
    app.router.add_get("/{kind}/blobs/{digest}", lie)
    cache = LocalStore(tmp_path / "cache")
    async with TestServer(app) as server:
        for kind, error in (
            ("other", PackageRefused), ("truncated", PackageRefused), ("longer", PackageRefused),
            ("compressed", PackageRefused), ("redirect", StoreUnavailable), ("broken", StoreUnavailable),
            ("cut", StoreUnavailable), ("hanging", StoreUnavailable), ("endless", PackageRefused),
        ):  # fmt: skip
            remote = HttpStore(str(server.make_url(f"/{kind}")), cache, timeout_s=0.5, limit_bytes=4_000_000)
            with no_traces(cache), pytest.raises(error):
                await remote.get(DIGEST)
        stop.set()


@pytest.mark.parametrize("url", ["", "store", "file:///etc", "ftp://a/b", "http://", "http://a/?x=1", "javascript:x"])
def test_urls_that_are_none(url: str, tmp_path: Path) -> None:
    with pytest.raises(BadSettings):
        HttpStore(url, LocalStore(tmp_path))
    with pytest.raises(BadSettings, match="timeout"):
        HttpStore("http://a", LocalStore(tmp_path), timeout_s=0)

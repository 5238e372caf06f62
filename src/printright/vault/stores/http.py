"""A store on another node, over HTTP, and the handler that serves a local store to others.

    GET  /blobs/<64 hexadecimal digits>   the blob (HEAD: whether it is there)
    PUT  /blobs/<64 hexadecimal digits>   store it; only with the token that the node was given

Blobs are ciphertext or signed, so reading needs no permission; what arrives is checked against its digest.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web

from printright.domain.ids import Digest
from printright.errors import BadSettings, PackageRefused, StoreUnavailable
from printright.vault.store import MAX_BLOB_BYTES, Store
from printright.vault.stores.local import LocalStore

_CHUNK = 1 << 20


class HttpStore(Store):
    """The blobs of another node. What was fetched is kept in `cache` and not fetched again.

    `url` comes from configuration. `timeout_s` is for connecting and for each wait for more bytes, `limit_bytes` for
    one blob. `token` is sent with `put`. Raises BadSettings for a URL that is not http or https.
    """

    def __init__(
        self,
        url: str,
        cache: LocalStore,
        *,
        timeout_s: float = 10.0,
        limit_bytes: int = MAX_BLOB_BYTES,
        token: str | None = None,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise BadSettings(f"not a store's URL: {url[:200]!r}", hint="like https://store.example.org")
        if not timeout_s > 0:
            raise BadSettings(f"timeout_s is {timeout_s}", hint="more than 0")
        self._url = url.rstrip("/")
        self._cache, self._limit, self._token = cache, limit_bytes, token
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=timeout_s, sock_read=timeout_s)

    async def put(self, content: Path | bytes) -> Digest:
        digest = await self._cache.put(content)
        path = self._cache.path(digest)
        headers = {"Content-Length": str(path.stat().st_size)}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        with path.open("rb") as file:
            async with self._request("PUT", digest, data=file, headers=headers) as answer:
                if answer.status not in (200, 201, 204):
                    raise StoreUnavailable(
                        f"{self._url} did not take the blob: status {answer.status}", hint="check the store's token"
                    )
        return digest

    async def get(self, digest: Digest) -> Path:
        # A copy that went bad here is fetched again.
        with suppress(StoreUnavailable, PackageRefused):
            return await self._cache.get(digest)
        async with self._request("GET", digest) as answer:
            if answer.status == 404:
                raise StoreUnavailable(f"{self._url} has no blob {digest.hex()[:16]}")
            if answer.status != 200:
                raise StoreUnavailable(f"{self._url} answered with status {answer.status}")
            if (answer.content_length or 0) > self._limit:
                raise PackageRefused(f"blob {digest.hex()[:16]} is larger than {self._limit} bytes")
            received = 0
            with self._cache.incoming() as incoming:
                async for chunk in answer.content.iter_chunked(_CHUNK):
                    received += len(chunk)
                    if received > self._limit:
                        raise PackageRefused(f"blob {digest.hex()[:16]} is larger than {self._limit} bytes")
                    await asyncio.to_thread(incoming.write, chunk)
                await asyncio.to_thread(incoming.keep, digest)
        return self._cache.path(digest)

    async def has(self, digest: Digest) -> bool:
        async with self._request("HEAD", digest) as answer:
            if answer.status not in (200, 404):
                raise StoreUnavailable(f"{self._url} answered with status {answer.status}")
            return answer.status == 200

    @asynccontextmanager
    async def _request(self, method: str, digest: Digest, **options: object) -> AsyncIterator[aiohttp.ClientResponse]:
        # No redirects and no compression: an answer leads nowhere else and is never larger than it was sent.
        headers = {"Accept-Encoding": "identity", **options.pop("headers", {})}  # type: ignore[dict-item]
        try:
            async with (
                aiohttp.ClientSession(timeout=self._timeout, auto_decompress=False, trust_env=False) as session,
                session.request(
                    method,
                    f"{self._url}/blobs/{digest.hex()}",
                    allow_redirects=False,
                    headers=headers,
                    **options,  # type: ignore[arg-type]
                ) as answer,
            ):
                yield answer
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise StoreUnavailable(
                f"{self._url} did not answer: {type(error).__name__}", hint="is that node running?"
            ) from error


def store_app(store: LocalStore, *, put_token: str | None = None, limit_bytes: int = MAX_BLOB_BYTES) -> web.Application:
    """Serve a local store. Without `put_token` nobody can put. Mount it, or run it on its own."""

    async def get(request: web.Request) -> web.StreamResponse:
        path = store.path(Digest(bytes.fromhex(request.match_info["digest"])))
        if not path.is_file():
            raise web.HTTPNotFound(text="no such blob\n")
        return web.FileResponse(path, headers={"Content-Type": "application/octet-stream"})

    async def put(request: web.Request) -> web.Response:
        given = request.headers.get("Authorization", "").encode()
        if put_token is None or not hmac.compare_digest(given, f"Bearer {put_token}".encode()):
            raise web.HTTPForbidden(text="this store takes no blobs from you\n")
        if (request.content_length or 0) > limit_bytes:
            raise web.HTTPRequestEntityTooLarge(limit_bytes, request.content_length or 0)
        expected = Digest(bytes.fromhex(request.match_info["digest"]))
        received = 0
        try:
            with store.incoming() as incoming:
                async for chunk in request.content.iter_chunked(_CHUNK):
                    received += len(chunk)
                    if received > limit_bytes:
                        raise web.HTTPRequestEntityTooLarge(limit_bytes, received)
                    await asyncio.to_thread(incoming.write, chunk)
                await asyncio.to_thread(incoming.keep, expected)
        except PackageRefused as error:
            raise web.HTTPUnprocessableEntity(text=f"{error}\n") from None
        except StoreUnavailable:
            raise web.HTTPInsufficientStorage(text="no room\n") from None
        return web.Response(status=201)

    app = web.Application()
    blob = "/blobs/{digest:[0-9a-f]{64}}"
    app.add_routes([web.get(blob, get), web.put(blob, put)])
    return app

"""Custodians that lie, as HTTP servers that give any answer."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from custody_scene import Scene

from printright.domain.ids import Digest
from printright.domain.release import share_info
from printright.vault.committee import AS_PUBLISHED
from printright.vault.sealing import seal


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


def sealed(
    custody: Scene,
    share: bytes,
    index: int,
    info_index: int | None = None,
    *,
    custody_digest: Digest = AS_PUBLISHED,
) -> bytes:
    """A custodian's answer with this share in it, sealed as a custodian seals."""
    info = share_info(custody.job_id(1), custody.manifest.digest, custody_digest, info_index or index)
    text = base64.b64encode(seal(custody.unit_unsealing.public_key, share, info)).decode()
    return http(b'{"index":%d,"sealed":"%s","repeat":false}' % (index, text.encode()))


@asynccontextmanager
async def serving(liar: Liar) -> AsyncIterator[str]:
    """Its URL."""
    server = await asyncio.start_server(liar, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

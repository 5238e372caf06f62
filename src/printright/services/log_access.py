"""Reading a custodian's release log over HTTP: `GET /v1/log`, for the readers that the custodian names.

The log tells which design a license is for, which the ledger does not; so it is not for everybody. A reader signs with
its ledger key, for one custodian and a few minutes.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp

from printright.domain.ids import Address
from printright.domain.release import MAX_WINDOW_S
from printright.domain.words import TypedDomain, checksum
from printright.errors import BadValue, CustodianUnavailable, ReleaseRefused, WrongKey
from printright.ledger.port import Signer
from printright.ledger.transaction import signer_of

PATH = "/v1/log"
HEADER = "Printright-Reader"
REQUEST_TYPE = "LogRequest(address custodian,address reader,uint256 expiry)"
MAX_LOG_BYTES = 4 << 30


def reader_header(domain: TypedDomain, custodian: Address, key: Signer, expires_at_s: int) -> str:
    """What a reader sends along, good until `expires_at_s`."""
    digest = domain.digest(REQUEST_TYPE, custodian, key.address, expires_at_s)
    return f"{key.address} {expires_at_s} {key.sign_digest(digest).hex()}"


def check_reader(
    header: str, domain: TypedDomain, custodian: Address, readers: tuple[Address, ...], now_s: int
) -> Address:
    """Who asks: one of `readers`, by its signature. Raises ReleaseRefused."""
    try:
        named, expiry, signature = header.split()
        reader, expires_at_s = checksum(named), int(expiry)
        if not now_s <= expires_at_s <= now_s + MAX_WINDOW_S:
            raise ReleaseRefused("the request for the log has expired, or expires too late")
        if len(signature) != 130:
            raise BadValue("a signature has 65 bytes")
        found = signer_of(domain.digest(REQUEST_TYPE, custodian, reader, expires_at_s), bytes.fromhex(signature))
    except (BadValue, ValueError, WrongKey):
        raise ReleaseRefused(f"the log is for those who sign for it in {HEADER}") from None
    if found != reader or reader not in readers:
        raise ReleaseRefused(
            f"{reader} is not one of the log's readers", hint="the custodian names them in its settings, `log_readers`"
        )
    return reader


async def fetch_log(
    session: aiohttp.ClientSession, url: str, custodian: Address, key: Signer, domain: TypedDomain, now_s: int, to: Path
) -> Path:
    """Write a custodian's log to `to`. What is in it is not checked. Raises CustodianUnavailable, ReleaseRefused."""
    headers = {HEADER: reader_header(domain, custodian, key, now_s + 60)}
    try:
        async with session.get(url.rstrip("/") + PATH, headers=headers, allow_redirects=False) as response:
            if response.status == 403:
                raise ReleaseRefused(f"custodian {custodian} does not show us its log")
            if response.status != 200:
                raise CustodianUnavailable(f"custodian {custodian} answered {response.status} when asked for its log")
            size = 0
            await asyncio.to_thread(to.write_bytes, b"")
            while chunk := await response.content.read(1 << 20):
                size += len(chunk)
                if size > MAX_LOG_BYTES:
                    raise CustodianUnavailable(f"the log of custodian {custodian} does not end")
                await asyncio.to_thread(_append, to, chunk)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise CustodianUnavailable(f"custodian {custodian} at {url} does not answer: {type(error).__name__}") from None
    return to


def _append(path: Path, chunk: bytes) -> None:
    with path.open("ab") as file:
        file.write(chunk)

"""Stores: bytes by their SHA-256. Which store is used is configuration; no address ever comes from the data."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from pathlib import Path

from printright.domain.ids import Digest
from printright.errors import PackageRefused

MAX_BLOB_BYTES = 16 << 30
"""Default limit of one blob, 16 GiB."""


class Store(ABC):
    """A store of immutable blobs. What it hands out has the digest that was asked for, or is not handed out.

    All methods raise StoreUnavailable where the store does not answer or has no room, and PackageRefused for bytes
    that are not those of the digest or exceed the store's limit.
    """

    @abstractmethod
    async def put(self, content: Path | bytes) -> Digest:
        """Store a file or bytes; the digest under which they can be had. Doing so twice changes nothing."""

    @abstractmethod
    async def get(self, digest: Digest) -> Path:
        """A local file with these bytes, checked against the digest just now. It is the store's: do not change it.

        Raises StoreUnavailable where the store does not have them.
        """

    @abstractmethod
    async def has(self, digest: Digest) -> bool:
        """Whether the store says that it has the blob. Only `get` proves it."""

    async def read(self, digest: Digest, limit_bytes: int) -> bytes:
        """A small blob in memory. Raises PackageRefused where it is larger than the limit."""
        path = await self.get(digest)
        with path.open("rb") as file:
            data = file.read(limit_bytes + 1)
        if len(data) > limit_bytes:
            raise PackageRefused(f"blob {digest.hex()[:16]} has more than {limit_bytes} bytes")
        check(digest, data)
        return data


def check(digest: Digest, data: bytes) -> None:
    """Refuse bytes that are not those of the digest. Raises PackageRefused."""
    if hashlib.sha256(data).digest() != digest:
        raise other_bytes(digest)


def other_bytes(digest: Digest) -> PackageRefused:
    """The refusal of bytes that a store handed out for a digest that they do not have."""
    return PackageRefused(
        f"the store's bytes for {digest.hex()[:16]} are not the bytes that were put there",
        hint="fetch from another store, or ask the rights holder to put them again",
    )

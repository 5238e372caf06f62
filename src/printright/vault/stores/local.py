"""A store in a folder: one file for each blob, named by its digest.

    <folder>/blobs/ab/abcd...   64 hexadecimal digits
    <folder>/incoming/          being written; swept after a day

A blob appears only whole: it is written and synced beside, then renamed, then its folder is synced. Killed or out of
room at any point, the store holds what it held before.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from printright.domain.ids import Digest
from printright.errors import BadValue, PackageRefused, StoreUnavailable
from printright.vault.store import MAX_BLOB_BYTES, Store, other_bytes

_CHUNK = 1 << 20
_STALE_S = 24 * 3600


class LocalStore(Store):
    """Blobs in `folder`, which is made where it is missing. Raises StoreUnavailable where it cannot be."""

    def __init__(self, folder: Path, *, limit_bytes: int = MAX_BLOB_BYTES) -> None:
        self._blobs, self._incoming = folder / "blobs", folder / "incoming"
        self._limit = limit_bytes
        with _disk(folder):
            for made in (self._blobs, self._incoming):
                made.mkdir(parents=True, exist_ok=True)
            for left in self._incoming.iterdir():
                if left.stat().st_mtime < time.time() - _STALE_S:
                    left.unlink(missing_ok=True)

    async def put(self, content: Path | bytes) -> Digest:
        return await asyncio.to_thread(self._put, content)

    async def get(self, digest: Digest) -> Path:
        return await asyncio.to_thread(self._get, digest)

    async def has(self, digest: Digest) -> bool:
        return self.path(digest).exists()

    def path(self, digest: Digest) -> Path:
        """Where the blob is, if it is there. Raises BadValue for a digest that has not 32 bytes."""
        if len(digest) != 32:
            raise BadValue(f"a digest has 32 bytes, not {len(digest)}")
        return self._blobs / digest.hex()[:2] / digest.hex()

    def incoming(self) -> Incoming:
        """A blob that arrives piece by piece; blocking. Used by `put` and by stores that keep copies here."""
        return Incoming(self, self._incoming / secrets.token_hex(16), self._limit)

    def _put(self, content: Path | bytes) -> Digest:
        with self.incoming() as incoming:
            if isinstance(content, bytes):
                incoming.write(content)
            else:
                with content.open("rb", buffering=0) as file:
                    while chunk := file.read(_CHUNK):
                        incoming.write(chunk)
            return incoming.keep()

    def _get(self, digest: Digest) -> Path:
        path = self.path(digest)
        try:
            with path.open("rb", buffering=0) as file:
                found = hashlib.file_digest(file, "sha256").digest()
        except FileNotFoundError:
            raise StoreUnavailable(
                f"the store has no blob {digest.hex()[:16]}", hint="fetch it from the rights holder's store"
            ) from None
        except OSError as error:
            raise StoreUnavailable(f"cannot read {path}: {error.strerror}") from None
        if found != digest:
            raise other_bytes(digest)
        return path


class Incoming:
    """One blob being written: `write` pieces, then `keep`; leaving without `keep` forgets it."""

    def __init__(self, store: LocalStore, path: Path, limit_bytes: int) -> None:
        self._store, self._path, self._left = store, path, limit_bytes
        self._digest = hashlib.sha256()
        with _disk(path):
            self._file = path.open("xb", buffering=0)

    def write(self, data: bytes) -> None:
        """Append. Raises PackageRefused beyond the store's limit, StoreUnavailable where there is no room."""
        self._left -= len(data)
        if self._left < 0:
            raise PackageRefused("the blob is larger than this store takes", hint="raise the store's limit")
        self._digest.update(data)
        with _disk(self._path):
            rest = memoryview(data)
            while rest:
                rest = rest[self._file.write(rest) :]

    def keep(self, expected: Digest | None = None) -> Digest:
        """Make the blob appear in the store. Raises PackageRefused where it is not the expected one."""
        digest = Digest(self._digest.digest())
        if expected is not None and digest != expected:
            raise other_bytes(expected)
        target = self._store.path(digest)
        with _disk(target):
            os.fsync(self._file.fileno())
            os.fchmod(self._file.fileno(), 0o444)
            if not target.parent.exists():
                target.parent.mkdir(exist_ok=True)
                _sync_folder(target.parent.parent)
            self._path.rename(target)
            _sync_folder(target.parent)
        return digest

    def __enter__(self) -> Incoming:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreUnavailable(
            f"cannot write {path}: {error.strerror}", hint="make room on the store's disk"
        ) from error


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)

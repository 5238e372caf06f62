"""A local store with others behind it: what is not here is fetched from the first that has it, and kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from printright.domain.ids import Digest
from printright.errors import PackageRefused, StoreUnavailable
from printright.vault.store import Store
from printright.vault.stores.http import HttpStore
from printright.vault.stores.local import LocalStore


class LayeredStore(Store):
    """Reads from `local`, then from `upstream` in order; each of them keeps what it fetched in `local`."""

    def __init__(self, local: LocalStore, upstream: Sequence[HttpStore]) -> None:
        self._local, self._upstream = local, tuple(upstream)

    async def put(self, content: Path | bytes) -> Digest:
        return await self._local.put(content)

    async def has(self, digest: Digest) -> bool:
        return await self._local.has(digest)

    async def get(self, digest: Digest) -> Path:
        try:
            return await self._local.get(digest)
        except StoreUnavailable as missing:
            last: StoreUnavailable | PackageRefused = missing
        except PackageRefused as rotten:
            if not self._upstream:
                raise
            # Bytes that are not their digest's are of no use to anybody; another store may have the right ones.
            self._local.path(digest).unlink(missing_ok=True)
            last = rotten
        for store in self._upstream:
            try:
                return await store.get(digest)
            except (StoreUnavailable, PackageRefused) as error:
                # One store's wrong bytes do not keep us from another's right ones.
                last = error
        raise last

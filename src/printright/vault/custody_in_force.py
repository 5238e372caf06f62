"""The custody in force, which the ledger names, fetched from a store; and the whole chain of records, checked."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from printright.domain.ids import Digest
from printright.errors import PackageRefused, PrintrightError
from printright.vault.committee import AS_PUBLISHED, Committee
from printright.vault.custody_record import MAX_RECORD_BYTES, Contribution, CustodyRecord
from printright.vault.manifest import Manifest
from printright.vault.resharing import check_record, sealed_for
from printright.vault.store import Store

log = logging.getLogger(__name__)

MAX_EPOCHS = 1000


@dataclass(frozen=True)
class ShownCustody:
    """What a custodian is shown of a re-shared custody: the stored record, and what the dealers sealed for it."""

    record: bytes
    sealed: tuple[bytes, ...]


@dataclass(frozen=True)
class CustodyInForce:
    """Who holds the shares now. `former` are the committees before, the manifest's first: to know an old share by."""

    committee: Committee
    record: CustodyRecord | None = None
    contributions: tuple[Contribution, ...] = ()
    former: tuple[Committee, ...] = ()

    def shown_to(self, index: int) -> ShownCustody | None:
        """What custodian `index` must be shown to find its share; None where the manifest has it."""
        if self.record is None:
            return None
        return ShownCustody(self.record.to_json(), sealed_for(index, self.record, self.contributions))


def as_published(manifest: Manifest) -> CustodyInForce:
    """The custody that the manifest itself sets up."""
    return CustodyInForce(manifest.custody.committee)


async def fetch_custody(manifest: Manifest, manifest_blob: Digest, record: Digest, store: Store) -> CustodyInForce:
    """The custody of the record that the ledger names. That it is this package's is checked; how it came to be is not.

    Raises PackageRefused, StoreUnavailable.
    """
    if record == AS_PUBLISHED:
        return as_published(manifest)
    found = await fetch_record(record, store)
    found.check_for(manifest_blob, manifest.owner, manifest.custody.commitments.secret)
    contributions = await fetch_contributions(found, store)
    former = [manifest.custody.committee]
    try:
        at = found.order.former
        while at != AS_PUBLISHED and len(former) < MAX_EPOCHS:
            before = await fetch_record(at, store)
            former.insert(1, before.committee)
            at = before.order.former
    except PrintrightError as error:
        # They only serve to call an old share by its name.
        log.info("former custody records are not here: %s", error)
    return CustodyInForce(found.committee, found, contributions, tuple(former))


async def fetch_chain(
    manifest: Manifest, manifest_blob: Digest, record: Digest, store: Store
) -> list[tuple[CustodyRecord, tuple[Contribution, ...]]]:
    """All records up to this one, the first first, each checked against the one before and the package.

    Raises PackageRefused for a chain that does not hold, StoreUnavailable.
    """
    chain: list[tuple[CustodyRecord, tuple[Contribution, ...]]] = []
    at = record
    while at != AS_PUBLISHED:
        if len(chain) == MAX_EPOCHS:
            raise PackageRefused(f"more than {MAX_EPOCHS} custody records")
        found = await fetch_record(at, store)
        chain.append((found, await fetch_contributions(found, store)))
        at = found.order.former
    chain.reverse()
    former = manifest.custody.committee
    for found, contributions in chain:
        check_record(found, contributions, manifest_blob, manifest.owner, former)
        former = found.committee
    return chain


async def fetch_record(digest: Digest, store: Store) -> CustodyRecord:
    """A record's blob, read. Raises PackageRefused, StoreUnavailable."""
    return CustodyRecord.from_json(await store.read(digest, MAX_RECORD_BYTES))


async def fetch_contributions(record: CustodyRecord, store: Store) -> tuple[Contribution, ...]:
    """The contributions that a record names, in its order. Raises PackageRefused, StoreUnavailable."""
    found = []
    for dealer, digest in record.dealers:
        each = Contribution.from_json(await store.read(digest, MAX_RECORD_BYTES))
        if each.dealer != dealer or len(each.sealed) != len(record.order.custodians):
            raise PackageRefused(f"contribution {dealer} of the custody record is another's")
        found.append(each)
    return tuple(found)


async def put_record(record: CustodyRecord, contributions: Sequence[Contribution], store: Store) -> Digest:
    """Put contributions, then the record, so that where it is, the rest is. Returns the record's digest."""
    for each in contributions:
        await store.put(each.to_json())
    return await store.put(record.to_json())

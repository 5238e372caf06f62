"""Re-share a design's key by the ledger's word: order, contribute, collect, accept, put into force.

Each step reads which custody is in force from the ledger's final block, and the records from a store. Nothing but the
last step changes anything: until the ledger names the new record, the present committee goes on releasing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from printright.domain.ids import Address, Digest
from printright.errors import LedgerUnavailable, NotMine, PackageRefused, Refused
from printright.ledger.port import Ledger, Receipt
from printright.vault.committee import AS_PUBLISHED, Committee, Custodian
from printright.vault.custody import open_share
from printright.vault.custody_in_force import fetch_chain, fetch_contributions, put_record
from printright.vault.custody_record import (
    Acceptance,
    Contribution,
    CustodyRecord,
    Order,
    check_contribution,
)
from printright.vault.keys import LedgerKey, UnsealingKey
from printright.vault.manifest import MAX_MANIFEST_BYTES, Manifest
from printright.vault.resharing import (
    accept_share,
    check_acceptance,
    check_order,
    check_record,
    contribute,
    open_reshared,
    sealed_for,
    settle,
)
from printright.vault.sharing import Share
from printright.vault.store import Store


class TooFew(Refused):
    """Fewer good contributions or acceptances than it takes. Nothing changed."""


@dataclass(frozen=True)
class Present:
    """A package and the custody that is in force for it. `chain` are its custody records, the first first."""

    manifest: Manifest
    blob: Digest
    chain: tuple[tuple[CustodyRecord, tuple[Contribution, ...]], ...]

    @property
    def committee(self) -> Committee:
        return self.chain[-1][0].committee if self.chain else self.manifest.custody.committee


async def present(ledger: Ledger, store: Store, manifest_blob: Digest) -> Present:
    """The package under this digest, and its custody by the ledger's final block; all its records are checked.

    Raises PackageRefused where something does not hold, StoreUnavailable, LedgerUnavailable.
    """
    manifest = Manifest.from_json(await store.read(manifest_blob, MAX_MANIFEST_BYTES))
    _, design = await ledger.call_final("design", manifest.content_id)
    if design is None:
        raise LedgerUnavailable("no block of the ledger is final yet")
    if design.owner != manifest.owner:
        raise PackageRefused("this package is not published on this network", hint="check the network file")
    chain = await fetch_chain(manifest, manifest_blob, Digest(design.custody), store)
    return Present(manifest, manifest_blob, tuple(chain))


def order(now: Present, custodians: Sequence[Custodian], threshold: int, owner_key: LedgerKey) -> Order:
    """The owner's order to hand the key on. Raises BadValue, NotMine."""
    if owner_key.address != now.manifest.owner:
        raise NotMine(f"the design is {now.manifest.owner}'s", hint="its owner orders a re-sharing")
    former = now.committee
    return Order(now.blob, former.epoch + 1, former.record, threshold, tuple(custodians)).signed(owner_key)


async def contribute_to(
    order: Order, ledger: Ledger, store: Store, custodian_key: LedgerKey, unsealing_keys: Sequence[UnsealingKey]
) -> Contribution:
    """This custodian's contribution. The order is its owner's, for a design published here, on top of what is in force.

    Raises PackageRefused, NotMine where this account holds no share now, WrongKey.
    """
    now = await present(ledger, store, order.manifest)
    check_order(order, now.blob, now.manifest.owner, now.committee)
    share = _own_share(now, custodian_key.address, unsealing_keys)
    if not now.committee.commitments.fit(share):
        raise PackageRefused("the share that was sealed to this custodian is not the one committed to")
    return contribute(order, share, custodian_key)


async def collect(
    order: Order, contributions: Sequence[Contribution], ledger: Ledger, store: Store
) -> tuple[CustodyRecord, dict[Address, str]]:
    """A record to be accepted, from the first contributions that are in order; who sent what is not, and why.

    The contributions it is made of, and it, are put into the store. Raises TooFew.
    """
    now = await present(ledger, store, order.manifest)
    check_order(order, now.blob, now.manifest.owner, now.committee)
    good: dict[int, Contribution] = {}
    wrong: dict[Address, str] = {}
    for each in contributions:
        try:
            check_contribution(each, order, now.committee)
        except PackageRefused as error:
            place = each.dealer - 1
            known = place < len(now.committee.custodians)
            named = now.committee.custodians[place].address if known else Address(f"dealer {each.dealer}")
            wrong[named] = error.message
        else:
            good.setdefault(each.dealer, each)
    if len(good) < now.committee.threshold:
        told = "".join(f"; {who}: {why}" for who, why in wrong.items())
        raise TooFew(
            f"{len(good)} good contributions, {now.committee.threshold} are needed{told}",
            hint="ask more of the present custodians",
        )
    chosen = [good[dealer] for dealer in sorted(good)][: now.committee.threshold]
    record = settle(order, chosen, now.committee)
    await put_record(record, chosen, store)
    return record, wrong


async def accept(
    record: CustodyRecord,
    ledger: Ledger,
    store: Store,
    custodian_key: LedgerKey,
    unsealing_keys: Sequence[UnsealingKey],
) -> Acceptance:
    """This custodian's word that it has its share of the next custody, and that it fits.

    Raises PackageRefused, NotMine, WrongSubshares, which names the dealers that sealed something else.
    """
    now = await present(ledger, store, record.order.manifest)
    contributions = await fetch_contributions(record, store)
    check_record(record, contributions, now.blob, now.manifest.owner, now.committee, accepted=False)
    custodian = next((c for c in record.order.custodians if c.address == custodian_key.address), None)
    if custodian is None:
        raise NotMine(f"{custodian_key.address} is not of the next committee")
    accept_share(record, contributions, _key(custodian, unsealing_keys))
    return record.accepted(custodian_key)


async def put_into_force(
    record: CustodyRecord,
    acceptances: Sequence[Acceptance],
    ledger: Ledger,
    store: Store,
    *,
    without: Sequence[Address] = (),
) -> tuple[CustodyRecord, Receipt]:
    """Put the accepted record into the store, then name it on the ledger, once; it is mined when this returns.

    Everybody of the next committee must have accepted but those `without`, and never fewer than its threshold. The
    same call again after a crash changes nothing. Raises TooFew, PackageRefused, LedgerRefused.
    """
    for each in acceptances:
        check_acceptance(record, each)
    by = {each.custodian: each for each in acceptances}
    members = [each.address for each in record.order.custodians]
    missing = [each for each in members if each not in by and each not in without]
    if missing:
        raise TooFew(
            f"not accepted by {', '.join(missing)}",
            hint="without their word nobody knows that they can release; `--without` goes on if you can do without",
        )
    done = replace(record, acceptances=tuple(by[each] for each in members if each in by))
    contributions = await fetch_contributions(record, store)
    manifest = Manifest.from_json(await store.read(record.order.manifest, MAX_MANIFEST_BYTES))
    key = f"custody:{done.blob.hex()}"
    earlier = await ledger.lookup(key)
    if earlier is not None:
        return done, earlier
    now = await present(ledger, store, record.order.manifest)
    check_record(done, contributions, now.blob, now.manifest.owner, now.committee)
    await put_record(done, contributions, store)
    args = (manifest.content_id, record.order.former, done.blob)
    return done, await ledger.send(key, "change_custody", *args)


def _own_share(now: Present, custodian: Address, keys: Sequence[UnsealingKey]) -> Share:
    index = now.committee.index_of(custodian)
    if index is None:
        raise NotMine(f"{custodian} holds no share in epoch {now.committee.epoch}")
    key = _key(now.committee.custodians[index - 1], keys)
    if now.committee.record == AS_PUBLISHED:
        return open_share(now.manifest, key)
    record, contributions = now.chain[-1]
    return open_reshared(record, sealed_for(index, record, contributions), key)


def _key(custodian: Custodian, keys: Sequence[UnsealingKey]) -> UnsealingKey:
    for key in keys:
        if key.public_key == custodian.public_key:
            return key
    raise NotMine(
        f"the share of {custodian.address} is sealed to an unsealing key that is not here",
        hint="name the former key in `custodian.former_keys`",
    )

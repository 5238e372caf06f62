"""Re-sharing a design key: contribute, settle, accept, and open the share that came of it. See `custody_record`."""

from __future__ import annotations

from collections.abc import Sequence

from printright.domain.ids import Address, Digest
from printright.errors import PackageRefused, PrintrightError, WrongKey
from printright.vault.committee import Committee
from printright.vault.custody_record import (
    SEALED_SUBSHARE_SIZE,
    Acceptance,
    Contribution,
    CustodyRecord,
    Order,
    blobs_of,
    check_contribution,
    subshare_info,
)
from printright.vault.keys.ledger_key import LedgerKey
from printright.vault.keys.unsealing_key import UnsealingKey
from printright.vault.sealing import seal
from printright.vault.sharing import Share, combine_commitments, combine_subshares, split
from printright.vault.signing import signer


class WrongSubshares(WrongKey):
    """What these dealers sealed for this custodian is not what they committed to. `dealers` are their numbers."""

    def __init__(self, dealers: Sequence[int]) -> None:
        self.dealers = tuple(dealers)
        super().__init__(
            f"wrong shares of shares, by dealers {', '.join(map(str, dealers))} of the present committee",
            hint="tell the rights holder, who collects without them",
        )


def check_order(order: Order, manifest_blob: Digest, owner: Address, former: Committee) -> None:
    """That this is the owner's order, for this package, on top of `former`. Raises PackageRefused."""
    if order.manifest != manifest_blob:
        raise PackageRefused("the custody order is for another package")
    if order.signer() != owner:
        raise PackageRefused(f"the custody order is not signed by the package's owner {owner}")
    if (order.former, order.epoch) != (former.record, former.epoch + 1):
        raise PackageRefused(
            f"the order follows epoch {order.epoch - 1}, in force is epoch {former.epoch}",
            hint="the rights holder orders anew",
        )


def contribute(order: Order, share: Share, custodian_key: LedgerKey) -> Contribution:
    """Share this custodian's share among the next committee. The order was checked before."""
    subshares, commitments = split(share.value, order.threshold, len(order.custodians))
    sealed = tuple(
        seal(custodian.public_key, each.value, subshare_info(order.digest, share.index, each.index))
        for custodian, each in zip(order.custodians, subshares, strict=True)
    )
    return Contribution(order.digest, share.index, commitments, sealed).signed(custodian_key)


def settle(order: Order, contributions: Sequence[Contribution], former: Committee) -> CustodyRecord:
    """The record, without acceptances yet, from exactly as many contributions as the present threshold.

    Raises PackageRefused for a contribution that is not in order, or for others than so many of different dealers.
    """
    if len(contributions) != former.threshold or len({c.dealer for c in contributions}) != former.threshold:
        raise PackageRefused(f"a record is made of the contributions of {former.threshold} custodians")
    for each in contributions:
        check_contribution(each, order, former)
    combined = combine_commitments(
        {each.dealer: each.commitments for each in sorted(contributions, key=lambda each: each.dealer)}
    )
    return CustodyRecord(order, blobs_of(contributions), combined)


def check_record(
    record: CustodyRecord,
    contributions: Sequence[Contribution],
    manifest_blob: Digest,
    owner: Address,
    former: Committee,
    *,
    accepted: bool = True,
) -> None:
    """All that anybody can check of a record: order, contributions, sums, and that enough custodians accepted.

    Raises PackageRefused. `accepted=False` is for a record that is still to be accepted.
    """
    check_order(record.order, manifest_blob, owner, former)
    again = settle(record.order, contributions, former)
    if again.dealers != record.dealers or again.commitments != record.commitments:
        raise PackageRefused("the custody record does not follow from its contributions")
    if not accepted:
        return
    members = {each.address for each in record.order.custodians}
    accounts = [each.custodian for each in record.acceptances]
    if len(set(accounts)) != len(accounts) or not members.issuperset(accounts):
        raise PackageRefused("the custody record is accepted by others than its custodians, or twice by one")
    for each in record.acceptances:
        check_acceptance(record, each)
    if len(accounts) < record.order.threshold:
        raise PackageRefused(
            f"{len(accounts)} custodians accepted, {record.order.threshold} must",
            hint="with fewer good shares than the threshold the key would be lost",
        )


def check_acceptance(record: CustodyRecord, acceptance: Acceptance) -> None:
    """Raises PackageRefused for an acceptance that is not this custodian's of this record."""
    if signer(record.settlement, acceptance.signature, "the acceptance") != acceptance.custodian:
        raise PackageRefused(f"custodian {acceptance.custodian} did not sign this acceptance")


def sealed_for(index: int, record: CustodyRecord, contributions: Sequence[Contribution]) -> tuple[bytes, ...]:
    """What the dealers sealed for custodian `index`, in the record's order."""
    by_dealer = {each.dealer: each for each in contributions}
    return tuple(by_dealer[dealer].sealed[index - 1] for dealer, _ in record.dealers)


def open_reshared(record: CustodyRecord, sealed: Sequence[bytes], key: UnsealingKey) -> Share:
    """This custodian's share of a record's custody, from what the dealers sealed for it.

    Raises NotMine for a key that is not of this committee, WrongKey where something was not sealed for it, this order
    and place, or does not add up to the share that the record commits to.
    """
    index = record.index_for(key.public_key)
    if len(sealed) != len(record.dealers) or any(len(each) != SEALED_SUBSHARE_SIZE for each in sealed):
        raise WrongKey("these are not the sealed shares of the custody record")
    opened = {
        dealer: key.open(each, subshare_info(record.order.digest, dealer, index))
        for (dealer, _), each in zip(record.dealers, sealed, strict=True)
    }
    share = combine_subshares(index, opened)
    if not record.commitments.fit(share):
        raise WrongKey("what the dealers sealed does not add up to the share that the custody record commits to")
    return share


def accept_share(record: CustodyRecord, contributions: Sequence[Contribution], key: UnsealingKey) -> Share:
    """Open every dealer's part and hold it against what that dealer committed to; then the sum.

    Raises WrongSubshares, which names the dealers, and as `open_reshared`.
    """
    index = record.index_for(key.public_key)
    wrong = []
    for each in contributions:
        try:
            value = key.open(each.sealed[index - 1], subshare_info(record.order.digest, each.dealer, index))
            fits = each.commitments.fit(Share(index, value))
        except PrintrightError:
            fits = False
        if not fits:
            wrong.append(each.dealer)
    if wrong:
        raise WrongSubshares(wrong)
    return open_reshared(record, sealed_for(index, record, contributions), key)

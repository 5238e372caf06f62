"""Re-sharing: new shares of the same key for another committee; whoever deals, orders or accepts wrongly is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric import ec
from vault_scene import Member

from printright.domain.ids import Digest
from printright.errors import NotMine, PackageRefused, StoreUnavailable, WrongKey
from printright.vault import PublishedPackage
from printright.vault.committee import AS_PUBLISHED, Committee
from printright.vault.custody import WrongShares, open_share, recover_key
from printright.vault.custody_in_force import fetch_chain, fetch_custody, put_record
from printright.vault.custody_record import Acceptance, Contribution, CustodyRecord, Order
from printright.vault.keys import SoftwareLedgerKey, SoftwareUnsealingKey
from printright.vault.manifest import Manifest
from printright.vault.resharing import (
    WrongSubshares,
    accept_share,
    check_acceptance,
    check_contribution,
    check_order,
    check_record,
    contribute,
    open_reshared,
    sealed_for,
    settle,
)
from printright.vault.sealing import seal
from printright.vault.sharing import Share, combine_commitments, split
from printright.vault.stores.local import LocalStore


def member(number: int) -> Member:
    unsealing = SoftwareUnsealingKey(ec.derive_private_key(5000 + number, ec.SECP256R1()))
    return Member(SoftwareLedgerKey(number.to_bytes(32, "big")), unsealing)


NEXT = tuple(member(1000 + number) for number in range(4))


@dataclass
class Resharing:
    """From the published 3-of-5 to 2-of-4, three of the five having contributed."""

    manifest: Manifest
    blob: Digest
    owner: Member
    members: tuple[Member, ...]
    former: Committee
    order: Order
    contributions: tuple[Contribution, ...]

    @property
    def record(self) -> CustodyRecord:
        """Settled, and accepted by all."""
        return accepted(settle(self.order, self.contributions, self.former), NEXT)

    def check(self, record: CustodyRecord, contributions: tuple[Contribution, ...] | None = None) -> None:
        given = self.contributions if contributions is None else contributions
        check_record(record, given, self.blob, self.manifest.owner, self.former)


def accepted(record: CustodyRecord, by: tuple[Member, ...]) -> CustodyRecord:
    return replace(record, acceptances=tuple(record.accepted(each.ledger) for each in by))


def ordered(owner: Member, blob: Digest, former: Committee, to: tuple[Member, ...], threshold: int) -> Order:
    custodians = tuple(each.custodian for each in to)
    return Order(blob, former.epoch + 1, former.record, threshold, custodians).signed(owner.ledger)


@pytest.fixture
def resharing(published: PublishedPackage, members: tuple[Member, ...]) -> Resharing:
    manifest, former, blob = published.manifest, published.manifest.custody.committee, published.manifest_blob
    order = ordered(members[0], blob, former, NEXT, 2)
    dealers = [members[place] for place in (0, 2, 4)]
    contributions = tuple(contribute(order, open_share(manifest, each.unsealing), each.ledger) for each in dealers)
    return Resharing(manifest, blob, members[0], members, former, order, contributions)


def test_the_next_committee_has_the_key_and_any_of_its_thresholds_opens_it(resharing: Resharing) -> None:
    record = resharing.record
    resharing.check(record)
    shares = [accept_share(record, resharing.contributions, each.unsealing) for each in NEXT]
    assert [share.index for share in shares] == [1, 2, 3, 4]
    key = recover_key(resharing.manifest, [open_share(resharing.manifest, m.unsealing) for m in resharing.members])
    for chosen in combinations(shares, 2):
        assert recover_key(resharing.manifest, chosen, record.committee) == key
    assert record.commitments.secret == resharing.manifest.custody.commitments.secret
    assert (record.committee.epoch, record.committee.record, record.committee.threshold) == (1, record.blob, 2)


def test_old_shares_are_no_shares_of_the_new_committee(resharing: Resharing) -> None:
    record = resharing.record
    old = [open_share(resharing.manifest, each.unsealing) for each in resharing.members[:2]]
    new = open_reshared(record, sealed_for(3, record, resharing.contributions), NEXT[2].unsealing)
    assert not any(record.commitments.fit(share) for share in old)
    with pytest.raises(WrongShares) as error:
        recover_key(resharing.manifest, [old[0], new], record.committee)
    assert error.value.indices == (1,)


def test_any_threshold_of_the_present_committee_can_contribute(resharing: Resharing) -> None:
    keys = set()
    for places in combinations(range(5), 3):
        dealers = [resharing.members[place] for place in places]
        contributions = tuple(
            contribute(resharing.order, open_share(resharing.manifest, each.unsealing), each.ledger) for each in dealers
        )
        record = settle(resharing.order, contributions[::-1], resharing.former)
        shares = [accept_share(record, contributions, each.unsealing) for each in NEXT[1:3]]
        keys.add(recover_key(resharing.manifest, shares, record.committee))
    assert len(keys) == 1


async def test_a_chain_of_records_leads_back_to_the_package(resharing: Resharing, store: LocalStore) -> None:
    first = resharing.record
    order = ordered(resharing.owner, resharing.blob, first.committee, resharing.members[:3], 3)
    dealers = NEXT[1:3]
    contributions = tuple(
        contribute(order, accept_share(first, resharing.contributions, each.unsealing), each.ledger) for each in dealers
    )
    second = accepted(settle(order, contributions, first.committee), resharing.members[:3])
    assert await put_record(first, resharing.contributions, store) == first.blob
    assert await put_record(second, contributions, store) == second.blob

    found = await fetch_custody(resharing.manifest, resharing.blob, second.blob, store)
    assert (found.committee, found.record) == (second.committee, second)
    assert found.former == (resharing.former, first.committee)
    shares = []
    for index, each in enumerate(resharing.members[:3], start=1):
        shown = found.shown_to(index)
        assert shown is not None
        shares.append(open_reshared(CustodyRecord.from_json(shown.record), shown.sealed, each.unsealing))
    assert resharing.manifest.check_key(recover_key(resharing.manifest, shares, second.committee))
    chain = await fetch_chain(resharing.manifest, resharing.blob, second.blob, store)
    assert [record for record, _ in chain] == [first, second]
    assert await fetch_chain(resharing.manifest, resharing.blob, AS_PUBLISHED, store) == []
    published = await fetch_custody(resharing.manifest, resharing.blob, AS_PUBLISHED, store)
    assert (published.committee, published.shown_to(1)) == (resharing.former, None)
    # A record whose acceptances are missing is refused by those who look at the whole chain.
    unaccepted = replace(second, acceptances=())
    await put_record(unaccepted, contributions, store)
    with pytest.raises(PackageRefused, match="accepted"):
        await fetch_chain(resharing.manifest, resharing.blob, unaccepted.blob, store)
    with pytest.raises(StoreUnavailable):
        await fetch_chain(resharing.manifest, resharing.blob, Digest(bytes([1]) * 32), store)


WRONG_ORDERS: dict[str, tuple[Callable[[Resharing], Order], str]] = {
    "signed by a custodian": (
        lambda r: replace(r.order, signature=b"").signed(r.members[1].ledger), "not signed by the package's owner"),
    "altered": (lambda r: replace(r.order, threshold=1), "not signed by the package's owner"),
    "not signed": (lambda r: replace(r.order, signature=b""), "not in the form"),
    "for another package": (
        lambda r: replace(r.order, manifest=Digest(bytes(32))).signed(r.owner.ledger), "another package"),
    "on top of another record": (
        lambda r: replace(r.order, former=Digest(bytes([7]) * 32)).signed(r.owner.ledger), "in force is epoch 0"),
    "for an epoch too far": (lambda r: replace(r.order, epoch=2).signed(r.owner.ledger), "in force is epoch 0"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG_ORDERS)
def test_orders_that_are_refused(resharing: Resharing, name: str) -> None:
    # Each check of `check_order` has its case: deleted, that case passes and this test is red.
    make, reason = WRONG_ORDERS[name]
    check_order(resharing.order, resharing.blob, resharing.manifest.owner, resharing.former)
    with pytest.raises(PackageRefused, match=reason):
        check_order(make(resharing), resharing.blob, resharing.manifest.owner, resharing.former)


def wrong_share(r: Resharing) -> Contribution:
    return contribute(r.order, Share(1, bytes(31) + b"\1"), r.members[0].ledger)


WRONG_CONTRIBUTIONS: dict[str, tuple[Callable[[Resharing], Contribution], str]] = {
    "to another order": (
        lambda r: replace(r.contributions[0], order=Digest(bytes(32))).signed(r.members[0].ledger), "another order"),
    "of a share that is not its own": (wrong_share, "another share than its own"),
    "in another's name": (
        lambda r: replace(r.contributions[0], dealer=2).signed(r.members[0].ledger), "not signed by custodian"),
    "signed by another": (lambda r: r.contributions[0].signed(r.members[1].ledger), "not signed by custodian"),
    "altered after signing": (
        lambda r: replace(r.contributions[0], sealed=r.contributions[1].sealed), "not signed by custodian"),
    "by nobody of the committee": (lambda r: replace(r.contributions[0], dealer=6), "nobody of the present"),
    "for another threshold": (
        lambda r: contribute(replace(r.order, threshold=3), open_share(r.manifest, r.members[0].unsealing),
                             r.members[0].ledger), "another order"),
    "of another degree": (
        lambda r: replace(r.contributions[0], commitments=split(
            open_share(r.manifest, r.members[0].unsealing).value, 3, 4)[1]).signed(r.members[0].ledger),
        "for another committee"),
    "with a receiver left out": (
        lambda r: replace(r.contributions[0], sealed=r.contributions[0].sealed[:3]).signed(r.members[0].ledger),
        "for another committee"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG_CONTRIBUTIONS)
def test_contributions_that_are_refused(resharing: Resharing, name: str) -> None:
    # Each check of `check_contribution` has its case: deleted, that case passes and this test is red.
    make, reason = WRONG_CONTRIBUTIONS[name]
    wrong = make(resharing)
    with pytest.raises(PackageRefused, match=reason):
        check_contribution(wrong, resharing.order, resharing.former)
    with pytest.raises(PackageRefused):
        settle(resharing.order, [wrong, *resharing.contributions[1:]], resharing.former)


def test_a_record_is_made_of_exactly_as_many_contributions_as_the_threshold(resharing: Resharing) -> None:
    one, two, three = resharing.contributions
    for given in ((), (one, two), (one, two, two), (one, two, three, three)):
        with pytest.raises(PackageRefused, match="contributions of 3 custodians"):
            settle(resharing.order, given, resharing.former)


def test_a_dealer_that_seals_something_else_is_named_by_its_receiver(resharing: Resharing) -> None:
    # Nobody else can see it: the commitments are right, what is sealed for custodian 2 is not.
    from printright.vault.custody_record import subshare_info

    one, two, three = resharing.contributions
    info = subshare_info(resharing.order.digest, two.dealer, 2)
    lie = seal(NEXT[1].unsealing.public_key, bytes(31) + b"\7", info)
    for sealed in (lie, bytes(len(lie)), two.sealed[0]):
        bad = replace(two, sealed=(two.sealed[0], sealed, *two.sealed[2:])).signed(resharing.members[2].ledger)
        record = settle(resharing.order, [one, bad, three], resharing.former)
        with pytest.raises(WrongSubshares) as error:
            accept_share(record, (one, bad, three), NEXT[1].unsealing)
        assert error.value.dealers == (two.dealer,)
        accept_share(record, (one, bad, three), NEXT[0].unsealing)
        with pytest.raises(WrongKey):
            open_reshared(record, sealed_for(2, record, (one, bad, three)), NEXT[1].unsealing)


def test_commitments_cannot_be_swapped_after_the_sums(resharing: Resharing) -> None:
    record = resharing.record
    other = combine_commitments({c.dealer: c.commitments for c in resharing.contributions[:2]})
    swapped = accepted(replace(record, commitments=other), NEXT)
    with pytest.raises(PackageRefused, match="does not follow"):
        resharing.check(swapped)
    with pytest.raises(PackageRefused, match="another key"):
        swapped.check_for(resharing.blob, resharing.manifest.owner, resharing.manifest.custody.commitments.secret)
    fresh = contribute(
        resharing.order, open_share(resharing.manifest, resharing.members[0].unsealing), resharing.members[0].ledger
    )
    with pytest.raises(PackageRefused, match="does not follow"):
        resharing.check(record, (fresh, *resharing.contributions[1:]))


def test_a_record_counts_when_enough_of_the_next_committee_accepted(resharing: Resharing) -> None:
    record = settle(resharing.order, resharing.contributions, resharing.former)
    resharing.check(accepted(record, NEXT[:2]))
    with pytest.raises(PackageRefused, match="1 custodians accepted, 2 must"):
        resharing.check(accepted(record, NEXT[:1]))
    twice = accepted(record, (NEXT[0], NEXT[0]))
    strangers = accepted(record, (NEXT[0], NEXT[1], resharing.members[1]))
    for wrong in (twice, strangers):
        with pytest.raises(PackageRefused, match="by others than its custodians, or twice"):
            resharing.check(wrong)
    forged = Acceptance(NEXT[0].ledger.address, record.accepted(NEXT[1].ledger).signature)
    with pytest.raises(PackageRefused, match="did not sign"):
        check_acceptance(record, forged)
    with pytest.raises(PackageRefused, match="did not sign"):
        resharing.check(replace(record, acceptances=(forged, record.accepted(NEXT[2].ledger))))


def test_a_key_that_is_of_no_custodian_opens_nothing(resharing: Resharing) -> None:
    record = resharing.record
    with pytest.raises(NotMine):
        accept_share(record, resharing.contributions, resharing.members[1].unsealing)
    with pytest.raises(WrongKey):
        open_reshared(record, sealed_for(2, record, resharing.contributions), NEXT[0].unsealing)
    with pytest.raises(WrongKey, match="are not the sealed shares"):
        open_reshared(record, sealed_for(1, record, resharing.contributions)[:2], NEXT[0].unsealing)


def test_records_of_other_packages_and_owners_are_refused(resharing: Resharing) -> None:
    record, secret = resharing.record, resharing.manifest.custody.commitments.secret
    record.check_for(resharing.blob, resharing.manifest.owner, secret)
    with pytest.raises(PackageRefused, match="another package"):
        record.check_for(Digest(bytes(32)), resharing.manifest.owner, secret)
    with pytest.raises(PackageRefused, match="not ordered by the package's owner"):
        record.check_for(resharing.blob, resharing.members[1].ledger.address, secret)
    with pytest.raises(PackageRefused, match="another key"):
        record.check_for(resharing.blob, resharing.manifest.owner, split(bytes(31) + b"\1", 1, 1)[1].secret)


@pytest.mark.parametrize("kind", ["order", "contribution", "record"])
def test_only_canonical_bytes_are_read(resharing: Resharing, kind: str) -> None:
    values = {"order": resharing.order, "contribution": resharing.contributions[0], "record": resharing.record}
    value: Any = values[kind]
    data: bytes = value.to_json()
    assert type(value).from_json(data) == value
    assert rfc8785.dumps(json.loads(data)) == data
    document = json.loads(data)
    for wrong in (
        b"", b"{}", b"[]", b"null", b"\xff", b"[" * 5000, data + b"\n", data[:-1], bytes(256 * 1024 + 1),
        json.dumps(document).encode(), rfc8785.dumps({**document, "more": 1}),
        data.replace(b"printright-custody/1", b"printright-custody/0"),
        data.replace(b'"threshold":2', b'"threshold":9'),
        data.replace(b'"dealer":1', b'"dealer":0'), data.replace(b'"epoch":1', b'"epoch":0'),
    ):  # fmt: skip
        if wrong != data:
            with pytest.raises(PackageRefused):
                type(value).from_json(wrong)

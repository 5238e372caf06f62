"""Custody records: how the shares of a design's key went from one committee to the next (Desmedt and Jajodia 1997;
Wong, Wang and Wing 2002), without touching the package.

The rights holder signs an *order*: the next committee and threshold. As many custodians of the present committee as its
threshold *contribute*: each shares its own share among the next committee, sealed, with commitments whose constant
term must be the public share that everybody can compute. The next committee's shares and commitments are the sums of
these, weighted. Whoever holds a share afterwards says so (*acceptance*). The *record* of it all is a blob in the
stores; which record is in force, the ledger says. The secret, and its commitment in the manifest, stay what they were.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import msgspec
import rfc8785

from printright.domain.ids import Address, Digest
from printright.errors import BadValue, NotMine, PackageRefused
from printright.vault.committee import MAX_CUSTODIANS, Committee, Custodian, check_committee
from printright.vault.keys.ledger_key import LedgerKey
from printright.vault.sealing import OVERHEAD
from printright.vault.sharing import SECRET_SIZE, Commitments
from printright.vault.signing import signer, statement_digest

FORMAT = "printright-custody/1"
MAX_RECORD_BYTES = 256 * 1024
SEALED_SUBSHARE_SIZE = OVERHEAD + SECRET_SIZE


@dataclass(frozen=True)
class Order:
    """The rights holder's word: from the custody `former` to these custodians, any `threshold` of whom have the key.

    `manifest` is the digest of the package's stored manifest. Signed as `CustodyOrder(bytes32 sha256)`.
    """

    manifest: Digest
    epoch: int
    former: Digest
    threshold: int
    custodians: tuple[Custodian, ...]
    signature: bytes = field(default=b"", repr=False)

    def __post_init__(self) -> None:
        check_committee(self.threshold, self.custodians)
        if len(self.manifest) != 32 or len(self.former) != 32 or not 1 <= self.epoch < 1 << 32:
            raise BadValue("an order's digests have 32 bytes, and its epoch is at least 1")

    @cached_property
    def digest(self) -> Digest:
        """SHA-256 of the canonical JSON of all but the signature."""
        return Digest(hashlib.sha256(rfc8785.dumps(self.fields())).digest())

    def signed(self, owner_key: LedgerKey) -> Order:
        return replace(self, signature=owner_key.sign_digest(statement_digest("CustodyOrder", self.digest)))

    def signer(self) -> Address:
        return signer(statement_digest("CustodyOrder", self.digest), self.signature, "the custody order")

    def fields(self) -> dict[str, Any]:
        return {
            "custodians": [{"address": c.address, "public_key": c.public_key.hex()} for c in self.custodians],
            "epoch": self.epoch,
            "format": FORMAT,
            "former": self.former.hex(),
            "manifest": self.manifest.hex(),
            "threshold": self.threshold,
        }

    def to_json(self) -> bytes:
        return rfc8785.dumps({"order": self.fields(), "signature": self.signature.hex()})

    @classmethod
    def from_json(cls, data: bytes) -> Order:
        """Read an order. Raises PackageRefused for anything but canonical bytes; who signed it is not checked."""
        order: Order = _read(data, _WireOrder, "custody order")
        return order


@dataclass(frozen=True)
class Contribution:
    """A custodian's share of the present custody, shared among the next committee; `sealed[j]` is for custodian j + 1.

    `dealer` is its number in the present committee. Signed as `CustodyContribution(bytes32 sha256)`.
    """

    order: Digest
    dealer: int
    commitments: Commitments
    sealed: tuple[bytes, ...]
    signature: bytes = field(default=b"", repr=False)

    def __post_init__(self) -> None:
        if len(self.order) != 32 or not 1 <= self.dealer <= MAX_CUSTODIANS:
            raise BadValue("a contribution is to an order, by a custodian from number 1")
        if any(len(each) != SEALED_SUBSHARE_SIZE for each in self.sealed):
            raise BadValue(f"sealed shares of shares have {SEALED_SUBSHARE_SIZE} bytes each")

    @property
    def signing_digest(self) -> bytes:
        return statement_digest("CustodyContribution", hashlib.sha256(rfc8785.dumps(self._fields())).digest())

    def signed(self, custodian_key: LedgerKey) -> Contribution:
        return replace(self, signature=custodian_key.sign_digest(self.signing_digest))

    def signer(self) -> Address:
        return signer(self.signing_digest, self.signature, f"contribution {self.dealer}")

    @cached_property
    def blob(self) -> Digest:
        """Under which the stores have it."""
        return Digest(hashlib.sha256(self.to_json()).digest())

    def _fields(self) -> dict[str, Any]:
        return {
            "commitments": [point.hex() for point in self.commitments.points],
            "dealer": self.dealer,
            "format": FORMAT,
            "order": self.order.hex(),
            "sealed": [each.hex() for each in self.sealed],
        }

    def to_json(self) -> bytes:
        return rfc8785.dumps({"contribution": self._fields(), "signature": self.signature.hex()})

    @classmethod
    def from_json(cls, data: bytes) -> Contribution:
        """Read a contribution. Raises PackageRefused for anything but canonical bytes."""
        contribution: Contribution = _read(data, _WireContribution, "contribution")
        return contribution


def subshare_info(order: Digest, dealer: int, index: int) -> bytes:
    """The HPKE `info` of what dealer `dealer` seals for custodian `index` of the next committee."""
    return FORMAT.encode() + b"\0subshare\0" + order + bytes([dealer, index])


@dataclass(frozen=True)
class Acceptance:
    """A custodian of the next committee has its share, and it fits: signed as `CustodyAcceptance(bytes32 sha256)`."""

    custodian: Address
    signature: bytes


@dataclass(frozen=True)
class CustodyRecord:
    """An order carried out. `dealers` are the contributions it is made of: dealer's number and blob's digest."""

    order: Order
    dealers: tuple[tuple[int, Digest], ...]
    commitments: Commitments
    acceptances: tuple[Acceptance, ...] = ()

    def __post_init__(self) -> None:
        numbers = [number for number, _ in self.dealers]
        if not numbers or numbers != sorted(set(numbers)) or numbers[0] < 1 or numbers[-1] > MAX_CUSTODIANS:
            raise BadValue("a record names its contributions once each, in the order of their dealers")
        if self.commitments.threshold != self.order.threshold:
            raise BadValue("a record's commitments are those of the threshold ordered")

    @property
    def settlement(self) -> bytes:
        """What acceptances sign."""
        return statement_digest("CustodyAcceptance", hashlib.sha256(rfc8785.dumps(self._fields())).digest())

    @cached_property
    def blob(self) -> Digest:
        """Under which the stores have it, and which the ledger names."""
        return Digest(hashlib.sha256(self.to_json()).digest())

    @cached_property
    def committee(self) -> Committee:
        return Committee(self.order.epoch, self.blob, self.order.custodians, self.commitments)

    def accepted(self, key: LedgerKey) -> Acceptance:
        """The statement of whoever owns `key`. Not before `custody.accept_share` returned."""
        return Acceptance(key.address, key.sign_digest(self.settlement))

    def _fields(self) -> dict[str, Any]:
        return {
            "commitments": [point.hex() for point in self.commitments.points],
            "dealers": [{"contribution": digest.hex(), "dealer": number} for number, digest in self.dealers],
            "order": self.order.fields(),
            "signature": self.order.signature.hex(),
        }

    def to_json(self) -> bytes:
        return rfc8785.dumps(
            {
                "acceptances": [{"custodian": a.custodian, "signature": a.signature.hex()} for a in self.acceptances],
                "settlement": self._fields(),
            }
        )

    @classmethod
    def from_json(cls, data: bytes) -> CustodyRecord:
        """Read a record. Raises PackageRefused for anything but canonical bytes; see `custody.check_record`."""
        record: CustodyRecord = _read(data, _WireRecord, "custody record")
        return record

    def check_for(self, manifest_blob: Digest, owner: Address, secret: bytes) -> None:
        """That the record is of this package: what a custodian and a unit check of a record that the ledger names.

        1. it is of this manifest; 2. its owner ordered it; 3. it is a sharing of the same secret.
        Raises PackageRefused.
        """
        # 1
        if self.order.manifest != manifest_blob:
            raise PackageRefused("the custody record is of another package")
        # 2
        if self.order.signer() != owner:
            raise PackageRefused(f"the custody record was not ordered by the package's owner {owner}")
        # 3
        if self.commitments.secret != secret:
            raise PackageRefused("the custody record is a sharing of another key than the package's")

    def index_for(self, public_key: bytes) -> int:
        """The number of the share sealed for this key. Raises NotMine."""
        for index, each in enumerate(self.order.custodians, start=1):
            if each.public_key == public_key:
                return index
        raise NotMine("this key is not one of the custody record's", hint="check which key this node was started with")


def check_contribution(contribution: Contribution, order: Order, former: Committee) -> None:
    """That a contribution is the dealer's, to this order, and shares the share that it has.

    What is in `sealed`, only its receivers can check. Raises PackageRefused, which names the dealer.
    """
    if contribution.order != order.digest:
        raise PackageRefused(f"contribution {contribution.dealer} is to another order")
    if contribution.dealer > len(former.custodians):
        raise PackageRefused(f"contribution {contribution.dealer} is by nobody of the present committee")
    named = former.custodians[contribution.dealer - 1].address
    if contribution.signer() != named:
        raise PackageRefused(f"contribution {contribution.dealer} is not signed by custodian {named}")
    if contribution.commitments.threshold != order.threshold or len(contribution.sealed) != len(order.custodians):
        raise PackageRefused(f"custodian {named} contributed for another committee than the order's")
    if contribution.commitments.secret != former.commitments.public_share(contribution.dealer):
        raise PackageRefused(f"custodian {named} contributed another share than its own")


def _read(data: bytes, wire: type[Any], what: str) -> Any:
    if len(data) > MAX_RECORD_BYTES:
        raise PackageRefused(f"a {what} has at most {MAX_RECORD_BYTES} bytes, not {len(data)}")
    try:
        value = msgspec.json.decode(data, type=wire).value()
        again = value.to_json()
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise PackageRefused(f"not a {what}: {error}") from None
    if data != again:
        raise PackageRefused(f"the {what} is not canonical JSON", hint="RFC 8785; it was altered after signing")
    return value


class _Wire(msgspec.Struct, forbid_unknown_fields=True):
    """The JSON forms: text and integers as they stand there."""


class _WireCustodian(_Wire):
    address: str
    public_key: str


class _WireOrderFields(_Wire):
    custodians: list[_WireCustodian]
    epoch: int
    format: str
    former: str
    manifest: str
    threshold: int

    def value(self, signature: str) -> Order:
        _check_format(self.format)
        text = bytes.fromhex
        custodians = tuple(Custodian(Address(c.address), text(c.public_key)) for c in self.custodians)
        former, manifest = Digest(text(self.former)), Digest(text(self.manifest))
        return Order(manifest, self.epoch, former, self.threshold, custodians, text(signature))


class _WireOrder(_Wire):
    order: _WireOrderFields
    signature: str

    def value(self) -> Order:
        return self.order.value(self.signature)


class _WireContributionFields(_Wire):
    commitments: list[str]
    dealer: int
    format: str
    order: str
    sealed: list[str]


class _WireContribution(_Wire):
    contribution: _WireContributionFields
    signature: str

    def value(self) -> Contribution:
        c, text = self.contribution, bytes.fromhex
        _check_format(c.format)
        commitments = Commitments(tuple(map(text, c.commitments)))
        return Contribution(
            Digest(text(c.order)), c.dealer, commitments, tuple(map(text, c.sealed)), text(self.signature)
        )


class _WireDealer(_Wire):
    contribution: str
    dealer: int


class _WireSettlement(_Wire):
    commitments: list[str]
    dealers: list[_WireDealer]
    order: _WireOrderFields
    signature: str


class _WireAcceptance(_Wire):
    custodian: str
    signature: str


class _WireRecord(_Wire):
    acceptances: list[_WireAcceptance]
    settlement: _WireSettlement

    def value(self) -> CustodyRecord:
        s, text = self.settlement, bytes.fromhex
        return CustodyRecord(
            s.order.value(s.signature),
            tuple((d.dealer, Digest(text(d.contribution))) for d in s.dealers),
            Commitments(tuple(map(text, s.commitments))),
            tuple(Acceptance(Address(a.custodian), text(a.signature)) for a in self.acceptances),
        )


def _check_format(found: str) -> None:
    if found != FORMAT:
        raise BadValue(f"the format is {found[:40]!r}, not {FORMAT!r}", hint="update Printright")


def blobs_of(contributions: Sequence[Contribution]) -> tuple[tuple[int, Digest], ...]:
    """As a record names its contributions."""
    return tuple((each.dealer, each.blob) for each in sorted(contributions, key=lambda each: each.dealer))

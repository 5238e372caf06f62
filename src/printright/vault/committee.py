"""Who keeps the shares of a design's key: custodians in their order, and what their shares must fit."""

from __future__ import annotations

from dataclasses import dataclass

from printright.domain.ids import Address, Digest
from printright.domain.words import EMPTY_32, checksum
from printright.errors import BadValue
from printright.vault.sealing import OVERHEAD, public_key
from printright.vault.sharing import SHARE_SIZE, Commitments

MAX_CUSTODIANS = 64
SEALED_SHARE_SIZE = OVERHEAD + SHARE_SIZE
AS_PUBLISHED = Digest(EMPTY_32)
"""In place of a custody record's digest: the custody that the manifest itself sets up."""


@dataclass(frozen=True)
class Custodian:
    """A member that keeps a share of the key: its account, and the public half of its unsealing key (65 bytes)."""

    address: Address
    public_key: bytes

    def __post_init__(self) -> None:
        public_key(self.public_key)
        if checksum(self.address) != self.address:
            raise BadValue(f"address without its checksum: {self.address}")


@dataclass(frozen=True)
class Committee:
    """Any `threshold` of these custodians can release the key. Custodian `i`, from 0, has the share `i + 1`.

    `epoch` counts the re-sharings since the package was published; `record` is the digest of the custody record that
    set this committee up, AS_PUBLISHED at epoch 0.
    """

    epoch: int
    record: Digest
    custodians: tuple[Custodian, ...]
    commitments: Commitments

    def __post_init__(self) -> None:
        check_committee(self.commitments.threshold, self.custodians)
        if (self.epoch == 0) != (self.record == AS_PUBLISHED) or not 0 <= self.epoch < 1 << 32:
            raise BadValue(f"epoch {self.epoch} with record {self.record.hex()} cannot be")

    @property
    def threshold(self) -> int:
        return self.commitments.threshold

    def index_of(self, custodian: Address) -> int | None:
        """The number of this custodian's share, None for one that has none."""
        return next((i for i, each in enumerate(self.custodians, start=1) if each.address == custodian), None)


@dataclass(frozen=True)
class CustodianShare(Custodian):
    """A custodian and its share, sealed for it."""

    sealed: bytes

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.sealed) != SEALED_SHARE_SIZE:
            raise BadValue(f"a sealed share has {SEALED_SHARE_SIZE} bytes, not {len(self.sealed)}")


@dataclass(frozen=True)
class Custody:
    """The custody that a manifest sets up: its committee, with the share of each custodian sealed for it."""

    commitments: Commitments
    custodians: tuple[CustodianShare, ...]

    def __post_init__(self) -> None:
        check_committee(self.threshold, self.custodians)

    @property
    def threshold(self) -> int:
        return self.commitments.threshold

    @property
    def committee(self) -> Committee:
        return Committee(0, AS_PUBLISHED, self.custodians, self.commitments)


def check_committee(threshold: int, custodians: tuple[Custodian, ...]) -> None:
    """Raises BadValue for a threshold that is none, or a custodian or key that is there twice."""
    if not 1 <= threshold <= len(custodians) <= MAX_CUSTODIANS:
        raise BadValue(f"{threshold} of {len(custodians)} custodians is no threshold")
    if len({custodian.address for custodian in custodians}) != len(custodians):
        raise BadValue("a custodian is listed twice", hint="one share each")
    if len({custodian.public_key for custodian in custodians}) != len(custodians):
        raise BadValue("two custodians have the same unsealing key", hint="one share each, and one key")

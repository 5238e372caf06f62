"""Custody of a design key: sharing it among custodians, and getting it back from their shares."""

from __future__ import annotations

from collections.abc import Sequence

from printright.errors import BadValue, NotMine, PackageRefused, WrongKey
from printright.vault.committee import Committee, Custodian, CustodianShare, Custody
from printright.vault.keys.unsealing_key import UnsealingKey
from printright.vault.manifest import Binding, Manifest
from printright.vault.sealing import seal
from printright.vault.sharing import Share, combine, random_secret, split


def share_new_key(binding: Binding, custodians: Sequence[Custodian], threshold: int) -> tuple[bytes, Custody]:
    """A new design key, and the custody of it: a share for each custodian, sealed. Raises BadValue.

    The secret exists in here only; the shares are all there is of it afterwards.
    """
    secret = random_secret()
    shares, commitments = split(secret, threshold, len(custodians))
    sealed = tuple(
        CustodianShare(
            custodian.address,
            custodian.public_key,
            seal(custodian.public_key, share.to_bytes(), binding.share_info(share.index - 1)),
        )
        for custodian, share in zip(custodians, shares, strict=True)
    )
    return binding.design_key(secret), Custody(commitments, sealed)


def open_share(manifest: Manifest, key: UnsealingKey) -> Share:
    """The share that the manifest holds for `key`.

    Raises NotMine where it holds none, WrongKey where the share was not sealed for this key, package and place.
    """
    for place, custodian in enumerate(manifest.custody.custodians):
        if custodian.public_key == key.public_key:
            share = Share.from_bytes(key.open(custodian.sealed, manifest.binding.share_info(place)))
            if share.index != place + 1:
                raise WrongKey(f"the share at place {place + 1} is another's")
            return share
    raise NotMine("this key is not one of the package's custodians", hint="check which key this node was started with")


def recover_key(manifest: Manifest, shares: Sequence[Share], committee: Committee | None = None) -> bytes:
    """The design key from at least `threshold` shares of the committee (by default the manifest's), checked.

    The first shares are combined; each is looked at only where the key is wrong. More shares than the threshold make
    up for wrong ones. Raises WrongShares, which names those of too few good ones, BadValue for too few or doubled
    shares, PackageRefused for a manifest whose check value is not that of the secret it commits to.
    """
    committee = committee or manifest.custody.committee
    threshold = committee.threshold
    if len(shares) < threshold or len({share.index for share in shares}) != len(shares):
        raise BadValue(
            f"{len(shares)} shares with {len({share.index for share in shares})} numbers, {threshold} are needed",
            hint="ask more custodians",
        )
    design_key = _key_of(manifest, shares, threshold)
    if design_key is not None:
        return design_key
    good = [share for share in shares if committee.commitments.fit(share)]
    if len(good) < len(shares):
        design_key = _key_of(manifest, good, threshold) if len(good) >= threshold else None
        if design_key is not None:
            return design_key
        raise WrongShares(committee, [share.index for share in shares if share not in good])
    raise PackageRefused("the manifest's check value is not that of the key that its shares give")


def _key_of(manifest: Manifest, shares: Sequence[Share], threshold: int) -> bytes | None:
    """The key from the first shares, None where it is another's."""
    try:
        design_key = manifest.binding.design_key(combine(shares, threshold))
    except BadValue:  # they add up to nothing
        return None
    return design_key if manifest.check_key(design_key) else None


class WrongShares(WrongKey):
    """Shares that the committee's commitments do not fit. `indices` are their numbers."""

    def __init__(self, committee: Committee, indices: Sequence[int]) -> None:
        self.indices = tuple(indices)
        named = ", ".join(f"{committee.custodians[i - 1].address} (share {i})" for i in self.indices)
        super().__init__(f"wrong shares: {named}", hint="ask other custodians; these lie or are damaged")

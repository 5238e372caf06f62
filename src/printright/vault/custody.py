"""Custody of a design key: sharing it among custodians, and getting it back from their shares."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, islice

from printright.errors import NotMine, WrongKey
from printright.vault.keys.unsealing_key import UnsealingKey
from printright.vault.manifest import Custodian, CustodianShare, Custody, Manifest
from printright.vault.sealing import seal
from printright.vault.sharing import Share, combine, split

# With honest custodians the first combination is right. The rest is for those who send a wrong share.
_MAX_COMBINATIONS = 1000


def share_key(design_key: bytes, custodians: Sequence[Custodian], threshold: int, infos: Sequence[bytes]) -> Custody:
    """Split the design key and seal a share for each custodian under its `info`. Raises BadValue."""
    shares = split(design_key, threshold, len(custodians))
    return Custody(
        threshold,
        tuple(
            CustodianShare(custodian.address, custodian.public_key, seal(custodian.public_key, share.to_bytes(), info))
            for custodian, share, info in zip(custodians, shares, infos, strict=True)
        ),
    )


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


def recover_key(manifest: Manifest, shares: Sequence[Share]) -> bytes:
    """The design key from at least `threshold` shares, checked against the manifest.

    More shares than the threshold make up for wrong ones. Raises WrongKey where no combination is the key, BadValue
    for too few or doubled shares.
    """
    threshold = manifest.custody.threshold
    if len(shares) < threshold:
        combine(shares, threshold)
    for chosen in islice(combinations(shares, threshold), _MAX_COMBINATIONS):
        design_key = combine(chosen, threshold)
        if manifest.check_key(design_key):
            return design_key
    raise WrongKey(
        f"the custodians' shares do not give the key of this package ({len(shares)} shares, {threshold} needed)",
        hint="one of them sent a wrong share; ask more custodians",
    )

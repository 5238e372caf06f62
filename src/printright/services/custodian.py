"""A custodian: it holds one share of each design's key and releases it to a unit with a final, running job.

The path of a request, in this order: form, signature, clock (all cheap) -> rate -> manifest -> ledger -> `decide` ->
open the share, seal it to the unit's key -> release log on disk -> answer. A custodian keeps no state but its log and
its keys: its share is in the manifest or, after a re-sharing, in the custody record that it is shown. The decision is
`domain.release.decide`; nobody, its operator included, can ask for anything else.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from printright.domain.ids import Address, Digest
from printright.domain.license import Terms
from printright.domain.release import (
    LedgerView,
    PackageClaims,
    Release,
    ReleaseFacts,
    check_request,
    decide,
    share_info,
)
from printright.domain.words import ZERO_ADDRESS, TypedDomain
from printright.errors import (
    CustodianUnavailable,
    LedgerUnavailable,
    NotMine,
    PackageRefused,
    ReleaseRefused,
    WrongKey,
)
from printright.ledger.finality import BftSeal, SingleNode
from printright.ledger.port import Ledger
from printright.ledger.transaction import signer_of
from printright.services.release_log import ReleaseLog
from printright.services.share_request import SealedShare, SignedRequest
from printright.vault.committee import Committee
from printright.vault.custody import open_share
from printright.vault.custody_in_force import ShownCustody
from printright.vault.custody_record import CustodyRecord
from printright.vault.keys import SoftwareUnsealingKey, UnsealingKey
from printright.vault.manifest import Manifest
from printright.vault.resharing import open_reshared
from printright.vault.sealing import seal

log = logging.getLogger(__name__)

_HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
_PACKAGES_KEPT = 256
_UNITS_KEPT = 10_000


class TooManyRequests(CustodianUnavailable):
    """This unit asks more often than the custodian allows. `retry_after_s`: when to ask again."""

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message, hint=f"ask again in {retry_after_s:.0f} s")
        self.retry_after_s = retry_after_s


@dataclass(frozen=True)
class CustodianLimits:
    """What one custodian takes on. Rates are for each unit; a burst is what may come at once."""

    unit_requests_per_s: float = 5.0
    unit_burst: int = 50
    concurrent: int = 64
    ledger_timeout_s: float = 10.0


class Custodian:
    """One custodian on one network, apart from HTTP: `release` takes a request and returns a sealed share or raises."""

    def __init__(
        self,
        *,
        address: Address,
        ledger: Ledger,
        unsealing_key: UnsealingKey,
        releases: ReleaseLog,
        former_keys: Sequence[UnsealingKey] = (),
        limits: CustodianLimits | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.address = address
        self.domain = TypedDomain(ledger.network.chain_id, ledger.network.contract)
        self.releases = releases
        self._ledger, self._clock = ledger, clock
        self._keys = {each.public_key: each for each in (unsealing_key, *former_keys)}
        self._limits = limits or CustodianLimits()
        self._rates = _Rates(self._limits.unit_requests_per_s, self._limits.unit_burst)
        self._busy = 0
        self._packages: OrderedDict[tuple[bytes, bytes], _Package] = OrderedDict()
        # Where the newest block is final by the network's rule, one look at the ledger is enough.
        self._lags = not isinstance(ledger.network.policy, SingleNode | BftSeal)

    async def release(self, signed: SignedRequest) -> SealedShare:
        """Release this custodian's share, sealed to the unit. Raises ReleaseRefused, SpendNotFinal, TooManyRequests,
        PackageRefused for a manifest or custody record that its owner did not sign, LedgerUnavailable,
        LogUnavailable, NotMine for a share sealed to a key that this custodian does not have, and WrongKey for what
        was sealed for something else.
        """
        request, now_s = signed.request, int(self._clock())
        digest = request.digest(self.domain)
        signer = _signer_of(digest, signed.signature)
        check_request(request, signer, self.domain, self.address, now_s)
        self._rates.take(request.unit, time.monotonic())
        if self._busy >= self._limits.concurrent:
            raise TooManyRequests("the custodian is busy", retry_after_s=1)
        self._busy += 1
        try:
            package = self._package(signed.manifest, signed.custody)
            view = await self._look(request.unit, request.terms, profile=bool(package.claims.minimum_firmware))
            release = decide(request, signer, package.claims, view, self.domain, self.address, now_s)
            key = self._key_for(package)
            parts = () if signed.custody is None else signed.custody.sealed
            if isinstance(key, SoftwareUnsealingKey):
                sealed = self._reseal(package, parts, key, release)
            else:  # a token takes its time
                sealed = await asyncio.to_thread(self._reseal, package, parts, key, release)
            entry = await self.releases.record(release, package.index, digest, now_s)
        finally:
            self._busy -= 1
        return SealedShare(package.index, sealed, entry.repeat)

    def _key_for(self, package: _Package) -> UnsealingKey:
        key = self._keys.get(package.committee.custodians[package.index - 1].public_key)
        if key is None:
            raise NotMine(
                "the share is sealed to an unsealing key that this custodian does not have",
                hint="check which keys this node was started with; a former one may be needed",
            )
        return key

    def _reseal(self, package: _Package, parts: tuple[bytes, ...], key: UnsealingKey, release: Release) -> bytes:
        if package.record is not None:
            share = open_reshared(package.record, parts, key)
        else:
            share = open_share(package.manifest, key)
            if not package.checked and not package.committee.commitments.fit(share):
                raise PackageRefused(
                    f"the share that {package.manifest.owner} sealed to this custodian is not the one it committed to",
                    hint="the rights holder publishes the design anew",
                )
            package.checked = True
        if share.index != package.index:
            raise WrongKey(f"the package has this key at place {share.index}, and this account at {package.index}")
        info = share_info(release.job, release.manifest, release.custody, share.index)
        return seal(release.unit_key, share.to_bytes(), info)

    async def _look(self, unit: Address, terms: Terms, *, profile: bool) -> LedgerView:
        try:
            async with asyncio.timeout(self._limits.ledger_timeout_s):
                final_block, found = await self._ledger.call_final("release_facts", unit, terms.abi())
                final = None if found is None else await self._facts(unit, found, final_block, profile=profile)
                if final is not None and not self._lags:
                    return LedgerView(self.domain, final_block, final, final)
                block = await self._ledger.block_number()
                found = await self._ledger.call("release_facts", unit, terms.abi(), block=block)
                newest = await self._facts(unit, found, block, profile=profile)
                return LedgerView(self.domain, final_block, final, newest)
        except TimeoutError:
            raise LedgerUnavailable("the custodian's ledger does not answer in time") from None

    async def _facts(self, unit: Address, found: Any, block: int, *, profile: bool) -> ReleaseFacts:
        digest = (await self._ledger.call("unit", unit, block=block)).profile if profile else None
        return ReleaseFacts(block=block, profile=digest, **found._asdict())

    def _package(self, raw: bytes, shown: ShownCustody | None) -> _Package:
        # Parsing checks the owner's signatures; a manifest is asked for by many jobs.
        key = (raw, b"" if shown is None else shown.record)
        package = self._packages.pop(key, None)
        if package is None:
            package = self._parse(*key)
        self._packages[key] = package
        if len(self._packages) > _PACKAGES_KEPT:
            self._packages.popitem(last=False)
        return package

    def _parse(self, raw: bytes, raw_record: bytes) -> _Package:
        manifest, record, committee = Manifest.from_json(raw), None, None
        if raw_record:
            record = CustodyRecord.from_json(raw_record)
            blob = Digest(hashlib.sha256(raw).digest())
            record.check_for(blob, manifest.owner, manifest.custody.commitments.secret)
            committee = record.committee
        committee = committee or manifest.custody.committee
        index = committee.index_of(self.address)
        if index is None:
            raise ReleaseRefused(f"the package names no share of custodian {self.address}")
        claims = PackageClaims(
            manifest.digest, manifest.owner, manifest.content_id, committee.record, manifest.minimum_firmware
        )
        return _Package(manifest, record, committee, claims, index)


@dataclass
class _Package:
    """A manifest with its signature checked, what it claims, and the number of this custodian's share.

    `record` and `committee` are those of the custody shown. `checked`: the share in the manifest fits its commitments.
    """

    manifest: Manifest
    record: CustodyRecord | None
    committee: Committee
    claims: PackageClaims
    index: int
    checked: bool = False


class _Rates:
    """A token bucket for each unit; those not seen for longest are forgotten."""

    def __init__(self, per_s: float, burst: int) -> None:
        self._per_s, self._burst = per_s, burst
        self._units: OrderedDict[Address, tuple[float, float]] = OrderedDict()

    def take(self, unit: Address, now_s: float) -> None:
        left, then = self._units.pop(unit, (float(self._burst), now_s))
        left = min(float(self._burst), left + (now_s - then) * self._per_s)
        allowed = left >= 1
        self._units[unit] = (left - 1 if allowed else left, now_s)
        if len(self._units) > _UNITS_KEPT:
            self._units.popitem(last=False)
        if not allowed:
            raise TooManyRequests(f"unit {unit} asks too often", retry_after_s=(1 - left) / self._per_s)


def _signer_of(digest: bytes, signature: bytes) -> Address:
    """The account that signed, or the zero address for what is nobody's signature.

    The larger twin of a signature (EIP-2) counts as none.
    """
    if len(signature) != 65 or signature[64] not in (27, 28) or int.from_bytes(signature[32:64], "big") > _HALF_ORDER:
        return ZERO_ADDRESS
    try:
        return Address(signer_of(digest, signature))
    except WrongKey:
        return ZERO_ADDRESS

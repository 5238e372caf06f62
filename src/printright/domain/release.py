"""May this custodian release its key share to this unit for this job? The one decision, as a pure function.

A custodian has no override, no operator and no force flag: the share leaves when `decide` returns, never otherwise.
What it reads (the ledger's final state, the package's signed claims, the clock) is passed in, so that a property test
can hammer every combination.
"""

from __future__ import annotations

from dataclasses import dataclass

from printright.domain.firmware import ANY_FIRMWARE, MinimumFirmware
from printright.domain.ids import Address, ContentId, Digest, JobId, LicenseId, bytes32
from printright.domain.license import Terms
from printright.domain.member import Role, UnitProfile
from printright.domain.words import EMPTY_32, ZERO_ADDRESS, TypedDomain, address_bytes, keccak
from printright.errors import BadValue, CouldNotCheck, ReleaseRefused

REQUEST_TYPE = (
    "ShareRequest(address custodian,address unit,bytes32 job,bytes32 manifest,bytes32 custody,bytes32 keyDigest,"
    "bytes32 nonce,uint256 expiry)"
)
MAX_WINDOW_S = 600
"""How far ahead a request's expiry may lie, seconds: what a unit's clock may differ from a custodian's."""

UNIT_KEY_BYTES = 65


class SpendNotFinal(CouldNotCheck):
    """No final block shows the spend yet, and nothing newer forbids the release: ask again later."""


@dataclass(frozen=True)
class ShareRequest:
    """A unit's signed request for one custodian's share (EIP-712, one deployment, one custodian, one job).

    `unit_key` is the unit's public unsealing key, an uncompressed P-256 point. `job` already binds chain, contract,
    license (hence the terms), unit and `sequence`. `custody` is the digest of the custody record whose share is asked
    for, zero for the custody that the manifest sets up. Asked again after a lost answer, it is a new request with its
    own `nonce` and `expires_at_s`. `profile` is shown where the package asks for it, and needs no signature: the ledger
    has its digest.
    """

    custodian: Address
    unit: Address
    unit_key: bytes
    job: JobId
    sequence: int
    terms: Terms
    manifest: Digest
    custody: Digest
    nonce: bytes
    expires_at_s: int
    profile: UnitProfile | None = None

    def __post_init__(self) -> None:
        for name in ("job", "manifest", "custody", "nonce"):
            bytes32(getattr(self, name), name)
        for name in ("custodian", "unit"):
            address_bytes(getattr(self, name))
        if len(self.unit_key) != UNIT_KEY_BYTES or self.unit_key[0] != 4:
            raise BadValue("the unit's key is not an uncompressed P-256 point of 65 bytes")
        if not 0 < self.sequence < 1 << 24:
            raise BadValue("a job's sequence number is 1 to 2**24 - 1")
        if not 0 < self.expires_at_s < 1 << 64:
            raise BadValue("the request's expiry is not a unix time in seconds")

    def digest(self, domain: TypedDomain) -> bytes:
        """What the unit's ledger key signs, 32 bytes."""
        return domain.digest(
            REQUEST_TYPE,
            self.custodian,
            self.unit,
            self.job,
            self.manifest,
            self.custody,
            keccak(self.unit_key),
            self.nonce,
            self.expires_at_s,
        )


@dataclass(frozen=True)
class PackageClaims:
    """What a manifest says, after its signature by `owner` was verified: its digest, its owner, its content id, and
    the firmware that it asks for.

    `custody` is the digest of the custody record that was shown with it, and is of this manifest; zero without one.
    """

    manifest: Digest
    owner: Address
    content: ContentId
    custody: Digest
    minimum_firmware: MinimumFirmware = ANY_FIRMWARE


@dataclass(frozen=True)
class ReleaseFacts:
    """The contract's view `release_facts(unit, terms)`, read at `block`; the names are those of the contract.

    `profile` is the digest in `unit(unit)` of the same block, where the package asks for a firmware.
    """

    block: int
    operator: Address
    operator_roles: int
    active: bool
    attested: bool
    halted: bool
    key_digest: bytes
    owner: Address
    withdrawn: bool
    custody: bytes
    license: LicenseId
    job: JobId
    sequence: int
    quantity: int
    deadline: int
    running: bool
    profile: bytes | None = None


@dataclass(frozen=True)
class LedgerView:
    """What a custodian's own ledger client shows of one deployment.

    `final_block` is the newest block that the network's finality policy calls final, -1 where none is. `final` are the
    facts of a final block, None where there is none; `newest` those of the newest block, which may be the same.
    """

    domain: TypedDomain
    final_block: int
    final: ReleaseFacts | None
    newest: ReleaseFacts


@dataclass(frozen=True)
class Release:
    """A yes: the share may leave, sealed to `unit_key` and to nothing else."""

    custodian: Address
    unit: Address
    unit_key: bytes
    job: JobId
    license: LicenseId
    content: ContentId
    manifest: Digest
    custody: Digest
    quantity: int
    block: int


def check_request(request: ShareRequest, signer: Address, domain: TypedDomain, custodian: Address, now_s: int) -> None:
    """Steps 1 to 3 of `decide`, which need no ledger: so that nonsense costs no ledger call. Raises ReleaseRefused."""
    # 1
    if request.custodian != custodian or custodian == ZERO_ADDRESS:
        raise ReleaseRefused(f"the request is for custodian {request.custodian}, this is {custodian}")
    # 2
    if now_s > request.expires_at_s:
        raise ReleaseRefused("the request has expired", hint="ask again; is the unit's clock right?")
    if request.expires_at_s - now_s > MAX_WINDOW_S:
        raise ReleaseRefused(
            f"the request expires more than {MAX_WINDOW_S} s from now", hint="is the unit's clock right?"
        )
    # 3
    if signer == ZERO_ADDRESS or signer != request.unit:
        raise ReleaseRefused(
            f"the request is not signed by unit {request.unit}",
            hint=f"the signature is for chain {domain.chain_id}, contract {domain.contract}, this custodian and job",
        )


def decide(
    request: ShareRequest,
    signer: Address,
    package: PackageClaims,
    view: LedgerView,
    domain: TypedDomain,
    custodian: Address,
    now_s: int,
) -> Release:
    """Release the share of `custodian`, or raise ReleaseRefused with the first reason found.

     1. The request is for this custodian.
     2. It is fresh: not expired, and its expiry not further ahead than MAX_WINDOW_S.
     3. It is signed by the unit, for this chain and contract. `signer` is recovered from the signature over
        `request.digest(domain)`.
     4. Manifest and custody record shown are the ones requested, and of the content that the terms are for.
     5. What the ledger shows is of this chain and contract.
     6. The unit is enrolled, attested where the terms ask for it, and not halted. Where the package asks for a minimum
        firmware, the unit's attested profile has it (see `MinimumFirmware.fault`).
     7. The key shown is the unit's registered unsealing key.
     8. The unit's operator is a maker: suspension counts at once.
     9. The design is published by the owner who signed the manifest, and is not withdrawn.
    10. The job is the unit's running job under this license, with this id and sequence number. A job that the ledger
        does not know yet raises SpendNotFinal.
    11. Its deadline is not over: after it the licensor may close the job and credit its copies.
    12. The custody requested is the one in force: shares of a former committee are no longer released. Whose node is
        behind cannot be told, so that this raises SpendNotFinal as well.
    13. 6 to 12 hold in a final block too. Else SpendNotFinal is raised: the same request may be good later.

    6 to 12 are asked of the newest block first, so that a unit retired or halted a minute ago gets nothing while that
    is on its way to being final.

    What the contract checked when it took the copies (expiry, pause, revocation, allowed units) is not asked again:
    the copies are spent, and what runs may finish.
    """
    # 1, 2, 3
    check_request(request, signer, domain, custodian, now_s)
    # 4
    if package.manifest != request.manifest:
        raise ReleaseRefused("the manifest shown is not the one that the request is for")
    if package.content != request.terms.content:
        raise ReleaseRefused("the license is for another design than this package")
    if package.custody != request.custody:
        raise ReleaseRefused("the custody record shown is not the one that the request is for")
    # 5
    if view.domain != domain:
        raise ReleaseRefused("the ledger's facts are of another chain or contract")
    # 6 to 12, newest
    _check_facts(request, package, view.newest, now_s)
    # 13
    final = view.final
    if final is None or not 0 <= final.block <= view.final_block or view.newest.block < final.block:
        raise SpendNotFinal("no final block shows the job yet", hint="ask again when more blocks are made")
    try:
        _check_facts(request, package, final, now_s)
    except (ReleaseRefused, SpendNotFinal) as reason:
        raise SpendNotFinal(
            f"not final yet: in block {final.block} {reason.message}", hint="ask again when more blocks are made"
        ) from None
    return Release(
        custodian=custodian,
        unit=request.unit,
        unit_key=request.unit_key,
        job=final.job,
        license=final.license,
        content=package.content,
        manifest=package.manifest,
        custody=package.custody,
        quantity=final.quantity,
        block=final.block,
    )


def _check_facts(request: ShareRequest, package: PackageClaims, facts: ReleaseFacts, now_s: int) -> None:
    # 6
    if facts.active is not True:
        raise ReleaseRefused(f"unit {request.unit} is not enrolled", hint="its operator enrolls it")
    if request.terms.limits.attested_only and facts.attested is not True:
        raise ReleaseRefused(f"unit {request.unit} is not attested by its builder, as the license asks")
    if facts.halted is not False:
        raise ReleaseRefused(
            f"unit {request.unit} is halted", hint="its operator clears it, after a look at the machine"
        )
    fault = package.minimum_firmware.fault(attested=facts.attested, registered=facts.profile, profile=request.profile)
    if fault:
        raise ReleaseRefused(fault, hint="the unit's operator enrolls it anew after an update, with its builder's word")
    # 7
    if facts.key_digest != keccak(request.unit_key):
        raise ReleaseRefused(f"the key shown is not the registered unsealing key of unit {request.unit}")
    # 8
    if facts.operator == ZERO_ADDRESS or not facts.operator_roles & Role.MAKER:
        raise ReleaseRefused(f"operator {facts.operator} of the unit is not a maker of this network")
    # 9
    if facts.owner == ZERO_ADDRESS:
        raise ReleaseRefused("the design is not published")
    if facts.owner != package.owner:
        raise ReleaseRefused(f"the manifest is signed by {package.owner}, the design is owned by {facts.owner}")
    if facts.withdrawn is not False:
        raise ReleaseRefused("the design is withdrawn")
    # 10
    if facts.sequence < request.sequence:
        # The custodian's node may be a block behind the unit's, or a reorganisation took the spend away.
        raise SpendNotFinal(
            f"the ledger does not show job {request.sequence} of unit {request.unit}",
            hint="start the job first, or ask again when its block has spread",
        )
    if facts.running is not True or facts.quantity <= 0:
        raise ReleaseRefused("the unit runs no job under this license", hint="start the job first")
    if facts.sequence != request.sequence or facts.job != request.job:
        raise ReleaseRefused("the unit's running job is another one than the request is for")
    # 11
    if now_s > facts.deadline:
        raise ReleaseRefused("the job's deadline is over", hint="start a new job; the licensor can credit this one")
    # 12
    if facts.custody != request.custody:
        raise SpendNotFinal(
            f"the ledger shows {_custody(facts.custody)} in force, the request is for {_custody(request.custody)}",
            hint="read the custody in force from the ledger again",
        )


def share_info(job: JobId, manifest: Digest, custody: Digest, index: int) -> bytes:
    """HPKE `info` of a released share: it opens for this job, this manifest, custody and share number only."""
    return b"printright/2 released share\0" + job + manifest + custody + index.to_bytes(2, "big")


def _custody(record: bytes) -> str:
    return "the manifest's own custody" if record == EMPTY_32 else f"custody record {record.hex()[:16]}"

# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title licenses
@license Apache-2.0
@notice The right of a licensee to make N copies of a design, spent job by job.
@dev A license is the hash of its salted terms under its licensor:

         terms   = keccak(TERMS_TYPEHASH, licensee, content, limits, units, document)
         license = keccak(licensor, terms)

     The ledger keeps one slot of counters for it and no terms in clear before use. Whoever uses it shows the
     terms; the licensor is the design's owner and the licensee is the operator of the unit that asks.

      limits    expiry (unix seconds) << 128 | flags << 64 | job time (seconds)
     units     empty for any unit of the licensee, else the root of a Merkle tree over keccak(unit), sorted pairs
     document  salted digest of the license document, which is kept off the ledger (price, place, material ...)

     After every call and for every license, with used = spent - spoiled - lost:

         issued = available + used + lost + revoked

     where `used` are the good copies, those of running jobs and those of jobs given up and not yet closed. What
     became of each is in the events, so that a job without failures need not write the license at its end. A credited
     copy leaves `spent` again: `credited` only counts how many ever were, so that no counter outgrows its 32 bits.
"""

import registry
import designs

uses: registry
uses: designs

event LicenseGranted:
    license: indexed(bytes32)
    licensor: indexed(address)
    copies: uint256
    allowance: uint256

event LicenseRevoked:
    license: indexed(bytes32)
    copies: uint256

event LicensePaused:
    license: indexed(bytes32)

event LicenseResumed:
    license: indexed(bytes32)

event LicenseAssigned:
    license: indexed(bytes32)
    to_license: indexed(bytes32)
    copies: uint256
    allowance: uint256

event CopiesCredited:
    license: indexed(bytes32)
    copies: uint256

# `running` is the unit's job slot, laid out below; the job's id follows from license, unit and sequence number.
event JobStarted:
    unit: indexed(address)
    license: indexed(bytes32)
    running: uint256

event JobFinished:
    job: indexed(bytes32)
    good: uint256
    failed: uint256
    evidence: bytes32
    parts: bytes32

event JobGivenUp:
    unit: indexed(address)
    running: uint256

event JobClosed:
    job: indexed(bytes32)
    license: indexed(bytes32)
    credited: uint256
    lost: uint256


struct Terms:
    content: bytes32
    limits: uint256
    units: bytes32
    document: bytes32


struct Grant:
    terms: bytes32
    copies: uint256
    allowance: uint256


struct Counters:
    issued: uint256
    available: uint256
    used: uint256
    lost: uint256
    revoked: uint256
    spoiled: uint256
    credited: uint256
    allowance: uint256
    paused: bool
    ended: bool


struct Job:
    sequence: uint256
    quantity: uint256
    deadline: uint256
    running: bool
    license: uint256


struct ReleaseFacts:
    operator: address
    operator_roles: uint256
    active: bool
    attested: bool
    halted: bool
    key_digest: bytes32
    owner: address
    withdrawn: bool
    custody: bytes32
    license: bytes32
    job: bytes32
    sequence: uint256
    quantity: uint256
    deadline: uint256
    running: bool


ADDRESS_MASK: constant(uint256) = (1 << 160) - 1

# Flags of `limits`.
ASSIGNABLE: constant(uint256) = 1 << 64
ATTESTED_ONLY: constant(uint256) = 1 << 65
EXPIRY_SHIFT: constant(uint256) = 128

# A license's slot: seven numbers of 32 bits, then its flags.
MASK32: constant(uint256) = (1 << 32) - 1
ISSUED: constant(uint256) = 0
SPENT: constant(uint256) = 32
SPOILED: constant(uint256) = 64
CREDITED: constant(uint256) = 96
LOST: constant(uint256) = 128
REVOKED: constant(uint256) = 160
ALLOWANCE: constant(uint256) = 192
EXISTS: constant(uint256) = 1 << 224
PAUSED: constant(uint256) = 1 << 225
ENDED: constant(uint256) = 1 << 226

# A unit's job slot: sequence number in 24 bits, quantity in 31, whether it runs, deadline in 40, and the low 160
# bits of the license.
QUANTITY: constant(uint256) = 24
RUNNING: constant(uint256) = 1 << 55
DEADLINE: constant(uint256) = registry.JOB_DEADLINE
LICENSE: constant(uint256) = 96
SEQUENCE_MASK: constant(uint256) = (1 << 24) - 1
QUANTITY_MASK: constant(uint256) = (1 << 31) - 1
DEADLINE_MASK: constant(uint256) = (1 << 40) - 1
LICENSE_MASK: constant(uint256) = (1 << 160) - 1

# spent <= issued + spoiled <= copies + allowance < 2**32: no counter can run into its neighbor.
MAX_COPIES: constant(uint256) = (1 << 31) - 1
MAX_BATCH: constant(uint256) = 100
MAX_PROOF: constant(uint256) = 16

TERMS_TYPEHASH: constant(bytes32) = keccak256(
    "Terms(address licensee,bytes32 content,uint256 limits,bytes32 units,bytes32 document)"
)

_counters: HashMap[bytes32, uint256]
# Jobs that a unit left unfinished by starting the next: their job slot as it was.
_given_up: HashMap[address, HashMap[uint256, uint256]]
# Finished jobs: keccak(parts root, good copies).
_outcome: HashMap[bytes32, bytes32]


@external
def grant(terms: bytes32, copies: uint256, allowance: uint256):
    """
    @notice Grant a license under the caller's own name.
    @param terms The hash of the terms, see the title.
    @param copies How many parts may be made.
    @param allowance How many failed copies return to the license by themselves.
    """
    assert registry._roles[msg.sender] & registry.RIGHTS_HOLDER != 0, "licenses: not a rights holder"
    self._grant(msg.sender, terms, copies, allowance)


@external
def grant_many(grants: DynArray[Grant, MAX_BATCH]):
    """
    @notice Grant many licenses in one transaction: all of them, or none.
    """
    assert registry._roles[msg.sender] & registry.RIGHTS_HOLDER != 0, "licenses: not a rights holder"
    for each: Grant in grants:
        self._grant(msg.sender, each.terms, each.copies, each.allowance)


@external
def revoke(terms: DynArray[bytes32, MAX_BATCH]):
    """
    @notice Revoke the unused rest of licenses that the caller granted. What runs may finish.
    """
    for each: bytes32 in terms:
        license: bytes32 = self._license_of(msg.sender, each)
        slot: uint256 = self._existing(license)
        assert slot & ENDED == 0, "licenses: revoked"
        rest: uint256 = self._available(slot)
        self._counters[license] = (slot + (rest << REVOKED)) | ENDED
        log LicenseRevoked(license=license, copies=rest)


@external
def pause(terms: DynArray[bytes32, MAX_BATCH]):
    """
    @notice Pause licenses that the caller granted: no job starts until they are resumed.
    """
    for each: bytes32 in terms:
        license: bytes32 = self._license_of(msg.sender, each)
        slot: uint256 = self._existing(license)
        assert slot & PAUSED == 0, "licenses: paused"
        self._counters[license] = slot | PAUSED
        log LicensePaused(license=license)


@external
def resume(terms: DynArray[bytes32, MAX_BATCH]):
    """
    @notice Resume paused licenses that the caller granted.
    """
    for each: bytes32 in terms:
        license: bytes32 = self._license_of(msg.sender, each)
        slot: uint256 = self._existing(license)
        assert slot & PAUSED != 0, "licenses: not paused"
        self._counters[license] = slot & ~PAUSED
        log LicenseResumed(license=license)


@external
def assign(
    terms: Terms, licensee: address, units: bytes32, document: bytes32, copies: uint256, allowance: uint256
):
    """
    @notice Give unused copies to another licensee, where the terms allow it. The caller is the licensee.
    @dev Design, expiry, job time and flags stay.
    @param licensee Who receives the copies, a maker.
    @param units The new licensee's units, see the title.
    @param document Salted digest of the new license document.
    @param allowance How much of the unused spoilage allowance goes along.
    """
    # A suspended member cannot hand its copies to an accomplice.
    assert registry._roles[msg.sender] & registry.MAKER != 0, "registry: not a maker"
    licensor: address = designs._owner(terms.content)
    license: bytes32 = self._license_of(licensor, self._terms_hash(msg.sender, terms))
    slot: uint256 = self._existing(license)
    assert terms.limits & ASSIGNABLE != 0, "licenses: not assignable"
    self._assert_open(slot, terms.limits)
    assert copies != 0 and copies <= self._available(slot), "licenses: no copies left"
    spare: uint256 = ((slot >> ALLOWANCE) & MASK32) - ((slot >> SPOILED) & MASK32)
    assert allowance <= spare, "licenses: allowance exceeds the rest"
    assert registry._roles[licensee] & registry.MAKER != 0, "licenses: licensee is not a maker"
    self._counters[license] = slot - (copies << ISSUED) - (allowance << ALLOWANCE)
    given: Terms = Terms(content=terms.content, limits=terms.limits, units=units, document=document)
    terms_hash: bytes32 = self._terms_hash(licensee, given)
    self._grant(licensor, terms_hash, copies, allowance)
    log LicenseAssigned(
        license=license,
        to_license=self._license_of(licensor, terms_hash),
        copies=copies,
        allowance=allowance,
    )


@external
def credit(terms: bytes32, copies: uint256):
    """
    @notice Give lost copies back to a license that the caller granted.
    """
    license: bytes32 = self._license_of(msg.sender, terms)
    slot: uint256 = self._existing(license)
    assert slot & ENDED == 0, "licenses: revoked"
    assert copies != 0 and copies <= (slot >> LOST) & MASK32, "licenses: not so many lost"
    self._counters[license] = self._credit(slot - (copies << LOST), copies)
    log CopiesCredited(license=license, copies=copies)


@external
def start_job(terms: Terms, quantity: uint256, sequence: uint256, proof: DynArray[bytes32, MAX_PROOF]):
    """
    @notice Spend copies for one job of the calling unit.
    @dev 1. the unit is enrolled, not halted, and attested where the license asks for it  2. the design is not
         withdrawn  3. the license was granted to the unit's operator with these terms, and is neither expired, revoked nor
         paused  4. the license allows this unit  5. copies are left, and make whole runs  6. it is the unit's next job.
         A job that the unit left unfinished is given up by starting the next. The operator's own membership is not
         read here, for its price: suspending a member retires its units, and custodians check it (`release_facts`).
    @param quantity How many copies; a multiple of the design's parts per run.
    @param sequence The unit's next sequence number: one start counts once, whoever sends it again.
    @param proof Shows the unit in the tree of `terms.units`; empty where any unit may, or only one.
    """
    # 1
    unit: uint256 = registry._unit[msg.sender]
    assert unit & registry.ACTIVE != 0, "jobs: unit not enrolled"
    assert unit & registry.HALTED == 0, "registry: halted"
    assert (
        terms.limits & ATTESTED_ONLY == 0 or unit & registry.ATTESTED != 0
    ), "jobs: unit not attested"
    # 2
    design: uint256 = designs._design[terms.content]
    assert design & designs.WITHDRAWN == 0, "jobs: design withdrawn"
    # 3
    operator: address = convert(unit & ADDRESS_MASK, address)
    license: bytes32 = self._license_of(
        convert(design & ADDRESS_MASK, address), self._terms_hash(operator, terms)
    )
    slot: uint256 = self._counters[license]
    assert slot != 0, "licenses: not granted to this operator"
    self._assert_open(slot, terms.limits)
    # 4
    if terms.units != empty(bytes32):
        node: bytes32 = keccak256(convert(msg.sender, bytes32))
        for other: bytes32 in proof:
            if convert(node, uint256) < convert(other, uint256):
                node = keccak256(concat(node, other))
            else:
                node = keccak256(concat(other, node))
        assert node == terms.units, "licenses: not for this unit"
    # 5
    assert quantity != 0, "jobs: no quantity"
    assert quantity <= self._available(slot), "licenses: no copies left"
    assert quantity % ((design >> designs.PARTS_SHIFT) & designs.PARTS_MASK) == 0, "jobs: not whole runs"
    # 6
    former: uint256 = registry._job[msg.sender]
    assert sequence == (former & SEQUENCE_MASK) + 1, "jobs: wrong sequence number"
    # One more would run into the quantity, and job ids would come again.
    assert sequence <= SEQUENCE_MASK, "jobs: sequence exhausted"
    if former & RUNNING != 0:
        self._given_up[msg.sender][former & SEQUENCE_MASK] = former
        log JobGivenUp(unit=msg.sender, running=former)
    self._counters[license] = slot + (quantity << SPENT)
    running: uint256 = (
        sequence
        | (quantity << QUANTITY)
        | RUNNING
        | ((block.timestamp + (terms.limits & MASK32)) << DEADLINE)
        | ((convert(license, uint256) & LICENSE_MASK) << LICENSE)
    )
    registry._job[msg.sender] = running
    log JobStarted(unit=msg.sender, license=license, running=running)


@external
def finish_job(license: bytes32, good: uint256, failed: uint256, evidence: bytes32, parts: bytes32):
    """
    @notice Report the outcome of the calling unit's running job, once.
    @dev Failed copies return to the license within its spoilage allowance; those beyond it are lost, and only the
         licensor can credit them. A late report counts as long as the licensor has not closed the job.
    @param good Good copies: the parts of this job, numbered from 0.
    @param failed Failed copies; good and failed together are the job's quantity.
    @param evidence Digest of the job's record, which holds the serials sealed for licensor and licensee.
    @param parts Merkle root of the parts, see module parts; empty without good copies.
    """
    running: uint256 = registry._job[msg.sender]
    assert running & RUNNING != 0, "jobs: not running"
    # The job slot holds 160 bits of the license; only a granted one can have them, not an id made up to end in them.
    slot: uint256 = self._counters[license]
    assert (
        slot != 0 and running >> LICENSE == convert(license, uint256) & LICENSE_MASK
    ), "jobs: other license"
    assert good <= QUANTITY_MASK and failed <= QUANTITY_MASK, "jobs: outcome does not add up"
    assert good + failed == (running >> QUANTITY) & QUANTITY_MASK, "jobs: outcome does not add up"
    assert (good == 0) == (parts == empty(bytes32)), "jobs: parts do not fit"
    registry._job[msg.sender] = running ^ RUNNING
    if failed != 0:
        returned: uint256 = min(failed, ((slot >> ALLOWANCE) & MASK32) - ((slot >> SPOILED) & MASK32))
        slot += (returned << SPOILED) + ((failed - returned) << LOST)
        if slot & ENDED != 0:
            slot += returned << REVOKED
        self._counters[license] = slot
    job: bytes32 = self._job_of(license, msg.sender, running & SEQUENCE_MASK)
    self._outcome[job] = self._outcome_of(parts, good)
    log JobFinished(job=job, good=good, failed=failed, evidence=evidence, parts=parts)


@external
def close_job(terms: bytes32, unit: address, sequence: uint256, credited: uint256):
    """
    @notice End a job that was given up, or not finished by its deadline: credit some copies, the others are lost.
    @dev The caller is the licensor. On a revoked license nothing can be credited.
    @param sequence The unit's sequence number of that job.
    @param credited How many of the job's copies return to the license.
    """
    license: bytes32 = self._license_of(msg.sender, terms)
    slot: uint256 = self._existing(license)
    running: uint256 = registry._job[unit]
    if sequence == running & SEQUENCE_MASK:
        assert running & RUNNING != 0, "jobs: not running"
        assert block.timestamp > (running >> DEADLINE) & DEADLINE_MASK, "jobs: deadline not over"
        registry._job[unit] = running ^ RUNNING
    else:
        running = self._given_up[unit][sequence]
        assert running != 0, "jobs: not given up"
        self._given_up[unit][sequence] = 0
    assert running >> LICENSE == convert(license, uint256) & LICENSE_MASK, "jobs: other license"
    quantity: uint256 = (running >> QUANTITY) & QUANTITY_MASK
    assert credited <= quantity, "jobs: more credited than spent"
    assert credited == 0 or slot & ENDED == 0, "licenses: revoked"
    self._counters[license] = self._credit(slot, credited) + ((quantity - credited) << LOST)
    log JobClosed(
        job=self._job_of(license, unit, sequence),
        license=license,
        credited=credited,
        lost=quantity - credited,
    )


@view
@external
def check(
    licensee: address, terms: Terms, manifest: bytes32, salt: bytes32, file_sha256: bytes32
) -> bool:
    """
    @return Whether a license with these terms exists and this file is the one it is for.
    """
    owner: address = designs._owner(terms.content)
    license: bytes32 = self._license_of(owner, self._terms_hash(licensee, terms))
    return (
        self._counters[license] != 0
        and designs._content_of(owner, manifest, salt, file_sha256) == terms.content
    )


@view
@external
def available(unit: address, terms: Terms) -> uint256:
    """
    @return How many copies this unit could start now, leaving out `terms.units`; 0 where `start_job` refuses.
    """
    state: uint256 = registry._unit[unit]
    operator: address = convert(state & ADDRESS_MASK, address)
    design: uint256 = designs._design[terms.content]
    slot: uint256 = self._counters[
        self._license_of(convert(design & ADDRESS_MASK, address), self._terms_hash(operator, terms))
    ]
    if (
        state & (registry.ACTIVE | registry.HALTED) != registry.ACTIVE
        or (terms.limits & ATTESTED_ONLY != 0 and state & registry.ATTESTED == 0)
        or registry._roles[operator] & registry.MAKER == 0
        or design & designs.WITHDRAWN != 0
        or slot & (EXISTS | PAUSED | ENDED) != EXISTS
        or block.timestamp > terms.limits >> EXPIRY_SHIFT
    ):
        return 0
    return self._available(slot)


@view
@external
def counters(license: bytes32) -> Counters:
    """
    @return The license's counters; zeros for one never granted.
    """
    slot: uint256 = self._counters[license]
    return Counters(
        issued=(slot >> ISSUED) & MASK32,
        available=self._available(slot),
        used=self._used(slot),
        lost=(slot >> LOST) & MASK32,
        revoked=(slot >> REVOKED) & MASK32,
        spoiled=(slot >> SPOILED) & MASK32,
        credited=(slot >> CREDITED) & MASK32,
        allowance=(slot >> ALLOWANCE) & MASK32,
        paused=slot & PAUSED != 0,
        ended=slot & ENDED != 0,
    )


@view
@external
def job(unit: address) -> Job:
    """
    @return The unit's current or last job, with the low 160 bits of its license.
    """
    return self._unpack_job(registry._job[unit])


@view
@external
def given_up(unit: address, sequence: uint256) -> Job:
    """
    @return A job that the unit gave up and the licensor has not closed; zeros otherwise.
    """
    return self._unpack_job(self._given_up[unit][sequence])


@view
@external
def outcome(job: bytes32) -> bytes32:
    """
    @return keccak(parts root, good copies) of a finished job; empty otherwise.
    """
    return self._outcome[job]


@view
@external
def release_facts(unit: address, terms: Terms) -> ReleaseFacts:
    """
    @return All that a custodian must know before it releases a share for this unit's current job, in one call.
    """
    state: uint256 = registry._unit[unit]
    operator: address = convert(state & ADDRESS_MASK, address)
    design: uint256 = designs._design[terms.content]
    owner: address = convert(design & ADDRESS_MASK, address)
    license: bytes32 = self._license_of(owner, self._terms_hash(operator, terms))
    running: uint256 = registry._job[unit]
    return ReleaseFacts(
        operator=operator,
        operator_roles=registry._roles[operator],
        active=state & registry.ACTIVE != 0,
        attested=state & registry.ATTESTED != 0,
        halted=state & registry.HALTED != 0,
        key_digest=registry._key_digest[unit],
        owner=owner,
        withdrawn=design & designs.WITHDRAWN != 0,
        custody=designs._custody[terms.content],
        license=license,
        job=self._job_of(license, unit, running & SEQUENCE_MASK),
        sequence=running & SEQUENCE_MASK,
        quantity=(running >> QUANTITY) & QUANTITY_MASK,
        deadline=(running >> DEADLINE) & DEADLINE_MASK,
        running=(
            running & RUNNING != 0
            and running >> LICENSE == convert(license, uint256) & LICENSE_MASK
            and self._counters[license] != 0
        ),
    )


@pure
@external
def license_of(licensor: address, terms: bytes32) -> bytes32:
    """
    @return The id of the license that `licensor` grants with these terms.
    """
    return self._license_of(licensor, terms)


@pure
@external
def terms_hash(licensee: address, terms: Terms) -> bytes32:
    """
    @return The hash of the terms, which `grant` takes.
    """
    return self._terms_hash(licensee, terms)


@internal
def _grant(licensor: address, terms: bytes32, copies: uint256, allowance: uint256):
    assert copies != 0 and copies <= MAX_COPIES, "licenses: copies out of range"
    assert allowance <= MAX_COPIES, "licenses: allowance out of range"
    license: bytes32 = self._license_of(licensor, terms)
    assert self._counters[license] == 0, "licenses: already granted"
    self._counters[license] = (copies << ISSUED) | (allowance << ALLOWANCE) | EXISTS
    log LicenseGranted(license=license, licensor=licensor, copies=copies, allowance=allowance)


@view
@internal
def _assert_open(slot: uint256, limits: uint256):
    assert block.timestamp <= limits >> EXPIRY_SHIFT, "licenses: expired"
    assert slot & ENDED == 0, "licenses: revoked"
    assert slot & PAUSED == 0, "licenses: paused"


@view
@internal
def _existing(license: bytes32) -> uint256:
    slot: uint256 = self._counters[license]
    assert slot != 0, "licenses: unknown"
    return slot


@pure
@internal
def _credit(slot: uint256, copies: uint256) -> uint256:
    assert ((slot >> CREDITED) & MASK32) + copies <= MASK32, "licenses: credited too often"
    return slot - (copies << SPENT) + (copies << CREDITED)


@pure
@internal
def _used(slot: uint256) -> uint256:
    return (
        ((slot >> SPENT) & MASK32)
        - ((slot >> SPOILED) & MASK32)
        - ((slot >> LOST) & MASK32)
    )


@pure
@internal
def _available(slot: uint256) -> uint256:
    return (
        ((slot >> ISSUED) & MASK32)
        + ((slot >> SPOILED) & MASK32)
        - ((slot >> SPENT) & MASK32)
        - ((slot >> REVOKED) & MASK32)
    )


@pure
@internal
def _terms_hash(licensee: address, terms: Terms) -> bytes32:
    return keccak256(
        abi_encode(TERMS_TYPEHASH, licensee, terms.content, terms.limits, terms.units, terms.document)
    )


@pure
@internal
def _license_of(licensor: address, terms: bytes32) -> bytes32:
    return keccak256(abi_encode(licensor, terms))


@view
@internal
def _job_of(license: bytes32, unit: address, sequence: uint256) -> bytes32:
    return keccak256(abi_encode(chain.id, self, license, unit, sequence))


@pure
@internal
def _outcome_of(parts: bytes32, good: uint256) -> bytes32:
    return keccak256(abi_encode(parts, good))


@pure
@internal
def _unpack_job(slot: uint256) -> Job:
    return Job(
        sequence=slot & SEQUENCE_MASK,
        quantity=(slot >> QUANTITY) & QUANTITY_MASK,
        deadline=(slot >> DEADLINE) & DEADLINE_MASK,
        running=slot & RUNNING != 0,
        license=slot >> LICENSE,
    )

# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title registry
@license Apache-2.0
@notice Members with their roles, and the units they operate.
@dev A unit is enrolled by its operator with the consent of the unit itself (its signature proves that the
     key exists) and, where there is one, a statement of its builder. Signatures are EIP-712; each carries
     the unit's enrolment number and a deadline, so that it works at most once, for one chain and contract.
"""

event RegistrarProposed:
    registrar: indexed(address)

event RegistrarChanged:
    registrar: indexed(address)

event MemberAdmitted:
    member: indexed(address)
    roles: uint256
    key: Bytes[133]
    profile: bytes32

event MemberSuspended:
    member: indexed(address)

event UnitEnrolled:
    unit: indexed(address)
    operator: indexed(address)
    builder: indexed(address)
    profile: bytes32
    key: Bytes[133]
    enrolment: uint256

event UnitRetired:
    unit: indexed(address)
    by: indexed(address)

event UnitHalted:
    unit: indexed(address)
    by: indexed(address)

event UnitCleared:
    unit: indexed(address)


struct Unit:
    operator: address
    builder: address
    active: bool
    attested: bool
    halted: bool
    enrolment: uint256
    profile: bytes32
    key_digest: bytes32


# Roles are bits; a member may have several.
RIGHTS_HOLDER: public(constant(uint256)) = 1
MAKER: public(constant(uint256)) = 2
BUILDER: public(constant(uint256)) = 4
CUSTODIAN: public(constant(uint256)) = 8

ALL_ROLES: constant(uint256) = 15
MAX_BATCH: constant(uint256) = 100

# A unit's slot: operator in the low 160 bits, then the flags, then its enrolment number.
ACTIVE: constant(uint256) = 1 << 160
ATTESTED: constant(uint256) = 1 << 161
HALTED: constant(uint256) = 1 << 162
ENROLMENT_SHIFT: constant(uint256) = 192
ADDRESS_MASK: constant(uint256) = (1 << 160) - 1
JOB_DEADLINE: constant(uint256) = 56

DOMAIN_TYPEHASH: constant(bytes32) = keccak256(
    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)
ENROLMENT_TYPEHASH: constant(bytes32) = keccak256(
    "Enrolment(address unit,address operator,bytes32 profile,bytes32 keyDigest,uint256 enrolment,uint256 deadline)"
)
ATTESTATION_TYPEHASH: constant(bytes32) = keccak256(
    "Attestation(address unit,bytes32 profile,bytes32 keyDigest,uint256 enrolment,uint256 deadline)"
)
# secp256k1 group order / 2: the larger twin of a signature is refused (EIP-2).
HALF_ORDER: constant(uint256) = 57896044618658097711785492504343953926418782139537452191302581570759080747168

registrar: public(address)
proposed_registrar: public(address)
_roles: HashMap[address, uint256]
_unit: HashMap[address, uint256]
_builder: HashMap[address, address]
_profile: HashMap[address, bytes32]
_key_digest: HashMap[address, bytes32]
# A unit makes one job at a time: this slot is its current or last one, laid out by module licenses.
_job: HashMap[address, uint256]


@deploy
def __init__(first_registrar: address):
    """
    @param first_registrar Who admits and suspends members until it hands the role over.
    """
    assert first_registrar != empty(address), "registry: zero registrar"
    self.registrar = first_registrar
    log RegistrarChanged(registrar=first_registrar)


@external
def propose_registrar(registrar: address):
    """
    @notice Offer the registrar's role; it moves when the other side accepts.
    """
    assert msg.sender == self.registrar, "registry: not the registrar"
    self.proposed_registrar = registrar
    log RegistrarProposed(registrar=registrar)


@external
def accept_registrar():
    """
    @notice Take the registrar's role that was offered to the caller.
    """
    assert msg.sender == self.proposed_registrar, "registry: not the proposed registrar"
    self.registrar = msg.sender
    self.proposed_registrar = empty(address)
    log RegistrarChanged(registrar=msg.sender)


@external
def admit_member(member: address, roles: uint256, key: Bytes[133], profile: bytes32):
    """
    @notice Admit a member, or change the roles of one.
    @param roles Sum of RIGHTS_HOLDER 1, MAKER 2, BUILDER 4, CUSTODIAN 8.
    @param key The member's public sealing key (HPKE, P-256, uncompressed point).
    @param profile Digest of the member's profile, kept off the ledger.
    """
    assert msg.sender == self.registrar, "registry: not the registrar"
    assert member != empty(address), "registry: zero member"
    assert roles != 0 and roles <= ALL_ROLES, "registry: unknown roles"
    self._roles[member] = roles
    log MemberAdmitted(member=member, roles=roles, key=key, profile=profile)


@external
def suspend_member(member: address, units: DynArray[address, MAX_BATCH]):
    """
    @notice Take all roles from a member and retire its units. Custodians release no key to it from the next block on.
    @param units The active units of the member, from the events; those of more than 100 by `retire_unit`.
    """
    assert msg.sender == self.registrar, "registry: not the registrar"
    assert self._roles[member] != 0, "registry: not a member"
    self._roles[member] = 0
    log MemberSuspended(member=member)
    for unit: address in units:
        slot: uint256 = self._unit[unit]
        # A unit that left in the meantime must not make the suspension fail.
        if slot & ACTIVE != 0 and convert(slot & ADDRESS_MASK, address) == member:
            self._retire(unit, slot)


@external
def enroll_unit(
    unit: address,
    profile: bytes32,
    key: Bytes[133],
    deadline: uint256,
    unit_signature: Bytes[65],
    builder: address,
    builder_signature: Bytes[65],
):
    """
    @notice Enroll a unit that the caller, a maker, operates.
    @dev The unit must be retired by its former operator before another can enroll it.
    @param profile Digest of the unit's profile (model, firmware, place), kept off the ledger.
    @param key The unit's public unsealing key (HPKE, P-256, uncompressed point).
    @param unit_signature The unit's signature over `Enrolment`.
    @param builder A member with the builder's role, or the zero address for a unit without attestation.
    @param builder_signature The builder's signature over `Attestation`; empty without a builder.
    """
    assert self._roles[msg.sender] & MAKER != 0, "registry: not a maker"
    assert block.timestamp <= deadline, "registry: signature expired"
    slot: uint256 = self._unit[unit]
    assert slot & ACTIVE == 0, "registry: already enrolled"
    assert len(key) != 0, "registry: no key"
    enrolment: uint256 = (slot >> ENROLMENT_SHIFT) + 1
    key_digest: bytes32 = keccak256(key)
    digest: bytes32 = self._typed_digest(
        keccak256(
            abi_encode(ENROLMENT_TYPEHASH, unit, msg.sender, profile, key_digest, enrolment, deadline)
        )
    )
    assert self._is_signer(unit, digest, unit_signature), "registry: bad unit signature"
    flags: uint256 = ACTIVE
    if builder != empty(address):
        assert self._roles[builder] & BUILDER != 0, "registry: not a builder"
        statement: bytes32 = self._typed_digest(
            keccak256(abi_encode(ATTESTATION_TYPEHASH, unit, profile, key_digest, enrolment, deadline))
        )
        assert self._is_signer(builder, statement, builder_signature), "registry: bad builder signature"
        flags |= ATTESTED
    self._unit[unit] = convert(msg.sender, uint256) | flags | (enrolment << ENROLMENT_SHIFT)
    if enrolment == 1:
        # Any value but zero, so that a unit's first job costs what every job costs: a job "until now".
        self._job[unit] = block.timestamp << JOB_DEADLINE
    self._builder[unit] = builder
    self._profile[unit] = profile
    self._key_digest[unit] = key_digest
    log UnitEnrolled(
        unit=unit, operator=msg.sender, builder=builder, profile=profile, key=key, enrolment=enrolment
    )


@external
def retire_unit(unit: address):
    """
    @notice End a unit's enrolment: by its operator, its builder, the registrar, or the unit itself.
    """
    slot: uint256 = self._unit[unit]
    assert slot & ACTIVE != 0, "registry: not enrolled"
    assert (
        msg.sender == convert(slot & ADDRESS_MASK, address)
        or msg.sender == unit
        or msg.sender == self.registrar
        or (slot & ATTESTED != 0 and msg.sender == self._builder[unit])
    ), "registry: not allowed to retire"
    self._retire(unit, slot)


@external
def halt_unit(unit: address):
    """
    @notice Order a unit to stop at once: by its operator or the registrar. It starts no job and gets no key until it
            is cleared; its agent stops the machine as soon as it sees this.
    @dev A retired unit can be halted too: it may still be printing. Enrolling it anew ends the halt. Halting a unit
         that is halted works as well: nobody should be told no in an emergency.
    """
    slot: uint256 = self._unit[unit]
    assert (
        slot != 0
        and (
            msg.sender == convert(slot & ADDRESS_MASK, address) or msg.sender == self.registrar
        )
    ), "registry: not allowed to halt"
    self._unit[unit] = slot | HALTED
    log UnitHalted(unit=unit, by=msg.sender)


@external
def clear_unit(unit: address):
    """
    @notice End a unit's halt: by its operator, who has looked at the machine.
    """
    slot: uint256 = self._unit[unit]
    assert (
        slot & HALTED != 0 and msg.sender == convert(slot & ADDRESS_MASK, address)
    ), "registry: not allowed to clear"
    self._unit[unit] = slot ^ HALTED
    log UnitCleared(unit=unit)


@view
@external
def roles(member: address) -> uint256:
    """
    @return The member's roles as bits; 0 for an account that is not a member.
    """
    return self._roles[member]


@view
@external
def unit(unit: address) -> Unit:
    """
    @return All that the ledger knows of a unit; zeros for one never enrolled.
    """
    slot: uint256 = self._unit[unit]
    return Unit(
        operator=convert(slot & ADDRESS_MASK, address),
        builder=self._builder[unit],
        active=slot & ACTIVE != 0,
        attested=slot & ATTESTED != 0,
        halted=slot & HALTED != 0,
        enrolment=slot >> ENROLMENT_SHIFT,
        profile=self._profile[unit],
        key_digest=self._key_digest[unit],
    )


@view
@external
def domain_separator() -> bytes32:
    """
    @return The EIP-712 domain separator of this contract on this chain.
    """
    return self._domain_separator()


@internal
def _retire(unit: address, slot: uint256):
    self._unit[unit] = slot & ~(ACTIVE | ATTESTED)
    log UnitRetired(unit=unit, by=msg.sender)


@view
@internal
def _domain_separator() -> bytes32:
    return keccak256(
        abi_encode(DOMAIN_TYPEHASH, keccak256("Printright"), keccak256("1"), chain.id, self)
    )


@view
@internal
def _typed_digest(struct_hash: bytes32) -> bytes32:
    return keccak256(concat(b"\x19\x01", self._domain_separator(), struct_hash))


@pure
@internal
def _is_signer(signer: address, digest: bytes32, signature: Bytes[65]) -> bool:
    # The zero signer never passes: ecrecover answers zero for nonsense.
    if signer == empty(address) or len(signature) != 65:
        return False
    r: uint256 = convert(slice(signature, 0, 32), uint256)
    s: uint256 = convert(slice(signature, 32, 32), uint256)
    v: uint256 = convert(slice(signature, 64, 1), uint256)
    if s > HALF_ORDER or (v != 27 and v != 28):
        return False
    return ecrecover(digest, v, r, s) == signer

"""Admit and suspend members; enroll, attest, halt, clear and retire the units that they operate."""

from __future__ import annotations

import dataclasses
import time
from contextlib import suppress

from printright.domain.ids import Address
from printright.domain.member import EnrolmentRequest, Role, UnitProfile
from printright.domain.words import ZERO_ADDRESS, TypedDomain
from printright.errors import BadValue, WrongKey
from printright.ledger.events import MemberAdmitted, UnitEnrolled, UnitRetired
from printright.ledger.port import Ledger, Receipt, Signer
from printright.ledger.transaction import signer_of

REQUEST_LIFETIME_S = 7 * 86_400


def typed_domain(ledger: Ledger) -> TypedDomain:
    """The EIP-712 domain of the deployment behind `ledger`."""
    return TypedDomain(ledger.network.chain_id, ledger.network.contract)


async def admit(ledger: Ledger, member: Address, roles: Role, key: bytes, profile: bytes) -> Receipt:
    """Admit a member or change its roles, as the registrar. `key` is its public sealing key, 65 bytes."""
    changes = await _changes(ledger, member)
    return await ledger.send(f"admit:{member}:{changes}", "admit_member", member, int(roles), key, profile)


async def suspend(ledger: Ledger, member: Address) -> Receipt:
    """Take all roles from a member and retire its active units, as the registrar."""
    units = await active_units(ledger, member)
    changes = await _changes(ledger, member)
    receipt = await ledger.send(f"suspend:{member}:{changes}", "suspend_member", member, units[:100])
    for unit in units[100:]:
        await retire(ledger, unit)
    return receipt


async def active_units(ledger: Ledger, operator: Address) -> list[Address]:
    """The units that `operator` has enrolled and nobody has retired, oldest first."""
    units: dict[Address, Address] = {}
    async for event in ledger.events(names={"UnitEnrolled", "UnitRetired"}):
        if isinstance(event, UnitEnrolled):
            units.pop(event.unit, None)
            units[event.unit] = event.operator
        elif isinstance(event, UnitRetired):
            units.pop(event.unit, None)
    return [unit for unit, owner in units.items() if owner == operator]


async def _changes(ledger: Ledger, member: Address) -> int:
    # A member may be admitted and suspended again and again: the count tells one intent from the next.
    return len(await ledger.events(names={"MemberAdmitted", "MemberSuspended"}, member=member))


async def request_enrolment(
    ledger: Ledger, unit: Signer, unsealing_key: bytes, operator: Address, profile: UnitProfile, *, now_s: int
) -> EnrolmentRequest:
    """Make the request, signed by the unit itself, that its operator hands to `enroll`."""
    state = await ledger.call("unit", unit.address)
    request = EnrolmentRequest(
        unit=unit.address,
        operator=operator,
        profile=profile,
        key=unsealing_key,
        enrolment=state.enrolment + 1,
        deadline_s=now_s + REQUEST_LIFETIME_S,
    )
    signature = unit.sign_digest(request.enrolment_digest(typed_domain(ledger)))
    return dataclasses.replace(request, signature=signature)


def attest(request: EnrolmentRequest, domain: TypedDomain, builder: Signer) -> EnrolmentRequest:
    """Add the builder's signed statement: a machine of its making, with this account, key and profile (model, firmware,
    serial number). Raises BadValue for a request that the unit itself did not sign: nobody is attested without it.
    """
    signer = None
    with suppress(WrongKey):
        signer = signer_of(request.enrolment_digest(domain), request.signature)
    if signer != request.unit:
        raise BadValue("the request is not signed by its unit, for this network", hint="`printright unit request`")
    signature = builder.sign_digest(request.attestation_digest(domain))
    return dataclasses.replace(request, builder=builder.address, builder_signature=signature)


async def enroll(ledger: Ledger, request: EnrolmentRequest) -> Receipt:
    """Enroll the unit, as its operator. Raises BadValue where the request names another operator."""
    if ledger.address != request.operator:
        raise BadValue(
            f"the request is for operator {request.operator}",
            hint="only the operator that it names can enroll this unit; make a new request",
        )
    return await ledger.send(
        f"enroll:{request.unit}:{request.enrolment}",
        "enroll_unit",
        request.unit,
        request.profile.digest,
        request.key,
        request.deadline_s,
        request.signature,
        request.builder or ZERO_ADDRESS,
        request.builder_signature,
    )


async def retire(ledger: Ledger, unit: Address) -> Receipt:
    """End a unit's enrolment, as its operator, its builder, the registrar or the unit itself."""
    state = await ledger.call("unit", unit)
    return await ledger.send(f"retire:{unit}:{state.enrolment}", "retire_unit", unit)


async def halt(ledger: Ledger, unit: Address) -> Receipt:
    """Order a unit to stop at once, as its operator or the registrar.

    Sent anew each time: the contract takes an alarm twice, and an emergency does not wait for a look at history.
    """
    return await ledger.send(f"halt:{unit}:{time.time_ns()}", "halt_unit", unit)


async def clear(ledger: Ledger, unit: Address) -> Receipt:
    """End a unit's halt, as its operator. What is halted again after this is another halt, and wants another look."""
    return await ledger.send(f"clear:{unit}:{time.time_ns()}", "clear_unit", unit)


async def sealing_key(ledger: Ledger, member: Address) -> bytes:
    """The member's public sealing key as last admitted, 65 bytes. Raises BadValue for an account never admitted."""
    events = await ledger.events(names={"MemberAdmitted"}, member=member)
    admitted = [event for event in events if isinstance(event, MemberAdmitted)]
    if not admitted:
        raise BadValue(f"{member} is not a member", hint="the registrar admits members: `printright member admit`")
    return admitted[-1].key


def now_s() -> int:
    """The wall clock, in unix seconds; services take it as an argument where a decision hangs on it."""
    return int(time.time())

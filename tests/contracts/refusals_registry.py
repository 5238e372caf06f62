"""Refusals of module registry: each function below sets the scene for one call that must be refused."""

from __future__ import annotations

from typing import Any

from tests.contracts import accounts as a
from tests.contracts import scene as s
from tests.contracts.accounts import EMPTY, REGISTRAR, ZERO, Account, word
from tests.contracts.chain import ADDRESS, CHAIN_ID
from tests.contracts.refusals import Call, refused
from tests.contracts.scene import LATER, Scene


@refused("propose_registrar", "registry: not the registrar")
def by_the_one_proposed(t: Scene) -> Call:
    return s.SUCCESSOR, (s.SUCCESSOR.address,)


@refused("accept_registrar", "registry: not the proposed registrar")
def by_the_registrar_itself(t: Scene) -> Call:
    return REGISTRAR, ()


@refused("accept_registrar", "registry: not the proposed registrar")
def after_the_offer_was_withdrawn(t: Scene) -> Call:
    t.do(REGISTRAR, "propose_registrar", ZERO)
    return s.SUCCESSOR, ()


def admission(member: bytes = s.STRANGER.address, roles: int = 1) -> tuple[Any, ...]:
    return (member, roles, a.sealing_key("k"), EMPTY)


@refused("admit_member", "registry: not the registrar")
def by_a_member(t: Scene) -> Call:
    return s.HOLDER, admission()


@refused("admit_member", "registry: zero member")
def of_the_zero_account(t: Scene) -> Call:
    return REGISTRAR, admission(member=ZERO)


@refused("admit_member", "registry: unknown roles")
def with_no_role(t: Scene) -> Call:
    return REGISTRAR, admission(roles=0)


@refused("admit_member", "registry: unknown roles")
def with_a_role_too_many(t: Scene) -> Call:
    return REGISTRAR, admission(roles=16)


@refused("suspend_member", "registry: not the registrar")
def by_another_member(t: Scene) -> Call:
    return s.OTHER_MAKER, (s.MAKER.address, [])


@refused("suspend_member", "registry: not a member")
def of_a_stranger(t: Scene) -> Call:
    return REGISTRAR, (s.STRANGER.address, [])


@refused("suspend_member", "registry: not a member")
def of_one_already_suspended(t: Scene) -> Call:
    return REGISTRAR, (s.SUSPENDED.address, [])


@refused("enroll_unit", "registry: not a maker")
def by_a_rights_holder(t: Scene) -> Call:
    return s.HOLDER, t.enrolment(s.NEW_UNIT, s.HOLDER)


@refused("enroll_unit", "registry: not a maker")
def by_a_suspended_maker(t: Scene) -> Call:
    return s.SUSPENDED, t.enrolment(s.NEW_UNIT, s.SUSPENDED)


@refused("enroll_unit", "registry: signature expired")
def a_second_after_the_deadline(t: Scene) -> Call:
    t.chain.set_time(LATER + 1)
    return s.MAKER, t.enrolment(s.NEW_UNIT, s.MAKER)


@refused("enroll_unit", "registry: already enrolled")
def of_an_active_unit(t: Scene) -> Call:
    return s.OTHER_MAKER, t.enrolment(s.UNIT, s.OTHER_MAKER, number=2)


@refused("enroll_unit", "registry: no key")
def without_a_key(t: Scene) -> Call:
    unit, profile, _, *rest = t.enrolment(s.NEW_UNIT, s.MAKER)
    return s.MAKER, (unit, profile, b"", *rest)


def unit_signed(signature: bytes, unit: Account = s.NEW_UNIT) -> Call:
    """An enrolment with another unit signature."""
    args = Scene.enrolment(None, unit, s.MAKER)  # type: ignore[arg-type]
    return s.MAKER, (*args[:4], signature, *args[5:])


def enrolment_digest(
    separator: bytes = s.SEPARATOR,
    type_text: str = a.ENROLMENT,
    operator: Account = s.MAKER,
    number: int = 1,
    deadline: int = LATER,
    profile: str = "profile of new unit",
) -> bytes:
    key_digest = a.keccak(a.sealing_key(str(s.NEW_UNIT)))
    return a.typed(
        separator, type_text, s.NEW_UNIT.address, operator.address, word(profile), key_digest, number, deadline
    )


GOOD_UNIT_SIGNATURE = s.NEW_UNIT.sign(enrolment_digest())
BAD_UNIT_SIGNATURES = {
    "of_another_key": s.STRANGER.sign(enrolment_digest()),
    "for_another_chain": s.NEW_UNIT.sign(enrolment_digest(a.domain(CHAIN_ID + 1, ADDRESS))),
    "for_another_contract": s.NEW_UNIT.sign(enrolment_digest(a.domain(CHAIN_ID, s.STRANGER.address))),
    "of_another_type": s.NEW_UNIT.sign(enrolment_digest(type_text=a.ENROLMENT.replace("Enrolment(", "Other("))),
    "for_another_operator": s.NEW_UNIT.sign(enrolment_digest(operator=s.OTHER_MAKER)),
    "for_another_enrolment": s.NEW_UNIT.sign(enrolment_digest(number=2)),
    "for_another_deadline": s.NEW_UNIT.sign(enrolment_digest(deadline=LATER + 1)),
    "for_another_profile": s.NEW_UNIT.sign(enrolment_digest(profile="another")),
    "with_the_high_s": a.high_s(GOOD_UNIT_SIGNATURE),
    "with_v_0_or_1": GOOD_UNIT_SIGNATURE[:64] + bytes([GOOD_UNIT_SIGNATURE[64] - 27]),
    "a_byte_short": GOOD_UNIT_SIGNATURE[:64],
    "empty": b"",
    "all_zero": bytes(65),
    "zero_r_and_s": bytes(64) + b"\x1b",
}


@refused("enroll_unit", "registry: bad unit signature")
def replayed_after_retirement(t: Scene) -> Call:
    args = t.enrolment(s.NEW_UNIT, s.MAKER)
    t.do(s.MAKER, "enroll_unit", *args)
    t.do(s.MAKER, "retire_unit", s.NEW_UNIT.address)
    return s.MAKER, args


@refused("enroll_unit", "registry: bad unit signature")
def of_the_zero_account_as_unit(t: Scene) -> Call:
    # ecrecover answers zero for nonsense: without the check of the signer, zero would be a unit of anyone.
    _, *rest = t.enrolment(s.NEW_UNIT, s.MAKER)
    return s.MAKER, (ZERO, rest[0], rest[1], rest[2], bytes(64) + b"\x1b", ZERO, b"")


@refused("enroll_unit", "registry: not a builder")
def attested_by_a_maker(t: Scene) -> Call:
    return s.MAKER, t.enrolment(s.NEW_UNIT, s.MAKER, s.OTHER_MAKER)


@refused("enroll_unit", "registry: bad builder signature")
def attested_with_another_builders_signature(t: Scene) -> Call:
    args = t.enrolment(s.NEW_UNIT, s.MAKER, s.BUILDER)
    return s.MAKER, (*args[:5], s.OTHER_BUILDER.address, args[6])


@refused("enroll_unit", "registry: bad builder signature")
def attested_with_no_signature(t: Scene) -> Call:
    return s.MAKER, (*t.enrolment(s.NEW_UNIT, s.MAKER, s.BUILDER)[:6], b"")


@refused("enroll_unit", "registry: bad builder signature")
def attested_with_the_statement_of_an_earlier_enrolment(t: Scene) -> Call:
    first = t.enrolment(s.NEW_UNIT, s.MAKER, s.BUILDER)
    t.do(s.MAKER, "enroll_unit", *first)
    t.do(s.MAKER, "retire_unit", s.NEW_UNIT.address)
    return s.MAKER, (*t.enrolment(s.NEW_UNIT, s.MAKER, s.BUILDER, number=2)[:6], first[6])


@refused("enroll_unit", "registry: bad builder signature")
def attested_with_the_units_own_signature(t: Scene) -> Call:
    args = t.enrolment(s.NEW_UNIT, s.MAKER, s.BUILDER)
    return s.MAKER, (*args[:6], args[4])


@refused("retire_unit", "registry: not enrolled")
def of_a_unit_already_retired(t: Scene) -> Call:
    return s.MAKER, (s.RETIRED_UNIT.address,)


@refused("retire_unit", "registry: not enrolled")
def of_an_account_that_is_no_unit(t: Scene) -> Call:
    return REGISTRAR, (s.STRANGER.address,)


@refused("retire_unit", "registry: not allowed to retire")
def by_another_maker(t: Scene) -> Call:
    return s.OTHER_MAKER, (s.UNIT.address,)


@refused("retire_unit", "registry: not allowed to retire")
def by_a_builder_who_did_not_attest_it(t: Scene) -> Call:
    return s.BUILDER, (s.BARE_UNIT.address,)


@refused("retire_unit", "registry: not allowed to retire")
def by_the_builder_of_a_former_enrolment(t: Scene) -> Call:
    t.do(s.MAKER, "retire_unit", s.UNIT.address)
    t.do(s.MAKER, "enroll_unit", *t.enrolment(s.UNIT, s.MAKER, number=2))
    return s.BUILDER, (s.UNIT.address,)


@refused("halt_unit", "registry: not allowed to halt")
def halting_an_account_that_is_no_unit(t: Scene) -> Call:
    return REGISTRAR, (s.STRANGER.address,)


@refused("halt_unit", "registry: not allowed to halt")
def halting_by_another_maker(t: Scene) -> Call:
    return s.OTHER_MAKER, (s.UNIT.address,)


@refused("halt_unit", "registry: not allowed to halt")
def halting_by_the_builder_who_attested_it(t: Scene) -> Call:
    return s.BUILDER, (s.UNIT.address,)


@refused("clear_unit", "registry: not allowed to clear")
def clearing_a_unit_that_is_not_halted(t: Scene) -> Call:
    return s.MAKER, (s.UNIT.address,)


@refused("clear_unit", "registry: not allowed to clear")
def clearing_by_the_registrar(t: Scene) -> Call:
    # Whoever halted it: only those who run the machine can know that it is safe again.
    t.do(REGISTRAR, "halt_unit", s.UNIT.address)
    return REGISTRAR, (s.UNIT.address,)


@refused("clear_unit", "registry: not allowed to clear")
def clearing_by_the_halted_unit_itself(t: Scene) -> Call:
    return s.HALTED_UNIT, (s.HALTED_UNIT.address,)


@refused("clear_unit", "registry: not allowed to clear")
def clearing_after_a_new_enrolment_ended_the_halt(t: Scene) -> Call:
    t.do(s.MAKER, "retire_unit", s.HALTED_UNIT.address)
    t.do(s.OTHER_MAKER, "enroll_unit", *t.enrolment(s.HALTED_UNIT, s.OTHER_MAKER, number=2))
    return s.OTHER_MAKER, (s.HALTED_UNIT.address,)

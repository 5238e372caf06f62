"""Every refusal of every external function: the exact reason, and nothing changed.

The list is held against the contracts' source: a reason string without a test here is red, and so is a test of a
refusal that the source no longer contains.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.contracts import accounts as a
from tests.contracts import scene as s
from tests.contracts import source
from tests.contracts.accounts import EMPTY, REGISTRAR, ZERO, Account, word
from tests.contracts.chain import ADDRESS, CHAIN_ID, START
from tests.contracts.scene import LATER, Made, Scene
from tests.contracts.test_licenses import MOST, job_slot

Call = tuple[Account, tuple[Any, ...]]
Arrange = Callable[[Scene], Call]
CASES: list[tuple[str, str, Arrange]] = []

# Pairs that the source spells out and that no call can reach, with the reason why.
UNREACHABLE = {
    ("assign", "licenses: copies out of range"): "assign has already bounded them by the available copies",
    ("assign", "licenses: allowance out of range"): "assign has already bounded it by the unused allowance",
    ("__init__", "registry: zero registrar"): "tested at deployment, in test_build.py",
}


def refused(name: str, reason: str) -> Callable[[Arrange], Arrange]:
    def note(arrange: Arrange) -> Arrange:
        CASES.append((name, reason, arrange))
        return arrange

    return note


def test_every_refusal_in_the_source_has_a_test() -> None:
    # Red when an `assert` with a new reason is added to any contract, or a case below is deleted.
    listed = {(name, reason) for name, reason, _ in CASES}
    assert listed | set(UNREACHABLE) == source.refusals()
    assert not listed & set(UNREACHABLE)


def test_every_assertion_has_a_reason_that_names_its_module() -> None:
    reasons = {r for f in source.functions().values() for r in f.reasons}
    assert {r.split(": ")[0] for r in reasons} == {"registry", "designs", "licenses", "jobs", "parts"}


@pytest.mark.parametrize(
    ("name", "reason", "arrange"), CASES, ids=[f"{n}-{r.split(': ')[1]}-{f.__name__}" for n, r, f in CASES]
)
def test_refusal(scene: Scene, name: str, reason: str, arrange: Arrange) -> None:
    sender, args = arrange(scene)
    before = scene.chain.storage()
    outcome = scene.send(sender, name, *args)
    assert outcome.reason == reason
    assert outcome.logs == ()
    assert scene.chain.storage() == before


# ------------------------------------------------------------------------------------------------ registry


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


@pytest.mark.parametrize("name", BAD_UNIT_SIGNATURES)
def test_a_bad_unit_signature_enrolls_nothing(scene: Scene, name: str) -> None:
    sender, args = unit_signed(BAD_UNIT_SIGNATURES[name])
    before = scene.chain.storage()
    assert scene.send(sender, "enroll_unit", *args).reason == "registry: bad unit signature"
    assert scene.chain.storage() == before
    _, good = unit_signed(GOOD_UNIT_SIGNATURE)
    scene.do(s.MAKER, "enroll_unit", *good)


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


# ------------------------------------------------------------------------------------------------- designs


@refused("publish", "designs: not a rights holder")
def by_a_maker(t: Scene) -> Call:
    return s.MAKER, (word("x"), 1)


@refused("publish", "designs: not a rights holder")
def by_a_suspended_rights_holder(t: Scene) -> Call:
    return s.SUSPENDED, (word("x"), 1)


@refused("publish", "designs: parts per run out of range")
def with_no_parts(t: Scene) -> Call:
    return s.HOLDER, (word("x"), 0)


@refused("publish", "designs: parts per run out of range")
def with_more_parts_than_fit(t: Scene) -> Call:
    return s.HOLDER, (word("x"), 2**32)


@refused("publish", "designs: already published")
def of_the_same_commitment(t: Scene) -> Call:
    return s.HOLDER, (word("design"), 1)


@refused("publish", "designs: already published")
def of_a_withdrawn_one(t: Scene) -> Call:
    t.do(s.HOLDER, "withdraw", [t.content])
    return s.HOLDER, (word("design"), 1)


@refused("publish_version", "designs: unknown")
def after_a_version_that_never_was(t: Scene) -> Call:
    return s.HOLDER, (word("x"), word("unknown"), 1)


@refused("publish_version", "designs: not the owner")
def after_a_version_of_another(t: Scene) -> Call:
    return s.OTHER_HOLDER, (word("x"), t.content, 1)


@refused("publish_version", "designs: not a rights holder")
def by_an_owner_since_suspended(t: Scene) -> Call:
    t.do(REGISTRAR, "suspend_member", s.HOLDER.address, [])
    return s.HOLDER, (word("x"), t.content, 1)


@refused("publish_version", "designs: parts per run out of range")
def with_no_parts_either(t: Scene) -> Call:
    return s.HOLDER, (word("x"), t.content, 0)


@refused("publish_version", "designs: already published")
def as_its_own_successor(t: Scene) -> Call:
    return s.HOLDER, (word("design"), t.content, 1)


@refused("withdraw", "designs: unknown")
def of_what_was_never_published(t: Scene) -> Call:
    return s.HOLDER, ([t.content, word("unknown")],)


@refused("withdraw", "designs: not the owner")
def of_anothers_design(t: Scene) -> Call:
    return s.OTHER_HOLDER, ([t.content],)


@refused("withdraw", "designs: withdrawn")
def of_one_twice(t: Scene) -> Call:
    return s.HOLDER, ([t.content, t.content],)


# ------------------------------------------------------------------------------------------------ licenses


@refused("grant", "licenses: not a rights holder")
def granted_by_a_maker(t: Scene) -> Call:
    return s.MAKER, (word("terms"), 1, 0)


@refused("grant", "licenses: not a rights holder")
def granted_by_a_suspended_member(t: Scene) -> Call:
    return s.SUSPENDED, (word("terms"), 1, 0)


@refused("grant", "licenses: copies out of range")
def of_no_copies(t: Scene) -> Call:
    return s.HOLDER, (word("terms"), 0, 0)


@refused("grant", "licenses: copies out of range")
def of_more_copies_than_fit(t: Scene) -> Call:
    return s.HOLDER, (word("terms"), MOST + 1, 0)


@refused("grant", "licenses: allowance out of range")
def of_more_allowance_than_fits(t: Scene) -> Call:
    return s.HOLDER, (word("terms"), 1, MOST + 1)


@refused("grant", "licenses: already granted")
def of_the_same_terms(t: Scene) -> Call:
    t.grant(t.terms())
    return s.HOLDER, (a.terms_hash(s.MAKER.address, t.terms()), 1, 0)


@refused("grant", "licenses: already granted")
def of_terms_that_were_revoked(t: Scene) -> Call:
    t.grant(t.terms())
    hashed = a.terms_hash(s.MAKER.address, t.terms())
    t.do(s.HOLDER, "revoke", [hashed])
    return s.HOLDER, (hashed, 1, 0)


@refused("grant_many", "licenses: not a rights holder")
def many_by_a_maker(t: Scene) -> Call:
    return s.MAKER, ([(word("terms"), 1, 0)],)


@refused("grant_many", "licenses: copies out of range")
def many_and_the_last_without_copies(t: Scene) -> Call:
    return s.HOLDER, ([(word("1"), 1, 0), (word("2"), 0, 0)],)


@refused("grant_many", "licenses: allowance out of range")
def many_and_the_last_with_too_much_allowance(t: Scene) -> Call:
    return s.HOLDER, ([(word("1"), 1, 0), (word("2"), 1, MOST + 1)],)


@refused("grant_many", "licenses: already granted")
def many_and_two_alike(t: Scene) -> Call:
    return s.HOLDER, ([(word("1"), 1, 0), (word("1"), 1, 0)],)


def hashed(t: Scene, **conditions: Any) -> bytes:
    """The terms hash of a license that was just granted to the maker."""
    terms = t.terms(**conditions)
    t.grant(terms)
    return a.terms_hash(s.MAKER.address, terms)


@refused("revoke", "licenses: unknown")
def of_a_license_of_another_licensor(t: Scene) -> Call:
    return s.OTHER_HOLDER, ([hashed(t)],)


@refused("revoke", "licenses: revoked")
def revoked_twice(t: Scene) -> Call:
    terms = hashed(t)
    return s.HOLDER, ([terms, terms],)


@refused("pause", "licenses: unknown")
def paused_by_the_licensee(t: Scene) -> Call:
    return s.MAKER, ([hashed(t)],)


@refused("pause", "licenses: paused")
def paused_twice(t: Scene) -> Call:
    terms = hashed(t)
    return s.HOLDER, ([terms, terms],)


@refused("resume", "licenses: unknown")
def resumed_by_the_licensee(t: Scene) -> Call:
    terms = hashed(t)
    t.do(s.HOLDER, "pause", [terms])
    return s.MAKER, ([terms],)


@refused("resume", "licenses: not paused")
def resumed_without_a_pause(t: Scene) -> Call:
    return s.HOLDER, ([hashed(t)],)


def assigning(
    t: Scene,
    copies: int = 1,
    allowance: int = 0,
    to: Account = s.OTHER_MAKER,
    document: str = "given",
    **conditions: Any,
) -> tuple[Any, ...]:
    terms = t.terms(**{"flags": a.ASSIGNABLE, **conditions})
    if not any(e.name == "LicenseGranted" for e in t.events):
        t.grant(terms)
    return (terms, to.address, EMPTY, word(document), copies, allowance)


@refused("assign", "registry: not a maker")
def assigned_by_a_licensee_since_suspended(t: Scene) -> Call:
    args = assigning(t)
    t.do(REGISTRAR, "suspend_member", s.MAKER.address, [])
    return s.MAKER, args


@refused("assign", "licenses: unknown")
def assigned_by_another_maker(t: Scene) -> Call:
    return s.OTHER_MAKER, assigning(t)


@refused("assign", "licenses: not assignable")
def assigned_against_the_terms(t: Scene) -> Call:
    return s.MAKER, assigning(t, flags=0)


@refused("assign", "licenses: expired")
def assigned_too_late(t: Scene) -> Call:
    args = assigning(t)
    t.chain.set_time(LATER + 1)
    return s.MAKER, args


@refused("assign", "licenses: revoked")
def assigned_after_revocation(t: Scene) -> Call:
    args = assigning(t)
    t.do(s.HOLDER, "revoke", [a.terms_hash(s.MAKER.address, args[0])])
    return s.MAKER, args


@refused("assign", "licenses: paused")
def assigned_while_paused(t: Scene) -> Call:
    args = assigning(t)
    t.do(s.HOLDER, "pause", [a.terms_hash(s.MAKER.address, args[0])])
    return s.MAKER, args


@refused("assign", "licenses: no copies left")
def assigned_more_than_there_are(t: Scene) -> Call:
    return s.MAKER, assigning(t, copies=11)


@refused("assign", "licenses: no copies left")
def assigned_nothing(t: Scene) -> Call:
    return s.MAKER, assigning(t, copies=0)


@refused("assign", "licenses: no copies left")
def assigned_what_runs(t: Scene) -> Call:
    args = assigning(t, copies=1)
    t.start(args[0], 10)
    return s.MAKER, args


@refused("assign", "licenses: allowance exceeds the rest")
def assigned_with_more_allowance_than_there_is(t: Scene) -> Call:
    return s.MAKER, assigning(t, allowance=3)


@refused("assign", "licenses: licensee is not a maker")
def assigned_to_a_stranger(t: Scene) -> Call:
    return s.MAKER, assigning(t, to=s.STRANGER)


@refused("assign", "licenses: already granted")
def assigned_twice_with_one_document(t: Scene) -> Call:
    t.do(s.MAKER, "assign", *assigning(t))
    return s.MAKER, assigning(t)


@refused("assign", "licenses: already granted")
def assigned_to_itself_with_the_same_document(t: Scene) -> Call:
    return s.MAKER, assigning(t, to=s.MAKER, document="document")


def lost(t: Scene, copies: int = 3) -> bytes:
    """The terms hash of a license with lost copies."""
    terms = hashed(t)
    license = a.license_of(s.HOLDER.address, terms)
    t.start(t.terms(), copies + 2)
    t.do(s.UNIT, "finish_job", license, 0, copies + 2, EMPTY, EMPTY)
    return terms


@refused("credit", "licenses: unknown")
def credited_by_the_licensee(t: Scene) -> Call:
    return s.MAKER, (lost(t), 1)


@refused("credit", "licenses: revoked")
def credited_after_revocation(t: Scene) -> Call:
    terms = lost(t)
    t.do(s.HOLDER, "revoke", [terms])
    return s.HOLDER, (terms, 1)


@refused("credit", "licenses: not so many lost")
def credited_more_than_lost(t: Scene) -> Call:
    return s.HOLDER, (lost(t), 4)


@refused("credit", "licenses: not so many lost")
def credited_nothing(t: Scene) -> Call:
    return s.HOLDER, (lost(t), 0)


def worn(t: Scene) -> bytes:
    """The terms hash of a license credited 2**32 - 2 times, whose third job of all copies is overdue."""
    terms = t.terms()
    t.grant(terms, copies=MOST, allowance=0)
    key = a.terms_hash(s.MAKER.address, terms)
    for cycle in (1, 2, 3):
        t.start(terms, MOST)
        t.wait(90_000)
        if cycle < 3:
            t.do(s.HOLDER, "close_job", key, s.UNIT.address, cycle, MOST)
    return key


@refused("credit", "licenses: credited too often")
def credited_until_the_counter_is_full(t: Scene) -> Call:
    terms = worn(t)
    t.do(s.HOLDER, "close_job", terms, s.UNIT.address, 3, 0)
    return s.HOLDER, (terms, 2)


# ---------------------------------------------------------------------------------------------------- jobs


def starting(t: Scene, quantity: int = 1, sequence: int = 1, proof: Any = (), **conditions: Any) -> tuple[Any, ...]:
    terms = t.terms(**conditions)
    t.grant(terms)
    return (terms, quantity, sequence, proof)


@refused("start_job", "jobs: unit not enrolled")
def by_the_operator_itself(t: Scene) -> Call:
    return s.MAKER, starting(t)


@refused("start_job", "jobs: unit not enrolled")
def by_a_retired_unit(t: Scene) -> Call:
    return s.RETIRED_UNIT, starting(t)


@refused("start_job", "jobs: unit not attested")
def by_a_unit_without_attestation(t: Scene) -> Call:
    return s.BARE_UNIT, starting(t, flags=a.ATTESTED_ONLY)


@refused("start_job", "jobs: design withdrawn")
def with_a_withdrawn_design(t: Scene) -> Call:
    args = starting(t)
    t.do(s.HOLDER, "withdraw", [t.content])
    return s.UNIT, args


@refused("start_job", "licenses: not granted to this operator")
def by_another_operators_unit(t: Scene) -> Call:
    return s.OTHER_UNIT, starting(t)


@refused("start_job", "licenses: not granted to this operator")
def with_other_terms(t: Scene) -> Call:
    starting(t)
    return s.UNIT, (t.terms(expiry=LATER + 1), 1, 1, ())


@refused("start_job", "licenses: not granted to this operator")
def with_a_design_never_published(t: Scene) -> Call:
    return s.UNIT, starting(t, content=word("unknown"))


@refused("start_job", "licenses: not granted to this operator")
def granted_by_one_who_does_not_own_the_design(t: Scene) -> Call:
    t.do(s.OTHER_HOLDER, "grant", a.terms_hash(s.MAKER.address, t.terms()), 1, 0)
    return s.UNIT, (t.terms(), 1, 1, ())


@refused("start_job", "licenses: expired")
def a_second_after_the_expiry(t: Scene) -> Call:
    args = starting(t, expiry=t.chain.now + 100)
    t.wait(101)
    return s.UNIT, args


@refused("start_job", "licenses: revoked")
def after_revocation(t: Scene) -> Call:
    args = starting(t)
    t.do(s.HOLDER, "revoke", [a.terms_hash(s.MAKER.address, args[0])])
    return s.UNIT, args


@refused("start_job", "licenses: paused")
def while_paused(t: Scene) -> Call:
    args = starting(t)
    t.do(s.HOLDER, "pause", [a.terms_hash(s.MAKER.address, args[0])])
    return s.UNIT, args


@refused("start_job", "licenses: not for this unit")
def by_a_unit_not_in_the_tree(t: Scene) -> Call:
    return s.BARE_UNIT, starting(t, units=a.unit_leaf(s.UNIT.address))


@refused("start_job", "licenses: not for this unit")
def with_anothers_proof(t: Scene) -> Call:
    leaves = [a.unit_leaf(u.address) for u in (s.UNIT, s.NEW_UNIT)]
    return s.BARE_UNIT, starting(t, units=a.pair(*leaves), proof=[leaves[1]])


@refused("start_job", "licenses: not for this unit")
def with_a_proof_that_stops_too_early(t: Scene) -> Call:
    leaves = [a.unit_leaf(u.address) for u in (s.UNIT, s.NEW_UNIT)]
    return s.UNIT, starting(t, units=a.pair(*leaves))


@refused("start_job", "jobs: no quantity")
def of_nothing(t: Scene) -> Call:
    return s.UNIT, starting(t, quantity=0)


@refused("start_job", "licenses: no copies left")
def of_more_than_there_are(t: Scene) -> Call:
    return s.UNIT, starting(t, quantity=11)


@refused("start_job", "licenses: no copies left")
def of_more_than_any_slot_holds(t: Scene) -> Call:
    return s.UNIT, starting(t, quantity=2**256 - 1)


@refused("start_job", "jobs: not whole runs")
def of_half_a_run(t: Scene) -> Call:
    t.do(s.HOLDER, "publish", word("plate of four"), 4)
    return s.UNIT, starting(t, quantity=6, content=a.content_of(s.HOLDER.address, word("plate of four")))


@refused("start_job", "jobs: wrong sequence number")
def sent_again(t: Scene) -> Call:
    # A lost answer, a crash: the same start once more spends nothing.
    args = starting(t)
    t.do(s.UNIT, "start_job", *args)
    return s.UNIT, args


@refused("start_job", "jobs: wrong sequence number")
def with_a_gap(t: Scene) -> Call:
    return s.UNIT, starting(t, sequence=2)


@refused("start_job", "jobs: sequence exhausted")
def after_the_last_sequence_number(t: Scene) -> Call:
    # Red without that line: sequence 2**24 would turn an even quantity into an odd one, and job 1 would come again.
    t.chain.poke(job_slot(s.UNIT), 2**24 - 1)
    return s.UNIT, starting(t, quantity=2, sequence=2**24)


def running(t: Scene, quantity: int = 3) -> bytes:
    terms = t.terms()
    license = t.grant(terms)
    t.start(terms, quantity)
    return license


def ending(license: bytes, good: int, failed: int, parts: bytes | None = None) -> tuple[Any, ...]:
    root = parts if parts is not None else (word("parts") if good else EMPTY)
    return (license, good, failed, word("evidence"), root)


@refused("finish_job", "jobs: not running")
def without_a_job(t: Scene) -> Call:
    return s.UNIT, ending(t.grant(t.terms()), 1, 0)


@refused("finish_job", "jobs: not running")
def finished_twice(t: Scene) -> Call:
    args = ending(running(t), 3, 0)
    t.do(s.UNIT, "finish_job", *args)
    return s.UNIT, args


@refused("finish_job", "jobs: not running")
def finished_by_another_unit(t: Scene) -> Call:
    return s.BARE_UNIT, ending(running(t), 3, 0)


@refused("finish_job", "jobs: other license")
def finished_under_another_license(t: Scene) -> Call:
    running(t)
    return s.UNIT, ending(t.grant(t.terms("other")), 3, 0)


@refused("finish_job", "jobs: other license")
def finished_under_a_made_up_license_with_the_same_tail(t: Scene) -> Call:
    return s.UNIT, ending(bytes(12) + running(t)[12:], 3, 0)


@refused("finish_job", "jobs: outcome does not add up")
def with_a_copy_too_many(t: Scene) -> Call:
    return s.UNIT, ending(running(t), 4, 0)


@refused("finish_job", "jobs: outcome does not add up")
def with_a_copy_too_few(t: Scene) -> Call:
    return s.UNIT, ending(running(t), 1, 1)


@refused("finish_job", "jobs: outcome does not add up")
def with_numbers_that_only_add_up_when_they_wrap(t: Scene) -> Call:
    return s.UNIT, ending(running(t), 2**256 - 1, 4)


@refused("finish_job", "jobs: outcome does not add up")
def with_a_failure_count_that_only_adds_up_when_it_wraps(t: Scene) -> Call:
    return s.UNIT, ending(running(t), 4, 2**256 - 1)


@refused("finish_job", "jobs: parts do not fit")
def with_good_copies_and_no_parts(t: Scene) -> Call:
    return s.UNIT, ending(running(t), 3, 0, EMPTY)


@refused("finish_job", "jobs: parts do not fit")
def with_parts_and_no_good_copies(t: Scene) -> Call:
    return s.UNIT, ending(running(t), 0, 3, word("parts"))


def overdue(t: Scene) -> bytes:
    running(t)
    t.wait(90_000)
    return a.terms_hash(s.MAKER.address, t.terms())


@refused("close_job", "licenses: unknown")
def closed_by_the_licensee(t: Scene) -> Call:
    return s.MAKER, (overdue(t), s.UNIT.address, 1, 0)


@refused("close_job", "licenses: unknown")
def closed_by_another_licensor(t: Scene) -> Call:
    return s.OTHER_HOLDER, (overdue(t), s.UNIT.address, 1, 0)


@refused("close_job", "jobs: not running")
def closed_after_it_finished(t: Scene) -> Call:
    terms = overdue(t)
    t.do(s.UNIT, "finish_job", *ending(a.license_of(s.HOLDER.address, terms), 3, 0))
    return s.HOLDER, (terms, s.UNIT.address, 1, 3)


@refused("close_job", "jobs: not running")
def closed_twice(t: Scene) -> Call:
    args = (overdue(t), s.UNIT.address, 1, 3)
    t.do(s.HOLDER, "close_job", *args)
    return s.HOLDER, args


@refused("close_job", "jobs: not running")
def closed_for_a_unit_that_never_was(t: Scene) -> Call:
    return s.HOLDER, (overdue(t), s.NOBODY.address, 0, 0)


@refused("close_job", "jobs: deadline not over")
def closed_at_the_last_second(t: Scene) -> Call:
    running(t)
    t.wait(86_400)
    return s.HOLDER, (a.terms_hash(s.MAKER.address, t.terms()), s.UNIT.address, 1, 0)


@refused("close_job", "jobs: not given up")
def closed_before_it_began(t: Scene) -> Call:
    return s.HOLDER, (overdue(t), s.UNIT.address, 2, 0)


@refused("close_job", "jobs: not given up")
def closed_by_a_sequence_number_that_wraps(t: Scene) -> Call:
    return s.HOLDER, (overdue(t), s.UNIT.address, 2**24 + 1, 0)


@refused("close_job", "jobs: not given up")
def closed_twice_after_it_was_given_up(t: Scene) -> Call:
    args = (overdue(t), s.UNIT.address, 1, 3)
    t.start(t.terms())
    t.do(s.HOLDER, "close_job", *args)
    return s.HOLDER, args


@refused("close_job", "jobs: not given up")
def closed_though_finished_before_the_next_began(t: Scene) -> Call:
    terms = overdue(t)
    t.do(s.UNIT, "finish_job", *ending(a.license_of(s.HOLDER.address, terms), 3, 0))
    t.start(t.terms())
    return s.HOLDER, (terms, s.UNIT.address, 1, 3)


@refused("close_job", "jobs: other license")
def closed_under_another_license(t: Scene) -> Call:
    overdue(t)
    t.grant(t.terms("other"))
    return s.HOLDER, (a.terms_hash(s.MAKER.address, t.terms("other")), s.UNIT.address, 1, 0)


@refused("close_job", "jobs: other license")
def closed_under_another_license_after_it_was_given_up(t: Scene) -> Call:
    overdue(t)
    t.grant(t.terms("other"))
    t.start(t.terms())
    return s.HOLDER, (a.terms_hash(s.MAKER.address, t.terms("other")), s.UNIT.address, 1, 0)


@refused("close_job", "jobs: more credited than spent")
def closed_with_more_than_it_spent(t: Scene) -> Call:
    return s.HOLDER, (overdue(t), s.UNIT.address, 1, 4)


@refused("close_job", "licenses: revoked")
def closed_with_a_credit_after_revocation(t: Scene) -> Call:
    terms = overdue(t)
    t.do(s.HOLDER, "revoke", [terms])
    return s.HOLDER, (terms, s.UNIT.address, 1, 1)


@refused("close_job", "licenses: credited too often")
def closed_until_the_counter_is_full(t: Scene) -> Call:
    return s.HOLDER, (worn(t), s.UNIT.address, 3, 2)


# --------------------------------------------------------------------------------------------------- parts


def made(t: Scene, good: int = 3) -> Made:
    license = running(t, good)
    found = Made.of(t.job(license, 1), good)
    t.do(s.UNIT, "finish_job", license, good, 0, EMPTY, found.root)
    return found


@refused("check_out", "parts: zero account")
def for_the_zero_account(t: Scene) -> Call:
    part, _, deadline, signature = made(t).check_out(0, s.MAKER)
    return s.MAKER, (part, ZERO, deadline, signature)


@refused("check_out", "parts: signature expired")
def a_second_too_late(t: Scene) -> Call:
    args = made(t).check_out(0, s.MAKER, deadline=START + 60)
    t.chain.set_time(START + 61)
    return s.MAKER, args


@refused("check_out", "parts: not genuine")
def of_a_part_of_no_job(t: Scene) -> Call:
    return s.MAKER, Made.of(word("no job"), 3).check_out(0, s.MAKER)


@refused("check_out", "parts: not genuine")
def of_a_part_at_another_index(t: Scene) -> Call:
    found = made(t)
    job, good, _, *rest = found.part(0)
    digest = a.typed(s.SEPARATOR, a.CHECK_OUT, a.part_of(job, 4), s.MAKER.address, LATER)
    return s.MAKER, ((job, good, 4, *rest), s.MAKER.address, LATER, found.codes[0].sign(digest))


@refused("check_out", "parts: already checked out")
def of_a_part_checked_out_by_another(t: Scene) -> Call:
    found = made(t)
    t.do(s.MAKER, "check_out", *found.check_out(0, s.MAKER))
    return s.OTHER_MAKER, found.check_out(0, s.OTHER_MAKER)


@refused("check_out", "parts: already checked out")
def of_a_part_replayed(t: Scene) -> Call:
    args = made(t).check_out(0, s.MAKER)
    t.do(s.MAKER, "check_out", *args)
    return s.MAKER, args


@refused("check_out", "parts: bad code signature")
def taken_for_oneself_from_anothers_transaction(t: Scene) -> Call:
    part, _, deadline, signature = made(t).check_out(0, s.MAKER)
    return s.OTHER_MAKER, (part, s.OTHER_MAKER.address, deadline, signature)


@refused("check_out", "parts: bad code signature")
def with_the_signature_for_another_part(t: Scene) -> Call:
    found = made(t)
    return s.MAKER, (found.part(1), *found.check_out(0, s.MAKER)[1:])


@refused("check_out", "parts: bad code signature")
def of_a_part_whose_code_key_is_zero(t: Scene) -> Call:
    # ecrecover answers zero for nonsense; a maker that registers code key zero gets a part nobody checks out.
    license = running(t, 1)
    root = a.part_leaf(0, word("serial"), ZERO)
    t.do(s.UNIT, "finish_job", license, 1, 0, EMPTY, root)
    part = (t.job(license, 1), 1, 0, word("serial"), ZERO, ())
    return s.MAKER, (part, s.MAKER.address, LATER, bytes(64) + b"\x1b")


def check_out_signatures(found: Made) -> dict[str, bytes]:
    code, part = found.codes[0], a.part_of(found.job, 0)

    def signed(
        separator: bytes = s.SEPARATOR, text: str = a.CHECK_OUT, deadline: int = LATER, by: Account = s.MAKER
    ) -> bytes:
        return code.sign(a.typed(separator, text, part, by.address, deadline))

    good = signed()
    return {
        "of another key": s.STRANGER.sign(a.typed(s.SEPARATOR, a.CHECK_OUT, part, s.MAKER.address, LATER)),
        "for another chain": signed(a.domain(CHAIN_ID + 1, ADDRESS)),
        "for another contract": signed(a.domain(CHAIN_ID, s.STRANGER.address)),
        "of another type": signed(text=a.CHECK_OUT.replace("CheckOut", "Transfer")),
        "for another deadline": signed(deadline=LATER - 1),
        "for another account": signed(by=s.OTHER_MAKER),
        "with the high s": a.high_s(good),
        "with v 0 or 1": good[:64] + bytes([good[64] - 27]),
        "a byte short": good[:64],
        "empty": b"",
        "all zero": bytes(65),
    }


def test_a_bad_code_signature_checks_nothing_out(scene: Scene) -> None:
    found = made(scene)
    part, by, deadline, good = found.check_out(0, s.MAKER)
    before = scene.chain.storage()
    for name, signature in check_out_signatures(found).items():
        outcome = scene.send(s.MAKER, "check_out", part, by, deadline, signature)
        assert (name, outcome.reason) == (name, "parts: bad code signature")
    assert scene.chain.storage() == before
    scene.do(s.MAKER, "check_out", part, by, deadline, good)


def test_a_signature_of_66_bytes_is_not_even_read(scene: Scene) -> None:
    part, by, deadline, good = made(scene).check_out(0, s.MAKER)
    before = scene.chain.storage()
    outcome = scene.send(s.MAKER, "check_out", part, by, deadline, good + b"\0")
    assert outcome.reason is not None
    assert scene.chain.storage() == before


def test_no_function_takes_money(scene: Scene) -> None:
    # A payable function would be money that nobody can take out again.
    from tests.contracts.chain import abi

    assert {f["stateMutability"] for f in abi().functions.values()} == {"nonpayable", "view", "pure"}

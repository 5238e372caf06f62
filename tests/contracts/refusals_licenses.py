"""Refusals of module licenses: each function below sets the scene for one call that must be refused."""

from __future__ import annotations

from typing import Any

from tests.contracts import accounts as a
from tests.contracts import scene as s
from tests.contracts.accounts import EMPTY, REGISTRAR, Account, word
from tests.contracts.refusals import Call, refused
from tests.contracts.scene import LATER, Scene
from tests.contracts.settings import MOST, hashed, worn


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


@refused("credit", "licenses: credited too often")
def credited_until_the_counter_is_full(t: Scene) -> Call:
    terms = worn(t)
    t.do(s.HOLDER, "close_job", terms, s.UNIT.address, 3, 0)
    return s.HOLDER, (terms, 2)

"""Refusals of module jobs: each function below sets the scene for one call that must be refused."""

from __future__ import annotations

from typing import Any

from tests.contracts import accounts as a
from tests.contracts import scene as s
from tests.contracts.accounts import EMPTY, word
from tests.contracts.refusals import Call, refused
from tests.contracts.scene import LATER, Scene
from tests.contracts.settings import ending, job_slot, running, worn


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


@refused("start_job", "registry: halted")
def by_a_halted_unit(t: Scene) -> Call:
    return s.HALTED_UNIT, starting(t)


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

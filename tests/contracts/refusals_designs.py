"""Refusals of module designs: each function below sets the scene for one call that must be refused."""

from __future__ import annotations

from tests.contracts import scene as s
from tests.contracts.accounts import EMPTY, REGISTRAR, word
from tests.contracts.refusals import Call, refused
from tests.contracts.scene import Scene


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


@refused("change_custody", "designs: not the owner")
def by_another_rights_holder(t: Scene) -> Call:
    return s.OTHER_HOLDER, (t.content, EMPTY, word("record"))


@refused("change_custody", "designs: not the owner")
def by_a_custodian(t: Scene) -> Call:
    return s.CUSTODIAN, (t.content, EMPTY, word("record"))


@refused("change_custody", "designs: not the owner")
def of_a_version_that_never_was(t: Scene) -> Call:
    return s.HOLDER, (word("unknown"), EMPTY, word("record"))


@refused("change_custody", "designs: custody changed before")
def after_another_change(t: Scene) -> Call:
    t.do(s.HOLDER, "change_custody", t.content, EMPTY, word("record"))
    return s.HOLDER, (t.content, EMPTY, word("other record"))


@refused("change_custody", "designs: custody changed before")
def after_a_record_that_never_was(t: Scene) -> Call:
    return s.HOLDER, (t.content, word("record"), word("other record"))

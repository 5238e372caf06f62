"""Refusals of module anchors: each function below sets the scene for one call that must be refused."""

from __future__ import annotations

from tests.contracts import scene as s
from tests.contracts.accounts import REGISTRAR, word
from tests.contracts.refusals import Call, refused
from tests.contracts.scene import Scene


@refused("anchor", "anchors: not a custodian")
def by_a_rights_holder(t: Scene) -> Call:
    return s.HOLDER, (1, word("head"))


@refused("anchor", "anchors: not a custodian")
def by_a_custodian_suspended_before_its_first(t: Scene) -> Call:
    t.do(REGISTRAR, "suspend_member", s.CUSTODIAN.address, [])
    return s.CUSTODIAN, (1, word("head"))


@refused("anchor", "anchors: no more entries than before")
def of_no_entries(t: Scene) -> Call:
    return s.CUSTODIAN, (0, word("head"))


@refused("anchor", "anchors: no more entries than before")
def of_the_same_entries_with_another_head(t: Scene) -> Call:
    t.do(s.CUSTODIAN, "anchor", 7, word("head"))
    return s.CUSTODIAN, (7, word("other head"))


@refused("anchor", "anchors: no more entries than before")
def of_a_shorter_log(t: Scene) -> Call:
    t.do(s.CUSTODIAN, "anchor", 7, word("head"))
    return s.CUSTODIAN, (6, word("head"))


@refused("anchor", "anchors: no more entries than before")
def of_more_entries_than_the_slot_has_room_for(t: Scene) -> Call:
    return s.CUSTODIAN, (2**64, word("head"))

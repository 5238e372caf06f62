"""Members and units: what every function does when it is allowed to."""

from __future__ import annotations

import pytest
from tests.contracts import accounts as a
from tests.contracts import scene as s
from tests.contracts.accounts import REGISTRAR, word
from tests.contracts.chain import Event
from tests.contracts.scene import Scene


def test_the_deployer_names_the_registrar(scene: Scene) -> None:
    assert scene.events[0] == Event("RegistrarChanged", {"registrar": REGISTRAR.address}, scene.events[0].time_s)
    assert scene.view("registrar") == REGISTRAR.address


def test_propose_registrar(scene: Scene) -> None:
    (event,) = scene.do(REGISTRAR, "propose_registrar", s.MAKER.address)
    assert event.args == {"registrar": s.MAKER.address}
    assert scene.view("proposed_registrar") == s.MAKER.address
    assert scene.view("registrar") == REGISTRAR.address


def test_accept_registrar(scene: Scene) -> None:
    (event,) = scene.do(s.SUCCESSOR, "accept_registrar")
    assert event.args == {"registrar": s.SUCCESSOR.address}
    assert scene.view("registrar") == s.SUCCESSOR.address
    assert scene.view("proposed_registrar") == a.ZERO
    assert scene.send(REGISTRAR, "propose_registrar", s.MAKER.address).reason == "registry: not the registrar"
    assert scene.send(s.SUCCESSOR, "accept_registrar").reason == "registry: not the proposed registrar"


@pytest.mark.parametrize("roles", [1, 2, 4, 8, 15])
def test_admit_member(scene: Scene, roles: int) -> None:
    key, profile = a.sealing_key("k"), word("p")
    (event,) = scene.do(REGISTRAR, "admit_member", s.STRANGER.address, roles, key, profile)
    assert event.args == {"member": s.STRANGER.address, "roles": roles, "key": key, "profile": profile}
    assert scene.view("roles", s.STRANGER.address) == roles


def test_admitting_again_changes_the_roles(scene: Scene) -> None:
    scene.do(REGISTRAR, "admit_member", s.MAKER.address, a.BUILDER, b"", a.EMPTY)
    assert scene.view("roles", s.MAKER.address) == a.BUILDER


def test_suspend_member_retires_the_units_named_and_only_its_own(scene: Scene) -> None:
    named = [s.UNIT.address, s.RETIRED_UNIT.address, s.OTHER_UNIT.address, s.STRANGER.address, s.UNIT.address]
    events = scene.do(REGISTRAR, "suspend_member", s.MAKER.address, named)
    assert [e.name for e in events] == ["MemberSuspended", "UnitRetired"]
    assert events[1].args == {"unit": s.UNIT.address, "by": REGISTRAR.address}
    assert scene.view("roles", s.MAKER.address) == 0
    assert not scene.view("unit", s.UNIT.address).active
    assert scene.view("unit", s.BARE_UNIT.address).active
    assert scene.view("unit", s.OTHER_UNIT.address).active


def test_enroll_unit_without_a_builder(scene: Scene) -> None:
    args = scene.enrolment(s.NEW_UNIT, s.MAKER)
    (event,) = scene.do(s.MAKER, "enroll_unit", *args)
    assert event.args == {
        "unit": s.NEW_UNIT.address, "operator": s.MAKER.address, "builder": a.ZERO,
        "profile": args[1], "key": args[2], "enrolment": 1,
    }  # fmt: skip
    unit = scene.view("unit", s.NEW_UNIT.address)
    assert (unit.operator, unit.builder, unit.active, unit.attested) == (s.MAKER.address, a.ZERO, True, False)
    assert (unit.enrolment, unit.profile, unit.key_digest) == (1, args[1], a.keccak(args[2]))
    job = scene.view("job", s.NEW_UNIT.address)
    assert (job.sequence, job.quantity, job.running, job.license) == (0, 0, False, 0)


def test_enroll_unit_with_its_builder(scene: Scene) -> None:
    scene.do(s.MAKER, "enroll_unit", *scene.enrolment(s.NEW_UNIT, s.MAKER, s.BUILDER))
    unit = scene.view("unit", s.NEW_UNIT.address)
    assert (unit.builder, unit.attested) == (s.BUILDER.address, True)


def test_a_retired_unit_moves_to_another_operator_and_keeps_its_sequence(scene: Scene) -> None:
    terms = scene.terms()
    scene.grant(terms)
    scene.start(terms)
    scene.do(s.MAKER, "retire_unit", s.UNIT.address)
    scene.do(s.OTHER_MAKER, "enroll_unit", *scene.enrolment(s.UNIT, s.OTHER_MAKER, number=2))
    unit = scene.view("unit", s.UNIT.address)
    assert (unit.operator, unit.enrolment, unit.attested) == (s.OTHER_MAKER.address, 2, False)
    assert scene.view("job", s.UNIT.address).sequence == 1


@pytest.mark.parametrize("by", [s.MAKER, s.BUILDER, s.UNIT, REGISTRAR], ids=str)
def test_retire_unit_by_each_who_may(scene: Scene, by: a.Account) -> None:
    (event,) = scene.do(by, "retire_unit", s.UNIT.address)
    assert event.args == {"unit": s.UNIT.address, "by": by.address}
    unit = scene.view("unit", s.UNIT.address)
    assert (unit.active, unit.attested, unit.enrolment) == (False, False, 1)


@pytest.mark.parametrize("by", [s.MAKER, REGISTRAR], ids=str)
def test_halt_unit_by_each_who_may_and_clear_unit_by_its_operator(scene: Scene, by: a.Account) -> None:
    terms = scene.terms()
    scene.grant(terms)
    (event,) = scene.do(by, "halt_unit", s.UNIT.address)
    assert (event.name, event.args) == ("UnitHalted", {"unit": s.UNIT.address, "by": by.address})
    unit = scene.view("unit", s.UNIT.address)
    assert (unit.halted, unit.active, unit.attested, unit.enrolment) == (True, True, True, 1)
    assert scene.view("release_facts", s.UNIT.address, terms).halted
    assert scene.view("available", s.UNIT.address, terms) == 0
    # A second alarm is no fault, and one clearing ends both.
    scene.do(s.MAKER, "halt_unit", s.UNIT.address)
    (event,) = scene.do(s.MAKER, "clear_unit", s.UNIT.address)
    assert (event.name, event.args) == ("UnitCleared", {"unit": s.UNIT.address})
    assert not scene.view("unit", s.UNIT.address).halted
    assert not scene.view("release_facts", s.UNIT.address, terms).halted
    assert scene.view("available", s.UNIT.address, terms) == 10
    scene.start(terms)


def test_a_retired_unit_can_be_halted_and_a_halted_unit_finishes_its_job(scene: Scene) -> None:
    terms = scene.terms()
    license = scene.grant(terms)
    scene.start(terms, 2)
    scene.do(s.MAKER, "retire_unit", s.UNIT.address)
    scene.do(s.MAKER, "halt_unit", s.UNIT.address)
    assert scene.view("unit", s.UNIT.address).halted
    # What was made until then is told all the same.
    scene.do(s.UNIT, "finish_job", license, 1, 1, word("evidence"), word("parts"))
    scene.do(s.OTHER_MAKER, "enroll_unit", *scene.enrolment(s.UNIT, s.OTHER_MAKER, number=2))
    assert not scene.view("unit", s.UNIT.address).halted


def test_domain_separator_is_that_of_eip_712(scene: Scene) -> None:
    assert scene.view("domain_separator") == s.SEPARATOR


def test_role_constants(scene: Scene) -> None:
    names = ("RIGHTS_HOLDER", "MAKER", "BUILDER", "CUSTODIAN")
    assert [scene.view(name) for name in names] == [1, 2, 4, 8]


def test_views_of_what_never_was_are_zero(scene: Scene) -> None:
    assert scene.view("roles", s.NOBODY.address) == 0
    assert scene.view("unit", s.NOBODY.address) == (a.ZERO, a.ZERO, False, False, False, 0, a.EMPTY, a.EMPTY)

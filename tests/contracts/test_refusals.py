"""Every refusal of every external function: the exact reason, and nothing changed.

The list is held against the contracts' source: a reason string without a test here is red, and so is a test of a
refusal that the source no longer contains.
"""

from __future__ import annotations

import pytest
from tests.contracts import (
    refusals_anchors,
    refusals_designs,
    refusals_jobs,
    refusals_licenses,
    refusals_parts,
    refusals_registry,
    source,
)
from tests.contracts import scene as s
from tests.contracts.chain import abi
from tests.contracts.refusals import CASES, UNREACHABLE, Arrange
from tests.contracts.refusals_parts import check_out_signatures, made
from tests.contracts.refusals_registry import BAD_UNIT_SIGNATURES, GOOD_UNIT_SIGNATURE, unit_signed
from tests.contracts.scene import Scene

FILLED_BY = (refusals_registry, refusals_designs, refusals_licenses, refusals_jobs, refusals_parts, refusals_anchors)


def test_every_refusal_in_the_source_has_a_test() -> None:
    # Red when an `assert` with a new reason is added to any contract, or a case below is deleted.
    listed = {(name, reason) for name, reason, _ in CASES}
    assert listed | set(UNREACHABLE) == source.refusals()
    assert not listed & set(UNREACHABLE)


def test_every_assertion_has_a_reason_that_names_its_module() -> None:
    reasons = {r for f in source.functions().values() for r in f.reasons}
    assert {r.split(": ")[0] for r in reasons} == {"registry", "designs", "licenses", "jobs", "parts", "anchors"}


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


@pytest.mark.parametrize("name", BAD_UNIT_SIGNATURES)
def test_a_bad_unit_signature_enrolls_nothing(scene: Scene, name: str) -> None:
    sender, args = unit_signed(BAD_UNIT_SIGNATURES[name])
    before = scene.chain.storage()
    assert scene.send(sender, "enroll_unit", *args).reason == "registry: bad unit signature"
    assert scene.chain.storage() == before
    _, good = unit_signed(GOOD_UNIT_SIGNATURE)
    scene.do(s.MAKER, "enroll_unit", *good)


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
    assert {f["stateMutability"] for f in abi().functions.values()} == {"nonpayable", "view", "pure"}

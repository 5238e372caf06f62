"""Parts: as many as good copies, each checked by its proof and checked out once."""

from __future__ import annotations

import pytest
from tests.contracts import accounts as a
from tests.contracts import scene as s
from tests.contracts.accounts import EMPTY, word
from tests.contracts.scene import Made, Scene


def make(scene: Scene, good: int) -> Made:
    """Finish a job of `good` copies."""
    terms = scene.terms()
    license = scene.grant(terms, copies=good)
    sequence = scene.start(terms, good)
    made = Made.of(scene.job(license, sequence), good)
    scene.do(s.UNIT, "finish_job", license, good, 0, EMPTY, made.root)
    return made


@pytest.mark.parametrize("good", [1, 2, 3, 4, 5, 8, 9])
def test_check_part_knows_every_good_copy_and_no_more(scene: Scene, good: int) -> None:
    made = make(scene, good)
    assert all(scene.view("check_part", made.part(i)) for i in range(good))
    job, good, index, serial, key, proof = made.part(good - 1)
    leaves = len(made.levels[0])
    forgeries = {
        "one index on": (job, good, index + 1, serial, key, proof),
        "one turn of the tree on": (job, good, index + leaves, serial, key, proof),
        "more good copies": (job, good + 1, index, serial, key, proof),
        "far more good copies": (job, 2**31, index, serial, key, proof),
        "another job": (word("job"), good, index, serial, key, proof),
        "another serial": (job, good, index, word("serial"), key, proof),
        "another code": (job, good, index, serial, s.CODE.address, proof),
        "a longer proof": (job, good, index, serial, key, (*proof, EMPTY)),
        "the longest proof": (job, good, index, serial, key, (EMPTY,) * 31),
        "no good copies": (job, 0, 0, serial, key, ()),
    }
    if good > 1:
        forgeries["a shorter proof"] = (job, good, index, serial, key, proof[1:])
        forgeries["fewer good copies"] = (job, good - 1, index, serial, key, proof)
        forgeries["another index"] = (job, good, index - 1, serial, key, proof)
        forgeries["another sibling"] = (job, good, index, serial, key, (word("sibling"), *proof[1:]))
    genuine = [name for name, part in forgeries.items() if scene.view("check_part", part)]
    assert genuine == []


def test_parts_of_the_largest_job(scene: Scene) -> None:
    # 2**31 - 1 parts: no tree is built here, one path of 31 siblings is enough to know that the bounds hold.
    good, index = 2**31 - 1, 2**31 - 2
    proof = tuple(word(f"sibling {i}") for i in range(31))
    terms = scene.terms()
    license = scene.grant(terms, copies=good)
    scene.start(terms, good)
    node, path = a.part_leaf(a.part_of(scene.job(license, 1), index), word("serial"), s.CODE.address), index
    for sibling in proof:
        node, path = (a.keccak(sibling + node) if path & 1 else a.keccak(node + sibling)), path >> 1
    scene.do(s.UNIT, "finish_job", license, good, 0, EMPTY, node)
    part = (scene.job(license, 1), good, index, word("serial"), s.CODE.address, proof)
    assert scene.view("check_part", part)
    assert not scene.view("check_part", (*part[:2], index + 2**31, *part[3:]))
    assert not scene.view("check_part", (part[0], good, good, *part[3:]))


def test_a_failed_job_has_no_parts(scene: Scene) -> None:
    terms = scene.terms()
    license = scene.grant(terms)
    scene.start(terms)
    scene.do(s.UNIT, "finish_job", license, 0, 1, EMPTY, EMPTY)
    assert not scene.view("check_part", (scene.job(license, 1), 0, 0, EMPTY, a.ZERO, ()))
    assert not scene.view("check_part", (scene.job(license, 1), 1, 0, EMPTY, a.ZERO, ()))


def test_check_out_by_anyone_for_the_one_who_is_named(scene: Scene) -> None:
    made = make(scene, 3)
    (event,) = scene.do(s.STRANGER, "check_out", *made.check_out(1, s.MAKER))
    part = a.part_of(made.job, 1)
    assert event.args == {"part": part, "by": s.MAKER.address}
    assert scene.view("checked_out", part) == (s.MAKER.address, scene.chain.now)
    assert scene.view("checked_out", a.part_of(made.job, 0)) == (a.ZERO, 0)
    assert scene.view("check_part", made.part(1))


def test_check_out_at_the_last_second(scene: Scene) -> None:
    made = make(scene, 1)
    arguments = made.check_out(0, s.MAKER, deadline=scene.chain.now + 60)
    scene.wait(60)
    scene.do(s.MAKER, "check_out", *arguments)


def test_part_of(scene: Scene) -> None:
    assert scene.view("part_of", word("job"), 7) == a.part_of(word("job"), 7)


def test_no_other_job_can_claim_the_same_parts(scene: Scene) -> None:
    # Red without the part id in its leaf: the labels of the copied parts would prove the copying job too.
    made = make(scene, 2)
    terms = scene.terms("another document")
    license = scene.grant(terms, copies=2)
    copying = scene.job(license, scene.start(terms, 2))
    scene.do(s.UNIT, "finish_job", license, 2, 0, EMPTY, made.root)
    assert scene.view("check_part", made.part(0))
    assert not scene.view("check_part", (copying, *made.part(0)[1:]))

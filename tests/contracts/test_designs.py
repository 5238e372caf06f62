"""Designs: publish, follow, withdraw; and the id that nobody can take first."""

from __future__ import annotations

from tests.contracts import accounts as a
from tests.contracts import scene as s
from tests.contracts.accounts import word
from tests.contracts.chain import abi
from tests.contracts.scene import Scene


def test_publish(scene: Scene) -> None:
    outcome = scene.send(s.HOLDER, "publish", word("other"), 4)
    content = abi().answer("publish", outcome.output)
    assert content == a.content_of(s.HOLDER.address, word("other"))
    assert scene.events[-1].args == {
        "content": content, "owner": s.HOLDER.address, "previous": a.EMPTY, "parts_per_run": 4,
    }  # fmt: skip
    assert scene.view("design", content) == (s.HOLDER.address, 4, False, a.EMPTY)


def test_publish_version(scene: Scene) -> None:
    outcome = scene.send(s.HOLDER, "publish_version", word("second"), scene.content, 2)
    content = abi().answer("publish_version", outcome.output)
    assert scene.events[-1].args["previous"] == scene.content
    assert scene.view("design", content) == (s.HOLDER.address, 2, False, a.EMPTY)
    assert scene.view("design", scene.content) == (s.HOLDER.address, 1, False, a.EMPTY)


def test_the_same_commitment_of_another_owner_is_another_design(scene: Scene) -> None:
    scene.do(s.OTHER_HOLDER, "publish", word("design"), 1)
    assert scene.view("design", scene.content).owner == s.HOLDER.address


def test_parts_per_run_at_its_bounds(scene: Scene) -> None:
    scene.do(s.HOLDER, "publish", word("most"), 2**32 - 1)
    content = a.content_of(s.HOLDER.address, word("most"))
    assert scene.view("design", content) == (s.HOLDER.address, 2**32 - 1, False, a.EMPTY)


def test_withdraw_many(scene: Scene) -> None:
    scene.do(s.HOLDER, "publish", word("second"), 1)
    contents = [scene.content, a.content_of(s.HOLDER.address, word("second"))]
    events = scene.do(s.HOLDER, "withdraw", contents)
    assert [e.args["content"] for e in events] == contents
    assert all(scene.view("design", c).withdrawn for c in contents)


def test_a_withdrawn_design_can_have_a_successor(scene: Scene) -> None:
    scene.do(s.HOLDER, "withdraw", [scene.content])
    scene.do(s.HOLDER, "publish_version", word("repaired"), scene.content, 1)


def test_custody_is_handed_on_from_record_to_record_and_custodians_are_told(scene: Scene) -> None:
    former = a.EMPTY
    for record in (word("first record"), word("second record"), a.EMPTY):
        (event,) = scene.do(s.HOLDER, "change_custody", scene.content, former, record)
        assert event.args == {"content": scene.content, "record": record}
        assert scene.view("design", scene.content).custody == record
        assert scene.view("release_facts", s.UNIT.address, scene.terms()).custody == record
        former = record


def test_custody_of_a_withdrawn_design_can_still_change(scene: Scene) -> None:
    scene.do(s.HOLDER, "withdraw", [scene.content])
    scene.do(s.HOLDER, "change_custody", scene.content, a.EMPTY, word("record"))
    assert scene.view("design", scene.content) == (s.HOLDER.address, 1, True, word("record"))


def test_content_of_binds_owner_manifest_salt_and_file(scene: Scene) -> None:
    manifest, salt, file = word("manifest"), word("salt"), word("file")
    commitment = a.keccak(manifest + a.keccak(salt + file))
    made = scene.view("content_of", s.HOLDER.address, manifest, salt, file)
    assert made == a.content_of(s.HOLDER.address, commitment)
    others = {
        scene.view("content_of", s.OTHER_HOLDER.address, manifest, salt, file),
        scene.view("content_of", s.HOLDER.address, salt, manifest, file),
        scene.view("content_of", s.HOLDER.address, manifest, file, salt),
    }
    assert made not in others
    assert len(others) == 3

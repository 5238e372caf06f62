"""Anchors of custodians' logs: one slot each, a chain over all of them, for custodians."""

from __future__ import annotations

from tests.contracts import accounts as a
from tests.contracts import scene as s
from tests.contracts.accounts import REGISTRAR, word
from tests.contracts.scene import Scene


def chained(former: int, entries: int, head: bytes) -> int:
    """The slot after an anchor."""
    digest = int.from_bytes(a.keccak(former.to_bytes(32, "big") + head), "big")
    return digest >> 64 << 64 | entries


def test_anchors_are_chained_in_one_slot(scene: Scene) -> None:
    assert scene.view("anchored", s.CUSTODIAN.address) == 0
    slot = 0
    for entries, head in ((1, word("one")), (2, word("two")), (1000, word("many")), (2**64 - 1, word("most"))):
        (event,) = scene.do(s.CUSTODIAN, "anchor", entries, head)
        assert event.args == {"custodian": s.CUSTODIAN.address, "entries": entries, "head": head}
        slot = chained(slot, entries, head)
        assert scene.view("anchored", s.CUSTODIAN.address) == slot


def test_each_custodian_has_its_own(scene: Scene) -> None:
    scene.do(REGISTRAR, "admit_member", s.STRANGER.address, a.CUSTODIAN, a.sealing_key("k"), a.EMPTY)
    scene.do(s.CUSTODIAN, "anchor", 9, word("head"))
    scene.do(s.STRANGER, "anchor", 3, word("head"))
    assert scene.view("anchored", s.CUSTODIAN.address) == chained(0, 9, word("head"))
    assert scene.view("anchored", s.STRANGER.address) == chained(0, 3, word("head"))


def test_who_left_may_go_on_to_vouch_for_its_log(scene: Scene) -> None:
    # The role is read once, for its price. What an anchor says, it says of its sender's log only.
    scene.do(s.CUSTODIAN, "anchor", 1, word("head"))
    scene.do(REGISTRAR, "suspend_member", s.CUSTODIAN.address, [])
    scene.do(s.CUSTODIAN, "anchor", 2, word("next head"))

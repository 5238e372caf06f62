"""The events tell everything: the state rebuilt from them is the state that the contract holds, slot by slot."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from tests.contracts.chain import AnvilChain, BoaChain, artifact
from tests.contracts.replay import replay, storage
from tests.contracts.scene import Scene, settle
from tests.contracts.test_access import tell_all

from programs import program


def test_replaying_the_events_rebuilds_every_slot() -> None:
    scene = tell_all(settle(Scene(BoaChain())))
    rebuilt = storage(replay(scene.events), artifact()["layout"])
    assert rebuilt == scene.chain.storage()
    assert len(rebuilt) > 40


@pytest.mark.needs("anvil")
def test_replaying_the_events_rebuilds_every_slot_on_anvil() -> None:
    # Anvil dumps every slot there is, also any that the tracer of titanoboa would not have seen.
    with AnvilChain(program("anvil") or "anvil") as anvil:
        scene = tell_all(settle(Scene(anvil)))
        assert storage(replay(scene.events), artifact()["layout"]) == anvil.storage()


def test_no_event_can_be_left_out_or_doubled() -> None:
    # Red for an event that nobody needs: one that changes nothing when it is missing and nothing when it comes twice.
    scene = tell_all(settle(Scene(BoaChain())))
    held = scene.chain.storage()
    names = {e.name for e in scene.events} - {"RegistrarProposed"}  # an offer taken leaves no trace
    for name in sorted(names):
        index = max(i for i, e in enumerate(scene.events) if e.name == name)
        without = scene.events[:index] + scene.events[index + 1 :]
        assert _rebuilt(without) != held, name


def _rebuilt(events: list[Any]) -> dict[int, int] | None:
    try:
        return storage(replay(copy.deepcopy(events)), artifact()["layout"])
    except (KeyError, AssertionError, ValueError):
        return None

"""What every call costs: exactly as in the snapshot, under its ceiling, and the same with 100,000 records."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from tests.contracts.chain import AnvilChain, abi
from tests.contracts.gas_story import SNAPSHOT, Meter, fill, measure, tell
from tests.contracts.scene import Scene, settle

from programs import program

RECORDS = 100_000


@pytest.fixture(scope="module")
def meter() -> Meter:
    return measure()


@pytest.fixture(scope="module")
def snapshot() -> dict[str, dict[str, int]]:
    return json.loads(SNAPSHOT.read_text())


def test_every_call_costs_what_the_snapshot_says(meter: Meter, snapshot: dict[str, dict[str, int]]) -> None:
    # After a change that was meant: `python -m tests.contracts.gas_story` writes the new figures.
    assert meter.gas == {label: line["gas"] for label, line in snapshot.items()}


def test_no_call_costs_more_than_its_ceiling(meter: Meter, snapshot: dict[str, dict[str, int]]) -> None:
    over = {label: gas for label, gas in meter.gas.items() if gas > snapshot[label]["ceiling"]}
    assert over == {}


def test_every_state_changing_function_is_in_the_story(meter: Meter) -> None:
    # Red when a function is added to any contract and not to the story.
    assert set(meter.functions.values()) == set(abi().changing)


def test_the_promised_figures(meter: Meter) -> None:
    gas = meter.gas
    assert max(g for label, g in gas.items() if label.startswith("grant (")) <= 52_000
    for quantity in (1, 100):
        start, finish = gas[f"start_job (next, {quantity})"], gas[f"finish_job (next, {quantity})"]
        assert start <= 42_000
        assert finish <= 56_000
        assert start + finish <= 98_000
    assert gas["grant_many (100)"] <= 100 * 30_000


def test_a_job_of_a_hundred_costs_what_a_job_of_one_costs(meter: Meter) -> None:
    for function in ("start_job", "finish_job"):
        lines = [f"{function} ({which}, {quantity})" for which in ("first", "next") for quantity in (1, 100)]
        assert len({meter.execution[line] for line in lines}) == 1
    grants = {e for label, e in meter.execution.items() if label.startswith("grant (")}
    assert len(grants) == 1


@pytest.fixture
def anvil() -> Iterator[AnvilChain]:
    with AnvilChain(program("anvil") or "anvil") as chain:
        yield chain


@pytest.mark.needs("anvil")
def test_anvil_charges_the_same_with_none_and_with_a_hundred_thousand_records(anvil: AnvilChain, meter: Meter) -> None:
    # Red when any call walks through, or searches, what others have recorded.
    scene = settle(Scene(anvil))
    assert tell(scene).gas == meter.gas
    before = tell(scene, " before").execution
    fill(anvil, RECORDS)
    assert tell(scene, " after").execution == before

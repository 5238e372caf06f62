"""What the queue orders next. The sentences hold for shops of any shape, in which runs end well, badly or never.

`play` is the world around the decision: it orders, ends and loses runs in any order, and holds the books against it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from printright.domain.dispatch import (
    REST_S,
    Attempt,
    AttemptState,
    Decision,
    Item,
    ItemState,
    OfferSeen,
    PrinterSeen,
    Tally,
    decide,
    set_aside,
)
from printright.domain.fit import Machine, Needs
from printright.domain.ids import JobId, LicenseId

LICENSE = LicenseId(b"l" * 32)
IDLE = Machine(state="idle", bed_clear=True, material="PLA", nozzle_mm=0.4, reach_mm=(200.0, 200.0, 200.0))


def item(number: int = 1, quantity: int = 4, **changes: Any) -> Item:
    values = {"license": LICENSE, "may_fail": 2, "position": float(number)}
    return Item(number=number, quantity=quantity, **{**values, **changes})


def printer(name: str, *, available: int = 100, run: int | None = 1, **changes: Any) -> PrinterSeen:
    offer = OfferSeen(available=available, note="", parts_per_run=run, needs=Needs(material="PLA"))
    return PrinterSeen(name=name, **{"machine": IDLE, "offers": {LICENSE: offer}, **changes})


def attempt(number: int, state: AttemptState, name: str = "a", **changes: Any) -> Attempt:
    values: dict[str, Any] = {"item": 1, "quantity": 1, "order_key": str(number)}
    if state is not AttemptState.ORDERED:
        values["job"] = JobId(number.to_bytes(32, "big"))
    return Attempt(number=number, printer=name, state=state, **{**values, **changes})


def ordered(decision: Decision) -> list[tuple[int, str]]:
    return [(order.item, order.printer) for order in decision.orders]


def test_whoever_is_ready_takes_a_run_and_the_first_item_comes_first() -> None:
    decision = decide([item(2), item(1, quantity=2)], [], [printer("b"), printer("a"), printer("c")], 0)
    assert ordered(decision) == [(1, "a"), (1, "b"), (2, "c")]


def test_an_item_that_fits_nothing_keeps_nobody_waiting() -> None:
    other = LicenseId(b"o" * 32)
    decision = decide([item(1, license=other), item(2)], [], [printer("a")], 0)
    assert ordered(decision) == [(2, "a")]
    assert decision.why_not == {(1, "a"): "does not have the license yet"}


def test_a_run_is_as_many_parts_as_it_makes() -> None:
    decision = decide([item(quantity=6)], [], [printer("a", run=4), printer("b", run=4)], 0)
    assert [order.quantity for order in decision.orders] == [4]
    assert decision.why_not == {(1, "b"): "a run makes 4 parts, and only 2 are wanted"}
    decision = decide([item(quantity=2)], [], [printer("a", run=4)], 0)
    assert decision.why_not == {(1, "a"): "a run makes 4 parts, and only 2 are wanted"}
    assert "how many parts" in decide([item()], [], [printer("a", run=None)], 0).why_not[1, "a"]


def test_copies_that_are_ordered_and_not_spent_are_not_there_any_more() -> None:
    # Red without step 5: both printers would order the last copy, and one would be refused.
    seen = [printer(name, available=1) for name in "abc"]
    assert ordered(decide([item()], [], seen, 0)) == [(1, "a")]
    open_one = attempt(1, AttemptState.ORDERED)
    assert ordered(decide([item()], [open_one], seen, 0)) == []
    assert ordered(decide([item()], [replace(open_one, state=AttemptState.RUNNING, spent=True)], seen, 0)) == [(1, "b")]


def test_a_failed_job_is_tried_again_once_and_rather_elsewhere() -> None:
    failed = attempt(1, AttemptState.ENDED, failed=1)
    (order,) = decide([item(quantity=1)], [failed], [printer("a"), printer("b")], 0).orders
    assert (order.printer, order.retry_of) == ("b", failed.job)
    again = attempt(2, AttemptState.RUNNING, "b", retry_of=failed.job, spent=True)
    (order,) = decide([item(quantity=2)], [failed, again], [printer("a"), printer("b")], 0).orders
    assert (order.printer, order.retry_of) == ("a", None)
    # What was refused has made nothing good: the failed job is still to be tried again.
    refused = replace(again, state=AttemptState.REFUSED)
    (order,) = decide([item(quantity=1)], [failed, refused], [printer("a")], 0).orders
    assert order.retry_of == failed.job


def test_more_failures_than_may_be_are_held() -> None:
    failed = [attempt(number, AttemptState.ENDED, failed=1) for number in range(1, 4)]
    decision = decide([item(may_fail=2)], failed, [printer("a")], 0)
    assert decision.orders == ()
    assert "3 copies failed, and 2 may" in decision.held[1]
    assert decide([item(may_fail=3)], failed, [printer("a")], 0).orders


def test_a_refusal_is_not_sent_again_at_once() -> None:
    # Red without `_rests`: an agent that says no would be asked each second.
    refused = attempt(1, AttemptState.REFUSED, ended_at_s=100, note="no")
    seen = [printer("a")]
    decision = decide([item()], [refused], seen, 100)
    assert decision.why_not == {(1, "a"): "refused: no"}
    assert ordered(decide([item()], [refused], seen, 100 + REST_S)) == [(1, "a")]
    twice = [refused, replace(refused, number=2)]
    assert ordered(decide([item()], twice, seen, 100 + REST_S)) == []
    assert ordered(decide([item()], twice, seen, 100 + 2 * REST_S)) == [(1, "a")]
    assert ordered(decide([item()], twice, seen, 50)) == [(1, "a")], "a clock that was set back makes nobody wait"


def test_away_aside_and_unfit_printers_say_why() -> None:
    seen = [
        printer("away", away="does not answer"),
        printer("aside", aside="2 runs failed"),
        printer("other", machine=replace(IDLE, material="PETG")),
        printer("none", available=0),
    ]
    why = decide([item()], [], seen, 0).why_not
    assert why[1, "away"] == "does not answer"
    assert why[1, "aside"] == "set aside: 2 runs failed"
    assert why[1, "other"] == "PETG loaded, needs PLA"
    assert why[1, "none"] == "no copies left"


def test_set_aside_after_failures_in_a_row() -> None:
    good, bad = attempt(1, AttemptState.ENDED, good=1), attempt(2, AttemptState.ENDED, failed=1)
    assert not set_aside([], 2)
    assert not set_aside([bad, good, bad], 2)
    assert set_aside([good, bad, bad], 2)
    assert set_aside([replace(bad, state=AttemptState.GIVEN_UP)], 1)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_shop_makes_what_was_asked_for_and_no_copy_twice(data: st.DataObject) -> None:
    run = data.draw(st.integers(1, 3), "parts per run")
    copies = data.draw(st.integers(0, 40), "copies")
    items = {
        number: item(number, run * data.draw(st.integers(1, 4)), may_fail=data.draw(st.integers(0, 6)))
        for number in range(1, data.draw(st.integers(1, 3), "items") + 1)
    }
    names = "abc"[: data.draw(st.integers(1, 3), "printers")]
    attempts: list[Attempt] = []
    available, now = copies, 0
    for _ in range(data.draw(st.integers(1, 40), "steps")):
        now += 1_000
        seen = [
            printer(name, available=available, run=run, away=data.draw(st.sampled_from(["", "", "away"])))
            for name in names
        ]
        decision = decide(list(items.values()), attempts, seen, now)
        # One order for a printer, none for one that is away or has one, none beyond what is wanted or there.
        busy = {each.printer for each in attempts if each.is_open}
        assert len({order.printer for order in decision.orders}) == len(decision.orders)
        assert not busy & {order.printer for order in decision.orders}
        assert all(not each.away for each in seen if each.name in {order.printer for order in decision.orders})
        unspent = sum(each.quantity for each in attempts if each.is_open and not each.spent)
        assert sum(order.quantity for order in decision.orders) <= max(0, available - unspent)
        for order in decision.orders:
            number = len(attempts) + 1
            attempts.append(
                Attempt(
                    number=number,
                    item=order.item,
                    printer=order.printer,
                    quantity=order.quantity,
                    order_key=str(number),
                    retry_of=order.retry_of,
                )
            )
        for number in decision.done:
            items[number] = replace(items[number], state=ItemState.DONE)
        for number in decision.held:
            items[number] = replace(items[number], state=ItemState.HELD)
        for index, each in enumerate(attempts):
            if not each.is_open:
                continue
            fate = data.draw(st.sampled_from(["waits", "spends", "ends", "fails", "refused"]))
            if fate == "refused" and not each.spent:
                attempts[index] = replace(each, state=AttemptState.REFUSED, ended_at_s=now)
            elif fate != "waits" and not each.spent:
                if available < each.quantity:
                    attempts[index] = replace(each, state=AttemptState.REFUSED, ended_at_s=now)
                else:
                    available -= each.quantity
                    job = JobId(each.number.to_bytes(32, "big"))
                    attempts[index] = replace(each, state=AttemptState.RUNNING, spent=True, job=job)
            elif fate == "ends":
                attempts[index] = replace(each, state=AttemptState.ENDED, good=each.quantity)
            elif fate == "fails":
                attempts[index] = replace(each, state=AttemptState.ENDED, failed=each.quantity)
                available += each.quantity
    for number, each in items.items():
        tally = Tally.of(each, [attempt for attempt in attempts if attempt.item == number])
        assert tally.good + tally.open <= each.quantity
        assert tally.failed <= each.may_fail + run * len(names), "what ran when it became too much may still fail"
        assert each.state is not ItemState.DONE or tally.good == each.quantity
    running = sum(each.quantity for each in attempts if each.is_open and each.spent)
    assert available + sum(each.good for each in attempts) + running == copies
    retried = Counter(each.retry_of for each in attempts if each.retry_of and each.state is not AttemptState.REFUSED)
    assert all(count == 1 for count in retried.values()), "a failed job is made good by one job"
    by_job = {each.job: each for each in attempts if each.job}
    assert all(by_job[each.retry_of].item == each.item for each in attempts if each.retry_of), "of its own item"

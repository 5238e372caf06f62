"""50,000 steps of members, units, licenses, jobs and parts, with what must never happen checked after each.

The sentences are those of ASSURANCE (1-5, 7, 8, 10 and 13 as far as the ledger goes); `life` is the model and also says
for every single call whether it must work or with which reason it must be refused. The seed is fixed and printed;
`PRINTRIGHT_SEED=...` takes another. A found failure is shrunk to the shortest run by Hypothesis.
"""

from __future__ import annotations

import functools
import os
import random
from collections import Counter
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from tests.contracts import accounts as a
from tests.contracts import scene as s
from tests.contracts.chain import AnvilChain, BoaChain, Event, abi, artifact
from tests.contracts.life import Life, born
from tests.contracts.replay import license_slot, replay, storage
from tests.contracts.scene import Scene

from programs import program

SEED = int(os.environ.get("PRINTRIGHT_SEED", "20261123"))
RUNS, STEPS = 560, 100


def n(most: int) -> st.SearchStrategy[int]:
    return st.integers(0, most)


FAULT = n(12)
MOMENTS = st.sampled_from((1, 1, 1, 1, 25, 700))


@functools.cache
def beginning() -> Life:
    return born(Scene(BoaChain()))


class LifeOfTheLedger(RuleBasedStateMachine):
    """Every rule is one call (or a wait and a call), every invariant a sentence."""

    steps = 0
    worked: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        first = beginning()
        self.anchor = first.scene.chain.anchored()
        self.anchor.__enter__()
        self.life = first.copy()
        self.chain = self.life.scene.chain
        self.seen = 0

    def step(self) -> Life:
        type(self).steps += 1
        self.life.tick()
        return self.life

    @rule(wait=MOMENTS, by=n(3), who=n(4), choice=n(8))
    def admit(self, wait: int, by: int, who: int, choice: int) -> None:
        self.life.tick(wait)
        self.step().admit(by, who, choice)

    @rule(who=n(4), named=n(15), rarely=n(4))
    def suspend(self, who: int, named: int, rarely: int) -> None:
        self.step().suspend(who, named, rarely)

    @rule(step=n(1), who=n(2))
    def hand_over(self, step: int, who: int) -> None:
        self.step().hand_over(step, who)

    @rule(machine=n(3), who=n(4), by=n(2), fault=FAULT)
    def enroll(self, machine: int, who: int, by: int, fault: int) -> None:
        self.step().enroll(machine, who, by, fault)

    @rule(machine=n(3), by=n(4))
    def retire(self, machine: int, by: int) -> None:
        self.step().retire(machine, by)

    @rule(machine=n(3), by=n(3), rarely=n(4))
    def halt(self, machine: int, by: int, rarely: int) -> None:
        self.step().halt(machine, by, rarely)

    @rule(machine=n(3), by=n(3))
    def clear(self, machine: int, by: int) -> None:
        self.step().clear(machine, by)

    @rule(who=n(3), parts=n(6), old=n(7))
    def publish(self, who: int, parts: int, old: int) -> None:
        self.step().publish(who, parts, old)

    @rule(which=n(8), by=n(3), rarely=n(4))
    def withdraw(self, which: int, by: int, rarely: int) -> None:
        self.step().withdraw(which, by, rarely)

    @rule(which=n(8), by=n(4), fault=n(3))
    def change_custody(self, which: int, by: int, fault: int) -> None:
        self.step().change_custody(which, by, fault)

    @rule(who=n(6), more=n(9))
    def anchor_a_log(self, who: int, more: int) -> None:
        self.step().anchor(who, more)

    @rule(which=n(5), who=n(1), copies=n(11), allowance=n(4), conditions=n(63))
    def grant(self, which: int, who: int, copies: int, allowance: int, conditions: int) -> None:
        self.step().grant(which, who, copies, allowance, conditions)

    @rule(which=n(5), count=st.integers(1, 3), fault=n(5))
    def grant_many(self, which: int, count: int, fault: int) -> None:
        self.step().grant_many(which, count, fault)

    @rule(which=n(11), rarely=n(3))
    def revoke(self, which: int, rarely: int) -> None:
        self.step().revoke(which, rarely)

    @rule(which=n(11))
    def pause(self, which: int) -> None:
        self.step().pause(which)

    @rule(which=n(11))
    def resume(self, which: int) -> None:
        self.step().resume(which)

    @rule(which=n(5), copies=n(4), allowance=n(2), to=n(2))
    def assign(self, which: int, copies: int, allowance: int, to: int) -> None:
        self.step().assign(which, copies, allowance, to)

    @rule(which=n(11), copies=n(3))
    def credit(self, which: int, copies: int) -> None:
        self.step().credit(which, copies)

    @rule(machine=n(3), which=n(5), amount=n(11), fault=FAULT)
    def start(self, machine: int, which: int, amount: int, fault: int) -> None:
        self.step().start(machine, which, amount, fault)

    @rule(machine=n(3), split=n(5), fault=FAULT)
    def finish(self, machine: int, split: int, fault: int) -> None:
        self.step().finish(machine, split, fault)

    def _work(self, machine: int, which: int, amount: int, split: int) -> None:
        self.step().work(machine, which, amount, split)

    # Jobs are what a network does most: rules are drawn evenly, so this one stands here several times.
    work_one = rule(machine=n(3), which=n(5), amount=n(11), split=n(7))(_work)
    work_two = rule(machine=n(3), which=n(5), amount=n(11), split=n(7))(_work)
    work_three = rule(machine=n(3), which=n(5), amount=n(5), split=n(5))(_work)
    work_four = rule(machine=n(3), which=n(5), amount=n(5), split=n(5))(_work)
    work_five = rule(machine=n(3), which=n(5), amount=n(5), split=n(5))(_work)

    @rule(wait=MOMENTS, which=n(8), credited=n(3), fault=n(4))
    def close(self, wait: int, which: int, credited: int, fault: int) -> None:
        self.life.tick(wait)
        self.step().close(which, credited, fault)

    @rule(which=n(8), index=n(7), by=n(4), fault=FAULT)
    def check_out(self, which: int, index: int, by: int, fault: int) -> None:
        self.step().check_out(which, index, by, fault)

    @rule(which=n(59))
    def send_the_same_bytes_again(self, which: int) -> None:
        self.step().resend(which)

    @rule(which=n(59))
    def send_the_same_bytes_as_a_stranger(self, which: int) -> None:
        before = self.chain.storage()
        self.step().intrude(which)
        assert self.chain.storage() == before

    # ---- what must never happen

    @invariant()
    def issued_is_available_and_running_and_good_and_unknown_and_lost_and_revoked(self) -> None:
        """1. For every license, after every call: and the ledger's `used` is good, running and unknown."""
        for x in self.life.touched:
            assert x.issued == x.available + x.running + x.good + x.unknown + x.lost + x.revoked
            slot = self.chain.peek(license_slot(artifact()["layout"], x.id))
            used = x.running + x.good + x.unknown
            numbers = (x.issued, used + x.spoiled + x.lost, x.spoiled, x.credited, x.lost, x.revoked, x.allowance)
            assert tuple(slot >> 32 * i & 0xFFFFFFFF for i in range(7)) == numbers
            assert slot >> 224 == 1 | x.paused << 1 | x.ended << 2
        self.life.touched.clear()

    @invariant()
    def who_spends_is_enrolled_not_halted_attested_where_asked_and_operated_by_the_licensee(self) -> None:
        """3 and 4. Nor does a job start of a license that is expired, revoked or paused, as the views say it."""
        job, self.life.started = self.life.started, None
        if job is None:
            return
        unit = self.life.scene.view("unit", job.unit.address)
        limits = job.license.terms[1]
        assert unit.active
        assert not unit.halted
        assert unit.operator == job.license.licensee.address
        assert unit.attested or not limits & a.ATTESTED_ONLY
        counters = self.life.scene.view("counters", job.license.id)
        assert not counters.paused
        assert not counters.ended
        assert self.chain.now <= limits >> 128
        assert not self.life.scene.view("design", job.license.design).withdrawn
        facts = self.life.scene.view("release_facts", job.unit.address, job.license.terms)
        assert facts.custody == self.life.designs[job.license.design].custody
        assert (facts.running, facts.job, facts.license) == (True, job.id, job.license.id)
        assert (facts.sequence, facts.quantity, facts.deadline) == (job.sequence, job.quantity, job.deadline)

    @invariant()
    def a_job_counts_at_most_once_and_a_part_is_made_at_most_once(self) -> None:
        """2 and 5. Every good copy is one part that proves itself, and the next index is none."""
        events = self.life.scene.events
        new, self.seen = events[self.seen :], len(events)
        for event in new:
            if event.name == "JobFinished":
                self._parts_are_one_to_one(event)

    def _parts_are_one_to_one(self, event: Event) -> None:
        job = self.life.jobs[event.args["job"]]
        made, view = job.made, self.life.scene.view
        assert view("outcome", job.id) == a.keccak(event.args["parts"] + event.args["good"].to_bytes(32, "big"))
        if made is None or not made.good:
            return
        last = made.part(made.good - 1)
        assert view("check_part", last)
        assert not view("check_part", (*last[:2], made.good, *last[3:]))
        assert not view("check_part", (last[0], made.good + 1, *last[2:]))

    def teardown(self) -> None:
        try:
            self.everything_once_more()
        finally:
            self.anchor.__exit__(None, None, None)

    def everything_once_more(self) -> None:
        """1, 5, 7 and 13. At the end of a run: all licenses, all parts, and every slot, rebuilt from the events."""
        life, view = self.life, self.life.scene.view
        type(self).worked.update(name for _, name, _ in life.worked)
        rebuilt = replay(life.scene.events)
        assert storage(rebuilt, artifact()["layout"]) == self.chain.storage()
        for id, x in life.licenses.items():
            told = rebuilt.licenses[id]
            assert (told.running, told.unknown, told.good) == (x.running, x.unknown, x.good)
            assert (told.available, told.lost, told.revoked) == (x.available, x.lost, x.revoked)
            assert view("counters", id) == (
                x.issued, x.available, x.running + x.good + x.unknown, x.lost, x.revoked,
                x.spoiled, x.credited, x.allowance, x.paused, x.ended,
            )  # fmt: skip
        starts = [e for e in life.scene.events if e.name == "JobStarted"]
        assert len(starts) == len(life.jobs) == len(rebuilt.jobs)
        good = sum(e.args["good"] for e in life.scene.events if e.name == "JobFinished")
        assert good == sum(x.good for x in life.licenses.values())
        parts = [j.made.part(i) for j in life.jobs.values() if j.made for i in range(j.made.good)]
        assert all(view("check_part", part) for part in parts[-20:])
        out = [e.args["part"] for e in life.scene.events if e.name == "PartCheckedOut"]
        assert len(out) == len(set(out)) == len(life.checked_out)
        for part, by in list(life.checked_out.items())[-5:]:
            assert view("checked_out", part)[0] == by.address
        for keeper, entries in life.anchored.items():
            assert view("anchored", keeper.address) & (1 << 64) - 1 == entries


def test_the_life_of_the_ledger(capsys: pytest.CaptureFixture[str]) -> None:
    beginning()
    machine = seed(SEED)(LifeOfTheLedger)
    LifeOfTheLedger.steps = 0
    LifeOfTheLedger.worked.clear()
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=RUNS,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        ),
    )
    with capsys.disabled():
        print(f"\n  seed {SEED}: {LifeOfTheLedger.steps} steps; worked: {dict(LifeOfTheLedger.worked)}")
    assert LifeOfTheLedger.steps >= 50_000
    # A model that mostly watches refusals, or never gets as far as a part, would show little.
    assert set(LifeOfTheLedger.worked) == set(abi().changing)
    assert min(LifeOfTheLedger.worked.values()) >= 50
    assert LifeOfTheLedger.worked["start_job"] >= 2_000


# ---- the same life without Hypothesis: a trace that other machines and other builds must repeat to the byte

RANGES = {
    "admit": (4, 5, 9), "suspend": (5, 16, 5), "hand_over": (2, 3), "enroll": (4, 5, 3, 13), "retire": (4, 5),
    "halt": (4, 4, 5), "clear": (4, 4),
    "publish": (4, 7, 8), "withdraw": (9, 4, 5), "grant": (6, 2, 12, 5, 64), "revoke": (12, 4), "pause": (12,),
    "resume": (12,), "assign": (6, 5, 3, 3), "credit": (12, 4), "start": (4, 6, 12, 13), "finish": (4, 6, 13),
    "close": (9, 4, 5), "change_custody": (9, 5, 4), "anchor": (7, 10),
    "work": (4, 6, 12, 8), "check_out": (9, 8, 5, 13), "resend": (60,), "intrude": (60,),
}  # fmt: skip


def lived(life: Life, steps: int) -> Life:
    """Let a life go on for some steps, drawn from the seed."""
    draw = random.Random(SEED)
    names = [*RANGES, *["work"] * 8]
    for _ in range(steps):
        life.tick(draw.choice((1, 1, 1, 25, 700)))
        name = draw.choice(names)
        getattr(life, name)(*(draw.randrange(most) for most in RANGES[name]))
    return life


@pytest.mark.needs("anvil")
def test_another_machine_gives_the_same_answers() -> None:
    # revm shares no line with py-evm: the same bytes must be refused for the same reasons, and leave the same slots.
    with BoaChain().anchored():
        life = lived(born(Scene(BoaChain())), 1_000)
        here, slots = life.scene.log, life.scene.chain.storage()
    with AnvilChain(program("anvil") or "anvil") as anvil:
        scene = Scene(anvil)
        for sent in here:
            anvil.set_time(sent.time_s - 1)
            outcome = scene.send_raw(sent.sender, sent.data)
            assert (outcome.reason, outcome.output, outcome.logs) == (
                sent.outcome.reason, sent.outcome.output, sent.outcome.logs,
            )  # fmt: skip
        assert anvil.storage() == slots
    assert scene.events == life.scene.events


def test_someone_without_a_name_is_never_heard() -> None:
    # OUTSIDER of the model must stay one: a member would make the stranger's rule say nothing.
    life = lived(born(Scene(BoaChain())), 300)
    assert life.scene.view("roles", s.STRANGER.address) == 0

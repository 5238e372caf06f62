"""A shop's queue with two real agents and two simulated printers, all of them processes: copies are made as ordered.

Whatever happens (a printer on which runs fail, answers that are lost, the daemon killed at a write, an agent gone in
mid-print) the item ends with as many good copies as were asked for, each start on the ledger is one attempt of the
queue, and what failed is attributed to the job that makes it good.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fault_proxy import LOSE, PASS, Proxy
from fault_town import LAST, Child, Town, new_unit, strike, until
from test_fault_kill import Shift

from printright.cli.agent_client import AgentClient
from printright.cli.home import Home
from printright.domain.license import License
from printright.errors import PrintrightError
from printright.shop.book import QueueBook
from printright.units.drivers.simulator import FirmwareSettings, Simulator
from printright.units.operators import Operators, Permission

pytestmark = pytest.mark.needs("cc")
FAST = FirmwareSettings(keep_transcript=True)
SLOW = FirmwareSettings(keep_transcript=True, time_scale=2.0, homing_s=0.0)


@pytest.fixture(scope="module")
def units(faults: Town) -> tuple[Home, Home]:
    """Two units of one shop, masters for copies."""
    return new_unit(faults, "left"), new_unit(faults, "right")


@dataclass
class Shop:
    """The shop's folder with its queue, and a shift at each printer."""

    faults: Town
    home: Path
    license: License
    shifts: dict[str, Shift]
    since: int

    def client(self, name: str) -> AgentClient:
        return AgentClient(self.shifts[name].home)

    def set(self, name: str, old: str, new: str) -> None:
        """Change a printer's settings."""
        path = self.shifts[name].home / "printright.toml"
        path.write_text(path.read_text().replace(old, new))

    def queue(self, *args: str) -> Any:
        out = self.home.with_name(f"{self.home.name}.said")
        child = self.faults.victims.run(self.home, "queue", *args, "--json", out=out)
        assert child.wait() == 0, child.said()
        said = json.loads(child.said())
        out.unlink()
        return said

    def add(self, quantity: int, *more: str) -> int:
        license = self.home / "shop.license.json"
        license.write_text(json.dumps(self.license.to_json()))
        return int(self.queue("add", str(license), "--quantity", str(quantity), *more)["item"])

    def run(self, **options: Any) -> Child:
        return self.faults.run(self.home, "queue", "run", **options)

    def item(self, number: int = 1) -> Any:
        book = QueueBook(self.home / "queue.sqlite")
        try:
            return book.item(number)
        finally:
            book.close()

    def until(self, state: str, number: int = 1, *, meanwhile: Callable[[], object] = lambda: None) -> Any:
        """Wait for an item's state; meanwhile do what people at the printers do."""

        def reached() -> Any:
            meanwhile()
            row = self.item(number)
            return row if row.item.state == state else None

        return until(f"item {number} {state}", reached)

    def clear_beds(self, *names: str) -> None:
        for name in names:
            with suppress(PrintrightError):
                if not self.client(name).get("/v1/status")["bed"]["clear"]:
                    self.client(name).post("/v1/bed", {"clear": True})

    def exactly_once(self, *, good: int) -> Counter[str]:
        """Attempts by printer, after the book, the ledger and the printers were held against each other."""
        row = self.item()
        assert (row.tally.good, row.tally.open) == (good, 0)
        spent = [each.attempt for each in row.attempts if each.attempt.spent]
        units = {name: self.client(name).get("/v1/status")["unit"] for name in self.shifts}
        started = self.faults.events(self.since, "JobStarted")
        assert Counter(event.unit for event in started) == Counter(units[each.printer] for each in spent)
        jobs = {}
        for name in self.shifts:
            jobs.update({job["job"]: (name, job) for job in self.client(name).get("/v1/jobs")})
        for each in spent:
            name, job = jobs[each.job.hex()]
            assert (name, job["reference"]) == (each.printer, "queue 1")
            assert job["retry_of"] == (each.retry_of or b"").hex()
            assert (job["outcomes"].count("good"), job["outcomes"].count("failed")) == (each.good, each.failed)
        # Each failed job that was made good is named by one job, and a good copy is a whole run.
        failed = [each.job for each in spent if each.failed]
        retried = [each.retry_of for each in spent if each.retry_of]
        assert len(set(retried)) == len(retried)
        assert set(retried) <= set(failed)
        for name, shift in self.shifts.items():
            assert shift.lines().count(LAST) >= sum(each.good for each in spent if each.printer == name)
        counters = self.faults.counters(self.license)
        assert counters.issued == counters.available + counters.used + counters.lost + counters.revoked
        assert counters.used == good
        return Counter(each.printer for each in spent)


@contextmanager
def shop(
    faults: Town,
    units: tuple[Home, Home],
    name: str,
    *,
    left: FirmwareSettings = FAST,
    right: FirmwareSettings = FAST,
    **terms: Any,
) -> Iterator[Shop]:
    """Agents are up, and the license is the shop's; the queue does not run yet."""
    license = faults.grant(f"queue {name}", **{"copies": 40, "allowance": 40, **terms})
    with ExitStack() as stack:
        shifts = {}
        for each, unit, firmware in zip(("left", "right"), units, (left, right), strict=True):
            printer = stack.enter_context(Simulator(firmware))
            shifts[each] = Shift.begin(faults, f"{name}-{each}", unit=unit, license=license).at(printer)
        made = Shop(faults, faults.copy(faults.owner, f"{name}-shop"), license, shifts, faults.block())
        for each in shifts:
            made.set(each, "clears_bed_itself = false", "clears_bed_itself = true")
        tables = "".join(f'[queue.printers.{each}]\nagent = "{shift.home}"\n' for each, shift in shifts.items())
        settings = made.home / "printright.toml"
        settings.write_text(f"{settings.read_text()}\n[queue]\npoll_s = 0.05\n{tables}")
        # Before the printers go: an agent that looks for its machine again would find the next one at its port.
        stack.callback(faults.end_all)
        yield made


def test_copies_are_spread_and_what_fails_on_one_printer_is_made_on_the_other(
    faults: Town, units: tuple[Home, Home]
) -> None:
    # Red without `retry_of` in `decide`, without `set_aside` (the printer would go on failing), and where a failed
    # attempt left its item without a good copy.
    with shop(faults, units, "spread") as made:
        # The guard of the right one refuses every file: it believes that its machine is small.
        made.set("right", "[unit]", "[unit]\nbuild_volume_mm = [10.0, 10.0, 10.0]")
        for shift in made.shifts.values():
            faults.agent(shift.home)
        made.add(7, "--customer", "ACME")
        made.run()
        row = made.until("done", meanwhile=lambda: made.clear_beds("right"))
        by_printer = made.exactly_once(good=7)
        assert by_printer == {"left": 7, "right": 2}, [each.attempt for each in row.attempts]
        seen = {each["printer"]: each for each in made.queue("printers")}
        assert "2 runs failed in a row" in seen["right"]["note"]
        assert "outside the build volume" in seen["right"]["note"]
        assert seen["left"]["note"] == ""
        shown = made.queue("show", "1")
        assert [len(job["retry_of"]) for job in shown["jobs"]].count(64) == 2
        assert shown["progress"].endswith("100%")
        assert made.queue("list") == []
        assert made.queue("list", "--all")[0]["good"] == 7
        # Let back in, it is asked again.
        made.queue("restore", "right")
        made.add(1)
        until("an answer", lambda: made.item(2).item.state == "done")


def test_nothing_is_ordered_that_does_not_fit_and_it_says_why(faults: Town, units: tuple[Home, Home]) -> None:
    # Red without `obstacles` in `_why_not`; the agent's own look (`must_fit`) is asked below.
    with shop(faults, units, "fit", material="PETG") as made:
        for shift in made.shifts.values():
            faults.agent(shift.home)
        made.client("left").post("/v1/load", {"material": "PLA"})
        made.add(2)
        made.run()
        reasons = {"left": "PLA loaded, needs PETG", "right": "nothing known loaded, needs PETG"}
        until("the reasons", lambda: made.item().why_not == reasons)
        order = {"license": made.license.id.hex(), "quantity": 1, "must_fit": True}
        with pytest.raises(PrintrightError, match="PLA loaded, needs PETG"):
            made.client("left").post("/v1/jobs", order)
        assert made.queue("list")[0]["note"] == "left: PLA loaded, needs PETG; right: nothing known loaded, needs PETG"
        made.client("right").post("/v1/load", {"material": "petg", "color": "red"})
        made.until("done")
        assert made.exactly_once(good=2) == {"right": 2}


def test_lost_answers_and_two_daemons_order_nothing_twice(faults: Town, units: tuple[Home, Home]) -> None:
    # Red without the key in the order (`Agent.order`, step 1): each lost answer would be another job. Red without
    # `driving`: two daemons would each send the orders of both.
    lost: list[bytes] = []

    def fault(number: int, body: bytes) -> str:
        if b"order_key" in body and lost.count(body) < 2:
            lost.append(body)
            return LOSE
        return PASS

    with shop(faults, units, "lost") as made:
        home = made.shifts["left"].home
        made.set("left", "[unit]", "[unit]\napi_port = 0")
        may = frozenset({Permission.PRINT, Permission.VIEW, Permission.CONTROL})
        token = Operators(home / "operators.toml").add("queue", may, uid=None, with_token=True)
        (made.home / "token").touch(mode=0o600)
        (made.home / "token").write_text(str(token))
        agent = faults.agent(home)
        faults.agent(made.shifts["right"].home)
        port = json.loads(agent.said())["api_port"]
        with Proxy(f"http://127.0.0.1:{port}", fault) as proxy:
            settings = made.home / "printright.toml"
            by_port = f'agent = "{proxy.url}"\ntoken_file = "token"\n'
            settings.write_text(settings.read_text().replace(f'agent = "{home}"\n', by_port))
            made.add(6)
            made.run()
            until("the daemon", lambda: made.item().attempts)
            second = made.run()
            assert second.wait() == 5, second.said()
            made.until("done")
            by_printer = made.exactly_once(good=6)
            assert len(lost) >= 2, [each["note"] for each in made.queue("printers")]
            assert by_printer["left"] == len(set(lost))
        assert {job["operator"] for job in made.client("left").get("/v1/jobs")} == {"queue"}
        assert str(token) not in (made.home / "queue.sqlite").read_bytes().decode(errors="replace")


def test_an_agent_that_goes_away_keeps_its_copies_until_it_tells(faults: Town, units: tuple[Home, Home]) -> None:
    # Red where an attempt of an absent printer were ordered elsewhere: the item would have one copy too many.
    with shop(faults, units, "away", right=SLOW) as made:
        agents = {name: faults.agent(shift.home) for name, shift in made.shifts.items()}
        made.add(4)
        made.run()
        right = made.client("right")
        until("the run", lambda: (job := right.get("/v1/status")["job"]) and job["lines_sent"] > 3)
        agents["right"].end(9)
        until("the others", lambda: made.item().tally.good == 3)
        row = made.item()
        assert (row.item.state, row.tally.open) == ("queued", 1)
        until("the note", lambda: "does not answer" in made.queue("printers")[1]["note"])
        faults.agent(made.shifts["right"].home)
        # The run that was cut off is a failed one, reported without anybody's word, and made good by another job.
        row = made.until("done", meanwhile=lambda: made.clear_beds("right"))
        assert row.tally.failed == 1
        assert sum(made.exactly_once(good=4).values()) == 5


def test_cancelled_is_not_ordered_and_what_runs_of_it_stops(faults: Town, units: tuple[Home, Home]) -> None:
    # Red without `cancel` in `Foreman._take`.
    with shop(faults, units, "cancel", left=SLOW, right=SLOW) as made:
        for shift in made.shifts.values():
            faults.agent(shift.home)
        made.add(10)
        made.run()
        left = made.client("left")
        until("a run", lambda: (job := left.get("/v1/status")["job"]) and job["lines_sent"] > 3)
        made.queue("cancel", "1")
        until("the end", lambda: made.item().tally.open == 0)
        row = made.item()
        assert row.item.state == "cancelled"
        assert row.tally.good + row.tally.failed <= 3
        assert row.tally.failed >= 1
        assert not left.get("/v1/status")["job"]


def killed_at(faults: Town, units: tuple[Home, Home], at: int) -> None:
    with shop(faults, units, f"kill{at}-{faults.count}") as made:
        for shift in made.shifts.values():
            faults.agent(shift.home)
        made.add(3)
        child = made.run(strike=strike(made.home, "kill", at))
        until("the kill, or the end", lambda: child.poll() is not None or made.item().item.state == "done")
        child.end()
        made.run()
        made.until("done")
        made.exactly_once(good=3)


def test_the_daemon_killed_at_its_write_points_orders_nothing_twice(
    faults: Town, units: tuple[Home, Home], seed: int
) -> None:
    # Red without the attempt in the book before it is sent (`Foreman._decide` before `_order`), or with a new key for
    # an order that is sent again.
    for at in sorted(random.Random(seed).sample(range(3, 60), 1)):
        killed_at(faults, units, at)


@pytest.mark.load
@pytest.mark.parametrize("at", range(1, 60))
def test_the_daemon_killed_at_every_write_point(faults: Town, units: tuple[Home, Home], at: int) -> None:
    killed_at(faults, units, at)

"""Halted from the ledger: the machine stands still within a block, its copies are told as they were, and it comes back
only when it was cleared there and reset here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fault_proxy import PASS, REFUSE, Proxy
from fault_town import FIRST, LAST, Child, Town, new_unit, through, until
from test_fault_kill import Shift

from printright.cli.agent_client import AgentClient
from printright.errors import Refused
from printright.units.drivers.simulator import FirmwareSettings, Simulator

pytestmark = pytest.mark.needs("cc")
# So slow that the file takes a minute.
SLOW = FirmwareSettings(keep_transcript=True, time_scale=0.01)


@contextmanager
def watching(
    faults: Town, name: str, printer: Simulator, settings: str = "halt_check_s = 0.05"
) -> Iterator[tuple[Shift, Child]]:
    """A shift on a unit of its own, and its agent, which looks at the ledger often."""
    unit = new_unit(faults, name)
    shift = Shift.begin(faults, name, unit=unit).at(printer)
    path = shift.home / "printright.toml"
    path.write_text(path.read_text().replace("halt_check_s = 3600.0", settings))
    yield shift, faults.agent(shift.home)


def order(shift: Shift) -> AgentClient:
    client = AgentClient(shift.home)
    client.post("/v1/jobs", {"license": shift.license.id.hex(), "quantity": 2, "bed_is_clear": True})
    return client


def on_ledger(faults: Town, shift: Shift, *words: str) -> None:
    unit = AgentClient(shift.home).get("/v1/status")["unit"]
    said = faults.run(faults.owner.folder, "unit", *words, unit, "--json")
    assert said.wait() == 0, said.said()


def test_a_halt_from_the_ledger_ends_a_print_until_it_is_cleared_there_and_reset_here(faults: Town) -> None:
    # Red without: `halt` in `Halts.watch`; `_mark_cancelled` in `Agent.halt` (accounting); `check` in `Agent.order`;
    # `ask` in `Halts.end`; `keep_halt` in `Halts.keep` (the agent that starts again).
    with Simulator(SLOW) as printer, watching(faults, "halted", printer) as (shift, agent):
        client = order(shift)
        until("the print", lambda: FIRST in shift.lines())
        on_ledger(faults, shift, "halt", "--from-ledger")
        until("the machine's end", lambda: printer.firmware.killed)
        assert printer.firmware.nozzle.target_c == 0
        assert shift.lines().count(LAST) == 0
        assert shift.exactly_once(shift.close()) == (0, 2)
        status = client.get("/v1/status")
        assert status["halted"] == {"reason": "the unit was halted on the ledger", "on_ledger": True}
        assert status["machine"]["state"] == "halted"

        assert agent.end(9) == -9
        agent = faults.agent(shift.home)
        with pytest.raises(Refused, match="halted on the ledger"):
            order(shift)
        printer.reset()
        with pytest.raises(Refused, match="unit clear"):
            client.post("/v1/reset", {})
        on_ledger(faults, shift, "clear")
        with pytest.raises(Refused, match="unit reset"):
            order(shift)
        assert agent.poll() is None
        client.post("/v1/reset", {})
        shift.since, shift.counters = faults.block(), faults.counters()
        order(shift)
        until("the next print", lambda: FIRST in shift.lines()[len(shift.lines()) // 2 :])


def test_a_halt_that_comes_while_the_key_is_fetched_begins_no_run(faults: Town) -> None:
    # Red without: the look at `halts.reason` and `_cancelled` in `Agent._run_once`.
    with (
        Simulator(SLOW) as printer,
        watching(faults, "early", printer) as (shift, agent),
        Proxy(faults.custodian_url) as slow,
    ):
        agent.end()
        through(shift.home, faults, custodian=slow.url)
        faults.agent(shift.home)
        slow.fault = lambda number, body: REFUSE
        client = order(shift)
        until("the question for the key", lambda: slow.seen)
        client.post("/v1/halt", {})
        slow.fault = lambda number, body: PASS
        assert shift.exactly_once(shift.close()) == (0, 2)
        assert FIRST not in shift.lines()


@pytest.mark.parametrize("away_s", [0.0, 0.3], ids=["goes-on", "fail-safe"])
def test_a_print_whose_ledger_is_away(faults: Town, away_s: float) -> None:
    # Red without: the comparison with `away_s` in `Halts.watch`; and the default goes on.
    some_seconds = FirmwareSettings(keep_transcript=True, time_scale=0.5 if away_s else 2.0, homing_s=0.1)
    with Simulator(some_seconds) as printer, Proxy(faults.network.rpc_urls[0]) as ledger:
        settings = f"halt_check_s = 0.05\nledger_away_s = {away_s}"
        with watching(faults, f"away{away_s}", printer, settings) as (shift, agent):
            agent.end()
            through(shift.home, faults, ledger=ledger.url)
            faults.agent(shift.home)
            client = order(shift)
            until("the print", lambda: FIRST in shift.lines())
            ledger.fault = lambda number, body: REFUSE
            until("the end of the run", lambda: client.get("/v1/jobs")[0]["runs_ended"])
            ledger.fault = lambda number, body: PASS
            if away_s:
                assert shift.exactly_once(shift.close()) == (0, 2)
                assert LAST not in shift.lines()
            else:
                assert client.get("/v1/jobs")[0]["outcomes"] == ["good"]
                client.post("/v1/cancel", {})
                assert shift.exactly_once(shift.close()) == (1, 1)


def test_a_machine_that_its_firmware_stopped_wants_to_be_looked_at(faults: Town, tmp_path: Path) -> None:
    # Red without: the look at KILLED in `Agent._run_once`; `check` in `Agent.say`.
    from printright.units.drivers.simulator import Faults

    keep, link = FirmwareSettings(keep_transcript=True), tmp_path / "port"
    with (
        Simulator(keep, Faults(runaway_at=20), link=link) as printer,
        watching(faults, "runaway", printer) as (shift, _),
    ):
        client = order(shift)
        job = until("the question", lambda: (j := client.get("/v1/jobs")[0])["stage"] == "waiting" and j)
        assert "thermal runaway" in job["note"]
        with pytest.raises(Refused, match="thermal runaway"):
            client.post("/v1/say", {"word": "continue"})
        printer.reset()
        client.post("/v1/reset", {})
        assert shift.exactly_once(shift.close()) == (1, 1)

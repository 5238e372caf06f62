"""Two agents for one unit: by mistake on one machine, and as a copy of its home on another machine."""

from __future__ import annotations

import threading

import pytest
from fault_town import FIRST, Town, new_unit, until
from test_fault_kill import Shift

from printright.cli.agent_client import AgentClient
from printright.units.drivers.simulator import FirmwareSettings, Simulator

pytestmark = pytest.mark.needs("cc")


def test_a_second_agent_in_the_same_home_is_sent_away(faults: Town) -> None:
    # Red without the lock of `JobJournal`: the socket of the first would be taken away.
    shift = Shift.begin(faults, "same")
    first = faults.agent(shift.home)
    second = faults.run(shift.home, "unit", "run", "--json")
    assert second.wait() == 5, second.said()
    assert "another agent holds the journal" in second.said()
    assert first.poll() is None
    assert shift.exactly_once(shift.close()) == (2, 0)


def test_a_second_agent_on_the_same_printer_is_sent_away(faults: Town) -> None:
    # Red without the exclusive lock of `SerialPort`.
    shift, other = Shift.begin(faults, "port"), Shift.begin(faults, "port", unit=new_unit(faults, "other-unit"))
    faults.agent(shift.home)
    second = faults.run(other.home, "unit", "run", "--json")
    assert second.wait() == 5, second.said()
    assert "another process uses the port" in second.said()
    assert shift.exactly_once(shift.close()) == (2, 0)


@pytest.mark.parametrize("round", range(3))
def test_two_machines_with_the_same_keys_print_no_more_than_was_spent(faults: Town, round: int) -> None:
    # Red where both count one transaction as their own: the same bytes, since the same key signs the same intent.
    unit = new_unit(faults, f"twin{round}")
    license = faults.grant(f"twins{round}", copies=6, allowance=6)
    with (
        Simulator(FirmwareSettings(keep_transcript=True)) as one,
        Simulator(FirmwareSettings(keep_transcript=True)) as two,
    ):
        shifts = [Shift.begin(faults, "twin", unit=unit, license=license).at(printer) for printer in (one, two)]
        agents = [faults.agent(shift.home) for shift in shifts]
        ready = threading.Barrier(2)

        def order(shift: Shift) -> None:
            client = AgentClient(shift.home)
            ready.wait(30)
            client.post("/v1/jobs", {"license": license.id.hex(), "quantity": 2})

        threads = [threading.Thread(target=order, args=(shift,)) for shift in shifts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        ended = until("both ends", lambda: _ends(shifts, agents))
        counters = faults.counters(license)
        assert counters.issued == counters.available + counters.used + counters.lost + counters.revoked
        runs = [shift.lines().count(FIRST) for shift in shifts]
        spent = sum(event.running >> 24 & 0x7FFFFFFF for event in faults.events(shifts[0].since, "JobStarted"))
        assert sum(runs) <= spent, (runs, spent, ended)
        assert "finished" in ended, ended
        for agent, end in zip(agents, ended, strict=True):
            if end == "ended":
                assert agent.status == 5, agent.said()
                assert "stop the other process that uses this key" in agent.said()


def _ends(shifts: list[Shift], agents: list) -> list[str] | None:  # type: ignore[type-arg]
    """How each went: "finished", "refused", or "ended" for an agent that stopped by itself."""
    found = []
    for shift, agent in zip(shifts, agents, strict=True):
        if agent.poll() is not None:
            found.append("ended")
            continue
        client = AgentClient(shift.home)
        job = client.get("/v1/jobs")[0]
        if job["stage"] == "waiting":
            shift.say(client, job)
        if job["stage"] not in ("finished", "refused"):
            return None
        found.append(job["stage"])
    return found

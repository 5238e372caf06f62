"""Two agents for one unit: by mistake on one machine, and as a copy of its home on another machine."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Any

import pytest
from fault_proxy import PASS, Proxy
from fault_town import FIRST, Child, Town, new_unit, through, until
from test_fault_kill import Shift

from printright.cli.agent_client import AgentClient
from printright.errors import PrintrightError
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


def test_two_machines_with_the_same_keys_print_no_more_than_was_spent(faults: Town) -> None:
    # Red without the mark in the gas limit (`Sender._sign`): both count one transaction as their own. Both have signed
    # before either has sent.
    unit = new_unit(faults, "twins")
    license = faults.grant("twins", copies=6, allowance=6)
    both_signed = threading.Barrier(2)

    def fault(number: int, body: bytes) -> str:
        if b"eth_sendRawTransaction" in body and not both_signed.broken:
            with suppress(threading.BrokenBarrierError):
                both_signed.wait(10)
            both_signed.abort()
        return PASS

    settings, url = FirmwareSettings(keep_transcript=True), faults.network.rpc_urls[0]
    with Simulator(settings) as one, Simulator(settings) as two, Proxy(url, fault) as left, Proxy(url, fault) as right:
        shifts = [Shift.begin(faults, "twin", unit=unit, license=license).at(printer) for printer in (one, two)]
        for shift, proxy in zip(shifts, (left, right), strict=True):
            through(shift.home, faults, ledger=proxy.url)
        agents = [faults.agent(shift.home) for shift in shifts]
        for shift in shifts:
            AgentClient(shift.home).post("/v1/jobs", {"license": license.id.hex(), "quantity": 2, "bed_is_clear": True})
        ended = until("both ends", lambda: _ends(shifts, agents))
        counters = faults.counters(license)
        assert counters.issued == counters.available + counters.used + counters.lost + counters.revoked
        runs = [shift.lines().count(FIRST) for shift in shifts]
        spent = 2 * len(faults.events(shifts[0].since, "JobStarted"))
        assert sum(runs) <= spent, (runs, spent, ended)
        assert sorted(ended) == ["finished", "refused"], ended
        (told,) = AgentClient(shifts[ended.index("refused")].home).get("/v1/jobs")
        assert "sequence" in told["note"], told["note"]


def test_a_second_machine_that_comes_later_spends_for_itself_and_the_first_is_told(faults: Town) -> None:
    # Red where a custodian released for a job that is not the unit's running one, and without `_ask` in `_print`.
    unit = new_unit(faults, "later")
    license = faults.grant("later", copies=6, allowance=6)
    with Simulator(FirmwareSettings(keep_transcript=True)) as printer:
        first = Shift.begin(faults, "earlier", unit=unit, license=license)
        second = Shift.begin(faults, "later", unit=unit, license=license).at(printer)
        faults.agent(first.home)
        client = AgentClient(first.home)
        client.post("/v1/jobs", {"license": license.id.hex(), "quantity": 2, "bed_is_clear": True})
        until("the first run", lambda: client.get("/v1/jobs")[0]["stage"] == "waiting")
        faults.agent(second.home)
        assert second.close()["outcomes"] == ["good", "good"]
        client.post("/v1/say", {"word": "continue"})
        told = until("the question", lambda: _asked(client))
        assert "runs no job" in told["note"] or "another one" in told["note"]
        assert first.lines().count(FIRST) == 1
        assert len(faults.events(first.since, "JobStarted")) == 2
        assert len(faults.events(first.since, "JobGivenUp")) == 1
        counters = faults.counters(license)
        assert counters.issued == counters.available + counters.used + counters.lost + counters.revoked
        assert counters.used == 4, "two good, and two of the job that was given up"


def _asked(client: AgentClient) -> Any:
    job = client.get("/v1/jobs")[0]
    return job if job["stage"] == "waiting" and "no key" in job["note"] else None


def _ends(shifts: list[Shift], agents: list[Child]) -> list[str] | None:
    """How each went: "finished", "refused", or "ended" for an agent that stopped by itself."""
    found = []
    for shift, agent in zip(shifts, agents, strict=True):
        if agent.poll() is not None:
            found.append("ended")
            continue
        client = AgentClient(shift.home)
        with suppress(PrintrightError):
            job = client.get("/v1/jobs")[0]
            if job["stage"] == "waiting" and "no key" in job["note"]:
                client.post("/v1/say", {"word": "finish"})
            elif job["stage"] == "waiting":
                shift.say(client, job)
            elif job["stage"] in ("finished", "refused"):
                found.append(job["stage"])
    return found if len(found) == len(shifts) else None

"""A printer that is unplugged, resets, overheats or garbles in the middle of a licensed print, and an agent killed in
one: what became of each copy is told as it was, and the ledger's books agree.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fault_proxy import PASS, REFUSE, Proxy
from fault_town import FIRST, GCODE, LAST, Town, through, until
from test_fault_kill import Shift

from printright.cli.agent_client import AgentClient
from printright.units.drivers.simulator import Faults, FirmwareSettings, Simulator

pytestmark = pytest.mark.needs("cc")
KEEP = FirmwareSettings(keep_transcript=True)


@contextmanager
def on(faults: Town, name: str, link: Path, *printers: Simulator) -> Iterator[tuple[Shift, AgentClient]]:
    """A shift at a unit whose port is `link`."""
    shift = Shift.begin(faults, name)
    through(shift.home, faults, port=str(link))
    shift.printer, shift.printed = printers[0], 0
    faults.agent(shift.home)
    client = AgentClient(shift.home)
    client.post("/v1/jobs", {"license": shift.license.id.hex(), "quantity": 2, "bed_is_clear": True})
    yield shift, client


def waiting(client: AgentClient) -> dict[str, Any]:
    def asked() -> Any:
        job = client.get("/v1/jobs")[0]
        return job if job["stage"] == "waiting" else None

    found: dict[str, Any] = until("the question to the operator", asked)
    return found


@pytest.mark.parametrize(
    ("fault", "reason"),
    [("unplug_at", "unplugged"), ("reset_at", "reset"), ("runaway_at", "unaway")],
)
def test_a_printer_that_fails_in_mid_print_costs_that_run(
    faults: Town, tmp_path: Path, fault: str, reason: str
) -> None:
    # Red where `_run_once` counted an outcome that is not `completed` as good, or went on without being told to.
    link = tmp_path / "port"
    broken = Simulator(KEEP, Faults.parse(f"{fault}=20"), link=link)
    with broken, on(faults, fault, link, broken) as (shift, client):
        job = waiting(client)
        assert (job["outcomes"], job["runs_ended"]) == (["failed"], 1)
        assert reason in job["note"].lower(), job["note"]
        assert shift.lines().count(LAST) == 0
        first = list(broken.firmware.transcript)
        broken.stop()
        with Simulator(KEEP, link=link) as mended:
            shift.printer = mended
            # After a stop by its own firmware, somebody has to look at the machine first: test_fault_halt.
            client.post("/v1/reset", {})
            shift.say(client, job)
            job = shift.close()
            mended.firmware.transcript[:0] = first
            assert shift.exactly_once(job) == (1, 1)
            assert job["outcomes"] == ["failed", "good"]


def test_a_printer_that_is_away_before_the_first_line_costs_no_run(faults: Town, tmp_path: Path) -> None:
    # Red where a run that never began counts as failed (`runs_begun` back to `runs_ended` in `_run_once`).
    link = tmp_path / "port"
    with Simulator(KEEP, link=link) as printer:
        shift = Shift.begin(faults, "unplugged")
        through(shift.home, faults, port=str(link))
        faults.agent(shift.home)
        client = AgentClient(shift.home)
        printer.unplug()
        printer.join()
        client.post("/v1/jobs", {"license": shift.license.id.hex(), "quantity": 2, "bed_is_clear": True})
        job = waiting(client)
        assert (job["outcomes"], job["runs_ended"]) == ([], 0)
    with Simulator(KEEP, link=link) as mended:
        shift.printer, shift.printed = mended, 0
        assert shift.exactly_once(shift.close()) == (2, 0)


def test_a_storm_of_resends_changes_no_line(faults: Town, tmp_path: Path, seed: int) -> None:
    # Red without the resend handling of `MarlinSender`.
    link = tmp_path / "port"
    noise = Faults(corrupt=0.05, drop=0.05, storm=5, doubled_ok=0.02)
    with Simulator(KEEP, noise, seed=seed, link=link) as noisy, on(faults, "storm", link, noisy) as (shift, _):
        assert shift.exactly_once(shift.close()) == (2, 0)
        moves = [line for line in shift.lines() if line.startswith(b"G1 X")]
        assert moves == 2 * [line for line in GCODE.split(b"\n") if line.startswith(b"G1 X")]
        assert noisy.cable is not None
        assert noisy.cable.injected > 0


@pytest.mark.parametrize("number", [9, 15], ids=["killed", "terminated"])
def test_an_agent_that_ends_in_mid_print_costs_that_run(faults: Town, tmp_path: Path, number: int) -> None:
    # Red without the journalled `runs_begun`, and without `_end_run` for a run that was cut off.
    link = tmp_path / "port"
    # So slow that the file takes seconds.
    slow = FirmwareSettings(keep_transcript=True, time_scale=3.0)
    with Simulator(slow, link=link) as printer, on(faults, "cut", link, printer) as (shift, client):
        until("the print", lambda: FIRST in shift.lines())
        assert faults.children[-1].end(number) in (-9, 143)
        assert shift.lines().count(LAST) == 0
        printer.stop()
        first = list(printer.firmware.transcript)
    with Simulator(KEEP, link=link) as quick:
        shift.printer = quick
        faults.agent(shift.home)
        job = waiting(client)
        assert (job["outcomes"], job["runs_ended"]) == (["failed"], 1)
        assert "cut off" in job["note"]
        assert FIRST not in quick.firmware.transcript
        job = shift.close()
        quick.firmware.transcript[:0] = first
        assert shift.exactly_once(job) == (1, 1)


def test_a_word_said_twice_is_no_answer_to_the_next_question(faults: Town) -> None:
    # Red without `_forget_words`: the second cancel would finish the next job before its second copy.
    shift = Shift.begin(faults, "twice")
    with Proxy(faults.network.rpc_urls[0]) as ledger:
        through(shift.home, faults, ledger=ledger.url)
        faults.agent(shift.home)
        client = AgentClient(shift.home)
        client.post("/v1/jobs", {"license": shift.license.id.hex(), "quantity": 2, "bed_is_clear": True})
        waiting(client)
        # The first word is taken at once; what it leads to has to wait for the ledger.
        ledger.fault = lambda number, body: REFUSE
        seen = len(ledger.seen)
        client.post("/v1/cancel", {})
        until("the report's first try", lambda: len(ledger.seen) > seen)
        client.post("/v1/cancel", {})
        ledger.fault = lambda number, body: PASS
        until("the end", lambda: client.get("/v1/jobs")[0]["stage"] == "finished")
        job = client.post("/v1/jobs", {"license": shift.license.id.hex(), "quantity": 2, "bed_is_clear": True})
        again = shift.close()
        assert (again["job"], again["outcomes"]) == (job["job"], ["good", "good"])

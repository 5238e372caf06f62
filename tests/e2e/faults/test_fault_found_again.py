"""A machine lost sight of in mid-print: cable pulled, agent killed. Found again, it is cooled down, and the next run
begins only when the operator says so. One that was never printing for us is left as it is.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from fault_town import FIRST, LAST, Town, through, until
from test_fault_kill import Shift
from test_fault_machine import on, waiting

from printright.cli.agent_client import AgentClient
from printright.units.drivers.simulator import FirmwareSettings, Simulator

pytestmark = pytest.mark.needs("cc")
# So slow that the file takes five seconds.
SLOW = FirmwareSettings(keep_transcript=True, time_scale=0.2, homing_s=0.1)


def heat(printer: Simulator) -> None:
    printer.firmware.nozzle.set(210.0, time.monotonic())
    printer.firmware.bed.set(60.0, time.monotonic())


def targets(printer: Simulator) -> tuple[float, float]:
    return printer.firmware.nozzle.target_c, printer.firmware.bed.target_c


def cooled(client: AgentClient, printer: Simulator) -> dict[str, Any]:
    until("the cold machine", lambda: targets(printer) == (0.0, 0.0))

    def told() -> Any:
        job = client.get("/v1/jobs")[0]
        return job if "heaters were switched off" in job["note"] else None

    found: dict[str, Any] = until("the note about it", told)
    return found


def test_a_cable_pulled_in_mid_print_and_put_back(faults: Town, tmp_path: Path) -> None:
    # Red without: `keeper.run` in `agent_process`; `hot` in `Agent._end_run`; `cool_down` in `MarlinDriver.tend`.
    link = tmp_path / "port"
    with Simulator(SLOW, link=link) as printer, on(faults, "pulled", link, printer) as (shift, client):
        until("the print", lambda: FIRST in shift.lines())
        heat(printer)
        printer.unplug()
        job = waiting(client)
        assert (job["outcomes"], job["runs_ended"]) == (["failed"], 1)
        # Nobody can reach it: it stays as hot as it was told to be.
        assert targets(printer) == (210.0, 60.0)
        printer.plug()
        job = cooled(client, printer)
        assert job["stage"] == "waiting"
        assert client.get("/v1/status")["machine"]["state"] == "idle"
        assert (shift.lines().count(FIRST), shift.lines().count(LAST)) == (1, 0)
        client.post("/v1/cancel", {})
        assert shift.exactly_once(shift.close()) == (0, 2)


@pytest.mark.parametrize("away", [False, True], ids=["machine-there", "machine-away"])
def test_an_agent_killed_in_mid_print(faults: Town, tmp_path: Path, away: bool) -> None:
    # Red without: the journalled `hot` in `Agent._run_once`; `look` in `Keeper.begin`; and with the machine away at the
    # start, where `Keeper.begin` raises.
    link = tmp_path / "port"
    with Simulator(SLOW, link=link) as printer, on(faults, f"killed{away}", link, printer) as (shift, _):
        until("the print", lambda: FIRST in shift.lines())
        heat(printer)
        assert faults.children[-1].end(9) == -9
        assert targets(printer) == (210.0, 60.0)
        if away:
            printer.unplug()
            printer.join()
        faults.agent(shift.home)
        client = AgentClient(shift.home)
        if away:
            assert "cannot be opened" in client.get("/v1/status")["machine"]["trouble"]
            waiting(client)
            printer.plug()
        cooled(client, printer)
        job = waiting(client)
        assert (job["outcomes"], job["runs_ended"]) == (["failed"], 1)
        assert "cut off" in job["note"]
        client.post("/v1/cancel", {})
        assert shift.exactly_once(shift.close()) == (0, 2)


def test_a_machine_that_works_for_somebody_else_is_left_alone(faults: Town, tmp_path: Path) -> None:
    # Red where the agent cools down every machine that it finds.
    link = tmp_path / "port"
    with Simulator(FirmwareSettings(keep_transcript=True), link=link) as printer:
        shift = Shift.begin(faults, "others")
        through(shift.home, faults, port=str(link))
        faults.agent(shift.home)
        client = AgentClient(shift.home)
        until("the machine", lambda: client.get("/v1/status")["machine"]["state"] == "idle")
        heat(printer)
        printer.unplug()
        until("its absence", lambda: client.get("/v1/status")["machine"]["state"] == "offline")
        printer.plug()
        until("the machine again", lambda: client.get("/v1/status")["machine"]["state"] == "idle")
        assert targets(printer) == (210.0, 60.0)
        assert printer.firmware.transcript == []

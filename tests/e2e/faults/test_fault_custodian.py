"""A custodian's process killed, or its power cut, at every write point of releases to a printing unit."""

from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from fault_town import FIRST, Child, Town, strike, through, until
from test_fault_kill import Shift

from printright.cli.agent_client import AgentClient
from printright.errors import PrintrightError
from printright.services.release_log import entries

pytestmark = pytest.mark.needs("cc")
# Opening the log: title, two syncs, the folder's. Then for each of two releases: line, sync, answer.
POINTS = {"kill": 11, "power": 1}


def serve(faults: Town, home: Path, port: int, how: dict[str, Any] | None = None) -> Child:
    child = faults.run(home, "custodian", "serve", "--port", str(port), "--json", strike=how)
    until("the custodian", lambda: child.poll() is not None or child.said().rstrip().endswith("}"))
    return child


def logged(home: Path) -> list[str]:
    path = home / "release.log"
    return [entry.job for entry, _ in entries(path)] if path.exists() else []


def die(faults: Town, how: str, at: int) -> int | None:
    """One job of two runs beside a custodian that dies at point `at`. Returns how the custodian ended."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    home = faults.copy(faults.owner, "custodian")
    (home / "release.log").unlink(missing_ok=True)
    shift = Shift.begin(faults, "served")
    through(shift.home, faults, custodian=f"http://127.0.0.1:{port}")
    custodian = serve(faults, home, port, strike(home, how, at))
    faults.agent(shift.home)
    client = AgentClient(shift.home)
    client.post("/v1/jobs", {"license": shift.license.id.hex(), "quantity": 2, "bed_is_clear": True})

    def ended() -> bool:
        if custodian.poll() is not None:
            return True
        with suppress(PrintrightError):
            job = client.get("/v1/jobs")[0]
            if job["stage"] == "waiting":
                shift.say(client, job)
            return bool(job["stage"] == "finished")
        return False

    until("an end", ended)
    status = custodian.poll()
    if status is not None:
        job = client.get("/v1/jobs")[0]
        if FIRST in shift.lines():
            assert job["job"] in logged(home), "a share left and the log does not know"
        assert serve(faults, home, port).poll() is None
    job = shift.close()
    assert shift.exactly_once(job) == (2, 0)
    assert set(logged(home)) == {job["job"]}
    return status


@pytest.mark.parametrize(("how", "at"), [(how, at) for how, count in POINTS.items() for at in range(1, count + 1)])
def test_a_custodian_dies(faults: Town, how: str, at: int) -> None:
    # Kills: red with the answer before `releases.record`. Power cuts: red without `os.fdatasync` in
    # `ReleaseLog._append`, and without the folder's fsync in `ReleaseLog._load`.
    assert die(faults, how, at) == -9


@pytest.mark.parametrize("how", POINTS)
def test_a_custodian_has_no_further_point(faults: Town, how: str) -> None:
    assert die(faults, how, POINTS[how] + 1) is None, [
        path.read_text() for path in faults.folder.glob("custodian*.trace")
    ][-1]

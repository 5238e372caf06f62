"""A full disk from the k-th write on, for every k: a clear error, nothing lost or gained, and on it goes with room."""

from __future__ import annotations

import resource
from contextlib import suppress
from pathlib import Path

import pytest
from fault_town import PHASES, Town, strike, through, trace_of, until
from test_fault_kill import Shift, command

from printright.cli.agent_client import AgentClient
from printright.errors import CouldNotCheck, PrintrightError
from printright.services.release_log import entries, verify

pytestmark = pytest.mark.needs("cc")


def full(home: Path) -> Path:
    """The flag for as long as which the shim's disk is full."""
    flag = Path(f"{trace_of(home)}.full")
    flag.touch()
    return flag


@pytest.mark.parametrize(("operation", "event"), [("publish", "DesignPublished"), ("grant", "LicenseGranted")])
def test_a_command_says_so_and_is_repeated(faults: Town, operation: str, event: str) -> None:
    # Red where an OSError or sqlite3 error gets through as it is (`write_whole`, `Incoming`, `Journal._trouble`), and
    # where something was sent although the intent could not be journalled.
    at, hit = 0, True
    while hit:
        at += 1
        home = faults.copy(faults.owner, "full")
        since, args = faults.block(), command(faults, operation)
        flag = full(home)
        tried = faults.run(home, *args, strike=strike(home, "full", at))
        hit = tried.wait() != 0
        said = tried.said()
        assert "Traceback" not in said, said
        if hit:
            assert tried.status == CouldNotCheck.exit_code, said
            assert "make room on" in said, said
        flag.unlink()
        again = faults.run(home, *args)
        assert again.wait() == 0, again.said()
        assert len(faults.events(since, event)) == 1
    assert at > 4


@pytest.mark.parametrize("phase", ["start", "release", "print", "finish"])
def test_an_agent_waits_for_room(faults: Town, phase: str) -> None:
    # Red where the agent ends, or forgets how a run went (`Agent._end_run`), when its journal cannot be written.
    at, hit = 0, True
    while hit:
        at += 1
        shift = Shift.begin(faults, "room")
        flag = full(shift.home)
        agent = faults.agent(shift.home, strike=strike(shift.home, "full", at, phase=phase, first="boot", next=PHASES))
        client = AgentClient(shift.home)
        with suppress(PrintrightError):
            client.post("/v1/jobs", {"license": shift.license.id.hex(), "quantity": 2, "bed_is_clear": True})
        job: dict[str, object] = {}

        def struck(shift: Shift = shift, client: AgentClient = client, at: int = at) -> str:
            # Whether the disk has been full where it was to be, or all is over without.
            nonlocal job
            jobs = client.get("/v1/jobs")
            job = jobs[0] if jobs else {}
            if trace_of(shift.home).read_text().count(f"\n{phase}\t") >= at:
                return "struck"
            if job.get("stage") == "waiting":
                shift.say(client, job)
            return str(job.get("stage") == "finished" or "")

        hit = until("the full disk", struck) == "struck"
        assert agent.poll() is None, agent.said()
        flag.unlink()
        good, failed = shift.exactly_once(shift.close())
        assert (good, failed) == (2, 0)
        assert "Traceback" not in agent.said()
        faults.end_all()
    assert at > 1


def test_a_custodian_releases_nothing_that_it_cannot_log(faults: Town) -> None:
    # Red with the share answered before `releases.record`.
    home = faults.copy(faults.owner, "custodian")
    (home / "release.log").unlink(missing_ok=True)
    flag = full(home)
    flag.unlink()
    custodian = faults.run(home, "custodian", "serve", "--port", "0", "--json", strike=strike(home, "full", 1))
    until("the custodian", lambda: custodian.said().endswith("}\n"))
    flag.touch()
    shift = Shift.begin(faults, "unlogged")
    through(shift.home, faults, custodian=custodian.said().split('"url": "')[1].split('"')[0])
    faults.agent(shift.home)
    client = AgentClient(shift.home)
    client.post("/v1/jobs", {"license": shift.license.id.hex(), "quantity": 2, "bed_is_clear": True})
    until("the release log's write", lambda: trace_of(home).read_text().count("release.log") > 1)
    assert shift.lines() == []
    assert client.get("/v1/jobs")[0]["stage"] == "spent"
    assert verify(home / "release.log").entries == 0
    flag.unlink()
    job = shift.close()
    assert shift.exactly_once(job) == (2, 0)
    found = [entry for entry, _ in entries(home / "release.log")]
    assert {entry.job for entry in found} == {job["job"]}
    assert custodian.poll() is None


def test_the_ledger_s_disk(faults: Town) -> None:
    # Red where the embedded ledger answered for a block that it could not write.
    assert faults.chain is not None
    home = faults.copy(faults.owner, "chain")
    since, args = faults.block(), command(faults, "grant")
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    resource.prlimit(faults.chain.pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
    try:
        tried = faults.run(home, *args)
        assert tried.wait() == CouldNotCheck.exit_code, tried.said()
        assert "was not written" in tried.said()
        assert faults.block() == since
    finally:
        resource.prlimit(faults.chain.pid, resource.RLIMIT_FSIZE, unlimited)
    again = faults.run(home, *args)
    assert again.wait() == 0, again.said()
    assert len(faults.events(since, "LicenseGranted")) == 1

"""kill -9 and power cuts at every write point of publish, grant, start, release, print and finish; then resume.

The shim (fault_shim.c) kills a real `printright` process before its k-th point, for every k. Afterwards the same
command, or the agent started again with its operator's words, goes on, and the ledger is asked what happened: exactly
one design, license, job, report; copies conserved; never a run that no copy was spent for; never a run on a bed that
nobody has cleared. `test_no_further_point` shows that the points are all there are.

Kills come before every point, power cuts wherever something has just left the process. Half-done writes are tried at
every fourth point, which a seed chooses.
"""

from __future__ import annotations

import asyncio
import json
import random
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fault_town import FIRST, LAST, PHASES, Town, strike, through, trace_of, until

from printright.cli.agent_client import AgentClient
from printright.cli.home import Home
from printright.domain.ids import Digest
from printright.domain.license import License
from printright.errors import CouldNotCheck, PrintrightError
from printright.services.licensing import LicenseBook
from printright.services.publish import DesignShelf
from printright.units.drivers.simulator import Simulator
from printright.units.shelf import LicenseShelf
from printright.vault.package import fetch_manifest, open_package
from printright.vault.stores.local import LocalStore

pytestmark = pytest.mark.needs("cc")

# How many points there are, for each operation and strike. Now and then there is one less: a folder is new or not.
POINTS = {
    ("publish", "kill"): 38, ("publish", "power"): 2,
    ("grant", "kill"): 24, ("grant", "power"): 2,
    ("start", "kill"): 15, ("start", "power"): 2,
    ("release", "kill"): 4, ("release", "power"): 1,
    ("print", "kill"): 12, ("print", "power"): 4,
    ("finish", "kill"): 17, ("finish", "power"): 1,
}  # fmt: skip
ONE_LESS = 2
AGENT = ("start", "release", "print", "finish")
COMMAND = ("publish", "grant")


def each_point(*operations: str) -> list[Any]:
    return [
        pytest.param(operation, how, at, id=f"{operation}-{how}-{at:02}")
        for (operation, how), count in POINTS.items()
        if operation in operations
        for at in range(1, count + 1)
    ]


def ends(operation: str, how: str, at: int, status: int | None) -> None:
    count = POINTS[operation, "kill" if how == "torn" else how]
    assert status == -9 or (status in (0, None) and at > count - ONE_LESS)


# Commands ---------------------------------------------------------------------------------------------------------


def command(faults: Town, operation: str) -> list[str]:
    if operation == "publish":
        # A file of its own: publishing the same one again is the same design.
        source = faults.folder / f"design{faults.count}.gcode"
        source.write_bytes(b"G28\nG1 X%d\n" % faults.count)
        return ["design", "publish", str(source), "--title", f"design {faults.count}"]
    to = faults.owner.ledger_key().address
    return ["license", "grant", "--design", "part", "--to", to, "--copies", "3", "--reference", f"r{faults.count}"]


@pytest.mark.parametrize(("operation", "how", "at"), each_point(*COMMAND))
def test_command(faults: Town, operation: str, how: str, at: int) -> None:
    # Red without `journal.record` in `Sender._prepare` (another nonce, another signature: two grants), and with the
    # license file written after the grant. Power cuts: red without the fsync of file or folder in `write_whole`.
    home = faults.copy(faults.owner, operation)
    since = faults.block()
    args = command(faults, operation)
    ends(operation, how, at, faults.run(home, *args, strike=strike(home, how, at)).wait())
    again = faults.run(home, *args)
    assert again.wait() == 0, again.said()
    if operation == "publish":
        (event,) = faults.events(since, "DesignPublished")
        design = DesignShelf(home / "designs").get(args[-1])
        assert design.content == event.content
        asyncio.run(_package_is_whole(home, design.manifest))
    else:
        (event,) = faults.events(since, "LicenseGranted")
        license = LicenseBook(home / "licenses").find(args[-1])
        assert license is not None
        assert license.id == event.license
        assert json.loads((home / f"{license.id.hex()[:16]}.license.json").read_text()) == license.to_json()
        counters = faults.counters(license)
        assert (counters.issued, counters.available) == (3, 3)


async def _package_is_whole(home: Path, manifest: bytes) -> None:
    store = LocalStore(home / "store")
    await open_package(await fetch_manifest(Digest(manifest), store), store)


# The agent --------------------------------------------------------------------------------------------------------


@dataclass
class Shift:
    """An operator's shift at a unit: one job of two copies, whatever happens to the agent."""

    faults: Town
    home: Path
    since: int
    counters: Any
    printer: Simulator
    printed: int
    license: License
    cleared: int = 0

    @classmethod
    def begin(cls, faults: Town, name: str, *, unit: Home | None = None, license: License | None = None) -> Shift:
        home = faults.copy(unit or faults.unit, name)
        license = license or faults.license
        LicenseShelf(home / "received").add(license)
        printed = len(faults.printer.firmware.transcript)
        return cls(faults, home, faults.block(), faults.counters(license), faults.printer, printed, license)

    def at(self, printer: Simulator) -> Shift:
        """Work with another printer than the town's."""
        through(self.home, self.faults, port=printer.port)
        self.printer, self.printed = printer, 0
        return self

    def lines(self) -> list[bytes]:
        """What the printer has executed since the shift began."""
        return self.printer.firmware.transcript[self.printed :]

    def work(self, how: str, phase: str, at: int) -> int | None:
        """Order and go on, until the agent is killed or the job is closed."""
        arm = strike(self.home, how, at, phase=phase, first="boot", next=PHASES)
        agent = self.faults.agent(self.home, strike=arm)
        client = AgentClient(self.home)
        with suppress(PrintrightError):
            client.post("/v1/jobs", {"license": self.license.id.hex(), "quantity": 2, "bed_is_clear": True})

        def ended() -> bool:
            if agent.poll() is not None:
                return True
            with suppress(PrintrightError):
                job = client.get("/v1/jobs")[0]
                if job["stage"] == "waiting":
                    self.say(client, job)
                return bool(job["stage"] == "finished")
            return False

        until("the agent's end", ended)
        return agent.status

    def say(self, client: AgentClient, job: dict[str, Any]) -> None:
        with suppress(PrintrightError):
            client.post("/v1/say", {"word": "continue" if job["runs_ended"] < job["runs"] else "finish"})
            self.cleared += 1

    def resume(self) -> dict[str, Any]:
        """What an operator does after whatever happened: see whether there is a job, and have it closed."""
        self.faults.agent(self.home)
        return self.close()

    def close(self) -> dict[str, Any]:
        """With a running agent."""
        client = AgentClient(self.home)

        def closed() -> Any:
            if not client.get("/v1/jobs"):
                with suppress(CouldNotCheck):
                    client.post("/v1/jobs", {"license": self.license.id.hex(), "quantity": 2, "bed_is_clear": True})
                return None
            job = client.get("/v1/jobs")[0]
            if job["stage"] == "waiting":
                self.say(client, job)
            return job if job["stage"] in ("finished", "refused") else None

        found: dict[str, Any] = until("the end of the job", closed)
        return found

    def exactly_once(self, job: dict[str, Any]) -> tuple[int, int]:
        """Good and failed copies, after everything that can be seen from outside was held against them."""
        assert job["stage"] == "finished", job
        (started,) = self.faults.events(self.since, "JobStarted")
        (finished,) = self.faults.events(self.since, "JobFinished", "JobGivenUp")
        good, failed = job["outcomes"].count("good"), job["outcomes"].count("failed")
        assert (finished.job.hex(), finished.good, finished.failed) == (job["job"], good, failed)
        assert good + failed == 2
        before, after = self.counters, self.faults.counters(self.license)
        assert after.issued == after.available + after.used + after.lost + after.revoked
        assert (after.used - before.used, after.spoiled - before.spoiled, after.lost) == (good, failed, before.lost)
        lines = self.lines()
        # No run without a copy, no good copy without a whole run, no run before the bed was cleared of the last one.
        assert good <= lines.count(LAST)
        assert lines.count(FIRST) <= 2
        assert lines.count(FIRST) <= 1 + self.cleared
        assert started.license == self.license.id
        return good, failed


@pytest.mark.parametrize(("operation", "how", "at"), each_point(*AGENT))
def test_agent(faults: Town, operation: str, how: str, at: int) -> None:
    # Red without: `journal.record` in `Sender._prepare`; the journalled `runs_begun` in `Agent._run_once` (a third
    # run for two copies); outcome and question in one write in `Agent._end_run` (a run on an occupied bed); the
    # journalled SPENT/REPORTING stages. Power cuts: red with `synchronous` off in `JobJournal`.
    shift = Shift.begin(faults, operation)
    ends(operation, how, at, shift.work(how, operation, at))
    faults.end_all()
    _, failed = shift.exactly_once(shift.resume())
    # A kill costs at most the run that it cut off, and none outside of a run.
    assert failed <= (1 if operation in ("release", "print") else 0)


@pytest.mark.parametrize(("operation", "how"), [pytest.param(*each, id="-".join(each)) for each in POINTS])
def test_no_further_point(faults: Town, operation: str, how: str) -> None:
    # Red when an operation gets a write point that POINTS does not know.
    at = POINTS[operation, how] + 1
    if operation in COMMAND:
        home = faults.copy(faults.owner, operation)
        child = faults.run(home, *command(faults, operation), strike=strike(home, how, at))
        assert child.wait() == 0, child.said() + trace_of(home).read_text()
    else:
        shift = Shift.begin(faults, operation)
        assert shift.work(how, operation, at) is None, trace_of(shift.home).read_text()
        faults.end_all()
        assert shift.exactly_once(shift.resume()) == (2, 0)


def test_half_done_writes(faults: Town, seed: int) -> None:
    rng = random.Random(seed)
    for (operation, how), count in POINTS.items():
        if how != "kill":
            continue
        for at in rng.sample(range(1, count + 1), count // 4):
            if operation in COMMAND:
                test_command(faults, operation, "torn", at)
            else:
                test_agent(faults, operation, "torn", at)
                faults.end_all()


def test_all_strikes_are_struck(faults: Town) -> None:
    """The shim itself: what was not synced is gone after a power cut, and half a write is half."""
    home = faults.copy(faults.owner, "shim")
    child = faults.run(home, *command(faults, "grant"), strike=strike(home, "torn", 2))
    assert child.wait() == -9
    (torn,) = (home / "licenses").glob("*.new")
    text = torn.read_text()
    assert text
    with pytest.raises(ValueError):
        json.loads(text)

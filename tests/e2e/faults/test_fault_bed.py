"""Bed and operators at a real agent: nothing is spent for a bed that nobody has cleared, and names are kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fault_town import FIRST, Town, until
from test_fault_kill import Shift

from printright.cli.agent_client import AgentClient, read_token
from printright.domain.job import JobRecord
from printright.errors import Misuse, NotMine, Refused
from printright.units.drivers.simulator import FirmwareSettings, Simulator
from printright.units.operators import Operators, Permission
from printright.units.report import LICENSEE_INFO
from printright.vault.stores.local import LocalStore

pytestmark = pytest.mark.needs("cc")


def job_of(client: AgentClient, *stages: str) -> dict[str, Any]:
    def reached() -> Any:
        job = client.get("/v1/jobs")[0]
        return job if job["stage"] in stages else None

    found: dict[str, Any] = until(f"a job that is {' or '.join(stages)}", reached)
    return found


def test_nothing_is_spent_before_somebody_says_that_the_bed_is_clear(faults: Town) -> None:
    # Red without step 6 of `Agent.order`; without the bed in the write of `_run_once` (the second order would begin on
    # the parts of the first); where CANCELLED were spent after all.
    shift = Shift.begin(faults, "bed")
    faults.agent(shift.home)
    client = AgentClient(shift.home)
    order = {"license": shift.license.id.hex(), "quantity": 1}

    def spent() -> int:
        return len(faults.events(shift.since, "JobStarted"))

    assert client.get("/v1/status")["bed"]["state"] == "unknown", "a new agent knows nothing of its bed"
    first = client.post("/v1/jobs", order)
    assert (first["stage"], first["spent"]) == ("waiting", False)
    client.post("/v1/cancel", {})
    assert job_of(client, "cancelled")["note"] == "cancelled before a copy was spent"
    # Said beforehand, said to the waiting job, said with the order: each starts one.
    client.post("/v1/bed", {"clear": True})
    assert client.post("/v1/jobs", order)["stage"] == "planned"
    assert job_of(client, "finished", "refused")["outcomes"] == ["good"]
    assert spent() == 1
    second = client.post("/v1/jobs", order)
    assert (second["stage"], second["spent"]) == ("waiting", False)
    faults.end_all()
    faults.agent(shift.home)
    assert client.get("/v1/jobs/current")["stage"] == "waiting", "the question outlives the agent"
    assert client.get("/v1/status")["bed"]["state"] == "occupied"
    assert spent() == 1
    assert shift.lines().count(FIRST) == 1
    client.post("/v1/bed", {"clear": True})
    assert job_of(client, "finished", "refused")["outcomes"] == ["good"]
    third = client.post("/v1/jobs", {**order, "bed_is_clear": True})
    assert job_of(client, "finished", "refused")["job"] == third["job"]
    assert (spent(), shift.lines().count(FIRST)) == (3, 3)
    with pytest.raises(Misuse, match="no job is waiting"):
        client.post("/v1/say", {"word": "continue"})
    what = [act["what"] for act in client.get("/v1/acts")]
    assert what == ["continue", "bed clear", "cancel"]


def test_an_order_sent_twice_under_one_key_is_one_job(faults: Town) -> None:
    # Red without step 1 of `Agent.order`. The second time comes to an agent that was killed in between.
    shift = Shift.begin(faults, "key")
    agent = faults.agent(shift.home)
    client = AgentClient(shift.home)
    order = {"license": shift.license.id.hex(), "quantity": 1, "bed_is_clear": True, "order_key": "k" * 32}
    first = client.post("/v1/jobs", {**order, "reference": "queue 7", "retry_of": "ab" * 32})
    agent.end(9)
    faults.agent(shift.home)
    again = {**order, "reference": "queue 7", "retry_of": "ab" * 32}
    assert client.post("/v1/jobs", again)["job"] == first["job"]
    job_of(client, "finished", "waiting")
    assert client.post("/v1/jobs", again)["job"] == first["job"], "also when it is long done"
    found = client.get(f"/v1/orders/{'k' * 32}")
    assert (found["job"], found["reference"], found["retry_of"]) == (first["job"], "queue 7", "ab" * 32)
    assert len(faults.events(shift.since, "JobStarted")) == 1
    for change in ({"quantity": 2}, {"reference": "queue 8"}, {"retry_of": ""}):
        with pytest.raises(Misuse, match="another order"):
            client.post("/v1/jobs", {**again, **change})


def test_the_operator_is_told_to_the_licensee_and_to_nobody_else(faults: Town) -> None:
    # Red where the name stood in the record in clear, or in `sealed_for_licensor`.
    with Simulator(FirmwareSettings(keep_transcript=True)) as printer:
        shift = Shift.begin(faults, "names").at(printer)
        operators = Operators(shift.home / "operators.toml")
        both = frozenset({Permission.PRINT, Permission.DELEGATE})
        token = operators.add("octoprint", both, uid=None, with_token=True)
        eve = operators.add("eve", frozenset({Permission.VIEW}), uid=None, with_token=True)
        assert token
        assert eve
        settings = shift.home / "printright.toml"
        settings.write_text(settings.read_text().replace("[unit]", "[unit]\napi_port = 0"))
        agent = faults.agent(shift.home)
        url = f"http://127.0.0.1:{json.loads(agent.said())['api_port']}"
        plugin, owner = AgentClient(shift.home, url, token), AgentClient(shift.home)
        plugin._headers["Printright-On-Behalf-Of"] = "Canary%20Jane"
        job = plugin.post("/v1/jobs", {"license": shift.license.id.hex(), "quantity": 1, "bed_is_clear": True})
        assert job["operator"] == "octoprint/Canary Jane"
        assert job_of(owner, "finished", "refused")["operator"] == "octoprint/Canary Jane"
        with pytest.raises(Refused, match="eve may not print"):
            AgentClient(shift.home, url, eve).post("/v1/jobs", {})
        with pytest.raises(NotMine, match="token"):
            AgentClient(shift.home, url).get("/v1/status")
        AgentClient(shift.home, url, eve).post("/v1/halt", {})
        act = owner.get("/v1/acts")[0]
        assert (act["operator"], act["what"].split(":")[0]) == ("eve", "halt")
        assert owner.get("/v1/status")["machine"]["state"] == "halted"
        faults.end_all()
    (finished,) = faults.events(shift.since, "JobFinished")
    text = (LocalStore(shift.home / "store").path(finished.evidence)).read_bytes()
    assert b"Canary" not in text
    record = json.loads(text)
    assert set(record) == {"printright", *JobRecord.__dataclass_fields__}
    key = faults.owner.unsealing_key()  # licensor and licensee in one, in this town
    sealed = json.loads(key.open(bytes.fromhex(record["sealed_for_licensee"]), LICENSEE_INFO + finished.job))
    assert sealed["operator"] == "octoprint/Canary Jane"
    assert [set(part) for part in sealed["parts"]] == [{"index", "serial", "code"}]
    files = [path for path in shift.home.rglob("*") if path.is_file()]
    assert not [path for path in files if token.encode() in path.read_bytes()]


def test_a_token_that_others_may_read_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("prt_x\n")
    (tmp_path / "token").chmod(0o644)
    with pytest.raises(Misuse, match="others may read"):
        read_token(tmp_path / "token")
    (tmp_path / "token").chmod(0o600)
    assert read_token(tmp_path / "token") == "prt_x"

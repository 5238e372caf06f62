"""A unit whose keys are in a token (SoftHSM2), by the real command line: made, enrolled, printing. The token is pulled
out in mid-job, and put back.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fault_commands import run
from fault_town import Town, said_by, serve, stop, until

from printright.cli.agent_client import AgentClient
from printright.units.drivers.simulator import FirmwareSettings, Simulator
from softhsm import PIN, SoftHsm

pytestmark = [pytest.mark.needs("cc"), pytest.mark.needs("softhsm2-util")]


def test_a_unit_with_its_keys_in_a_token(faults: Town, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Red without the second round of `Token.run` (the job never goes on), without `raise` for CouldNotCheck in
    # `Agent._print` (the copies are given to the operator's word), or with a PIN that is asked of nobody.
    hsm = SoftHsm.at(tmp_path / "hsm")
    monkeypatch.setenv(*next(iter(hsm.environment.items())))
    hsm.token("unit")
    pin = tmp_path / "pin"
    pin.write_text(PIN + "\n")
    pin.chmod(0o600)
    home = tmp_path / "unit"
    since = faults.block()

    made = run(home, "key", "create", f"pkcs11:token=unit?module-name=softhsm2&pin-source=file:{pin}", "--name", "unit")
    shown = run(home, "key", "show", made["ledger"])
    assert (shown["address"], shown["made_in_token"], shown["never_extractable"]) == (made["address"], True, True)
    (tmp_path / "network.toml").write_text(faults.network.dump())
    owner = faults.owner.ledger_key().address
    keys = ("--ledger-key", made["ledger"], "--unsealing-key", made["unsealing"])
    places = ("--upstream", faults.store_url, "--custodian", f"{owner}={faults.custodian_url}")
    network = ("--network", str(tmp_path / "network.toml"))
    link = tmp_path / "port"
    assert run(home, "unit", "create", "--port", str(link), *keys, *places, *network)["unit"] == made["address"]
    assert not (home / "keys").exists()
    about = ("--model", "m", "--firmware", "1", "--serial-number", "s")
    request = run(home, "unit", "request", "--operator", owner, *about)["request"]
    run(faults.owner.folder, "unit", "enroll", request)

    license = faults.grant(f"token {tmp_path}", copies=2, allowance=0)
    (tmp_path / "a.license.json").write_text(json.dumps(license.to_json()))
    with Simulator(FirmwareSettings(), link=link):
        agent = serve(tmp_path, "unit", "run", home=home)
        try:
            said_by(agent, tmp_path)
            run(home, "license", "import", str(tmp_path / "a.license.json"))
            run(home, "job", "start", license.id.hex(), "--quantity", "2", "--no-wait", "--bed-is-clear")
            client = AgentClient(home)

            def job() -> Any:
                return client.get("/v1/jobs")[0]

            until("the first copy", lambda: job()["stage"] == "waiting")
            hsm.pull_out()
            run(home, "job", "continue")
            until("word of the token", lambda: "token" in job()["note"])
            assert (job()["stage"], job()["outcomes"]) == ("spent", ["good"])
            assert faults.counters(license).used == 2
            hsm.plug_in()
            until("the end", lambda: job()["stage"] == "finished")
        finally:
            stop(agent)
    assert job_of(home)["outcomes"] == ["good", "good"]
    (finished,) = faults.events(since, "JobFinished")
    assert (finished.good, finished.failed) == (2, 0)
    assert PIN not in (tmp_path / "servers.log").read_text()

    pin.write_text("wrong\n")
    refused = run(home, "unit", "show", code=5)
    assert (refused["error"], refused["hint"]) == ("WrongKey", "tried once; too many wrong PINs lock it")


def job_of(home: Path) -> dict[str, Any]:
    from printright.units.journal import JobJournal

    journal = JobJournal(home / "jobs.sqlite")
    try:
        (entry,) = journal.all()
        return {"outcomes": [str(outcome) for outcome in entry.outcomes]}
    finally:
        journal.close()

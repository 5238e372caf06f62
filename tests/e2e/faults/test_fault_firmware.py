"""Builder attestation and the minimum firmware of a design, from the command line to the custodian; and revocation."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from fault_commands import call as run
from fault_town import GCODE, Town, new_home, said_by, serve, stop, until

from printright.cli.agent_client import AgentClient
from printright.cli.home import Home
from printright.domain.ids import Digest
from printright.domain.job import job_id
from printright.domain.license import License
from printright.domain.member import Role
from printright.errors import Refused, ReleaseRefused
from printright.services import members
from printright.services.release import ReleaseJob, collect_design_key
from printright.units.drivers.simulator import FirmwareSettings, Simulator
from printright.units.profiles import ProfileShelf
from printright.vault.package import fetch_manifest

pytestmark = pytest.mark.needs("cc")


def enrolled(town: Town, home: Home, firmware: str) -> None:
    """Ask, attest and enroll by the command line; the owner is builder and operator at once."""
    operator = town.owner.ledger_key().address
    about = ("--model", "Demo One", "--firmware", firmware, "--serial-number", "SN-1")
    request = run(home.folder, "unit", "request", "--operator", operator, *about)["request"]
    stated = run(town.owner.folder, "unit", "attest", request)["stated"]
    address, key = home.public_halves()
    assert stated == {
        "unit": address, "key": key.hex(), "model": "Demo One", "firmware": firmware, "serial_number": "SN-1",
    }  # fmt: skip
    assert run(town.owner.folder, "unit", "enroll", request)["attested"] is True


def offer(client: AgentClient) -> tuple[int, str]:
    (found,) = client.get("/v1/offers")
    return found["available"], found["note"]


async def spend_and_ask(town: Town, home: Home, license: License, *, lie: str = "") -> bytes:
    """What a unit does whose agent does not look at its own firmware, or shows another profile than its own."""
    async with home.ledger(sending=True) as ledger, aiohttp.ClientSession() as session:
        unit = home.ledger_key()
        found = await ledger.call("unit", unit.address)
        profile = ProfileShelf(home.folder / "profiles").find(found.profile)
        assert profile is not None
        if lie:
            profile = type(profile).from_json({**profile.to_json(), "firmware": lie})
        sequence = (await ledger.call("job", unit.address)).sequence + 1
        receipt = await ledger.send(f"start:{sequence}", "start_job", license.terms.abi(), 1, sequence, [])
        await ledger.wait_final(receipt)
        domain = members.typed_domain(ledger)
        job = job_id(domain, license.id, unit.address, sequence)
        manifest = await fetch_manifest(Digest(license.document.manifest), town.owner.store())
        return await collect_design_key(
            manifest,
            ReleaseJob(domain, job, sequence, license.terms, profile),
            {town.owner.ledger_key().address: town.custodian_url},
            unit_key=unit,
            unsealing_key=home.unsealing_key(),
            session=session,
        )


async def make_builder(town: Town) -> None:
    key, sealing = town.owner.ledger_key(), town.owner.unsealing_key().public_key
    async with town.owner.ledger(sending=True) as ledger:
        roles = Role.RIGHTS_HOLDER | Role.MAKER | Role.CUSTODIAN | Role.BUILDER
        await members.admit(ledger, key.address, roles, sealing, os.urandom(32))


def test_a_minimum_firmware_holds(faults: Town, tmp_path: Path) -> None:
    # Red without the step of `decide` (the liar gets its key) and without the one of `Agent.order` (a copy is spent).
    asyncio.run(make_builder(faults))
    title = f"needs 2.1 {secrets.token_hex(4)}"
    source = tmp_path / "part.gcode"
    source.write_bytes(GCODE)
    minimum = ("--minimum-firmware", "Demo One=Marlin 2.1")
    run(faults.owner.folder, "design", "publish", str(source), "--title", title, *minimum)
    again = run(faults.owner.folder, "design", "publish", str(source), "--title", title, code=2)
    assert "another minimum firmware" in again["message"]
    file = tmp_path / "a.license.json"
    grant = ("--copies", "4", "--attested-only", "--out", str(file))
    operator = faults.owner.ledger_key().address
    run(faults.owner.folder, "license", "grant", "--design", title, "--to", operator, *grant)
    license = License.from_json(json.loads(file.read_text()))

    link = tmp_path / "port"
    settings = f'[unit]\nport = "{link}"\n[store]\nupstream = ["{faults.store_url}"]\n'
    home = new_home(tmp_path / "unit", settings + f'[custodians]\n"{operator}" = "{faults.custodian_url}"\n')
    (home.folder / "network.toml").write_text(faults.network.dump())
    enrolled(faults, home, "Marlin 2.0.9")
    for lie, reason in (("", "is not 'Marlin 2.1' or newer"), ("Marlin 2.1", "not the one that the unit is enrolled")):
        with pytest.raises(ReleaseRefused, match=reason):
            asyncio.run(spend_and_ask(faults, home, license, lie=lie))
    assert faults.counters(license).used == 2

    with Simulator(FirmwareSettings(), link=link):
        agent = serve(tmp_path, "unit", "run", home=home.folder)
        try:
            said_by(agent, tmp_path)
            client = AgentClient(home.folder)
            run(home.folder, "license", "import", str(file))
            assert offer(client) == (0, "firmware 'Marlin 2.0.9' is not 'Marlin 2.1' or newer, as the design asks")
            with pytest.raises(Refused, match="or newer"):
                client.post("/v1/jobs", {"license": license.id.hex(), "quantity": 1, "bed_is_clear": True})
            assert faults.counters(license).used == 2
            # The update, while the agent runs.
            run(faults.owner.folder, "unit", "retire", home.public_halves()[0])
            assert offer(client)[0] == 0
            enrolled(faults, home, "Marlin 2.1.2")
            assert offer(client) == (2, "")
            started = time.monotonic()
            run(home.folder, "job", "start", license.id.hex(), "--no-wait", "--bed-is-clear")
            until("the print", lambda: client.get("/v1/jobs")[0]["stage"] == "finished")
            assert time.monotonic() - started < 60
            # Revocation by the builder stops the next job.
            run(faults.owner.folder, "unit", "retire", home.public_halves()[0])
            assert offer(client) == (0, "not for this unit or its operator")
            client.post("/v1/jobs", {"license": license.id.hex(), "quantity": 1, "bed_is_clear": True})
            until("the refusal", lambda: client.get("/v1/jobs")[0]["stage"] == "refused")
            assert job(client)["outcomes"] == []
            assert "enrolled" in job(client)["note"]
            assert faults.counters(license).used == 3
        finally:
            stop(agent)


def job(client: AgentClient) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/v1/jobs")[0]
    return found

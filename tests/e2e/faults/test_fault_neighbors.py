"""A wrong network, a store that lies or is away, a custodian that is away or refuses, a wrong password."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from fault_proxy import CUT, FLIP, PASS, REFUSE, Proxy
from fault_town import PASSWORD, Town, new_unit, through, until
from test_fault_kill import Shift

from printright.cli.agent_client import AgentClient
from printright.errors import CouldNotCheck, NotMine, PrintrightError, Refused
from printright.ledger.evm import deploy
from printright.ledger.network import Network
from printright.services import members

pytestmark = pytest.mark.needs("cc")

Change = Callable[[Network], Network]


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


GRANT = ["license", "grant", "--design", "part", "--copies", "3", "--reference", "fault"]
COMMANDS = {
    "grant": GRANT,
    "publish": ["design", "publish", "part.gcode", "--title", "fault"],
    "custodian": ["custodian", "serve", "--port", "0"],
    "agent": ["unit", "run"],
}


def run(faults: Town, home: Path, noun: str) -> tuple[int, str]:
    args = [str(faults.folder / arg) if arg == "part.gcode" else arg for arg in COMMANDS[noun]]
    if noun == "grant":
        args += ["--to", faults.license.licensee]
    child = faults.run(home, *args)
    return child.wait(), child.said().strip()


# A wrong network ---------------------------------------------------------------------------------------------------

NOWHERE = "0x" + "5" * 40


@pytest.mark.parametrize("noun", COMMANDS)
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda network: replace(network, chain_id=1), id="other-chain"),
        pytest.param(lambda network: replace(network, contract=NOWHERE), id="no-contract-there"),
        pytest.param(lambda network: replace(network, code_hash="0x" + "5" * 64), id="other-code"),
    ],
)
def test_a_wrong_network_file_stops_everything_before_it_begins(faults: Town, noun: str, change: Change) -> None:
    # Red without `check_gateway` in `Rpc.check`.
    home = faults.copy(faults.unit if noun == "agent" else faults.owner, "network")
    (home / "network.toml").write_text(change(faults.network).dump())
    block, before = faults.block(), contents(home)
    code, said = run(faults, home, noun)
    assert code == 2, said
    assert said.startswith("WrongChain: "), said
    assert "nothing was sent" in said
    after = {name: digest for name, digest in contents(home).items() if not name.endswith(".lock")}
    assert after == {name: digest for name, digest in before.items() if not name.endswith(".lock")}
    assert faults.block() == block


def test_a_unit_of_one_deployment_is_nobody_on_another(faults: Town) -> None:
    # Red where the journal is not bound to its contract: a nonce and a key of one network would count on the other.
    key = faults.owner.ledger_key()
    other = asyncio.run(deploy(faults.network.rpc_urls[0], key, key.address, name="other", finality="single-node"))
    home = faults.copy(faults.unit, "deployment")
    (home / "network.toml").write_text(other.dump())
    code, said = run(faults, home, "agent")
    assert (code, said.partition(":")[0]) == (2, "BadSettings"), said
    assert "belongs to account" in said
    for name in ("ledger-journal.sqlite", "ledger-journal.sqlite-wal", "ledger-journal.sqlite-shm"):
        (home / name).unlink(missing_ok=True)
    since = faults.block()
    faults.agent(home)
    with pytest.raises(PrintrightError):
        AgentClient(home).post("/v1/licenses", faults.license.to_json())
    job = Shift.begin(faults, "unused", license=faults.license)
    job.home = home
    assert job.close()["stage"] == "refused"
    assert faults.events(since, "JobStarted") == []


# Stores ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "error"), [(FLIP, Refused), (CUT, PrintrightError), (REFUSE, CouldNotCheck)], ids=["flip", "cut", "gone"]
)
def test_a_store_that_gives_other_bytes_or_none_costs_no_copy(faults: Town, word: str, error: type) -> None:
    # Red without the digest's check in `Incoming.keep`; "nothing is spent" without `fetch` before `begin` in `order`.
    shift = Shift.begin(faults, "store")
    shutil.rmtree(shift.home / "store")
    with Proxy(faults.store_url) as store:
        through(shift.home, faults, store=store.url)
        faults.agent(shift.home)
        client = AgentClient(shift.home)
        # The manifest alone, then each of the windows.
        for number in range(1, 4):
            store.seen.clear()
            store.fault = lambda n, body, number=number: word if n >= min(number, 2) else PASS
            with pytest.raises(error):
                client.post("/v1/jobs", {"license": shift.license.id.hex(), "quantity": 2, "bed_is_clear": True})
            assert client.get("/v1/jobs") == []
        assert faults.events(shift.since, "JobStarted") == []
        assert faults.counters() == shift.counters
        store.fault = lambda n, body: PASS
        assert shift.exactly_once(shift.close()) == (2, 0)


# Custodians -----------------------------------------------------------------------------------------------------------


def test_a_job_waits_for_a_custodian_that_is_away(faults: Town) -> None:
    # Red where `_print` gave up, or printed, on CustodianUnavailable.
    shift = Shift.begin(faults, "away")
    with Proxy(faults.custodian_url, lambda number, body: REFUSE) as custodian:
        through(shift.home, faults, custodian=custodian.url)
        faults.agent(shift.home)
        client = AgentClient(shift.home)
        client.post("/v1/jobs", {"license": shift.license.id.hex(), "quantity": 2, "bed_is_clear": True})
        until("three requests", lambda: len(custodian.seen) >= 3)
        assert client.get("/v1/jobs")[0]["stage"] == "spent"
        assert shift.lines() == []
        custodian.fault = lambda number, body: PASS
        assert shift.exactly_once(shift.close()) == (2, 0)


def test_a_custodian_that_refuses_is_put_to_the_operator_and_copies_come_back(faults: Town) -> None:
    # Red without `_ask` on ReleaseRefused in `_print`. The unit is retired between its spend and the release.
    unit = new_unit(faults, "retired")
    license = faults.grant("retired", copies=5, allowance=1)
    shift = Shift.begin(faults, "refused", unit=unit, license=license)

    async def retire() -> None:
        async with faults.owner.ledger(sending=True) as ledger:
            await members.retire(ledger, unit.ledger_key().address)

    with Proxy(faults.custodian_url, lambda number, body: REFUSE) as custodian:
        through(shift.home, faults, custodian=custodian.url)
        faults.agent(shift.home)
        client = AgentClient(shift.home)
        client.post("/v1/jobs", {"license": license.id.hex(), "quantity": 2, "bed_is_clear": True})
        until("a request", lambda: custodian.seen)
        asyncio.run(retire())
        custodian.fault = lambda number, body: PASS
        job = until("the question", lambda: _waiting(client))
    assert "not enrolled" in job["note"]
    assert shift.lines() == []
    client.post("/v1/say", {"word": "finish"})
    job = until("the end", lambda: next((j for j in client.get("/v1/jobs") if j["stage"] == "finished"), None))
    assert job["outcomes"] == ["failed", "failed"]
    counters = faults.counters(license)
    # One comes back within the allowance, the other is lost until the licensor credits it.
    assert (counters.available, counters.spoiled, counters.lost, counters.used) == (4, 1, 1, 0)


def _waiting(client: AgentClient) -> dict[str, object] | None:
    job: dict[str, object] = client.get("/v1/jobs")[0]
    return job if job["stage"] == "waiting" else None


# Passwords -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("noun", COMMANDS)
def test_a_wrong_password_opens_nothing_and_is_told_to_nobody(faults: Town, noun: str) -> None:
    # Red where a command writes before it opens the key, or puts the password into a message.
    home = faults.copy(faults.unit if noun == "agent" else faults.owner, "password")
    wrong = "wrong-" + PASSWORD[::-1]
    (home / "password").write_text(wrong)
    block, before = faults.block(), contents(home)
    code, said = run(faults, home, noun)
    assert code == NotMine.exit_code == 5, said
    assert said.startswith("WrongKey: the password does not open "), said
    assert contents(home) == before
    assert faults.block() == block
    assert wrong not in said
    assert PASSWORD not in said
    assert "Traceback" not in said

"""Answers that are lost after every step, doubled or late, on the way to the ledger and to the custodian."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from fault_proxy import DOUBLE, LATE, LOSE, PASS, Proxy
from fault_town import Town, through
from test_fault_kill import Shift

from printright.domain.license import License
from printright.errors import LedgerUnavailable
from printright.ledger.evm import open_ledger
from printright.services import licensing
from printright.services.publish import Design, DesignShelf, publish
from printright.vault.committee import Custodian
from printright.vault.details import Details
from printright.vault.stores.local import LocalStore

pytestmark = pytest.mark.needs("cc")
TRIES = 10
Operation = Callable[[Town, Path, str, str], object]


def grant(faults: Town, home: Path, url: str, name: str) -> License:
    async def work() -> License:
        network = faults.network.with_rpc([url])
        async with open_ledger(network, signer=faults.owner.ledger_key(), journal=home / "ledger.sqlite") as ledger:
            book = licensing.LicenseBook(home / "book")
            limits = faults.license.limits
            order = licensing.GrantOrder(
                name, ledger.address or faults.license.licensee, faults.design.content, 3, limits, "t", b"m" * 32
            )
            license, receipt = await licensing.grant(ledger, book, order)
            await ledger.wait_final(receipt)
            return license

    return asyncio.run(work())


def publish_it(faults: Town, home: Path, url: str, name: str) -> Design:
    async def work() -> Design:
        network = faults.network.with_rpc([url])
        key = faults.owner.ledger_key()
        async with open_ledger(network, signer=key, journal=home / "ledger.sqlite") as ledger:
            source = home / f"{name}.gcode"
            source.write_text(name)
            design, receipt = await publish(
                ledger,
                LocalStore(home / "store"),
                DesignShelf(home / "designs"),
                source,
                Details(file_name="x.gcode"),
                title=name,
                owner_key=key,
                custodians=[Custodian(key.address, faults.owner.unsealing_key().public_key)],
                threshold=1,
            )
            await ledger.wait_final(receipt)
            return design

    return asyncio.run(work())


@pytest.mark.parametrize(
    ("operation", "event"), [(grant, "LicenseGranted"), (publish_it, "DesignPublished")], ids=["grant", "publish"]
)
def test_every_answer_lost_from_a_step_on_and_ten_tries(
    faults: Town, tmp_path: Path, operation: Operation, event: str
) -> None:
    # Red without the look-up of the key in `Sender.send`, and with a nonce from the ledger alone in `_prepare`.
    step = 0
    lost = True
    with Proxy(faults.network.rpc_urls[0]) as proxy:
        while lost:
            step += 1
            since = faults.block()
            lost = False
            for _ in range(TRIES):
                first = len(proxy.seen) + step
                proxy.fault = lambda number, body, first=first: LOSE if number >= first else PASS
                try:
                    operation(faults, tmp_path, proxy.url, f"step{step}")
                except LedgerUnavailable:
                    lost = True
            proxy.fault = lambda number, body: PASS
            operation(faults, tmp_path, proxy.url, f"step{step}")
            assert len(faults.events(since, event)) == 1
    assert step > 5
    signed = {body for _, body in proxy.seen if b"eth_sendRawTransaction" in body}
    assert len(signed) == step, "one intent is signed once"


@pytest.mark.parametrize("word", [DOUBLE, LATE])
def test_every_answer_doubled_or_late(faults: Town, tmp_path: Path, word: str) -> None:
    # Red where "already known" or "nonce too low" in an answer to sending counted as a failure.
    since = faults.block()
    with Proxy(faults.network.rpc_urls[0], lambda number, body: word) as proxy:
        grant(faults, tmp_path, proxy.url, word)
        publish_it(faults, tmp_path, proxy.url, word)
    assert len(faults.events(since, "LicenseGranted")) == len(faults.events(since, "DesignPublished")) == 1


def kind_of(body: bytes) -> str:
    methods = re.findall(rb'"method": ?"(\w+)"', body)
    return b",".join(methods).decode() or "release"


def test_an_agent_whose_every_answer_is_lost_ten_times(faults: Town) -> None:
    # Red without the start's key in `Agent._start`, and with an outcome that is kept in memory only.
    shift = Shift.begin(faults, "lost")
    with Proxy(faults.network.rpc_urls[0]) as ledger, Proxy(faults.custodian_url) as custodian:
        through(shift.home, faults, ledger=ledger.url, custodian=custodian.url)
        faults.agent(shift.home)
        losses: Counter[str] = Counter()

        def fault(number: int, body: bytes) -> str:
            losses[kind_of(body)] += 1
            return LOSE if losses[kind_of(body)] <= TRIES else PASS

        ledger.fault = custodian.fault = fault
        assert shift.exactly_once(shift.close()) == (2, 0)
        assert losses["release"] > TRIES
        assert sum(losses.values()) > 3 * TRIES
        assert len({body for _, body in ledger.seen if b"eth_sendRawTransaction" in body}) == 2


def test_an_agent_whose_every_request_comes_twice_and_late(faults: Town) -> None:
    # Red where a custodian took a second request for the same job as another job's.
    shift = Shift.begin(faults, "double")
    with Proxy(faults.network.rpc_urls[0]) as ledger, Proxy(faults.custodian_url) as custodian:
        through(shift.home, faults, ledger=ledger.url, custodian=custodian.url)
        ledger.fault = custodian.fault = lambda number, body: LATE if number % 3 == 0 else DOUBLE
        faults.agent(shift.home)
        assert shift.exactly_once(shift.close()) == (2, 0)
        assert {word for word, _ in custodian.seen} >= {DOUBLE}


def test_a_command_line_that_loses_its_answer_is_repeated(faults: Town) -> None:
    # The same over the command line: exit code 4 and a hint, then the same command.
    home = faults.copy(faults.owner, "cli")
    since = faults.block()
    args = [
        "license",
        "grant",
        "--design",
        "part",
        "--to",
        faults.license.licensee,
        "--copies",
        "3",
        "--reference",
        "c",
    ]
    with Proxy(faults.network.rpc_urls[0]) as ledger:
        through(home, faults, ledger=ledger.url)
        ledger.fault = lambda number, body: LOSE if b"eth_sendRawTransaction" in body else PASS
        lost = faults.run(home, *args)
        assert lost.wait() == 4, lost.said()
        assert "LedgerUnavailable" in lost.said()
        assert "Traceback" not in lost.said()
        ledger.fault = lambda number, body: PASS
        assert faults.run(home, *args).wait() == 0
    assert len(faults.events(since, "LicenseGranted")) == 1

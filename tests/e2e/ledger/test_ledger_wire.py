"""Answers that are lost or doubled: the same bytes go again, and the ledger is asked what they did."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from e2e.ledger.anvil import Key
from e2e.ledger.conftest import ADMIT_REST, REGISTRAR, Site
from e2e.ledger.wire import wire
from printright.errors import LedgerUnavailable
from printright.ledger.evm import open_ledger
from printright.ledger.port import Call, Receipt

pytestmark = pytest.mark.needs("anvil")


@pytest.mark.parametrize("fault", ["lose request", "lose answer", "double"])
async def test_every_request_suffers_once(site: Site, tmp_path: Path, fault: str) -> None:
    """Each request in turn. Red without the second chance in rpc.Rpc._post (`range(2 * ...)`)."""
    admitted = 0
    for number in range(30):
        member = Key.named(f"{fault} {number}").address
        with wire(site.chain.url, lambda n, methods, number=number: fault if n == number else "pass") as gateway:
            network = site.network.with_rpc([gateway.url])
            async with open_ledger(network, signer=REGISTRAR, journal=tmp_path / "j") as ledger:
                await ledger.send(f"{fault} {number}", "admit_member", member, *ADMIT_REST)
        assert site.admitted(member) == 1
        admitted += 1
    assert int(site.chain.rpc("eth_getTransactionCount", REGISTRAR.address, "latest"), 16) == 1 + admitted


@pytest.mark.parametrize("fault", ["lose request", "lose answer", "double"])
async def test_sending_is_never_answered(site: Site, tmp_path: Path, fault: str) -> None:
    """Whatever carries transactions fails ten times, with a new client each time. What was journalled stays one.

    Red without the look-up of known keys in sending.Sender._prepare.
    """

    def plan(number: int, methods: list[str]) -> str:
        return fault if "eth_sendRawTransaction" in methods else "pass"

    members = [Key.named(f"never {fault} {i}").address for i in range(4)]
    calls = [Call(str(i), "admit_member", (member, *ADMIT_REST)) for i, member in enumerate(members)]
    for _ in range(10):
        with wire(site.chain.url, plan) as gateway:
            network = site.network.with_rpc([gateway.url])
            try:
                async with open_ledger(network, signer=REGISTRAR, journal=tmp_path / "j") as ledger:
                    await ledger.send_many(calls)
            except LedgerUnavailable:
                assert fault != "double"
    async with open_ledger(site.network, signer=REGISTRAR, journal=tmp_path / "j") as ledger:
        receipts = await ledger.send_many(calls)
    assert all(isinstance(receipt, Receipt) for receipt in receipts)
    assert [site.admitted(member) for member in members] == [1] * 4


async def test_a_wire_that_fails_at_random(site: Site, tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    faults = ["lose request", "lose answer", "double"]
    members = [Key.named(f"random {i}").address for i in range(12)]

    def plan(number: int, methods: list[str]) -> str:
        return dice.choice(faults) if dice.random() < 0.4 else "pass"

    with wire(site.chain.url, plan) as gateway:
        network = site.network.with_rpc([gateway.url])
        for i, member in enumerate(members):
            for _ in range(100):
                try:
                    async with open_ledger(network, signer=REGISTRAR, journal=tmp_path / "j") as ledger:
                        await ledger.send(str(i), "admit_member", member, *ADMIT_REST)
                    break
                except LedgerUnavailable:
                    continue
            else:
                pytest.fail(f"never got through, seed {seed}")
    assert [site.admitted(member) for member in members] == [1] * 12

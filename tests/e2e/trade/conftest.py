"""A network with its members, on the embedded ledger and on Anvil: real processes, real contracts, real services."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest

from printright.domain.ids import Address, ContentId
from printright.domain.member import Role, UnitProfile
from printright.ledger.evm import deploy, open_ledger
from printright.services import licensing, members
from programs import program
from trade_steps import SoftSigner, Trade


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(params=["embedded", pytest.param("anvil", marks=pytest.mark.needs("anvil"))])
def rpc_url(request: pytest.FixtureRequest, tmp_path: Path) -> object:
    port = free_port()
    if request.param == "embedded":
        command = [sys.executable, "-m", "printright", "ledger", "serve", "--folder", str(tmp_path / "chain")]
        command += ["--port", str(port), "--chain-id", "4242"]
    else:
        command = [str(program("anvil")), "--port", str(port), "--silent", "--base-fee", "0", "--gas-price", "0"]
        command += ["--chain-id", "4242"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            break
        except OSError:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait(timeout=30)


async def fund(rpc_url: str, accounts: list[Address]) -> None:
    """Anvil wants a tip even where gas is free; the embedded ledger does not know the method, and needs none."""
    async with aiohttp.ClientSession() as session:
        for account in accounts:
            body = {"jsonrpc": "2.0", "id": 1, "method": "anvil_setBalance", "params": [account, hex(10**20)]}
            await (await session.post(rpc_url, json=body)).read()


@pytest.fixture
async def trade(rpc_url: str, tmp_path: Path) -> AsyncIterator[Trade]:
    signers = [SoftSigner() for _ in range(6)]
    builder = signers[5]
    await fund(rpc_url, [signer.address for signer in signers])
    async with asyncio.timeout(120), AsyncExitStack() as stack:
        network = await deploy(rpc_url, signers[0], signers[0].address, name="test", finality="single-node")
        registrar, owner, maker, rival, unit = [
            await stack.enter_async_context(
                open_ledger(network, signer=signer, journal=tmp_path / f"{signer.address}.sqlite")
            )
            for signer in signers[:5]
        ]
        roles = {owner.address: Role.RIGHTS_HOLDER, maker.address: Role.MAKER, rival.address: Role.MAKER}
        roles[builder.address] = Role.BUILDER
        for address, role in roles.items():
            await members.admit(registrar, address, role, b"\4" + os.urandom(64), os.urandom(32))
        profile = UnitProfile(os.urandom(32), "printer", "model", "firmware", "serial")
        request = await members.request_enrolment(
            registrar, signers[4], b"\4" + os.urandom(64), maker.address, profile, now_s=int(time.time())
        )
        await members.enroll(maker, members.attest(request, members.typed_domain(maker), builder))
        receipt = await owner.send("publish", "publish", os.urandom(32), 1)
        content = ContentId(receipt.events[0].content)  # type: ignore[attr-defined]
        yield Trade(network, registrar, owner, maker, rival, unit, content, licensing.LicenseBook(tmp_path / "book"))

"""The client against a real node: reading, sending once, refusals, gateways."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from e2e.ledger.anvil import Key, anvil, free_port
from e2e.ledger.conftest import ADMIT_REST, REGISTRAR, Site, admit
from e2e.ledger.wire import wire
from printright.errors import BadValue, LedgerRefused, LedgerUnavailable, Misuse
from printright.ledger import refusals
from printright.ledger.events import LicenseGranted, MemberAdmitted
from printright.ledger.evm import WrongChain, open_ledger
from printright.ledger.journal import KeyReused
from printright.ledger.port import Call
from printright.ledger.sending import NotAccepted

pytestmark = pytest.mark.needs("anvil")


def count_of(site: Site, key: Key) -> int:
    return int(site.chain.rpc("eth_getTransactionCount", key.address, "latest"), 16)


async def test_a_repeat_returns_the_same_receipt_and_sends_nothing(site: Site, tmp_path: Path) -> None:
    member = Key.named("repeat").address
    async with open_ledger(site.network, signer=REGISTRAR, journal=tmp_path / "j") as ledger:
        first = await ledger.send("k", "admit_member", member, *ADMIT_REST)
        count = count_of(site, REGISTRAR)
        assert await ledger.send("k", "admit_member", member, *ADMIT_REST) == first
        assert await ledger.lookup("k") == first
        assert await ledger.lookup("other") is None
    async with open_ledger(site.network, signer=REGISTRAR, journal=tmp_path / "j") as ledger:
        assert await ledger.send("k", "admit_member", member, *ADMIT_REST) == first
        assert await ledger.call("roles", member) == 1
    assert count_of(site, REGISTRAR) == count
    assert [type(event) for event in first.events] == [MemberAdmitted]
    assert first.sender == REGISTRAR.address


async def test_the_same_key_for_another_call_is_misuse(site: Site, tmp_path: Path) -> None:
    async with open_ledger(site.network, signer=REGISTRAR, journal=tmp_path / "j") as ledger:
        await ledger.send("k", "admit_member", Key.named("a").address, *ADMIT_REST)
        with pytest.raises(KeyReused):
            await ledger.send("k", "admit_member", Key.named("b").address, *ADMIT_REST)
        with pytest.raises(KeyReused):
            await ledger.send_many([Call("k", "admit_member", (Key.named("b").address, *ADMIT_REST))])
    assert site.admitted(Key.named("b").address) == 0


async def test_two_tasks_with_one_key_send_once(site: Site, tmp_path: Path) -> None:
    member = Key.named("two tasks").address
    async with open_ledger(site.network, signer=REGISTRAR, journal=tmp_path / "j") as ledger:
        receipts = await asyncio.gather(
            *(ledger.send("k", "admit_member", member, *ADMIT_REST) for _ in range(5)),
            *(ledger.send(f"k{i}", "admit_member", member, *ADMIT_REST) for i in range(5)),
        )
    assert len({receipt.tx_hash for receipt in receipts}) == 6
    assert site.admitted(member) == 6


async def test_a_refusal_known_beforehand_costs_no_nonce(site: Site, tmp_path: Path) -> None:
    before = count_of(site, REGISTRAR)
    async with open_ledger(site.network, signer=REGISTRAR, journal=tmp_path / "j") as ledger:
        with pytest.raises(refusals.UnknownRoles) as refused:
            await ledger.send("k", "admit_member", REGISTRAR.address, 77, b"", bytes(32))
        assert refused.value.reason == "registry: unknown roles"
        assert await ledger.lookup("k") is None
        # The key was not used up: the corrected call goes.
        await ledger.send("k", "admit_member", REGISTRAR.address, *ADMIT_REST)
    assert count_of(site, REGISTRAR) == before + 1


async def test_a_mined_refusal_is_typed_and_stays(site: Site, tmp_path: Path) -> None:
    oem = site.member("oem")
    await admit(site, oem, tmp_path)
    terms = bytes(31) + b"\1"
    calls = [
        Call("1", "grant", (terms, 5, 1)),
        Call("2", "grant", (terms, 5, 1)),
        Call("3", "grant", (bytes(32), 0, 1)),
        Call("4", "revoke", ([terms],)),
        Call("1", "grant", (terms, 5, 1)),
    ]
    async with open_ledger(site.network, signer=oem, journal=tmp_path / "j") as ledger:
        for _ in range(2):
            one, two, three, four, again = await ledger.send_many(calls)
            assert not isinstance(one, LedgerRefused)
            assert isinstance(one.events[0], LicenseGranted)
            assert one.events[0].copies == 5
            assert isinstance(two, refusals.AlreadyGranted)
            assert isinstance(three, refusals.CopiesOutOfRange)
            assert not isinstance(four, LedgerRefused)
            assert again == one
            with pytest.raises(refusals.AlreadyGranted):
                await ledger.send(calls[1].key, calls[1].function, *calls[1].args)
            with pytest.raises(refusals.AlreadyGranted):
                await ledger.lookup("2")
    assert count_of(site, oem) == 4


async def test_a_repeat_is_not_tried_out_again(site: Site, tmp_path: Path) -> None:
    """What was done cannot be done again, and that is no refusal. Red without the look-up of the key in Sender.send."""
    oem = site.member("oem")
    await admit(site, oem, tmp_path)
    async with open_ledger(site.network, signer=oem, journal=tmp_path / "j") as ledger:
        first = await ledger.send("k", "grant", bytes(32), 5, 1)
        assert await ledger.send("k", "grant", bytes(32), 5, 1) == first
        with pytest.raises(refusals.AlreadyGranted):
            await ledger.send("another", "grant", bytes(32), 5, 1)


async def test_hundreds_of_calls_at_once(site: Site, tmp_path: Path) -> None:
    oem = site.member("oem")
    await admit(site, oem, tmp_path)
    calls = [Call(f"{i}", "grant", (i.to_bytes(32, "big"), i + 1, 0)) for i in range(300)]
    async with open_ledger(site.network, signer=oem, journal=tmp_path / "j") as ledger:
        receipts = await ledger.send_many(calls)
        assert [r.events[0].copies for r in receipts] == list(range(1, 301))  # type: ignore[union-attr]
        assert await ledger.send_many(calls) == receipts
        granted = await ledger.events(names={"LicenseGranted"}, licensor=oem.address)
    assert [event.copies for event in granted] == list(range(1, 301))  # type: ignore[attr-defined]
    assert count_of(site, oem) == 300


async def test_reads_come_with_names_and_types(site: Site, tmp_path: Path) -> None:
    async with open_ledger(site.network) as ledger:
        unit = await ledger.call("unit", REGISTRAR.address)
        assert (unit.active, unit.operator, unit.profile) == (False, "0x" + "0" * 40, bytes(32))
        assert await ledger.call("registrar") == REGISTRAR.address
        by, at_s = await ledger.call("checked_out", bytes(32))
        assert (by, at_s) == ("0x" + "0" * 40, 0)
        terms = (bytes(32), 0, bytes(32), bytes(32))
        assert len(await ledger.call("terms_hash", REGISTRAR.address, terms)) == 32
        assert await ledger.block_timestamp(await ledger.block_number()) > 1_600_000_000
        with pytest.raises(Misuse):
            await ledger.call("no_such_function")
        with pytest.raises(BadValue):
            await ledger.call("unit", "0x12")
        with pytest.raises(Misuse):
            await ledger.send("k", "accept_registrar")


async def test_events_are_filtered_by_name_and_field(site: Site, tmp_path: Path) -> None:
    a, b = Key.named("a"), Key.named("b")
    async with open_ledger(site.network, signer=REGISTRAR, journal=tmp_path / "j") as ledger:
        for key in (a, b):
            await ledger.send(f"admit {key.address}", "admit_member", key.address, *ADMIT_REST)
        await ledger.send("out", "suspend_member", a.address, [])
        assert [type(e).__name__ for e in await ledger.events(member=a.address)] == [
            "MemberAdmitted",
            "MemberSuspended",
        ]
        assert len(await ledger.events(names=["MemberAdmitted", "MemberSuspended"])) == 3
        last = await ledger.block_number()
        assert len(await ledger.events(names={"MemberSuspended"}, from_block=last)) == 1
        assert len(await ledger.events(names={"MemberSuspended"}, to_block=last - 1)) == 0
        with pytest.raises(Misuse):
            await ledger.events(names={"NoSuchEvent"})
        with pytest.raises(Misuse):
            await ledger.events(names={"MemberAdmitted"}, license=bytes(32))


async def test_nothing_is_sent_to_another_chain_or_contract(site: Site, tmp_path: Path) -> None:
    with wire(site.chain.url) as gateway:
        for wrong in (
            replace(site.network, chain_id=1),
            replace(site.network, contract=REGISTRAR.address),
            replace(site.network, code_hash="0x" + "11" * 32),
        ):
            with pytest.raises(WrongChain):
                async with open_ledger(wrong.with_rpc([gateway.url]), signer=REGISTRAR, journal=tmp_path / "j"):
                    pass
        asked = {method for methods in gateway.methods for method in methods}
    assert asked == {"eth_chainId", "eth_getCode"}


async def test_a_gateway_that_becomes_another_chain_is_not_followed(tmp_path: Path) -> None:
    """Red without the check on new connections in rpc (`_new_connection`)."""
    from e2e.ledger.conftest import found

    port = free_port()
    with anvil(port=port) as chain:
        site = await asyncio.to_thread(found, chain)
        ledger_of = open_ledger(site.network, signer=REGISTRAR, journal=tmp_path / "j")
        ledger = await ledger_of.__aenter__()
        await ledger.send("1", "admit_member", REGISTRAR.address, *ADMIT_REST)
    with anvil(port=port, chain_id=99) as other:
        other.fund(REGISTRAR)
        with pytest.raises(WrongChain):
            await ledger.send("2", "admit_member", REGISTRAR.address, *ADMIT_REST)
        assert int(other.rpc("eth_getTransactionCount", REGISTRAR.address, "latest"), 16) == 0
    await ledger_of.__aexit__(None, None, None)


async def test_the_next_gateway_takes_over(site: Site, tmp_path: Path) -> None:
    dead = f"http://127.0.0.1:{free_port()}"
    with wire(site.chain.url) as gateway:
        network = site.network.with_rpc([dead, gateway.url, site.chain.url])
        ledger_of = open_ledger(network, signer=REGISTRAR, journal=tmp_path / "j")
        ledger = await ledger_of.__aenter__()
        await ledger.send("1", "admit_member", REGISTRAR.address, *ADMIT_REST)
        assert gateway.count > 2
        gateway.plan = lambda number, methods: "lose answer"
        await ledger.send("2", "admit_member", REGISTRAR.address, *ADMIT_REST)
    await ledger.send("3", "admit_member", REGISTRAR.address, *ADMIT_REST)
    await ledger_of.__aexit__(None, None, None)
    assert site.admitted(REGISTRAR.address) == 3
    with pytest.raises(LedgerUnavailable):
        async with open_ledger(site.network.with_rpc([dead])):
            pass


async def test_an_account_without_funds_is_told_and_goes_on_when_funded(site: Site, tmp_path: Path) -> None:
    poor = Key.named("poor")
    await admit(site, poor, tmp_path)
    async with open_ledger(site.network, signer=poor, journal=tmp_path / "j") as ledger:
        with pytest.raises(NotAccepted):
            await ledger.send("k", "grant", bytes(32), 1, 0)
        site.chain.fund(poor)
        assert len((await ledger.send("k", "grant", bytes(32), 1, 0)).events) == 1
    assert count_of(site, poor) == 1


async def test_a_contract_that_wants_us_to_follow_a_url_is_a_refusal(site: Site) -> None:
    """EIP-3668 (CCIP-read) is off. Red with `global_ccip_read_enabled = True` in evm.CheckedGateways."""
    from eth_abi import encode

    with wire(site.chain.url) as trap, wire(site.chain.url) as gateway:
        lookup = bytes.fromhex("556f1830") + encode(
            ["address", "string[]", "bytes", "bytes4", "bytes"],
            [site.network.contract, [trap.url + "/{sender}/{data}"], b"x", b"abcd", b""],
        )
        # A contract of a few bytes that reverts with the lookup: CODECOPY of its tail, REVERT.
        size = len(lookup)
        code = bytes.fromhex(f"61{size:04x}600e5f3961{size:04x}5ffd").ljust(14, b"\0") + lookup
        site.chain.rpc("anvil_setCode", site.network.contract, "0x" + code.hex())
        network = replace(site.network, code_hash="0x" + _keccak(code)).with_rpc([gateway.url])
        async with open_ledger(network) as ledger:
            with pytest.raises(LedgerRefused) as refused:
                await ledger.call("registrar")
            assert isinstance(refused.value, refusals.UnknownReason)
            from web3.exceptions import OffchainLookup

            # Had web3.py tried to follow it, the error would be another one.
            with pytest.raises(OffchainLookup):
                await ledger.web3.eth.call({"to": ledger.web3.to_checksum_address(network.contract), "data": "0x00"})
        assert trap.count == 0


def _keccak(code: bytes) -> str:
    from eth_utils.crypto import keccak

    return keccak(code).hex()


async def test_a_gateway_without_batches_serves_too(site: Site, tmp_path: Path) -> None:
    with wire(site.chain.url) as gateway:
        forward = gateway.RequestHandlerClass._forward  # type: ignore[attr-defined]

        class OneByOne(gateway.RequestHandlerClass):  # type: ignore[misc, name-defined]
            def _forward(self, body: bytes) -> bytes:
                if body.startswith(b"["):
                    error = {"code": -32600, "message": "batches are not served"}
                    return json.dumps({"jsonrpc": "2.0", "id": None, "error": error}).encode()
                return bytes(forward(self, body))

        gateway.RequestHandlerClass = OneByOne
        network = site.network.with_rpc([gateway.url])
        async with open_ledger(network, signer=REGISTRAR, journal=tmp_path / "j") as ledger:
            await ledger.send("1", "admit_member", REGISTRAR.address, *ADMIT_REST)
            assert len(await ledger.events(names={"MemberAdmitted"})) == 1

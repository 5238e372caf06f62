"""eth_call and eth_estimateGas."""

from __future__ import annotations

import time

import pytest
from embedded_scene import Local, Signer, calldata, created, returning
from eth_abi.abi import encode

from printright.ledger.embedded import calls
from printright.ledger.embedded.calls import Request
from printright.ledger.embedded.chain import Chain
from printright.ledger.embedded.evm import TookTooLong
from printright.ledger.embedded.server import Settings, opened
from printright.ledger.embedded.wire import RpcError

LOOP = bytes.fromhex("5b5f56")  # JUMPDEST PUSH0 JUMP
NUMBER_AND_TIME = bytes.fromhex("435f524260205260405ff3")  # returns NUMBER, TIMESTAMP


def create(local: Local, runtime: bytes, name: str = "creator") -> str:
    signer = Signer(name)
    assert local.send(signer.sign(None, returning(runtime)))["status"] == "0x1"
    return created(signer.address, 0)


def hexed(data: bytes) -> str:
    return "0x" + data.hex()


def test_a_revert_gives_code_3_reason_and_data(local: Local) -> None:
    scene = local.scene()
    data = calldata("start_job", scene.terms, 5000, 1, [])
    for method in ("eth_call", "eth_estimateGas"):
        with pytest.raises(RpcError) as refused:
            local(method, {"from": scene.unit.address, "to": scene.contract, "data": hexed(data)})
        assert refused.value.code == 3
        assert refused.value.message == "execution reverted: licenses: no copies left"
        assert refused.value.data == hexed(bytes.fromhex("08c379a0") + encode(["string"], ["licenses: no copies left"]))


@pytest.mark.parametrize(
    ("runtime", "code", "message"),
    [
        ("5f5ffd", 3, "execution reverted"),
        ("634e487b715f5260116020526024601cfd", 3, "execution reverted: panic: 0x11"),
        ("fe", -32000, "invalid opcode"),
        ("5f56", -32000, "invalid jump destination"),
        ("7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff51", -32000, "out of gas"),
    ],
)
def test_what_goes_wrong_is_said_in_geths_words(local: Local, runtime: str, code: int, message: str) -> None:
    contract = create(local, bytes.fromhex(runtime))
    with pytest.raises(RpcError) as refused:
        local.call(contract, b"")
    assert (refused.value.code, refused.value.message) == (code, message)


def test_an_estimate_is_what_the_transaction_uses(local: Local) -> None:
    scene = local.scene()
    license_id = scene.license(local.call)
    for sequence in (1, 2):
        for make in (lambda: scene.start(sequence), lambda: scene.finish(license_id)):  # noqa: B023
            data = local_data = make()
            scene.unit.nonce -= 1
            request = request_of(local, local_data)
            gas = int(local("eth_estimateGas", request), 16)
            scene.unit.nonce += 1
            receipt = local.send(data)
            assert (receipt["status"], int(receipt["gasUsed"], 16)) == ("0x1", gas)


def request_of(local: Local, raw: bytes) -> dict[str, object]:
    from printright.ledger.embedded import transactions

    decoded = transactions.decode(raw, local.chain.chain_id)
    return {"from": hexed(decoded.sender), "to": hexed(decoded.to), "data": hexed(decoded.data)}


def test_an_estimate_leaves_enough_for_inner_calls(local: Local) -> None:
    # The inner contract needs 100,000 gas or reverts; the outer one passes on 63/64 and needs it to succeed.
    # PUSH3 100000 GAS GT PUSH1 12 JUMPI PUSH0 PUSH0 REVERT JUMPDEST STOP
    inner = create(local, bytes.fromhex("620186a05a11600c575f5ffd5b00"), "inner")
    # CALL(gas, inner, nothing) PUSH1 34 JUMPI PUSH0 PUSH0 REVERT JUMPDEST STOP
    outer = create(local, bytes.fromhex(f"5f5f5f5f5f73{inner[2:]}5af16022575f5ffd5b00"), "outer")
    signer = Signer("caller")
    gas = int(local("eth_estimateGas", {"from": signer.address, "to": outer}), 16)
    assert local.send(signer.sign(outer, gas=gas))["status"] == "0x1"
    assert local.send(signer.sign(outer, gas=gas * 9 // 10))["status"] == "0x0"


def test_a_plain_transfer_takes_21000(local: Local, rich: Signer) -> None:
    assert local("eth_estimateGas", {"from": rich.address, "to": "0x" + "42" * 20, "value": "0x1"}) == "0x5208"
    with pytest.raises(RpcError, match="insufficient funds for transfer"):
        local("eth_estimateGas", {"from": "0x" + "43" * 20, "to": "0x" + "42" * 20, "value": "0x1"})
    with pytest.raises(RpcError, match="insufficient funds"):
        local("eth_call", {"from": "0x" + "43" * 20, "to": "0x" + "42" * 20, "gasPrice": "0x1"})


def test_latest_is_the_last_block_and_pending_the_next(settings: Settings) -> None:
    now = [1_000]
    with opened(settings, clock=lambda: now[0]) as chain:
        local = Local(chain)
        contract = create(local, NUMBER_AND_TIME)

        def seen(block: object) -> tuple[int, int]:
            answer = local.call(contract, b"", block)
            return int.from_bytes(answer[:32], "big"), int.from_bytes(answer[32:], "big")

        now[0] = 5_000
        assert seen("latest") == seen("finalized") == seen("0x1") == (1, 1_001)
        assert seen("pending") == (2, 5_000)
        local("evm_mine")
        now[0] = 6_000
        assert (seen("latest"), seen("pending"), seen({"blockNumber": "0x1"})) == (
            (2, 5_000), (3, 6_000), (1, 1_001),
        )  # fmt: skip
        block_hash = local("eth_getBlockByNumber", "0x1", False)["hash"]
        assert seen({"blockHash": block_hash}) == (1, 1_001)
        for unknown in ("0x9", {"blockHash": "0x" + "11" * 32}):
            with pytest.raises(RpcError, match="header not found"):
                seen(unknown)


def test_an_expired_license_fails_in_the_estimate(settings: Settings) -> None:
    # Red where `estimate_gas` uses the last block's time: nobody made a block since the license expired.
    now = [1_000]
    with opened(settings, clock=lambda: now[0]) as chain:
        from embedded_scene import Scene

        local, scene = Local(chain), Scene(limits=(2_000 << 128) | 60)
        scene.setup(local.call, local.send)
        request = request_of(local, scene.start(1))
        assert int(local("eth_estimateGas", request), 16) > 21_000
        now[0] = 2_001
        with pytest.raises(RpcError, match="licenses: expired"):
            local("eth_estimateGas", request)


def test_the_kept_state_answers_as_a_fresh_one(local: Local) -> None:
    # Red without the revert in `calls._execute`: the second call would see the first one's job.
    scene = local.scene()

    def answers() -> list[bytes]:
        start = calldata("start_job", scene.terms, 1, 1, [])
        request = {"from": scene.unit.address, "to": scene.contract, "data": hexed(start)}
        return [
            bytes.fromhex(local("eth_estimateGas", request)[2:].zfill(8)),
            local.call(scene.contract, calldata("job", scene.unit.address)),
            local.call(scene.contract, calldata("counters", scene.license(local.call))),
            local.call(scene.contract, calldata("job", scene.unit.address), "0x1"),
        ]

    first = answers()
    for _ in range(3):
        local.chain.outputs.clear()
        assert answers() == first
    local.chain.outputs.clear()
    local.chain.forget_state()
    assert answers() == first
    local.send(scene.start(1))
    after = answers_after = local.call(scene.contract, calldata("job", scene.unit.address))
    assert after != first[1]
    local.chain.forget_state()
    local.chain.outputs.clear()
    assert local.call(scene.contract, calldata("job", scene.unit.address)) == answers_after


def test_an_endless_loop_is_given_up(local: Local) -> None:
    # Red without JUMPDEST in evm.TimedComputation: 30 million gas last most of a minute.
    contract = bytes.fromhex(create(local, LOOP)[2:])
    began = time.monotonic()
    with pytest.raises(TookTooLong):
        calls.call(local.chain, Request(to=contract), local.chain.head, limit_s=0.05)
    assert time.monotonic() - began < 10
    assert local.call(create(local, NUMBER_AND_TIME, "later"), b"")[31] == 2


def test_an_endless_transaction_is_not_mined(settings: Settings) -> None:
    with opened(settings) as chain:
        contract = create(Local(chain), LOOP)
    purpose_is_recorded: dict[str, str] = {}
    with opened(settings) as chain:
        limited = Chain(
            chain.database, chain.chain_id, settings.genesis_accounts, purpose_is_recorded, mining_limit_s=0.05
        )
        signer, head = Signer("caller"), limited.head
        with pytest.raises(TookTooLong):
            limited.send(signer.sign(contract, gas=30_000_000))
        assert limited.head is head
        signer.nonce = 0
        assert Local(limited).send(signer.sign("0x" + "42" * 20))["status"] == "0x1"


@pytest.mark.parametrize(
    ("request_", "what"),
    [
        ({"to": "0x12"}, "1 bytes, not 20"),
        ({"to": 7}, "not data"),
        ({"gas": "0x01"}, "not a quantity"),
        ({"gas": 1}, "not a quantity"),
        ({"value": "0x" + "1" * 65}, "not a quantity"),
        ({"data": "0x123"}, "not data"),
        ({"data": "0x12", "input": "0x13"}, "not equal"),
        ({"surprise": "0x12"}, "unknown field surprise"),
        ({"gasPrice": "0x1", "maxFeePerGas": "0x1"}, "both gasPrice"),
        ({"chainId": "0x1"}, "chainId does not match"),
        ({"accessList": [{"address": "0x12"}]}, "1 bytes, not 20"),
        ({"accessList": "0x"}, "not a list"),
        ([], "not an object"),
    ],
)
def test_a_malformed_call_is_refused(local: Local, request_: object, what: str) -> None:
    with pytest.raises(RpcError, match=what) as refused:
        local("eth_call", request_)
    assert refused.value.code == -32602


@pytest.mark.parametrize("first", [0, 1])
def test_jumps_are_judged_by_each_code_itself(local: Local, first: int) -> None:
    # Red where `evm._positions` gives two codes the same sets. Both jump to byte 4, a JUMPDEST; in the second code it
    # is the data of a PUSH1, for which py-evm says "invalid opcode".
    contracts = [create(local, bytes.fromhex(code), code) for code in ("600456005b00", "600456605b00")]
    for index in (first, 1 - first, first):
        if index == 0:
            assert local.call(contracts[0], bytes([index])) == b""
        else:
            with pytest.raises(RpcError, match="invalid opcode"):
                local.call(contracts[1], b"")
        local.chain.outputs.clear()

"""Blocks and what is admitted into them."""

from __future__ import annotations

import stat
from dataclasses import replace
from typing import Any

import pytest
import rlp
from embedded_scene import CHAIN_ID, Local, Signer, calldata, created
from eth_utils import keccak

from printright.domain.ids import Address
from printright.errors import AlreadyRunning, BadSettings
from printright.ledger.embedded import evm
from printright.ledger.embedded.server import Settings, opened
from printright.ledger.embedded.wire import RpcError

NOBODY = "0x" + "42" * 20
# secp256k1's group order
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def integer(value: str) -> bytes:
    return int(value, 16).to_bytes(32, "big").lstrip(b"\0")


def test_a_block_hashes_to_its_hash(local: Local, rich: Signer) -> None:
    local.send(rich.sign(NOBODY, value=1))
    block = local("eth_getBlockByNumber", "latest", True)
    data = ("parentHash", "sha3Uncles", "miner", "stateRoot", "transactionsRoot", "receiptsRoot", "logsBloom")
    numbers = ("difficulty", "number", "gasLimit", "gasUsed", "timestamp")
    header = [bytes.fromhex(block[name][2:]) for name in data] + [integer(block[name]) for name in numbers]
    header += [bytes.fromhex(block[name][2:]) for name in ("extraData", "mixHash", "nonce")]
    header += [integer(block["baseFeePerGas"]), bytes.fromhex(block["withdrawalsRoot"][2:])]
    header += [integer(block["blobGasUsed"]), integer(block["excessBlobGas"])]
    header += [bytes.fromhex(block["parentBeaconBlockRoot"][2:])]
    assert "0x" + keccak(rlp.encode(header)).hex() == block["hash"]
    assert block["parentHash"] == local("eth_getBlockByNumber", "earliest", False)["hash"]
    assert block["transactions"][0]["hash"] == local("eth_getBlockByHash", block["hash"], False)["transactions"][0]


@pytest.mark.parametrize(
    ("kind", "changes"),
    [(0, {}), (1, {"accessList": [{"address": NOBODY, "storageKeys": ["0x" + "01" * 32]}]}), (2, {})],
)
def test_each_kind_of_transaction_is_mined_and_read_back(
    local: Local, rich: Signer, kind: int, changes: dict[str, Any]
) -> None:
    raw = rich.sign(NOBODY, value=5, type=kind, **changes)
    receipt = local.send(raw)
    assert (receipt["status"], receipt["type"], receipt["from"]) == ("0x1", hex(kind), rich.address.lower())
    assert receipt["transactionHash"] == "0x" + keccak(raw).hex()
    mined = local("eth_getTransactionByHash", receipt["transactionHash"])
    assert (mined["type"], mined["value"], mined["to"]) == (hex(kind), "0x5", NOBODY)
    assert ("accessList" in mined) == (kind > 0)
    assert local("eth_getBalance", NOBODY) == "0x5"
    assert local("eth_getBalance", NOBODY, "earliest") == "0x0"


def test_gas_stays_free_after_the_fullest_block(local: Local) -> None:
    # Red with TRANSACTION_GAS_LIMIT = BLOCK_GAS_LIMIT: a block over half full makes the base fee 1, for ever.
    poor = Signer("poor")
    receipt = local.send(poor.sign(None, b"\xfe", gas=evm.TRANSACTION_GAS_LIMIT))
    assert (receipt["status"], receipt["gasUsed"]) == ("0x0", hex(evm.TRANSACTION_GAS_LIMIT))
    for _ in range(3):
        assert local.send(poor.sign(NOBODY, gas=21_000))["status"] == "0x1"
    assert {local("eth_getBlockByNumber", hex(n), False)["baseFeePerGas"] for n in range(5)} == {"0x0"}


def test_a_tip_is_paid_by_who_offers_one(local: Local, rich: Signer) -> None:
    receipt = local.send(rich.sign(NOBODY, gas=21_000, maxFeePerGas=7, maxPriorityFeePerGas=3))
    assert receipt["effectiveGasPrice"] == "0x3"
    assert int(local("eth_getBalance", rich.address), 16) == 10**24 - 3 * 21_000
    assert local("eth_feeHistory", "0x2", "latest", [50])["reward"] == [["0x0"], ["0x3"]]


def test_time_never_stands_still_or_runs_back(settings: Settings, rich: Signer) -> None:
    # Red where `next_timestamp` gives the clock's time alone.
    times = iter([1_000, 5_000, 5_000, 4_000, 5_500, 1, 1])
    now = [1_000]
    with opened(settings, clock=lambda: now[0]) as chain:
        local = Local(chain)
        seen = []
        for moment in times:
            now[0] = moment
            local.send(rich.sign(NOBODY))
            seen.append(chain.head.timestamp)
    assert seen == [1_001, 5_000, 5_001, 5_002, 5_500, 5_501, 5_502]


def test_a_step_of_the_clock_outlives_a_restart(settings: Settings, rich: Signer) -> None:
    with opened(settings, clock=lambda: 1_000) as chain:
        assert Local(chain)("evm_increaseTime", 3_600) == 3_600
        assert Local(chain)("evm_mine") == "0x0"
        assert chain.head.timestamp == 4_600
    with opened(settings, clock=lambda: 1_010) as chain:
        Local(chain).send(rich.sign(NOBODY))
        assert chain.head.timestamp == 4_610
        Local(chain)("evm_mine", "0x2710")
        assert chain.head.timestamp == 10_000
        with pytest.raises(RpcError, match="not after the last block"):
            Local(chain)("evm_mine", 10_000)


def changed_signature(raw: bytes) -> bytes:
    """The other of the two signatures that would be right (EIP-2)."""
    fields = rlp.decode(raw[1:])
    fields[-3] = b"" if fields[-3] == b"\x01" else b"\x01"
    fields[-1] = (ORDER - int.from_bytes(fields[-1], "big")).to_bytes(32, "big")
    return raw[:1] + bytes(rlp.encode(fields))


def nested(depth: int) -> bytes:
    """A list in a list in a list ..."""
    heads, size = [], 1
    for _ in range(depth):
        length = size.to_bytes(3, "big").lstrip(b"\0")
        heads.append(bytes([0xC0 + size]) if size < 56 else bytes([0xF7 + len(length)]) + length)
        size += len(heads[-1])
    return b"".join(reversed(heads)) + b"\xc0"


REFUSED: dict[str, tuple[Any, str]] = {
    "lower nonce": (lambda r: r.sign(NOBODY, value=9, nonce=0), "nonce too low: next nonce 1, tx nonce 0"),
    "higher nonce": (lambda r: r.sign(NOBODY, nonce=5), "nonce too high: next nonce 1, tx nonce 5"),
    "other chain": (lambda r: r.sign(NOBODY, chainId=1), "invalid chain id for signer: have 1 want 7171"),
    "other chain, legacy": (lambda r: r.sign(NOBODY, type=0, chainId=1), "invalid chain id"),
    "no chain": (lambda r: r.sign(NOBODY, type=0, chainId=None), "only replay-protected"),
    "no coin": (lambda r: Signer("poor").sign(NOBODY, value=1), "insufficient funds for gas"),
    "no coin for gas": (lambda r: Signer("poor").sign(NOBODY, maxFeePerGas=1), "insufficient funds for gas"),
    "little gas": (lambda r: r.sign(NOBODY, gas=20_999), "intrinsic gas too low"),
    "much gas": (lambda r: r.sign(NOBODY, gas=evm.TRANSACTION_GAS_LIMIT + 1), "exceeds block gas limit"),
    "large init code": (lambda r: r.sign(None, b"\0" * 49_153), "max initcode size exceeded"),
    "tip over fee": (lambda r: r.sign(NOBODY, maxPriorityFeePerGas=1), "max priority fee per gas higher"),
    "empty": (lambda r: b"", "too short"),
    "garbage": (lambda r: b"\xc0" * 40, "not a signed transaction"),
    "deep": (lambda r: nested(30_000), "nested too deep"),
    "deep and typed": (lambda r: b"\x02" + nested(30_000), "nested too deep"),
    "not quite as deep": (lambda r: nested(4), "not a signed transaction"),
    "cut": (lambda r: r.sign(NOBODY)[:-1], "not a signed transaction"),
    "longer": (lambda r: r.sign(NOBODY) + b"\0", "not a signed transaction"),
    "too long": (lambda r: r.sign(NOBODY, b"\0" * 140_000), "oversized data"),
    "blobs": (lambda r: b"\x03" + r.sign(NOBODY)[1:], "type not supported"),
    "unknown type": (lambda r: b"\x7e" + r.sign(NOBODY)[1:], "type not supported"),
    "twin signature": (lambda r: changed_signature(r.sign(NOBODY)), "S value"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_admitted_changes_nothing(local: Local, rich: Signer, case: str) -> None:
    local.send(rich.sign(NOBODY))
    make, reason = REFUSED[case]
    raw, head = make(rich), local.chain.head
    with pytest.raises(RpcError, match=reason) as refused:
        local("eth_sendRawTransaction", "0x" + raw.hex())
    assert refused.value.code == -32000
    assert local.chain.head is head
    rich.nonce = 1
    assert local.send(rich.sign(NOBODY))["blockNumber"] == "0x2"


def test_the_same_bytes_count_once(local: Local, rich: Signer) -> None:
    # Red without the look-up of the hash in `Chain.send`: the answer would be "nonce too low".
    raw = rich.sign(NOBODY, value=1)
    receipt = local.send(raw)
    with pytest.raises(RpcError, match=r"\Aalready known\Z"):
        local("eth_sendRawTransaction", "0x" + raw.hex())
    assert local("eth_getTransactionReceipt", "0x" + keccak(raw).hex()) == receipt
    assert local("eth_getBalance", NOBODY) == "0x1"


def test_everything_is_there_after_a_restart(settings: Settings) -> None:
    def facts(local: Local) -> list[Any]:
        number = int(local("eth_blockNumber"), 16)
        blocks = [local("eth_getBlockByNumber", hex(n), True) for n in range(number + 1)]
        receipts = [local("eth_getBlockReceipts", hex(n)) for n in range(number + 1)]
        return [blocks, receipts, local("eth_getLogs", {"fromBlock": "0x0"}), local("eth_getCode", contract)]

    with opened(settings) as chain:
        scene = Local(chain).scene()
        contract = scene.contract
        Local(chain).send(scene.start(1))
        before = facts(Local(chain))
    with opened(settings) as chain:
        assert facts(Local(chain)) == before
        assert Local(chain).send(scene.start(2))["status"] == "0x1"


def test_one_process_for_one_folder(settings: Settings) -> None:
    # Red without the flock in `folder.locked`.
    with opened(settings), pytest.raises(AlreadyRunning, match="already served by process"), opened(settings):
        pass
    with opened(settings) as chain:
        assert chain.head.block_number == 0


def test_a_folder_keeps_to_what_it_was_made_for(settings: Settings, rich: Signer) -> None:
    with opened(settings):
        pass
    for other, what in (
        (replace(settings, chain_id=1), "another chain id"),
        (replace(settings, genesis_accounts={}), "another genesis accounts"),
        (replace(settings, genesis_accounts={Address(rich.address): 1}), "another genesis accounts"),
    ):
        with pytest.raises(BadSettings, match=what), opened(other):
            pass
    lower = {Address(rich.address.lower()): 10**24}
    with opened(replace(settings, genesis_accounts=lower)) as chain:
        assert chain.head.block_number == 0


def test_what_is_no_ledger_is_left_alone(settings: Settings) -> None:
    settings.folder.mkdir()
    file = settings.folder / "ledger.sqlite"
    file.write_bytes(b"something else" * 100)
    with pytest.raises(BadSettings, match="cannot be opened as a ledger"), opened(settings):
        pass
    assert file.read_bytes() == b"something else" * 100


def test_only_the_owner_reads_the_files(settings: Settings, rich: Signer) -> None:
    with opened(settings) as chain:
        Local(chain).send(rich.sign(NOBODY))
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in settings.folder.iterdir()}
    assert modes.keys() >= {"lock", "ledger.sqlite", "ledger.sqlite-wal"}
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE(settings.folder.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"chain_id": 0}, "chain id"),
        ({"port": 65_536}, "port"),
        ({"host": "0.0.0.0"}, "not a loopback"),
        ({"genesis_accounts": {Address("0x12"): 1}}, "no address"),
        ({"genesis_accounts": {Address(NOBODY): -1}}, "balance"),
    ],
)
def test_unsafe_settings_do_not_start(settings: Settings, change: dict[str, Any], what: str) -> None:
    with pytest.raises(BadSettings, match=what):
        replace(settings, **change)


def test_a_contract_is_where_it_should_be(local: Local) -> None:
    scene = local.scene()
    assert scene.contract == created(scene.registrar.address, 0)
    receipt = local("eth_getBlockReceipts", "0x1")[0]
    assert receipt["contractAddress"] == scene.contract.lower()
    assert local("eth_chainId") == hex(CHAIN_ID)
    assert local("eth_getTransactionCount", scene.contract) == "0x1"
    roles = local.call(scene.contract, calldata("roles", scene.shop.address))
    assert int.from_bytes(roles, "big") == 2

"""The RPC methods, one function each, over the chain. They run on the chain's thread.

Everything that is latest is final, and there is no pool: "latest", "safe" and "finalized" are the same block, and
"pending" is that block too, except that calls and estimates on it see the number and time of the next one.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

from eth_utils.crypto import keccak

from printright.ledger.embedded import calls, logs, params, proofs, render, wire
from printright.ledger.embedded.chain import Chain
from printright.ledger.embedded.wire import bad_params, hexadecimal, quantity

CALL_LIMIT_S = 5.0
"""As geth's `--rpc.evmtimeout`."""
MAX_FEE_BLOCKS = 1_024
MAX_PROOF_SLOTS = 1_024

CLIENT_VERSION = f"printright/{version('printright')}/py-evm-{version('py-evm')}/python{platform.python_version()}"

Method = Callable[[Chain, Sequence[Any]], Any]


def _constant(answer: Any) -> Method:
    def method(_: Chain, given: Sequence[Any]) -> Any:
        wire.parameters(given, 0, 0)
        return answer

    return method


def sha3(_: Chain, given: Sequence[Any]) -> str:
    (data,) = wire.parameters(given, 1, 1)
    return hexadecimal(keccak(wire.data(data, "data")))


def chain_id(chain: Chain, given: Sequence[Any]) -> str:
    wire.parameters(given, 0, 0)
    return quantity(chain.chain_id)


def net_version(chain: Chain, given: Sequence[Any]) -> str:
    wire.parameters(given, 0, 0)
    return str(chain.chain_id)


def block_number(chain: Chain, given: Sequence[Any]) -> str:
    wire.parameters(given, 0, 0)
    return quantity(chain.head.block_number)


def fee_history(chain: Chain, given: Sequence[Any]) -> Any:
    count, newest, percentiles = wire.parameters(given, 2, 3)
    # A number in older clients, a quantity in the specification.
    wanted = min(_count(count), MAX_FEE_BLOCKS)
    last = params.state_block(chain, newest).block_number
    asked = wire.array(percentiles or [], 100, "rewardPercentiles")
    if any(isinstance(each, bool) or not isinstance(each, int | float) for each in asked) or any(
        not 0 <= each <= 100 for each in asked
    ):
        raise bad_params("rewardPercentiles: numbers from 0 to 100")
    first = max(0, last - wanted + 1)
    headers = [header for number in range(first, last + 1) if (header := chain.header_by_number(number))]
    answer: dict[str, Any] = {
        "oldestBlock": quantity(first),
        # The next block's base fee stands at the end; it never changes, see `evm`.
        "baseFeePerGas": [quantity(render.base_fee(header)) for header in headers]
        + [quantity(render.base_fee(chain.head))],
        "gasUsedRatio": [header.gas_used / header.gas_limit for header in headers],
        "baseFeePerBlobGas": ["0x1"] * (len(headers) + 1),
        "blobGasUsedRatio": [0.0] * len(headers),
    }
    if asked:
        rewards = []
        for header in headers:
            # One transaction has all the gas of its block, so that every percentile is its tip.
            tips = [
                render.effective_gas_price(each, header) - render.base_fee(header)
                for each in chain.mined(header).transactions
            ]
            rewards.append([quantity(tips[0] if tips else 0)] * len(asked))
        answer["reward"] = rewards
    return answer


def get_balance(chain: Chain, given: Sequence[Any]) -> str:
    address, block = wire.parameters(given, 1, 2)
    return quantity(chain.state(params.state_block(chain, block)).get_balance(_address(address)))


def get_transaction_count(chain: Chain, given: Sequence[Any]) -> str:
    address, block = wire.parameters(given, 1, 2)
    return quantity(chain.state(params.state_block(chain, block)).get_nonce(_address(address)))


def get_code(chain: Chain, given: Sequence[Any]) -> str:
    address, block = wire.parameters(given, 1, 2)
    return hexadecimal(chain.state(params.state_block(chain, block)).get_code(_address(address)))


def get_storage_at(chain: Chain, given: Sequence[Any]) -> str:
    address, slot, block = wire.parameters(given, 2, 3)
    state = chain.state(params.state_block(chain, block))
    return wire.word(state.get_storage(_address(address), _slot(slot)))


def get_proof(chain: Chain, given: Sequence[Any]) -> Any:
    address, keys, block = wire.parameters(given, 2, 3)
    slots = tuple(_slot(key) for key in wire.array(keys, MAX_PROOF_SLOTS, "storageKeys"))
    account = _address(address)
    return render.proof(account, proofs.prove(chain.database, params.state_block(chain, block), account, slots))


def call(chain: Chain, given: Sequence[Any]) -> str:
    request, block = wire.parameters(given, 1, 2)
    wanted = params.request(chain, request)
    return hexadecimal(calls.call(chain, wanted, params.call_block(chain, block), CALL_LIMIT_S))


def estimate_gas(chain: Chain, given: Sequence[Any]) -> str:
    request, block = wire.parameters(given, 1, 2)
    wanted = params.request(chain, request)
    # The next block's time decides whether it will succeed, so "latest" is no better answer than "pending".
    header = params.call_block(chain, "pending" if block in (None, "latest") else block)
    return quantity(calls.estimate(chain, wanted, header, CALL_LIMIT_S))


def send_raw_transaction(chain: Chain, given: Sequence[Any]) -> str:
    (raw,) = wire.parameters(given, 1, 1)
    return hexadecimal(chain.send(wire.data(raw, "transaction")))


def get_transaction_by_hash(chain: Chain, given: Sequence[Any]) -> Any:
    (wanted,) = wire.parameters(given, 1, 1)
    number = chain.location(wire.data(wanted, "transaction hash", 32))
    if number is None or (header := chain.header_by_number(number)) is None:
        return None
    return render.transaction(chain.mined(header).transactions[0], header, 0)


def get_transaction_receipt(chain: Chain, given: Sequence[Any]) -> Any:
    (wanted,) = wire.parameters(given, 1, 1)
    number = chain.location(wire.data(wanted, "transaction hash", 32))
    if number is None or (header := chain.header_by_number(number)) is None:
        return None
    mined = chain.mined(header)
    return render.receipt(mined.receipts[0], mined.transactions[0], header, 0, 0, 0)


def get_block_receipts(chain: Chain, given: Sequence[Any]) -> Any:
    (block,) = wire.parameters(given, 1, 1)
    header = params.block_or_none(chain, block)
    if header is None:
        return None
    mined = chain.mined(header)
    answers, gas, events = [], 0, 0
    for index, (made, each) in enumerate(zip(mined.receipts, mined.transactions, strict=True)):
        answers.append(render.receipt(made, each, header, index, gas, events))
        gas, events = made.gas_used, events + len(made.logs)
    return answers


def get_block_by_number(chain: Chain, given: Sequence[Any]) -> Any:
    block, whole = wire.parameters(given, 1, 2)
    if not isinstance(block, str):
        raise bad_params("block: a number or a tag")
    header = params.block_or_none(chain, block)
    return None if header is None else render.block(header, chain.block(header), _whole(whole))


def get_block_by_hash(chain: Chain, given: Sequence[Any]) -> Any:
    block_hash, whole = wire.parameters(given, 1, 2)
    header = chain.header_by_hash(wire.data(block_hash, "block hash", 32))
    return None if header is None else render.block(header, chain.block(header), _whole(whole))


def get_block_transaction_count_by_number(chain: Chain, given: Sequence[Any]) -> Any:
    (block,) = wire.parameters(given, 1, 1)
    header = params.block_or_none(chain, block)
    return None if header is None else quantity(len(chain.mined(header).transactions))


def get_logs(chain: Chain, given: Sequence[Any]) -> Any:
    (wanted,) = wire.parameters(given, 1, 1)
    found = logs.find(chain.database.connection, params.log_filter(chain, wanted))
    return [render.found(event) for event in found]


def increase_time(chain: Chain, given: Sequence[Any]) -> int:
    """Hardhat's and Anvil's: a number or a quantity of seconds; answers with the sum of all steps."""
    (seconds,) = wire.parameters(given, 1, 1)
    return chain.advance_clock(_count(seconds))


def mine(chain: Chain, given: Sequence[Any]) -> str:
    """Hardhat's and Anvil's: an empty block, at a unix time where given."""
    (timestamp,) = wire.parameters(given, 0, 1)
    chain.mine_empty(None if timestamp is None else _count(timestamp))
    return "0x0"


def _address(value: object) -> Any:
    return wire.data(value, "address", 20)


def _slot(value: object) -> int:
    # Storage keys come as quantities and as 32 bytes alike.
    if isinstance(value, str) and len(value) == 66:
        return int.from_bytes(wire.data(value, "storage key", 32), "big")
    return wire.number(value, "storage key")


def _whole(value: object) -> bool:
    return False if value is None else wire.flag(value, "whether to return whole transactions")


def _count(value: object) -> int:
    number = wire.number(value, "number") if isinstance(value, str) else value
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < 2**40:
        raise bad_params("a number from 0 to 2**40 is taken")
    return number


METHODS: Mapping[str, Method] = {
    "web3_clientVersion": _constant(CLIENT_VERSION),
    "web3_sha3": sha3,
    "net_version": net_version,
    "net_listening": _constant(True),
    "net_peerCount": _constant("0x0"),
    "eth_chainId": chain_id,
    "eth_blockNumber": block_number,
    "eth_syncing": _constant(False),
    "eth_accounts": _constant([]),
    "eth_gasPrice": _constant("0x0"),
    "eth_maxPriorityFeePerGas": _constant("0x0"),
    "eth_feeHistory": fee_history,
    "eth_getBalance": get_balance,
    "eth_getTransactionCount": get_transaction_count,
    "eth_getCode": get_code,
    "eth_getStorageAt": get_storage_at,
    "eth_getProof": get_proof,
    "eth_call": call,
    "eth_estimateGas": estimate_gas,
    "eth_sendRawTransaction": send_raw_transaction,
    "eth_getTransactionByHash": get_transaction_by_hash,
    "eth_getTransactionReceipt": get_transaction_receipt,
    "eth_getBlockReceipts": get_block_receipts,
    "eth_getBlockByNumber": get_block_by_number,
    "eth_getBlockByHash": get_block_by_hash,
    "eth_getBlockTransactionCountByNumber": get_block_transaction_count_by_number,
    "eth_getLogs": get_logs,
}

TIME_TRAVEL: Mapping[str, Method] = {"evm_increaseTime": increase_time, "evm_mine": mine}
"""Development controls; only where the ledger was started with them."""

# They read one attribute that is replaced as a whole, so they need not wait for the chain's thread.
INSTANT = frozenset(
    {"eth_chainId", "net_version", "eth_blockNumber", "eth_syncing", "eth_accounts", "eth_gasPrice"}
    | {"eth_maxPriorityFeePerGas", "net_listening", "net_peerCount", "web3_clientVersion"}
)

"""Blocks, transactions, receipts and events as the RPC writes them. Source: ethereum/execution-apis schemas."""

from __future__ import annotations

from typing import Any, TypeVar

import rlp  # type: ignore[import-untyped]  # has no stubs
from eth._utils.address import generate_contract_address
from eth.abc import BlockAPI, BlockHeaderAPI, ReceiptAPI, SignedTransactionAPI
from eth.constants import CREATE_CONTRACT_ADDRESS

from printright.ledger.embedded.database import LogRow
from printright.ledger.embedded.logs import Found
from printright.ledger.embedded.proofs import AccountProof
from printright.ledger.embedded.wire import hexadecimal, quantity, word

Json = dict[str, Any]
T = TypeVar("T")


def block(header: BlockHeaderAPI, made: BlockAPI, whole: bool) -> Json:
    """A block; with whole transactions, or their hashes only."""
    answer = {
        "number": quantity(header.block_number),
        "hash": hexadecimal(header.hash),
        "parentHash": hexadecimal(header.parent_hash),
        "nonce": hexadecimal(header.nonce),
        "sha3Uncles": hexadecimal(header.uncles_hash),
        "logsBloom": bloom(header.bloom),
        "transactionsRoot": hexadecimal(header.transaction_root),
        "stateRoot": hexadecimal(header.state_root),
        "receiptsRoot": hexadecimal(header.receipt_root),
        "miner": hexadecimal(header.coinbase),
        "difficulty": quantity(header.difficulty),
        "totalDifficulty": "0x0",
        "extraData": hexadecimal(header.extra_data),
        "size": quantity(len(rlp.encode(made))),
        "gasLimit": quantity(header.gas_limit),
        "gasUsed": quantity(header.gas_used),
        "timestamp": quantity(header.timestamp),
        "mixHash": hexadecimal(header.mix_hash),
        "baseFeePerGas": quantity(base_fee(header)),
        "withdrawalsRoot": hexadecimal(_present(header.withdrawals_root)),
        "withdrawals": [],
        "blobGasUsed": quantity(header.blob_gas_used),
        "excessBlobGas": quantity(header.excess_blob_gas),
        "parentBeaconBlockRoot": hexadecimal(_present(header.parent_beacon_block_root)),
        "uncles": [],
    }
    transactions: list[Any] = [
        transaction(each, header, index) if whole else hexadecimal(each.hash)
        for index, each in enumerate(made.transactions)
    ]
    return {**answer, "transactions": transactions}


def transaction(mined: SignedTransactionAPI, header: BlockHeaderAPI, index: int) -> Json:
    """A mined transaction."""
    kind = mined.type_id or 0
    answer: Json = {
        "hash": hexadecimal(mined.hash),
        "blockHash": hexadecimal(header.hash),
        "blockNumber": quantity(header.block_number),
        "blockTimestamp": quantity(header.timestamp),
        "transactionIndex": quantity(index),
        "type": quantity(kind),
        "chainId": quantity(mined.chain_id or 0),
        "nonce": quantity(mined.nonce),
        "from": hexadecimal(mined.sender),
        "to": None if mined.to == CREATE_CONTRACT_ADDRESS else hexadecimal(mined.to),
        "value": quantity(mined.value),
        "gas": quantity(mined.gas),
        "gasPrice": quantity(effective_gas_price(mined, header)),
        "input": hexadecimal(mined.data),
        "r": quantity(mined.r),
        "s": quantity(mined.s),
    }
    if kind == 0:
        answer["v"] = quantity(mined.v)  # type: ignore[attr-defined]
        return answer
    answer["v"] = answer["yParity"] = quantity(mined.y_parity)
    answer["accessList"] = [
        {"address": hexadecimal(address), "storageKeys": [word(slot) for slot in slots]}
        for address, slots in mined.access_list
    ]
    if kind == 2:
        answer["maxFeePerGas"] = quantity(mined.max_fee_per_gas)
        answer["maxPriorityFeePerGas"] = quantity(mined.max_priority_fee_per_gas)
    return answer


def receipt(
    made: ReceiptAPI, mined: SignedTransactionAPI, header: BlockHeaderAPI, index: int, before: int, logs: int
) -> Json:
    """A receipt. `before` is the gas, `logs` the number of events of the block's earlier transactions."""
    creates = mined.to == CREATE_CONTRACT_ADDRESS
    created = generate_contract_address(mined.sender, mined.nonce) if creates else None
    return {
        "transactionHash": hexadecimal(mined.hash),
        "transactionIndex": quantity(index),
        "blockHash": hexadecimal(header.hash),
        "blockNumber": quantity(header.block_number),
        "from": hexadecimal(mined.sender),
        "to": None if creates else hexadecimal(mined.to),
        "contractAddress": None if created is None else hexadecimal(created),
        "cumulativeGasUsed": quantity(made.gas_used),
        "gasUsed": quantity(made.gas_used - before),
        "effectiveGasPrice": quantity(effective_gas_price(mined, header)),
        "logs": [
            log(
                LogRow(
                    header.block_number,
                    logs + position,
                    bytes(mined.hash),
                    bytes(each.address),
                    tuple(topic.to_bytes(32, "big") for topic in each.topics),
                    bytes(each.data),
                ),
                bytes(header.hash),
                header.timestamp,
            )
            for position, each in enumerate(made.logs)
        ],
        "logsBloom": bloom(made.bloom),
        "status": "0x1" if made.state_root == b"\x01" else "0x0",
        "type": quantity(mined.type_id or 0),
    }


def log(row: LogRow, block_hash: bytes, timestamp: int) -> Json:
    """An event. A block has one transaction, the first."""
    return {
        "address": hexadecimal(row.address),
        "topics": [hexadecimal(topic) for topic in row.topics],
        "data": hexadecimal(row.data),
        "blockNumber": quantity(row.block),
        "blockHash": hexadecimal(block_hash),
        "blockTimestamp": quantity(timestamp),
        "transactionHash": hexadecimal(row.tx),
        "transactionIndex": "0x0",
        "logIndex": quantity(row.position),
        "removed": False,
    }


def found(event: Found) -> Json:
    """An event of the index."""
    return log(event.log, event.block_hash, event.timestamp)


def proof(address: bytes, proved: AccountProof) -> Json:
    """An EIP-1186 proof."""
    return {
        "address": hexadecimal(address),
        "balance": quantity(proved.account.balance),
        "nonce": quantity(proved.account.nonce),
        "codeHash": hexadecimal(proved.account.code_hash),
        "storageHash": hexadecimal(proved.account.storage_root),
        "accountProof": [hexadecimal(node) for node in proved.nodes],
        "storageProof": [
            {
                "key": quantity(slot.slot),
                "value": quantity(slot.value),
                "proof": [hexadecimal(node) for node in slot.nodes],
            }
            for slot in proved.slots
        ],
    }


def bloom(value: int) -> str:
    """256 bytes."""
    return f"0x{value:0512x}"


def effective_gas_price(mined: SignedTransactionAPI, header: BlockHeaderAPI) -> int:
    """Wei per gas that the sender paid (EIP-1559)."""
    return min(mined.max_fee_per_gas, mined.max_priority_fee_per_gas + base_fee(header))


def base_fee(header: BlockHeaderAPI) -> int:
    """Wei per gas; 0 on this ledger, see `evm`."""
    return _present(header.base_fee_per_gas)


def _present(value: T | None) -> T:
    # py-evm's one header interface covers forks that lack the field; ours has it in every block.
    assert value is not None
    return value

"""The structured parameters of the RPC: blocks, call objects, event filters."""

from __future__ import annotations

from typing import Any

from eth.abc import BlockHeaderAPI

from printright.ledger.embedded import wire
from printright.ledger.embedded.calls import Request
from printright.ledger.embedded.chain import Chain
from printright.ledger.embedded.logs import MAX_ALTERNATIVES, Filter
from printright.ledger.embedded.wire import SERVER_ERROR, RpcError, bad_params

# One process fsyncs each block before it answers: what is latest is final.
HEAD_TAGS = frozenset({"latest", "safe", "finalized", "pending"})
MAX_ACCESS_LIST = 1_000

_CALL_FIELDS = frozenset(
    {
        "from", "to", "gas", "gasPrice", "maxFeePerGas", "maxPriorityFeePerGas", "value", "data", "input",
        "accessList", "nonce", "type", "chainId",
    }
)  # fmt: skip
_FILTER_FIELDS = frozenset({"fromBlock", "toBlock", "blockHash", "address", "topics"})


def block_or_none(chain: Chain, value: object) -> BlockHeaderAPI | None:
    """The header that a tag, number or EIP-1898 object names (None is latest). Raises RpcError for nonsense."""
    if value is None:
        return chain.head
    if isinstance(value, dict):
        named = wire.fields(value, frozenset({"blockNumber", "blockHash", "requireCanonical"}), "block")
        if ("blockNumber" in named) == ("blockHash" in named):
            raise bad_params("block: either blockNumber or blockHash")
        if "blockHash" in named:
            return chain.header_by_hash(wire.data(named["blockHash"], "blockHash", 32))
        value = named["blockNumber"]
    number = _block_number(chain, value)
    return chain.header_by_number(number)


def state_block(chain: Chain, value: object) -> BlockHeaderAPI:
    """As `block_or_none`, where there must be one: its state is asked for. Raises RpcError."""
    header = block_or_none(chain, value)
    if header is None:
        raise RpcError(SERVER_ERROR, "header not found")
    return header


def call_block(chain: Chain, value: object) -> BlockHeaderAPI:
    """As `state_block`; "pending" is the block that would be made now."""
    return chain.next_header() if value == "pending" else state_block(chain, value)


def _block_number(chain: Chain, value: object) -> int:
    if isinstance(value, str):
        if value in HEAD_TAGS:
            return chain.head.block_number
        if value == "earliest":
            return 0
    return wire.number(value, "block")


def request(chain: Chain, value: object) -> Request:
    """A call object. A nonce is accepted and not used. Raises RpcError."""
    given = wire.fields(value, _CALL_FIELDS, "call")
    if "gasPrice" in given and ("maxFeePerGas" in given or "maxPriorityFeePerGas" in given):
        raise bad_params("both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified")
    if "chainId" in given and wire.number(given["chainId"], "chainId") != chain.chain_id:
        raise bad_params(f"chainId does not match node's (have={given['chainId']}, want={chain.chain_id:#x})")
    data = wire.data(given.get("data", "0x"), "data")
    if "input" in given:
        if "data" in given and wire.data(given["input"], "input") != data:
            raise bad_params('both "data" and "input" are set and not equal')
        data = wire.data(given["input"], "input")
    price = wire.number(given.get("gasPrice", "0x0"), "gasPrice")
    tip = wire.number(given.get("maxPriorityFeePerGas", hex(price)), "maxPriorityFeePerGas")
    return Request(
        sender=wire.data(given["from"], "from", 20) if "from" in given else bytes(20),
        to=wire.data(given["to"], "to", 20) if "to" in given else None,
        gas=wire.number(given["gas"], "gas") if "gas" in given else None,
        fee=wire.number(given.get("maxFeePerGas", hex(max(price, tip))), "maxFeePerGas"),
        tip=tip,
        value=wire.number(given.get("value", "0x0"), "value"),
        data=data,
        access_list=_access_list(given.get("accessList", [])),
    )


def _access_list(value: object) -> tuple[tuple[bytes, tuple[int, ...]], ...]:
    entries = []
    for each in wire.array(value, MAX_ACCESS_LIST, "accessList"):
        entry = wire.fields(each, frozenset({"address", "storageKeys"}), "accessList")
        keys = wire.array(entry.get("storageKeys", []), MAX_ACCESS_LIST, "storageKeys")
        entries.append(
            (
                wire.data(entry.get("address"), "accessList address", 20),
                tuple(int.from_bytes(wire.data(key, "storageKeys", 32), "big") for key in keys),
            )
        )
    return tuple(entries)


def log_filter(chain: Chain, value: object) -> Filter:
    """An event filter. Raises RpcError, also for a block hash that is not known."""
    given = wire.fields(value, _FILTER_FIELDS, "filter")
    if "blockHash" in given:
        if "fromBlock" in given or "toBlock" in given:
            raise bad_params("cannot specify both blockHash and fromBlock/toBlock, choose one or the other")
        header = chain.header_by_hash(wire.data(given["blockHash"], "blockHash", 32))
        if header is None:
            raise RpcError(SERVER_ERROR, "unknown block")
        first = last = int(header.block_number)
    else:
        head = chain.head.block_number
        first = _block_number(chain, given.get("fromBlock", "latest"))
        last = min(_block_number(chain, given.get("toBlock", "latest")), head)
        if "toBlock" in given and first > _block_number(chain, given["toBlock"]):
            raise bad_params("invalid block range params: fromBlock is after toBlock")
    positions = wire.array(given.get("topics", []), 4, "topics")
    return Filter(
        first,
        last,
        _alternatives(given.get("address"), "address", 20),
        tuple(_alternatives(each, "topics", 32) for each in positions),
    )


def _alternatives(value: Any, what: str, size: int) -> tuple[bytes, ...]:
    if value is None:
        return ()
    entries = wire.array(value, MAX_ALTERNATIVES, what) if isinstance(value, list) else [value]
    return tuple(wire.data(each, what, size) for each in entries)

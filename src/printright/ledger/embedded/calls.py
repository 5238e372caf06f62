"""eth_call and eth_estimateGas: execution without a block.

A call runs on the state after the block it names, with that block's number and time. "pending" names the block that
would be made now: estimates run there, so that what has expired by now fails in the estimate and not on the ledger.
Source: geth's `internal/ethapi` (messages, code 3, the 1.5 % of the gas search), EIP-1898 for block parameters.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from eth.abc import BlockHeaderAPI, ComputationAPI
from eth.constants import CREATE_CONTRACT_ADDRESS
from eth.exceptions import InsufficientFunds, InvalidInstruction, InvalidJumpDestination, OutOfGas, Revert
from eth.vm.spoof import SpoofTransaction
from eth_abi.abi import decode as abi_decode
from eth_abi.exceptions import DecodingError
from eth_typing import Address as CanonicalAddress
from eth_utils.exceptions import ValidationError

from printright.ledger.embedded.chain import Chain
from printright.ledger.embedded.evm import TRANSACTION_BUILDER, TRANSACTION_GAS_LIMIT, TimedState
from printright.ledger.embedded.wire import REVERTED, SERVER_ERROR, RpcError, hexadecimal

ERROR_SELECTOR = bytes.fromhex("08c379a0")
PANIC_SELECTOR = bytes.fromhex("4e487b71")
CALL_STIPEND = 2300
MAX_OUTPUTS = 1_024
"""Answers remembered until the next block."""


@dataclass(frozen=True)
class Request:
    """A call object. `to` None creates a contract; fees in wei per gas; `gas` None is all that may be used."""

    sender: bytes = bytes(20)
    to: bytes | None = None
    gas: int | None = None
    fee: int = 0
    tip: int = 0
    value: int = 0
    data: bytes = b""
    access_list: tuple[tuple[bytes, tuple[int, ...]], ...] = ()


def call(chain: Chain, request: Request, header: BlockHeaderAPI, limit_s: float) -> bytes:
    """Execute on the state of `header` and return the output. Raises RpcError (3 with the data where it reverts)."""
    key = (bytes(header.hash), request)
    if key in chain.outputs:
        return chain.outputs[key]
    state = _state(chain, header, limit_s)
    gas = min(request.gas or TRANSACTION_GAS_LIMIT, TRANSACTION_GAS_LIMIT)
    computation, _ = _execute(chain, state, request, gas)
    _raise_error(computation)
    if len(chain.outputs) >= MAX_OUTPUTS:
        chain.outputs.clear()
    chain.outputs[key] = computation.output
    return computation.output


def estimate(chain: Chain, request: Request, header: BlockHeaderAPI, limit_s: float) -> int:
    """The gas limit that the transaction needs, exact where it has no inner calls. Raises RpcError."""
    state = _state(chain, header, limit_s)
    high = min(request.gas or TRANSACTION_GAS_LIMIT, TRANSACTION_GAS_LIMIT)
    if request.fee:
        affordable = (state.get_balance(CanonicalAddress(request.sender)) - request.value) // request.fee
        if affordable < 0:
            raise RpcError(SERVER_ERROR, "insufficient funds for transfer")
        high = min(high, affordable)
    computation, needed = _execute(chain, state, request, high)
    _raise_error(computation)

    def enough(gas: int) -> bool:
        return not _execute(chain, state, request, gas)[0].is_error

    # What was burnt before refunds is enough unless a call in it was given 63/64 of the rest.
    if needed >= high or enough(needed):
        return min(needed, high)
    low = needed
    hopeful = (needed + CALL_STIPEND) * 64 // 63
    if hopeful < high:
        if enough(hopeful):
            high = hopeful
        else:
            low = hopeful
    while low + 1 < high and (high - low) / high >= 0.015:
        middle = min((high + low) // 2, low * 2)
        if enough(middle):
            high = middle
        else:
            low = middle
    return high


def _state(chain: Chain, header: BlockHeaderAPI, limit_s: float) -> TimedState:
    state = chain.state(header)
    state.deadline = time.monotonic() + limit_s
    return state


def _execute(chain: Chain, state: TimedState, request: Request, gas: int) -> tuple[ComputationAPI, int]:
    """The computation, and the gas it took before refunds. The state is as before."""
    sender = CanonicalAddress(request.sender)
    unsigned = TRANSACTION_BUILDER.new_unsigned_dynamic_fee_transaction(  # type: ignore[attr-defined]
        chain.chain_id,
        state.get_nonce(sender),
        request.tip,
        request.fee,
        gas,
        CREATE_CONTRACT_ADDRESS if request.to is None else CanonicalAddress(request.to),
        request.value,
        request.data,
        request.access_list,
    )
    if gas < unsigned.intrinsic_gas:
        raise RpcError(SERVER_ERROR, f"intrinsic gas too low: gas {gas}, minimum needed {unsigned.intrinsic_gas}")
    if request.tip > request.fee:
        raise RpcError(SERVER_ERROR, "max priority fee per gas higher than max fee per gas")
    balance = state.get_balance(sender)
    if balance < request.value + gas * request.fee:
        short = "transfer" if balance < request.value else "gas * price + value"
        raise RpcError(SERVER_ERROR, f"insufficient funds for {short}")
    state.lock_changes()
    snapshot = state.snapshot()
    try:
        computation = state.apply_transaction(SpoofTransaction(unsigned, from_=sender))  # type: ignore[arg-type]
    except ValidationError as error:
        chain.forget_state()
        raise RpcError(SERVER_ERROR, str(error)[:300]) from error
    except BaseException:
        chain.forget_state()
        raise
    state.revert(snapshot)
    return computation, gas - computation.get_gas_remaining()


def _raise_error(computation: ComputationAPI) -> None:
    if not computation.is_error:
        return
    error = computation.error
    if isinstance(error, Revert):
        output = computation.output
        reason = _reason(output)
        raise RpcError(
            REVERTED, f"execution reverted: {reason}" if reason else "execution reverted", hexadecimal(output)
        )
    message = {
        OutOfGas: "out of gas",
        InvalidInstruction: "invalid opcode",
        InvalidJumpDestination: "invalid jump destination",
        InsufficientFunds: "insufficient balance for transfer",
    }.get(type(error), str(error)[:200])
    raise RpcError(SERVER_ERROR, message)


def _reason(output: bytes) -> str:
    """The text of Error(string) or the number of Panic(uint256); empty for anything else."""
    try:
        if output[:4] == ERROR_SELECTOR:
            (text,) = abi_decode(["string"], output[4:])
            return str(text)
        if output[:4] == PANIC_SELECTOR:
            (code,) = abi_decode(["uint256"], output[4:])
            return f"panic: {code:#x}"
    except (DecodingError, UnicodeDecodeError):
        pass
    return ""

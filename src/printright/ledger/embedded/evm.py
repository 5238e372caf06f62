"""The machine that py-evm runs: Cancun, a free block gas price, and a limit on wall-clock time.

*Fork.* Cancun has what the contracts are compiled for (PUSH0, MCOPY, TSTORE) and is the oldest EVM that we support
elsewhere.

*Free gas.* The genesis base fee is 0. By EIP-1559's own arithmetic it stays 0 as long as no block uses more than half
of its gas limit, and none can: a block holds one transaction, and a transaction may ask for at most half.

*Time.* Gas bounds work, but a loop worth 30 million gas takes py-evm most of a minute. The one worker thread must not
be lost to it, so execution looks at the clock where every loop and every call passes by.
"""

from __future__ import annotations

import functools
import inspect
import math
import time
from collections.abc import Callable
from typing import Any

from eth.abc import ComputationAPI, MessageAPI, OpcodeAPI, StateAPI, TransactionContextAPI
from eth.chains.base import Chain as PyEvmChain
from eth.vm import opcode_values
from eth.vm.code_stream import CodeStream
from eth.vm.forks.cancun import CancunVM
from eth.vm.forks.cancun.computation import CancunComputation
from eth.vm.forks.cancun.state import CancunState
from eth_typing import Hash32

from printright.errors import LedgerUnavailable

BLOCK_GAS_LIMIT = 60_000_000
TRANSACTION_GAS_LIMIT = BLOCK_GAS_LIMIT // 2
BASE_FEE = 0
COINBASE = bytes(20)
EXTRA_DATA = b"printright"
NO_BEACON_ROOT = Hash32(bytes(32))


class TookTooLong(LedgerUnavailable):
    """A call or transaction used more wall-clock time than this ledger allows. Nothing changed."""


def _timed(opcode: OpcodeAPI) -> Any:
    @functools.wraps(opcode)
    def run(computation: ComputationAPI) -> None:
        # Any: py-evm's StateAPI does not know our subclass.
        state: Any = computation.state
        if time.monotonic() > state.deadline:
            raise TookTooLong("execution took too long and was given up", hint="do less in one call")
        opcode(computation=computation)

    return run


class TimedComputation(CancunComputation):
    """Cancun's opcodes, with a look at the clock at every jump destination, call and creation."""

    opcodes = {  # noqa: RUF012  # py-evm declares it for instances
        **CancunComputation.opcodes,
        # py-evm wraps it in a DeprecationWarning; but which opcodes a contract has is no fault of this program.
        opcode_values.SELFDESTRUCT: inspect.unwrap(CancunComputation.opcodes[opcode_values.SELFDESTRUCT]),
        **{
            code: _timed(CancunComputation.opcodes[code])
            for code in (
                opcode_values.JUMPDEST,
                opcode_values.CALL,
                opcode_values.CALLCODE,
                opcode_values.DELEGATECALL,
                opcode_values.STATICCALL,
                opcode_values.CREATE,
                opcode_values.CREATE2,
            )
        },
    }

    def __init__(self, state: StateAPI, message: MessageAPI, transaction_context: TransactionContextAPI) -> None:
        super().__init__(state, message, transaction_context)
        code = self.code
        if isinstance(code, CodeStream):
            code.valid_positions, code.invalid_positions = _positions(message.code)


@functools.lru_cache(maxsize=64)
def _positions(code: bytes) -> tuple[set[int], set[int]]:  # noqa: ARG001  # the key: each code has its own
    # Which bytes are jump destinations and which are data of a PUSH depends on the code alone; py-evm finds it out
    # anew in every call and collects it in these sets.
    return set(), set()


class TimedState(CancunState):
    """Cancun's state. `deadline` is on `time.monotonic`."""

    computation_class = TimedComputation
    deadline: float = math.inf


class TimedVM(CancunVM):
    """Cancun's VM over `TimedState`."""

    _state_class = TimedState


def chain_class(chain_id: int) -> type[PyEvmChain]:
    """py-evm's chain of one fork from block 0 with this chain id."""
    return PyEvmChain.configure(__name__="PrintrightChain", vm_configuration=((0, TimedVM),), chain_id=chain_id)


TRANSACTION_BUILDER = TimedVM.get_transaction_builder()
RECEIPT_BUILDER = TimedVM.get_receipt_builder()
Clock = Callable[[], int]
"""Unix seconds."""


def wall_clock() -> int:
    """The machine's clock in unix seconds."""
    return int(time.time())

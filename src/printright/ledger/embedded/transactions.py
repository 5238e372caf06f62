"""Which transactions the ledger admits: geth's rules in geth's words, checked before py-evm sees them.

py-evm validates a transaction against the state but leaves the chain id (EIP-155), accounts with code (EIP-3607), the
size of init code (EIP-3860) and the tip's relation to the fee to its callers.
"""

from __future__ import annotations

from eth.abc import SignedTransactionAPI, StateAPI
from eth.constants import CREATE_CONTRACT_ADDRESS, EMPTY_SHA3
from eth.vm.forks.cancun.constants import BLOB_TX_TYPE
from eth.vm.forks.shanghai.constants import MAX_INITCODE_SIZE
from eth_keys.exceptions import BadSignature
from eth_utils.address import to_checksum_address
from eth_utils.exceptions import ValidationError
from rlp.exceptions import RLPException  # type: ignore[import-untyped]  # has no stubs

from printright.ledger.embedded.evm import TRANSACTION_BUILDER, TRANSACTION_GAS_LIMIT
from printright.ledger.embedded.wire import SERVER_ERROR, RpcError

MAX_SIZE_BYTES = 128 * 1024
"""As geth's transaction pool."""
MAX_DEPTH = 4


def refused(message: str) -> RpcError:
    """A transaction that is not mined; nothing changed."""
    return RpcError(SERVER_ERROR, message)


def decode(raw: bytes, chain_id: int) -> SignedTransactionAPI:
    """A signed transaction (legacy with EIP-155, EIP-2930 or EIP-1559), its signature checked. Raises RpcError."""
    if not raw:
        raise refused("typed transaction too short")
    if len(raw) > MAX_SIZE_BYTES:
        raise refused(f"oversized data: transaction size {len(raw)}, limit {MAX_SIZE_BYTES}")
    if raw[0] < 0x7F and raw[0] not in (1, 2):
        raise refused("transaction type not supported")
    if _nested_too_deep(raw if raw[0] > 0x7F else raw[1:]):
        raise refused("rlp: not a signed transaction: nested too deep")
    try:
        transaction = TRANSACTION_BUILDER.decode(raw)
    except (RLPException, ValidationError, ValueError, TypeError) as error:
        raise refused(f"rlp: not a signed transaction: {str(error)[:120]}") from None
    if transaction.type_id == BLOB_TX_TYPE or transaction.encode() != raw:
        raise refused("transaction type not supported")
    if transaction.chain_id is None:
        raise refused("only replay-protected (EIP-155) transactions allowed over RPC")
    if transaction.chain_id != chain_id:
        raise refused(f"invalid chain id for signer: have {transaction.chain_id} want {chain_id}")
    try:
        transaction.validate()
        transaction.sender  # noqa: B018  # recovers the signer
    except (ValidationError, BadSignature, ValueError) as error:
        raise refused(f"invalid sender: {str(error)[:120]}") from None
    return transaction


def _nested_too_deep(payload: bytes) -> bool:
    """Whether RLP lists nest deeper than in a transaction, which has lists of keys in an entry of a list.

    pyrlp takes time with the square of the depth: 100 kB of brackets would hold the ledger for seconds.
    """
    position, ends = 0, [len(payload)]
    while position < ends[0]:
        while position >= ends[-1]:
            ends.pop()
        first = payload[position]
        kind = first & 0xC0
        if first < 0x80:
            head, size = 1, 0
        elif (short := first - (kind if kind == 0x80 else 0xC0)) < 56:
            head, size = 1, short
        else:
            head = 1 + short - 55
            size = int.from_bytes(payload[position + 1 : position + head], "big")
        if kind == 0xC0:
            ends.append(position + head + size)
            if len(ends) > MAX_DEPTH + 1:
                return True
            size = 0
        position += head + size
    return False


def admit(transaction: SignedTransactionAPI, state: StateAPI) -> None:
    """Check a transaction against the state it would run on. Raises RpcError with geth's message."""
    sender = transaction.sender
    tip, fee = transaction.max_priority_fee_per_gas, transaction.max_fee_per_gas
    if transaction.gas > TRANSACTION_GAS_LIMIT:
        raise refused(f"exceeds block gas limit: transaction gas {transaction.gas}, limit {TRANSACTION_GAS_LIMIT}")
    if transaction.gas < transaction.intrinsic_gas:
        raise refused(f"intrinsic gas too low: gas {transaction.gas}, minimum needed {transaction.intrinsic_gas}")
    if transaction.to == CREATE_CONTRACT_ADDRESS and len(transaction.data) > MAX_INITCODE_SIZE:
        raise refused(f"max initcode size exceeded: code size {len(transaction.data)}, limit {MAX_INITCODE_SIZE}")
    if tip > fee:
        raise refused(f"max priority fee per gas higher than max fee per gas: tip {tip}, fee cap {fee}")
    if state.get_code_hash(sender) != EMPTY_SHA3:
        raise refused(f"sender not an eoa: address {to_checksum_address(sender)}")
    nonce = state.get_nonce(sender)
    if transaction.nonce < nonce:
        raise refused(f"nonce too low: next nonce {nonce}, tx nonce {transaction.nonce}")
    if transaction.nonce > nonce:
        # No queue: a transaction is mined when it comes, so its predecessors must have come before.
        raise refused(f"nonce too high: next nonce {nonce}, tx nonce {transaction.nonce}")
    balance = state.get_balance(sender)
    cost = transaction.gas * fee + transaction.value
    if balance < cost:
        raise refused(
            f"insufficient funds for gas * price + value: balance {balance}, tx cost {cost}, overshot {cost - balance}"
        )

"""What a gateway's answers mean: receipts, and errors that are refusals or are not."""

from __future__ import annotations

from typing import Any

import msgspec

from printright.errors import LedgerRefused, LedgerUnavailable
from printright.ledger.events import RawLog
from printright.ledger.refusals import reason_of, refusal
from printright.ledger.rpc import RpcError


class RawReceipt(msgspec.Struct, frozen=True, rename="camel"):
    """A receipt as JSON-RPC gives it."""

    transaction_hash: str
    block_number: str
    block_hash: str
    gas_used: str
    status: str
    logs: list[RawLog]


def refused_or_unavailable(function: str, error: RpcError) -> LedgerRefused | LedgerUnavailable:
    """What an error answer to `eth_call` means."""
    revert = error.revert()
    if revert is None:
        return LedgerUnavailable(f"the ledger could not run {function}: {error.message[:200]}")
    return refusal(function, reason_of(revert) or _reason_in(error.message))


def _reason_in(message: str) -> str:
    # Some nodes give the reason in the message only: "execution reverted: licenses: expired".
    _, found, reason = message.partition("execution reverted: ")
    return reason.strip() if found else ""


def receipt_of(answer: Any) -> RawReceipt | None:
    """A receipt from the answer to `eth_getTransactionReceipt`. Raises LedgerUnavailable where it makes no sense."""
    try:
        return None if answer is None else msgspec.convert(answer, RawReceipt)
    except msgspec.ValidationError as error:
        raise LedgerUnavailable(f"the ledger showed a receipt that makes no sense: {error}") from error

"""The Ethereum JSON-RPC encoding: strict hexadecimal in, hexadecimal out, and the errors with geth's codes.

Source: ethereum/execution-apis (quantities without leading zeros, data with an even number of digits), EIP-1474 for
the codes, geth for -32000 and for 3 (reverted, with the data).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from printright.errors import PrintrightError

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
SERVER_ERROR = -32000
LIMIT_EXCEEDED = -32005
REVERTED = 3

_QUANTITY = re.compile(r"0x(0|[1-9a-fA-F][0-9a-fA-F]{0,63})\Z")
_DATA = re.compile(r"0x([0-9a-fA-F]{2})*\Z")


class RpcError(PrintrightError):
    """An answer with a JSON-RPC error object. `code` as above, `data` hexadecimal or None."""

    def __init__(self, code: int, message: str, data: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.data = data


def bad_params(message: str) -> RpcError:
    """The caller's parameters are not what the method takes."""
    return RpcError(INVALID_PARAMS, message)


def number(value: object, what: str) -> int:
    """A quantity, 0x and up to 64 digits. Raises RpcError."""
    if not isinstance(value, str) or not _QUANTITY.match(value):
        raise bad_params(f"{what}: not a quantity such as 0x1f: {_short(value)}")
    return int(value, 16)


def data(value: object, what: str, size: int | None = None) -> bytes:
    """Bytes, 0x and two digits for each; of `size` bytes where given. Raises RpcError."""
    if not isinstance(value, str) or not _DATA.match(value):
        raise bad_params(f"{what}: not data such as 0x1f2e: {_short(value)}")
    found = bytes.fromhex(value[2:])
    if size is not None and len(found) != size:
        raise bad_params(f"{what}: {len(found)} bytes, not {size}")
    return found


def flag(value: object, what: str) -> bool:
    """A JSON boolean. Raises RpcError."""
    if not isinstance(value, bool):
        raise bad_params(f"{what}: not true or false: {_short(value)}")
    return value


def fields(value: object, known: frozenset[str], what: str) -> dict[str, Any]:
    """A JSON object with these keys only; null counts as absent. Raises RpcError."""
    if not isinstance(value, dict):
        raise bad_params(f"{what}: not an object: {_short(value)}")
    unknown = sorted(str(key) for key in value.keys() - known)
    if unknown:
        raise bad_params(f"{what}: unknown field {unknown[0][:80]}")
    return {key: each for key, each in value.items() if each is not None}


def array(value: object, most: int, what: str) -> list[Any]:
    """A JSON array of at most `most` entries. Raises RpcError."""
    if not isinstance(value, list):
        raise bad_params(f"{what}: not a list: {_short(value)}")
    if len(value) > most:
        raise bad_params(f"{what}: {len(value)} entries, at most {most} are taken")
    return value


def parameters(params: Sequence[Any], least: int, most: int) -> list[Any]:
    """Positional parameters, filled up with None. Raises RpcError for too few or too many."""
    given = list(params)
    while len(given) > most and given[-1] is None:
        given.pop()
    if not least <= len(given) <= most:
        raise bad_params(f"{len(given)} parameters, {least} to {most} are taken")
    if any(each is None for each in given[:least]):
        raise bad_params("missing value for a required parameter")
    return given + [None] * (most - len(given))


def quantity(value: int) -> str:
    """A number as the RPC writes it."""
    return hex(value)


def hexadecimal(value: bytes) -> str:
    """Bytes as the RPC writes them."""
    return "0x" + value.hex()


def word(value: int) -> str:
    """32 bytes, big-endian."""
    return f"0x{value:064x}"


def _short(value: object) -> str:
    return repr(value)[:80]

"""ABI types of one word: packed and unpacked here, several times faster than by the general codec (ABI v2).

Nearly every call has only these, in structs too, so that arguments and results are a plain row of words.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from eth_utils.address import to_checksum_address

from printright.domain.ids import Address
from printright.errors import BadValue

WORD = 32

checksummed: Callable[[str | bytes], Address] = lru_cache(maxsize=65_536)(
    lambda address: Address(to_checksum_address(address))
)


def pack_word(kind: str, value: Any) -> bytes:
    """A value of a one-word type (`uint256`, `bytes32`, `bool`, `address`) as its 32 bytes. Raises BadValue."""
    try:
        return PACK[kind](value)
    except (KeyError, OverflowError, TypeError, ValueError) as error:
        raise BadValue(f"not a {kind}: {error}") from error


def _pack_uint(value: Any) -> bytes:
    if type(value) is not int:
        value = _whole(value)
    return value.to_bytes(WORD, "big")  # type: ignore[no-any-return]


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"not a whole number: {type(value).__name__}")
    return int(value)


def _pack_bytes32(value: Any) -> bytes:
    if not isinstance(value, bytes) or len(value) != WORD:
        raise TypeError("not 32 bytes")
    return value


def _pack_bool(value: Any) -> bytes:
    if not isinstance(value, bool):
        raise TypeError("neither True nor False")
    return value.to_bytes(WORD, "big")


def _pack_address(value: Any) -> bytes:
    if isinstance(value, str) and len(value) == 42 and checksummed(value).lower() == value.lower():
        return bytes(12) + bytes.fromhex(value[2:])
    raise TypeError("not an address")


def _unpack_uint(word: bytes) -> int:
    return int.from_bytes(word, "big")


def _unpack_bytes32(word: bytes) -> bytes:
    return word


def _unpack_bool(word: bytes) -> bool:
    value = int.from_bytes(word, "big")
    if value > 1:
        raise ValueError("neither True nor False")
    return value == 1


def _unpack_address(word: bytes) -> Address:
    if any(word[:12]):
        raise ValueError("not an address")
    return checksummed(word[12:])


PACK: dict[str, Callable[[Any], bytes]] = {
    "uint256": _pack_uint,
    "bytes32": _pack_bytes32,
    "bool": _pack_bool,
    "address": _pack_address,
}
UNPACK: dict[str, Callable[[bytes], Any]] = {
    "uint256": _unpack_uint,
    "bytes32": _unpack_bytes32,
    "bool": _unpack_bool,
    "address": _unpack_address,
}
"""The inverses of `PACK`. They raise ValueError for a word that the type does not have."""

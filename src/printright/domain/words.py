"""Hashing as the contracts do it: keccak-256 over 32-byte words, and EIP-712 typed data.

For static types `keccak(abi_encode(a, b, ...))` is the hash of the values as 32-byte words, so that no ABI encoder
is needed here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from eth_hash.auto import keccak as _keccak

from printright.domain.ids import Address
from printright.errors import BadValue

ZERO_ADDRESS = Address("0x" + "00" * 20)
EMPTY_32 = b"\0" * 32


def keccak(data: bytes) -> bytes:
    """The keccak-256 digest of `data`, 32 bytes."""
    return bytes(_keccak(data))


def word(value: int | bytes | str) -> bytes:
    """One ABI word: an unsigned integer, 32 bytes, or an address. Raises BadValue for anything else."""
    if isinstance(value, int):
        if not 0 <= value < 1 << 256:
            raise BadValue(f"{value} does not fit into 256 bits")
        return value.to_bytes(32, "big")
    if isinstance(value, str):
        return address_bytes(value).rjust(32, b"\0")
    if len(value) != 32:
        raise BadValue(f"a word has 32 bytes, not {len(value)}")
    return value


def hash_words(*values: int | bytes | str) -> bytes:
    """keccak(abi_encode(values)) for static types."""
    return keccak(b"".join(word(value) for value in values))


def address_bytes(address: str) -> bytes:
    """The 20 bytes of an address. Raises BadValue."""
    try:
        raw = bytes.fromhex(address.removeprefix("0x"))
    except ValueError:
        raw = b""
    if len(raw) != 20:
        raise BadValue(f"not an address: {address[:80]!r}", hint="0x and 40 hexadecimal digits")
    return raw


def checksum(address: str | bytes) -> Address:
    """The address with its EIP-55 checksum. Raises BadValue."""
    raw = address if isinstance(address, bytes) else address_bytes(address)
    if len(raw) != 20:
        raise BadValue(f"an address has 20 bytes, not {len(raw)}")
    text = raw.hex()
    mask = keccak(text.encode()).hex()
    return Address("0x" + "".join(c.upper() if int(m, 16) >= 8 else c for c, m in zip(text, mask, strict=False)))


@dataclass(frozen=True)
class TypedDomain:
    """The EIP-712 domain of one deployment: signatures for it work nowhere else."""

    chain_id: int
    contract: Address

    @cached_property
    def separator(self) -> bytes:
        return hash_words(
            keccak(b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
            keccak(b"Printright"),
            keccak(b"1"),
            self.chain_id,
            self.contract,
        )

    def digest(self, type_text: str, *values: int | bytes | str) -> bytes:
        """What is signed: the EIP-712 digest of a struct of static fields, e.g. `CheckOut(bytes32 part,...)`."""
        return keccak(b"\x19\x01" + self.separator + hash_words(keccak(type_text.encode()), *values))

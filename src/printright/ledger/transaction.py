"""Signed transactions, byte for byte: EIP-1559 (type 2), and EIP-155 where a network has no base fee."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import rlp  # type: ignore[import-untyped]
from coincurve import PublicKey
from eth_hash.auto import keccak

from printright.errors import WrongKey
from printright.ledger.abi_words import checksummed

HALF_ORDER = bytes.fromhex("7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0")


@dataclass(frozen=True)
class Fees:
    """In wei for each unit of gas. `tip` None means a network without base fee, where `most` is the gas price."""

    most: int
    tip: int | None

    def beyond(self, former: Fees) -> Fees:
        """These fees, or as much more as nodes want for putting a transaction in the place of one with `former`."""
        tip = None if self.tip is None else max(self.tip, _raised(former.tip or 0))
        return Fees(max(self.most, _raised(former.most), tip or 0), tip)


def _raised(wei: int) -> int:
    # Nodes want a tenth more (geth's `txpool.pricebump`, and what others took from it).
    return wei + wei // 8 + 1


@dataclass(frozen=True)
class Unsigned:
    """A contract call before it is signed. `to` is 20 bytes, or empty to create a contract; no value goes along."""

    chain_id: int
    nonce: int
    fees: Fees
    gas: int
    to: bytes
    data: bytes

    @classmethod
    def of(cls, raw: bytes, chain_id: int) -> Unsigned:
        """What was signed as `raw` (by `signed`, for this chain)."""
        if raw[0] == 2:
            _, nonce, tip, most, gas, to, _, data, *_ = rlp.decode(raw[1:])
            fees = Fees(int.from_bytes(most, "big"), int.from_bytes(tip, "big"))
        else:
            nonce, price, gas, to, _, data, *_ = rlp.decode(raw)
            fees = Fees(int.from_bytes(price, "big"), None)
        return cls(chain_id, int.from_bytes(nonce, "big"), fees, int.from_bytes(gas, "big"), to, data)

    @cached_property
    def _body(self) -> bytes:
        fees = self.fees
        if fees.tip is None:
            return b"".join(
                (_int(self.nonce), _int(fees.most), _int(self.gas), _bytes(self.to), b"\x80", _bytes(self.data))
            )
        return b"".join(
            (
                _int(self.chain_id),
                _int(self.nonce),
                _int(fees.tip),
                _int(fees.most),
                _int(self.gas),
                _bytes(self.to),
                b"\x80",  # no value
                _bytes(self.data),
                b"\xc0",  # empty access list
            )
        )

    def digest(self) -> bytes:
        """What the account signs, 32 bytes."""
        if self.fees.tip is None:
            return keccak(_list(self._body + _int(self.chain_id) + b"\x80\x80"))
        return keccak(b"\x02" + _list(self._body))

    def signed(self, signature: bytes) -> bytes:
        """The raw transaction. Raises WrongKey for a signature that no network accepts."""
        r, s, v = signature[:32].lstrip(b"\0"), signature[32:64].lstrip(b"\0"), sum(signature[64:])
        if len(signature) != 65 or v not in (27, 28) or not r or not s or signature[32:64] > HALF_ORDER:
            raise WrongKey("the key made a signature that is not in the ledger's form", hint="check the token's driver")
        if self.fees.tip is None:
            return _list(self._body + _int(self.chain_id * 2 + 8 + v) + _bytes(r) + _bytes(s))
        return b"\x02" + _list(self._body + _int(v - 27) + _bytes(r) + _bytes(s))

    @staticmethod
    def hash_of(raw: bytes) -> bytes:
        """What the ledger will know the transaction by."""
        return keccak(raw)


def signer_of(digest: bytes, signature: bytes) -> str:
    """The account that made the signature. Raises WrongKey for nonsense."""
    try:
        key = PublicKey.from_signature_and_message(signature[:64] + bytes([signature[64] - 27]), digest, hasher=None)
    except Exception as error:  # coincurve raises no narrower one
        raise WrongKey("the key made a signature that cannot be read") from error
    return checksummed(keccak(key.format(compressed=False)[1:])[12:])


def _int(value: int) -> bytes:
    if value < 0x80:
        return value.to_bytes(1, "big") if value else b"\x80"
    size = (value.bit_length() + 7) // 8
    return bytes((0x80 + size,)) + value.to_bytes(size, "big")


def _bytes(value: bytes) -> bytes:
    size = len(value)
    if size < 56:
        return value if size == 1 and value[0] < 0x80 else bytes((0x80 + size,)) + value
    return _long(0xB7, size) + value


def _list(body: bytes) -> bytes:
    size = len(body)
    return (bytes((0xC0 + size,)) if size < 56 else _long(0xF7, size)) + body


def _long(offset: int, size: int) -> bytes:
    width = (size.bit_length() + 7) // 8
    return bytes((offset + width,)) + size.to_bytes(width, "big")

"""The key of a ledger account."""

from __future__ import annotations

from abc import ABC, abstractmethod

from coincurve import PrivateKey

from printright.domain.ids import Address
from printright.domain.words import checksum, keccak
from printright.errors import BadValue


class LedgerKey(ABC):
    """Signs for one account (secp256k1), wherever the key lives: file, token or TPM."""

    @property
    @abstractmethod
    def address(self) -> Address:
        """The account."""

    @abstractmethod
    def sign_digest(self, digest: bytes) -> bytes:
        """Sign a 32-byte digest: r, s (low, EIP-2) and v (27 or 28), 65 bytes. Raises BadValue."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.address}>"


class SoftwareLedgerKey(LedgerKey):
    """A key in this process's memory (RFC 6979 nonces by libsecp256k1)."""

    def __init__(self, secret: bytes) -> None:
        """`secret` has 32 bytes. Raises BadValue where they are no key."""
        if len(secret) != 32:
            raise BadValue(f"a ledger key has 32 bytes, not {len(secret)}")
        try:
            self._key = PrivateKey(secret)
        except ValueError:
            raise BadValue("the bytes are not a secp256k1 key") from None
        self._address = checksum(keccak(self._key.public_key.format(compressed=False)[1:])[12:])

    @property
    def address(self) -> Address:
        return self._address

    def sign_digest(self, digest: bytes) -> bytes:
        if len(digest) != 32:
            raise BadValue(f"a digest has 32 bytes, not {len(digest)}")
        signature = self._key.sign_recoverable(digest, hasher=None)
        return signature[:64] + bytes([27 + signature[64]])

    def __reduce__(self) -> str:
        raise TypeError("a key is not copied or pickled")

"""The key that opens what was sealed for a member or unit."""

from __future__ import annotations

from abc import ABC, abstractmethod

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from printright.errors import BadValue, WrongKey
from printright.vault.sealing import OVERHEAD, SUITE


class UnsealingKey(ABC):
    """Opens what `vault.sealing.seal` made for its public half (P-256), wherever the key lives."""

    @property
    @abstractmethod
    def public_key(self) -> bytes:
        """The public half, 65 bytes, uncompressed (SEC 1)."""

    @abstractmethod
    def open(self, sealed: bytes, info: bytes) -> bytes:
        """The message. Raises WrongKey where it was not sealed for this key and `info`, or was altered."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.public_key.hex()[:16]}...>"


class SoftwareUnsealingKey(UnsealingKey):
    """A key in this process's memory."""

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        """Raises BadValue for a key of another curve."""
        if not isinstance(key.curve, ec.SECP256R1):
            raise BadValue(f"an unsealing key is of the curve P-256, not {key.curve.name}")
        self._key = key
        self._public_key = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    @property
    def public_key(self) -> bytes:
        return self._public_key

    def open(self, sealed: bytes, info: bytes) -> bytes:
        if len(sealed) >= OVERHEAD:
            try:
                return SUITE.decrypt(sealed, self._key, info)
            except (InvalidTag, ValueError):
                pass
        raise WrongKey(
            "the message was not sealed for this key and purpose, or was altered",
            hint="check that the registered public key is this key's",
        )

    def __reduce__(self) -> str:
        raise TypeError("a key is not copied or pickled")

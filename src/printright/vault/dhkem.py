"""Opening an HPKE message with a key that can only do Diffie-Hellman: RFC 9180, base mode, DHKEM(P-256, HKDF-SHA256).

`cryptography` seals and opens with keys in memory (`vault.sealing`). A key in a token never leaves it; what the token
gives is the x coordinate of one multiplication. The steps around that are here, and nothing else.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from printright.errors import BadValue, WrongKey
from printright.vault.sealing import OVERHEAD, PUBLIC_KEY_SIZE, public_key

_DH_SIZE = 32
_KEM_SUITE = b"KEM" + (0x0010).to_bytes(2, "big")
_KDF_ID = (0x0001).to_bytes(2, "big")
_MODE_BASE = b"\0"


@dataclass(frozen=True)
class Aead:
    """An AEAD of RFC 9180, section 7.3: its number and the length of its key, bytes."""

    id: int
    key_size: int


AES_256_GCM = Aead(0x0002, 32)


def open_sealed(sealed: bytes, info: bytes, receiver: bytes, exchange: Callable[[bytes], bytes]) -> bytes:
    """Open what `vault.sealing.seal` made for `receiver`, the public key whose private half does `exchange`.

    `exchange` gets a point of P-256 (65 bytes, checked to be one) and returns the shared x coordinate, 32 bytes; what
    it raises goes through. Raises WrongKey where the message was not sealed for this key and `info`, or was altered.
    """
    encapsulated = sealed[:PUBLIC_KEY_SIZE]
    try:
        if len(sealed) < OVERHEAD:
            raise BadValue("too short")
        public_key(encapsulated)
        key, nonce = key_schedule(decapsulate(encapsulated, receiver, exchange(encapsulated)), info)
        return AESGCM(key).decrypt(nonce, sealed[PUBLIC_KEY_SIZE:], b"")
    except (BadValue, InvalidTag):
        raise WrongKey(
            "the message was not sealed for this key and purpose, or was altered",
            hint="check that the registered public key is this key's",
        ) from None


def decapsulate(encapsulated: bytes, receiver: bytes, dh: bytes) -> bytes:
    """Section 4.1, Decap after its DH: the shared secret, 32 bytes. Raises BadValue for a `dh` of another size."""
    if len(dh) != _DH_SIZE:
        raise BadValue(f"the shared coordinate has {_DH_SIZE} bytes, not {len(dh)}")
    secret = _labeled_extract(_KEM_SUITE, b"", b"eae_prk", dh)
    return _labeled_expand(_KEM_SUITE, secret, b"shared_secret", encapsulated + receiver, 32)


def key_schedule(shared_secret: bytes, info: bytes, aead: Aead = AES_256_GCM) -> tuple[bytes, bytes]:
    """Section 5.1, base mode: the key and the nonce (12 bytes) of the first and only message."""
    suite = b"HPKE" + _KEM_SUITE[3:] + _KDF_ID + aead.id.to_bytes(2, "big")
    context = _MODE_BASE + _labeled_extract(suite, b"", b"psk_id_hash", b"")
    context += _labeled_extract(suite, b"", b"info_hash", info)
    secret = _labeled_extract(suite, shared_secret, b"secret", b"")
    return (
        _labeled_expand(suite, secret, b"key", context, aead.key_size),
        _labeled_expand(suite, secret, b"base_nonce", context, 12),
    )


def _labeled_extract(suite: bytes, salt: bytes, label: bytes, ikm: bytes) -> bytes:
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + ikm, "sha256")


def _labeled_expand(suite: bytes, secret: bytes, label: bytes, info: bytes, length: int) -> bytes:
    # At most 32 bytes are wanted here: one round of HKDF-Expand (RFC 5869).
    assert length <= hashlib.sha256().digest_size
    labeled = length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info
    return hmac.digest(secret, labeled + b"\1", "sha256")[:length]

"""Sealing small secrets for one receiver: HPKE base mode (RFC 9180), single shot.

Suite: DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, AES-256-GCM, by the `cryptography` library. P-256, not X25519, since
that is what security tokens and TPMs hold. A sealed message is the encapsulated key (65 bytes) and the ciphertext:
81 bytes more than the message. `info` binds it to its purpose: opened with another `info` it does not open.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from printright.errors import BadValue

PUBLIC_KEY_SIZE = 65
OVERHEAD = PUBLIC_KEY_SIZE + 16
SUITE = Suite(KEM.P256, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


def public_key(data: bytes) -> ec.EllipticCurvePublicKey:
    """A P-256 key from its 65 bytes, uncompressed (SEC 1). Raises BadValue for anything that is no point of it."""
    if len(data) != PUBLIC_KEY_SIZE:
        raise BadValue(f"an unsealing key's public half has {PUBLIC_KEY_SIZE} bytes, not {len(data)}")
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), data)
    except ValueError:
        raise BadValue("an unsealing key's public half is not a point of P-256") from None


def seal(receiver: bytes, plaintext: bytes, info: bytes) -> bytes:
    """Seal for the holder of the key whose public half `receiver` is; open with `UnsealingKey.open`.

    Raises BadValue for a `receiver` that is not 65 bytes of a P-256 key.
    """
    return SUITE.encrypt(plaintext, public_key(receiver), info)

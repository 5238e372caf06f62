"""Statements about packages, signed by accounts: EIP-712 over a SHA-256, in a domain without chain or contract.

A wallet shows what is signed, and it can be taken for nothing else. Only the low-s form with v 27 or 28 passes (EIP-2),
so that a statement has one signature of an account.
"""

from __future__ import annotations

from coincurve import PublicKey

from printright.domain.ids import Address
from printright.domain.words import checksum, hash_words, keccak
from printright.errors import PackageRefused

_SECP256K1_HALF = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
_DOMAIN = hash_words(keccak(b"EIP712Domain(string name,string version)"), keccak(b"Printright package"), keccak(b"1"))


def statement_digest(kind: str, sha256: bytes) -> bytes:
    """What is signed for a statement of this kind, e.g. `PackageManifest`: 32 bytes."""
    return keccak(b"\x19\x01" + _DOMAIN + hash_words(keccak(f"{kind}(bytes32 sha256)".encode()), sha256))


def signer(digest: bytes, signature: bytes, what: str) -> Address:
    """The account that signed. Raises PackageRefused for what is no signature."""
    if len(signature) != 65 or signature[64] not in (27, 28):
        raise PackageRefused(f"{what}'s signature is not in the form we know", hint="65 bytes, v 27 or 28")
    if int.from_bytes(signature[32:64], "big") > _SECP256K1_HALF:
        raise PackageRefused(f"{what}'s signature is not in its low-s form")
    recoverable = signature[:64] + bytes([signature[64] - 27])
    try:
        key = PublicKey.from_signature_and_message(recoverable, digest, hasher=None)
    except Exception:  # libsecp256k1 raises bare Exception for r or s that is no signature
        raise PackageRefused(f"{what}'s signature is no signature") from None
    return checksum(keccak(key.format(compressed=False)[1:])[12:])

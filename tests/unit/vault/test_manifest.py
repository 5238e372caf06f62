"""Manifests: one canonical form, one signature, ids as the contract has them, and nothing said of the file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import boa
import pytest
import rfc8785
from coincurve import PrivateKey
from cryptography.hazmat.primitives.asymmetric import ec
from vault_scene import GCODE, Member

from printright.domain.firmware import MinimumFirmware
from printright.domain.ids import Address, Digest
from printright.errors import BadValue, PackageRefused, WrongKey
from printright.vault import Custodian, Manifest, PublishedPackage
from printright.vault.committee import Custody
from printright.vault.custody import share_new_key
from printright.vault.keys import SoftwareLedgerKey, SoftwareUnsealingKey
from printright.vault.manifest import MAX_MANIFEST_BYTES, Binding, Window, file_commitment

CONTRACTS = Path(__file__).parents[3] / "contracts"
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


@pytest.fixture
def manifest(published: PublishedPackage) -> Manifest:
    return published.manifest


def test_what_is_stored_comes_back(manifest: Manifest) -> None:
    stored = manifest.to_json()
    assert Manifest.from_json(stored) == manifest
    assert rfc8785.dumps(json.loads(stored)) == stored
    assert manifest.digest == hashlib.sha256(rfc8785.dumps(json.loads(stored)["manifest"])).digest()


def test_a_minimum_firmware_is_a_signed_claim(manifest: Manifest, members: tuple[Member, ...]) -> None:
    least = MinimumFirmware.parse(["Demo One=Marlin 2.1", "Other=3"])
    asking = replace(manifest, minimum_firmware=least).signed(members[0].ledger)
    assert Manifest.from_json(asking.to_json()) == asking
    assert asking.content_id != manifest.content_id
    assert b"minimum_firmware" not in manifest.to_json()
    changes: dict[str, Callable[[dict[str, Any]], Any]] = {
        "lowered": lambda d: d["manifest"]["minimum_firmware"].update(Other="2"),
        "taken out": lambda d: d["manifest"].pop("minimum_firmware"),
        "emptied": lambda d: d["manifest"].update(minimum_firmware={}),
        "no version": lambda d: d["manifest"]["minimum_firmware"].update(Other="new"),
        "a number": lambda d: d["manifest"]["minimum_firmware"].update(Other=3),
    }
    for change in changes.values():
        with pytest.raises(PackageRefused):
            Manifest.from_json(altered(asking, change))
    # Empty and absent are one thing, so that it is written in one way.
    with pytest.raises(PackageRefused, match="canonical"):
        Manifest.from_json(altered(manifest, changes["emptied"]))


def test_ids_are_those_of_the_contract(manifest: Manifest) -> None:
    salt, sha256 = bytes(range(32)), hashlib.sha256(GCODE).digest()
    made = replace(manifest, file_commitment=file_commitment(salt, sha256))
    with boa.set_env(boa.Env()):
        contract = boa.load(str(CONTRACTS / "printright.vy"), boa.env.eoa)
        assert contract.content_of(made.owner, made.digest, salt, sha256) == made.content_id
        other = Address("0x" + "11" * 20)
        assert contract.content_of(other, made.digest, salt, sha256) != made.content_id


def test_nothing_is_said_of_the_file(manifest: Manifest) -> None:
    stored = manifest.to_json()
    assert b"bracket" not in stored
    assert b"PETG" not in stored
    for digest in (hashlib.sha256(GCODE), hashlib.sha3_256(GCODE), hashlib.md5(GCODE)):
        assert digest.hexdigest().encode() not in stored
    assert manifest.file_commitment != file_commitment(bytes(32), hashlib.sha256(GCODE).digest())


def test_the_signature_is_not_part_of_the_digest(manifest: Manifest) -> None:
    assert replace(manifest, signature=bytes(65)).digest == manifest.digest


def altered(manifest: Manifest, change: Callable[[dict[str, Any]], None]) -> bytes:
    document = json.loads(manifest.to_json())
    change(document)
    return rfc8785.dumps(document)


ALTERATIONS: dict[str, Callable[[dict[str, Any]], None]] = {
    "owner": lambda d: d["manifest"].update(owner="0x1111111111111111111111111111111111111111"),
    "package id": lambda d: d["manifest"].update(package_id="00" * 32),
    "file commitment": lambda d: d["manifest"].update(file_commitment="00" * 32),
    "parts per run": lambda d: d["manifest"].update(parts_per_run=3),
    "created": lambda d: d["manifest"].update(created_s=1),
    "media type": lambda d: d["manifest"].update(media_type="model/stl"),
    "key check": lambda d: d["manifest"].update(key_check="00" * 32),
    "previous": lambda d: d["manifest"].update(previous="00" * 32),
    "threshold": lambda d: d["manifest"]["custody"].update(threshold=1),
    "custodian left out": lambda d: d["manifest"]["custody"]["custodians"].pop(),
    "custodians swapped": lambda d: d["manifest"]["custody"]["custodians"].reverse(),
    "sealed share": lambda d: d["manifest"]["custody"]["custodians"][0].update(sealed="00" * 114),
    "window size": lambda d: d["manifest"]["windows"][1].update(size=5),
    "window digest": lambda d: d["manifest"]["windows"][1].update(sha256="00" * 32),
    "windows swapped": lambda d: d["manifest"]["windows"].reverse(),
    "window left out": lambda d: d["manifest"]["windows"].pop(),
    "window doubled": lambda d: d["manifest"]["windows"].append(d["manifest"]["windows"][0]),
    "format": lambda d: d["manifest"].update(format="printright-package/1"),
    "unknown field": lambda d: d["manifest"].update(url="https://example.org"),
    "field left out": lambda d: d["manifest"].pop("previous"),
    "text for a number": lambda d: d["manifest"].update(parts_per_run="2"),
    "negative size": lambda d: d["manifest"]["windows"][0].update(size=-1),
    "owner in lower case": lambda d: d["manifest"].update(owner=d["manifest"]["owner"].lower()),
    "upper-case digits": lambda d: d["manifest"].update(key_check=d["manifest"]["key_check"].upper()),
    "spaces in digits": lambda d: d["manifest"].update(key_check=" " + d["manifest"]["key_check"]),
    "signature left out": lambda d: d.update(signature=""),
    "signature cut": lambda d: d.update(signature=d["signature"][:-2]),
    "signature v 0": lambda d: d.update(signature=d["signature"][:-2] + "00"),
    "signature v other": lambda d: d.update(
        signature=d["signature"][:-2] + f"{27 + 28 - int(d['signature'][-2:], 16):02x}"
    ),
    "signature zero": lambda d: d.update(signature="00" * 64 + "1b"),
    "signature r of order": lambda d: d.update(signature=f"{ORDER:064x}" + d["signature"][64:]),
}


@pytest.mark.parametrize("name", ALTERATIONS)
def test_alterations_are_refused(manifest: Manifest, name: str) -> None:
    # Red, for all that keep the form, without the comparison with the owner at the end of Manifest.verify.
    with pytest.raises(PackageRefused):
        Manifest.from_json(altered(manifest, ALTERATIONS[name]))


def test_another_members_signature_is_refused(manifest: Manifest, members: tuple[Member, ...]) -> None:
    signature = members[1].ledger.sign_digest(manifest.signing_digest)
    with pytest.raises(PackageRefused, match="owner"):
        replace(manifest, signature=signature).verify()
    with pytest.raises(WrongKey):
        manifest.signed(members[1].ledger)


def test_the_high_s_twin_of_the_signature_is_refused(manifest: Manifest) -> None:
    # Red without the low-s check: libsecp256k1 recovers the same key from it.
    s = ORDER - int.from_bytes(manifest.signature[32:64], "big")
    twin = manifest.signature[:32] + s.to_bytes(32, "big") + bytes([27 + 28 - manifest.signature[64]])
    with pytest.raises(PackageRefused, match="low-s"):
        replace(manifest, signature=twin).verify()


def test_a_signature_over_the_plain_digest_is_refused(manifest: Manifest) -> None:
    # Whoever got the owner to sign a bare SHA-256, or an EIP-191 message, has no manifest by that.
    owner = SoftwareLedgerKey(bytes([1]) * 32)
    with pytest.raises(PackageRefused, match="owner"):
        replace(manifest, signature=owner.sign_digest(manifest.digest)).verify()


def test_other_spellings_of_the_same_json_are_refused(manifest: Manifest) -> None:
    # Red without the comparison with the canonical bytes in Manifest.from_json.
    stored = manifest.to_json()
    document = json.loads(stored)
    for spelled in (
        stored + b"\n",
        b" " + stored,
        json.dumps(document).encode(),
        json.dumps(document, sort_keys=True, indent=1).encode(),
        stored.replace(b'"created_s"', b'"created\\u005fs"'),
        stored.replace(b'"threshold":3', b'"threshold":3,"threshold":3'),
        stored.replace(b'"threshold":3', b'"threshold":3.0'),
    ):
        assert spelled != stored
        with pytest.raises(PackageRefused):
            Manifest.from_json(spelled)


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b"null", b"\xff", b"[" * 5000, b"{" * 100_000, bytes(MAX_MANIFEST_BYTES + 1)]
)
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(PackageRefused):
        Manifest.from_json(data)


def test_signatures_are_eip_712() -> None:
    # Checked with eth-account's own encoder, so that any wallet signs the same.
    from eth_account import Account
    from eth_account.messages import encode_typed_data

    owner = SoftwareLedgerKey(PrivateKey(bytes([9]) * 32).secret)
    binding = Binding(bytes([5]) * 32, owner.address)
    unsigned = _minimal(binding)
    message = encode_typed_data(
        full_message={
            "domain": {"name": "Printright package", "version": "1"},
            "primaryType": "PackageManifest",
            "types": {
                "EIP712Domain": [{"name": "name", "type": "string"}, {"name": "version", "type": "string"}],
                "PackageManifest": [{"name": "sha256", "type": "bytes32"}],
            },
            "message": {"sha256": unsigned.digest},
        }
    )
    signature = Account.sign_message(message, bytes([9]) * 32).signature
    assert unsigned.signed(owner).signature == signature
    replace(unsigned, signature=bytes(signature)).verify()


def _minimal(binding: Binding) -> Manifest:
    custodian = Custodian(binding.owner, SoftwareUnsealingKey(ec.derive_private_key(5, ec.SECP256R1())).public_key)
    return Manifest(
        package_id=binding.package_id,
        owner=binding.owner,
        file_commitment=Digest(bytes(32)),
        parts_per_run=1,
        media_type="text/x.gcode",
        created_s=0,
        key_check=bytes(32),
        windows=(Window("details", 60, Digest(bytes(32))), Window("file", 60, Digest(bytes(32)))),
        custody=share_new_key(binding, [custodian], 1)[1],
    )


def test_values_that_cannot_be(manifest: Manifest) -> None:
    for field, value in (
        ("package_id", bytes(31)), ("parts_per_run", 0), ("parts_per_run", 1 << 32), ("created_s", -1),
        ("media_type", "x"), ("media_type", "a/b\n"), ("windows", ()), ("previous", b"short"),
        ("owner", manifest.owner.lower()),
    ):  # fmt: skip
        with pytest.raises(BadValue):
            replace(manifest, **{field: value})
    with pytest.raises(BadValue, match="twice"):
        Custody(manifest.custody.commitments, (manifest.custody.custodians[0],) * 3)
    other_account = replace(manifest.custody.custodians[0], address=manifest.custody.custodians[1].address)
    with pytest.raises(BadValue, match="same unsealing key"):
        Custody(
            manifest.custody.commitments,
            (manifest.custody.custodians[0], other_account, manifest.custody.custodians[2]),
        )
    with pytest.raises(BadValue, match="threshold"):
        Custody(manifest.custody.commitments, manifest.custody.custodians[:2])

"""Make the frozen vectors in this folder. Run once for a format; a new format gets new files beside these.

    genuine/    manifest.json, details.bin, file.bin of one package, and opening.json with what opens it
    stream/     name.outcome.json: how to alter file.bin: slices of named streams, then single bits
    manifest/   name.outcome.json: an altered manifest.json, signed anew by its owner where the name says so
    shares/     committee.json, the manifest of a design under 2-of-3 custody, and name.outcome.json: shares of it;
                `names_2` is a key that opens with share 2 named as wrong, or WrongShares where too few are left

Slices, not copies, since a stream needs more than 64 KiB to have segments. `refused` is PackageRefused, of shares
BadValue.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rfc8785
from coincurve import PublicKey
from cryptography.hazmat.primitives.asymmetric import ec

from printright.domain.words import hash_words, keccak
from printright.vault import Custodian, Details, publish_package
from printright.vault.custody import open_share, recover_key
from printright.vault.keys import SoftwareLedgerKey, SoftwareUnsealingKey
from printright.vault.stores.local import LocalStore
from printright.vault.stream import encrypt

HERE = Path(__file__).parent
SEGMENT = 65536
OWNER, OTHER = bytes([1]) * 32, bytes([2]) * 32
UNSEALING = 1001
PLAIN = random.Random(20260101).randbytes(140_000)
DOMAIN = hash_words(keccak(b"EIP712Domain(string name,string version)"), keccak(b"Printright package"), keccak(b"1"))
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


async def make(folder: Path) -> None:
    owner = SoftwareLedgerKey(OWNER)
    unsealing = SoftwareUnsealingKey(ec.derive_private_key(UNSEALING, ec.SECP256R1()))
    store = LocalStore(folder / "store")
    source = folder / "part.gcode"
    source.write_bytes(PLAIN)
    made = await publish_package(
        source,
        Details(file_name="part.gcode", material="PLA"),
        owner_signer=owner,
        custodians=[Custodian(owner.address, unsealing.public_key)],
        threshold=1,
        store=store,
        created_s=1_767_225_600,
    )
    manifest = made.manifest
    key = recover_key(manifest, [open_share(manifest, unsealing)])
    genuine = HERE / "genuine"
    for sub in (genuine, HERE / "stream", HERE / "manifest"):
        sub.mkdir(exist_ok=True)
    (genuine / "manifest.json").write_bytes(manifest.to_json())
    for name in ("details", "file"):
        (genuine / f"{name}.bin").write_bytes((await store.get(manifest.window(name).sha256)).read_bytes())
    file = (genuine / "file.bin").read_bytes()
    (genuine / "other.bin").write_bytes(
        encrypt(manifest.binding.window_key(key, "file"), PLAIN, manifest.binding.window_aad("file"))[: 2 * SEGMENT]
    )
    opening = {
        "design_key": key.hex(),
        "unsealing_key": UNSEALING,
        "content_id": manifest.content_id.hex(),
        "manifest_digest": manifest.digest.hex(),
        "plain_seed": 20260101,
        "plain_size": len(PLAIN),
    }
    (genuine / "opening.json").write_text(json.dumps(opening, indent=1) + "\n")
    stream_faults(len(file))
    manifest_faults(json.loads(manifest.to_json()))
    await committee(folder, owner, source, store)


async def committee(folder: Path, owner: SoftwareLedgerKey, source: Path, store: LocalStore) -> None:
    keys = [SoftwareUnsealingKey(ec.derive_private_key(UNSEALING + n, ec.SECP256R1())) for n in range(3)]
    accounts = [SoftwareLedgerKey(bytes([n]) * 32).address for n in (11, 12, 13)]
    made = await publish_package(
        source,
        Details(file_name="part.gcode"),
        owner_signer=owner,
        custodians=[Custodian(a, key.public_key) for a, key in zip(accounts, keys, strict=True)],
        threshold=2,
        store=store,
        created_s=1_767_225_600,
    )
    place = HERE / "shares"
    place.mkdir(exist_ok=True)
    (place / "committee.json").write_bytes(made.manifest.to_json())
    one, two, three = (open_share(made.manifest, key).to_bytes() for key in keys)

    def case(name: str, *shares: bytes) -> None:
        (place / f"{name}.json").write_text(json.dumps([share.hex() for share in shares]) + "\n")

    wrong = two[:32] + bytes([two[32] ^ 1])
    case("first_two.opens", one, two)
    case("last_two.opens", three, two)
    case("all.opens", one, two, three)
    case("wrong_with_one_good.names_2", one, wrong)
    case("wrong_with_two_good.names_2", wrong, one, three)
    case("of_another_place.names_2", one, b"\2" + three[1:], three)
    case("one_alone.refused", one)
    case("the_same_twice.refused", one, one)
    case("out_of_range.refused", one, b"\2" + ORDER.to_bytes(32, "big"))
    case("zero.refused", one, b"\2" + bytes(32))
    case("index_zero.refused", one, b"\0" + two[1:])
    case("short.refused", one, two[:-1])


def stream_faults(end: int) -> None:
    header, first = ["file", 0, 40], ["file", 40, SEGMENT]
    second, third = ["file", SEGMENT, 2 * SEGMENT], ["file", 2 * SEGMENT, end]
    whole = ["file", 0, end]

    def fault(name: str, take: list[list[Any]], flip: tuple[int, int] | None = None) -> None:
        (HERE / "stream" / f"{name}.json").write_text(json.dumps({"take": take, "flip_byte_bit": flip}) + "\n")

    fault("genuine.opens", [whole])
    fault("header_length_bit_flipped.refused", [whole], (0, 3))
    fault("header_salt_bit_flipped.refused", [whole], (1, 0))
    fault("header_prefix_bit_flipped.refused", [whole], (39, 7))
    fault("ciphertext_bit_flipped.refused", [whole], (70_000, 1))
    fault("tag_bit_flipped.refused", [whole], (end - 1, 0))
    fault("header_left_out.refused", [first, second, third])
    fault("header_of_another_stream.refused", [["other", 0, 40], first, second, third])
    fault("first_segment_of_another_stream.refused", [["other", 0, SEGMENT], second, third])
    fault("second_segment_of_another_stream.refused", [header, first, ["other", SEGMENT, 2 * SEGMENT], third])
    fault("segments_swapped.refused", [header, second, ["file", 40, SEGMENT], third])
    fault("segment_doubled.refused", [header, first, second, second, third])
    fault("segment_left_out.refused", [header, first, third])
    fault("cut_at_a_segments_end.refused", [header, first, second])
    fault("cut_in_the_last_segment.refused", [["file", 0, end - 1]])
    fault("cut_in_the_header.refused", [["file", 0, 20]])
    fault("trailing_byte.refused", [whole, ["file", 0, 1]])
    fault("trailing_segment.refused", [whole, second])
    fault("empty.refused", [])


def manifest_faults(genuine: dict[str, Any]) -> None:
    def fault(name: str, change: Callable[[dict[str, Any]], object]) -> None:
        document = json.loads(json.dumps(genuine))
        change(document)
        (HERE / "manifest" / f"{name}.json").write_bytes(rfc8785.dumps(document))

    def by_owner(document: dict[str, Any], change: Callable[[dict[str, Any]], object]) -> None:
        # Signed anew, whatever it is that the owner then signs.
        change(document["manifest"])
        digest = hashlib.sha256(rfc8785.dumps(document["manifest"])).digest()
        signing = keccak(b"\x19\x01" + DOMAIN + hash_words(keccak(b"PackageManifest(bytes32 sha256)"), digest))
        document["signature"] = SoftwareLedgerKey(OWNER).sign_digest(signing).hex()

    def resign(document: dict[str, Any], key: bytes) -> None:
        # The signature of another member over the same digest.
        from printright.vault.manifest import Manifest

        digest = Manifest.from_json(rfc8785.dumps(document)).signing_digest
        document["signature"] = SoftwareLedgerKey(key).sign_digest(digest).hex()

    def high_s(document: dict[str, Any]) -> None:
        raw = bytes.fromhex(document["signature"])
        s = ORDER - int.from_bytes(raw[32:64], "big")
        document["signature"] = (raw[:32] + s.to_bytes(32, "big") + bytes([55 - raw[64]])).hex()

    fault("genuine.opens", lambda d: None)
    fault("owner_altered.refused", lambda d: d["manifest"].update(owner=SoftwareLedgerKey(OTHER).address))
    fault("signed_by_another.refused", lambda d: resign(d, OTHER))
    fault("signature_with_high_s.refused", high_s)
    fault("signature_left_out.refused", lambda d: d.update(signature=""))
    fault("parts_per_run_altered.refused", lambda d: d["manifest"].update(parts_per_run=2))
    fault("windows_swapped.refused", lambda d: d["manifest"]["windows"].reverse())
    fault("window_digest_altered.refused", lambda d: d["manifest"]["windows"][1].update(sha256="00" * 32))
    fault("custodian_key_altered.refused", lambda d: d["manifest"]["custody"]["custodians"][0].update(
        public_key=SoftwareUnsealingKey(ec.derive_private_key(9, ec.SECP256R1())).public_key.hex()))  # fmt: skip
    fault("unknown_field.refused", lambda d: d["manifest"].update(store="https://example.org"))
    fault("unknown_format.refused", lambda d: d["manifest"].update(format="printright-package/0"))
    point = genuine["manifest"]["custody"]["commitments"][0]
    other_point = PublicKey.from_secret(OTHER).format().hex()
    fault("commitment_altered.refused", lambda d: d["manifest"]["custody"].update(commitments=[other_point]))
    for name, points in {
        "commitments_left_out": [],
        "commitments_of_another_threshold": [point, other_point],
        "commitment_off_the_curve": ["02" + "00" * 31 + "05"],
        "commitment_beyond_the_field": ["02" + "ff" * 32],
        "commitment_at_infinity": ["00" * 33],
        "commitment_not_compressed": [PublicKey(bytes.fromhex(point)).format(compressed=False).hex()],
    }.items():
        fault(f"{name}_signed_anew.refused",
              lambda d, p=points: by_owner(d, lambda m: m["custody"].update(commitments=p)))  # type: ignore[misc]  # fmt: skip
    text = (HERE / "manifest" / "genuine.opens.json").read_bytes()
    (HERE / "manifest" / "newline_at_the_end.refused.json").write_bytes(text + b"\n")
    doubled = text.replace(b'"threshold":1', b'"threshold":1,"threshold":1')
    (HERE / "manifest" / "doubled_field.refused.json").write_bytes(doubled)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made_in:
        asyncio.run(make(Path(made_in)))

"""The frozen packages: what opened once opens for ever, and each named fault has its named outcome."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from printright.errors import BadValue, PackageRefused
from printright.vault import Manifest, open_package
from printright.vault.custody import WrongShares, open_share, recover_key
from printright.vault.keys import SoftwareUnsealingKey
from printright.vault.sharing import Share
from printright.vault.stores.local import LocalStore
from printright.vault.stream import StreamReader

FOLDER = Path(__file__).parents[2] / "vectors" / "packages"
OPENING = json.loads((FOLDER / "genuine" / "opening.json").read_text())
PLAIN = random.Random(OPENING["plain_seed"]).randbytes(OPENING["plain_size"])
MANIFEST = (FOLDER / "genuine" / "manifest.json").read_bytes()


def cases(kind: str) -> list[Path]:
    found = sorted((FOLDER / kind).glob("*.*.json"))
    assert len(found) > 10
    return found


async def test_the_genuine_package_opens(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    for name in ("details", "file"):
        await store.put(FOLDER / "genuine" / f"{name}.bin")
    manifest = Manifest.from_json(MANIFEST)
    assert manifest.digest.hex() == OPENING["manifest_digest"]
    assert manifest.content_id.hex() == OPENING["content_id"]
    custodian = SoftwareUnsealingKey(ec.derive_private_key(OPENING["unsealing_key"], ec.SECP256R1()))
    key = recover_key(manifest, [open_share(manifest, custodian)])
    assert key.hex() == OPENING["design_key"]
    with (await open_package(manifest, store)).unlock(key) as unlocked:
        assert b"".join(unlocked.file) == PLAIN
        assert unlocked.details.file_name == "part.gcode"


@pytest.mark.parametrize("path", cases("stream"), ids=lambda path: path.stem)
def test_streams(path: Path) -> None:
    recipe = json.loads(path.read_text())
    taken = [(FOLDER / "genuine" / f"{name}.bin").read_bytes()[start:end] for name, start, end in recipe["take"]]
    data = bytearray(b"".join(taken))
    if recipe["flip_byte_bit"]:
        place, bit = recipe["flip_byte_bit"]
        data[place] ^= 1 << bit
    binding = Manifest.from_json(MANIFEST).binding
    key = binding.window_key(bytes.fromhex(OPENING["design_key"]), "file")

    def read() -> bytes:
        with StreamReader(key, data, binding.window_aad("file")) as reader:
            return b"".join(reader)

    if path.stem.endswith(".refused"):
        with pytest.raises(PackageRefused):
            read()
    else:
        assert path.stem.endswith(".opens")
        assert read() == PLAIN


@pytest.mark.parametrize("path", cases("manifest"), ids=lambda path: path.stem)
def test_manifests(path: Path) -> None:
    if path.stem.endswith(".refused"):
        with pytest.raises(PackageRefused):
            Manifest.from_json(path.read_bytes())
    else:
        assert path.stem.endswith(".opens")
        assert Manifest.from_json(path.read_bytes()).to_json() == MANIFEST


@pytest.mark.parametrize("path", cases("shares"), ids=lambda path: path.stem)
def test_shares(path: Path) -> None:
    manifest = Manifest.from_json((FOLDER / "shares" / "committee.json").read_bytes())
    given = [bytes.fromhex(share) for share in json.loads(path.read_text())]
    if path.stem.endswith(".refused"):
        with pytest.raises(BadValue):
            recover_key(manifest, [Share.from_bytes(share) for share in given])
        return
    shares = [Share.from_bytes(share) for share in given]
    wrong = [share.index for share in shares if not manifest.custody.commitments.fit(share)]
    assert wrong == ([2] if path.stem.endswith(".names_2") else [])
    if len(shares) - len(wrong) < manifest.custody.threshold:
        with pytest.raises(WrongShares) as error:
            recover_key(manifest, shares)
        assert list(error.value.indices) == wrong
    else:
        assert manifest.check_key(recover_key(manifest, shares))

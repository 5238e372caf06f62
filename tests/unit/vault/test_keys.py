"""Keys in files: other software reads them, wrong passwords are told, nothing shows a key."""

from __future__ import annotations

import json
import pickle
import subprocess
from pathlib import Path

import pytest
from coincurve import PublicKey
from eth_keyfile.keyfile import create_keyfile_json, decode_keyfile_json

from printright.domain.words import checksum, keccak
from printright.errors import BadSettings, BadValue, PrintrightError, WrongKey
from printright.vault.keys import (
    CreatedKeys,
    SoftwareLedgerKey,
    create_keys,
    open_ledger_key,
    open_unsealing_key,
)
from printright.vault.keys.files import WORK_FACTOR
from printright.vault.sealing import seal

FAST = 1 << 12
PASSWORD = "correct horse"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> CreatedKeys:
    return create_keys(tmp_path_factory.mktemp("member") / "keys", PASSWORD, work_factor=FAST)


def path(uri: str) -> Path:
    return Path(uri.removeprefix("file://"))


def test_keys_come_back(keys: CreatedKeys) -> None:
    ledger = open_ledger_key(keys.ledger_uri, lambda: PASSWORD)
    unsealing = open_unsealing_key(keys.unsealing_uri, lambda: PASSWORD)
    assert ledger.address == keys.address
    assert unsealing.public_key == keys.public_key
    assert unsealing.open(seal(keys.public_key, b"x", b"i"), b"i") == b"x"


def test_signatures_recover_to_the_address_and_are_low_s(keys: CreatedKeys) -> None:
    ledger = open_ledger_key(keys.ledger_uri, lambda: PASSWORD)
    for number in range(50):
        digest = keccak(bytes([number]))
        signature = ledger.sign_digest(digest)
        assert len(signature) == 65
        assert signature[64] in (27, 28)
        assert (
            int.from_bytes(signature[32:64], "big")
            <= 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
        )
        signer = PublicKey.from_signature_and_message(signature[:64] + bytes([signature[64] - 27]), digest, hasher=None)
        assert checksum(keccak(signer.format(compressed=False)[1:])[12:]) == keys.address
    with pytest.raises(BadValue):
        ledger.sign_digest(b"short")


def test_wrong_passwords(keys: CreatedKeys) -> None:
    for password in ("", "Correct horse", PASSWORD + " ", "x" * 1000, "пароль"):
        with pytest.raises(WrongKey, match="password"):
            open_ledger_key(keys.ledger_uri, lambda password=password: password)
        with pytest.raises(WrongKey, match="password"):
            open_unsealing_key(keys.unsealing_uri, lambda password=password: password)


def test_files_are_private_and_whole(keys: CreatedKeys) -> None:
    folder = path(keys.ledger_uri).parent
    assert sorted(found.name for found in folder.iterdir()) == ["ledger.json", "unsealing.pem"]
    assert folder.stat().st_mode & 0o777 == 0o700
    for found in folder.iterdir():
        assert found.stat().st_mode & 0o777 == 0o600


@pytest.mark.needs("openssl")
def test_other_software_reads_them(keys: CreatedKeys) -> None:
    document = json.loads(path(keys.ledger_uri).read_text())
    assert document["version"] == 3
    assert document["crypto"]["kdfparams"]["n"] == FAST
    assert checksum("0x" + document["address"].removeprefix("0x")) == keys.address
    assert len(decode_keyfile_json(document, PASSWORD.encode())) == 32
    openssl = subprocess.run(
        ["openssl", "pkey", "-in", path(keys.unsealing_uri), "-passin", f"pass:{PASSWORD}", "-noout", "-text_pub"],
        capture_output=True,
        check=False,
    )
    assert b"prime256v1" in openssl.stdout, openssl.stderr


def test_keystores_of_others_open(tmp_path: Path) -> None:
    for kdf, work in (("scrypt", FAST), ("pbkdf2", 1000)):
        document = create_keyfile_json(bytes([7]) * 32, b"pw", kdf=kdf, iterations=work)
        (tmp_path / kdf).write_text(json.dumps(document))
        found = open_ledger_key((tmp_path / kdf).as_uri(), lambda: "pw")
        assert found.address == SoftwareLedgerKey(bytes([7]) * 32).address


def test_existing_keys_are_never_overwritten(keys: CreatedKeys) -> None:
    folder = path(keys.ledger_uri).parent
    before = {found.name: found.read_bytes() for found in folder.iterdir()}
    with pytest.raises(BadSettings, match="already"):
        create_keys(folder, "another", work_factor=FAST)
    assert {found.name: found.read_bytes() for found in folder.iterdir()} == before


def test_a_crash_between_the_two_files_is_made_good(tmp_path: Path) -> None:
    (tmp_path / "unsealing.pem").write_text("left by a crash")
    made = create_keys(tmp_path, PASSWORD, work_factor=FAST)
    assert open_unsealing_key(made.unsealing_uri, lambda: PASSWORD).public_key == made.public_key


def test_settings_that_are_unsafe(tmp_path: Path) -> None:
    assert WORK_FACTOR == 1 << 18
    with pytest.raises(BadSettings, match="empty"):
        create_keys(tmp_path / "a", "", work_factor=FAST)
    for work_factor in (0, 1 << 11, FAST + 1, 1 << 23):
        with pytest.raises(BadSettings, match="work factor"):
            create_keys(tmp_path / "a", PASSWORD, work_factor=work_factor)
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    "uri", ["pkcs11:token=a", "tpm:0x81000001", "/keys/ledger.json", "", "http://a/b", "file:", "file://host/a",
            "file:///a?b", "data:,"],
)  # fmt: skip
def test_uris_that_are_none(uri: str) -> None:
    for opening in (open_ledger_key, open_unsealing_key):
        with pytest.raises(BadSettings):
            opening(uri, lambda: PASSWORD)


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", '{"version":3}', '{"version":3,"crypto":{"kdf":"none","kdfparams":{}}}', "\xff\x00", "9" * 70_000,
     '{"version":4,"crypto":{}}', '{"version":3,"crypto":{"kdf":"scrypt","kdfparams":{"n":1099511627776}}}',
     "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
     "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"],
    ids=range(11),
)  # fmt: skip
def test_files_that_are_no_keys(text: str, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_bytes(text.encode("latin-1"))
    for opening in (open_ledger_key, open_unsealing_key):
        with pytest.raises(PrintrightError):
            opening(file.as_uri(), lambda: PASSWORD)
    file.unlink()
    with pytest.raises(BadSettings, match="cannot read"):
        open_ledger_key(file.as_uri(), lambda: PASSWORD)


def test_nothing_shows_a_key(keys: CreatedKeys) -> None:
    secret = bytes([0xA7]) * 32
    ledger = SoftwareLedgerKey(secret)
    unsealing = open_unsealing_key(keys.unsealing_uri, lambda: PASSWORD)
    for shown in (repr(ledger), str(ledger), repr(vars(ledger)), repr(unsealing), repr(vars(unsealing))):
        assert secret.hex() not in shown
        assert repr(secret)[2:-1] not in shown
        assert str(int.from_bytes(secret, "big")) not in shown
    for key in (ledger, unsealing):
        with pytest.raises(TypeError):
            pickle.dumps(key)
    for wrong in (bytes(32), b"\xff" * 32, secret[1:], secret + b"\0"):
        with pytest.raises(BadValue) as caught:
            SoftwareLedgerKey(wrong)
        assert wrong.hex() not in str(caught.value)
    with pytest.raises(WrongKey) as refused:
        open_ledger_key(keys.ledger_uri, lambda: "hunter2-secret")
    assert "hunter2" not in str(refused.value)

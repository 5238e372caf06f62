"""Keys in password-protected files that other software reads too.

* `ledger.json`: Web3 Secret Storage version 3 (what geth, ethers and web3 read), scrypt.
* `unsealing.pem`: PKCS#8 (RFC 5958) encrypted by PBES2 with scrypt (RFC 7914, RFC 8018) and AES-256; OpenSSL reads it.

Both record their scrypt work factor. Files have mode 0600 and appear only whole.
"""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from coincurve import PrivateKey
from Crypto.PublicKey import ECC
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from printright.domain.ids import Address
from printright.errors import BadSettings, WrongKey
from printright.vault.keys.ledger_key import SoftwareLedgerKey
from printright.vault.keys.unsealing_key import SoftwareUnsealingKey

if TYPE_CHECKING:
    from Crypto.IO._PBES import ProtParams

LEDGER_FILE = "ledger.json"
UNSEALING_FILE = "unsealing.pem"
WORK_FACTOR = 1 << 18
"""scrypt's n (with r = 8, p = 1: 256 MiB and about a second); geth's "standard"."""
MIN_WORK_FACTOR = 1 << 12
_MAX_FILE_BYTES = 64 * 1024
_MAX_WORK_FACTOR = 1 << 22


@dataclass(frozen=True)
class CreatedKeys:
    """The public halves of new keys, and the URIs that open them."""

    address: Address
    public_key: bytes
    ledger_uri: str
    unsealing_uri: str


def create_keys(folder: Path, password: str, *, work_factor: int = WORK_FACTOR) -> CreatedKeys:
    """Make a ledger key and an unsealing key in `folder`, which is made with mode 0700.

    `work_factor` is scrypt's n, a power of two; lower it only where keys are thrown away (tests, demo). The ledger
    key's file comes last: one left behind alone by a crash is an unsealing key that nobody has seen, and is replaced.
    Raises BadSettings for an empty password, a work factor out of range and a folder that has keys already; OSError.
    """
    ledger_path = _ready(folder, password, work_factor) / LEDGER_FILE
    if ledger_path.exists():
        raise BadSettings(f"{folder} has keys already", hint="choose another folder, or move them away yourself")
    unsealing = create_unsealing_file(folder, password, work_factor=work_factor)
    ledger = create_ledger_file(folder, password, work_factor=work_factor)
    return CreatedKeys(ledger.address, unsealing.public_key, ledger_path.as_uri(), _uri(folder, UNSEALING_FILE))


def create_unsealing_file(folder: Path, password: str, *, work_factor: int = WORK_FACTOR) -> SoftwareUnsealingKey:
    """Make an unsealing key in `folder`; one that is there is replaced. Raises as `create_keys` does."""
    path = _ready(folder, password, work_factor) / UNSEALING_FILE
    unsealing = ec.generate_private_key(ec.SECP256R1())
    pem = unsealing.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    scrypt: ProtParams = {"iteration_count": work_factor, "block_size": 8, "parallelization": 1, "salt_size": 32}
    encrypted = ECC.import_key(pem).export_key(
        format="PEM",
        use_pkcs8=True,
        passphrase=password.encode(),
        protection="scryptAndAES256-CBC",
        prot_params=scrypt,
    )
    _write_whole(path, encrypted.encode() + b"\n", replace=True)
    return SoftwareUnsealingKey(unsealing)


def create_ledger_file(folder: Path, password: str, *, work_factor: int = WORK_FACTOR) -> SoftwareLedgerKey:
    """Make a ledger key in `folder`. Raises as `create_keys` does."""
    path = _ready(folder, password, work_factor) / LEDGER_FILE
    # Imported here because it takes a second, which commands without a keystore need not wait for.
    from eth_keyfile.keyfile import create_keyfile_json

    secret = PrivateKey().secret
    document = create_keyfile_json(secret, password.encode(), kdf="scrypt", iterations=work_factor)
    _write_whole(path, json.dumps(document, indent=1).encode() + b"\n", replace=False)
    return SoftwareLedgerKey(secret)


def _ready(folder: Path, password: str, work_factor: int) -> Path:
    if not password:
        raise BadSettings("the password is empty", hint="choose one; it protects the keys' files")
    if not MIN_WORK_FACTOR <= work_factor <= _MAX_WORK_FACTOR or work_factor & (work_factor - 1):
        raise BadSettings(f"work factor {work_factor}", hint=f"a power of two from {MIN_WORK_FACTOR}")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder.resolve()


def _uri(folder: Path, name: str) -> str:
    return (folder.resolve() / name).as_uri()


def read_ledger_key(path: Path, password: str) -> SoftwareLedgerKey:
    """Open a version 3 keystore. Raises WrongKey for a wrong password, BadSettings for a file that is none."""
    from eth_keyfile.keyfile import decode_keyfile_json

    try:
        document = json.loads(_read(path))
        parameters = document["crypto"]["kdfparams"]
        if document["version"] != 3 or int(parameters.get("n", 0)) > _MAX_WORK_FACTOR:
            raise BadSettings(f"{path} is not a keystore of version 3 with a usual work factor")
        secret = decode_keyfile_json(document, password.encode())
    except (KeyError, TypeError, AttributeError, UnicodeDecodeError, json.JSONDecodeError):
        raise BadSettings(f"{path} is not a keystore file", hint="Web3 Secret Storage, version 3") from None
    except ValueError as error:
        # eth_keyfile's own errors are ValueErrors and have no finer class; its text holds no secret.
        if "MAC mismatch" in str(error):
            raise WrongKey(f"the password does not open {path}") from None
        raise BadSettings(f"{path} is not a keystore file", hint="Web3 Secret Storage, version 3") from None
    return SoftwareLedgerKey(secret)


def read_unsealing_key(path: Path, password: str) -> SoftwareUnsealingKey:
    """Open an encrypted PEM file. Raises WrongKey for a wrong password, BadSettings for a file that is none."""
    data = _read(path)
    if b"BEGIN ENCRYPTED PRIVATE KEY" not in data:
        raise BadSettings(f"{path} is not an encrypted private key", hint="PKCS#8 in PEM, with a password")
    if not password:
        raise WrongKey(f"the password does not open {path}", hint="it is empty")
    try:
        key = load_pem_private_key(data, password.encode())
    except ValueError as error:
        if "password" in str(error).lower() or "decrypt" in str(error).lower():
            raise WrongKey(f"the password does not open {path}") from None
        raise BadSettings(f"{path} is not an encrypted private key", hint="PKCS#8 in PEM, with a password") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise BadSettings(f"{path} holds another kind of key than P-256")
    return SoftwareUnsealingKey(key)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise BadSettings(f"cannot read the key file {path}: {error.strerror}") from None
    if len(data) > _MAX_FILE_BYTES:
        raise BadSettings(f"{path} is too large for a key file")
    return data


def _write_whole(path: Path, data: bytes, *, replace: bool) -> None:
    """Write a file of mode 0600 that exists whole or not at all, and survives a crash once this returns."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            temporary.rename(path)
        else:
            path.hardlink_to(temporary)
    except FileExistsError:
        raise BadSettings(f"{path} exists already") from None
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)

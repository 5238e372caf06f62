"""The manifest of a package: what it holds, who keeps its key, signed by the rights holder.

Canonical JSON (RFC 8785), so that one manifest has one digest. What is stored is `{"manifest": ..., "signature":
...}`; `digest` is the SHA-256 of the manifest alone and `commitment` ties it to the ledger. The signature is EIP-712
over that digest (`PackageManifest(bytes32 sha256)` in a domain of its own): a wallet shows what is signed, and it
can be taken for nothing else. It says who made the package; it moves nothing on any ledger.

Nothing in here tells of the file but its size: name, hash and salt are in the encrypted window "details".
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import msgspec
import rfc8785
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from printright.domain.firmware import ANY_FIRMWARE, MinimumFirmware
from printright.domain.ids import Address, ContentId, Digest
from printright.domain.words import address_bytes, checksum, hash_words
from printright.errors import BadValue, PackageRefused, WrongKey
from printright.vault.committee import CustodianShare, Custody
from printright.vault.keys.ledger_key import LedgerKey
from printright.vault.sharing import Commitments
from printright.vault.signing import signer, statement_digest

FORMAT = "printright-package/2"
DETAILS = "details"
FILE = "file"
WINDOWS = (DETAILS, FILE)
MAX_MANIFEST_BYTES = 256 * 1024
MAX_WINDOW_BYTES = 1 << 40
_LABEL = FORMAT.encode() + b"\0"


def file_commitment(salt: bytes, file_sha256: bytes) -> Digest:
    """keccak(abi_encode(salt, SHA-256 of the file)), as contracts/designs.vy has it. Raises BadValue."""
    return Digest(hash_words(salt, file_sha256))


@dataclass(frozen=True)
class Window:
    """One encrypted stream of the package: its name, and size in bytes and SHA-256 of the ciphertext."""

    name: str
    size: int
    sha256: Digest

    def __post_init__(self) -> None:
        if len(self.sha256) != 32 or not 0 < self.size <= MAX_WINDOW_BYTES:
            raise BadValue(f"window {self.name!r} has a digest or size that is out of range")


@dataclass(frozen=True)
class Binding:
    """What ties keys and ciphertext to one package: its random id (32 bytes) and its owner.

    Every derived key, window and sealed share has both in it, so that nothing can be moved to another package, not
    even by an owner who copies another's id.
    """

    package_id: bytes
    owner: Address

    def design_key(self, secret: bytes) -> bytes:
        """The design key, 32 bytes, from the shared secret."""
        return self._derive(secret, b"design key")

    def window_key(self, design_key: bytes, name: str) -> bytes:
        """The key of one window, 32 bytes."""
        return self._derive(design_key, b"window " + name.encode())

    def key_check(self, design_key: bytes) -> bytes:
        """A commitment to the design key, 32 bytes: it tells the right key, and says nothing of it."""
        return self._derive(design_key, b"key check")

    def window_aad(self, name: str) -> bytes:
        """What a window's stream is bound to: package, owner and the window's place."""
        return b"".join((_LABEL, b"window\0", self.package_id, self._owner, bytes([WINDOWS.index(name)])))

    def share_info(self, place: int) -> bytes:
        """The HPKE `info` of the share of the custodian at `place`, from 0."""
        return b"".join((_LABEL, b"share\0", self.package_id, self._owner, bytes([place])))

    @property
    def _owner(self) -> bytes:
        return address_bytes(self.owner)

    def _derive(self, key: bytes, purpose: bytes) -> bytes:
        """HKDF-SHA256 (RFC 5869), salted with the package id."""
        if len(key) != 32:
            raise BadValue(f"a design key has 32 bytes, not {len(key)}")
        info = b"".join((_LABEL, purpose, b"\0", self._owner))
        return HKDF(algorithm=SHA256(), length=32, salt=self.package_id, info=info).derive(key)


@dataclass(frozen=True)
class Manifest:
    """A package's manifest. Digests, ids and `package_id` have 32 bytes; `created_s` is Unix time in seconds.

    `package_id` is random and, with the owner, is bound into every key and ciphertext of the package. `key_check`
    tells a right design key from a wrong one. `previous` is the version on the ledger that this one follows.
    `minimum_firmware` is for custodians to enforce; a manifest without one has no such field.
    """

    package_id: bytes
    owner: Address
    file_commitment: Digest
    parts_per_run: int
    media_type: str
    created_s: int
    key_check: bytes
    windows: tuple[Window, ...]
    custody: Custody
    previous: ContentId | None = None
    minimum_firmware: MinimumFirmware = ANY_FIRMWARE
    signature: bytes = field(default=b"", repr=False)

    def __post_init__(self) -> None:
        words = [self.package_id, self.file_commitment, self.key_check]
        if any(len(word) != 32 for word in [*words, *([self.previous] if self.previous is not None else [])]):
            raise BadValue("a manifest's ids and digests have 32 bytes each")
        if checksum(self.owner) != self.owner:
            raise BadValue(f"address without its checksum: {self.owner}")
        if not 1 <= self.parts_per_run < 1 << 32:
            raise BadValue(f"parts per run out of range: {self.parts_per_run}")
        if not 0 <= self.created_s < 1 << 48:
            raise BadValue(f"created_s out of range: {self.created_s}")
        if not 3 <= len(self.media_type) <= 127 or not self.media_type.isascii() or not self.media_type.isprintable():
            raise BadValue("not a media type", hint="like text/x.gcode")
        if tuple(window.name for window in self.windows) != WINDOWS:
            raise BadValue(f"a package has the windows {', '.join(WINDOWS)}, in this order")

    @cached_property
    def canonical(self) -> bytes:
        """The canonical JSON that `digest` is of: everything but the signature."""
        return rfc8785.dumps(self._fields())

    @cached_property
    def digest(self) -> Digest:
        """SHA-256 of `canonical`."""
        return Digest(hashlib.sha256(self.canonical).digest())

    @property
    def commitment(self) -> Digest:
        """What `publish` takes on the ledger: keccak(abi_encode(digest, file commitment))."""
        return Digest(hash_words(self.digest, self.file_commitment))

    @property
    def content_id(self) -> ContentId:
        """The id of this version on the ledger: keccak(abi_encode(owner, commitment)); see contracts/designs.vy."""
        return ContentId(hash_words(self.owner, self.commitment))

    @property
    def signing_digest(self) -> bytes:
        """What the owner signs: the EIP-712 digest over `digest`."""
        return statement_digest("PackageManifest", self.digest)

    def window(self, name: str) -> Window:
        return self.windows[WINDOWS.index(name)]

    def signed(self, owner_key: LedgerKey) -> Manifest:
        """This manifest with the owner's signature. Raises WrongKey for another's key."""
        if owner_key.address != self.owner:
            raise WrongKey(f"the manifest is {self.owner}'s, the key is {owner_key.address}'s")
        return replace(self, signature=owner_key.sign_digest(self.signing_digest))

    def verify(self) -> None:
        """Refuse a manifest that its owner did not sign. Raises PackageRefused.

        Only the low-s form with v 27 or 28 passes (EIP-2), so that a manifest has one signature.
        """
        address = signer(self.signing_digest, self.signature, "the manifest")
        if address != self.owner:
            raise PackageRefused(
                f"the manifest was not signed by its owner {self.owner}", hint="it was altered, or is somebody else's"
            )

    @property
    def binding(self) -> Binding:
        return Binding(self.package_id, self.owner)

    def check_key(self, design_key: bytes) -> bool:
        """Whether this is the package's design key. Raises BadValue for one that has not 32 bytes."""
        return hmac.compare_digest(self.binding.key_check(design_key), self.key_check)

    def to_json(self) -> bytes:
        """What is stored: canonical JSON of the manifest and its signature."""
        return rfc8785.dumps({"manifest": self._fields(), "signature": self.signature.hex()})

    @classmethod
    def from_json(cls, data: bytes) -> Manifest:
        """Read a stored manifest and check its signature. Raises PackageRefused for anything but canonical bytes."""
        if len(data) > MAX_MANIFEST_BYTES:
            raise PackageRefused(f"a manifest has at most {MAX_MANIFEST_BYTES} bytes, not {len(data)}")
        try:
            manifest = msgspec.json.decode(data, type=_WireSigned).value()
            canonical = manifest.to_json()
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise PackageRefused(f"not a manifest: {error}") from None
        if canonical != data:
            raise PackageRefused("the manifest is not canonical JSON", hint="RFC 8785; it was altered after signing")
        manifest.verify()
        return manifest

    def _fields(self) -> dict[str, Any]:
        return {
            "created_s": self.created_s,
            "custody": {
                "commitments": [point.hex() for point in self.custody.commitments.points],
                "custodians": [
                    {"address": c.address, "public_key": c.public_key.hex(), "sealed": c.sealed.hex()}
                    for c in self.custody.custodians
                ],
                "threshold": self.custody.threshold,
            },
            "file_commitment": self.file_commitment.hex(),
            "format": FORMAT,
            "key_check": self.key_check.hex(),
            "media_type": self.media_type,
            "owner": self.owner,
            "package_id": self.package_id.hex(),
            "parts_per_run": self.parts_per_run,
            "previous": None if self.previous is None else self.previous.hex(),
            "windows": [{"name": w.name, "sha256": w.sha256.hex(), "size": w.size} for w in self.windows],
            **({"minimum_firmware": self.minimum_firmware.to_json()} if self.minimum_firmware else {}),
        }


class _Wire(msgspec.Struct, forbid_unknown_fields=True):
    """The JSON forms: text and integers as they stand there."""


class _WireWindow(_Wire):
    name: str
    sha256: str
    size: int


class _WireCustodian(_Wire):
    address: str
    public_key: str
    sealed: str


class _WireCustody(_Wire):
    commitments: list[str]
    custodians: list[_WireCustodian]
    threshold: int


class _WireManifest(_Wire):
    created_s: int
    custody: _WireCustody
    file_commitment: str
    format: str
    key_check: str
    media_type: str
    owner: str
    package_id: str
    parts_per_run: int
    previous: str | None
    windows: list[_WireWindow]
    minimum_firmware: dict[str, str] = {}


class _WireSigned(_Wire):
    manifest: _WireManifest
    signature: str

    def value(self) -> Manifest:
        wire = self.manifest
        if wire.format != FORMAT:
            raise BadValue(f"the format is {wire.format[:40]!r}, not {FORMAT!r}", hint="update Printright")
        text = bytes.fromhex
        custodians = tuple(
            CustodianShare(Address(c.address), text(c.public_key), text(c.sealed)) for c in wire.custody.custodians
        )
        commitments = Commitments(tuple(text(point) for point in wire.custody.commitments))
        if wire.custody.threshold != commitments.threshold:
            raise BadValue(f"{commitments.threshold} commitments are not those of threshold {wire.custody.threshold}")
        return Manifest(
            package_id=text(wire.package_id),
            owner=Address(wire.owner),
            file_commitment=Digest(text(wire.file_commitment)),
            parts_per_run=wire.parts_per_run,
            media_type=wire.media_type,
            created_s=wire.created_s,
            key_check=text(wire.key_check),
            windows=tuple(Window(w.name, w.size, Digest(text(w.sha256))) for w in wire.windows),
            custody=Custody(commitments, custodians),
            previous=None if wire.previous is None else ContentId(text(wire.previous)),
            minimum_firmware=MinimumFirmware.of(wire.minimum_firmware),
            signature=text(self.signature),
        )

"""Packages: an encrypted design with its signed manifest, published to a store and opened from one.

A package is three blobs in a store, each under its SHA-256: the windows "details" and "file", and the signed manifest
that names them. The manifest is put last, so that where it is, the rest was put before.
"""

from __future__ import annotations

import asyncio
import hmac
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from printright.domain.firmware import ANY_FIRMWARE, MinimumFirmware
from printright.domain.ids import ContentId, Digest
from printright.errors import BadValue, PackageRefused, WrongKey
from printright.vault.committee import Custodian
from printright.vault.custody import share_new_key
from printright.vault.details import MAX_DETAILS_BYTES, Details, FileDetails
from printright.vault.keys.ledger_key import LedgerKey
from printright.vault.manifest import (
    DETAILS,
    FILE,
    MAX_MANIFEST_BYTES,
    Binding,
    Manifest,
    Window,
    file_commitment,
)
from printright.vault.store import Store
from printright.vault.stream import Progress, StreamReader, encrypt, encrypt_file

GCODE = "text/x.gcode"


@dataclass(frozen=True)
class PublishedPackage:
    """A package in a store: `manifest_blob` is the digest under which the signed manifest can be had there.

    `details` has the salt of the file commitment: the rights holder keeps it to show later which file it published.
    """

    manifest: Manifest
    manifest_blob: Digest
    details: FileDetails

    @property
    def content_id(self) -> ContentId:
        return self.manifest.content_id


async def publish_package(
    source: Path,
    details: Details,
    *,
    owner_signer: LedgerKey,
    custodians: Sequence[Custodian],
    threshold: int,
    store: Store,
    parts_per_run: int = 1,
    media_type: str = GCODE,
    previous: ContentId | None = None,
    minimum_firmware: MinimumFirmware = ANY_FIRMWARE,
    created_s: int | None = None,
    progress: Progress | None = None,
) -> PublishedPackage:
    """Encrypt `source` under a new key, share the key among the custodians, sign, and put all into the store.

    The design key exists only in here; nobody but `threshold` custodians together can have it again. Ciphertext waits
    in a temporary folder until the store has it. The manifest blob is put last. Raises BadValue for a file, custodian
    or threshold that cannot be, WrongKey, StoreUnavailable and OSError.
    """
    salt = os.urandom(32)
    binding = Binding(os.urandom(32), owner_signer.address)
    design_key, custody = await asyncio.to_thread(share_new_key, binding, custodians, threshold)

    with tempfile.TemporaryDirectory(prefix="printright-") as folder:
        sealed_file = Path(folder) / FILE
        info = await asyncio.to_thread(
            encrypt_file,
            binding.window_key(design_key, FILE),
            source,
            sealed_file,
            binding.window_aad(FILE),
            progress=progress,
        )
        if info.plaintext_sha256 is None or info.plaintext_size == 0:
            raise BadValue(f"{source} is empty", hint="publish the file that shall be printed")
        facts = FileDetails(
            **asdict(details), salt=salt, file_sha256=info.plaintext_sha256, size_bytes=info.plaintext_size
        )
        sealed_details = encrypt(binding.window_key(design_key, DETAILS), facts.to_json(), binding.window_aad(DETAILS))
        details_digest = await store.put(sealed_details)
        file_digest = await store.put(sealed_file)
    if file_digest != info.sha256:
        raise PackageRefused("the ciphertext changed between encrypting and storing", hint="publish again")

    manifest = Manifest(
        package_id=binding.package_id,
        owner=owner_signer.address,
        file_commitment=file_commitment(salt, facts.file_sha256),
        parts_per_run=parts_per_run,
        media_type=media_type,
        created_s=int(time.time()) if created_s is None else created_s,
        key_check=binding.key_check(design_key),
        windows=(Window(DETAILS, len(sealed_details), details_digest), Window(FILE, info.size, file_digest)),
        custody=custody,
        previous=previous,
        minimum_firmware=minimum_firmware,
    ).signed(owner_signer)
    return PublishedPackage(manifest, await store.put(manifest.to_json()), facts)


async def fetch_manifest(manifest_blob: Digest, store: Store) -> Manifest:
    """The signed manifest under this digest, its signature checked. Raises PackageRefused, StoreUnavailable."""
    return Manifest.from_json(await store.read(manifest_blob, MAX_MANIFEST_BYTES))


async def open_package(manifest: Manifest, store: Store) -> Package:
    """Fetch a package's windows and check all that can be checked without its key.

    1. the owner's signature; 2. each window's digest, by the store; 3. each window's size. Raises PackageRefused
    where one does not hold, StoreUnavailable.
    """
    # 1. Whoever made this manifest, it is the owner's.
    manifest.verify()
    paths = {}
    for window in manifest.windows:
        # 2. The store hands out nothing but the digest's bytes.
        path = await store.get(window.sha256)
        # 3. The signed size is the ciphertext's.
        if path.stat().st_size != window.size:
            raise PackageRefused(f"window {window.name!r} has another size than the manifest says")
        paths[window.name] = path
    return Package(manifest, paths[DETAILS], paths[FILE])


class Package:
    """A checked package whose key is not known. Made by `open_package`."""

    def __init__(self, manifest: Manifest, details: Path, file: Path) -> None:
        self.manifest = manifest
        self._details, self._file = details, file

    @property
    def content_id(self) -> ContentId:
        return self.manifest.content_id

    def unlock(self, design_key: bytes) -> UnlockedPackage:
        """Open with the design key. Raises WrongKey for another key, PackageRefused for altered content."""
        manifest, binding = self.manifest, self.manifest.binding
        if not manifest.check_key(design_key):
            raise WrongKey("this is not the key of this package", hint="ask its custodians again")
        if manifest.window(DETAILS).size > MAX_DETAILS_BYTES:
            raise PackageRefused(f"the package's details have more than {MAX_DETAILS_BYTES} bytes")
        key = binding.window_key(design_key, DETAILS)
        with StreamReader(key, self._details.read_bytes(), binding.window_aad(DETAILS)) as window:
            details = FileDetails.from_json(b"".join(window))
        reader = StreamReader(binding.window_key(design_key, FILE), self._file, binding.window_aad(FILE))
        return UnlockedPackage(manifest, details, reader)


class UnlockedPackage:
    """A package whose plaintext can be read, in memory only. Close it, or use it in a `with` block."""

    def __init__(self, manifest: Manifest, details: FileDetails, reader: StreamReader) -> None:
        self.manifest = manifest
        self.details = details
        self._reader = reader
        self._verified = False

    @property
    def file(self) -> StreamReader:
        """The design file. Not handed out before `verify_file` passed, which this calls where nobody has."""
        self.verify_file()
        return self._reader

    def verify_file(self) -> None:
        """Check the whole file before its first byte is used. Blocking, about a second for each gigabyte; once only.

        1. every segment authenticates; 2. size and SHA-256 are those of the details; 3. with the salt they open the
        signed file commitment. Raises PackageRefused.
        """
        if self._verified:
            return
        # 1. and 2. The stream is the file that the details describe ...
        if self._reader.size != self.details.size_bytes or not hmac.compare_digest(
            self._reader.sha256(), self.details.file_sha256
        ):
            raise PackageRefused("the file is not the one that the package's details describe")
        # 3. ... and the details are the ones that the manifest, and so the ledger, commits to.
        if file_commitment(self.details.salt, self.details.file_sha256) != self.manifest.file_commitment:
            raise PackageRefused("the file is not the one that the manifest commits to")
        self._verified = True

    def close(self) -> None:
        self._reader.close()

    def __enter__(self) -> UnlockedPackage:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

"""The vault's part of a custody scene: keys that follow from names, and a signed manifest with its shared key."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping

from cryptography.hazmat.primitives.asymmetric import ec

from printright.domain.ids import Address, Digest
from printright.vault.committee import Custodian
from printright.vault.custody import share_new_key
from printright.vault.keys import LedgerKey, SoftwareLedgerKey, SoftwareUnsealingKey
from printright.vault.manifest import Binding, Manifest, Window, file_commitment


def ledger_key(name: str) -> SoftwareLedgerKey:
    """The ledger key of this name, the same in every process."""
    return SoftwareLedgerKey(hashlib.sha256(b"custody " + name.encode()).digest())


def unsealing_key(name: str) -> SoftwareUnsealingKey:
    """The unsealing key of this name, the same in every process."""
    secret = int.from_bytes(hashlib.sha256(b"unsealing " + name.encode()).digest(), "big") >> 1
    return SoftwareUnsealingKey(ec.derive_private_key(secret, ec.SECP256R1()))


def signed_manifest(owner: LedgerKey, custodians: Mapping[Address, bytes], threshold: int) -> tuple[Manifest, bytes]:
    """A manifest of a package by `owner`, its key shared among `custodians` (account and public unsealing key)."""
    binding = Binding(os.urandom(32), owner.address)
    keepers = [Custodian(address, key) for address, key in custodians.items()]
    design_key, custody = share_new_key(binding, keepers, threshold)
    manifest = Manifest(
        package_id=binding.package_id,
        owner=owner.address,
        file_commitment=file_commitment(os.urandom(32), os.urandom(32)),
        parts_per_run=1,
        media_type="text/x.gcode",
        created_s=int(time.time()),
        key_check=binding.key_check(design_key),
        windows=tuple(Window(name, 100, Digest(os.urandom(32))) for name in ("details", "file")),
        custody=custody,
    )
    return manifest.signed(owner), design_key

"""What ties a Secure Content 3MF to a design and a license: the keyuuid, and the data that each part authenticates.

    aad     = "printright-3mf/1\\0" || content (32) || license (32) || export (16) || clear (32) || deflated (1) || path
    keyuuid = UUIDv5(namespace, hex(content) || "/" || hex(license) || "/" || hex(export))

`deflated` is 1 or 0, `path` UTF-8 to the end. `content` and `license` are ids of the ledger (a license of zeros: none).
`export` is random, so that a keyuuid names one content key, as the standard wants. `clear` is the digest of everything
in the file that is not encrypted: the standard protects parts one by one, and would let anybody scale the build.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from uuid import UUID, uuid5

from printright.domain.ids import ContentId, Digest, LicenseId
from printright.errors import ModelRefused
from printright.vault.secure_content.keystore import KeyStore

LABEL = b"printright-3mf/1\0"
NO_LICENSE = LicenseId(bytes(32))
EXPORT_SIZE = 16
_NAMESPACE = UUID("3a9d3c7e-6f0b-5f3e-9d54-0f1f5a9f7c11")
_FIXED = len(LABEL) + 32 + 32 + EXPORT_SIZE + 32 + 1


@dataclass(frozen=True)
class Binding:
    """The design and license that one exported 3MF is for."""

    content: ContentId
    license: LicenseId
    export: bytes
    clear: Digest

    def key_uuid(self) -> UUID:
        return uuid5(_NAMESPACE, f"{self.content.hex()}/{self.license.hex()}/{self.export.hex()}")

    def aad(self, path: str, *, deflated: bool) -> bytes:
        """What the part at `path` authenticates."""
        head = (LABEL, self.content, self.license, self.export, self.clear, bytes([deflated]))
        return b"".join(head) + path.encode()

    @classmethod
    def of(cls, store: KeyStore, clear: Digest) -> Binding | None:
        """The binding that every part of the file has; None for a file that was not made by Printright.

        1. all parts are bound, or none; 2. to the same; 3. each to its own path and form; 4. to the clear parts that
        are here; 5. under the keyuuid that follows. Raises ModelRefused where one does not hold. Whether the parts
        authenticate it, only who has the key can tell.
        """
        resources = list(store.resources())
        ours = [resource for resource in resources if resource.aad.startswith(LABEL)]
        if not ours:
            return None
        # 1.
        if len(ours) != len(resources) or len(store.groups) != 1:
            raise ModelRefused("only some parts of the 3MF are bound to a design", hint="others were added")
        binding = cls._read(ours[0].aad)
        for resource in resources:
            # 2. and 3.
            if resource.aad != binding.aad(resource.path, deflated=resource.deflated):
                raise ModelRefused(f"{resource.path} is bound to something else than where it is")
        # 4.
        if binding.clear != clear:
            raise ModelRefused("parts of the 3MF that are not encrypted were altered")
        # 5.
        if store.groups[0].key_uuid != binding.key_uuid():
            raise ModelRefused("the keyuuid is not that of the design and license that the parts are bound to")
        return binding

    @classmethod
    def _read(cls, aad: bytes) -> Binding:
        if len(aad) <= _FIXED:
            raise ModelRefused("the 3MF's binding is cut off")
        at = len(LABEL)
        fields = []
        for size in (32, 32, EXPORT_SIZE, 32):
            fields.append(aad[at : at + size])
            at += size
        content, license_, export, clear = fields
        return cls(ContentId(content), LicenseId(license_), export, Digest(clear))


class ClearDigest:
    """SHA-256 over the parts that are not encrypted, each with its name, in the order of their names."""

    def __init__(self) -> None:
        self._parts: dict[str, bytes] = {}

    def add(self, name: str, sha256: bytes) -> None:
        self._parts[name] = sha256

    def digest(self) -> Digest:
        whole = hashlib.sha256()
        for name, sha256 in sorted(self._parts.items()):
            whole.update(len(name.encode()).to_bytes(2, "big") + name.encode() + sha256)
        return Digest(whole.digest())

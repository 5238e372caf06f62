"""Open a Secure Content 3MF with a consumer's RSA key: check all of it, then write the plain 3MF."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from printright.errors import ModelRefused, WrongKey
from printright.vault.secure_content import opc
from printright.vault.secure_content.binding import Binding, ClearDigest
from printright.vault.secure_content.cipher import authenticate, plain
from printright.vault.secure_content.inflate import Limits
from printright.vault.secure_content.keystore import MAX_KEYSTORE_BYTES, AccessRight, KeyStore, ResourceData
from printright.vault.secure_content.model import Edit, ModelScan, edited, without_secure_content
from printright.vault.secure_content.plain import PartsWriter, checked
from printright.vault.secure_content.wrapping import unwrap


class SecureFile:
    """A Secure Content 3MF whose form is checked, and whose content is not known.

    `binding` is the design and license that it says it is for, None for a file of another maker; only `unlock` proves
    it. Raises ModelRefused. The file stays the caller's, and must not change while this is used.
    """

    def __init__(self, file: BinaryIO, limits: Limits | None = None) -> None:
        self.package = package = opc.OpcPackage(file, limits)
        if package.keystore is None:
            raise ModelRefused("this 3MF is not encrypted: it has no key store")
        self.store = KeyStore.from_xml(package.container.read(package.keystore, MAX_KEYSTORE_BYTES))
        self.encrypted = {resource.path: resource for resource in self.store.resources()}
        self._check_paths()
        clear = ClearDigest()
        for name in package.container.parts:
            if name not in self.encrypted and name != package.keystore:
                digest = hashlib.sha256()
                for piece in checked(package, name, package.container.stream(name)):
                    digest.update(piece)
                clear.add(name, digest.digest())
        self.binding = Binding.of(self.store, clear.digest())

    def unlock(self, private: RSAPrivateKey, consumer_id: str | None = None) -> UnlockedFile:
        """Open all content keys and authenticate every encrypted part; nothing of it is read before.

        With a `consumer_id` only that consumer's access is tried, else all. Raises WrongKey, ModelRefused.
        """
        keys: dict[str, bytes] = {}
        for group in self.store.groups:
            key = self._open(group.rights, private, consumer_id)
            keys |= {resource.path: key for resource in group.resources}
        for name, resource in self.encrypted.items():
            authenticate(keys[name], resource, partial(self.package.container.stream, name))
        return UnlockedFile(self, keys)

    def _open(self, rights: tuple[AccessRight, ...], private: RSAPrivateKey, consumer_id: str | None) -> bytes:
        unknown: ModelRefused | None = None
        for right in rights:
            if consumer_id not in (None, self.store.consumers[right.consumer_index].consumer_id):
                continue
            try:
                return unwrap(right, private)
            except WrongKey:
                continue
            except ModelRefused as error:
                # Another consumer's scheme is no matter; it is one where nobody's opens.
                unknown = error
        if unknown is not None:
            raise unknown
        names = ", ".join(consumer.consumer_id for consumer in self.store.consumers)[:200] or "nobody"
        raise WrongKey("this RSA key does not open the 3MF", hint=f"it is for {names}")

    def _check_paths(self) -> None:
        """Every encrypted part is there, is named as encrypted by a relationship, and is none that must be in clear."""
        package = self.package
        named = {relation.target for relation in package.related(opc.ENCRYPTED)}
        forbidden = {package.root_model, package.keystore, opc.TYPES}
        if not self.encrypted:
            raise ModelRefused("the key store lists no encrypted part")
        for name in self.encrypted:
            if name not in package.container.parts:
                raise ModelRefused(f"the key store lists {name}, which is not there")
            if name in forbidden or name.lower().endswith(".rels"):
                raise ModelRefused(f"{name} must not be encrypted")
        if named != self.encrypted.keys():
            odd = sorted(named ^ self.encrypted.keys())[0]
            raise ModelRefused(f"{odd} is encrypted by the key store or by its relationship, but not by both")


@dataclass(frozen=True)
class UnlockedFile:
    """A Secure Content 3MF whose parts have authenticated."""

    file: SecureFile
    _keys: dict[str, bytes]

    def write_plain(self, target: BinaryIO) -> None:
        """Write the same 3MF without encryption. Raises ModelRefused; then what was written must be thrown away."""
        package, encrypted = self.file.package, self.file.encrypted
        with PartsWriter(target) as writer:
            kept = [name for name in package.container.parts if name not in (package.keystore, opc.TYPES)]
            parts = [name for name in kept if not name.endswith(".rels")]
            types = [(name, package.types.of(name) or "application/octet-stream") for name in parts]
            writer.add(opc.TYPES, [opc.types_xml(types)], deflate=True)
            sources = [""] + [name for name in parts if opc.rels_name(name) in package.container.parts]
            for source in sources:
                relations = [
                    (relation.type, relation.target)
                    for relation in package.relations
                    if relation.source == source
                    and relation.type != opc.ENCRYPTED
                    and relation.target != package.keystore
                ]
                if relations:
                    writer.add(opc.rels_name(source), [opc.rels_xml(relations)], deflate=True)
            for name in parts:
                if name in encrypted:
                    pieces = checked(package, name, self.part(encrypted[name]))
                elif name == package.root_model:
                    pieces = self._root()
                else:
                    pieces = package.container.stream(name)
                writer.add(name, pieces, deflate=True)

    def part(self, resource: ResourceData) -> Iterator[bytes]:
        """The plaintext of one encrypted part, in pieces."""
        container = self.file.package.container
        return plain(self._keys[resource.path], resource, partial(container.stream, resource.path), container.limits)

    def _root(self) -> Iterator[bytes]:
        package = self.file.package
        data = b"".join(package.container.stream(package.root_model))
        scan = ModelScan.of(package.root_model, [data])
        begin, end = scan.root_tag
        return edited([data], [Edit(begin, end, without_secure_content(data[begin:end], scan))])

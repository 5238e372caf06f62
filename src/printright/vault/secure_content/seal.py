"""Seal a plain 3MF for named consumers: 3MF Secure Content 1.0.3 under one content key, bound to design and license.

The standard leaves the root model and every relationship in clear. So the root is written anew, with nothing in it but
which object stands where; what it held becomes a part of its own, and every part is encrypted under a name that says
nothing. The package's thumbnail, print tickets and slicers' settings are left out.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import BinaryIO
from uuid import UUID, uuid4

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from printright.domain.ids import ContentId, LicenseId
from printright.errors import BadValue, ModelRefused
from printright.vault.secure_content import opc
from printright.vault.secure_content.binding import EXPORT_SIZE, NO_LICENSE, Binding, ClearDigest
from printright.vault.secure_content.cipher import encrypt
from printright.vault.secure_content.inflate import Limits
from printright.vault.secure_content.keystore import (
    IV_SIZE,
    MAX_CONSUMERS,
    Consumer,
    Group,
    KeyStore,
    ResourceData,
)
from printright.vault.secure_content.model import edited, root_model
from printright.vault.secure_content.plain import PartsWriter, Pieces, PlainFile, check_plain
from printright.vault.secure_content.wrapping import KEY_SIZE, checked_public, public_pem, wrap

ROOT = "3D/3dmodel.model"
KEYSTORE_PART = "Secure/keystore.xml"
_PRINT_TICKET = "http://schemas.microsoft.com/3dmanufacturing/2013/01/printticket"


@dataclass(frozen=True)
class Recipient:
    """A consumer and the public key that it can open with. `key_id` tells several keys of one consumer apart."""

    consumer_id: str
    public_key: RSAPublicKey
    key_id: str = ""

    def __post_init__(self) -> None:
        checked_public(self.public_key, f"the key of {self.consumer_id!r}")
        if not 0 < len(self.consumer_id) <= 256 or not (self.consumer_id + self.key_id).isprintable():
            raise BadValue("a consumer's id has 1 to 256 printable characters")


@dataclass(frozen=True)
class Sealed:
    """What `seal` made: the binding's ids, the encrypted parts, and the parts of the source that were left out."""

    key_uuid: UUID
    binding: Binding
    encrypted: tuple[str, ...]
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class _Planned:
    """One encrypted part of the file to be made."""

    name: str
    content_type: str
    pieces: Pieces
    relations: tuple[tuple[str, str], ...]


def seal(
    source: BinaryIO,
    target: BinaryIO,
    recipients: Sequence[Recipient],
    *,
    content: ContentId,
    license_id: LicenseId = NO_LICENSE,
    compress: bool = True,
    limits: Limits | None = None,
) -> Sealed:
    """Write the Secure Content form of `source` to `target`; both seekable, the latter empty.

    The content key exists only in here, and wrapped in the file. Raises ModelRefused for a source that is hostile or
    that cannot be sealed without leaving some of it in clear, BadValue for recipients that cannot be.
    """
    if not 1 <= len(recipients) <= MAX_CONSUMERS or len({r.consumer_id for r in recipients}) != len(recipients):
        raise BadValue("a sealed 3MF has one or more consumers, each once", hint=f"at most {MAX_CONSUMERS}")
    plain = check_plain(source, limits)
    package = plain.package
    root, planned = _plan(plain)
    with PartsWriter(target) as writer:
        clear = ClearDigest()

        def add_clear(name: str, data: bytes) -> None:
            clear.add(name, hashlib.sha256(data).digest())
            writer.add(name, [data], deflate=True)

        # Everything in clear comes first: its digest is part of what the encrypted parts authenticate.
        types = [(ROOT, opc.MODEL_TYPE), *((part.name, part.content_type) for part in planned)]
        add_clear(opc.TYPES, opc.types_xml([*types, (KEYSTORE_PART, opc.KEYSTORE_TYPE)]))
        store_relations = [(opc.KEYSTORE, KEYSTORE_PART), (opc.MUST_PRESERVE, KEYSTORE_PART)]
        add_clear(opc.ROOT_RELS, opc.rels_xml([(opc.START_PART, ROOT), *store_relations]))
        add_clear(ROOT, root)
        models = [part.name for part in planned if part.content_type == opc.MODEL_TYPE]
        add_clear(opc.rels_name(ROOT), opc.rels_xml(_with_encrypted((opc.START_PART, name) for name in models)))
        for part in planned:
            if part.relations:
                add_clear(opc.rels_name(part.name), opc.rels_xml(_with_encrypted(part.relations)))

        key, binding = os.urandom(KEY_SIZE), Binding(content, license_id, os.urandom(EXPORT_SIZE), clear.digest())
        resources = [_encrypt(writer, part, key, binding, compress=compress) for part in planned]
        rights = tuple(wrap(key, each.public_key, index) for index, each in enumerate(recipients))
        consumers = tuple(Consumer(r.consumer_id, r.key_id, public_pem(r.public_key)) for r in recipients)
        store = KeyStore(uuid4(), consumers, (Group(binding.key_uuid(), rights, tuple(resources)),))
        writer.add(KEYSTORE_PART, [store.to_xml()], deflate=True)
    kept = {package.root_model, *_carried(package)}
    plumbing = {opc.TYPES, *(name for name in package.container.parts if name.endswith(".rels"))}
    left_out = tuple(sorted(package.container.parts.keys() - kept - plumbing))
    return Sealed(binding.key_uuid(), binding, tuple(part.name for part in planned), left_out)


def _encrypt(writer: PartsWriter, part: _Planned, key: bytes, binding: Binding, *, compress: bool) -> ResourceData:
    # Random nonces under a key that is used for this file alone.
    iv, aad = os.urandom(IV_SIZE), binding.aad(part.name, deflated=compress)
    tags: list[bytes] = []
    writer.stream(
        part.name,
        lambda write: tags.append(encrypt(key, iv, aad, part.pieces, write, deflate=compress)),
        deflate=False,
    )
    return ResourceData(part.name, compress, iv, tags[0], aad)


def _plan(plain: PlainFile) -> tuple[bytes, list[_Planned]]:
    """The root model to write, and the parts to encrypt with their new names."""
    package = plain.package
    container, scan = package.container, plain.models[package.root_model]
    if not scan.items:
        raise ModelRefused(f"{package.root_model} builds nothing")
    if scan.refers_elsewhere and scan.own_content:
        raise ModelRefused(
            f"{package.root_model} has meshes or materials of its own beside those of other parts",
            hint="save it so that all are in one part, or all in others",
        )
    placed = [*scan.items, *(each for assembly in scan.assemblies for each in assembly.components)]
    used = {each.path.removeprefix("/") for each in placed if each.path is not None}
    moved = _names([] if scan.refers_elsewhere else [package.root_model], _carried(package), used)
    if not used <= moved.keys():
        raise ModelRefused(
            f"{package.root_model} uses {min(used - moved.keys())[:120]!r}, which it has no relationship to"
        )

    def pieces(name: str) -> Pieces:
        if name == package.root_model:
            return edited(container.stream(name), scan.without_build())
        if name in plain.models and plain.models[name].refers_elsewhere:
            raise ModelRefused(f"{name} refers to other models, which only the root may")
        return container.stream(name)

    planned = [
        _Planned(
            new,
            package.types.of(name) or "application/octet-stream",
            pieces(name),
            tuple(
                (r.type, moved[r.target])
                for r in package.relations
                if r.source == name and r.target in moved and (name, r.type) != (package.root_model, opc.START_PART)
            ),
        )
        for name, new in moved.items()
    ]
    return root_model(scan, moved, moved.get(package.root_model)), planned


def _names(own: list[str], carried: list[str], used: set[str]) -> dict[str, str]:
    """Each part's new name. Only the root names models by path; textures and slices are named from within models, and
    keep theirs."""
    kept = {name.casefold() for name in carried if name not in used}
    if kept & {ROOT.casefold(), KEYSTORE_PART.casefold()}:
        raise ModelRefused("a part of the 3MF has the name of the root model or of the key store")
    free = (f"3D/Objects/part_{n}.model" for n in count(1))
    free = (name for name in free if name.casefold() not in kept)
    return {name: name if name in carried and name not in used else next(free) for name in own + carried}


def _carried(package: opc.OpcPackage) -> list[str]:
    """The parts that the root model needs: whatever it and they have relationships to, but for print tickets."""
    found: list[str] = []
    todo = [package.root_model]
    while todo:
        source = todo.pop(0)
        targets = [r.target for r in package.relations if r.source == source and r.type != _PRINT_TICKET]
        new = [each for each in dict.fromkeys(targets) if each not in (package.root_model, *found)]
        found += new
        todo += new
    return found


def _with_encrypted(relations: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    kept = list(relations)
    return kept + [(opc.ENCRYPTED, target) for target in dict.fromkeys(target for _, target in kept)]

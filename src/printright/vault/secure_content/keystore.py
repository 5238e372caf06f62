"""The key store of a Secure Content 3MF: who may open it, with which wrapped keys, and how each part is encrypted.

Values and their XML (3MF Secure Content 1.0.3, chapter 2 and appendix B). What we read is narrower than the schema
where its latitude is a risk: a nonce has 96 bits and a tag 128, no path and no nonce of a key comes twice.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from uuid import UUID
from xml.etree.ElementTree import Element  # a data class only: nothing is parsed by ElementTree
from xml.sax.saxutils import escape, quoteattr

from printright.errors import ModelRefused
from printright.vault.secure_content.container import refuse_name
from printright.vault.secure_content.strict_xml import attributes_of, parse_small

NAMESPACE = "http://schemas.microsoft.com/3dmanufacturing/securecontent/2019/04"
_XENC = "http://www.w3.org/2001/04/xmlenc#"
AES256_GCM = "http://www.w3.org/2009/xmlenc11#aes256-gcm"
WHAT = "the key store"
MAX_KEYSTORE_BYTES = 4 << 20
MAX_CONSUMERS = 256
MAX_GROUPS = 256
IV_SIZE, TAG_SIZE = 12, 16
MAX_AAD_BYTES = 4096
_UUID = re.compile(r"[a-f0-9]{8}(-[a-f0-9]{4}){3}-[a-f0-9]{12}")


@dataclass(frozen=True)
class Consumer:
    """Who can open: its id, which of its keys is meant, that key's public half as PEM. The latter two may be empty."""

    consumer_id: str
    key_id: str = ""
    key_value: str = ""


@dataclass(frozen=True)
class AccessRight:
    """A group's key wrapped for the consumer at `consumer_index`; the algorithms as URIs, empty where not given."""

    consumer_index: int
    wrapping: str
    mgf: str
    digest: str
    wrapped: bytes = field(repr=False)


@dataclass(frozen=True)
class ResourceData:
    """How one part is encrypted. `path` is the part's name without the leading slash."""

    path: str
    deflated: bool
    iv: bytes
    tag: bytes
    aad: bytes


@dataclass(frozen=True)
class Group:
    """The parts under one content key, and who has it."""

    key_uuid: UUID
    rights: tuple[AccessRight, ...]
    resources: tuple[ResourceData, ...]


@dataclass(frozen=True)
class KeyStore:
    uuid: UUID
    consumers: tuple[Consumer, ...]
    groups: tuple[Group, ...]

    def __post_init__(self) -> None:
        ids = [consumer.consumer_id for consumer in self.consumers]
        if len(set(ids)) != len(ids):
            raise ModelRefused(f"{WHAT} names a consumer twice")
        if len({group.key_uuid for group in self.groups}) != len(self.groups):
            raise ModelRefused(f"{WHAT} uses a keyuuid twice")
        paths = [resource.path.casefold() for resource in self.resources()]
        if len(set(paths)) != len(paths):
            raise ModelRefused(f"{WHAT} lists a part twice")
        for group in self.groups:
            indexes = [right.consumer_index for right in group.rights]
            if any(index >= len(ids) for index in indexes) or len(set(indexes)) != len(indexes):
                raise ModelRefused(f"{WHAT} gives access to a consumer that is not there, or twice to one")
            if len({resource.iv for resource in group.resources}) != len(group.resources):
                raise ModelRefused(f"{WHAT} uses a nonce twice with one key", hint="AES-GCM then protects nothing")

    def resources(self) -> Iterator[ResourceData]:
        """Every encrypted part."""
        for group in self.groups:
            yield from group.resources

    def to_xml(self) -> bytes:
        lines = ['<?xml version="1.0" encoding="UTF-8"?>']
        lines.append(f'<keystore xmlns="{NAMESPACE}" xmlns:xenc="{_XENC}" UUID="{self.uuid}">')
        for consumer in self.consumers:
            key_id = f" keyid={quoteattr(consumer.key_id)}" if consumer.key_id else ""
            value = f"<keyvalue>{escape(consumer.key_value)}</keyvalue>" if consumer.key_value else ""
            lines.append(f"<consumer consumerid={quoteattr(consumer.consumer_id)}{key_id}>{value}</consumer>")
        for group in self.groups:
            lines.append(f'<resourcedatagroup keyuuid="{group.key_uuid}">')
            lines += [_right_xml(right) for right in group.rights]
            lines += [_resource_xml(resource) for resource in group.resources]
            lines.append("</resourcedatagroup>")
        lines.append("</keystore>\n")
        return "\n".join(lines).encode()

    @classmethod
    def from_xml(cls, data: bytes) -> KeyStore:
        """Raises ModelRefused for anything but a key store that we know how to read whole."""
        root = parse_small(WHAT, data, _name("keystore"))
        found = attributes_of(WHAT, root, ("UUID",))
        consumers: list[Consumer] = []
        groups: list[Group] = []
        for child in _children(root, ("consumer", "resourcedatagroup")):
            if child.tag == _name("consumer"):
                if groups:
                    raise ModelRefused(f"{WHAT} has a consumer behind the resources")
                consumers.append(_consumer(child))
            else:
                groups.append(_group(child))
        if len(consumers) > MAX_CONSUMERS or len(groups) > MAX_GROUPS:
            raise ModelRefused(f"{WHAT} has more than {MAX_CONSUMERS} consumers or {MAX_GROUPS} groups")
        return cls(_uuid(found["UUID"]), tuple(consumers), tuple(groups))


def _consumer(element: Element) -> Consumer:
    found = attributes_of(WHAT, element, ("consumerid",), ("keyid",))
    values = [child.text or "" for child in _children(element, ("keyvalue",))]
    if len(values) > 1 or not 0 < len(found["consumerid"]) <= 256:
        raise ModelRefused(f"{WHAT} has a consumer with two keys, or without an id")
    if not found["consumerid"].isprintable() or not found.get("keyid", "").isprintable():
        raise ModelRefused(f"{WHAT} has a consumer whose id cannot be shown: {found['consumerid'][:80]!r}")
    return Consumer(found["consumerid"], found.get("keyid", ""), values[0] if values else "")


def _group(element: Element) -> Group:
    found = attributes_of(WHAT, element, ("keyuuid",))
    rights: list[AccessRight] = []
    resources: list[ResourceData] = []
    for child in _children(element, ("accessright", "resourcedata")):
        if child.tag == _name("accessright"):
            rights.append(_right(child))
        else:
            resources.append(_resource(child))
    return Group(_uuid(found["keyuuid"]), tuple(rights), tuple(resources))


def _right(element: Element) -> AccessRight:
    index = attributes_of(WHAT, element, ("consumerindex",))["consumerindex"]
    if not index.isascii() or not index.isdigit() or len(index) > 10:
        raise ModelRefused(f"{WHAT} has a consumerindex that is no number")
    params, data = _exactly(element, ("kekparams", "cipherdata"))
    found = attributes_of(WHAT, params, ("wrappingalgorithm",), ("mgfalgorithm", "digestmethod"))
    attributes_of(WHAT, data, ())
    values = [child for child in data if child.tag == f"{{{_XENC}}}CipherValue"]
    if len(values) != 1 or len(data) != 1:
        raise ModelRefused(f"{WHAT} has an access right without exactly one xenc:CipherValue")
    return AccessRight(
        int(index),
        found["wrappingalgorithm"],
        found.get("mgfalgorithm", ""),
        found.get("digestmethod", ""),
        _binary(values[0], 2048),
    )


def _resource(element: Element) -> ResourceData:
    path = attributes_of(WHAT, element, ("path",))["path"]
    if not path.startswith("/"):
        raise ModelRefused(f"{WHAT} has a path that does not begin with a slash: {path[:80]!r}")
    refuse_name(path[1:])
    (params,) = _exactly(element, ("cekparams",))
    found = attributes_of(WHAT, params, ("encryptionalgorithm",), ("compression",))
    if found["encryptionalgorithm"] != AES256_GCM:
        raise ModelRefused(f"{path} is encrypted by another algorithm than AES-256-GCM")
    if found.get("compression", "none") not in ("none", "deflate"):
        raise ModelRefused(f"{path} is compressed by another method than deflate")
    values: dict[str, bytes] = {}
    for child in _children(params, ("iv", "tag", "aad")):
        local = child.tag.rpartition("}")[2]
        if local in values:
            raise ModelRefused(f"{path} has two values of <{local}>")
        values[local] = _binary(child, MAX_AAD_BYTES)
    iv, tag = values.get("iv", b""), values.get("tag", b"")
    if len(iv) != IV_SIZE or len(tag) != TAG_SIZE:
        raise ModelRefused(f"{path} has no nonce of {8 * IV_SIZE} bits and tag of {8 * TAG_SIZE} bits")
    return ResourceData(path[1:], found.get("compression") == "deflate", iv, tag, values.get("aad", b""))


def _right_xml(right: AccessRight) -> str:
    algorithms = {"wrappingalgorithm": right.wrapping, "mgfalgorithm": right.mgf, "digestmethod": right.digest}
    said = "".join(f" {name}={quoteattr(uri)}" for name, uri in algorithms.items() if uri)
    return (
        f'<accessright consumerindex="{right.consumer_index}"><kekparams{said}/>'
        f"<cipherdata><xenc:CipherValue>{_base64(right.wrapped)}</xenc:CipherValue></cipherdata></accessright>"
    )


def _resource_xml(resource: ResourceData) -> str:
    compression = "deflate" if resource.deflated else "none"
    aad = f"<aad>{_base64(resource.aad)}</aad>" if resource.aad else ""
    return (
        f"<resourcedata path={quoteattr('/' + resource.path)}>"
        f'<cekparams encryptionalgorithm="{AES256_GCM}" compression="{compression}">'
        f"<iv>{_base64(resource.iv)}</iv><tag>{_base64(resource.tag)}</tag>{aad}</cekparams></resourcedata>"
    )


def _children(element: Element, known: tuple[str, ...]) -> Iterator[Element]:
    """The children of our namespace, which must be known; the schema lets others' stand beside them."""
    for child in element:
        namespace, _, local = child.tag.rpartition("}")
        if namespace == "{" + NAMESPACE and local in known:
            yield child
        elif namespace in ("", "{" + NAMESPACE, "{" + _XENC):
            raise ModelRefused(
                f"{WHAT} has an element that we do not know, or in a wrong namespace: {child.tag[:120]!r}"
            )


def _exactly(element: Element, known: tuple[str, ...]) -> list[Element]:
    found = list(_children(element, known))
    if [child.tag for child in found] != [_name(name) for name in known]:
        raise ModelRefused(f"{WHAT}: <{element.tag.rpartition('}')[2]}> does not hold exactly {' and '.join(known)}")
    return found


def _binary(element: Element, max_bytes: int) -> bytes:
    if len(element):
        raise ModelRefused(f"{WHAT} has elements where base64 belongs")
    try:
        data = base64.b64decode("".join((element.text or "").split()).encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise ModelRefused(f"{WHAT} has a value that is no base64") from None
    if len(data) > max_bytes:
        raise ModelRefused(f"{WHAT} has a value of more than {max_bytes} bytes")
    return data


def _uuid(text: str) -> UUID:
    if not _UUID.fullmatch(text):
        raise ModelRefused(f"{WHAT} has an id that is no lower-case UUID: {text[:60]!r}")
    return UUID(text)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _name(local: str) -> str:
    return f"{{{NAMESPACE}}}{local}"

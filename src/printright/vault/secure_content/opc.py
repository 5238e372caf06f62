"""The package conventions of a 3MF (OPC, ECMA-376 Part 2): content types, relationships, and where they lead."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO
from xml.sax.saxutils import quoteattr

from printright.errors import ModelRefused
from printright.vault.secure_content.container import Container, refuse_name
from printright.vault.secure_content.inflate import Limits
from printright.vault.secure_content.strict_xml import attributes_of, parse_small

TYPES = "[Content_Types].xml"
ROOT_RELS = "_rels/.rels"
RELS_TYPE = "application/vnd.openxmlformats-package.relationships+xml"
MODEL_TYPE = "application/vnd.ms-package.3dmanufacturing-3dmodel+xml"
KEYSTORE_TYPE = "application/vnd.ms-package.3dmanufacturing-keystore+xml"
START_PART = "http://schemas.microsoft.com/3dmanufacturing/2013/01/3dmodel"
KEYSTORE = "http://schemas.microsoft.com/3dmanufacturing/2019/04/keystore"
ENCRYPTED = "http://schemas.openxmlformats.org/package/2006/relationships/encryptedfile"
MUST_PRESERVE = "http://schemas.openxmlformats.org/package/2006/relationships/mustpreserve"
THUMBNAIL = "http://schemas.openxmlformats.org/package/2006/relationships/metadata/thumbnail"
_TYPES_NS = "http://schemas.openxmlformats.org/package/2006/content-types"
_RELS_NS = "http://schemas.openxmlformats.org/package/2006/relationships"
_MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class Relation:
    """One relationship: from a part ("" for the package) to a part, by names without the leading slash."""

    source: str
    type: str
    target: str


class ContentTypes:
    """What kind each part is of: by its name, else by its extension."""

    def __init__(self, defaults: dict[str, str], overrides: dict[str, str]) -> None:
        self.defaults, self.overrides = defaults, overrides

    def of(self, name: str) -> str | None:
        extension = name.rpartition("/")[2].rpartition(".")[2]
        return self.overrides.get(name.casefold()) or self.defaults.get(extension.casefold())

    @classmethod
    def from_xml(cls, data: bytes) -> ContentTypes:
        defaults: dict[str, str] = {}
        overrides: dict[str, str] = {}
        for element in parse_small(TYPES, data, f"{{{_TYPES_NS}}}Types"):
            if element.tag == f"{{{_TYPES_NS}}}Default":
                found = attributes_of(TYPES, element, ("Extension", "ContentType"))
                table, key = defaults, found["Extension"].casefold()
            elif element.tag == f"{{{_TYPES_NS}}}Override":
                found = attributes_of(TYPES, element, ("PartName", "ContentType"))
                table, key = overrides, found["PartName"].removeprefix("/").casefold()
            else:
                raise ModelRefused(f"{TYPES} has an element that we do not know: {element.tag[:120]!r}")
            if key in table:
                raise ModelRefused(f"{TYPES} says twice what {key[:80]!r} is")
            table[key] = found["ContentType"]
        return cls(defaults, overrides)


class OpcPackage:
    """A 3MF opened: its container, content types and all relationships, checked. Raises ModelRefused."""

    def __init__(self, file: BinaryIO, limits: Limits | None = None) -> None:
        self.container = Container(file, limits)
        for needed in (TYPES, ROOT_RELS):
            if needed not in self.container.parts:
                raise ModelRefused(f"this is no 3MF: it has no {needed}")
        self.types = ContentTypes.from_xml(self.container.read(TYPES, _MAX_BYTES))
        self.relations = tuple(self._all_relations())
        self.root_model = self._one(START_PART, "model", MODEL_TYPE)
        stores = [r for r in self.relations if r.type == KEYSTORE]
        self.keystore = self._one(KEYSTORE, "key store", KEYSTORE_TYPE) if stores else None

    def related(self, type_: str, source: str | None = None) -> list[Relation]:
        return [r for r in self.relations if r.type == type_ and source in (None, r.source)]

    def _one(self, type_: str, what: str, content_type: str) -> str:
        targets = {relation.target for relation in self.related(type_, "")}
        if len(targets) != 1:
            raise ModelRefused(f"the 3MF names {len(targets)} parts as its {what}, not one")
        target = targets.pop()
        if self.types.of(target) != content_type:
            raise ModelRefused(f"{target} is named as the {what}, but its content type is another")
        return target

    def _all_relations(self) -> Iterator[Relation]:
        for name in self.container.parts:
            source = _source_of(name)
            if source is None:
                continue
            if source and source not in self.container.parts:
                raise ModelRefused(f"{name} has the relationships of a part that is not there")
            yield from self._relations(name, source)

    def _relations(self, name: str, source: str) -> Iterator[Relation]:
        ids: set[str] = set()
        root = parse_small(name, self.container.read(name, _MAX_BYTES), f"{{{_RELS_NS}}}Relationships")
        for element in root:
            if element.tag != f"{{{_RELS_NS}}}Relationship":
                raise ModelRefused(f"{name} has an element that we do not know: {element.tag[:120]!r}")
            found = attributes_of(name, element, ("Id", "Type", "Target"), ("TargetMode",))
            if found["Id"] in ids:
                raise ModelRefused(f"{name} has two relationships with the id {found['Id'][:80]!r}")
            ids.add(found["Id"])
            if found.get("TargetMode", "Internal") != "Internal":
                raise ModelRefused(f"{name} leads out of the 3MF: {found['Target'][:120]!r}")
            target = resolve(source, found["Target"])
            if found["Type"] == THUMBNAIL and target not in self.container.parts:
                continue  # PrusaSlicer promises one also where it drew none
            if target not in self.container.parts or _source_of(target) is not None:
                raise ModelRefused(f"{name} leads to a part that is not there: {target[:120]!r}")
            yield Relation(source, found["Type"], target)


def resolve(source: str, target: str) -> str:
    """The part that a target in `source`'s relationships means. Raises ModelRefused for what is no part's name."""
    if "//" in target or set(target) & set("?#:\\"):
        raise ModelRefused(f"a relationship leads out of the 3MF: {target[:120]!r}")
    folder = "" if target.startswith("/") else posixpath.dirname(source)
    steps: list[str] = [step for step in folder.split("/") if step]
    for step in target.removeprefix("/").split("/"):
        if step == "..":
            if not steps:
                raise ModelRefused(f"a relationship leads out of the 3MF: {target[:120]!r}")
            steps.pop()
        elif step != ".":
            steps.append(step)
    name = "/".join(steps)
    refuse_name(name)
    return name


def rels_name(source: str) -> str:
    """Where the relationships of a part are."""
    folder, base = posixpath.split(source)
    return posixpath.join(folder, "_rels", f"{base}.rels")


def _source_of(name: str) -> str | None:
    """The part whose relationships these are; "" for the package's, None where the part holds no relationships."""
    folder, base = posixpath.split(name)
    outer, last = posixpath.split(folder)
    if not name.lower().endswith(".rels") or last.lower() != "_rels":
        return None
    if last != "_rels" or not name.endswith(".rels"):
        raise ModelRefused(f"{name} differs from the name of relationships by case")
    return posixpath.join(outer, base[: -len(".rels")])


def rels_xml(relations: Iterable[tuple[str, str]]) -> bytes:
    """A relationships part of (type, target part) pairs."""
    rows = "".join(
        f"<Relationship Id={quoteattr(f'rel{n}')} Type={quoteattr(type_)} Target={quoteattr('/' + target)}/>"
        for n, (type_, target) in enumerate(relations)
    )
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<Relationships xmlns="{_RELS_NS}">{rows}</Relationships>'.encode()


def types_xml(overrides: Iterable[tuple[str, str]]) -> bytes:
    """A content types part: relationships by extension, each other part by name."""
    rows = "".join(
        f"<Override PartName={quoteattr('/' + name)} ContentType={quoteattr(type_)}/>" for name, type_ in overrides
    )
    head = f'<?xml version="1.0" encoding="UTF-8"?>\n<Types xmlns="{_TYPES_NS}">'
    return f'{head}<Default Extension="rels" ContentType="{RELS_TYPE}"/>{rows}</Types>'.encode()

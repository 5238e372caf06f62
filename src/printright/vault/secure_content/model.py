"""The model parts of a 3MF as far as we must understand them: where the build is, and what the root refers to.

Meshes are never read into memory nor written anew: a model part is scanned once, and rewritten while it streams by
replacing ranges of its bytes.

Sources: 3MF Core Specification 1.3; 3MF Production Extension 1.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from uuid import uuid4
from xml.sax.saxutils import quoteattr

from printright.errors import ModelRefused
from printright.vault.secure_content.keystore import NAMESPACE as SECURE_CONTENT
from printright.vault.secure_content.strict_xml import XmlReader

CORE = "http://schemas.microsoft.com/3dmanufacturing/core/2015/02"
PRODUCTION = "http://schemas.microsoft.com/3dmanufacturing/production/2015/06"
_LANG = "{http://www.w3.org/XML/1998/namespace}lang"
_PATH, _UUID = f"{{{PRODUCTION}}}path", f"{{{PRODUCTION}}}UUID"
_UNITS = ("micron", "millimeter", "centimeter", "inch", "foot", "meter")
_MAX_ITEMS = 10_000
_REQUIRED = re.compile(rb"""(\srequiredextensions\s*=\s*)("[^"]*"|'[^']*')""")


@dataclass(frozen=True)
class Placed:
    """A build item or a component: which object, from which part (None: the same), where."""

    object_id: str
    path: str | None
    transform: str


@dataclass
class Assembly:
    """An object of the root model that only puts others together."""

    object_id: str
    type: str
    components: list[Placed] = field(default_factory=list)


@dataclass(frozen=True)
class Edit:
    """Bytes from `begin` up to `end` become `text`."""

    begin: int
    end: int
    text: bytes


class ModelScan:
    """One pass over a model part, fed piece by piece. Raises ModelRefused for what is no model."""

    def __init__(self, what: str) -> None:
        self._what = what
        self.unit, self.language = "millimeter", "en-US"
        self.required: dict[str, str] = {}
        """Required extensions: prefix to namespace."""
        self.items: list[Placed] = []
        self.assemblies: list[Assembly] = []
        self.own_content = False
        """Whether its resources are more than assemblies of other parts' objects."""
        self.root_tag: tuple[int, int] = (0, 0)
        self.build: tuple[int, int] | None = None
        self._untagged: list[int] = []
        """Where a production UUID is missing: behind the names of objects and components."""
        self._path: list[str] = []
        self._begun, self._build_prefix = 0, ""
        self._reader = XmlReader(what, self._start, self._end)

    @classmethod
    def of(cls, what: str, pieces: Iterable[bytes]) -> ModelScan:
        """The scan of a whole part."""
        scan = cls(what)
        for piece in pieces:
            scan.feed(piece)
        scan.close()
        return scan

    def feed(self, piece: bytes) -> None:
        self._reader.feed(piece)

    def close(self) -> None:
        """The part is over. Raises ModelRefused where it was cut off or has no build."""
        self._reader.close()
        if self.build is None:
            raise ModelRefused(f"{self._what} has no build")

    @property
    def refers_elsewhere(self) -> bool:
        placed = [*self.items, *(c for assembly in self.assemblies for c in assembly.components)]
        return any(each.path is not None for each in placed)

    def without_build(self) -> list[Edit]:
        """The edits that make a root model a part of another: no build, and an identity for every object."""
        assert self.build is not None
        space = f' xmlns:p="{PRODUCTION}" p:UUID='.encode()
        tags = [Edit(at, at, space + b'"%s"' % str(uuid4()).encode()) for at in self._untagged]
        name = f"{self._build_prefix}:build" if self._build_prefix else "build"
        return sorted([*tags, Edit(*self.build, f"<{name}/>".encode())], key=lambda edit: edit.begin)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        reader, depth = self._reader, len(self._path)
        self._path.append(name)
        if depth == 0:
            self._model(name, attributes)
        elif depth == 1 and name == f"{{{CORE}}}build":
            if self.build is not None:
                raise ModelRefused(f"{self._what} has two builds")
            self._begun, self._build_prefix = reader.at, reader.prefix
        elif depth == 2 and self._path[1] == f"{{{CORE}}}build" and name == f"{{{CORE}}}item":
            self.items.append(self._placed(attributes))
        elif depth == 2 and self._path[1] == f"{{{CORE}}}resources":
            if name == f"{{{CORE}}}object" and not {"pid", "pindex"} & attributes.keys():
                self.assemblies.append(Assembly(_id(self._what, attributes, "id"), attributes.get("type", "model")))
            else:
                self.own_content = True
        elif depth == 3 and name not in (f"{{{CORE}}}components", f"{{{CORE}}}metadatagroup"):
            self.own_content = self.own_content or self._path[1] == f"{{{CORE}}}resources"
        elif depth == 4 and name == f"{{{CORE}}}component" and self.assemblies:
            self.assemblies[-1].components.append(self._placed(attributes))
        if name == f"{{{CORE}}}mesh":
            reader.skip_inside()
        if name in (f"{{{CORE}}}object", f"{{{CORE}}}component") and _UUID not in attributes:
            qualified = len(name) - len(f"{{{CORE}}}") + (len(reader.prefix) + 1 if reader.prefix else 0)
            self._untagged.append(reader.at + 1 + qualified)

    def _end(self, name: str) -> None:
        self._path.pop()
        if name == f"{{{CORE}}}build" and len(self._path) == 1:
            self._reader.when_ended(self._build_ended)

    def _build_ended(self, at: int) -> None:
        self.build = (self._begun, at)

    def _model(self, name: str, attributes: dict[str, str]) -> None:
        if name != f"{{{CORE}}}model":
            raise ModelRefused(f"{self._what} is no 3MF model: it begins with {name[:120]!r}")
        self.unit = attributes.get("unit", self.unit)
        self.language = attributes.get(_LANG, self.language)
        if self.unit not in _UNITS:
            raise ModelRefused(f"{self._what} has a unit that we do not know: {self.unit[:40]!r}")
        for prefix in attributes.get("requiredextensions", "").split():
            if prefix not in self._reader.prefixes:
                raise ModelRefused(f"{self._what} requires an extension {prefix[:40]!r} that it does not declare")
            self.required[prefix] = self._reader.prefixes[prefix]
        begin = self._reader.at
        self._reader.when_ended(lambda end: setattr(self, "root_tag", (begin, end)))

    def _placed(self, attributes: dict[str, str]) -> Placed:
        if len(self.items) > _MAX_ITEMS or sum(len(a.components) for a in self.assemblies[-1:]) > _MAX_ITEMS:
            raise ModelRefused(f"{self._what} has more than {_MAX_ITEMS} items or components")
        path = attributes.get(_PATH)
        return Placed(_id(self._what, attributes, "objectid"), path, attributes.get("transform", ""))


def root_model(scan: ModelScan, moved: dict[str, str], content: str | None) -> bytes:
    """A root model that tells no more than which objects of which parts stand where.

    `moved` says where each part that it refers to now is; `content` is the part that its own resources went to.
    No names, metadata, part numbers or thumbnails: everything in the root model is in clear.
    """
    extensions = {uri: prefix for prefix, uri in scan.required.items()} if content else {}
    namespaces = {PRODUCTION: "p", SECURE_CONTENT: "sc"}
    for uri in extensions:
        namespaces.setdefault(uri, f"e{len(namespaces)}")
    declared = "".join(f" xmlns:{prefix}={quoteattr(uri)}" for uri, prefix in namespaces.items())
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<model unit="{scan.unit}" xml:lang={quoteattr(scan.language)} xmlns="{CORE}"{declared}'
        f' requiredextensions="{" ".join(namespaces.values())}">',
        "<resources>",
    ]
    for assembly in [] if content else scan.assemblies:
        lines.append(f'<object id={quoteattr(assembly.object_id)} type={quoteattr(assembly.type)} p:UUID="{uuid4()}">')
        lines.append("<components>")
        lines += [_placed_xml("component", each, moved, None) for each in assembly.components]
        lines.append("</components></object>")
    lines.append(f'</resources>\n<build p:UUID="{uuid4()}">')
    lines += [_placed_xml("item", item, moved, content) for item in scan.items]
    lines.append("</build>\n</model>\n")
    return "\n".join(lines).encode()


def edited(pieces: Iterable[bytes], edits: list[Edit]) -> Iterator[bytes]:
    """The stream with its ranges replaced; the edits are sorted and do not overlap."""
    at, pending = 0, list(edits)
    for piece in pieces:
        begin = 0
        while pending and pending[0].begin < at + len(piece):
            edit = pending[0]
            if edit.begin >= at + begin:
                yield piece[begin : edit.begin - at]
                yield edit.text
            if edit.end > at + len(piece):
                # The range goes on in the next piece, which must not write the text again.
                pending[0] = Edit(-1, edit.end, b"")
                begin = len(piece)
                break
            begin = max(begin, edit.end - at)
            pending.pop(0)
        yield piece[begin:]
        at += len(piece)
    for edit in pending:
        yield edit.text


def without_secure_content(tag: bytes, scan: ModelScan) -> bytes:
    """A <model> tag that no longer requires the Secure Content extension."""
    keep = " ".join(prefix for prefix, uri in scan.required.items() if uri != SECURE_CONTENT).encode()
    return _REQUIRED.sub(lambda found: found[1] + b'"' + keep + b'"' if keep else b"", tag, count=1)


def _placed_xml(element: str, placed: Placed, moved: dict[str, str], content: str | None) -> str:
    part = content if placed.path is None else moved[placed.path.removeprefix("/")]
    path = f" p:path={quoteattr('/' + part)}" if part else ""
    transform = f" transform={quoteattr(placed.transform)}" if placed.transform else ""
    return f'<{element} objectid={quoteattr(placed.object_id)}{path}{transform} p:UUID="{uuid4()}"/>'


def _id(what: str, attributes: dict[str, str], name: str) -> str:
    value = attributes.get(name, "")
    if not value.isascii() or not value.isdigit() or len(value) > 10:
        raise ModelRefused(f"{what} has an object without a number: {value[:40]!r}")
    return value

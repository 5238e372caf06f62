"""XML as a 3MF may have it: UTF-8, no document type, no entities of its own, no processing instructions, bounded.

expat checks well-formedness, doubled attributes and namespaces included. Names come as `{namespace}local`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from xml.etree.ElementTree import Element, TreeBuilder  # data classes only: nothing is parsed by ElementTree
from xml.parsers import expat

from printright.errors import ModelRefused

MAX_DEPTH = 64
MAX_ATTRIBUTES = 64
MAX_TOKEN_BYTES = 1 << 20
_SEPARATOR = "\f"
Start = Callable[[str, dict[str, str]], None]
End = Callable[[str], None]
Text = Callable[[str], None]


class XmlReader:
    """Feeds one document to handlers piece by piece. `what` names it in messages; raises ModelRefused.

    `at` is the byte offset of the tag whose handler is running: its `<`; `prefix` is its prefix.
    """

    def __init__(self, what: str, start: Start, end: End | None = None, text: Text | None = None) -> None:
        self._what, self._start, self._end = what, start, end
        self._depth = self._fed = self._skipped_from = 0
        self._names: dict[str, str] = {}
        self._ended_before: Callable[[int], None] | None = None
        self.prefix = ""
        self.prefixes: dict[str, str] = {}
        """Prefix to namespace, as the root element declares them."""
        # A character that no XML document can have in it.
        parser = self._parser = expat.ParserCreate(namespace_separator=_SEPARATOR)
        parser.namespace_prefixes = True
        parser.XmlDeclHandler = self._declared
        parser.StartDoctypeDeclHandler = self._doctype
        parser.EntityDeclHandler = self._doctype
        parser.ExternalEntityRefHandler = self._doctype
        parser.ProcessingInstructionHandler = self._instruction
        parser.StartNamespaceDeclHandler = self._prefix
        parser.StartElementHandler = self._started
        parser.EndElementHandler = self._ended
        self._text = text
        if text is not None:
            parser.buffer_text = True
            parser.CharacterDataHandler = text

    @property
    def at(self) -> int:
        return self._parser.CurrentByteIndex

    def when_ended(self, call: Callable[[int], None]) -> None:
        """From a handler: call with the offset right behind the tag that is being handled. Not where text is read."""
        self._ended_before = call
        self._parser.CharacterDataHandler = self._parser.CommentHandler = self._next_token

    def skip_inside(self) -> None:
        """From a start handler: hand on nothing of what is inside this element, only check it. For meshes."""
        self._skipped_from = self._depth
        self._parser.ordered_attributes = True
        self._parser.StartElementHandler, self._parser.EndElementHandler = self._skip_start, self._skip_end

    def _skip_start(self, name: str, attributes: list[str]) -> None:
        del name
        self._depth += 1
        if self._depth > MAX_DEPTH or len(attributes) > 2 * MAX_ATTRIBUTES:
            raise ModelRefused(f"{self._what} is nested too deep, or has an element of too many attributes")

    def _skip_end(self, name: str) -> None:
        if self._depth == self._skipped_from:
            self._parser.ordered_attributes = False
            self._parser.StartElementHandler, self._parser.EndElementHandler = self._started, self._ended
            self._ended(name)
        else:
            self._depth -= 1

    def _next_token(self, *_: object) -> None:
        call, self._ended_before = self._ended_before, None
        self._parser.CharacterDataHandler = self._text
        self._parser.CommentHandler = None
        if call is not None:
            call(self.at)

    def feed(self, data: bytes) -> None:
        if not self._fed and data[:2] in (b"\xfe\xff", b"\xff\xfe", b"\0<", b"<\0", b"\0\0"):
            raise ModelRefused(f"{self._what} is not in UTF-8")
        self._fed += len(data)
        self._parse(data, final=False)
        # A token that never ends would be kept in memory until it does.
        if self._fed - max(self._parser.CurrentByteIndex, 0) > MAX_TOKEN_BYTES:
            raise ModelRefused(f"{self._what} has a name, value or comment of more than {MAX_TOKEN_BYTES} bytes")

    def close(self) -> None:
        self._parse(b"", final=True)

    def _parse(self, data: bytes, *, final: bool) -> None:
        try:
            self._parser.Parse(data, final)
        except expat.ExpatError as error:
            raise ModelRefused(f"{self._what} is not well-formed XML: {expat.ErrorString(error.code)}") from None
        except (UnicodeDecodeError, ValueError, LookupError) as error:
            raise ModelRefused(f"{self._what} is not in UTF-8: {type(error).__name__}") from None

    def _declared(self, version: str, encoding: str | None, standalone: int) -> None:
        del standalone
        if version != "1.0" or (encoding is not None and encoding.lower() not in ("utf-8", "utf8")):
            raise ModelRefused(f"{self._what} is not XML 1.0 in UTF-8")

    def _doctype(self, *_: object) -> int:
        raise ModelRefused(f"{self._what} has a document type or entities", hint="a 3MF has none; they are an attack")

    def _instruction(self, *_: object) -> None:
        raise ModelRefused(f"{self._what} has a processing instruction")

    def _prefix(self, prefix: str | None, namespace: str | None) -> None:
        if self._depth == 0:
            self.prefixes[prefix or ""] = namespace or ""

    def _started(self, name: str, attributes: dict[str, str]) -> None:
        if self._ended_before:
            self._next_token()
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ModelRefused(f"{self._what} is nested more than {MAX_DEPTH} deep")
        if len(attributes) > MAX_ATTRIBUTES:
            raise ModelRefused(f"{self._what} has an element of more than {MAX_ATTRIBUTES} attributes")
        self.prefix = name.rpartition(_SEPARATOR)[2] if name.count(_SEPARATOR) == 2 else ""
        braced = self._names.get(name) or self._braced(name)
        if attributes and _SEPARATOR in "".join(attributes):
            attributes = {self._braced(key): value for key, value in attributes.items()}
        self._start(braced, attributes)

    def _ended(self, name: str) -> None:
        if self._ended_before:
            self._next_token()
        self._depth -= 1
        if self._end is not None:
            self._end(self._names.get(name) or self._braced(name))

    def _braced(self, name: str) -> str:
        namespace, _, rest = name.partition(_SEPARATOR)
        braced = f"{{{namespace}}}{rest.partition(_SEPARATOR)[0]}" if rest else name
        if len(self._names) < 1000:
            self._names[name] = braced
        return braced


def parse_small(what: str, data: bytes, root: str | None, max_elements: int = 100_000) -> Element:
    """A whole small document as a tree, whose root must be `root` if one is named. Raises ModelRefused."""
    tree, count = TreeBuilder(), 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal count
        count += 1
        if count == 1 and root is not None and name != root:
            raise ModelRefused(f"{what} begins with {name[:120]!r}, not {root}")
        if count > max_elements:
            raise ModelRefused(f"{what} has more than {max_elements} elements")
        tree.start(name, attributes)

    reader = XmlReader(what, start, tree.end, tree.data)  # type: ignore[arg-type]
    reader.feed(data)
    reader.close()
    return tree.close()


def check_well_formed(what: str, pieces: Iterable[bytes]) -> None:
    """Read a document to its end for its form alone. Raises ModelRefused."""
    reader = XmlReader(what, lambda *_: None)
    for piece in pieces:
        reader.feed(piece)
    reader.close()


def attributes_of(
    what: str, element: Element, required: Iterable[str], optional: Iterable[str] = ()
) -> Mapping[str, str]:
    """The element's own attributes, all that are required and none that is not known. Others' namespaces are left out.

    Raises ModelRefused.
    """
    own = {key: value for key, value in element.attrib.items() if not key.startswith("{")}
    local = element.tag.rpartition("}")[2]
    missing, unknown = set(required) - own.keys(), own.keys() - {*required, *optional}
    if missing or unknown:
        names = ", ".join(sorted(missing or unknown))[:80]
        raise ModelRefused(f"{what}: <{local}> {'lacks' if missing else 'has'} {names!r}")
    return own

"""URIs of keys in tokens: RFC 7512, read strictly.

Known attributes, each at most once: `token`, `serial`, `manufacturer`, `model`, `slot-id`, `object`, `id` and `type`
before the question mark; `module-path` or `module-name`, and `pin-source`, behind it. Anything else is refused, and so
is `pin-value`: a PIN in a URI ends up in settings, process lists and logs. Messages name attributes, never values.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, quote_from_bytes, unquote_to_bytes

from printright.errors import BadSettings

SCHEME = "pkcs11"
_PATH = ("token", "serial", "manufacturer", "model", "slot-id", "object", "id", "type")
_QUERY = ("module-path", "module-name", "pin-source")
# unreserved, pct-encoded and what section 2.3 leaves unencoded in either half.
_PCHAR = r"(?:[A-Za-z0-9\-._~:\[\]@!$'()*+,=%s]|%%[0-9A-Fa-f]{2})+"
_PATH_VALUE, _QUERY_VALUE = re.compile(_PCHAR % "&"), re.compile(_PCHAR % "/?|")
_PATH_SAFE, _QUERY_SAFE = ":[]@!$'()*+,=&", ":[]@!$'()*+,=/?|"
_HINT = "RFC 7512, like pkcs11:token=unit;object=ledger;type=private?module-name=softhsm2"
_MAX_CHARS = 2000


@dataclass(frozen=True)
class TokenUri:
    """What a `pkcs11:` URI asks for; None where it leaves something open. `slot` is the number of a slot."""

    token: str | None = None
    serial: str | None = None
    manufacturer: str | None = None
    model: str | None = None
    slot: int | None = None
    object: str | None = None
    id: bytes | None = None
    module_path: str | None = None
    module_name: str | None = None
    pin_source: str | None = None

    @classmethod
    def parse(cls, uri: str) -> TokenUri:
        """Raises BadSettings for anything but one URI in the form of RFC 7512 with the attributes known here."""
        scheme, colon, rest = uri.partition(":")
        if not colon or scheme.lower() != SCHEME or len(uri) > _MAX_CHARS:
            raise BadSettings(f"not a {SCHEME}: URI", hint=_HINT)
        path, mark, query = rest.partition("?")
        found = _attributes(path, ";", _PATH, _PATH_VALUE) if path else {}
        found |= _attributes(query, "&", _QUERY, _QUERY_VALUE) if mark else {}
        if found.pop("type", b"private") != b"private":
            raise BadSettings(f"a {SCHEME}: URI of a key has the type `private`, or none", hint=_HINT)
        if "module-path" in found and "module-name" in found:
            raise BadSettings("module-path and module-name are both given", hint="one of them")
        id_ = found.pop("id", None)
        text = {name: _text(name, value) for name, value in found.items()}
        slot = text.pop("slot-id", None)
        if slot is not None and not re.fullmatch(r"[0-9]{1,19}", slot):
            raise BadSettings("slot-id is not a number", hint=_HINT)
        if not text.get("module-path", "/").startswith("/"):
            raise BadSettings("module-path is not an absolute path", hint="like /usr/lib/softhsm/libsofthsm2.so")
        if not re.fullmatch(r"[\w.+-]+", text.get("module-name", "x")):
            raise BadSettings("module-name has characters that no library's name has", hint="like softhsm2")
        return cls(
            slot=None if slot is None else int(slot),
            id=id_,
            **{name.replace("-", "_"): value for name, value in text.items()},
        )

    def __str__(self) -> str:
        """The URI. It holds no secret: `pin_source` says where the PIN is."""
        parts = {"token": self.token, "serial": self.serial, "manufacturer": self.manufacturer, "model": self.model}
        path = [f"{name}={quote(value, safe=_PATH_SAFE)}" for name, value in parts.items() if value is not None]
        path += [f"slot-id={self.slot}"] if self.slot is not None else []
        path += [f"object={quote(self.object, safe=_PATH_SAFE)}"] if self.object is not None else []
        path += [f"id={quote_from_bytes(self.id, safe='')}"] if self.id is not None else []
        path += ["type=private"] if self.object is not None or self.id is not None else []
        places = {"module-path": self.module_path, "module-name": self.module_name, "pin-source": self.pin_source}
        query = [f"{name}={quote(value, safe=_QUERY_SAFE)}" for name, value in places.items() if value is not None]
        return f"{SCHEME}:{';'.join(path)}" + (f"?{'&'.join(query)}" if query else "")


def _attributes(text: str, separator: str, known: tuple[str, ...], allowed: re.Pattern[str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for part in text.split(separator):
        name, equals, value = part.partition("=")
        if name == "pin-value":
            raise BadSettings(
                "a PIN does not belong into a URI: pin-value is refused",
                hint="pin-source=file:/path, pin-source=env:NAME, or neither: then you are asked",
            )
        if not equals or name not in known:
            shown = name if re.fullmatch(r"[a-z0-9-]{1,40}", name) else "?"
            raise BadSettings(f"attribute {shown} of a {SCHEME}: URI is not known here", hint=_HINT)
        if name in found:
            raise BadSettings(f"attribute {name} is given twice", hint=_HINT)
        if not allowed.fullmatch(value):
            raise BadSettings(f"attribute {name} is empty, or has characters to be written as %XX", hint=_HINT)
        found[name] = unquote_to_bytes(value)
    return found


def _text(name: str, value: bytes) -> str:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        raise BadSettings(f"attribute {name} is not UTF-8", hint=_HINT) from None
    if "\0" in text:
        raise BadSettings(f"attribute {name} has a zero in it", hint=_HINT)
    return text

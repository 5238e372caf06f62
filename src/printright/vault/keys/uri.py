"""Keys by URI: where a key lives is configuration, and nothing else needs to know.

Each scheme has its own module and is imported only where it is used: `file:` for keystores, `pkcs11:` for tokens
(RFC 7512; the extra `hardware`). Another kind becomes one more entry in `_LEDGER` and `_UNSEALING`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import TypeVar
from urllib.parse import unquote, urlsplit

from printright.errors import BadSettings
from printright.vault.keys.ledger_key import LedgerKey
from printright.vault.keys.pkcs11_uri import TokenUri
from printright.vault.keys.unsealing_key import UnsealingKey

Password = Callable[[], str]
"""Gives the password of a file, or the PIN of a token whose URI names no source of it."""
Key = TypeVar("Key")


def open_ledger_key(uri: str, password: Password) -> LedgerKey:
    """The ledger key at `uri`. Blocking, about a second. Raises WrongKey for a wrong password, BadSettings."""
    return _open(_LEDGER, uri, password)


def open_unsealing_key(uri: str, password: Password) -> UnsealingKey:
    """The unsealing key at `uri`. Blocking, about a second. Raises WrongKey for a wrong password, BadSettings."""
    return _open(_UNSEALING, uri, password)


def _open(schemes: Mapping[str, Callable[[str, Password], Key]], uri: str, password: Password) -> Key:
    scheme = urlsplit(uri).scheme
    if scheme not in schemes:
        raise BadSettings(f"no keys of the kind {scheme[:20]!r}", hint=f"known: {', '.join(sorted(schemes))}")
    return schemes[scheme](uri, password)


def _path(uri: str) -> Path:
    parts = urlsplit(uri)
    if parts.netloc not in ("", "localhost") or not parts.path or parts.query or parts.fragment:
        raise BadSettings(f"not a file URI: {uri[:200]}", hint="like file:///home/me/keys/ledger.json")
    return Path(unquote(parts.path))


def _ledger_file(uri: str, password: Password) -> LedgerKey:
    from printright.vault.keys.files import read_ledger_key

    return read_ledger_key(_path(uri), password())


def _unsealing_file(uri: str, password: Password) -> UnsealingKey:
    from printright.vault.keys.files import read_unsealing_key

    return read_unsealing_key(_path(uri), password())


def token_keys() -> ModuleType:
    """The module of keys in tokens. Raises BadSettings where its libraries are not installed."""
    try:
        from printright.vault.keys import pkcs11_keys
    except ModuleNotFoundError as error:
        if error.name != "pkcs11":
            raise
        raise BadSettings(
            "keys in tokens need more than is installed", hint="pip install 'printright[hardware]'"
        ) from None
    return pkcs11_keys


def _ledger_token(uri: str, password: Password) -> LedgerKey:
    key: LedgerKey = token_keys().open_token_ledger_key(TokenUri.parse(uri), password)
    return key


def _unsealing_token(uri: str, password: Password) -> UnsealingKey:
    key: UnsealingKey = token_keys().open_token_unsealing_key(TokenUri.parse(uri), password)
    return key


_LEDGER: dict[str, Callable[[str, Password], LedgerKey]] = {"file": _ledger_file, "pkcs11": _ledger_token}
_UNSEALING: dict[str, Callable[[str, Password], UnsealingKey]] = {"file": _unsealing_file, "pkcs11": _unsealing_token}

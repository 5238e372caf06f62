"""What tests of tokens share: opening them, and looking into them as another program of the same owner does."""

from __future__ import annotations

from typing import Any

import pkcs11
from pkcs11 import Attribute, ObjectClass

from printright.vault.keys import open_ledger_key, open_unsealing_key, pkcs11_token
from printright.vault.keys.pkcs11_keys import TokenLedgerKey, TokenUnsealingKey
from printright.vault.keys.pkcs11_token import open_token
from printright.vault.keys.pkcs11_uri import TokenUri
from softhsm import PIN


def never() -> str:
    raise AssertionError("nobody is to be asked")


def forget_sessions() -> None:
    """Libraries read SOFTHSM2_CONF when they start."""
    for module in pkcs11_token._modules.values():
        module.tokens.clear()
        module.restart()


def opened(keys: tuple[str, str]) -> tuple[TokenLedgerKey, TokenUnsealingKey]:
    ledger, unsealing = open_ledger_key(keys[0], lambda: PIN), open_unsealing_key(keys[1], lambda: PIN)
    assert isinstance(ledger, TokenLedgerKey)
    assert isinstance(unsealing, TokenUnsealingKey)
    return ledger, unsealing


def library(place: TokenUri) -> Any:
    """The library as another program of the same owner has it."""
    return pkcs11.lib(open_token(place, lambda: PIN)._module.path)


def session_of(place: TokenUri, **how: Any) -> Any:
    present = [slot.get_token() for slot in library(place).get_slots(token_present=True)]
    (token,) = (token for token in present if token.label == place.token)
    return token.open(**how)


def find(session: Any, kind: ObjectClass, label: str) -> Any:
    (found,) = list(session.get_objects({Attribute.CLASS: kind, Attribute.LABEL: label}))
    return found

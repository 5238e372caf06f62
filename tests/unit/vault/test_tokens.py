"""Keys in a token (SoftHSM2): they do what keys in files do, and nobody gets them out of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from coincurve import PublicKey
from pkcs11 import Attribute, KeyType, Mechanism, MechanismFlag, ObjectClass, PKCS11Error
from token_scene import find, never, opened, session_of

from printright.domain.words import checksum, keccak
from printright.errors import BadSettings, BadValue, PrintrightError, TokenUnavailable, WrongKey
from printright.vault.keys import open_ledger_key, open_unsealing_key
from printright.vault.keys.pkcs11_keys import (
    _PARAMETERS,
    create_token_keys,
    open_token_key,
)
from printright.vault.keys.pkcs11_uri import TokenUri
from printright.vault.sealing import seal
from softhsm import PIN, SoftHsm

pytestmark = pytest.mark.needs("softhsm2-util")

HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
PADDED = Mechanism.AES_KEY_WRAP_PAD
SECP256K1 = bytes.fromhex("06052b8104000a")


def test_a_ledger_key_signs_as_one_in_a_file_does(keys: tuple[str, str]) -> None:
    ledger, _ = opened(keys)
    for number in range(40):
        digest = keccak(bytes([number]))
        signature = ledger.sign_digest(digest)
        assert len(signature) == 65
        assert signature[64] in (27, 28)
        assert int.from_bytes(signature[32:64], "big") <= HALF_ORDER
        found = PublicKey.from_signature_and_message(signature[:64] + bytes([signature[64] - 27]), digest, hasher=None)
        assert checksum(keccak(found.format(compressed=False)[1:])[12:]) == ledger.address
    with pytest.raises(BadValue):
        ledger.sign_digest(b"short")


def test_an_unsealing_key_opens_what_cryptography_sealed(keys: tuple[str, str]) -> None:
    _, unsealing = opened(keys)
    for size in (0, 1, 4096):
        assert unsealing.open(seal(unsealing.public_key, b"m" * size, b"i"), b"i") == b"m" * size
    sealed = seal(unsealing.public_key, b"message", b"info")
    for wrong in (b"", sealed[:-1], sealed + b"\0", b"\4" + bytes(64) + sealed[65:], sealed[:70] + b"x" + sealed[71:]):
        with pytest.raises(WrongKey, match="not sealed for this key"):
            unsealing.open(wrong, b"info")
    with pytest.raises(WrongKey):
        unsealing.open(sealed, b"another purpose")


def test_exactly_one_token_and_one_key_must_match(hsm: SoftHsm, keys: tuple[str, str]) -> None:
    uri = TokenUri.parse(keys[0])
    assert uri.token is not None
    with pytest.raises(TokenUnavailable, match="0 tokens match"):
        open_ledger_key("pkcs11:token=nobody;object=secret-name?module-name=softhsm2", never)
    with pytest.raises(BadSettings, match="2 private keys of the token match") as caught:
        open_ledger_key(str(replace(uri, object=None, id=None)), lambda: PIN)
    assert "unit-" not in str(caught.value)
    for other in ({"object": "secret-name"}, {"id": b"secret-name"}):
        with pytest.raises(BadSettings, match="0 private keys") as caught:
            open_ledger_key(str(replace(uri, **other)), lambda: PIN)  # type: ignore[arg-type]
        assert "secret-name" not in str(caught.value)
    hsm.token(uri.token)
    with pytest.raises(TokenUnavailable, match="0 tokens match"):
        # The new one is seen when the library looks again; by its serial number the first is still the one.
        open_ledger_key(str(TokenUri(token="nobody", module_name="softhsm2")), never)
    with pytest.raises(BadSettings, match="2 tokens match"):
        open_ledger_key(str(replace(uri, serial=None)), lambda: PIN)
    open_ledger_key(str(uri), lambda: PIN)
    open_ledger_key(str(replace(uri, model="SoftHSM v2", manufacturer="SoftHSM project")), lambda: PIN)


def test_a_key_of_the_other_kind_is_refused(keys: tuple[str, str]) -> None:
    with pytest.raises(BadSettings, match="curve P-256, where secp256k1"):
        open_ledger_key(keys[1], lambda: PIN)
    with pytest.raises(BadSettings, match="curve secp256k1, where P-256"):
        open_unsealing_key(keys[0], lambda: PIN)


def test_libraries_that_are_none(tmp_path: Path) -> None:
    text = tmp_path / "text.so"
    text.write_text("no library")
    for query in ("", "?module-name=no-such-library", f"?module-path={tmp_path}/none.so", f"?module-path={text}"):
        with pytest.raises(BadSettings, match="librar"):
            open_ledger_key(f"pkcs11:token=a{query}", never)


def every_way_out(place: TokenUri, purpose: str) -> dict[str, Callable[[], object]]:
    """All that PKCS#11 has for getting a private key out of its token, for somebody who has the PIN."""
    session = session_of(place, rw=True)

    # The attempts leave copies behind; this is the original.
    key = find(session, ObjectClass.PRIVATE_KEY, f"unit-{purpose}")

    def wrapped(wrapping: Any, mechanism: Mechanism) -> object:
        return wrapping.wrap_key(key, mechanism=mechanism)

    wraps = MechanismFlag.WRAP | MechanismFlag.ENCRYPT
    aes = session.generate_key(KeyType.AES, 256, capabilities=wraps)
    rsa, _ = session.generate_keypair(KeyType.RSA, 2048, capabilities=wraps)
    open_copy = {Attribute.SENSITIVE: False, Attribute.EXTRACTABLE: True}
    return {
        "read the value": lambda: key[Attribute.VALUE],
        "make it extractable": lambda: key.__setitem__(Attribute.EXTRACTABLE, True),
        "make it insensitive": lambda: key.__setitem__(Attribute.SENSITIVE, False),
        "copy it open": lambda: key.copy(open_copy),
        "copy it extractable": lambda: key.copy({Attribute.EXTRACTABLE: True}),
        "copy it open into the session": lambda: key.copy({**open_copy, Attribute.TOKEN: False})[Attribute.VALUE],
        "read the value of a plain copy": lambda: key.copy({Attribute.TOKEN: False})[Attribute.VALUE],
        "wrap it (AES key wrap)": lambda: wrapped(aes, Mechanism.AES_KEY_WRAP),
        "wrap it (AES key wrap, padded)": lambda: wrapped(aes, PADDED),
        "wrap it (RSA)": lambda: wrapped(rsa, Mechanism.RSA_PKCS),
        "wrap a plain copy": lambda: aes.wrap_key(key.copy({Attribute.TOKEN: False}), mechanism=PADDED),
    }


WAYS = (
    "read the value", "make it extractable", "make it insensitive", "copy it open", "copy it extractable",
    "copy it open into the session", "read the value of a plain copy", "wrap it (AES key wrap)",
    "wrap it (AES key wrap, padded)", "wrap it (RSA)", "wrap a plain copy",
)  # fmt: skip


@pytest.mark.parametrize("purpose", ["ledger", "unsealing"])
def test_a_private_key_does_not_come_out(place: TokenUri, keys: tuple[str, str], purpose: str) -> None:
    opened(keys)
    ways = every_way_out(place, purpose)
    assert tuple(ways) == WAYS
    for name, attempt in ways.items():
        with pytest.raises(PKCS11Error):
            pytest.fail(f"{name}: {attempt()!r}")


def test_the_ways_out_are_ways_out(place: TokenUri, keys: tuple[str, str]) -> None:
    """Against a key that may leave, the same attempts bring it out: the test above can fail."""
    opened(keys)
    session = session_of(place, rw=True)
    for purpose in ("ledger", "unsealing"):
        find(session, ObjectClass.PRIVATE_KEY, f"unit-{purpose}").destroy()
    parameters = session.create_domain_parameters(KeyType.EC, {Attribute.EC_PARAMS: SECP256K1}, local=True)
    parameters.generate_keypair(
        store=True,
        label="unit-ledger",
        id=b"open",
        capabilities=MechanismFlag.SIGN,
        private_template={Attribute.SENSITIVE: False, Attribute.EXTRACTABLE: True},
    )
    with pytest.raises(BadSettings, match="may leave its token"):
        open_ledger_key(str(replace(place, object="unit-ledger")), lambda: PIN)
    out = set()
    for name, attempt in every_way_out(place, "ledger").items():
        try:
            attempt()
        except PKCS11Error:
            continue
        out.add(name)
    assert out >= {"read the value", "copy it open", "wrap it (AES key wrap, padded)", "wrap a plain copy"}


def test_the_tokens_own_word_for_it(keys: tuple[str, str]) -> None:
    for uri in keys:
        _, facts = open_token_key(TokenUri.parse(uri), lambda: PIN)
        assert facts.never_extractable
        assert facts.made_in_token


def test_a_public_half_of_another_key_is_noticed(place: TokenUri, keys: tuple[str, str]) -> None:
    opened(keys)
    session = session_of(place, rw=True)
    for uri, purpose in zip(keys, ("ledger", "unsealing"), strict=True):
        public = find(session, ObjectClass.PUBLIC_KEY, f"unit-{purpose}")
        point, parameters = public[Attribute.EC_POINT], public[Attribute.EC_PARAMS]
        id_ = public.id
        public.destroy()
        with pytest.raises(BadSettings, match="0 public keys"):
            open_token_key(TokenUri.parse(uri), lambda: PIN)
        domain = session.create_domain_parameters(KeyType.EC, {Attribute.EC_PARAMS: parameters}, local=True)
        domain.generate_keypair(store=True, id=id_, label=f"intruder-{purpose}", capabilities=MechanismFlag.SIGN)
        assert find(session, ObjectClass.PUBLIC_KEY, f"intruder-{purpose}")[Attribute.EC_POINT] != point
        with pytest.raises(WrongKey, match="not that of its public key"):
            open_token_key(TokenUri.parse(uri), lambda: PIN)


def test_keys_are_made_once_and_both_or_none(
    place: TokenUri, keys: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = opened(keys)[0].address
    with pytest.raises(BadSettings, match="already"):
        create_token_keys(place, "unit", lambda: PIN)
    with pytest.raises(BadSettings, match="not a key in it"):
        create_token_keys(replace(place, object="x"), "unit", lambda: PIN)
    # A curve that the token does not know, for a token that does not know one of ours.
    monkeypatch.setitem(_PARAMETERS, "P-256", bytes.fromhex("06022a03"))
    with pytest.raises(PrintrightError):
        create_token_keys(place, "second", lambda: PIN)
    labels = {each[Attribute.LABEL] for each in session_of(place).get_objects()}
    assert labels == {"unit-ledger", "unit-unsealing"}
    monkeypatch.undo()
    assert opened(keys)[0].address == before

"""Keys in a token (SoftHSM2): they do what keys in files do, never come out, and wait when it is pulled out."""

from __future__ import annotations

import logging
import os
import pickle
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pkcs11
import pytest
from coincurve import PublicKey
from pkcs11 import Attribute, KeyType, Mechanism, MechanismFlag, ObjectClass, PKCS11Error

from printright.domain.words import checksum, keccak
from printright.errors import BadSettings, BadValue, PrintrightError, TokenUnavailable, WrongKey
from printright.vault.keys import open_ledger_key, open_unsealing_key, pkcs11_token
from printright.vault.keys.pin import pin_source
from printright.vault.keys.pkcs11_keys import (
    _PARAMETERS,
    TokenLedgerKey,
    TokenUnsealingKey,
    create_token_keys,
    open_token_key,
)
from printright.vault.keys.pkcs11_token import Token, open_token
from printright.vault.keys.pkcs11_uri import TokenUri
from printright.vault.sealing import seal
from softhsm import PIN, SO_PIN, SoftHsm

pytestmark = pytest.mark.needs("softhsm2-util")

HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
PADDED = Mechanism.AES_KEY_WRAP_PAD
SECP256K1 = bytes.fromhex("06052b8104000a")
FAULTS = (BadSettings, WrongKey, TokenUnavailable)


def never() -> str:
    raise AssertionError("nobody is to be asked")


def forget_sessions() -> None:
    """Libraries read SOFTHSM2_CONF when they start."""
    for module in pkcs11_token._modules.values():
        module.tokens.clear()
        module.restart()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[SoftHsm, tuple[str, str]]:
    """A token with a pair of keys, copied for each test: making keys takes longer than most tests."""
    hsm = SoftHsm.at(tmp_path_factory.mktemp("hsm"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(*next(iter(hsm.environment.items())))
        forget_sessions()
        place = TokenUri(token=hsm.token("unit"), module_name="softhsm2")
        ledger, unsealing = create_token_keys(place, "unit", lambda: PIN)
    return hsm, (str(ledger), str(unsealing))


@pytest.fixture
def hsm(made: tuple[SoftHsm, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SoftHsm:
    hsm = made[0].copy(tmp_path / "hsm")
    monkeypatch.setenv(*next(iter(hsm.environment.items())))
    forget_sessions()
    return hsm


@pytest.fixture
def place(hsm: SoftHsm) -> TokenUri:
    """The token."""
    return TokenUri(token="unit", module_name="softhsm2")


@pytest.fixture
def keys(hsm: SoftHsm, made: tuple[SoftHsm, tuple[str, str]]) -> tuple[str, str]:
    """The URIs of the pair of keys in it."""
    return made[1]


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


def test_a_wrong_pin_is_tried_once(place: TokenUri, monkeypatch: pytest.MonkeyPatch) -> None:
    attempts: list[object] = []
    present = Token._log_in

    def counted(self: Token, token: Any) -> Any:
        class Counting:
            flags, label = token.flags, token.label

            def open(self, **how: Any) -> Any:
                attempts.append(how)
                return token.open(**how)

        return present(self, Counting())  # type: ignore[arg-type]

    monkeypatch.setattr(Token, "_log_in", counted)
    guess = "guess-9999"
    with pytest.raises(WrongKey, match="does not open") as caught:
        open_token(place, lambda: guess)
    assert len(attempts) == 1
    assert guess not in "".join(traceback.format_exception(caught.value)) + repr(caught.value)


def test_no_second_wrong_pin_from_a_file(place: TokenUri, tmp_path: Path) -> None:
    """The protection: `USER_PIN_COUNT_LOW` in `Token._log_in`. An agent started again and again locks no token."""
    file = tmp_path / "pin"
    file.write_text("guess-9999\n")
    file.chmod(0o600)
    uri = replace(place, pin_source=f"file:{file}")
    with pytest.raises(WrongKey, match="tried once"):
        open_token(uri, never)
    with pytest.raises(WrongKey, match="none is sent"):
        open_token(uri, never)
    file.write_text(PIN)
    with pytest.raises(WrongKey, match="none is sent"):
        open_token(uri, never)
    open_token(place, lambda: PIN)
    open_token(uri, never)


def test_the_same_wrong_pin_is_not_sent_twice(hsm: SoftHsm, keys: tuple[str, str]) -> None:
    """A PIN changed by somebody while the token was out: the agent asks again and again, the token hears it once."""
    ledger, _ = opened(keys)
    token = ledger._key.token
    hsm.pull_out()
    with pytest.raises(TokenUnavailable):
        ledger.sign_digest(bytes(32))
    hsm.plug_in()
    assert token.identity.token is not None
    serial = str(token.identity.serial)
    hsm.util(
        "--init-token", "--serial", serial, "--label", token.identity.token, "--pin", "another", "--so-pin", SO_PIN
    )
    reasons = []
    for _ in range(4):
        with pytest.raises(WrongKey) as caught:
            ledger.sign_digest(bytes(32))
        reasons.append(caught.value.hint)
    assert reasons[0].startswith("tried once")
    assert set(reasons[1:]) == {"it was not tried again"}


def test_pins_come_from_files_and_variables(
    place: TokenUri, keys: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a pin"
    file.write_text(PIN + "\n")
    file.chmod(0o600)
    monkeypatch.setenv("PIN_OF_TEST", PIN)
    for source in (f"file:{tmp_path}/a%20pin", f"file://{tmp_path}/a%20pin", "env:PIN_OF_TEST"):
        assert pin_source(source, never)() == PIN
    uri = replace(TokenUri.parse(keys[0]), pin_source=f"file:{tmp_path}/a%20pin")
    assert open_ledger_key(str(uri), never)
    answers = iter(["once"])
    asked = pin_source(None, lambda: next(answers))
    assert [asked(), asked()] == ["once", "once"]
    for wrong in ("file:relative", "file://elsewhere/pin", "|command", "env:A-B", "env:", "https://a/b", PIN):
        with pytest.raises(BadSettings) as caught:
            pin_source(wrong, never)
        assert PIN not in str(caught.value)
    file.chmod(0o644)
    with pytest.raises(BadSettings, match="everybody"):
        pin_source(f"file:{tmp_path}/a%20pin", never)()
    file.chmod(0o600)
    for content in (b"two\nlines\n", b"\xff\xfe", b"1" * 300):
        file.write_bytes(content)
        with pytest.raises(BadSettings, match="one line"):
            pin_source(f"file:{tmp_path}/a%20pin", never)()
    with pytest.raises(BadSettings, match="cannot read"):
        pin_source(f"file:{tmp_path}/none", never)()
    with pytest.raises(BadSettings, match="not set"):
        pin_source("env:NO_SUCH_VARIABLE", never)()
    with pytest.raises(WrongKey, match="empty"):
        Token(
            open_token(place, lambda: PIN)._module, opened(keys)[0]._key.token.identity, lambda: "", attended=True
        ).run("x", lambda _: None)


def test_a_token_that_says_it_is_nearly_locked_gets_no_pin(place: TokenUri) -> None:
    token = open_token(place, lambda: PIN)

    class Says:
        def __init__(self, flags: pkcs11.TokenFlag) -> None:
            self.flags = flags

        def open(self, **how: Any) -> Any:
            raise AssertionError("a PIN was sent")

    for flag, reason in (("USER_PIN_LOCKED", "is locked"), ("USER_PIN_FINAL_TRY", "one more wrong PIN locks")):
        with pytest.raises(WrongKey, match=reason):
            token._log_in(Says(pkcs11.TokenFlag[flag]))  # type: ignore[arg-type]


def test_a_token_pulled_out_and_put_back(hsm: SoftHsm, keys: tuple[str, str]) -> None:
    """The protection: the second round of `Token.run`, which looks for the token and logs in again."""
    ledger, unsealing = opened(keys)
    sealed = seal(unsealing.public_key, b"message", b"info")
    hsm.pull_out()
    for _ in range(2):
        with pytest.raises(TokenUnavailable):
            ledger.sign_digest(bytes(32))
        with pytest.raises(TokenUnavailable):
            unsealing.open(sealed, b"info")
    hsm.plug_in()
    assert len(ledger.sign_digest(bytes(32))) == 65
    assert unsealing.open(sealed, b"info") == b"message"


def test_another_token_is_not_taken_for_the_one_pulled_out(hsm: SoftHsm, keys: tuple[str, str]) -> None:
    ledger, _ = opened(keys)
    label = ledger._key.token.identity.token
    assert label is not None
    hsm.pull_out()
    hsm.token(label)
    place = TokenUri(token=label, module_name="softhsm2")
    other, _ = create_token_keys(place, "unit", lambda: PIN)
    assert open_ledger_key(str(other), lambda: PIN).address != ledger.address
    with pytest.raises(TokenUnavailable, match="not there"):
        ledger.sign_digest(bytes(32))


def test_another_key_is_not_taken_for_the_one_opened(hsm: SoftHsm, place: TokenUri, keys: tuple[str, str]) -> None:
    """The protection: `_TokenKey.handle` compares the public half when the session is a new one."""
    uri = str(replace(TokenUri.parse(keys[0]), id=None))
    ledger = open_ledger_key(uri, lambda: PIN)
    assert isinstance(ledger, TokenLedgerKey)
    session = session_of(place, rw=True)
    for kind in (ObjectClass.PRIVATE_KEY, ObjectClass.PUBLIC_KEY):
        for purpose in ("ledger", "unsealing"):
            find(session, kind, f"unit-{purpose}").destroy()
    create_token_keys(place, "unit", lambda: PIN)
    with pytest.raises(WrongKey, match="another key"):
        ledger.sign_digest(bytes(32))


def test_two_tokens_do_not_disturb_each_other(hsm: SoftHsm, keys: tuple[str, str]) -> None:
    """A restart of the library for one token gives new numbers to all sessions; no key answers for another."""
    first, _ = opened(keys)
    second_place = TokenUri(token=hsm.token(pin="another pin"), module_name="softhsm2")
    uris = create_token_keys(second_place, "unit", lambda: "another pin")
    second = open_ledger_key(str(uris[0]), lambda: "another pin")
    for _ in range(3):
        module = first._key.token._module
        with module.lock:
            module.restart()
        for key in (first, second, second, first):
            key.sign_digest(keccak(b"x"))
    assert first.address != second.address


def test_threads_may_use_one_token(keys: tuple[str, str]) -> None:
    ledger, unsealing = opened(keys)
    sealed = seal(unsealing.public_key, b"message", b"info")
    barrier = threading.Barrier(8)

    def work(number: int) -> None:
        barrier.wait()
        for _ in range(10):
            if number % 2:
                assert unsealing.open(sealed, b"info") == b"message"
            else:
                ledger.sign_digest(keccak(bytes([number])))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))


def test_nothing_shows_the_pin(place: TokenUri, keys: tuple[str, str], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    ledger, unsealing = opened(keys)
    token = ledger._key.token
    for thing in (ledger, unsealing, token):
        for shown in (repr(thing), str(thing), repr(vars(thing))):
            assert PIN not in shown
        with pytest.raises(TypeError):
            pickle.dumps(thing)
    for fault in ("pkcs11:token=a?module-name=softhsm2", str(replace(place, object="none"))):
        with pytest.raises(FAULTS) as caught:
            open_ledger_key(fault, lambda: PIN)
        assert PIN not in "".join(traceback.format_exception(caught.value))
    assert PIN not in caplog.text
    assert PIN not in str(keys)
    assert PIN not in os.environ.values()

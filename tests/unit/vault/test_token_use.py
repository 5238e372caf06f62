"""Tokens in use (SoftHSM2): PINs are sent sparingly and shown nowhere; a token pulled out is waited for."""

from __future__ import annotations

import json
import logging
import os
import pickle
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pkcs11
import pytest
from click.testing import CliRunner
from pkcs11 import ObjectClass
from token_scene import find, forget_sessions, never, opened, session_of

from printright.cli.home import Home
from printright.cli.main import cli
from printright.domain.words import keccak
from printright.errors import BadSettings, TokenUnavailable, WrongKey
from printright.vault.keys import open_ledger_key
from printright.vault.keys.pin import pin_source
from printright.vault.keys.pkcs11_keys import (
    TokenLedgerKey,
    create_token_keys,
)
from printright.vault.keys.pkcs11_token import Token, open_token
from printright.vault.keys.pkcs11_uri import TokenUri
from printright.vault.sealing import seal
from softhsm import PIN, SO_PIN, SoftHsm

pytestmark = pytest.mark.needs("softhsm2-util")

FAULTS = (BadSettings, WrongKey, TokenUnavailable)


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


def test_a_person_is_asked_once(hsm: SoftHsm, keys: tuple[str, str], tmp_path: Path) -> None:
    """By the command line: one login for both keys of a token; and one key in a token, the other in a file."""
    hsm.token("fresh")
    place = "pkcs11:token=fresh?module-name=softhsm2"
    done = CliRunner().invoke(cli, ["key", "create", place, "--json"], input=PIN + "\n")
    assert done.exit_code == 0, done.output
    made = json.loads(done.stdout)
    forget_sessions()
    shown = CliRunner().invoke(cli, ["key", "show", made["unsealing"], "--json"], input=PIN + "\n")
    assert json.loads(shown.stdout)["key"] == made["key"]

    forget_sessions()
    both = ("--ledger-key", made["ledger"], "--unsealing-key", made["unsealing"])
    home = ("--home", str(tmp_path / "both"), "--json")
    done = CliRunner().invoke(cli, ["member", "create", "--name", "Both", *both, *home], input=PIN + "\n")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["address"] == made["address"]
    assert not (tmp_path / "both" / "keys").exists()

    password = tmp_path / "password"
    password.write_text("of the keystore")
    mixed = ("--unsealing-key", made["unsealing"], "--password-file", str(password))
    home = ("--home", str(tmp_path / "mixed"), "--json")
    done = CliRunner().invoke(cli, ["member", "create", "--name", "Mixed", *mixed, *home], input=PIN + "\n")
    assert done.exit_code == 0, done.output
    card = json.loads(done.stdout)
    assert card["key"] == made["key"]
    assert card["address"] != made["address"]
    found = Home(tmp_path / "mixed")
    assert found.ledger_key().address == card["address"]
    assert [path.name for path in (tmp_path / "mixed" / "keys").iterdir()] == ["ledger.json"]

    # A key that does not open leaves no half-made folder.
    wrong = ("--ledger-key", made["ledger"].replace("object=", "object=not-"))
    home = ("--home", str(tmp_path / "none"), "--json")
    done = CliRunner().invoke(cli, ["member", "create", "--name", "None", *wrong, *home], input=PIN + "\n")
    assert done.exit_code == 2
    assert not (tmp_path / "none").exists()

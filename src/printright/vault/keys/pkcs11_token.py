"""A token behind a PKCS#11 library: found by URI, logged in to once, and found again after it was pulled out.

* Exactly one token must match a URI. Once opened it is that one: another with the same label is not taken for it.
* A login is tried once. A PIN that was wrong is not sent again by this process, and none is sent from a file or
  variable while the token counts a wrong one, or by anybody where the next wrong one would lock it.
* Whatever the library answers in mid-work that is no refusal: the token is looked for again, the library is started
  anew if it must be, and the work is tried once more. Then it is TokenUnavailable, and trying later is safe.

Libraries differ in what they do with threads: one lock for each library lets in one caller at a time. All that blocks.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import pkcs11
from pkcs11 import PKCS11Error, Session, TokenFlag, exceptions

from printright.errors import BadSettings, PrintrightError, TokenUnavailable, WrongKey
from printright.vault.keys.pin import pin_source
from printright.vault.keys.pkcs11_uri import TokenUri

T = TypeVar("T")

# Where distributions put such libraries, for module-name.
_FOLDERS = (
    "usr/lib/*/pkcs11",
    "usr/lib/*/softhsm",
    "usr/lib/pkcs11",
    "usr/lib/softhsm",
    "usr/lib64/pkcs11",
    "usr/lib/*",
    "usr/lib",
    "usr/local/lib/pkcs11",
    "usr/local/lib/softhsm",
    "usr/local/lib",
)
_PIN_WRONG = (exceptions.PinIncorrect, exceptions.PinInvalid, exceptions.PinLenRange)
# What asking again does not change: the token or its key cannot do this.
_UNABLE = (
    exceptions.ArgumentsBad,
    exceptions.AttributeTypeInvalid,
    exceptions.AttributeValueInvalid,
    exceptions.DomainParamsInvalid,
    exceptions.FunctionNotSupported,
    exceptions.KeySizeRange,
    exceptions.KeyTypeInconsistent,
    exceptions.MechanismInvalid,
    exceptions.MechanismParamInvalid,
    exceptions.SessionReadOnly,
    exceptions.TemplateIncomplete,
    exceptions.TemplateInconsistent,
    exceptions.TokenWriteProtected,
)
# For telling a wrong PIN from others without keeping it.
_SALT = os.urandom(16)


class _Module:
    """One library in this process. Starting it anew ends the sessions of all its tokens: `generation` counts that."""

    def __init__(self, path: str) -> None:
        try:
            self.lib = pkcs11.lib(path)
        except PKCS11Error as error:
            raise BadSettings(f"cannot load the PKCS#11 library {path}: {_name(error)}") from None
        self.path = path
        self.lock = threading.RLock()
        self.generation = 0
        self.tokens: dict[Identity, Token] = {}

    def restart(self) -> None:
        self.generation += 1
        # It fails where no token is left, and is started by the next attempt.
        with suppress(PKCS11Error):
            if self.lib.initialized:
                self.lib.reinitialize()
            else:
                self.lib.initialize()

    def matching(self, wanted: Identity, slot: int | None) -> list[pkcs11.Token]:
        """The initialized tokens that have what `wanted` names."""
        found = []
        for each in self.lib.get_slots(token_present=True):
            try:
                token = each.get_token()
            except PKCS11Error:
                continue
            fits = token.flags & TokenFlag.TOKEN_INITIALIZED and wanted.fits(Identity.of(token))
            if fits and slot in (None, each.slot_id):
                found.append(token)
        return found


@dataclass(frozen=True)
class Identity:
    """What a token says of itself; None stands for anything."""

    token: str | None
    serial: str | None
    manufacturer: str | None
    model: str | None

    @classmethod
    def of(cls, token: pkcs11.Token) -> Identity:
        serial = token.serial.decode(errors="replace")
        texts = (token.label, serial, token.manufacturer_id, token.model)
        return cls(*(text.rstrip(" \0") for text in texts))

    def fits(self, other: Identity) -> bool:
        wanted = (self.token, self.serial, self.manufacturer, self.model)
        has = (other.token, other.serial, other.manufacturer, other.model)
        return all(want in (None, text) for want, text in zip(wanted, has, strict=True))


_modules: dict[str, _Module] = {}
_modules_lock = threading.Lock()


def open_token(uri: TokenUri, prompt: Callable[[], str]) -> Token:
    """The one token that `uri` names; keys in the same token share it and its login.

    `prompt` gives the PIN where the URI names no source. Raises BadSettings where none or several match or the library
    is not there, WrongKey for a PIN that is wrong or locked.
    """
    path = _library(uri)
    with _modules_lock:
        module = _modules.get(path)
        if module is None:
            module = _modules[path] = _Module(path)
    wanted = Identity(uri.token, uri.serial, uri.manufacturer, uri.model)
    with module.lock:
        try:
            matching = module.matching(wanted, uri.slot)
        except PKCS11Error:
            matching = []
        if not matching:
            module.restart()
            try:
                matching = module.matching(wanted, uri.slot)
            except PKCS11Error as error:
                raise TokenUnavailable(f"the PKCS#11 library {path} does not work: {_name(error)}") from None
        if not matching:
            raise TokenUnavailable("0 tokens match the URI, not 1", hint="is it plugged in, and is this its library?")
        if len(matching) > 1:
            raise BadSettings(
                f"{len(matching)} tokens match the URI, not 1", hint="name the one: token, serial, model or slot-id"
            )
        identity = Identity.of(matching[0])
        token = module.tokens.get(identity)
        if token is None:
            token = Token(module, identity, pin_source(uri.pin_source, prompt), attended=uri.pin_source is None)
        token.run("open a session", lambda _: None)
        module.tokens[identity] = token
        return token


class Token:
    """One token and this process's session with it."""

    def __init__(self, module: _Module, identity: Identity, pin: Callable[[], str], *, attended: bool) -> None:
        self.identity = identity
        self._module, self._pin, self._attended = module, pin, attended
        self._session: Session | None = None
        self._generation = -1
        self._wrong: set[bytes] = set()

    def __repr__(self) -> str:
        return f"<Token {self.identity.token!r} {self.identity.serial}>"

    def __reduce__(self) -> str:
        raise TypeError("a token is not copied or pickled")

    def uri(self, uri: TokenUri) -> TokenUri:
        """`uri`, naming this token by label and serial number."""
        return replace(uri, token=self.identity.token, serial=self.identity.serial, slot=None)

    def run(self, doing: str, work: Callable[[Session], T]) -> T:
        """Do `work` with the session, found anew where it is lost. `doing` is for messages, like "sign".

        Raises TokenUnavailable, WrongKey where a new login fails, BadSettings for what the token cannot do.
        """
        with self._module.lock:
            for last in (False, True):
                try:
                    return work(self._open())
                except PrintrightError:
                    raise
                except _UNABLE as error:
                    raise BadSettings(f"token {self.identity.token!r} cannot {doing}: {_name(error)}") from None
                except PKCS11Error as error:
                    self._forget()
                    if last:
                        raise self._unavailable(doing, error) from None
            raise AssertionError

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A session that may make objects. It shares the login. Raises as `run` does."""
        self.run("log in", lambda _: None)
        with self._module.lock:
            try:
                session = self._present().open(rw=True)
            except PKCS11Error as error:
                raise self._unavailable("be written to", error) from None
            try:
                yield session
            except _UNABLE as error:
                raise BadSettings(f"token {self.identity.token!r} cannot make the key: {_name(error)}") from None
            except PKCS11Error as error:
                raise self._unavailable("make the key", error) from None
            finally:
                with suppress(PKCS11Error):
                    session.close()

    def _open(self) -> Session:
        # After a restart of the library an old session's number may be a new session's, of another token.
        if self._session is None or self._generation != self._module.generation:
            self._session = None
            self._session = self._log_in(self._present())
            self._generation = self._module.generation
        return self._session

    def _forget(self) -> None:
        session, self._session = self._session, None
        if session is not None and self._generation == self._module.generation:
            with suppress(PKCS11Error):
                session.close()

    def _present(self) -> pkcs11.Token:
        for _ in range(2):
            with suppress(PKCS11Error):
                matching = self._module.matching(self.identity, None)
                if len(matching) == 1:
                    return matching[0]
                if matching:
                    raise BadSettings(f"{len(matching)} tokens say that they are {self!r}", hint="unplug all but one")
            self._module.restart()
        raise TokenUnavailable(f"token {self.identity.token!r} is not there", hint="plug it in again")

    def _log_in(self, token: pkcs11.Token) -> Session:
        name, flags = f"token {self.identity.token!r}", token.flags
        if flags & TokenFlag.USER_PIN_LOCKED:
            raise WrongKey(f"the PIN of {name} is locked", hint="its security officer unlocks it, with its own tool")
        if flags & TokenFlag.USER_PIN_FINAL_TRY:
            raise WrongKey(
                f"one more wrong PIN locks {name}: none is sent", hint="log in once with its own tool, then try again"
            )
        if flags & TokenFlag.USER_PIN_COUNT_LOW and not self._attended:
            raise WrongKey(
                f"{name} counts a wrong PIN: none is sent from a file or variable",
                hint="put the PIN right, then log in once by `printright key show`, without pin-source",
            )
        pin = self._pin()
        mark = hashlib.sha256(_SALT + pin.encode()).digest()
        if not pin or mark in self._wrong:
            raise WrongKey(f"the PIN does not open {name}", hint="it was not tried again" if pin else "it is empty")
        try:
            return token.open(user_pin=pin)
        except _PIN_WRONG:
            self._wrong.add(mark)
            raise WrongKey(f"the PIN does not open {name}", hint="tried once; too many wrong PINs lock it") from None
        except (exceptions.PinLocked, exceptions.PinExpired):
            self._wrong.add(mark)
            raise WrongKey(f"the PIN of {name} is locked or expired", hint="use the token's own tool") from None
        except exceptions.UserAlreadyLoggedIn:
            return token.open()

    def _unavailable(self, doing: str, error: PKCS11Error) -> TokenUnavailable:
        return TokenUnavailable(
            f"token {self.identity.token!r} did not {doing}: {_name(error)}", hint="is it plugged in? try again"
        )


def _library(uri: TokenUri) -> str:
    """The path of the library, links resolved. Raises BadSettings."""
    if uri.module_path is not None:
        paths = {os.path.realpath(uri.module_path)} if Path(uri.module_path).is_file() else set()
    elif uri.module_name is not None:
        name = uri.module_name
        files = (f"{folder}/{file}" for folder in _FOLDERS for file in (f"lib{name}.so", f"{name}.so"))
        paths = {os.path.realpath(path) for file in files for path in Path("/").glob(file)}
    else:
        raise BadSettings(
            "the URI names no PKCS#11 library", hint="module-name=softhsm2, or module-path=/path/of/its.so, behind ?"
        )
    if len(paths) != 1:
        raise BadSettings(f"{len(paths)} PKCS#11 libraries match the URI, not 1", hint="give module-path")
    return paths.pop()


def _name(error: PKCS11Error) -> str:
    # The class tells what the library answered; the text of an error that has no class has its number.
    return type(error).__name__ if type(error) is not PKCS11Error else str(error)[:200]

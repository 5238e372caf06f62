"""Who may use a unit's agent: named operators, what each may do, and how each is known.

`operators.toml` in the unit's home, one table a name. It is read again when it has changed, so that somebody who is
removed is gone at the next request; a file that cannot be read lets nobody in but the owner at the socket. Tokens are
256 random bits, of which the file has the SHA-256: there is no password in it to guess, slowly or fast.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import pwd
import re
import secrets
import tomllib
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import msgspec

from printright.errors import BadSettings, BadValue, Misuse
from printright.services.whole_file import write_whole

TOKEN_PREFIX = "prt_"  # noqa: S105 - what scanners of secrets recognise, no secret
MAX_OPERATORS = 1_000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}").fullmatch
_HEADER = (
    "# Who may use this unit's agent. `printright unit operator` writes this file; changes count at once.\n"
    "# permissions: view, print, control, delegate, admin\n"
)


class Permission(StrEnum):
    """What an operator may do. Whoever may VIEW may also halt the machine in an emergency; ADMIN may do everything."""

    VIEW = "view"
    PRINT = "print"
    CONTROL = "control"
    DELEGATE = "delegate"
    ADMIN = "admin"


@dataclass(frozen=True)
class Operator:
    """Somebody with a name. `uid` is the account whose processes are this operator's at the Unix socket."""

    name: str
    permissions: frozenset[Permission]
    uid: int | None = None
    token_sha256: bytes = field(default=b"", repr=False)

    def __post_init__(self) -> None:
        if not _NAME(self.name):
            raise BadValue(
                f"not an operator's name: {self.name[:40]!r}", hint="up to 32 of A-Z, a-z, 0-9, dot, dash, underscore"
            )
        if not self.permissions:
            raise BadValue(f"operator {self.name} may do nothing", hint=f"permissions: {', '.join(Permission)}")
        if self.uid is not None and not 0 <= self.uid < 1 << 32:
            raise BadValue(f"not a user id: {self.uid}")
        if self.token_sha256 and len(self.token_sha256) != 32:
            raise BadValue(f"the token's digest of operator {self.name} is no SHA-256")

    def may(self, permission: Permission) -> bool:
        return permission in self.permissions or Permission.ADMIN in self.permissions


class _Wire(msgspec.Struct, forbid_unknown_fields=True):
    permissions: list[Permission]
    uid: int | None = None
    token_sha256: str = ""


class Operators:
    """The operators of one unit. The account that owns the agent needs no entry: at its socket it is admin."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._all: tuple[Operator, ...] = ()

    def all(self) -> tuple[Operator, ...]:
        """Raises BadSettings for a file that is not whole, or that others may write."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            self._seen, self._all = None, ()
            return ()
        except OSError as error:
            raise BadSettings(f"cannot read {self._path}: {error.strerror}") from None
        if found.st_mode & 0o022:
            raise BadSettings(f"others may write {self._path}", hint=f"chmod 600 {self._path}")
        seen = (found.st_ino, found.st_mtime_ns, found.st_size)
        if seen != self._seen:
            self._all = self._read()
            self._seen = seen
        return self._all

    def _read(self) -> tuple[Operator, ...]:
        try:
            wire = msgspec.convert(tomllib.loads(self._path.read_text()), dict[str, _Wire])
            operators = tuple(
                Operator(name, frozenset(each.permissions), each.uid, bytes.fromhex(each.token_sha256))
                for name, each in wire.items()
            )
        except (OSError, ValueError) as error:
            raise BadSettings(f"{self._path}: {error}", hint="nobody but its owner gets in until it is right") from None
        uids = [each.uid for each in operators if each.uid is not None]
        if len(set(uids)) != len(uids):
            raise BadSettings(f"{self._path}: two operators have one uid")
        return operators

    def by_token(self, token: str) -> Operator | None:
        """Whose token this is. All are compared, each in constant time."""
        digest = hashlib.sha256(token.encode()).digest()
        found = None
        for each in self.all():
            if each.token_sha256 and hmac.compare_digest(each.token_sha256, digest):
                found = each
        return found

    def by_uid(self, uid: int) -> Operator | None:
        """Whose process this is; the agent's own account is admin, whatever the file says or whether there is one."""
        mine = uid == os.getuid()
        try:
            found = next((each for each in self.all() if each.uid == uid), None)
        except BadSettings:
            if not mine:
                raise
            found = None
        if not mine:
            return found
        return Operator(found.name if found else account_name(uid), frozenset({Permission.ADMIN}), uid)

    def add(self, name: str, permissions: frozenset[Permission], *, uid: int | None, with_token: bool) -> str | None:
        """Write a new operator; returns the token, which is nowhere else. Raises Misuse for a name or uid in use."""
        present = self.all()
        if any(each.name == name for each in present):
            raise Misuse(f"there is an operator {name}", hint="remove it first: `printright unit operator remove`")
        if uid is not None and any(each.uid == uid for each in present):
            raise Misuse(f"user id {uid} is another operator's already")
        if len(present) >= MAX_OPERATORS:
            raise Misuse(f"a unit has at most {MAX_OPERATORS} operators")
        token = TOKEN_PREFIX + secrets.token_urlsafe(32) if with_token else None
        digest = hashlib.sha256(token.encode()).digest() if token else b""
        self._write((*present, Operator(name, permissions, uid, digest)))
        return token

    def remove(self, name: str) -> None:
        """Raises Misuse for a name that there is not."""
        present = self.all()
        if all(each.name != name for each in present):
            raise Misuse(f"there is no operator {name[:40]!r}", hint="see `printright unit operator list`")
        self._write(tuple(each for each in present if each.name != name))

    def _write(self, operators: tuple[Operator, ...]) -> None:
        text = _HEADER
        for each in operators:
            text += f"\n[{json.dumps(each.name)}]\npermissions = {json.dumps(sorted(each.permissions))}\n"
            text += f"uid = {each.uid}\n" if each.uid is not None else ""
            text += f'token_sha256 = "{each.token_sha256.hex()}"\n' if each.token_sha256 else ""
        write_whole(self._path, text)


def account_name(uid: int) -> str:
    """The name of an account, where it is one that we can write; else its number."""
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = ""
    return name if _NAME(name) else f"uid-{uid}"

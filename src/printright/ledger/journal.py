"""The file that makes sending exactly-once: every intent and its signed transaction, written before it is sent.

SQLite in WAL mode with synchronous FULL: what `record` returned from is on the disk. One row for each intent. A
transaction that its intent's newest one outbids, under the same nonce, moves to `outbid`: either of them is mined,
never both. One that can provably never be mined any more moves to `superseded` when its intent is signed again. The
file belongs to one account on one contract, and to one process at a time.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path
from typing import IO

from printright.domain.ids import Address
from printright.errors import AlreadyRunning, BadSettings, CouldNotCheck, Misuse

SCHEMA_VERSION = 2
_SCHEMA = """
CREATE TABLE IF NOT EXISTS binding (
  one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL, chain_id INTEGER NOT NULL,
  contract TEXT NOT NULL, account TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS intent (
  key TEXT PRIMARY KEY, function TEXT NOT NULL, args_digest BLOB NOT NULL, nonce INTEGER NOT NULL UNIQUE,
  raw BLOB NOT NULL, hash BLOB NOT NULL, state INTEGER NOT NULL, reason TEXT NOT NULL, block INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS outbid (
  key TEXT NOT NULL, raw BLOB NOT NULL, hash BLOB NOT NULL UNIQUE
) STRICT;
CREATE TABLE IF NOT EXISTS superseded (
  key TEXT NOT NULL, nonce INTEGER NOT NULL, raw BLOB NOT NULL, hash BLOB NOT NULL, mined_instead BLOB NOT NULL
) STRICT;
"""
_COLUMNS = "key, function, args_digest, nonce, raw, hash, state, reason, block"


class JournalUnavailable(CouldNotCheck):
    """The journal could not be read or written, so nothing was sent."""


class KeyReused(Misuse):
    """An idempotency key that was used before, for another call."""


class State(IntEnum):
    """What the journal knows of an intent. Only FINAL is more than a hint: the ledger is asked for the rest."""

    SIGNED = 0
    MINED = 1
    REFUSED = 2
    FINAL = 3


@dataclass(frozen=True)
class Entry:
    """One intent. `reason` is the contract's for a refused one, `block` where it was mined, -1 before."""

    key: str
    function: str
    args_digest: bytes
    nonce: int
    raw: bytes
    hash: bytes
    state: State = State.SIGNED
    reason: str = ""
    block: int = -1

    def must_be(self, function: str, args_digest: bytes) -> None:
        """Raises KeyReused where the key stands for another call."""
        if self.args_digest != args_digest:
            raise KeyReused(
                f"key {self.key!r} was used for another call of {self.function}",
                hint=f"use a new key for this {function}: a key stands for one intent for good",
            )


class Journal:
    """Opened by `bind`, which takes the lock. Methods may be called from any thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._mutex = threading.RLock()
        self._lock_file: IO[bytes] | None = None
        self._connection: sqlite3.Connection | None = None

    def bind(self, chain_id: int, contract: Address, account: Address) -> None:
        """Open the file for this account. Raises AlreadyRunning where another process has it, BadSettings where it
        belongs to another network, contract or account, JournalUnavailable where it cannot be written.
        """
        self._lock()
        try:
            with self._trouble("open"):
                self._connection = self._connect()
                with self._transaction() as db:
                    for statement in _SCHEMA.split(";\n"):
                        db.execute(statement)
                    ours = (1, SCHEMA_VERSION, chain_id, contract, account)
                    db.execute("INSERT OR IGNORE INTO binding VALUES (?, ?, ?, ?, ?)", ours)
                    # Version 1 had no `outbid`.
                    db.execute("UPDATE binding SET version = 2 WHERE version = 1")
                    (found,) = db.execute("SELECT * FROM binding").fetchall()
                self._sync_folder()
            if found != ours:
                raise BadSettings(
                    f"the journal {self.path} belongs to account {found[4]} on contract {found[3]} of chain {found[2]}"
                    f" (format {found[1]}), not to {account} on {contract} of chain {chain_id}",
                    hint="use one journal for each account and network",
                )
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of file and lock; closing twice is no mistake."""
        with self._mutex:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
            if self._lock_file is not None:
                self._lock_file.close()
                self._lock_file = None

    def entries(self, keys: Sequence[str]) -> dict[str, Entry]:
        """The intents that were recorded under these keys."""
        found: dict[str, Entry] = {}
        with self._trouble("read"):
            for start in range(0, len(keys), 500):
                part = keys[start : start + 500]
                marks = ",".join("?" * len(part))
                for entry in self._select(f"WHERE key IN ({marks})", part):
                    found[entry.key] = entry
        return found

    def by_hash(self, tx_hash: bytes) -> Entry | None:
        """The intent whose transaction, the newest or one that it outbid, has this hash."""
        where = "WHERE hash = ?1 OR key IN (SELECT key FROM outbid WHERE hash = ?1)"
        with self._trouble("read"):
            return next(iter(self._select(where, (tx_hash,))), None)

    def between(self, first: int, last: int) -> list[Entry]:
        """The intents with nonces in this range, both included, in order."""
        with self._trouble("read"):
            return self._select("WHERE nonce BETWEEN ? AND ? ORDER BY nonce", (first, last))

    def unsettled(self) -> list[Entry]:
        """The intents not known to be mined, in the order of their nonces."""
        with self._trouble("read"):
            return self._select("WHERE state = ? ORDER BY nonce", (State.SIGNED,))

    def next_nonce(self) -> int:
        """One more than the highest recorded nonce; 0 for an empty journal."""
        with self._trouble("read"):
            (highest,) = self._db.execute("SELECT max(nonce) FROM intent").fetchone()
            return 0 if highest is None else int(highest) + 1

    def record(self, entries: Iterable[Entry]) -> None:
        """Commit new intents, all or none, and return when they are on the disk. Raises JournalUnavailable."""
        rows = [
            (e.key, e.function, e.args_digest, e.nonce, e.raw, e.hash, int(e.state), e.reason, e.block) for e in entries
        ]
        with self._trouble("write"), self._transaction() as db:
            db.executemany(f"INSERT INTO intent ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)  # noqa: S608

    def settle(self, outcomes: Iterable[tuple[str, State, str, int]]) -> None:
        """Commit what became of intents: key, state, reason, block."""
        rows = [(int(state), reason, block, key) for key, state, reason, block in outcomes]
        with self._trouble("write"), self._transaction() as db:
            db.executemany("UPDATE intent SET state = ?, reason = ?, block = ? WHERE key = ?", rows)

    def outbid(self, old: Entry, new: Entry) -> None:
        """Make `new` the intent's newest transaction, with the nonce of `old`, and keep `old`: it may be mined yet.

        Also the way back, where `new` is one that was outbid before.
        """
        with self._trouble("write"), self._transaction() as db:
            db.execute("DELETE FROM outbid WHERE hash = ?", (new.hash,))
            db.execute("INSERT INTO outbid VALUES (?, ?, ?)", (old.key, old.raw, old.hash))
            db.execute("UPDATE intent SET raw = ?, hash = ? WHERE key = ?", (new.raw, new.hash, new.key))

    def outbidden(self, entry: Entry) -> list[Entry]:
        """What the intent's newest transaction outbid, the newest first."""
        with self._trouble("read"):
            rows = self._db.execute(
                "SELECT raw, hash FROM outbid WHERE key = ? ORDER BY rowid DESC", (entry.key,)
            ).fetchall()
            return [replace(entry, raw=raw, hash=tx_hash) for raw, tx_hash in rows]

    def supersede(self, old: Entry, new: Entry, mined_instead: bytes) -> None:
        """Replace a transaction whose nonce another final transaction used, and keep the old one as evidence."""
        with self._trouble("write"), self._transaction() as db:
            db.execute(
                "INSERT INTO superseded VALUES (?, ?, ?, ?, ?)", (old.key, old.nonce, old.raw, old.hash, mined_instead)
            )
            db.execute(
                "INSERT INTO superseded SELECT key, ?, raw, hash, ? FROM outbid WHERE key = ?",
                (old.nonce, mined_instead, old.key),
            )
            db.execute("DELETE FROM outbid WHERE key = ?", (old.key,))
            db.execute(
                "UPDATE intent SET nonce = ?, raw = ?, hash = ?, state = ?, reason = '', block = -1 WHERE key = ?",
                (new.nonce, new.raw, new.hash, int(State.SIGNED), new.key),
            )

    def superseded(self, key: str) -> list[bytes]:
        """The hashes of transactions that were signed for this intent and can never be mined."""
        with self._trouble("read"):
            rows = self._db.execute("SELECT hash FROM superseded WHERE key = ? ORDER BY nonce", (key,)).fetchall()
            return [row[0] for row in rows]

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=5.0)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        return connection

    def _sync_folder(self) -> None:
        # A new file survives a power cut only with its name.
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _lock(self) -> None:
        path = self.path.with_name(self.path.name + ".lock")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock_file = path.open("wb")
        except OSError as error:
            raise JournalUnavailable(
                f"cannot open the journal {self.path}: {error.strerror}", hint="check the folder and its permissions"
            ) from error
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock_file.close()
            self._lock_file = None
            raise AlreadyRunning(
                f"another process uses the journal {self.path}", hint="stop it first; one agent runs for each account"
            ) from error

    @property
    def _db(self) -> sqlite3.Connection:
        if self._connection is None:
            raise JournalUnavailable(f"the journal {self.path} is closed", hint="open the ledger again")
        return self._connection

    def _select(self, where: str, values: Sequence[object]) -> list[Entry]:
        rows = self._db.execute(f"SELECT {_COLUMNS} FROM intent {where}", values).fetchall()  # noqa: S608
        return [
            Entry(key, function, digest, nonce, raw, tx_hash, State(state), reason, block)
            for key, function, digest, nonce, raw, tx_hash, state, reason, block in rows
        ]

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        db = self._db
        db.execute("BEGIN IMMEDIATE")
        try:
            yield db
            db.execute("COMMIT")
        except BaseException:
            # SQLite has rolled back by itself after some errors, such as a full disk.
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise

    @contextmanager
    def _trouble(self, doing: str) -> Iterator[None]:
        with self._mutex:
            try:
                yield
            except sqlite3.Error as error:
                raise JournalUnavailable(
                    f"cannot {doing} the journal {self.path}: {error}; nothing was sent",
                    hint="make room on its disk and check its permissions, then repeat the command",
                ) from error

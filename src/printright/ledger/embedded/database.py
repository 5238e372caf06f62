"""py-evm's key-value store and the ledger's own index in one SQLite file: a block is on disk entirely or not at all.

py-evm writes trie nodes, headers and look-ups as it goes; here they collect in memory, are visible to it at once,
and become one SQLite transaction with the block's event index in `commit`. SQLite runs in WAL mode with synchronous
FULL, so a commit that returned has been fsynced.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from eth.abc import AtomicWriteBatchAPI
from eth.db.atomic import AtomicDBWriteBatch
from eth.db.backends.base import BaseAtomicDB

from printright.errors import LedgerUnavailable

# Entries kept in memory. Nodes are about 200 bytes, so this is some 20 MB when full.
CACHED_NODES = 65_536

_SCHEMA = """
CREATE TABLE IF NOT EXISTS node (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS record (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS block (number INTEGER PRIMARY KEY, hash BLOB NOT NULL, timestamp INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS log (
    block INTEGER NOT NULL, position INTEGER NOT NULL, tx BLOB NOT NULL, address BLOB NOT NULL,
    topic0 BLOB, topic1 BLOB, topic2 BLOB, topic3 BLOB, data BLOB NOT NULL,
    PRIMARY KEY (block, position)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS log_topic0 ON log (topic0, block) WHERE topic0 IS NOT NULL;
CREATE INDEX IF NOT EXISTS log_topic1 ON log (topic1, block) WHERE topic1 IS NOT NULL;
CREATE INDEX IF NOT EXISTS log_topic2 ON log (topic2, block) WHERE topic2 IS NOT NULL;
CREATE INDEX IF NOT EXISTS log_topic3 ON log (topic3, block) WHERE topic3 IS NOT NULL;
"""


class StorageFailed(LedgerUnavailable):
    """The block could not be written (disk full, I/O error). It is not on the ledger; sending it again is safe."""


@dataclass(frozen=True)
class LogRow:
    """One event as the index keeps it. `topics` has 0 to 4 entries of 32 bytes, `position` counts in the block."""

    block: int
    position: int
    tx: bytes
    address: bytes
    topics: tuple[bytes, ...]
    data: bytes


@dataclass(frozen=True)
class BlockRow:
    """One block as the index keeps it. `timestamp` in unix seconds."""

    number: int
    hash: bytes
    timestamp: int


class Database(BaseAtomicDB):
    """The store that py-evm is given. Used by one thread at a time; see `server`."""

    def __init__(self, path: Path) -> None:
        """Open or make the file. Raises sqlite3.Error where it is no SQLite file."""
        self._path = path
        self.connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.execute("PRAGMA synchronous = FULL")
        # A ledger is opened by one process (folder.py), so that SQLite need not ask the file system each time.
        self.connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        self.connection.executescript(_SCHEMA)
        self._pending: dict[bytes, bytes | None] = {}
        self._cache: dict[bytes, bytes] = {}

    def close(self) -> None:
        """Fold the write-ahead log into the file and let go of it."""
        self.connection.close()

    # py-evm's side

    def __getitem__(self, key: bytes) -> bytes:
        if key in self._pending:
            pending = self._pending[key]
            if pending is None:
                raise KeyError(key)
            return pending
        cached = self._cache.get(key)
        if cached is not None:
            return cached
        row = self.connection.execute("SELECT value FROM node WHERE key = ?", (key,)).fetchone()
        if row is None:
            raise KeyError(key)
        value: bytes = row[0]
        self._remember(key, value)
        return value

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self._pending[key] = value

    def __delitem__(self, key: bytes) -> None:
        self[key]
        self._pending[key] = None

    def _exists(self, key: bytes) -> bool:
        try:
            self[key]
        except KeyError:
            return False
        return True

    @contextmanager
    def atomic_batch(self) -> Iterator[AtomicWriteBatchAPI]:
        """py-evm's batches; they join what is pending and reach the disk with the whole block."""
        with AtomicDBWriteBatch._commit_unless_raises(self) as batch:
            yield batch

    # the ledger's side

    def commit(self, block: BlockRow, logs: Sequence[LogRow] = (), records: Sequence[tuple[str, str]] = ()) -> None:
        """Write what is pending, with the block's index, in one transaction, fsynced when this returns.

        Raises StorageFailed where it cannot; then nothing was written and nothing is pending.
        """
        execute, many = self.connection.execute, self.connection.executemany
        pending, self._pending = self._pending, {}
        written = {key: value for key, value in pending.items() if value is not None}
        deleted = [(key,) for key, value in pending.items() if value is None]
        try:
            execute("BEGIN IMMEDIATE")
            many("INSERT OR REPLACE INTO node VALUES (?, ?)", written.items())
            many("DELETE FROM node WHERE key = ?", deleted)
            execute("INSERT INTO block VALUES (?, ?, ?)", (block.number, block.hash, block.timestamp))
            many("INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", [_values(log) for log in logs])
            many("INSERT OR REPLACE INTO record VALUES (?, ?)", records)
            execute("COMMIT")
        except sqlite3.Error as error:
            # A failed COMMIT (SQLITE_FULL, an I/O error) may or may not have rolled back by itself.
            if self.connection.in_transaction:
                execute("ROLLBACK")
            raise StorageFailed(
                f"block {block.number} was not written to {self._path}: {error}",
                hint="nothing of it is on the ledger; free some space and send it again",
            ) from error
        for (key,) in deleted:
            self._cache.pop(key, None)
        for key, value in written.items():
            self._remember(key, value)

    def discard(self) -> None:
        """Forget what is pending: the block is not made."""
        self._pending.clear()

    def records(self) -> dict[str, str]:
        """What the folder was made for, see `folder`."""
        return dict(self.connection.execute("SELECT name, value FROM record"))

    def _remember(self, key: bytes, value: bytes) -> None:
        self._cache[key] = value
        if len(self._cache) > CACHED_NODES:
            # The oldest half goes: what is read often comes back with its next read.
            for old in list(self._cache)[: CACHED_NODES // 2]:
                del self._cache[old]


def _values(log: LogRow) -> tuple[object, ...]:
    topics = (*log.topics, None, None, None, None)[:4]
    return (log.block, log.position, log.tx, log.address, *topics, log.data)

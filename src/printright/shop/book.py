"""What a shop's queue must not forget: what is to be made, what was ordered from which printer, and how that ended.

One SQLite file (WAL, synchronous FULL) that the daemon and the commands share; only one daemon at a time. An attempt is
written here with its key before it is sent, so that it is the same order however often it is sent.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from printright.domain.dispatch import OPEN, Attempt, Decision, Item, ItemState
from printright.domain.ids import JobId, LicenseId
from printright.domain.license import License
from printright.errors import AlreadyRunning, BadSettings, CouldNotCheck, Misuse
from printright.shop.rows import AttemptRow, ItemRow, PrinterRow

VERSION = 1
_SCHEMA = f"""
begin immediate;
create table licenses (id blob primary key, document text not null) without rowid;
create table items (number integer primary key autoincrement, license blob not null, quantity integer not null,
    may_fail integer not null, customer text not null, added_by text not null, added_at_s integer not null,
    position real not null, state text not null, note text not null default '');
create table attempts (number integer primary key autoincrement, item integer not null references items,
    printer text not null, quantity integer not null, order_key text not null unique, retry_of blob not null,
    state text not null, job blob not null default x'', good integer not null default 0,
    failed integer not null default 0, spent integer not null default 0, ordered_at_s integer not null,
    ended_at_s integer not null default 0, stage text not null default '', fraction real not null default 0,
    note text not null default '');
create unique index attempts_job on attempts (printer, job) where job != x'' and state != 'refused';
create index attempts_item on attempts (item);
create index attempts_printer on attempts (printer, state);
create unique index attempts_open on attempts (printer) where state in ('ordered', 'running');
create table printers (name text primary key, seen_at_s integer not null default 0, seen text not null default '{{}}',
    restored_after integer not null default 0) without rowid;
create table why_not (item integer, printer text, reason text, primary key (item, printer)) without rowid;
pragma user_version = {VERSION};
commit;
"""


_STANDING = """where items.state in ('queued', 'held') or exists (select 1 from attempts
    where item = items.number and attempts.state in ('ordered', 'running'))"""
_SELECT_ITEMS = """select number, license, quantity, may_fail, customer, added_by, added_at_s, position, state, note,
    document from items join licenses on id = license"""
_SELECT_ATTEMPTS = """select number, item, printer, quantity, order_key, retry_of, state, job, good, failed, spent,
    ordered_at_s, ended_at_s, stage, fraction, note from attempts"""


class QueueUnavailable(CouldNotCheck):
    """The queue's book could not be read or written (disk full, disk gone): the step was not taken."""


class QueueBook:
    """The book of one shop. Raises QueueUnavailable; BadSettings for a file of a later version."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._mutex = threading.Lock()
        with self._trouble():
            path.touch(mode=0o600)
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
            self._db.execute("pragma journal_mode = wal")
            self._db.execute("pragma synchronous = full")
            self._open()

    def _open(self) -> None:
        (version,) = self._db.execute("pragma user_version").fetchone()
        if version > VERSION:
            self._db.close()
            raise BadSettings(f"the queue {self._path} has version {version}, this program knows {VERSION}")
        if version == 0:
            try:
                self._db.executescript(_SCHEMA)
            except sqlite3.OperationalError:
                # Another process was first: it is done, or it is nothing of ours.
                if self._db.in_transaction:
                    self._db.execute("rollback")
                if self._db.execute("pragma user_version").fetchone() != (VERSION,):
                    raise

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def driving(self) -> Iterator[None]:
        """Be the one process that sends this queue's orders. Raises AlreadyRunning."""
        with self._trouble():
            lock = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise AlreadyRunning(
                    f"another `printright queue run` drives {self._path}",
                    hint="one queue has one; stop the other first",
                ) from None
            yield
        finally:
            os.close(lock)

    # What people say ------------------------------------------------------------------------------------------

    def add(self, license: License, quantity: int, *, may_fail: int, customer: str, added_by: str, now_s: int) -> int:
        """Put an item at the end; its number. `quantity` copies, tried again while no more than `may_fail` failed."""
        Item(number=0, license=license.id, quantity=quantity, may_fail=may_fail, position=0.0)
        with self._transaction():
            document = json.dumps(license.to_json())
            self._db.execute("insert or replace into licenses values (?, ?)", (license.id, document))
            (last,) = self._db.execute("select coalesce(max(position), 0) from items").fetchone()
            row = (license.id, quantity, may_fail, customer, added_by, now_s, last + 1, str(ItemState.QUEUED))
            made = self._db.execute(
                "insert into items (license, quantity, may_fail, customer, added_by, added_at_s, position, state)"
                " values (?, ?, ?, ?, ?, ?, ?, ?)",
                row,
            )
            assert made.lastrowid is not None
            return made.lastrowid

    def cancel(self, number: int) -> None:
        """Order nothing more of an item; what runs is stopped by the daemon. Raises Misuse for one that is over."""
        self._turn(number, (ItemState.QUEUED, ItemState.HELD), ItemState.CANCELLED, "cancelled")

    def resume(self, number: int) -> None:
        """Go on with a held item: as many copies may fail again as at first."""
        with self._transaction():
            row = self._item(number)
            if row.item.state is not ItemState.HELD:
                raise Misuse(f"item {number} is not held, it is {row.item.state}")
            may_fail = row.tally.failed + row.item.may_fail
            self._db.execute(
                "update items set state = 'queued', note = '', may_fail = ? where number = ?", (may_fail, number)
            )

    def move(self, number: int, *, before: int | None) -> None:
        """Put an item before another, or at the end. Raises Misuse for one that there is not."""
        with self._transaction():
            self._item(number)
            if before is None:
                (place,) = self._db.execute("select max(position) + 1 from items").fetchone()
            else:
                high = self._item(before).item.position
                (low,) = self._db.execute(
                    "select coalesce(max(position), ? - 1) from items where position < ? and number != ?",
                    (high, high, number),
                ).fetchone()
                place = (low + high) / 2
            self._db.execute("update items set position = ? where number = ?", (place, number))

    def give_up(self, number: int, printer: str, now_s: int) -> None:
        """Count what an absent printer was given of an item as failed. Raises Misuse where it has nothing of it."""
        with self._transaction():
            done = self._db.execute(
                "update attempts set state = 'given up', failed = quantity, ended_at_s = ?,"
                " note = 'given up by the shop' where item = ? and printer = ? and state in ('ordered', 'running')",
                (now_s, number, printer),
            )
            if not done.rowcount:
                raise Misuse(
                    f"printer {printer} has no open order of item {number}", hint="see `printright queue show`"
                )

    def restore(self, printer: str) -> None:
        """Let a printer that was set aside back in."""
        with self._transaction():
            (last,) = self._db.execute("select coalesce(max(number), 0) from attempts").fetchone()
            self._db.execute(
                "insert into printers (name, restored_after) values (?, ?)"
                " on conflict (name) do update set restored_after = excluded.restored_after",
                (printer, last),
            )

    def _turn(self, number: int, before: tuple[ItemState, ...], after: ItemState, note: str) -> None:
        with self._transaction():
            row = self._item(number)
            if row.item.state not in before:
                raise Misuse(f"item {number} is {row.item.state}", hint="see `printright queue list`")
            self._db.execute("update items set state = ?, note = ? where number = ?", (str(after), note, number))

    # What the daemon does -------------------------------------------------------------------------------------

    def apply(self, decision: Decision, now_s: int) -> list[Attempt]:
        """Write a decision down, all of it or nothing; the new attempts, each with a key of its own."""
        with self._transaction():
            for order in decision.orders:
                # An item that was cancelled since it was looked at gets no order.
                state = self._item(order.item).item.state
                if state is not ItemState.QUEUED:
                    continue
                row = (order.item, order.printer, order.quantity, secrets.token_hex(16), order.retry_of or b"", now_s)
                self._db.execute(
                    "insert into attempts (item, printer, quantity, order_key, retry_of, state, ordered_at_s)"
                    " values (?, ?, ?, ?, ?, 'ordered', ?)",
                    row,
                )
            for number in decision.done:
                self._db.execute(
                    "update items set state = 'done', note = '' where number = ? and state = 'queued'", (number,)
                )
            for number, note in decision.held.items():
                self._db.execute(
                    "update items set state = 'held', note = ? where number = ? and state = 'queued'", (note, number)
                )
            self._db.execute("delete from why_not")
            rows = [(item, printer, reason) for (item, printer), reason in decision.why_not.items()]
            self._db.executemany("insert into why_not values (?, ?, ?)", rows)
            return [each.attempt for each in self._attempts("where state = 'ordered' order by number")]

    def took(self, attempt: Attempt, job: JobId, *, stage: str, fraction: float, note: str, spent: bool) -> None:
        """The agent has the order and shows this of it; a shop that gave it up is not told otherwise by that."""
        with self._transaction():
            self._db.execute(
                "update attempts set state = iif(state = 'ordered', 'running', state), job = ?, stage = ?,"
                " fraction = ?, note = iif(state = 'given up', note, ?), spent = ? where number = ?",
                (job, stage, fraction, note, spent, attempt.number),
            )

    def note(self, attempt: Attempt, note: str) -> None:
        with self._transaction():
            self._db.execute("update attempts set note = ? where number = ?", (note, attempt.number))

    def refused(self, attempt: Attempt, note: str, now_s: int) -> None:
        """The order came to nothing: no copy was spent for it, and none will be."""
        with self._transaction():
            self._db.execute(
                "update attempts set state = 'refused', stage = '', good = 0, failed = 0, note = ?, ended_at_s = ?"
                " where number = ?",
                (note, now_s, attempt.number),
            )

    def ended(self, attempt: Attempt, job: JobId, *, good: int, failed: int, note: str, now_s: int) -> None:
        """The job is over, with these copies."""
        with self._transaction():
            self._db.execute(
                "update attempts set state = 'ended', stage = 'finished', fraction = 1, spent = 1, job = ?, good = ?,"
                " failed = ?, note = ?, ended_at_s = ? where number = ?",
                (job, good, failed, note, now_s, attempt.number),
            )

    def saw(self, printer: str, seen: dict[str, Any], now_s: int) -> None:
        """What a printer's agent shows now, for people."""
        with self._transaction():
            self._db.execute(
                "insert into printers (name, seen_at_s, seen) values (?, ?, ?)"
                " on conflict (name) do update set seen_at_s = excluded.seen_at_s, seen = excluded.seen",
                (printer, now_s, json.dumps(seen)),
            )

    # What is there --------------------------------------------------------------------------------------------

    def items(self, *, over: bool = False) -> list[ItemRow]:
        """The items in their order, those that are over only where asked for."""
        with self._mutex, self._trouble():
            return self._items(f"{'' if over else _STANDING} order by position, number")

    def item(self, number: int) -> ItemRow:
        """Raises Misuse for one that there is not."""
        with self._mutex, self._trouble():
            return self._item(number)

    def recent(self, printer: str, limit: int) -> list[Attempt]:
        """The last attempts that ended at a printer since it was let back in, the oldest first."""
        with self._mutex, self._trouble():
            where = """where printer = ? and state in ('ended', 'given up')
                and number > coalesce((select restored_after from printers where name = printer), 0)"""
            rows = self._attempts(f"{where} order by ended_at_s desc, number desc limit ?", (printer, limit))
        return [each.attempt for each in reversed(rows)]

    def to_settle(self, printer: str) -> list[Attempt]:
        """The attempts of which this printer's agent can tell something new: open, or given up without its word."""
        with self._mutex, self._trouble():
            where = "where printer = ? and state in ('ordered', 'running', 'given up') order by number"
            return [each.attempt for each in self._attempts(where, (printer,))]

    def license(self, id: LicenseId) -> License:
        with self._mutex, self._trouble():
            row = self._db.execute("select document from licenses where id = ?", (id,)).fetchone()
        return License.from_json(json.loads(row[0]))

    def licenses(self) -> list[License]:
        """Every license that the queue was ever given."""
        with self._mutex, self._trouble():
            rows = self._db.execute("select document from licenses").fetchall()
        return [License.from_json(json.loads(row[0])) for row in rows]

    def printers(self) -> dict[str, PrinterRow]:
        """Each printer that was ever seen, by name."""
        with self._mutex, self._trouble():
            rows = self._db.execute("select name, seen_at_s, seen from printers").fetchall()
        return {name: PrinterRow(seen_at_s, json.loads(seen)) for name, seen_at_s, seen in rows}

    def _item(self, number: int) -> ItemRow:
        found = self._items("where number = ?", (number,))
        if not found:
            raise Misuse(f"the queue has no item {number}", hint="see `printright queue list`")
        return found[0]

    def _items(self, where: str, values: tuple[Any, ...] = ()) -> list[ItemRow]:
        made = []
        for row in self._db.execute(f"{_SELECT_ITEMS} {where}", values).fetchall():
            attempts = self._attempts("where item = ? order by number", row[:1])
            reasons = self._db.execute("select printer, reason from why_not where item = ?", row[:1]).fetchall()
            made.append(ItemRow.of(row, attempts, dict(reasons)))
        return made

    def _attempts(self, where: str, values: Sequence[Any] = ()) -> list[AttemptRow]:
        return [AttemptRow.of(row) for row in self._db.execute(f"{_SELECT_ATTEMPTS} {where}", values)]

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._mutex, self._trouble():
            self._db.execute("begin immediate")
            try:
                yield
                self._db.execute("commit")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("rollback")
                raise

    @contextmanager
    def _trouble(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.IntegrityError:
            raise
        except (sqlite3.Error, OSError) as error:
            raise QueueUnavailable(
                f"the queue {self._path} cannot be written or read: {error}; this step was not taken",
                hint="make room on its disk; the queue goes on from the step before",
            ) from error


assert [str(state) for state in OPEN] == ["ordered", "running"], "the statements above name them"

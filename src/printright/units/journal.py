"""What a unit must not forget: its jobs, each step written before it is taken, its bed, and who said what.

One SQLite file (WAL, synchronous FULL), one row a job. After a crash the agent reads the open job from here and asks
the ledger for the rest; the job's id is the key on both sides. Tables and their older forms: `journal_schema`.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from printright.domain.ids import JobId, LicenseId
from printright.domain.job import Outcome
from printright.errors import AlreadyRunning, CouldNotCheck, Misuse
from printright.units.journal_schema import bring_up_to_date
from printright.units.machine_state import Act, Bed, BedState, Loaded


class JobJournalUnavailable(CouldNotCheck):
    """The unit's journal could not be read or written (disk full, disk gone): the step was not taken."""


class Stage(StrEnum):
    """Where a job stands in this unit. The first five are open: the agent still has something to do.

    REFUSED by the ledger and CANCELLED before anything was spent leave their job id to the next order.
    """

    PLANNED = "planned"
    SPENT = "spent"
    PRINTING = "printing"
    WAITING = "waiting"
    REPORTING = "reporting"
    FINISHED = "finished"
    REFUSED = "refused"
    CANCELLED = "cancelled"


OPEN = (Stage.PLANNED, Stage.SPENT, Stage.PRINTING, Stage.WAITING, Stage.REPORTING)


@dataclass(frozen=True)
class JobEntry:
    """One order. `number` counts this unit's orders; one that the ledger refused leaves its job id to the next.

    `outcomes` holds one entry for each copy whose run has ended; `sealed_secret` yields the part codes.
    `runs_begun > runs_ended` in a journal that nobody holds means that a run was cut off by a crash.
    `operator` is who ordered it, `order_key` what the order was sent under (the same key is the same order),
    `reference` what it belongs to, `retry_of` the job whose failed copies it makes again; each may be empty.
    With `unattended` a failed run ends the job: nobody is asked. `failure` says why the first failed run failed. `hot`:
    the machine was last heard of in the middle of a run, and may still be heated.
    """

    number: int
    job: JobId
    license: LicenseId
    sequence: int
    quantity: int
    parts_per_run: int
    customer: str
    inspect: bool
    stage: Stage
    cancelled: bool
    sealed_secret: bytes
    ordered_at_s: int
    started_at_s: int = 0
    runs_begun: int = 0
    runs_ended: int = 0
    outcomes: tuple[Outcome, ...] = ()
    note: str = ""
    record: bytes = b""
    parts: bytes = b""
    operator: str = ""
    order_key: str = ""
    reference: str = ""
    retry_of: bytes = b""
    unattended: bool = False
    hot: bool = False
    failure: str = ""

    @property
    def runs(self) -> int:
        return self.quantity // self.parts_per_run

    @property
    def is_open(self) -> bool:
        return self.stage in OPEN

    @property
    def is_spent(self) -> bool:
        """Whether the ledger may have taken the copies: a WAITING job that is not is still free to go."""
        return self.started_at_s > 0


_COLUMNS = tuple(f.name for f in fields(JobEntry))
_FLAGS = ("inspect", "cancelled", "unattended", "hot")
_State = TypeVar("_State", Bed, Loaded)


class JobJournal:
    """The journal of one unit, held by one process at a time.

    Raises AlreadyRunning where another holds it, JobJournalUnavailable.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._mutex = threading.Lock()
        with self._trouble():
            self._lock_file = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock_file)
            raise AlreadyRunning(
                f"another agent holds the journal {path}", hint="one unit has one agent; stop the other one first"
            ) from None
        try:
            with self._trouble():
                self._open()
        except BaseException:
            os.close(self._lock_file)
            raise

    def _open(self) -> None:
        self._path.touch(mode=0o600, exist_ok=True)
        self._db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        self._db.execute("pragma journal_mode = wal")
        self._db.execute("pragma synchronous = full")
        bring_up_to_date(self._db, self._path)
        # A new file survives a power cut only with its name.
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def close(self) -> None:
        """Let go of the file and its lock."""
        self._db.close()
        os.close(self._lock_file)

    def begin(self, entry: JobEntry, *, bed: Bed | None = None) -> JobEntry:
        """Write a new job, with the next number, and what is known of the bed with it.

        Raises Misuse while another one is open: one job at a time.
        """
        with self._transaction():
            if self._open_job() is not None:
                raise Misuse("the unit has an open job", hint="finish or cancel it first: `printright job status`")
            (last,) = self._db.execute("select coalesce(max(number), 0) from jobs").fetchone()
            entry = replace(entry, number=last + 1)
            marks = ", ".join("?" * len(_COLUMNS))
            row = [_to_column(getattr(entry, name)) for name in _COLUMNS]
            self._db.execute(f"insert into jobs ({', '.join(_COLUMNS)}) values ({marks})", row)  # noqa: S608
            self._put("bed", bed)
        return entry

    def update(self, entry: JobEntry, *, bed: Bed | None = None, act: Act | None = None, **changes: Any) -> JobEntry:
        """Write `changes` to the job, what it did to the bed and whose act it was; on disk when this returns."""
        names = list(changes)
        row = [_to_column(changes[name]) for name in names]
        with self._transaction():
            sets = ", ".join(f"{name} = ?" for name in names)
            self._db.execute(f"update jobs set {sets} where number = ?", [*row, entry.number])  # noqa: S608
            self._put("bed", bed)
            self._note(act, entry.job)
        return replace(entry, **changes)

    def halted(self) -> str:
        """Why the machine is halted; empty where it is not."""
        with self._mutex, self._trouble():
            row = self._db.execute("select reason from halt").fetchone()
        return str(row[0]) if row else ""

    def keep_halt(self, reason: str) -> None:
        """Write down why the machine is halted, or with an empty reason that it is not any more."""
        with self._transaction():
            self._db.execute("delete from halt")
            if reason:
                self._db.execute("insert into halt values (1, ?)", (reason,))

    def open_job(self) -> JobEntry | None:
        """The job that is not finished yet, or None."""
        with self._mutex, self._trouble():
            return self._open_job()

    def get(self, job: JobId) -> JobEntry | None:
        """The newest order with this job id, or None."""
        with self._mutex, self._trouble():
            return self._one("where job = ? order by number desc", (job,))

    def ordered(self, order_key: str) -> JobEntry | None:
        """The order that was sent under this key, or None."""
        with self._mutex, self._trouble():
            return self._one("where order_key = ?", (order_key,))

    def all(self) -> list[JobEntry]:
        """All jobs, the newest first."""
        with self._mutex, self._trouble():
            rows = self._db.execute(f"select {', '.join(_COLUMNS)} from jobs order by number desc")  # noqa: S608
            return [_from_row(row) for row in rows]

    def hot(self) -> JobEntry | None:
        """The last job, open or not, in whose run the machine was lost sight of; None where there is none."""
        with self._mutex, self._trouble():
            return self._one("where hot order by number desc", ())

    def cooled(self, entry: JobEntry, note: str) -> None:
        """What `hot` gave was cooled down. A run that has begun since stays marked."""
        with self._transaction():
            self._db.execute(
                "update jobs set hot = 0, note = note || ? where number = ? and runs_begun = ?",
                (note, entry.number, entry.runs_begun),
            )

    # The machine ---------------------------------------------------------------------------------------------

    def bed(self) -> Bed:
        """What is known of the bed."""
        with self._mutex, self._trouble():
            return self._get("bed", Bed())

    def clear_bed(self, act: Act) -> None:
        """The operator's word that the bed is clear. Raises Misuse while a run is on it."""
        with self._transaction():
            entry = self._open_job()
            if entry is not None and entry.runs_begun > entry.runs_ended:
                raise Misuse("the machine is printing: its bed is not clear", hint="see `printright job status`")
            self._put("bed", Bed(BedState.CLEAR, act.operator, act.at_s))
            self._note(act, b"")

    def loaded(self) -> Loaded:
        """The material that the operator loaded last."""
        with self._mutex, self._trouble():
            return self._get("loaded", Loaded())

    def load(self, loaded: Loaded, act: Act) -> None:
        with self._transaction():
            self._put("loaded", loaded)
            self._note(act, b"")

    def note(self, act: Act, job: bytes = b"") -> None:
        """Write down an act that changes no job."""
        with self._transaction():
            self._note(act, job)

    def acts(self, limit: int = 1_000) -> list[tuple[Act, bytes]]:
        """What the operators did, each with the job that it was about, the newest first."""
        with self._mutex, self._trouble():
            rows = self._db.execute(
                "select operator, what, at_s, job from acts order by number desc limit ?", (limit,)
            ).fetchall()
        return [(Act(operator, what, at_s), job) for operator, what, at_s, job in rows]

    def _get(self, name: str, default: _State) -> _State:
        row = self._db.execute("select value from machine where name = ?", (name,)).fetchone()
        return type(default).from_json(row[0]) if row else default

    def _put(self, name: str, state: Bed | Loaded | None) -> None:
        if state is not None:
            self._db.execute("insert or replace into machine (name, value) values (?, ?)", (name, state.to_json()))

    def _note(self, act: Act | None, job: bytes) -> None:
        if act is not None:
            row = (act.operator, act.what, act.at_s, job)
            self._db.execute("insert into acts (operator, what, at_s, job) values (?, ?, ?, ?)", row)

    def _open_job(self) -> JobEntry | None:
        marks = ", ".join("?" * len(OPEN))
        return self._one(f"where stage in ({marks})", tuple(map(str, OPEN)))

    def _one(self, where: str, values: tuple[Any, ...]) -> JobEntry | None:
        row = self._db.execute(f"select {', '.join(_COLUMNS)} from jobs {where}", values).fetchone()  # noqa: S608
        return _from_row(row) if row else None

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._mutex, self._trouble():
            try:
                self._db.execute("begin immediate")
                yield
                self._db.execute("commit")
            except BaseException:
                self._rollback()
                raise

    @contextmanager
    def _trouble(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.IntegrityError:
            raise
        except (sqlite3.Error, OSError) as error:
            raise JobJournalUnavailable(
                f"the unit's journal cannot be written or read: {error}; this step was not taken",
                hint="make room on its disk; the agent goes on from the step before",
            ) from error

    def _rollback(self) -> None:
        if self._db.in_transaction:
            self._db.execute("rollback")


def _to_column(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, tuple) else str(value) if isinstance(value, Stage) else value


def _from_row(row: tuple[Any, ...]) -> JobEntry:
    values = dict(zip(_COLUMNS, row, strict=True))
    values["stage"] = Stage(values["stage"])
    values.update({name: bool(values[name]) for name in _FLAGS})
    values["outcomes"] = tuple(Outcome(name) for name in json.loads(values["outcomes"]))
    return JobEntry(**values)

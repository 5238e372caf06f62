"""The tables of a unit's journal, and how a journal of an earlier version becomes one of this one.

`pragma user_version` counts the steps that a file has taken. A step is never changed once it was released: what comes
next is a new step. All that are missing are taken in one transaction, so that a crash leaves the file as it was.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from printright.errors import BadSettings

# Before versions were counted, the first step may have been taken: it says "if not exists".
_STEPS = (
    (
        """create table if not exists jobs (number, job, license, sequence, quantity, parts_per_run, customer, inspect,
        stage, cancelled, sealed_secret, ordered_at_s, started_at_s, runs_begun, runs_ended, outcomes, note, record,
        parts, primary key (number))""",
        "create unique index if not exists jobs_job on jobs (job) where stage != 'refused'",
        "create unique index if not exists jobs_sequence on jobs (sequence) where stage != 'refused'",
        "create table if not exists halt (one integer primary key check (one = 1), reason)",
    ),
    (
        "alter table jobs add column operator text not null default ''",
        "alter table jobs add column order_key text not null default ''",
        "alter table jobs add column reference text not null default ''",
        "alter table jobs add column retry_of blob not null default x''",
        "alter table jobs add column unattended integer not null default 0",
        "drop index jobs_job",
        "drop index jobs_sequence",
        "create unique index jobs_job on jobs (job) where stage != 'refused' and stage != 'cancelled'",
        "create unique index jobs_sequence on jobs (sequence) where stage != 'refused' and stage != 'cancelled'",
        "create unique index jobs_order_key on jobs (order_key) where order_key != ''",
        "create table machine (name text primary key, value text not null) without rowid",
        "create table acts (number integer primary key, operator text, what text, at_s integer, job blob)",
    ),
    (
        "alter table jobs add column hot integer not null default 0",
        # An agent may have been ended in mid-print to install the version with this column.
        "update jobs set hot = 1 where runs_begun > runs_ended",
    ),
    ("alter table jobs add column failure text not null default ''",),
)
VERSION = len(_STEPS)


def bring_up_to_date(db: sqlite3.Connection, path: Path) -> None:
    """Take the steps that are missing. Raises BadSettings for a journal of a later version; it is left alone."""
    (version,) = db.execute("pragma user_version").fetchone()
    if version > VERSION:
        raise BadSettings(
            f"the journal {path} has version {version}, this program knows {VERSION}",
            hint="a newer Printright wrote it: install that one again",
        )
    if version == VERSION:
        return
    db.execute("begin immediate")
    try:
        for step in _STEPS[version:]:
            for statement in step:
                db.execute(statement)
        db.execute(f"pragma user_version = {VERSION}")
        db.execute("commit")
    except BaseException:
        if db.in_transaction:
            db.execute("rollback")
        raise

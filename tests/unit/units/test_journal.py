"""The unit's journal: one open job, one holder, nothing lost by a kill or a full disk."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from printright.domain.ids import JobId, LicenseId
from printright.domain.job import Outcome
from printright.errors import AlreadyRunning, BadSettings, Misuse, PrintrightError
from printright.units.journal import JobEntry, JobJournal, Stage
from printright.units.journal_schema import VERSION, bring_up_to_date
from printright.units.machine_state import Act, Bed, BedState, Loaded


def entry(job: bytes = b"j" * 32, sequence: int = 1) -> JobEntry:
    return JobEntry(
        number=0,
        job=JobId(job),
        license=LicenseId(b"l" * 32),
        sequence=sequence,
        quantity=4,
        parts_per_run=2,
        customer="ACME",
        inspect=False,
        stage=Stage.PLANNED,
        cancelled=False,
        sealed_secret=b"sealed",
        ordered_at_s=1,
    )


def test_what_is_written_is_read_after_a_restart(tmp_path: Path) -> None:
    journal = JobJournal(tmp_path / "jobs.sqlite")
    written = journal.update(
        journal.begin(entry()), stage=Stage.PRINTING, runs_begun=1, outcomes=(Outcome.GOOD, Outcome.FAILED), record=b"r"
    )
    journal.close()
    journal = JobJournal(tmp_path / "jobs.sqlite")
    assert journal.open_job() == journal.get(written.job) == written
    assert written.runs == 2
    journal.close()


def test_one_job_at_a_time(tmp_path: Path) -> None:
    journal = JobJournal(tmp_path / "jobs.sqlite")
    first = journal.begin(entry())
    with pytest.raises(Misuse, match="open job"):
        journal.begin(entry(b"k" * 32, 2))
    journal.update(first, stage=Stage.FINISHED)
    assert journal.begin(entry(b"k" * 32, 2)).number == 2
    journal.close()


def test_a_refused_order_leaves_its_job_id_to_the_next(tmp_path: Path) -> None:
    journal = JobJournal(tmp_path / "jobs.sqlite")
    journal.update(journal.begin(entry()), stage=Stage.REFUSED)
    again = journal.begin(entry())
    assert (again.number, journal.get(again.job)) == (2, again)
    journal.update(again, stage=Stage.FINISHED)
    # A job that was spent is never begun again. Without the partial indexes this one would be.
    with pytest.raises(sqlite3.IntegrityError):
        journal.begin(entry())
    journal.close()


def test_two_agents_for_one_unit(tmp_path: Path) -> None:
    first = JobJournal(tmp_path / "jobs.sqlite")
    with pytest.raises(AlreadyRunning, match="one unit has one agent"):
        JobJournal(tmp_path / "jobs.sqlite")
    first.close()
    JobJournal(tmp_path / "jobs.sqlite").close()


def test_nobody_else_reads_it(tmp_path: Path) -> None:
    JobJournal(tmp_path / "jobs.sqlite").close()
    assert (tmp_path / "jobs.sqlite").stat().st_mode & 0o077 == 0


def test_a_full_disk_is_said_and_loses_nothing(tmp_path: Path) -> None:
    journal = JobJournal(tmp_path / "jobs.sqlite")
    begun = journal.begin(entry())
    pages = journal._db.execute("pragma page_count").fetchone()[0]
    journal._db.execute(f"pragma max_page_count = {pages}")
    with pytest.raises(PrintrightError, match="journal cannot be written"):
        journal.update(begun, record=os.urandom(100_000))
    assert journal.open_job() == begun
    journal._db.execute("pragma max_page_count = 100000")
    assert journal.update(begun, record=b"x" * 100_000).record == b"x" * 100_000
    journal.close()


def test_killed_after_each_write_it_goes_on_from_there(tmp_path: Path) -> None:
    script = (
        "import os, sys\nsys.path.insert(0, sys.argv[2])\nfrom pathlib import Path\nfrom test_journal import *\n"
        "journal = JobJournal(Path(sys.argv[1]))\nbegun = journal.begin(entry())\nprint('begun', flush=True)\n"
        "journal.update(begun, stage=Stage.SPENT)\nprint('spent', flush=True)\nos.kill(os.getpid(), 9)\n"
    )
    path = tmp_path / "jobs.sqlite"
    done = subprocess.run(
        [sys.executable, "-c", script, str(path), str(Path(__file__).parent)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -9
    assert done.stdout.split() == ["begun", "spent"]
    journal = JobJournal(path)
    found = journal.open_job()
    assert found is not None
    assert found.stage is Stage.SPENT
    journal.close()


# Older journals, and newer ones -----------------------------------------------------------------------------------

FIRST_VERSION = """
create table jobs (number, job, license, sequence, quantity, parts_per_run, customer, inspect, stage, cancelled,
    sealed_secret, ordered_at_s, started_at_s, runs_begun, runs_ended, outcomes, note, record, parts,
    primary key (number));
create unique index jobs_job on jobs (job) where stage != 'refused';
create unique index jobs_sequence on jobs (sequence) where stage != 'refused';
insert into jobs values (1, x'6a', x'6c', 1, 1, 1, '', 0, 'finished', 0, x'73', 1, 2, 1, 1, '["good"]', '', x'72', x'70');
insert into jobs values (2, x'6b', x'6c', 2, 4, 2, 'ACME', 1, 'waiting', 0, x'73', 3, 4, 1, 1, '["good", "failed"]',
    'clear the bed, then continue', x'', x'');
"""  # noqa: E501


def of_the_first_version(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("pragma journal_mode = wal")
        db.executescript(FIRST_VERSION)
    db.close()


def test_a_journal_of_the_first_version_opens_with_its_open_job(tmp_path: Path) -> None:
    of_the_first_version(tmp_path / "jobs.sqlite")
    for _ in range(2):
        journal = JobJournal(tmp_path / "jobs.sqlite")
        found = journal.open_job()
        assert found is not None
        assert (found.number, found.customer, found.inspect, found.runs_ended) == (2, "ACME", True, 1)
        assert (found.operator, found.order_key, found.retry_of, found.unattended) == ("", "", b"", False)
        assert found.is_spent
        assert journal.bed() == Bed(), "nobody knows what is on it"
        journal.close()
    journal = JobJournal(tmp_path / "jobs.sqlite")
    journal.update(found, stage=Stage.FINISHED)
    assert journal.begin(entry(b"n" * 32, 3)).number == 3
    journal.close()


def test_a_step_that_has_no_room_leaves_the_old_journal(tmp_path: Path) -> None:
    # Red where the steps are not one transaction.
    of_the_first_version(tmp_path / "jobs.sqlite")
    db = sqlite3.connect(tmp_path / "jobs.sqlite", isolation_level=None)
    before = db.execute("select sql from sqlite_master order by name").fetchall()
    db.execute(f"pragma max_page_count = {db.execute('pragma page_count').fetchone()[0] + 1}")
    with pytest.raises(sqlite3.OperationalError, match="full"):
        bring_up_to_date(db, tmp_path / "jobs.sqlite")
    assert db.execute("select sql from sqlite_master order by name").fetchall() == before
    assert db.execute("pragma user_version").fetchone() == (0,)
    db.close()
    JobJournal(tmp_path / "jobs.sqlite").close()


def test_a_journal_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    JobJournal(tmp_path / "jobs.sqlite").close()
    with sqlite3.connect(tmp_path / "jobs.sqlite") as db:
        db.execute(f"pragma user_version = {VERSION + 1}")
    db.close()
    with pytest.raises(BadSettings, match="a newer Printright wrote it"):
        JobJournal(tmp_path / "jobs.sqlite")


# The bed, the material, and who did what --------------------------------------------------------------------------


def test_the_bed_is_what_was_written_with_the_job(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    journal = JobJournal(path)
    assert not journal.bed().is_clear(clears_itself=False)
    assert journal.bed().is_clear(clears_itself=True)
    begun = journal.begin(entry(), bed=Bed(BedState.CLEAR, "anna", 5))
    assert journal.bed().is_clear(clears_itself=False)
    running = journal.update(begun, bed=Bed(BedState.OCCUPIED), stage=Stage.PRINTING, runs_begun=1)
    journal.close()
    journal = JobJournal(path)
    assert not journal.bed().is_clear(clears_itself=True), "a run that was cut off lies there on any machine"
    with pytest.raises(Misuse, match="is printing"):
        journal.clear_bed(Act("bert", "bed clear", 6))
    journal.update(running, stage=Stage.FINISHED, runs_ended=1)
    journal.clear_bed(Act("bert", "bed clear", 7))
    assert journal.bed() == Bed(BedState.CLEAR, "bert", 7)
    journal.load(Loaded("PETG", "red", "bert", 8), Act("bert", "load PETG red", 8))
    journal.close()
    journal = JobJournal(path)
    assert journal.loaded() == Loaded("PETG", "red", "bert", 8)
    assert [act.what for act, _ in journal.acts()] == ["load PETG red", "bed clear"]
    journal.close()


def test_an_order_key_is_one_order_s(tmp_path: Path) -> None:
    journal = JobJournal(tmp_path / "jobs.sqlite")
    first = journal.begin(replace(entry(), order_key="k1", reference="queue 7", retry_of=b"r" * 32))
    journal.update(first, stage=Stage.CANCELLED)
    assert journal.ordered("k1") == replace(first, stage=Stage.CANCELLED)
    assert journal.ordered("k2") is None
    with pytest.raises(sqlite3.IntegrityError):
        journal.begin(replace(entry(), order_key="k1"))
    # Cancelled before it was spent, it leaves its job id to the next, as one that was refused.
    assert journal.begin(replace(entry(), order_key="k2")).job == first.job
    journal.close()

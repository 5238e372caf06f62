"""The unit's journal: one open job, one holder, nothing lost by a kill or a full disk."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from printright.domain.ids import JobId, LicenseId
from printright.domain.job import Outcome
from printright.errors import AlreadyRunning, Misuse, PrintrightError
from printright.units.journal import JobEntry, JobJournal, Stage


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

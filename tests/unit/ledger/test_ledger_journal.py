"""The journal file: whole or not at all, one owner, one process, and a clear word when the disk is full."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from printright.errors import AlreadyRunning, BadSettings
from printright.ledger.journal import Entry, Journal, JournalUnavailable, KeyReused, State

CONTRACT, ACCOUNT = "0x" + "11" * 20, "0x" + "22" * 20


def entry(number: int, size: int = 100) -> Entry:
    return Entry(f"key {number}", "grant", b"d" * 32, number, b"r" * size, number.to_bytes(32, "big"))


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path / "journal")
    journal.bind(1, CONTRACT, ACCOUNT)  # type: ignore[arg-type]
    yield journal
    journal.close()


def reopened(journal: Journal) -> Journal:
    journal.close()
    journal.bind(1, CONTRACT, ACCOUNT)  # type: ignore[arg-type]
    return journal


def test_what_was_recorded_is_there_after_opening_again(journal: Journal) -> None:
    assert journal.next_nonce() == 0
    journal.record([entry(5), entry(6)])
    journal.settle([("key 5", State.REFUSED, "licenses: expired", 9)])
    again = reopened(journal)
    assert again.entries(["key 5", "key 6", "key 7"]) == {
        "key 5": replace(entry(5), state=State.REFUSED, reason="licenses: expired", block=9),
        "key 6": entry(6),
    }
    assert again.next_nonce() == 7
    assert again.by_hash(entry(6).hash) == entry(6)
    assert again.by_hash(bytes(32)) is None
    assert [each.nonce for each in again.between(0, 6)] == [5, 6]
    assert again.unsettled() == [entry(6)]


def test_a_transaction_that_was_outbid_is_kept_until_its_nonce_is_lost(journal: Journal) -> None:
    first = entry(5)
    second, third = (replace(first, raw=raw, hash=raw * 32) for raw in (b"2", b"3"))
    journal.record([first])
    journal.outbid(first, second)
    journal.outbid(second, third)
    again = reopened(journal)
    assert again.entries(["key 5"]) == {"key 5": third}
    assert again.outbidden(third) == [second, first]
    assert [again.by_hash(each.hash) for each in (first, second, third)] == [third] * 3
    again.outbid(third, first)
    assert again.entries(["key 5"]) == {"key 5": first}
    assert again.outbidden(first) == [third, second]
    again.supersede(first, replace(entry(5), nonce=9, hash=b"9" * 32), b"i" * 32)
    assert set(again.superseded("key 5")) == {first.hash, second.hash, third.hash}
    assert again.outbidden(first) == []


def test_a_journal_of_the_first_version_is_brought_up_to_date(journal: Journal) -> None:
    journal.record([entry(1)])
    journal._db.execute("DROP TABLE outbid")
    journal._db.execute("UPDATE binding SET version = 1")
    again = reopened(journal)
    assert again.entries(["key 1"]) == {"key 1": entry(1)}
    assert again.outbidden(entry(1)) == []
    again._db.execute("UPDATE binding SET version = 3")
    with pytest.raises(BadSettings, match="format 3"):
        reopened(again)


def test_every_commit_goes_to_the_disk(journal: Journal) -> None:
    """A power cut cannot be tested here, the setting that stands against it can."""
    connection = journal._db
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_many_keys_are_found(journal: Journal) -> None:
    journal.record(entry(i) for i in range(1_300))
    assert len(journal.entries([f"key {i}" for i in range(2_000)])) == 1_300


def test_a_group_is_recorded_whole_or_not_at_all(journal: Journal) -> None:
    """Neither a key nor a nonce can stand for two intents, and the good half of a bad group is not kept."""
    journal.record([entry(1)])
    for twin in (entry(1), replace(entry(2), key="key 1"), replace(entry(1), key="other")):
        with pytest.raises(JournalUnavailable):
            journal.record([entry(3), twin])
        assert journal.entries(["key 3"]) == {}
    journal.record([entry(3)])


def test_a_superseded_transaction_stays_on_record(journal: Journal) -> None:
    journal.record([entry(1)])
    new = replace(entry(1), nonce=9, hash=b"n" * 32, raw=b"new")
    journal.supersede(entry(1), new, b"m" * 32)
    again = reopened(journal)
    assert again.entries(["key 1"])["key 1"] == new
    assert again.superseded("key 1") == [entry(1).hash]
    assert again.next_nonce() == 10


def test_a_key_stands_for_one_call() -> None:
    entry(1).must_be("grant", b"d" * 32)
    with pytest.raises(KeyReused):
        entry(1).must_be("grant", b"e" * 32)


@pytest.mark.parametrize("other", [(2, CONTRACT, ACCOUNT), (1, ACCOUNT, ACCOUNT), (1, CONTRACT, CONTRACT)])
def test_a_journal_belongs_to_one_account_on_one_contract(journal: Journal, other: tuple[int, str, str]) -> None:
    journal.close()
    with pytest.raises(BadSettings, match="belongs to"):
        journal.bind(*other)  # type: ignore[arg-type]
    # The lock was let go.
    journal.bind(1, CONTRACT, ACCOUNT)  # type: ignore[arg-type]


def test_two_processes_cannot_have_it(journal: Journal) -> None:
    """Red without the flock in Journal._lock."""
    code = (
        "import sys; from pathlib import Path; from printright.ledger.journal import Journal\n"
        "from printright.errors import AlreadyRunning\n"
        f"try: Journal(Path(sys.argv[1])).bind(1, '{CONTRACT}', '{ACCOUNT}')\n"
        "except AlreadyRunning: print('already running')\n"
        "else: print('opened')"
    )
    command = [sys.executable, "-c", code, str(journal.path)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "already running"
    journal.close()
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "opened"


def test_twice_in_one_process_neither(journal: Journal) -> None:
    with pytest.raises(AlreadyRunning):
        Journal(journal.path).bind(1, CONTRACT, ACCOUNT)  # type: ignore[arg-type]


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalUnavailable):
        Journal(tmp_path / "file" / "journal").bind(1, CONTRACT, ACCOUNT)  # type: ignore[arg-type]


def test_a_file_that_is_no_journal_is_told(tmp_path: Path) -> None:
    (tmp_path / "journal").write_bytes(b"not a database" * 100)
    with pytest.raises(JournalUnavailable):
        Journal(tmp_path / "journal").bind(1, CONTRACT, ACCOUNT)  # type: ignore[arg-type]


def test_a_closed_journal_is_told(journal: Journal) -> None:
    journal.close()
    with pytest.raises(JournalUnavailable):
        journal.record([entry(1)])


def fill(path: Path, limit: int) -> int:
    """In a process whose files may not grow beyond `limit` bytes, record until it fails. Exit status: how many were
    recorded, 200 where the failure was of another kind.
    """
    pid = os.fork()
    if pid == 0:
        status = 200
        try:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            journal = Journal(path)
            done = 0
            try:
                journal.bind(1, CONTRACT, ACCOUNT)  # type: ignore[arg-type]
                while done < 150:
                    journal.record([entry(done, size=3_000)])
                    done += 1
            except JournalUnavailable as error:
                if "nothing was sent" in error.message and error.hint:
                    status = done
        finally:
            os._exit(status)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def test_a_full_disk_is_told_and_keeps_what_was_recorded(tmp_path: Path) -> None:
    """Full at growing sizes, so that another write is the one that fails. Every recorded intent is there afterwards,
    and none that was not.
    """
    outcomes = set()
    for step, limit in enumerate(range(0, 300_000, 12_345)):
        path = tmp_path / f"journal {step}"
        done = fill(path, limit)
        assert done != 200
        outcomes.add(done)
        journal = Journal(path)
        journal.bind(1, CONTRACT, ACCOUNT)  # type: ignore[arg-type]
        assert sorted(journal.entries([f"key {i}" for i in range(200)])) == sorted(f"key {i}" for i in range(done))
        journal.record([entry(done)])
        journal.close()
    assert min(outcomes) == 0
    assert max(outcomes) > 10

"""The queue's book: the words of people and what the daemon writes, and what each leaves for the other."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from printright.domain.dispatch import AttemptState, Decision, ItemState, Order
from printright.domain.ids import Address, ContentId, JobId
from printright.domain.license import Document, License, Limits
from printright.errors import AlreadyRunning, BadSettings, BadValue, Misuse
from printright.shop.book import VERSION, QueueBook, QueueUnavailable

SOMEBODY = Address("0x" + "11" * 20)
LICENSE = License(
    licensor=SOMEBODY,
    licensee=SOMEBODY,
    content=ContentId(b"c" * 32),
    limits=Limits(expires_at_s=2_000_000_000),
    document=Document(salt=b"s" * 32, title="knob", manifest=b"m" * 32),
    copies=10,
    allowance=2,
)
JOB = JobId(b"j" * 32)


@pytest.fixture
def book(tmp_path: Path) -> Iterator[QueueBook]:
    made = QueueBook(tmp_path / "queue.sqlite")
    yield made
    made.close()


def add(book: QueueBook, quantity: int = 3, may_fail: int = 1) -> int:
    return book.add(LICENSE, quantity, may_fail=may_fail, customer="ACME", added_by="anna", now_s=7)


def order(book: QueueBook, item: int, printer: str = "left") -> None:
    made = Order(item=item, printer=printer, license=LICENSE.id, quantity=1)
    book.apply(Decision(orders=(made,)), 8)


def test_what_is_written_is_read_after_a_restart(tmp_path: Path, book: QueueBook) -> None:
    item = add(book)
    order(book, item)
    (attempt,) = book.to_settle("left")
    book.took(attempt, JOB, stage="printing", fraction=0.5, note="", spent=True)
    again = QueueBook(tmp_path / "queue.sqlite")
    (row,) = again.items()
    assert (row.title, row.customer, row.added_by, row.item.quantity) == ("knob", "ACME", "anna", 3)
    assert (row.attempts[0].attempt.state, row.attempts[0].attempt.job) == (AttemptState.RUNNING, JOB)
    assert (row.attempts[0].fraction, row.tally.open) == (0.5, 1)
    assert row.attempts[0].attempt.order_key == attempt.order_key
    assert again.license(LICENSE.id) == LICENSE
    again.close()
    assert (tmp_path / "queue.sqlite").stat().st_mode & 0o077 == 0


def test_a_printer_has_one_open_order(book: QueueBook) -> None:
    # Red without the index `attempts_open`: a mistake in a decision would order twice from one machine.
    item = add(book)
    order(book, item)
    with pytest.raises(sqlite3.IntegrityError):
        order(book, item)
    assert len(book.to_settle("left")) == 1


def test_a_decision_is_written_whole_or_not_at_all(book: QueueBook) -> None:
    first, second = add(book), add(book)
    orders = tuple(Order(item=first, printer="left", license=LICENSE.id, quantity=1) for _ in range(2))
    with pytest.raises(sqlite3.IntegrityError):
        book.apply(Decision(orders=orders, done=(second,), held={first: "x"}), 8)
    assert book.to_settle("left") == []
    assert {row.item.state for row in book.items()} == {ItemState.QUEUED}


def test_an_item_that_was_cancelled_meanwhile_gets_no_order(book: QueueBook) -> None:
    item = add(book)
    book.cancel(item)
    order(book, item)
    assert book.to_settle("left") == []
    with pytest.raises(Misuse, match="is cancelled"):
        book.cancel(item)
    assert book.items() == []
    assert [row.item.state for row in book.items(over=True)] == [ItemState.CANCELLED]


def test_a_held_item_goes_on_with_as_many_failures_again(book: QueueBook) -> None:
    item = add(book, may_fail=1)
    with pytest.raises(Misuse, match="not held"):
        book.resume(item)
    for number in range(2):
        order(book, item)
        (attempt,) = book.to_settle("left")
        job = JobId(bytes([number]) * 32)
        book.ended(attempt, job, good=0, failed=1, note="the run failed", now_s=9 + number)
    book.apply(Decision(held={item: "2 copies failed"}), 12)
    assert (book.item(item).item.state, book.item(item).note) == (ItemState.HELD, "2 copies failed")
    assert [each.failed for each in book.recent("left", 5)] == [1, 1]
    book.resume(item)
    assert (book.item(item).item.state, book.item(item).item.may_fail) == (ItemState.QUEUED, 3)
    book.restore("left")
    assert book.recent("left", 5) == [], "let back in, it begins anew"


def test_items_are_moved(book: QueueBook) -> None:
    first, second, third = (add(book) for _ in range(3))
    for item, before, expected in [
        (third, first, [third, first, second]),
        (first, None, [third, second, first]),
        (first, second, [third, first, second]),
        (third, third, [third, first, second]),
        (second, third, [second, third, first]),
    ]:
        book.move(item, before=before)
        assert [row.item.number for row in book.items()] == expected, (item, before)
    with pytest.raises(Misuse, match="no item 9"):
        book.move(first, before=9)


def test_what_was_given_up_and_comes_back_is_told_as_it_was(book: QueueBook) -> None:
    item = add(book)
    order(book, item)
    (attempt,) = book.to_settle("left")
    book.took(attempt, JOB, stage="printing", fraction=0.1, note="", spent=True)
    with pytest.raises(Misuse, match="right has no open order"):
        book.give_up(item, "right", 9)
    book.give_up(item, "left", 9)
    assert (book.item(item).tally.failed, book.item(item).tally.open) == (1, 0)
    (attempt,) = book.to_settle("left")
    book.took(attempt, JOB, stage="printing", fraction=0.9, note="", spent=True)
    assert book.item(item).attempts[0].attempt.state is AttemptState.GIVEN_UP, "it runs, and the shop has gone on"
    book.ended(attempt, JOB, good=1, failed=0, note="", now_s=10)
    assert (book.item(item).tally.good, book.item(item).tally.failed) == (1, 0)
    assert book.to_settle("left") == []


def test_wrong_items_are_refused(book: QueueBook) -> None:
    for quantity, may_fail in ((0, 1), (-1, 1), (1 << 31, 1), (1, -1)):
        with pytest.raises(BadValue):
            add(book, quantity, may_fail)
    assert book.items(over=True) == []


def test_one_daemon_and_many_commands(tmp_path: Path, book: QueueBook) -> None:
    other = QueueBook(tmp_path / "queue.sqlite")
    with book.driving():
        with pytest.raises(AlreadyRunning, match="one queue has one"), other.driving():
            pass
        add(other)
    with other.driving():
        assert len(book.items()) == 1
    other.close()


def test_commands_at_the_same_moment_in_a_new_folder_lose_nothing(tmp_path: Path) -> None:
    # Red where the tables were made without a look at what another process had made meanwhile.
    script = (
        "import sys\nsys.path.insert(0, sys.argv[2])\nfrom pathlib import Path\nfrom test_book import *\n"
        "print('ready', flush=True)\nsys.stdin.readline()\nadd(QueueBook(Path(sys.argv[1])))\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "queue.sqlite"), str(Path(__file__).parent)]
    children = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=dict(os.environ))
        for _ in range(3)
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        child.communicate("go\n", timeout=60)
    assert [child.returncode for child in children] == [0, 0, 0]
    book = QueueBook(tmp_path / "queue.sqlite")
    assert [row.item.number for row in book.items()] == [1, 2, 3]
    book.close()


def test_a_full_disk_is_said_and_loses_nothing(book: QueueBook) -> None:
    item = add(book)
    pages = book._db.execute("pragma page_count").fetchone()[0]
    book._db.execute(f"pragma max_page_count = {pages}")
    with pytest.raises(QueueUnavailable, match="cannot be written"):
        book.saw("left", {"note": "x" * 100_000}, int(time.time()))
    assert [row.item.number for row in book.items()] == [item]


def test_a_queue_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    QueueBook(tmp_path / "queue.sqlite").close()
    with sqlite3.connect(tmp_path / "queue.sqlite") as db:
        db.execute(f"pragma user_version = {VERSION + 1}")
    db.close()
    with pytest.raises(BadSettings, match="this program knows"):
        QueueBook(tmp_path / "queue.sqlite")

"""The release log: chained, on disk before anything leaves, healed after a crash, never quietly shortened."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from printright.domain.ids import Address, ContentId, Digest, JobId, LicenseId
from printright.domain.release import Release
from printright.domain.words import checksum, keccak
from printright.errors import AlreadyRunning
from printright.services.release_log import Head, LogDamaged, LogUnavailable, ReleaseLog, entries, verify

CUSTODIAN, UNIT, OTHER = (checksum(keccak(bytes([n]))[:20]) for n in range(3))
NOW = 1_800_000_000


def release(number: int) -> Release:
    job = JobId(keccak(number.to_bytes(8, "big")))
    some = keccak(b"some")
    return Release(
        CUSTODIAN,
        UNIT,
        b"\x04" + bytes(64),
        job,
        LicenseId(some),
        ContentId(some),
        Digest(some),
        Digest(bytes(32)),
        1,
        100 + number,
    )


@contextmanager
def opened(path: Path, custodian: Address = CUSTODIAN) -> Iterator[ReleaseLog]:
    log = ReleaseLog(path, custodian)
    try:
        yield log
    finally:
        log.close()


async def record(log: ReleaseLog, *numbers: int) -> None:
    for number in numbers:
        await log.record(release(number), 1, keccak(b"request"), NOW)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "custody" / "releases.log"


async def test_entries_are_chained_and_repeats_are_marked_even_after_a_restart(path: Path) -> None:
    with opened(path) as log:
        await record(log, 1, 2, 1)
        head = log.head
    assert verify(path) == head == Head(3, head.digest)
    with opened(path) as log:
        assert log.head == head
        await record(log, 2, 3)
    found = [entry for entry, _ in entries(path, custodian=CUSTODIAN)]
    assert [entry.seq for entry in found] == [1, 2, 3, 4, 5]
    assert [entry.repeat for entry in found] == [False, False, True, True, False]
    assert found[4].job == release(3).job.hex()
    assert path.stat().st_mode & 0o777 == 0o600


async def test_what_waits_together_is_written_together_and_in_order(path: Path) -> None:
    with opened(path) as log:
        async with asyncio.TaskGroup() as group:
            for number in range(50):
                group.create_task(record(log, number % 40))
        assert log.head.entries == 50
    assert sum(entry.repeat for entry, _ in entries(path)) == 10


async def test_who_gives_up_waiting_leaves_the_log_whole(path: Path) -> None:
    # Without the shield in `record`, a cancelled writer frees the lock while its line is on the way, and two writers
    # chain to the same line.
    with opened(path) as log:
        for number in range(20):
            first = asyncio.create_task(record(log, 2 * number))
            second = asyncio.create_task(record(log, 2 * number + 1))
            for _ in range(number % 5):
                await asyncio.sleep(0)
            first.cancel()
            await second
            await asyncio.gather(first, return_exceptions=True)
    assert verify(path).entries >= 20


async def test_one_process_at_a_time(path: Path) -> None:
    with opened(path), pytest.raises(AlreadyRunning):
        ReleaseLog(path, CUSTODIAN)
    with opened(path) as log:
        await record(log, 1)


async def test_the_log_of_another_custodian_is_not_continued(path: Path) -> None:
    with opened(path) as log:
        await record(log, 1)
    with pytest.raises(LogDamaged, match="not of"):
        ReleaseLog(path, OTHER)


@pytest.mark.parametrize("lost", [1, 5, 200])
async def test_a_torn_last_line_is_cut_off_and_nothing_else(path: Path, lost: int) -> None:
    # Without `_end_of_lines`, the next line is glued to the torn one and the log is damaged for good.
    with opened(path) as log:
        await record(log, 1, 2)
        head = log.head
        await record(log, 3)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - lost)
    assert verify(path) == head
    with opened(path) as log:
        assert log.head == head
        await record(log, 4)
    assert [entry.block for entry, _ in entries(path)] == [101, 102, 104]


async def test_a_log_torn_in_its_title_starts_again(path: Path) -> None:
    with opened(path):
        pass
    with path.open("r+b") as file:
        file.truncate(10)
    with opened(path) as log:
        await record(log, 1)
    assert verify(path).entries == 1


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_any_changed_byte_before_the_last_line_is_seen(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "log"
    if not path.exists():

        async def fill() -> None:
            with opened(path) as log:
                await record(log, 1, 2, 3, 4)

        asyncio.run(fill())
    whole = path.read_bytes()
    anchor = verify(path)
    position = data.draw(st.integers(0, len(whole) - 1))
    flipped = bytes([whole[position] ^ (1 << data.draw(st.integers(0, 7)))])
    changed = tmp_path / "changed"
    changed.write_bytes(whole[:position] + flipped + whole[position + 1 :])
    with pytest.raises(LogDamaged):
        verify(changed, anchor=anchor)


async def test_a_shortened_or_reordered_log_does_not_contain_its_anchor(path: Path) -> None:
    with opened(path) as log:
        await record(log, 1, 2)
        anchor = log.head
        await record(log, 3)
    lines = path.read_bytes().splitlines(keepends=True)
    assert verify(path, anchor=anchor).entries == 3
    path.write_bytes(b"".join(lines[:2]))
    assert verify(path).entries == 1
    with pytest.raises(LogDamaged, match="anchored"):
        verify(path, anchor=anchor)
    for order in ([0, 2, 1, 3], [0, 1, 3], [0, 1, 1, 2, 3], [1, 2, 3]):
        path.write_bytes(b"".join(lines[i] for i in order))
        with pytest.raises(LogDamaged):
            verify(path)
        with pytest.raises(LogDamaged):
            ReleaseLog(path, CUSTODIAN)


@contextmanager
def disk_of(size_bytes: int) -> Iterator[None]:
    """The kernel refuses to let any file of this process grow beyond `size_bytes`, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("room", [0, 1, 100, 300])
async def test_a_full_disk_records_nothing_and_is_survived(path: Path, room: int) -> None:
    # Without `_roll_back` in `_append`, half a line stays, and what is recorded after it is lost in it.
    with opened(path) as log:
        await record(log, 1)
        head = log.head
        for _ in range(3):
            with disk_of(path.stat().st_size + room), pytest.raises(LogUnavailable, match="cannot be written"):
                await record(log, 2)
            assert log.head == verify(path) == head
        await record(log, 2)
    found = [entry for entry, _ in entries(path)]
    assert [(entry.block, entry.repeat) for entry in found] == [(101, False), (102, False)]


def test_a_log_that_cannot_be_made_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LogUnavailable, match="cannot open"):
        ReleaseLog(tmp_path / "file" / "log", CUSTODIAN)
    with disk_of(0), pytest.raises(LogUnavailable, match="cannot write"):
        ReleaseLog(tmp_path / "log", CUSTODIAN)
    (tmp_path / "page.html").write_text("<html>\n")
    with pytest.raises(LogDamaged, match="not a release log"):
        ReleaseLog(tmp_path / "page.html", CUSTODIAN)


# A process that records releases and is killed at a chosen call of the kernel; it says on stdout what is recorded.
KILLED = """
import asyncio, os, signal, sys
sys.path[:0] = sys.argv[4].split(os.pathsep)
from pathlib import Path
from test_release_log import CUSTODIAN, ReleaseLog, record
point, count = sys.argv[2], int(sys.argv[3])
calls = 0
real_write, real_sync = os.write, os.fdatasync

def kill():
    os.kill(os.getpid(), signal.SIGKILL)

def write(fd, data):
    global calls
    calls += 1
    if calls == count and point == "before write":
        kill()
    if calls == count and point == "half a write":
        real_write(fd, data[: len(data) // 2])
        kill()
    return real_write(fd, data)

def sync(fd):
    if calls == count and point == "before sync":
        kill()
    real_sync(fd)
    if calls == count and point == "after sync":
        kill()

os.write, os.fdatasync = write, sync

async def main():
    log = ReleaseLog(Path(sys.argv[1]), CUSTODIAN)
    for number in range(1, 5):
        await record(log, number)
        real_write(1, b"%d\\n" % number)

asyncio.run(main())
"""


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("point", ["before write", "half a write", "before sync", "after sync"])
async def test_killed_at_every_write_point_no_recorded_release_is_lost(path: Path, point: str, count: int) -> None:
    # Call 1 is the title. With `os.write` behind the answer, "before write" loses what was said to be recorded.
    here = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    command = [sys.executable, "-c", KILLED, str(path), point, str(count), here]
    ended = await asyncio.to_thread(subprocess.run, command, capture_output=True, timeout=60, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    said = [int(line) for line in ended.stdout.split()]
    with opened(path) as log:
        kept = [entry.block - 100 for entry, _ in entries(path)]
        assert kept[: len(said)] == said
        assert len(kept) <= len(said) + 1
        await record(log, *range(1, 5))
    found = [entry for entry, _ in entries(path)]
    assert [entry.block - 100 for entry in found if not entry.repeat] == [1, 2, 3, 4]
    assert verify(path).entries == len(kept) + 4

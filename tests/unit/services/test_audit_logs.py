"""Logs against the ledger's history: what was cut, rewritten, forked, or released without a job, is named."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from printright.domain.ids import Address, ContentId, Digest, JobId, LicenseId
from printright.domain.release import Release
from printright.domain.words import EMPTY_32, TypedDomain, checksum, keccak
from printright.services.audit_logs import audit_logs
from printright.services.history import Anchor, DesignHistory, History, JobHistory, JobState
from printright.services.release_log import Head, ReleaseLog, entries

CUSTODIAN, OTHER, UNIT, OPERATOR, OWNER = (checksum(keccak(bytes([n]))[:20]) for n in range(5))
CONTENT, LICENSE = ContentId(keccak(b"content")), LicenseId(keccak(b"license"))
RECORD = keccak(b"custody record")


def job(number: int) -> JobId:
    return JobId(keccak(b"job %d" % number))


def release(number: int, **changes: Any) -> Release:
    key, manifest, custody = b"\x04" + bytes(64), Digest(keccak(b"manifest")), Digest(EMPTY_32)
    made = Release(CUSTODIAN, UNIT, key, job(number), LICENSE, CONTENT, manifest, custody, 2, 10 * number + 1)
    return dataclasses.replace(made, **changes)


def history(jobs: int = 3) -> History:
    """Jobs 1, 2, ... started in blocks 10, 20, ... and finished five blocks later, all copies good."""
    made = History(TypedDomain(1, OWNER), block=1000)
    made.designs[CONTENT] = DesignHistory(OWNER, None, 1, 1)
    for n in range(1, jobs + 1):
        made.jobs[job(n)] = JobHistory(job(n), UNIT, OPERATOR, LICENSE, n, 2, 0, 10 * n, JobState.FINISHED, good=2)
        made.jobs[job(n)].finished_block = 10 * n + 5
    return made


def write(path: Path, *releases: Release, custodian: Address = CUSTODIAN) -> list[Head]:
    """A log with these entries, and its head after each."""

    async def fill() -> None:
        log = ReleaseLog(path, custodian)
        for each in releases:
            await log.record(each, 1, EMPTY_32, 1)
        log.close()

    asyncio.run(fill())
    return [head for _, head in entries(path)]


def anchored(made: History, *heads: Head) -> History:
    made.anchors[CUSTODIAN] = [Anchor(head.entries, head.digest, 500 + head.entries) for head in heads]
    return made


def texts(made: History, *logs: Path, threshold: int = 1) -> list[str]:
    found = audit_logs(made, logs, threshold).findings
    assert all(finding.invariant == 14 for finding in found)
    return [f"{finding.subject}: {finding.text}" for finding in found]


def test_a_log_that_fits_has_no_findings(tmp_path: Path) -> None:
    heads = write(tmp_path / "log", *map(release, (1, 2, 2, 3)))
    made = anchored(history(), heads[1], heads[3])
    report = audit_logs(made, [tmp_path / "log"], 1)
    assert (report.entries, report.findings) == (4, [])
    assert report.comparisons > 4 * 4
    # More entries than were anchored yet are in order.
    assert texts(anchored(made, heads[1]), tmp_path / "log") == []


WRONG: dict[str, tuple[Release, str]] = {
    "of no job": (release(9), "the ledger knows no such job"),
    "for another unit": (release(2, unit=OPERATOR), "unit, license or quantity are not the job's"),
    "under another license": (release(2, license=LicenseId(EMPTY_32)), "unit, license or quantity are not the job's"),
    "of another quantity": (release(2, quantity=1), "unit, license or quantity are not the job's"),
    "before the start": (release(2, block=19), "released by block 19, the job started in block 20"),
    "after the end": (release(2, block=25), "released after the job was finished"),
    "of a custody not in force": (release(2, custody=Digest(RECORD)), "a share of a custody that was not in force"),
    "of an unknown design": (release(2, content=ContentId(EMPTY_32)), "or of an unknown design"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_release_that_the_ledger_does_not_bear_out_is_named(tmp_path: Path, name: str) -> None:
    # Each `hold` of `_compare` has its case here: deleted, that case is silent and this test is red.
    wrong, text = WRONG[name]
    write(tmp_path / "log", release(1), wrong, release(2), release(3))
    (found,) = texts(history(), tmp_path / "log")
    assert found.startswith(f"log of custodian {CUSTODIAN}: entry 2, job")
    assert text in found


def test_custody_counts_as_it_was_in_the_block_of_the_release(tmp_path: Path) -> None:
    made = history()
    made.designs[CONTENT].custodies.append((15, RECORD))
    write(tmp_path / "log", release(1), release(2, custody=Digest(RECORD)), release(3))
    (found,) = texts(made, tmp_path / "log")
    assert "entry 3" in found
    assert "not in force" in found


def test_what_is_newer_than_the_auditors_final_block_is_not_judged(tmp_path: Path) -> None:
    write(tmp_path / "log", *map(release, (1, 2, 3)), release(9, block=1001))
    assert texts(history(), tmp_path / "log") == []


def test_a_log_that_was_cut_or_begun_anew_is_named(tmp_path: Path) -> None:
    heads = write(tmp_path / "log", *map(release, (1, 2, 3)))
    made = anchored(history(), heads[0], heads[2])
    lines = (tmp_path / "log").read_bytes().splitlines(keepends=True)
    (tmp_path / "log").write_bytes(b"".join(lines[:3]))
    found = texts(made, tmp_path / "log")
    assert f"log of custodian {CUSTODIAN}: it has 2 entries, and 3 are anchored: it was cut or begun anew" in found
    write(tmp_path / "fresh")
    assert any("it has 0 entries, and 3 are anchored" in each for each in texts(made, tmp_path / "fresh"))


def test_a_rewritten_log_is_named_though_its_chain_holds(tmp_path: Path) -> None:
    heads = write(tmp_path / "log", *map(release, (1, 2, 3)))
    write(tmp_path / "rewritten", release(1), release(3), release(2))
    assert texts(anchored(history(), *heads), tmp_path / "rewritten") == [
        f"log of custodian {CUSTODIAN}: entry {n} is not what block {500 + n} has anchored: "
        "it was rewritten or forked before it"
        for n in (2, 3)
    ]


def test_a_changed_line_is_named_with_what_was_read_before_it(tmp_path: Path) -> None:
    write(tmp_path / "log", *map(release, (1, 2, 3)))
    text = (tmp_path / "log").read_text().replace('"quantity":2', '"quantity":3', 2)
    (tmp_path / "log").write_text(text)
    assert any("was changed at entry 2" in each for each in texts(history(), tmp_path / "log"))
    (tmp_path / "log").write_text("{}\n")
    assert any("is not a release log" in each for each in texts(history(), tmp_path / "log"))


def test_two_logs_of_one_custodian_that_part_are_a_fork(tmp_path: Path) -> None:
    write(tmp_path / "one", *map(release, (1, 2, 3)))
    write(tmp_path / "other", *map(release, (1, 3, 2)))
    lines = (tmp_path / "one").read_bytes().splitlines(keepends=True)
    (tmp_path / "earlier").write_bytes(b"".join(lines[:3]))
    assert texts(history(), tmp_path / "one", tmp_path / "earlier") == []
    assert texts(history(), tmp_path / "one", tmp_path / "other") == [
        f"log of custodian {CUSTODIAN}: two logs of it part at entry 2: it was forked"
    ]


def test_a_print_that_too_few_logs_know_of_is_named(tmp_path: Path) -> None:
    write(tmp_path / "one", *map(release, (1, 2, 2)))
    write(tmp_path / "other", *map(release, (1, 3)), custodian=OTHER)
    logs = (tmp_path / "one", tmp_path / "other")
    assert texts(history(), *logs) == []
    # A custodian's second answer for the same job does not count twice.
    assert texts(history(), *logs, threshold=2) == [
        f"job {job(n).hex()}: 2 good copies, and 1 of the given logs released its key, not 2" for n in (2, 3)
    ]
    # Copies that failed may never have had a key.
    made = history(4)
    made.jobs[job(4)].good = 0
    assert texts(made, *logs) == []


def test_the_log_says_which_custody_it_released_of(tmp_path: Path) -> None:
    write(tmp_path / "log", release(1, custody=Digest(RECORD)))
    line = json.loads((tmp_path / "log").read_text().splitlines()[1])
    assert line["custody"] == RECORD.hex()

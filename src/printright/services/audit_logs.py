"""Hold custodians' release logs against what they anchored, and against the jobs that they released keys for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

from printright.domain.ids import Address, ContentId, JobId
from printright.errors import Refused
from printright.services.history import Anchor, History
from printright.services.release_log import Entry, Head, LogDamaged, custodian_of, entries

NO_KEY_BEFORE_FINAL = 14
"""The invariant that logs are evidence for: no share leaves before the job's spend is final for that unit."""


@dataclass(frozen=True)
class Finding:
    """One thing that does not fit. `invariant` is its number in the assurance page."""

    invariant: int
    subject: str
    text: str


@dataclass
class LogReport:
    """What was read of the logs, and what did not fit."""

    entries: int = 0
    comparisons: int = 0
    findings: list[Finding] = field(default_factory=list)

    def hold(self, subject: str, text: str, holds: bool) -> None:
        self.comparisons += 1
        if not holds:
            self.findings.append(Finding(NO_KEY_BEFORE_FINAL, subject, text))


def audit_logs(history: History, logs: Sequence[Path], threshold: int) -> LogReport:
    """Compare logs with the ledger's history. Blocking.

    1. each log is whole  2. it has what its custodian anchored  3. each release is for a job that had started, and
    runs, in the block that the custodian looked at, of the same unit, license and custody  4. two logs of one custodian
    do not fork  5. each job with good copies was released by `threshold` custodians.
    """
    report = LogReport()
    released: dict[JobId, set[Address]] = defaultdict(set)
    seen: dict[Address, Path] = {}
    for path in logs:
        subject = str(path)
        try:
            custodian = custodian_of(path)
            subject = f"log of custodian {custodian}"
            _audit_log(path, subject, custodian, history, released, report)
        except LogDamaged as error:  # 1
            report.hold(subject, error.message, holds=False)
            continue
        # 4
        if custodian in seen:
            fork = _fork(seen[custodian], path)
            report.hold(subject, f"two logs of it part at entry {fork}: it was forked", fork is None)
        seen[custodian] = path
    # 5
    if logs:
        for job in history.jobs.values():
            if job.good:
                found = len(released[job.id])
                text = f"{job.good} good copies, and {found} of the given logs released its key, not {threshold}"
                report.hold(f"job {job.id.hex()}", text, found >= threshold)
    return report


def _audit_log(
    path: Path,
    subject: str,
    custodian: Address,
    history: History,
    released: dict[JobId, set[Address]],
    report: LogReport,
) -> None:
    anchors = {each.entries: each for each in history.anchors.get(custodian, [])}
    head = Head(0, b"")
    damage: Refused | None = None
    try:
        for entry, head in entries(path, custodian=custodian):
            report.entries += 1
            _compare(entry, subject, history, report)
            released[JobId(bytes.fromhex(entry.job))].add(custodian)
            # 2
            anchor = anchors.pop(entry.seq, None)
            if anchor is not None:
                report.hold(subject, _rewritten(anchor), anchor.head == head.digest)
    except LogDamaged as error:
        damage = error
    missing = max(anchors, default=0)
    text = f"it has {head.entries} entries, and {missing} are anchored: it was cut or begun anew"
    report.hold(subject, text, missing == 0)
    if damage is not None:
        raise damage


def _rewritten(anchor: Anchor) -> str:
    return f"entry {anchor.entries} is not what block {anchor.block} has anchored: it was rewritten or forked before it"


def _compare(entry: Entry, subject: str, history: History, report: LogReport) -> None:
    # 3
    name = f"entry {entry.seq}, job {entry.job[:16]}"
    if entry.block > history.block:
        return  # newer than what is final for the auditor
    try:
        job = history.jobs.get(JobId(bytes.fromhex(entry.job)))
        design = history.designs.get(ContentId(bytes.fromhex(entry.content)))
    except ValueError:
        job = design = None
    if job is None:
        report.hold(subject, f"{name}: the ledger knows no such job", holds=False)
        return
    same = (job.unit, job.license.hex(), job.quantity) == (entry.unit, entry.license, entry.quantity)
    report.hold(subject, f"{name}: unit, license or quantity are not the job's", same)
    report.hold(
        subject,
        f"{name}: released by block {entry.block}, the job started in block {job.started_block}",
        job.started_block <= entry.block,
    )
    ended = job.finished_block is not None and job.finished_block <= entry.block
    report.hold(subject, f"{name}: released after the job was finished", not ended)
    known = design is not None and design.custody(entry.block).hex() == entry.custody
    report.hold(subject, f"{name}: a share of a custody that was not in force, or of an unknown design", known)


def _fork(one: Path, other: Path) -> int | None:
    """The first entry in which two whole logs differ, None where one is the beginning of the other."""
    for (first, head), (second, twin) in zip_longest(entries(one), entries(other), fillvalue=(None, None)):
        if first is None or second is None:
            return None
        if head != twin:
            return first.seq
    return None

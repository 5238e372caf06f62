"""Replay all events and hold them against what the contract says, invariant by invariant (ASSURANCE 1-3, 5, 13, 14)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence, Sized
from dataclasses import dataclass
from pathlib import Path

from printright.domain.words import hash_words
from printright.ledger.port import Ledger
from printright.services.audit_logs import Finding, audit_logs
from printright.services.history import History, JobState, read_history

LICENSE_FIELDS = ("issued", "available", "lost", "revoked", "spoiled", "credited", "allowance", "paused", "ended")


@dataclass(frozen=True)
class AuditReport:
    """What was compared, and what did not fit. A clean ledger has no findings."""

    block: int
    members: int
    units: int
    designs: int
    licenses: int
    jobs: int
    parts: int
    anchors: int
    releases: int
    comparisons: int
    findings: tuple[Finding, ...]


async def audit(
    ledger: Ledger,
    *,
    logs: Sequence[Path] = (),
    threshold: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> AuditReport:
    """Audit the whole ledger at its final block, and custodians' release logs against it.

    `threshold`: how many of the logs must have released the key of each job with good copies; it counts where logs are
    given. `progress` is told (done, total) as records are compared.
    """
    history = await read_history(ledger)
    audit = _Audit(ledger, history, progress)
    await audit.registry()
    await audit.designs()
    await audit.licenses()
    await audit.jobs()
    await audit.anchors()
    releases = await asyncio.to_thread(audit_logs, history, logs, threshold)
    return AuditReport(
        block=history.block,
        members=len(history.members),
        units=len(history.units),
        designs=len(history.designs),
        licenses=len(history.licenses),
        jobs=len(history.jobs),
        parts=sum(job.good for job in history.jobs.values()),
        anchors=sum(len(each) for each in history.anchors.values()),
        releases=releases.entries,
        comparisons=audit.comparisons + releases.comparisons,
        findings=(*audit.findings, *releases.findings),
    )


class _Audit:
    def __init__(self, ledger: Ledger, history: History, progress: Callable[[int, int], None] | None) -> None:
        self._ledger, self._history, self._progress = ledger, history, progress
        records: list[Sized] = [history.members, history.units, history.designs, history.licenses, history.jobs]
        self._total = sum(len(each) for each in records)
        self._done = 0
        self.comparisons = 0
        self.findings: list[Finding] = []

    def _hold(self, invariant: int, subject: str, text: str, holds: bool) -> None:
        self.comparisons += 1
        if not holds:
            self.findings.append(Finding(invariant, subject, text))

    def _step(self) -> None:
        self._done += 1
        if self._progress is not None:
            self._progress(self._done, self._total)

    async def _call(self, function: str, *args: object) -> object:
        return await self._ledger.call(function, *args, block=self._history.block)

    async def registry(self) -> None:
        """Members' roles and units' enrolments follow from the events."""
        self._hold(13, "registrar", "differs", await self._call("registrar") == self._history.registrar)
        for address, member in self._history.members.items():
            self._hold(13, address, "roles differ from the events", await self._call("roles", address) == member.roles)
            self._step()
        for address, unit in self._history.units.items():
            found = await self._ledger.call("unit", address, block=self._history.block)
            same = (found.operator, found.active, found.halted, found.profile, found.enrolment) == (
                unit.operator,
                unit.active,
                unit.halted,
                unit.profile,
                unit.enrolment,
            )
            self._hold(13, address, "the unit differs from the events", same)
            self._step()

    async def designs(self) -> None:
        """Owner and state of every version follow from the events."""
        for content, design in self._history.designs.items():
            found = await self._ledger.call("design", content, block=self._history.block)
            same = (found.owner, found.parts_per_run, found.withdrawn, found.custody) == (
                design.owner,
                design.parts_per_run,
                design.withdrawn,
                design.custody(),
            )
            self._hold(13, content.hex(), "the design differs from the events", same)
            self._step()

    async def licenses(self) -> None:
        """Copies are conserved, and the counters follow from the events."""
        for id, license in self._history.licenses.items():
            subject = f"license {id.hex()}"
            found = await self._ledger.call("counters", id, block=self._history.block)
            self._hold(
                1,
                subject,
                "issued differs from available + running + good + lost + revoked",
                found.issued == found.available + found.used + found.lost + found.revoked
                and license.available >= 0
                and found.used == license.running + license.unknown + license.good,
            )
            for name in LICENSE_FIELDS:
                self._hold(13, subject, f"{name} differs", getattr(found, name) == getattr(license, name))
            self._step()

    async def anchors(self) -> None:
        """Each custodian's slot is the chain over its anchors."""
        for custodian, anchors in self._history.anchors.items():
            slot = 0
            for anchor in anchors:
                slot = int.from_bytes(hash_words(slot, anchor.head)) >> 64 << 64 | anchor.entries
            same = await self._call("anchored", custodian) == slot
            self._hold(13, custodian, "its anchors differ from the events", same)

    async def jobs(self) -> None:
        """A job counts once; finished jobs have their outcome, units one job at a time, parts one good copy each."""
        sequences = Counter((job.unit, job.sequence) for job in self._history.jobs.values())
        for job in self._history.jobs.values():
            subject = f"job {job.id.hex()}"
            self._hold(2, subject, "its sequence number was used twice", sequences[job.unit, job.sequence] == 1)
            outcome = await self._call("outcome", job.id)
            expected = hash_words(job.parts, job.good) if job.state is JobState.FINISHED else bytes(32)
            self._hold(5, subject, "outcome on the ledger differs from the events", outcome == expected)
            if job.state is JobState.FINISHED:
                self._hold(5, subject, "copies do not add up", job.good + job.failed == job.quantity)
            if job.state is JobState.RUNNING:
                slot = await self._ledger.call("job", job.unit, block=self._history.block)
                running = slot.running and slot.sequence == job.sequence and slot.quantity == job.quantity
                self._hold(13, subject, "runs by the events, not by the ledger", running)
            self._step()

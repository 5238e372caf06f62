"""All that the ledger's events tell, replayed from the first block: members, units, designs, licenses, jobs, parts.

The replay is a pure fold, independent of the contracts' storage, so that `audit` can hold one against the other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from functools import singledispatch

from printright.domain.ids import Address, ContentId, JobId, LicenseId, PartId
from printright.domain.job import Running, job_id
from printright.domain.member import Role
from printright.domain.words import EMPTY_32, ZERO_ADDRESS, TypedDomain
from printright.errors import BadValue
from printright.ledger import events as ev
from printright.ledger.port import Ledger


class JobState(StrEnum):
    """Where a job stands."""

    RUNNING = "running"
    FINISHED = "finished"
    GIVEN_UP = "given up"
    CLOSED = "closed"


@dataclass
class MemberHistory:
    roles: Role
    key: bytes
    profile: bytes


@dataclass
class UnitHistory:
    operator: Address
    builder: Address | None
    profile: bytes
    key: bytes
    enrolment: int
    active: bool = True
    halted: bool = False
    last_sequence: int = 0


@dataclass
class DesignHistory:
    owner: Address
    previous: ContentId | None
    parts_per_run: int
    block: int
    withdrawn: bool = False
    custodies: list[tuple[int, bytes]] = field(default_factory=list)

    def custody(self, block: int | None = None) -> bytes:
        """The custody record in force at a block, by default the last; zeros while it is the manifest's own custody."""
        return next((record for at, record in reversed(self.custodies) if block is None or at <= block), EMPTY_32)


@dataclass(frozen=True)
class Anchor:
    """What a custodian anchored of its log: the head after so many entries."""

    entries: int
    head: bytes
    block: int


@dataclass
class LicenseHistory:
    """Counters in copies. `issued = available + running + unknown + good + lost + revoked` after every event."""

    licensor: Address
    issued: int
    allowance: int
    block: int
    running: int = 0
    unknown: int = 0
    good: int = 0
    lost: int = 0
    revoked: int = 0
    spoiled: int = 0
    credited: int = 0
    paused: bool = False
    ended: bool = False

    @property
    def available(self) -> int:
        return self.issued - self.running - self.unknown - self.good - self.lost - self.revoked


@dataclass
class JobHistory:
    id: JobId
    unit: Address
    operator: Address
    license: LicenseId
    sequence: int
    quantity: int
    deadline_s: int
    started_block: int
    state: JobState = JobState.RUNNING
    good: int = 0
    failed: int = 0
    evidence: bytes = EMPTY_32
    parts: bytes = EMPTY_32
    finished_block: int | None = None


@dataclass
class History:
    """The fold's value. `block` is the last block it has seen."""

    domain: TypedDomain
    block: int = 0
    registrar: Address = ZERO_ADDRESS
    members: dict[Address, MemberHistory] = field(default_factory=dict)
    units: dict[Address, UnitHistory] = field(default_factory=dict)
    designs: dict[ContentId, DesignHistory] = field(default_factory=dict)
    licenses: dict[LicenseId, LicenseHistory] = field(default_factory=dict)
    jobs: dict[JobId, JobHistory] = field(default_factory=dict)
    checked_out: dict[PartId, Address] = field(default_factory=dict)
    anchors: dict[Address, list[Anchor]] = field(default_factory=dict)
    _job_of_unit: dict[tuple[Address, int], JobId] = field(default_factory=dict)

    def apply(self, event: ev.Event) -> None:
        """Take in the next event. Raises BadValue for an event that cannot follow what came before."""
        try:
            _fold(event, self)
        except KeyError:
            kind = type(event).__name__
            raise BadValue(f"{kind} in block {event.block_number} follows from nothing that came before") from None
        self.block = event.block_number


@singledispatch
def _fold(e: ev.Event, h: History) -> None:
    """Take one event in. One function for each kind; a test holds them against the contract's."""
    del h
    raise BadValue(f"an event of a kind unknown here: {type(e).__name__}", hint="update Printright")


@_fold.register
def _(e: ev.RegistrarChanged, h: History) -> None:
    h.registrar = e.registrar


@_fold.register
def _(e: ev.RegistrarProposed, h: History) -> None:
    del h, e  # an offer changes nothing yet


@_fold.register
def _(e: ev.MemberAdmitted, h: History) -> None:
    h.members[e.member] = MemberHistory(Role(e.roles), e.key, e.profile)


@_fold.register
def _(e: ev.MemberSuspended, h: History) -> None:
    h.members[e.member].roles = Role(0)


@_fold.register
def _(e: ev.UnitEnrolled, h: History) -> None:
    former = h.units.get(e.unit)
    h.units[e.unit] = UnitHistory(
        operator=e.operator,
        builder=None if e.builder == ZERO_ADDRESS else e.builder,
        profile=e.profile,
        key=e.key,
        enrolment=e.enrolment,
        last_sequence=former.last_sequence if former else 0,
    )


@_fold.register
def _(e: ev.UnitRetired, h: History) -> None:
    h.units[e.unit].active = False


@_fold.register
def _(e: ev.UnitHalted, h: History) -> None:
    h.units[e.unit].halted = True


@_fold.register
def _(e: ev.UnitCleared, h: History) -> None:
    h.units[e.unit].halted = False


@_fold.register
def _(e: ev.DesignPublished, h: History) -> None:
    previous = None if e.previous == EMPTY_32 else ContentId(e.previous)
    h.designs[ContentId(e.content)] = DesignHistory(e.owner, previous, e.parts_per_run, e.block_number)


@_fold.register
def _(e: ev.DesignWithdrawn, h: History) -> None:
    h.designs[ContentId(e.content)].withdrawn = True


@_fold.register
def _(e: ev.CustodyChanged, h: History) -> None:
    h.designs[ContentId(e.content)].custodies.append((e.block_number, e.record))


@_fold.register
def _(e: ev.LogAnchored, h: History) -> None:
    h.anchors.setdefault(e.custodian, []).append(Anchor(e.entries, e.head, e.block_number))


@_fold.register
def _(e: ev.LicenseGranted, h: History) -> None:
    h.licenses[LicenseId(e.license)] = LicenseHistory(e.licensor, e.copies, e.allowance, e.block_number)


@_fold.register
def _(e: ev.LicenseRevoked, h: History) -> None:
    license = h.licenses[LicenseId(e.license)]
    license.revoked += e.copies
    license.ended = True


@_fold.register
def _(e: ev.LicensePaused, h: History) -> None:
    h.licenses[LicenseId(e.license)].paused = True


@_fold.register
def _(e: ev.LicenseResumed, h: History) -> None:
    h.licenses[LicenseId(e.license)].paused = False


@_fold.register
def _(e: ev.LicenseAssigned, h: History) -> None:
    # The new license's own LicenseGranted came just before.
    license = h.licenses[LicenseId(e.license)]
    license.issued -= e.copies
    license.allowance -= e.allowance


@_fold.register
def _(e: ev.CopiesCredited, h: History) -> None:
    license = h.licenses[LicenseId(e.license)]
    license.lost -= e.copies
    license.credited += e.copies


@_fold.register
def _(e: ev.JobStarted, h: History) -> None:
    slot = Running.unpack(e.running)
    license_id = LicenseId(e.license)
    id = job_id(h.domain, license_id, e.unit, slot.sequence)
    unit = h.units[e.unit]
    unit.last_sequence = slot.sequence
    h.licenses[license_id].running += slot.quantity
    h.jobs[id] = JobHistory(
        id, e.unit, unit.operator, license_id, slot.sequence, slot.quantity, slot.deadline_s, e.block_number
    )
    h._job_of_unit[e.unit, slot.sequence] = id


@_fold.register
def _(e: ev.JobGivenUp, h: History) -> None:
    slot = Running.unpack(e.running)
    job = h.jobs[h._job_of_unit[e.unit, slot.sequence]]
    job.state = JobState.GIVEN_UP
    license = h.licenses[job.license]
    license.running -= job.quantity
    license.unknown += job.quantity


@_fold.register
def _(e: ev.JobFinished, h: History) -> None:
    job = h.jobs[JobId(e.job)]
    job.state, job.good, job.failed = JobState.FINISHED, e.good, e.failed
    job.evidence, job.parts, job.finished_block = e.evidence, e.parts, e.block_number
    license = h.licenses[job.license]
    returned = min(e.failed, license.allowance - license.spoiled)
    license.running -= job.quantity
    license.good += e.good
    license.spoiled += returned
    license.lost += e.failed - returned
    if license.ended:
        license.revoked += returned


@_fold.register
def _(e: ev.JobClosed, h: History) -> None:
    job = h.jobs[JobId(e.job)]
    license = h.licenses[job.license]
    if job.state is JobState.RUNNING:
        license.running -= job.quantity
    else:
        license.unknown -= job.quantity
    job.state = JobState.CLOSED
    license.credited += e.credited
    license.lost += e.lost


@_fold.register
def _(e: ev.PartCheckedOut, h: History) -> None:
    h.checked_out[PartId(e.part)] = e.by


async def read_history(ledger: Ledger, to_block: int | None = None) -> History:
    """Replay all events up to `to_block`, by default the final block."""
    last = await ledger.final_block() if to_block is None else to_block
    history = History(TypedDomain(ledger.network.chain_id, ledger.network.contract))
    async for event in ledger.events(to_block=last):
        history.apply(event)
    history.block = last
    return history

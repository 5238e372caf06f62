"""The state that the contracts must hold, rebuilt from nothing but their events (ASSURANCE, invariant 13).

Pure functions. `replay` folds events into plain values; `storage` lays those out as the contracts lay out their slots,
so that the result can be held against every slot of the contract. It is written apart
from `printright.services`, whose audit does the same for users: two that must agree find more than one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from eth_utils import keccak
from tests.contracts.accounts import EMPTY, ZERO, job_of
from tests.contracts.chain import ADDRESS, CHAIN_ID, Event


@dataclass
class Unit:
    operator: bytes
    builder: bytes
    active: bool
    enrolment: int
    profile: bytes
    key_digest: bytes
    halted: bool = False

    @property
    def attested(self) -> bool:
        return self.active and self.builder != ZERO


@dataclass
class License:
    """Copies by what became of them. `running` are those of jobs that run, `unknown` those of jobs given up."""

    issued: int
    allowance: int
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
    def used(self) -> int:
        return self.running + self.unknown + self.good

    @property
    def available(self) -> int:
        return self.issued - self.used - self.lost - self.revoked


@dataclass
class Job:
    license: bytes
    unit: bytes
    sequence: int
    quantity: int
    state: str = "running"


@dataclass
class State:
    registrar: bytes = ZERO
    proposed: bytes = ZERO
    roles: dict[bytes, int] = field(default_factory=dict)
    units: dict[bytes, Unit] = field(default_factory=dict)
    job_slots: dict[bytes, int] = field(default_factory=dict)
    designs: dict[bytes, tuple[bytes, int, bool]] = field(default_factory=dict)
    licenses: dict[bytes, License] = field(default_factory=dict)
    jobs: dict[bytes, Job] = field(default_factory=dict)
    given_up: dict[tuple[bytes, int], int] = field(default_factory=dict)
    outcomes: dict[bytes, bytes] = field(default_factory=dict)
    checked_out: dict[bytes, tuple[bytes, int]] = field(default_factory=dict)
    custody: dict[bytes, bytes] = field(default_factory=dict)
    anchored: dict[bytes, int] = field(default_factory=dict)


RUNNING = 1 << 55


def replay(events: Iterable[Event]) -> State:
    """Rebuild the state. Raises KeyError or AssertionError for events that cannot have happened in this order."""
    state = State()
    for event in events:
        globals()[f"_{event.name}"](state, event.time_s, **event.args)
    return state


def _RegistrarProposed(state: State, now: int, registrar: bytes) -> None:
    state.proposed = registrar


def _RegistrarChanged(state: State, now: int, registrar: bytes) -> None:
    state.registrar, state.proposed = registrar, ZERO


def _MemberAdmitted(state: State, now: int, member: bytes, roles: int, key: bytes, profile: bytes) -> None:
    state.roles[member] = roles


def _MemberSuspended(state: State, now: int, member: bytes) -> None:
    assert state.roles[member]
    state.roles[member] = 0


def _UnitEnrolled(
    state: State, now: int, unit: bytes, operator: bytes, builder: bytes, profile: bytes, key: bytes, enrolment: int
) -> None:
    former = state.units.get(unit)
    assert enrolment == (former.enrolment if former else 0) + 1
    assert former is None or not former.active
    if former is None:
        state.job_slots[unit] = now << 56
    state.units[unit] = Unit(operator, builder, True, enrolment, profile, keccak(key))


def _UnitRetired(state: State, now: int, unit: bytes, by: bytes) -> None:
    assert state.units[unit].active
    state.units[unit].active = False


def _UnitHalted(state: State, now: int, unit: bytes, by: bytes) -> None:
    state.units[unit].halted = True


def _UnitCleared(state: State, now: int, unit: bytes) -> None:
    assert state.units[unit].halted
    state.units[unit].halted = False


def _DesignPublished(state: State, now: int, content: bytes, owner: bytes, previous: bytes, parts_per_run: int) -> None:
    assert content not in state.designs
    state.designs[content] = (owner, parts_per_run, False)


def _DesignWithdrawn(state: State, now: int, content: bytes) -> None:
    owner, parts, withdrawn = state.designs[content]
    assert not withdrawn
    state.designs[content] = (owner, parts, True)


def _LicenseGranted(state: State, now: int, license: bytes, licensor: bytes, copies: int, allowance: int) -> None:
    assert license not in state.licenses
    state.licenses[license] = License(copies, allowance)


def _LicenseRevoked(state: State, now: int, license: bytes, copies: int) -> None:
    found = state.licenses[license]
    assert copies == found.available
    found.revoked += copies
    found.ended = True


def _LicensePaused(state: State, now: int, license: bytes) -> None:
    state.licenses[license].paused = True


def _LicenseResumed(state: State, now: int, license: bytes) -> None:
    state.licenses[license].paused = False


def _LicenseAssigned(state: State, now: int, license: bytes, to_license: bytes, copies: int, allowance: int) -> None:
    assert (state.licenses[to_license].issued, state.licenses[to_license].allowance) == (copies, allowance)
    state.licenses[license].issued -= copies
    state.licenses[license].allowance -= allowance


def _CopiesCredited(state: State, now: int, license: bytes, copies: int) -> None:
    found = state.licenses[license]
    found.lost -= copies
    found.credited += copies


def _JobStarted(state: State, now: int, unit: bytes, license: bytes, running: int) -> None:
    job = Job(license, unit, running & 0xFFFFFF, running >> 24 & 0x7FFFFFFF)
    id = job_of(CHAIN_ID, ADDRESS, license, unit, job.sequence)
    assert id not in state.jobs
    assert state.units[unit].active
    assert not state.job_slots[unit] & RUNNING
    state.jobs[id] = job
    state.job_slots[unit] = running
    state.licenses[license].running += job.quantity


def _JobGivenUp(state: State, now: int, unit: bytes, running: int) -> None:
    assert state.job_slots[unit] == running
    (job,) = (j for j in state.jobs.values() if j.unit == unit and j.sequence == running & 0xFFFFFF)
    job.state = "given up"
    state.job_slots[unit] ^= RUNNING
    state.given_up[unit, job.sequence] = running
    state.licenses[job.license].running -= job.quantity
    state.licenses[job.license].unknown += job.quantity


def _JobFinished(state: State, now: int, job: bytes, good: int, failed: int, evidence: bytes, parts: bytes) -> None:
    found = state.jobs[job]
    assert found.state == "running"
    assert good + failed == found.quantity
    assert (parts == EMPTY) == (good == 0)
    found.state = "finished"
    license = state.licenses[found.license]
    returned = min(failed, license.allowance - license.spoiled)
    license.running -= found.quantity
    license.good += good
    license.spoiled += returned
    license.lost += failed - returned
    if license.ended:
        license.revoked += returned
    state.job_slots[found.unit] ^= RUNNING
    state.outcomes[job] = keccak(parts + good.to_bytes(32, "big"))


def _JobClosed(state: State, now: int, job: bytes, license: bytes, credited: int, lost: int) -> None:
    found, counters = state.jobs[job], state.licenses[license]
    assert found.license == license
    assert credited + lost == found.quantity
    if found.state == "running":
        counters.running -= found.quantity
        state.job_slots[found.unit] ^= RUNNING
    else:
        assert found.state == "given up"
        counters.unknown -= found.quantity
        del state.given_up[found.unit, found.sequence]
    found.state = "closed"
    counters.credited += credited
    counters.lost += lost


def _PartCheckedOut(state: State, now: int, part: bytes, by: bytes) -> None:
    assert part not in state.checked_out
    state.checked_out[part] = (by, now)


def _CustodyChanged(state: State, now: int, content: bytes, record: bytes) -> None:
    assert content in state.designs
    state.custody[content] = record


def _LogAnchored(state: State, now: int, custodian: bytes, entries: int, head: bytes) -> None:
    former = state.anchored.get(custodian, 0)
    assert former & (1 << 64) - 1 < entries < 1 << 64
    state.anchored[custodian] = _int(keccak(former.to_bytes(32, "big") + head)) >> 64 << 64 | entries


def storage(state: State, layout: dict[str, Any]) -> dict[int, int]:
    """Every slot that is not zero, as the contracts must hold it. `layout` is the compiler's storage layout."""
    places = {name: at["slot"] for module in layout["storage_layout"].values() for name, at in module.items()}
    found: dict[int, int] = {places["registrar"]: _int(state.registrar)}
    found[places["proposed_registrar"]] = _int(state.proposed)

    def put(name: str, key: bytes, value: int) -> None:
        found[_slot(places[name], key)] = value

    for member, roles in state.roles.items():
        put("_roles", member, roles)
    for unit, u in state.units.items():
        flags = (1 << 160 if u.active else 0) | (1 << 161 if u.attested else 0) | (1 << 162 if u.halted else 0)
        put("_unit", unit, _int(u.operator) | flags | u.enrolment << 192)
        put("_builder", unit, _int(u.builder))
        put("_profile", unit, _int(u.profile))
        put("_key_digest", unit, _int(u.key_digest))
        put("_job", unit, state.job_slots[unit])
    for content, (owner, parts, withdrawn) in state.designs.items():
        put("_design", content, _int(owner) | parts << 160 | withdrawn << 192)
    for content, record in state.custody.items():
        put("_custody", content, _int(record))
    for custodian, anchor in state.anchored.items():
        put("_anchored", custodian, anchor)
    for license, c in state.licenses.items():
        spent = c.used + c.spoiled + c.lost
        numbers = (c.issued, spent, c.spoiled, c.credited, c.lost, c.revoked, c.allowance)
        assert all(0 <= n < 1 << 32 for n in numbers)
        flags = 1 << 224 | c.paused << 225 | c.ended << 226
        put("_counters", license, sum(n << 32 * i for i, n in enumerate(numbers)) | flags)
    for (unit, sequence), running in state.given_up.items():
        inner = _slot(places["_given_up"], unit)
        found[_slot(inner, sequence.to_bytes(32, "big"))] = running
    for job, outcome in state.outcomes.items():
        put("_outcome", job, _int(outcome))
    for part, (by, when) in state.checked_out.items():
        put("_checked_out", part, _int(by) | when << 160)
    return {slot: value for slot, value in found.items() if value}


def license_slot(layout: dict[str, Any], license: bytes) -> int:
    """Where a license's counters lie."""
    return _slot(layout["storage_layout"]["licenses"]["_counters"]["slot"], license)


def _int(value: bytes) -> int:
    return int.from_bytes(value, "big")


def _slot(base: int, key: bytes) -> int:
    return _int(keccak(base.to_bytes(32, "big") + key.rjust(32, b"\0")))

"""The job: one spend of a license by one unit, its outcome per copy, and the record that the ledger commits to."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum

import rfc8785

from printright.domain.ids import Address, JobId, LicenseId
from printright.domain.words import TypedDomain, hash_words
from printright.errors import BadValue

SEQUENCE_BITS, QUANTITY_BITS, DEADLINE_BITS = 24, 31, 40


class Outcome(StrEnum):
    """What became of one copy."""

    GOOD = "good"
    FAILED = "failed"


def job_id(domain: TypedDomain, license: LicenseId, unit: Address, sequence: int) -> JobId:
    """The one idempotency key, from journal to receipt to key release to part."""
    return JobId(hash_words(domain.chain_id, domain.contract, license, unit, sequence))


@dataclass(frozen=True)
class Running:
    """A unit's job slot: `running` of the event `JobStarted`, laid out as in contracts/licenses.vy."""

    sequence: int
    quantity: int
    running: bool
    deadline_s: int
    license_low: int

    @classmethod
    def unpack(cls, slot: int) -> Running:
        return cls(
            sequence=slot & (1 << SEQUENCE_BITS) - 1,
            quantity=slot >> 24 & (1 << QUANTITY_BITS) - 1,
            running=bool(slot >> 55 & 1),
            deadline_s=slot >> 56 & (1 << DEADLINE_BITS) - 1,
            license_low=slot >> 96,
        )


@dataclass(frozen=True)
class JobRecord:
    """What a unit puts on record about a finished job; its digest is the `evidence` of `finish_job`.

    The serial numbers are sealed twice (HPKE): for the licensor, and with the part codes for the licensee. `traces` is
    what the machine may have kept of the file, in the word of the unit's settings; empty for nothing.
    """

    job: JobId
    license: LicenseId
    unit: Address
    outcomes: tuple[Outcome, ...]
    started_at_s: int
    finished_at_s: int
    key_erased_at_s: int
    sealed_for_licensor: bytes
    sealed_for_licensee: bytes
    traces: str = ""

    def canonical(self) -> bytes:
        """Canonical JSON (RFC 8785), as it lies in the stores."""
        return rfc8785.dumps(
            {
                "printright": "job/1",
                "job": self.job.hex(),
                "license": self.license.hex(),
                "unit": self.unit,
                "outcomes": [str(outcome) for outcome in self.outcomes],
                "started_at_s": self.started_at_s,
                "finished_at_s": self.finished_at_s,
                "key_erased_at_s": self.key_erased_at_s,
                "sealed_for_licensor": self.sealed_for_licensor.hex(),
                "sealed_for_licensee": self.sealed_for_licensee.hex(),
                "traces": self.traces,
            }
        )

    @property
    def digest(self) -> bytes:
        return hashlib.sha256(self.canonical()).digest()

    @property
    def good(self) -> int:
        return self.outcomes.count(Outcome.GOOD)

    @property
    def failed(self) -> int:
        return self.outcomes.count(Outcome.FAILED)


def split_runs(quantity: int, parts_per_run: int) -> int:
    """How many runs of the file make `quantity` copies. Raises BadValue where it is not a whole number."""
    if quantity <= 0 or parts_per_run <= 0 or quantity % parts_per_run:
        raise BadValue(
            f"{quantity} copies are not whole runs of {parts_per_run}",
            hint=f"one run of this file makes {parts_per_run} parts: order a multiple of it",
        )
    return quantity // parts_per_run

"""What the model of the contract is made of. Copies are counted by what became of them, never in packed fields."""

from __future__ import annotations

from dataclasses import dataclass

from tests.contracts import accounts as a
from tests.contracts import scene as s
from tests.contracts.accounts import Account
from tests.contracts.chain import ADDRESS, CHAIN_ID
from tests.contracts.scene import Made


@dataclass
class License:
    licensor: Account
    licensee: Account
    terms: s.Terms
    design: bytes
    units: tuple[Account, ...]
    issued: int
    available: int
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
    def hash(self) -> bytes:
        return a.terms_hash(self.licensee.address, self.terms)

    @property
    def id(self) -> bytes:
        return a.license_of(self.licensor.address, self.hash)

    @property
    def expiry(self) -> int:
        return self.terms[1] >> 128

    def proof(self, unit: Account) -> tuple[bytes, ...]:
        """Of one or two units."""
        return tuple(a.unit_leaf(u.address) for u in self.units if u != unit) if len(self.units) == 2 else ()

    def allows(self, unit: Account) -> bool:
        return not self.units or unit in self.units


@dataclass
class Job:
    license: License
    unit: Account
    sequence: int
    quantity: int
    deadline: int
    state: str = "running"
    made: Made | None = None

    @property
    def id(self) -> bytes:
        return a.job_of(CHAIN_ID, ADDRESS, self.license.id, self.unit.address, self.sequence)


@dataclass
class Unit:
    operator: Account
    builder: Account | None
    active: bool = True
    enrolment: int = 1
    halted: bool = False
    last: Job | None = None
    sequence: int = 0


@dataclass
class Design:
    owner: Account
    parts: int
    withdrawn: bool = False
    custody: bytes = a.EMPTY

"""A small network on any chain: one of everything, and short ways to make more. Tests act on it by name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from tests.contracts import accounts as a
from tests.contracts.accounts import REGISTRAR, Account, word
from tests.contracts.chain import ADDRESS, CHAIN_ID, START, Event, Outcome, abi

YEAR = 365 * 86_400
LATER = START + 10 * YEAR
SEPARATOR = a.domain(CHAIN_ID, ADDRESS)

HOLDER, OTHER_HOLDER = Account("rights holder"), Account("other rights holder")
MAKER, OTHER_MAKER = Account("maker"), Account("other maker")
BUILDER, OTHER_BUILDER = Account("builder"), Account("other builder")
CUSTODIAN, SUSPENDED = Account("custodian"), Account("suspended member")
STRANGER, SUCCESSOR = Account("stranger"), Account("proposed registrar")
UNIT, BARE_UNIT, OTHER_UNIT = Account("unit"), Account("unattested unit"), Account("other maker's unit")
RETIRED_UNIT, NEW_UNIT, HALTED_UNIT = Account("retired unit"), Account("new unit"), Account("halted unit")
CODE = Account("code on a part")
EVERYONE = (
    REGISTRAR, SUCCESSOR, HOLDER, OTHER_HOLDER, MAKER, OTHER_MAKER, BUILDER, OTHER_BUILDER, CUSTODIAN, SUSPENDED,
    STRANGER, UNIT, BARE_UNIT, OTHER_UNIT, RETIRED_UNIT, HALTED_UNIT, NEW_UNIT, CODE,
)  # fmt: skip
NOBODY = Account("nobody")

Terms = tuple[bytes, int, bytes, bytes]


class Chain(Protocol):
    """What a story needs of a chain."""

    now: int

    def send(self, sender: bytes, data: bytes) -> Outcome: ...

    def set_time(self, now: int) -> None: ...


@dataclass
class Sent:
    """One call, as it was sent."""

    sender: bytes
    data: bytes
    time_s: int
    outcome: Outcome


@dataclass
class Scene:
    """Calls by name on one chain."""

    chain: Any
    log: list[Sent] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.events:
            self._collect(self.chain.deployed)

    def copy(self) -> Scene:
        """The same scene with a record of its own, for use inside `anchored`."""
        return Scene(self.chain, list(self.log), list(self.events))

    def send(self, sender: Account | bytes, name: str, *args: Any) -> Outcome:
        return self.send_raw(sender, abi().call(name, *args))

    def send_raw(self, sender: Account | bytes, data: bytes) -> Outcome:
        address = sender.address if isinstance(sender, Account) else sender
        outcome = self.chain.send(address, data)
        self.log.append(Sent(address, data, self.chain.now, outcome))
        self._collect(outcome)
        return outcome

    def _collect(self, outcome: Outcome) -> None:
        self.events += [abi().event(*log, self.chain.now) for log in outcome.logs]

    def do(self, sender: Account, name: str, *args: Any) -> list[Event]:
        """Send a call that must succeed; returns its events."""
        before = len(self.events)
        outcome = self.send(sender, name, *args)
        assert outcome.reason is None, (sender, name, outcome.reason)
        return self.events[before:]

    def view(self, name: str, *args: Any) -> Any:
        outcome = self.chain.view(a.ZERO, abi().call(name, *args))
        assert outcome.reason is None, (name, outcome.reason)
        return abi().answer(name, outcome.output)

    def wait(self, seconds: int) -> None:
        self.chain.set_time(self.chain.now + seconds)

    # ---- what is signed

    def enrolment(
        self, unit: Account, operator: Account, builder: Account | None = None, *, number: int = 1, version: str = ""
    ) -> tuple[Any, ...]:
        """The arguments of `enroll_unit`, well signed."""
        profile, key = word(f"profile of {unit}{version}"), a.sealing_key(f"{unit}{version}")
        digest = a.keccak(key)
        unit_signature = unit.sign(
            a.typed(SEPARATOR, a.ENROLMENT, unit.address, operator.address, profile, digest, number, LATER)
        )
        builder_signature = b""
        if builder is not None:
            builder_signature = builder.sign(
                a.typed(SEPARATOR, a.ATTESTATION, unit.address, profile, digest, number, LATER)
            )
        at = builder.address if builder is not None else a.ZERO
        return (unit.address, profile, key, LATER, unit_signature, at, builder_signature)

    # ---- what there is

    def terms(
        self,
        document: str = "document",
        *,
        content: bytes | None = None,
        expiry: int = LATER,
        job_s: int = 86_400,
        flags: int = 0,
        units: bytes = a.EMPTY,
    ) -> Terms:
        return (content or self.content, a.limits(expiry, job_s, flags), units, word(document))

    @property
    def content(self) -> bytes:
        """The design of the rights holder, one part a run."""
        return a.content_of(HOLDER.address, word("design"))

    def grant(self, terms: Terms, copies: int = 10, allowance: int = 2, maker: Account = MAKER) -> bytes:
        """Grant under the rights holder's name; returns the license."""
        hashed = a.terms_hash(maker.address, terms)
        self.do(HOLDER, "grant", hashed, copies, allowance)
        return a.license_of(HOLDER.address, hashed)

    def start(self, terms: Terms, quantity: int = 1, unit: Account = UNIT, proof: tuple[bytes, ...] = ()) -> int:
        """Start the unit's next job; returns its sequence number."""
        sequence = sum(e.name == "JobStarted" and e.args["unit"] == unit.address for e in self.events) + 1
        self.do(unit, "start_job", terms, quantity, sequence, proof)
        return sequence

    def job(self, license: bytes, sequence: int, unit: Account = UNIT) -> bytes:
        return a.job_of(CHAIN_ID, ADDRESS, license, unit.address, sequence)


def settle(scene: Scene) -> Scene:
    """Admit the members, enroll the units, publish the design: the scene that most tests begin with."""
    roles = {
        HOLDER: a.RIGHTS_HOLDER, OTHER_HOLDER: a.RIGHTS_HOLDER, MAKER: a.MAKER, OTHER_MAKER: a.MAKER,
        BUILDER: a.BUILDER, OTHER_BUILDER: a.BUILDER, CUSTODIAN: a.CUSTODIAN, SUSPENDED: 15,
    }  # fmt: skip
    for member, bits in roles.items():
        scene.do(REGISTRAR, "admit_member", member.address, bits, a.sealing_key(member.name), word(member.name))
    scene.do(REGISTRAR, "suspend_member", SUSPENDED.address, [])
    scene.do(REGISTRAR, "propose_registrar", SUCCESSOR.address)
    scene.do(MAKER, "enroll_unit", *scene.enrolment(UNIT, MAKER, BUILDER))
    scene.do(MAKER, "enroll_unit", *scene.enrolment(BARE_UNIT, MAKER))
    scene.do(MAKER, "enroll_unit", *scene.enrolment(RETIRED_UNIT, MAKER))
    scene.do(MAKER, "retire_unit", RETIRED_UNIT.address)
    scene.do(MAKER, "enroll_unit", *scene.enrolment(HALTED_UNIT, MAKER, BUILDER))
    scene.do(MAKER, "halt_unit", HALTED_UNIT.address)
    scene.do(OTHER_MAKER, "enroll_unit", *scene.enrolment(OTHER_UNIT, OTHER_MAKER, OTHER_BUILDER))
    scene.do(HOLDER, "publish", word("design"), 1)
    return scene


@dataclass(frozen=True)
class Made:
    """The parts of one finished job."""

    job: bytes
    good: int
    serials: tuple[bytes, ...]
    codes: tuple[Account, ...]

    @classmethod
    def of(cls, job: bytes, good: int, label: str = "") -> Made:
        serials = tuple(word(f"serial {label}{i}") for i in range(good))
        return cls(job, good, serials, tuple(Account(f"code {label}{i}") for i in range(good)))

    @property
    def levels(self) -> list[list[bytes]]:
        return a.tree(
            [
                a.part_leaf(a.part_of(self.job, i), s, c.address)
                for i, (s, c) in enumerate(zip(self.serials, self.codes, strict=True))
            ]
        )

    @property
    def root(self) -> bytes:
        return self.levels[-1][0] if self.good else a.EMPTY

    def part(self, index: int) -> tuple[Any, ...]:
        """The struct `Part` that shows part `index`."""
        return (
            self.job, self.good, index, self.serials[index], self.codes[index].address, a.proof(self.levels, index),
        )  # fmt: skip

    def check_out(self, index: int, by: Account, deadline: int = LATER) -> tuple[Any, ...]:
        """The arguments of `check_out`, well signed."""
        digest = a.typed(SEPARATOR, a.CHECK_OUT, a.part_of(self.job, index), by.address, deadline)
        return (self.part(index), by.address, deadline, self.codes[index].sign(digest))

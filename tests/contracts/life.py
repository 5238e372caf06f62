"""A model of the whole contract in plain Python, and the calls that people make of it.

Every method below is one call. It takes small numbers that say who, what and how much, says beforehand what the
contract must answer (success, or the exact reason of the refusal, in the contract's order of checks), sends it and
compares. The model counts copies by what became of them and never adds up 32-bit fields, so that it cannot share a
packing error with the contract.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

from tests.contracts import accounts as a
from tests.contracts import scene as s
from tests.contracts.accounts import EMPTY, REGISTRAR, ZERO, Account, word
from tests.contracts.chain import abi
from tests.contracts.life_nouns import Design, Job, License, Unit
from tests.contracts.scene import Made, Scene

MOST = 2**31 - 1
LARGEST = 8  # jobs up to here have real part trees
PEOPLE = (s.HOLDER, s.OTHER_HOLDER, s.MAKER, s.OTHER_MAKER, s.BUILDER)
ROLES = (a.RIGHTS_HOLDER, a.RIGHTS_HOLDER, a.MAKER, a.MAKER, a.BUILDER)
MACHINES = (s.UNIT, s.BARE_UNIT, s.OTHER_UNIT, s.NEW_UNIT)
OUTSIDER = s.STRANGER
SENDERS = (*PEOPLE, *MACHINES, REGISTRAR, s.SUCCESSOR)
AMOUNTS = (1, 2, 3, 4, 6, 8, 5, 12, 40, MOST, MOST - 1, 2**30)
# The same bytes, sent again by the same account after they worked once, are refused for ever.
ONCE = {
    "enroll_unit", "publish", "publish_version", "withdraw", "grant", "grant_many", "revoke", "assign",
    "start_job", "close_job", "check_out", "change_custody", "anchor",
}  # fmt: skip


@dataclass
class Life:
    """The model, beside the scene on which it acts."""

    scene: Scene
    registrar: Account = REGISTRAR
    proposed: Account | None = None
    roles: dict[Account, int] = field(default_factory=dict)
    units: dict[Account, Unit] = field(default_factory=dict)
    designs: dict[bytes, Design] = field(default_factory=dict)
    licenses: dict[bytes, License] = field(default_factory=dict)
    jobs: dict[bytes, Job] = field(default_factory=dict)
    checked_out: dict[bytes, Account] = field(default_factory=dict)
    anchored: dict[Account, int] = field(default_factory=dict)
    worked: list[tuple[Account, str, bytes]] = field(default_factory=list)
    started: Job | None = None
    touched: list[License] = field(default_factory=list)
    counter: int = 0
    reasons: dict[str, int] = field(default_factory=dict)

    def copy(self) -> Life:
        chain = self.scene.chain
        return copy.deepcopy(self, {id(chain): chain})

    @property
    def now(self) -> int:
        return self.scene.chain.now

    def word(self, what: str) -> bytes:
        self.counter += 1
        return word(f"{what} {self.counter}")

    def act(self, sender: Account, name: str, args: tuple[Any, ...], *rules: tuple[bool, str]) -> bool:
        """Send a call; the first rule that is broken names the refusal. Whether it worked."""
        reason = next((text for broken, text in rules if broken), None)
        data = abi().call(name, *args)
        outcome = self.scene.send_raw(sender, data)
        assert outcome.reason == reason, (sender, name, args, outcome.reason, reason)
        if reason is None:
            assert outcome.logs
            self.worked.append((sender, name, data))
        else:
            assert outcome.logs == ()
        key = f"{name}: {reason or 'worked'}"
        self.reasons[key] = self.reasons.get(key, 0) + 1
        return reason is None

    def tick(self, seconds: int = 1) -> None:
        self.scene.wait(seconds)

    def role(self, account: Account, bits: int) -> bool:
        return self.roles.get(account, 0) & bits != 0

    # ------------------------------------------------------------------------------------------- registry

    def admit(self, by: int, who: int, choice: int) -> None:
        sender = self.registrar if by else _pick(SENDERS, who + choice)
        member = _pick(PEOPLE, who)
        bits = {1: 15, 2: 0, 3: 16, 4: a.MAKER, 5: a.CUSTODIAN}.get(choice, ROLES[who % len(ROLES)])
        args = (member.address, bits, a.sealing_key(member.name), word(member.name))
        rules = (
            (sender != self.registrar, "registry: not the registrar"),
            (bits in (0, 16), "registry: unknown roles"),
        )
        if self.act(sender, "admit_member", args, *rules):
            self.roles[member] = bits

    def suspend(self, who: int, named: int, rarely: int) -> None:
        if rarely:
            # A network whose members are all suspended is soon dull: mostly one comes back instead.
            gone = [i for i, p in enumerate(PEOPLE) if self.roles[p] != ROLES[i]]
            self.admit(1, gone[0] if gone else who, 0)
            return
        member = _pick(PEOPLE, who)
        units = [m for i, m in enumerate(MACHINES) if named >> i & 1]
        rule = (not self.roles.get(member), "registry: not a member")
        if self.act(self.registrar, "suspend_member", (member.address, [u.address for u in units]), rule):
            self.roles[member] = 0
            for unit in units:
                if unit in self.units and self.units[unit].operator == member:
                    self.units[unit].active = False

    def hand_over(self, step: int, who: int) -> None:
        if step:
            to = _pick((REGISTRAR, s.SUCCESSOR), who)
            if self.act(self.registrar, "propose_registrar", (to.address,)):
                self.proposed = to
            return
        sender = _pick((self.proposed or REGISTRAR, s.SUCCESSOR, s.MAKER), who)
        rule = (sender != self.proposed, "registry: not the proposed registrar")
        if self.act(sender, "accept_registrar", (), rule):
            self.registrar, self.proposed = sender, None

    def enroll(self, machine: int, who: int, by: int, fault: int) -> None:
        idle = [m for m in MACHINES if m not in self.units or not self.units[m].active]
        unit = _pick(idle if idle and fault != 7 else MACHINES, machine)
        operator = _pick((s.MAKER, s.OTHER_MAKER, s.MAKER, s.OTHER_MAKER, s.HOLDER), who)
        builder = (None, s.BUILDER, s.OTHER_MAKER)[by % 3]
        known = self.units.get(unit)
        number = (known.enrolment if known else 0) + 1
        # 1: a number too far, 2: another operator's, 3: high s, 4: not the builder's, 5: no key, 6: too late
        args = list(self.scene.enrolment(unit, operator, builder, number=number + (fault == 1), version=f" {number}"))
        if fault == 2:
            args[4] = self.scene.enrolment(unit, REGISTRAR, None, number=number, version=f" {number}")[4]
        if fault == 3:
            args[4] = a.high_s(args[4])
        if fault == 4:
            args[6] = args[4]
        if fault == 5:
            args[2] = b""
        if fault == 6:
            args[3] = self.now - 1
        rules = (
            (not self.role(operator, a.MAKER), "registry: not a maker"),
            (fault == 6, "registry: signature expired"),
            (known is not None and known.active, "registry: already enrolled"),
            (fault == 5, "registry: no key"),
            (fault in (1, 2, 3), "registry: bad unit signature"),
            (builder is not None and not self.role(builder, a.BUILDER), "registry: not a builder"),
            (builder is not None and fault == 4, "registry: bad builder signature"),
        )
        if self.act(operator, "enroll_unit", tuple(args), *rules):
            last, sequence = (known.last, known.sequence) if known else (None, 0)
            self.units[unit] = Unit(operator, builder, True, number, last=last, sequence=sequence)

    def retire(self, machine: int, by: int) -> None:
        unit = _pick(MACHINES, machine)
        known = self.units.get(unit)
        builder = known.builder if known and known.builder else REGISTRAR
        sender = (known.operator if known else s.MAKER, unit, self.registrar, builder, s.OTHER_MAKER)[by % 5]
        may = known is not None and sender in (known.operator, unit, self.registrar, known.builder)
        rules = (
            (known is None or not known.active, "registry: not enrolled"),
            (not may, "registry: not allowed to retire"),
        )
        if self.act(sender, "retire_unit", (unit.address,), *rules):
            self.units[unit].active = False

    def halt(self, machine: int, by: int, rarely: int) -> None:
        """Halts are rare and mostly followed by a clearing, so that the machines go on working."""
        halted = [m for m, u in self.units.items() if u.halted]
        if halted and rarely:
            self.clear(machine, by)
            return
        unit = _pick(MACHINES, machine)
        known = self.units.get(unit)
        sender = (known.operator if known else s.MAKER, self.registrar, s.BUILDER, unit)[by % 4]
        rule = (known is None or sender not in (known.operator, self.registrar), "registry: not allowed to halt")
        if self.act(sender, "halt_unit", (unit.address,), rule):
            self.units[unit].halted = True

    def clear(self, machine: int, by: int) -> None:
        halted = [m for m, u in self.units.items() if u.halted]
        unit = _pick(halted or MACHINES, machine)
        known = self.units.get(unit)
        operator = known.operator if known else s.MAKER
        sender = (operator, operator, self.registrar, unit)[by % 4]
        rule = (known is None or not known.halted or sender != operator, "registry: not allowed to clear")
        if self.act(sender, "clear_unit", (unit.address,), rule):
            self.units[unit].halted = False

    # -------------------------------------------------------------------------------------------- designs

    def publish(self, who: int, parts: int, old: int) -> None:
        sender = _pick((s.HOLDER, s.OTHER_HOLDER, s.HOLDER, s.MAKER), who)
        commitment = word(f"commitment {old}") if old % 4 == 0 else self.word("commitment")
        content = a.content_of(sender.address, commitment)
        count = (1, 1, 1, 2, 4, 0, 2**32)[parts % 7]
        previous, owner = EMPTY, sender
        name, args = "publish", (commitment, count)
        if old % 2 and self.designs:
            own = [c for c, d in self.designs.items() if d.owner == sender and old != 3]
            previous = _pick(own or list(self.designs), old)
            owner = self.designs[previous].owner
            name, args = "publish_version", (commitment, previous, count)  # type: ignore[assignment]
        rules = (
            (owner != sender, "designs: not the owner"),
            (not self.role(sender, a.RIGHTS_HOLDER), "designs: not a rights holder"),
            (count in (0, 2**32), "designs: parts per run out of range"),
            (content in self.designs, "designs: already published"),
        )
        if self.act(sender, name, args, *rules):
            self.designs[content] = Design(sender, count)

    def withdraw(self, which: int, by: int, rarely: int) -> None:
        if rarely:
            self.publish(which, by, 2 * which)
            return
        content = _pick(list(self.designs), which)
        design = self.designs[content]
        sender = design.owner if by else s.MAKER
        rules = (
            (sender != design.owner, "designs: not the owner"),
            (design.withdrawn, "designs: withdrawn"),
        )
        if self.act(sender, "withdraw", ([content],), *rules):
            design.withdrawn = True

    # -------------------------------------------------------------------------------------------- custody

    def change_custody(self, which: int, by: int, fault: int) -> None:
        content = _pick(list(self.designs), which)
        design = self.designs[content]
        sender = design.owner if by else s.CUSTODIAN
        former, record = (self.word("old record") if fault == 1 else design.custody), self.word("record")
        rules = (
            (sender != design.owner, "designs: not the owner"),
            (fault == 1, "designs: custody changed before"),
        )
        if self.act(sender, "change_custody", (content, former, record), *rules):
            design.custody = record

    def anchor(self, who: int, more: int) -> None:
        sender = _pick((s.CUSTODIAN, s.CUSTODIAN, *PEOPLE), who)
        before = self.anchored.get(sender, 0)
        entries = before + more - 1
        rules = (
            (before == 0 and not self.role(sender, a.CUSTODIAN), "anchors: not a custodian"),
            (entries <= before, "anchors: no more entries than before"),
        )
        if self.act(sender, "anchor", (max(entries, 0), self.word("head")), *rules):
            self.anchored[sender] = entries

    # ------------------------------------------------------------------------------------------- licenses

    def _drafted(self, which: int, who: int, copies: int, allowance: int, conditions: int) -> License:
        content = _pick([c for c, d in self.designs.items() if not d.withdrawn][-6:] or list(self.designs), which)
        flags = (a.ASSIGNABLE if conditions & 1 else 0) | (a.ATTESTED_ONLY if conditions & 2 else 0)
        expiry = self.now + (1500 if conditions & 4 else 40 * 86_400)
        units = ((), (), (s.UNIT,), (s.UNIT, s.OTHER_UNIT))[conditions >> 3 & 3]
        root = {0: EMPTY, 1: a.unit_leaf(units[0].address) if units else EMPTY}.get(len(units)) or a.pair(
            *(a.unit_leaf(u.address) for u in units)
        )
        terms = (content, a.limits(expiry, 20 if conditions & 32 else 600, flags), root, self.word("document"))
        maker = (s.MAKER, s.OTHER_MAKER)[who % 2]
        return License(self.designs[content].owner, maker, terms, content, units, copies, copies, allowance)

    def grant(self, which: int, who: int, copies: int, allowance: int, conditions: int) -> None:
        drafted = self._drafted(which, who, _pick(AMOUNTS, copies), _pick((0, 1, 2, 5, MOST), allowance), conditions)
        rule = (not self.role(drafted.licensor, a.RIGHTS_HOLDER), "licenses: not a rights holder")
        if self.act(drafted.licensor, "grant", (drafted.hash, drafted.issued, drafted.allowance), rule):
            self._add(drafted)

    def grant_many(self, which: int, count: int, fault: int) -> None:
        drafts = [self._drafted(which, i, 4 + i, i, i) for i in range(count)]
        licensor = drafts[0].licensor
        grants = [(d.hash, d.issued, d.allowance) for d in drafts]
        # 1: the last without copies, 2: the last twice; one bad grant undoes all
        if fault == 1:
            grants[-1] = (grants[-1][0], 0, 0)
        if fault == 2:
            grants.append(grants[-1])
        rules = (
            (not self.role(licensor, a.RIGHTS_HOLDER), "licenses: not a rights holder"),
            (fault == 1, "licenses: copies out of range"),
            (fault == 2, "licenses: already granted"),
        )
        if self.act(licensor, "grant_many", (grants,), *rules):
            for draft in drafts:
                self._add(draft)

    def _add(self, license: License) -> None:
        self.licenses[license.id] = license
        self.touched.append(license)

    def _license(self, which: int) -> License:
        # The latest are the most alive.
        return _pick(list(self.licenses.values())[-12:], which)

    def revoke(self, which: int, rarely: int) -> None:
        if rarely:
            self.grant(which, which, which, which, which)
            return
        license = self._license(which)
        if self.act(license.licensor, "revoke", ([license.hash],), (license.ended, "licenses: revoked")):
            license.revoked += license.available
            license.available = 0
            license.ended = True
            self.touched.append(license)

    def pause(self, which: int) -> None:
        license = self._license(which)
        if self.act(license.licensor, "pause", ([license.hash],), (license.paused, "licenses: paused")):
            license.paused = True
            self.touched.append(license)

    def resume(self, which: int) -> None:
        paused = [x for x in self.licenses.values() if x.paused]
        license = _pick(paused, which) if paused else self._license(which)
        if self.act(license.licensor, "resume", ([license.hash],), (not license.paused, "licenses: not paused")):
            license.paused = False
            self.touched.append(license)

    def _closed(self, license: License) -> tuple[tuple[bool, str], ...]:
        return (
            (self.now > license.expiry, "licenses: expired"),
            (license.ended, "licenses: revoked"),
            (license.paused, "licenses: paused"),
        )

    def assign(self, which: int, copies: int, allowance: int, to: int) -> None:
        fit = [x for x in self.licenses.values() if x.terms[1] & a.ASSIGNABLE and x.available and not x.ended]
        license = _pick(fit[-6:], which) if fit else self._license(which)
        licensee = (s.MAKER, s.OTHER_MAKER, s.BUILDER)[to % 3]
        count = (license.available, 1, license.available // 2, license.available + 1, 0)[copies % 5]
        spare = license.allowance - license.spoiled
        share = (0, spare, spare + 1)[allowance % 3]
        terms = (license.terms[0], license.terms[1], EMPTY, self.word("given"))
        args = (license.terms, licensee.address, EMPTY, terms[3], count, share)
        rules = (
            (not self.role(license.licensee, a.MAKER), "registry: not a maker"),
            (not license.terms[1] & a.ASSIGNABLE, "licenses: not assignable"),
            *self._closed(license),
            (count == 0 or count > license.available, "licenses: no copies left"),
            (share > spare, "licenses: allowance exceeds the rest"),
            (not self.role(licensee, a.MAKER), "licenses: licensee is not a maker"),
        )
        if self.act(license.licensee, "assign", args, *rules):
            license.issued -= count
            license.available -= count
            license.allowance -= share
            self.touched.append(license)
            self._add(License(license.licensor, licensee, terms, license.design, (), count, count, share))

    def credit(self, which: int, copies: int) -> None:
        losers = [x for x in self.licenses.values() if x.lost] or list(self.licenses.values())
        license = _pick(losers, which)
        count = (license.lost, 1, license.lost + 1, 0)[copies % 4]
        rules = (
            (license.ended, "licenses: revoked"),
            (count == 0 or count > license.lost, "licenses: not so many lost"),
            (license.credited + count >= 2**32, "licenses: credited too often"),
        )
        if self.act(license.licensor, "credit", (license.hash, count), *rules):
            license.lost -= count
            license.credited += count
            license.available += count
            self.touched.append(license)

    # ----------------------------------------------------------------------------------------------- jobs

    def start(self, machine: int, which: int, amount: int, fault: int) -> None:
        ready = [m for m, u in self.units.items() if u.active]
        unit = _pick(ready if ready and fault != 8 else MACHINES, machine)
        known = self.units.get(unit)
        license = self._license(which)
        if known is not None and fault < 6:
            # Mostly what an operator would do: one of its own licenses with copies left.
            own = [x for x in self.licenses.values() if x.licensee == known.operator and x.available]
            own = [x for x in own if x.allows(unit) and not x.ended and (fault or self.now <= x.expiry)][-6:]
            license = _pick(own, which) if own else license
        design = self.designs[license.design]
        if fault < 5:
            quantity = max(design.parts, min(AMOUNTS[amount % 12], license.available) // design.parts * design.parts)
        else:
            quantity = (0, license.available + 1, 3, 1, license.available)[amount % 5]
        sequence = (known.sequence if known else 0) + 1 + (fault == 3) - (fault == 4)
        proof = license.proof(unit) if fault != 7 else (word("a false sibling"),)
        operator = known.operator if known else None
        rules = (
            (known is None or not known.active, "jobs: unit not enrolled"),
            (known is not None and known.halted, "registry: halted"),
            (
                bool(license.terms[1] & a.ATTESTED_ONLY) and (known is None or known.builder is None),
                "jobs: unit not attested",
            ),
            (design.withdrawn, "jobs: design withdrawn"),
            (operator != license.licensee, "licenses: not granted to this operator"),
            *self._closed(license),
            (bool(license.units) and (not license.allows(unit) or fault == 7), "licenses: not for this unit"),
            (quantity == 0, "jobs: no quantity"),
            (quantity > license.available, "licenses: no copies left"),
            (quantity % design.parts != 0, "jobs: not whole runs"),
            (fault in (3, 4), "jobs: wrong sequence number"),
        )
        if not self.act(unit, "start_job", (license.terms, quantity, sequence, proof), *rules):
            return
        assert known is not None
        if known.last is not None and known.last.state == "running":
            known.last.state = "given up"
            known.last.license.running -= known.last.quantity
            known.last.license.unknown += known.last.quantity
            self.touched.append(known.last.license)
        job = Job(license, unit, sequence, quantity, self.now + (license.terms[1] & 0xFFFFFFFF))
        assert job.id not in self.jobs
        self.jobs[job.id] = known.last = self.started = job
        known.sequence = sequence
        license.available -= quantity
        license.running += quantity
        self.touched.append(license)

    def work(self, machine: int, which: int, amount: int, split: int) -> None:
        """What a unit without faults does: finish the job that it runs, else start the next."""
        ready = [m for m, u in self.units.items() if u.active]
        if not ready:
            self.enroll(machine, which, amount, 0)
        elif (last := self.units[_pick(ready, machine)].last) and last.state == "running" and split < 6:
            self.finish(list(self.units).index(last.unit), split, 6)
        else:
            self.start(machine, which, amount, 0)

    def finish(self, machine: int, split: int, fault: int) -> None:
        busy = [m for m, u in self.units.items() if u.last is not None and u.last.state == "running"]
        unit = _pick(busy if busy and fault != 6 else list(self.units), machine)
        known = self.units.get(unit)
        job = known.last if known else None
        runs = job is not None and job.state == "running"
        license = job.license if job else self._license(split)
        quantity = job.quantity if job else 1
        good = (quantity, quantity, 0, quantity // 2, quantity - 1, max(0, quantity - 2))[split % 6]
        failed = quantity - good
        made = Made.of(job.id, good, f"{job.sequence} of {unit} ") if job and good <= LARGEST else None
        root = made.root if made else self.word("root")
        named = license.id
        # 1: another license, 2: an id made up to end in the same 160 bits, 3 and 4: wrong sums, 5: parts amiss
        if fault == 1:
            named = self._license(split).id
        if fault == 2:
            named = bytes([named[0] ^ 0x80]) + named[1:]
        if fault == 3:
            good += 1
        if fault == 4:
            good, failed = 2**256 - 1, quantity + 1
        if fault == 5:
            root = EMPTY if good else word("parts of nothing")
        rules = (
            (not runs, "jobs: not running"),
            (named != license.id, "jobs: other license"),
            (fault in (3, 4), "jobs: outcome does not add up"),
            (fault == 5, "jobs: parts do not fit"),
        )
        if not self.act(unit, "finish_job", (named, good, failed, self.word("evidence"), root), *rules):
            return
        assert job is not None
        job.state, job.made = "finished", made
        returned = min(failed, license.allowance - license.spoiled)
        license.running -= quantity
        license.good += good
        license.spoiled += returned
        license.lost += failed - returned
        if license.ended:
            license.revoked += returned
        else:
            license.available += returned
        self.touched.append(license)

    def close(self, which: int, credited: int, fault: int) -> None:
        open_jobs = [j for j in self.jobs.values() if j.state in ("running", "given up")]
        jobs = open_jobs if open_jobs and fault != 1 else list(self.jobs.values())[-8:]
        if not jobs:
            return
        job = _pick(jobs, which)
        license = job.license if fault != 2 else self._license(which)
        count = (0, job.quantity, job.quantity // 2, job.quantity + 1)[credited % 4]
        if fault in (0, 3) and self.now <= job.deadline:
            self.tick(job.deadline - self.now + 1)
        current = self.units[job.unit].sequence == job.sequence
        rules = (
            (current and job.state != "running", "jobs: not running"),
            (current and self.now <= job.deadline, "jobs: deadline not over"),
            (not current and job.state != "given up", "jobs: not given up"),
            (license is not job.license, "jobs: other license"),
            (count > job.quantity, "jobs: more credited than spent"),
            (count != 0 and license.ended, "licenses: revoked"),
            (license.credited + count >= 2**32, "licenses: credited too often"),
        )
        args = (license.hash, job.unit.address, job.sequence, count)
        if not self.act(license.licensor, "close_job", args, *rules):
            return
        if job.state == "running":
            license.running -= job.quantity
        else:
            license.unknown -= job.quantity
        job.state = "closed"
        license.credited += count
        license.available += count
        license.lost += job.quantity - count
        self.touched.append(license)

    # ---------------------------------------------------------------------------------------------- parts

    def check_out(self, which: int, index: int, by: int, fault: int) -> None:
        made = [j.made for j in list(self.jobs.values())[-40:] if j.made is not None and j.made.good]
        if not made:
            return
        job = _pick(made, which)
        index %= job.good
        owner = _pick(PEOPLE, by)
        part, _, deadline, signature = job.check_out(index, owner, self.now + 60)
        part_id = a.part_of(job.job, index)
        # 1: an index too far, 2: another's signature, 3: too late, 4: for the zero account
        if fault == 1:
            part = (*part[:2], index + job.good, *part[3:])
        to = s.NOBODY.address if fault == 2 else ZERO if fault == 4 else owner.address
        if fault == 3:
            deadline = self.now - 1
        rules = (
            (fault == 4, "parts: zero account"),
            (fault == 3, "parts: signature expired"),
            (fault == 1, "parts: not genuine"),
            (part_id in self.checked_out, "parts: already checked out"),
            (fault == 2, "parts: bad code signature"),
        )
        if self.act(_pick(SENDERS, by + index), "check_out", (part, to, deadline, signature), *rules):
            self.checked_out[part_id] = owner

    # --------------------------------------------------------------------------------- once more, and by others

    def resend(self, which: int) -> None:
        """The same bytes again from the same account, after a crash or a lost answer."""
        once = [w for w in self.worked[-60:] if w[1] in ONCE]
        if once:
            sender, name, data = _pick(once[::-1], which)
            outcome = self.scene.send_raw(sender, data)
            assert outcome.reason is not None, (sender, name)

    def intrude(self, which: int) -> None:
        """The same bytes from an account without any role."""
        _, name, data = _pick(self.worked[::-1][:60], which)
        outcome = self.scene.send_raw(OUTSIDER, data)
        assert outcome.reason is not None, name


def _pick(items: Any, n: int) -> Any:
    return items[n % len(items)]


def born(scene: Scene) -> Life:
    """A network in which anything can happen at once: members, two units, a design, two licenses."""
    life = Life(scene)
    keeper = (s.CUSTODIAN.address, a.CUSTODIAN, a.sealing_key("custodian"), word("custodian"))
    if life.act(REGISTRAR, "admit_member", keeper):
        life.roles[s.CUSTODIAN] = a.CUSTODIAN
    for who in range(len(PEOPLE)):
        life.admit(1, who, 0)
    for operator, builder in ((0, 1), (0, 0), (1, 1)):
        life.enroll(0, operator, builder, 0)
    life.publish(0, 0, 2)
    life.publish(1, 3, 2)
    life.grant(0, 0, 8, 2, 1)
    life.grant(1, 1, 8, 2, 2)
    return life

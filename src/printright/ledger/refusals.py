"""Every reason that the contracts give for a refusal, as an error of its own that says what to do next.

LedgerRefused
└── ContractRefused      `reason` is the contract's text
    ├── one subclass for each reason in contracts/*.vy; `REFUSALS` maps them
    ├── OutOfGas         the transaction's gas did not suffice, which our limits rule out for this contract
    └── UnknownReason    a reason of another version of the contract, a panic, or none at all
"""

from __future__ import annotations

from typing import ClassVar

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError

from printright.errors import LedgerRefused

ERROR_SELECTOR = bytes.fromhex("08c379a0")  # Error(string), as Solidity and Vyper encode a reason
OUT_OF_GAS = "ledger: out of gas"


class ContractRefused(LedgerRefused):
    """The contract said no. `reason` is its text, `function` what was asked of it."""

    reason: str = ""
    says: ClassVar[str] = ""
    next_step: ClassVar[str] = ""

    def __init__(self, function: str) -> None:
        super().__init__(f"{function} was refused: {self.says}", hint=self.next_step)
        self.function = function


class OutOfGas(ContractRefused):
    """Mined, and stopped for want of gas."""

    reason = OUT_OF_GAS
    says = "it needed more gas than any call of this contract should"
    next_step = "check that the network file names the contract of this version"


class UnknownReason(ContractRefused):
    """A refusal that this version of Printright has no name for."""

    def __init__(self, function: str, reason: str) -> None:
        self.reason = reason
        super().__init__(function)
        self.message = (
            f"{function} was refused: {reason[:200]!r}" if reason else f"{function} was refused without a reason"
        )
        self.hint = "check the arguments, and that the network file names the contract of this version"


class ZeroRegistrar(ContractRefused):
    reason = "registry: zero registrar"
    says = "the zero address cannot be the registrar"
    next_step = "name the account that admits members"


class NotRegistrar(ContractRefused):
    reason = "registry: not the registrar"
    says = "this account is not the registrar"
    next_step = "send it from the registrar's account"


class NotProposedRegistrar(ContractRefused):
    reason = "registry: not the proposed registrar"
    says = "the registrar's role was not offered to this account"
    next_step = "ask the registrar to propose it"


class ZeroMember(ContractRefused):
    reason = "registry: zero member"
    says = "the zero address cannot be a member"
    next_step = "name the member's account"


class UnknownRoles(ContractRefused):
    reason = "registry: unknown roles"
    says = "these are no roles"
    next_step = "give at least one of rights holder, maker, builder and custodian"


class NotMember(ContractRefused):
    reason = "registry: not a member"
    says = "this account is not a member"
    next_step = "check the address; it may be suspended already"


class NotMaker(ContractRefused):
    reason = "registry: not a maker"
    says = "this account is not a maker"
    next_step = "ask the registrar to admit it with the maker's role"


class EnrolmentExpired(ContractRefused):
    reason = "registry: signature expired"
    says = "the enrolment's signatures have expired"
    next_step = "have the unit, and its builder, sign it again"


class AlreadyEnrolled(ContractRefused):
    reason = "registry: already enrolled"
    says = "the unit is enrolled"
    next_step = "retire it first, by its present operator"


class NoUnitKey(ContractRefused):
    reason = "registry: no key"
    says = "the unit has no unsealing key"
    next_step = "give the unit's public unsealing key"


class BadUnitSignature(ContractRefused):
    reason = "registry: bad unit signature"
    says = "the unit did not sign this enrolment"
    next_step = "make a new request on the unit, for this operator and network"


class NotBuilder(ContractRefused):
    reason = "registry: not a builder"
    says = "the builder that attests the unit is not a member with that role"
    next_step = "ask the registrar to admit the builder"


class BadBuilderSignature(ContractRefused):
    reason = "registry: bad builder signature"
    says = "the builder did not sign this attestation"
    next_step = "ask the builder for a statement on this unit and enrolment"


class NotEnrolled(ContractRefused):
    reason = "registry: not enrolled"
    says = "the unit is not enrolled"
    next_step = "check the address; it may be retired already"


class MayNotRetire(ContractRefused):
    reason = "registry: not allowed to retire"
    says = "this account may not retire the unit"
    next_step = "only its operator, its builder, the registrar or the unit itself can"


class UnitIsHalted(ContractRefused):
    reason = "registry: halted"
    says = "the unit is halted"
    next_step = "its operator clears it, after a look at the machine: `printright unit clear`"


class MayNotHalt(ContractRefused):
    reason = "registry: not allowed to halt"
    says = "there is no such unit, or this account may not halt it"
    next_step = "check the address; only its operator and the registrar can"


class MayNotClear(ContractRefused):
    reason = "registry: not allowed to clear"
    says = "the unit is not halted, or this account does not operate it"
    next_step = "check with `printright unit list`; only its operator can"


class UnknownDesign(ContractRefused):
    reason = "designs: unknown"
    says = "no such design version was published"
    next_step = "check the version's id, and the network"


class NotDesignOwner(ContractRefused):
    reason = "designs: not the owner"
    says = "this account does not own the design"
    next_step = "send it from the account that published it"


class DesignAlreadyWithdrawn(ContractRefused):
    reason = "designs: withdrawn"
    says = "the design version is withdrawn"
    next_step = "nothing is left to do"


class DesignNotByRightsHolder(ContractRefused):
    reason = "designs: not a rights holder"
    says = "this account is not a rights holder"
    next_step = "ask the registrar to admit it with that role"


class PartsPerRunOutOfRange(ContractRefused):
    reason = "designs: parts per run out of range"
    says = "a run makes at least one part and fewer than 2^32"
    next_step = "correct the parts per run"


class AlreadyPublished(ContractRefused):
    reason = "designs: already published"
    says = "this very package is published"
    next_step = "use the version that exists, or publish with a new salt"


class GrantNotByRightsHolder(ContractRefused):
    reason = "licenses: not a rights holder"
    says = "this account is not a rights holder"
    next_step = "ask the registrar to admit it with that role"


class LicenseRevokedAlready(ContractRefused):
    reason = "licenses: revoked"
    says = "the license is revoked"
    next_step = "ask the rights holder for a new license"


class LicenseIsPaused(ContractRefused):
    reason = "licenses: paused"
    says = "the license is paused"
    next_step = "ask the rights holder to resume it"


class LicenseNotPaused(ContractRefused):
    reason = "licenses: not paused"
    says = "the license is not paused"
    next_step = "nothing is left to do"


class LicenseExpired(ContractRefused):
    reason = "licenses: expired"
    says = "the license has expired"
    next_step = "ask the rights holder for a new license"


class UnknownLicense(ContractRefused):
    reason = "licenses: unknown"
    says = "this account granted no license with these terms"
    next_step = "check the terms, and the account that granted them"


class NotAssignable(ContractRefused):
    reason = "licenses: not assignable"
    says = "the terms do not allow to assign copies"
    next_step = "ask the rights holder for a license that does"


class NoCopiesLeft(ContractRefused):
    reason = "licenses: no copies left"
    says = "the license has not so many copies left"
    next_step = "ask for fewer, or the rights holder for more"


class AllowanceExceedsRest(ContractRefused):
    reason = "licenses: allowance exceeds the rest"
    says = "so much spoilage allowance is not left to go along"
    next_step = "assign a smaller allowance"


class LicenseeNotMaker(ContractRefused):
    reason = "licenses: licensee is not a maker"
    says = "the new licensee is not a maker"
    next_step = "ask the registrar to admit it with that role"


class NotSoManyLost(ContractRefused):
    reason = "licenses: not so many lost"
    says = "the license has not lost so many copies"
    next_step = "credit at most the lost ones, and at least one"


class CreditedTooOften(ContractRefused):
    reason = "licenses: credited too often"
    says = "the license's counters are full"
    next_step = "grant a new license instead"


class NotGranted(ContractRefused):
    reason = "licenses: not granted to this operator"
    says = "no license with these terms was granted to the unit's operator"
    next_step = "check the terms, and who operates the unit"


class NotForThisUnit(ContractRefused):
    reason = "licenses: not for this unit"
    says = "the license does not allow this unit"
    next_step = "use a unit that it names, and show the proof for it"


class CopiesOutOfRange(ContractRefused):
    reason = "licenses: copies out of range"
    says = "a license is for at least one copy and fewer than 2^31"
    next_step = "correct the number of copies"


class AllowanceOutOfRange(ContractRefused):
    reason = "licenses: allowance out of range"
    says = "the spoilage allowance is 2^31 or more"
    next_step = "correct the allowance"


class AlreadyGranted(ContractRefused):
    reason = "licenses: already granted"
    says = "a license with exactly these terms was granted before"
    next_step = "use it, or grant with a new document salt"


class UnitNotEnrolled(ContractRefused):
    reason = "jobs: unit not enrolled"
    says = "the unit is not enrolled"
    next_step = "have its operator enroll it"


class UnitNotAttested(ContractRefused):
    reason = "jobs: unit not attested"
    says = "the license asks for a unit that its builder attested"
    next_step = "use an attested unit"


class DesignWithdrawnForJobs(ContractRefused):
    reason = "jobs: design withdrawn"
    says = "the rights holder withdrew this design version"
    next_step = "ask the rights holder for the version that follows"


class NoQuantity(ContractRefused):
    reason = "jobs: no quantity"
    says = "a job makes at least one copy"
    next_step = "ask for at least one run"


class NotWholeRuns(ContractRefused):
    reason = "jobs: not whole runs"
    says = "the quantity is not a multiple of what one run makes"
    next_step = "ask for whole runs"


class WrongSequence(ContractRefused):
    reason = "jobs: wrong sequence number"
    says = "this is not the unit's next sequence number"
    next_step = "read the unit's job again: this start may have counted already"


class SequenceExhausted(ContractRefused):
    reason = "jobs: sequence exhausted"
    says = "the unit has used up its sequence numbers"
    next_step = "enroll a unit with a new key"


class JobNotRunning(ContractRefused):
    reason = "jobs: not running"
    says = "the job does not run"
    next_step = "read the job: it may be finished or closed already"


class OtherLicense(ContractRefused):
    reason = "jobs: other license"
    says = "the job spent another license"
    next_step = "name the license that the job was started with"


class OutcomeDoesNotAddUp(ContractRefused):
    reason = "jobs: outcome does not add up"
    says = "good and failed copies are together not the job's quantity"
    next_step = "count again"


class PartsDoNotFit(ContractRefused):
    reason = "jobs: parts do not fit"
    says = "a job has parts if, and only if, it has good copies"
    next_step = "give the root of the good copies' parts"


class DeadlineNotOver(ContractRefused):
    reason = "jobs: deadline not over"
    says = "the job's deadline is not over"
    next_step = "wait for it, or for the unit to finish"


class JobNotGivenUp(ContractRefused):
    reason = "jobs: not given up"
    says = "the unit did not give up such a job, or it is closed"
    next_step = "check the sequence number"


class MoreCreditedThanSpent(ContractRefused):
    reason = "jobs: more credited than spent"
    says = "the job spent fewer copies than are to be credited"
    next_step = "credit at most the job's quantity"


class ZeroAccount(ContractRefused):
    reason = "parts: zero account"
    says = "the zero address cannot check out a part"
    next_step = "name the account that does"


class CheckOutExpired(ContractRefused):
    reason = "parts: signature expired"
    says = "the check-out's signature has expired"
    next_step = "sign it again with the part's code"


class NotGenuine(ContractRefused):
    reason = "parts: not genuine"
    says = "no job on this ledger made such a part"
    next_step = "check the label; it may be a forgery"


class AlreadyCheckedOut(ContractRefused):
    reason = "parts: already checked out"
    says = "the part was checked out before"
    next_step = "look up by whom and when"


class BadCodeSignature(ContractRefused):
    reason = "parts: bad code signature"
    says = "the part's secret code did not sign this check-out"
    next_step = "scan the code again; it names who checks out"


class CustodyChangedBefore(ContractRefused):
    reason = "designs: custody changed before"
    says = "another custody record came into force in between"
    next_step = "make a new order, on top of that one: `printright custodian show` names it"


class NotCustodian(ContractRefused):
    reason = "anchors: not a custodian"
    says = "this account is not a custodian"
    next_step = "ask the registrar to admit it with that role"


class NoMoreEntries(ContractRefused):
    reason = "anchors: no more entries than before"
    says = "a log with as many entries or more is anchored"
    next_step = "if this log is shorter, it is not the one that was anchored: see `printright custodian log`"


REFUSALS: dict[str, type[ContractRefused]] = {
    each.reason: each for each in ContractRefused.__subclasses__() if each.reason
}


def refusal(function: str, reason: str) -> ContractRefused:
    """The typed error for a contract's reason."""
    known = REFUSALS.get(reason)
    return known(function) if known else UnknownReason(function, reason)


def reason_of(revert: bytes) -> str:
    """The reason in revert data; empty where there is none, and for data that is something else (an EIP-3668 lookup
    that wants us to follow a URL is such: it is a refusal like any other).
    """
    if revert[:4] == ERROR_SELECTOR:
        try:
            (reason,) = decode(["string"], revert[4:])
        except (DecodingError, UnicodeDecodeError):
            return ""
        return str(reason)
    return ""

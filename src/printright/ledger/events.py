"""The contract's events as values, one class for each; fields are named as in the contract.

`bytes32` and `bytes` are bytes, numbers are int, accounts are Address. `decode` reads a log as JSON-RPC gives it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, ClassVar

import msgspec
from eth_hash.auto import keccak

from printright.domain.ids import Address, ContentId, JobId, LicenseId, PartId
from printright.errors import LedgerUnavailable
from printright.ledger.abi_words import checksummed
from printright.ledger.contracts import Parameter, contract


class RawLog(msgspec.Struct, frozen=True, rename="camel"):
    """A log as JSON-RPC gives it: hexadecimal text, `0x` first."""

    address: str
    topics: tuple[str, ...]
    data: str
    block_number: str
    block_hash: str
    transaction_hash: str
    log_index: str


@dataclass(frozen=True, kw_only=True)
class Event:
    """What every event has: where on the ledger it stands."""

    name: ClassVar[str] = ""

    block_number: int
    log_index: int
    tx_hash: bytes
    block_hash: bytes = b""

    def __init_subclass__(cls) -> None:
        cls.name = cls.__name__


@dataclass(frozen=True)
class RegistrarProposed(Event):
    registrar: Address


@dataclass(frozen=True)
class RegistrarChanged(Event):
    registrar: Address


@dataclass(frozen=True)
class MemberAdmitted(Event):
    member: Address
    roles: int
    key: bytes
    profile: bytes


@dataclass(frozen=True)
class MemberSuspended(Event):
    member: Address


@dataclass(frozen=True)
class UnitEnrolled(Event):
    unit: Address
    operator: Address
    builder: Address
    profile: bytes
    key: bytes
    enrolment: int


@dataclass(frozen=True)
class UnitRetired(Event):
    unit: Address
    by: Address


@dataclass(frozen=True)
class UnitHalted(Event):
    unit: Address
    by: Address


@dataclass(frozen=True)
class UnitCleared(Event):
    unit: Address


@dataclass(frozen=True)
class DesignPublished(Event):
    content: ContentId
    owner: Address
    previous: ContentId
    parts_per_run: int


@dataclass(frozen=True)
class DesignWithdrawn(Event):
    content: ContentId


@dataclass(frozen=True)
class CustodyChanged(Event):
    content: ContentId
    record: bytes


@dataclass(frozen=True)
class LicenseGranted(Event):
    license: LicenseId
    licensor: Address
    copies: int
    allowance: int


@dataclass(frozen=True)
class LicenseRevoked(Event):
    license: LicenseId
    copies: int


@dataclass(frozen=True)
class LicensePaused(Event):
    license: LicenseId


@dataclass(frozen=True)
class LicenseResumed(Event):
    license: LicenseId


@dataclass(frozen=True)
class LicenseAssigned(Event):
    license: LicenseId
    to_license: LicenseId
    copies: int
    allowance: int


@dataclass(frozen=True)
class CopiesCredited(Event):
    license: LicenseId
    copies: int


@dataclass(frozen=True)
class JobStarted(Event):
    """`running` is the unit's packed job slot; `domain.job` reads it."""

    unit: Address
    license: LicenseId
    running: int


@dataclass(frozen=True)
class JobFinished(Event):
    job: JobId
    good: int
    failed: int
    evidence: bytes
    parts: bytes


@dataclass(frozen=True)
class JobGivenUp(Event):
    unit: Address
    running: int


@dataclass(frozen=True)
class JobClosed(Event):
    job: JobId
    license: LicenseId
    credited: int
    lost: int


@dataclass(frozen=True)
class PartCheckedOut(Event):
    part: PartId
    by: Address


@dataclass(frozen=True)
class LogAnchored(Event):
    custodian: Address
    entries: int
    head: bytes


EVENTS: dict[str, type[Event]] = {each.__name__: each for each in Event.__subclasses__()}


@dataclass(frozen=True)
class EventSpec:
    """How one event stands in a log: its first topic, and its fields in the ABI's order."""

    kind: type[Event]
    topic: str
    fields: tuple[Parameter, ...]

    @cached_property
    def readers(self) -> tuple[tuple[str, Callable[[bytes, bytes], Any]], ...]:
        """Field names and how to read them from data and word, as the words stand in a log: topics, then data."""
        ordered = sorted(self.fields, key=lambda field: not field.indexed)
        return tuple((field.name, _READERS[field.type]) for field in ordered)

    def topic_of(self, name: str) -> int | None:
        """The position among the topics of an indexed field, None for a field that cannot be filtered by."""
        indexed = [field.name for field in self.fields if field.indexed]
        return indexed.index(name) + 1 if name in indexed else None


@cache
def event_specs() -> dict[str, EventSpec]:
    """All events that the contract can log, by name."""
    specs = {}
    for name, fields in contract().events.items():
        signature = f"{name}({','.join(field.signature for field in fields)})"
        specs[name] = EventSpec(EVENTS[name], "0x" + keccak(signature.encode()).hex(), fields)
    return specs


@cache
def _by_topic() -> dict[str, EventSpec]:
    return {spec.topic: spec for spec in event_specs().values()}


def decode(log: RawLog) -> Event:
    """Raises LedgerUnavailable for a log that is not one of this contract's events."""
    try:
        spec = _by_topic()[log.topics[0]]
        data = bytes.fromhex(log.data[2:])
        words = [bytes.fromhex(topic[2:]) for topic in log.topics[1:]]
        words += [data[head : head + 32] for head in range(0, 32 * (len(spec.fields) - len(words)), 32)]
        if any(len(word) != 32 for word in words):
            raise ValueError("a field is cut off")
        return spec.kind(
            **{name: read(data, word) for (name, read), word in zip(spec.readers, words, strict=True)},
            block_number=int(log.block_number, 16),
            log_index=int(log.log_index, 16),
            tx_hash=bytes.fromhex(log.transaction_hash[2:]),
            block_hash=bytes.fromhex(log.block_hash[2:]),
        )
    except (KeyError, IndexError, ValueError) as error:
        raise LedgerUnavailable(
            f"the ledger showed a log that is none of the contract's events: {error}",
            hint="the RPC server is faulty, or the contract is another version",
        ) from error


def _tail(data: bytes, word: bytes) -> bytes:
    start = int.from_bytes(word, "big")
    size = int.from_bytes(data[start : start + 32], "big")
    value = data[start + 32 : start + 32 + size]
    if start + 32 > len(data) or len(value) != size:
        raise ValueError("bytes are cut off")
    return value


_READERS: dict[str, Callable[[bytes, bytes], Any]] = {
    "uint256": lambda _, word: int.from_bytes(word, "big"),
    "bytes32": lambda _, word: word,
    "address": lambda _, word: checksummed(word[12:]),
    "bytes": _tail,
}

"""One thing made by a job: its identity, its secret code, and the proof that it is genuine.

Leaf and tree are those of contracts/parts.vy. The secret code travels with the part (its QR code); the serial number
may be read by anyone who sees the part; the ledger shows neither.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from coincurve import PrivateKey

from printright.domain.ids import Address, JobId, PartId, bytes32
from printright.domain.words import EMPTY_32, TypedDomain, address_bytes, checksum, hash_words, keccak
from printright.errors import BadValue, PartRefused

_PART_TYPEHASH = keccak(b"Part(bytes32 part,bytes32 serialDigest,address codeKey)")
CHECK_OUT_TYPE = "CheckOut(bytes32 part,address by,uint256 deadline)"
PREFIX = "PRINTRIGHT:1:"
CODE_BYTES = 16
MAX_DEPTH = 31
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def part_id(job: JobId, index: int) -> PartId:
    """The part's identity on the ledger."""
    return PartId(hash_words(job, index))


def code_for(secret: bytes, index: int) -> bytes:
    """The secret code of part `index`, 16 bytes, from the job's 32-byte secret (HMAC-SHA-256)."""
    return hmac.digest(secret, b"printright part code" + index.to_bytes(4, "big"), "sha256")[:CODE_BYTES]


def serial_for(part: PartId, customer: str, maker: Address, unit: Address, code: bytes) -> str:
    """A unique serial number derived from customer, maker, unit and part: `PR-` and 16 Crockford base-32 digits.

    It is salted with the part's code, so that nobody derives it from what the ledger shows.
    """
    material = part + address_bytes(maker) + address_bytes(unit) + code + customer.encode()
    number = int.from_bytes(hashlib.sha256(b"printright serial" + material).digest()[:10], "big")
    digits = "".join(_CROCKFORD[number >> shift & 31] for shift in range(75, -1, -5))
    return "PR-" + "-".join(digits[i : i + 4] for i in range(0, 16, 4))


def serial_digest(serial: str, code: bytes) -> bytes:
    """keccak(serial number, code): the commitment to the serial number, 32 bytes."""
    return keccak(serial.encode() + code)


def code_key(code: bytes) -> PrivateKey:
    """The secp256k1 key pair that a code yields; its address stands in the part's leaf."""
    if len(code) != CODE_BYTES:
        raise BadValue(f"a part code has {CODE_BYTES} bytes")
    return PrivateKey(keccak(b"printright part code key" + code))


def code_address(code: bytes) -> Address:
    """The address of the code's key pair."""
    return checksum(keccak(code_key(code).public_key.format(compressed=False)[1:])[12:])


def sign_check_out(code: bytes, domain: TypedDomain, part: PartId, by: Address, deadline_s: int) -> bytes:
    """The code key's signature that lets `by` check the part out once: r, s, v, 65 bytes."""
    digest = domain.digest(CHECK_OUT_TYPE, part, by, deadline_s)
    signature = code_key(code).sign_recoverable(digest, hasher=None)
    return signature[:64] + bytes([27 + signature[64]])


def leaf(part: PartId, serial: str, code: bytes) -> bytes:
    """The leaf of a part in its job's tree. It names the part, so that no other job can claim the same tree."""
    return hash_words(_PART_TYPEHASH, part, serial_digest(serial, code), code_address(code))


def depth_of(good: int) -> int:
    """How many siblings a proof has in the tree of `good` parts."""
    return (good - 1).bit_length()


def parts_root(leaves: Sequence[bytes]) -> bytes:
    """The root over the leaves in order, filled up with empty leaves to a power of two; empty for no parts."""
    return _levels(leaves)[-1][0] if leaves else EMPTY_32


def parts_proof(leaves: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """The siblings of leaf `index`, from the bottom."""
    return tuple(level[index >> height ^ 1] for height, level in enumerate(_levels(leaves)[:-1]))


def _levels(leaves: Sequence[bytes]) -> list[list[bytes]]:
    level = list(leaves) + [EMPTY_32] * ((1 << depth_of(len(leaves))) - len(leaves))
    levels = [level]
    while len(level) > 1:
        level = [keccak(level[i] + level[i + 1]) for i in range(0, len(level), 2)]
        levels.append(level)
    return levels


class _Label(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    chain_id: int
    contract: bytes
    job: bytes
    good: int
    index: int
    serial: str
    code: bytes
    proof: list[bytes]


@dataclass(frozen=True)
class PartLabel:
    """What the QR code on a part says: enough to check it against the ledger, or without one, against a known root."""

    domain: TypedDomain
    job: JobId
    good: int
    index: int
    serial: str
    code: bytes
    proof: tuple[bytes, ...]

    def __post_init__(self) -> None:
        bytes32(self.job, "job id")
        if len(self.code) != CODE_BYTES:
            raise PartRefused("the part code has the wrong length")
        if not 0 <= self.index < self.good <= 1 << MAX_DEPTH or len(self.proof) != depth_of(self.good):
            raise PartRefused("the part code contradicts itself", hint="this code was never issued by a unit")
        if any(len(node) != 32 for node in self.proof) or not 0 < len(self.serial) <= 64:
            raise PartRefused("the part code is malformed")

    def __repr__(self) -> str:
        return f"PartLabel(serial={self.serial!r}, job={self.job.hex()}, index={self.index})"

    @property
    def part(self) -> PartId:
        return part_id(self.job, self.index)

    @property
    def root(self) -> bytes:
        """The parts root that this label leads to."""
        node, path = leaf(self.part, self.serial, self.code), self.index
        for sibling in self.proof:
            node = keccak(sibling + node) if path & 1 else keccak(node + sibling)
            path >>= 1
        return node

    @property
    def outcome(self) -> bytes:
        """What the ledger must hold for the job: keccak(parts root, good copies)."""
        return hash_words(self.root, self.good)

    def abi(self) -> tuple[bytes, int, int, bytes, str, tuple[bytes, ...]]:
        """The struct `Part` of the contract."""
        digest = serial_digest(self.serial, self.code)
        return (self.job, self.good, self.index, digest, code_address(self.code), self.proof)

    def text(self) -> str:
        """The label as text for a QR code: capital letters, digits and colons, which QR packs best."""
        raw = msgspec.msgpack.encode(
            _Label(
                self.domain.chain_id,
                address_bytes(self.domain.contract),
                self.job,
                self.good,
                self.index,
                self.serial,
                self.code,
                list(self.proof),
            )
        )
        return PREFIX + base64.b32encode(raw).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str) -> PartLabel:
        """Read a label's text. Raises PartRefused for anything that is not one."""
        text = text.strip().upper()
        if not text.startswith(PREFIX) or len(text) > 4_000:
            raise PartRefused("this is not a Printright part code", hint=f"it begins with {PREFIX}")
        body = text.removeprefix(PREFIX)
        try:
            raw = base64.b32decode(body + "=" * (-len(body) % 8))
            found = msgspec.msgpack.decode(raw, type=_Label)
            if msgspec.msgpack.encode(found) != raw or base64.b32encode(raw).decode().rstrip("=") != body:
                raise ValueError("not canonical")
            return cls(
                TypedDomain(found.chain_id, checksum(found.contract)),
                JobId(found.job),
                found.good,
                found.index,
                found.serial,
                found.code,
                tuple(found.proof),
            )
        except (ValueError, msgspec.DecodeError, BadValue):
            raise PartRefused("the part code is damaged or forged", hint="scan it again") from None

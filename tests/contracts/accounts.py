"""Accounts with keys made from their names, and everything that is signed or hashed off the chain.

Written from EIP-712 and the contracts' NatSpec, not from `printright.domain`, so that the two check each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from coincurve import PrivateKey
from eth_abi import encode
from eth_utils import keccak

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
RIGHTS_HOLDER, MAKER, BUILDER, CUSTODIAN = 1, 2, 4, 8
ASSIGNABLE, ATTESTED_ONLY = 1 << 64, 1 << 65
ZERO = bytes(20)
EMPTY = bytes(32)
TERMS = keccak(text="Terms(address licensee,bytes32 content,uint256 limits,bytes32 units,bytes32 document)")
PART = keccak(text="Part(bytes32 part,bytes32 serialDigest,address codeKey)")
ENROLMENT = (
    "Enrolment(address unit,address operator,bytes32 profile,bytes32 keyDigest,uint256 enrolment,uint256 deadline)"
)
ATTESTATION = "Attestation(address unit,bytes32 profile,bytes32 keyDigest,uint256 enrolment,uint256 deadline)"
CHECK_OUT = "CheckOut(bytes32 part,address by,uint256 deadline)"


@dataclass(frozen=True)
class Account:
    """An account whose key follows from its name."""

    name: str

    @cached_property
    def secret(self) -> bytes:
        return keccak(text=f"printright test account {self.name}")

    @cached_property
    def key(self) -> PrivateKey:
        return PrivateKey(self.secret)

    @cached_property
    def address(self) -> bytes:
        return keccak(self.key.public_key.format(compressed=False)[1:])[12:]

    def sign(self, digest: bytes) -> bytes:
        """r, s, v in 65 bytes, v 27 or 28."""
        raw = self.key.sign_recoverable(digest, hasher=None)
        return raw[:64] + bytes([27 + raw[64]])

    def __repr__(self) -> str:
        return self.name

    def __deepcopy__(self, memo: object) -> Account:
        return self


REGISTRAR = Account("registrar")


def word(text: str) -> bytes:
    """A 32-byte value that follows from a text."""
    return keccak(text=f"printright test word {text}")


def sealing_key(text: str) -> bytes:
    """65 bytes in the form of an uncompressed point."""
    return b"\x04" + word(text + " x") + word(text + " y")


def domain(chain_id: int, contract: bytes) -> bytes:
    return keccak(
        encode(
            ["bytes32", "bytes32", "bytes32", "uint256", "address"],
            [
                keccak(text="EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak(text="Printright"),
                keccak(text="1"),
                chain_id,
                contract,
            ],
        )
    )


def typed(separator: bytes, type_text: str, *values: bytes | int) -> bytes:
    """The EIP-712 digest of a struct whose members are all of one word."""
    words = [keccak(text=type_text), *(v if isinstance(v, bytes) else v.to_bytes(32, "big") for v in values)]
    return keccak(b"\x19\x01" + separator + keccak(b"".join(w.rjust(32, b"\0") for w in words)))


def high_s(signature: bytes) -> bytes:
    """The other signature that the curve allows for the same digest and signer (EIP-2)."""
    s = ORDER - int.from_bytes(signature[32:64], "big")
    return signature[:32] + s.to_bytes(32, "big") + bytes([55 - signature[64]])


def limits(expiry_s: int, job_s: int = 86_400, flags: int = 0) -> int:
    return expiry_s << 128 | flags | job_s


def terms_hash(licensee: bytes, terms: tuple[bytes, int, bytes, bytes]) -> bytes:
    types = ["bytes32", "address", "bytes32", "uint256", "bytes32", "bytes32"]
    return keccak(encode(types, [TERMS, licensee, *terms]))


def license_of(licensor: bytes, terms: bytes) -> bytes:
    return keccak(licensor.rjust(32, b"\0") + terms)


def job_of(chain_id: int, contract: bytes, license: bytes, unit: bytes, sequence: int) -> bytes:
    types = ["uint256", "address", "bytes32", "address", "uint256"]
    return keccak(encode(types, [chain_id, contract, license, unit, sequence]))


def part_of(job: bytes, index: int) -> bytes:
    return keccak(job + index.to_bytes(32, "big"))


def content_of(owner: bytes, commitment: bytes) -> bytes:
    return keccak(owner.rjust(32, b"\0") + commitment)


def unit_leaf(unit: bytes) -> bytes:
    return keccak(unit.rjust(32, b"\0"))


def pair(one: bytes, other: bytes) -> bytes:
    return keccak(min(one, other) + max(one, other))


def part_leaf(part: bytes, serial_digest: bytes, code_key: bytes) -> bytes:
    return keccak(encode(["bytes32", "bytes32", "bytes32", "address"], [PART, part, serial_digest, code_key]))


def tree(leaves: Sequence[bytes]) -> list[list[bytes]]:
    """The levels of the tree over the leaves in order, filled up with empty leaves to a power of two."""
    size = 1
    while size < len(leaves):
        size *= 2
    levels = [[*leaves, *[EMPTY] * (size - len(leaves))]]
    while len(levels[-1]) > 1:
        last = levels[-1]
        levels.append([keccak(last[i] + last[i + 1]) for i in range(0, len(last), 2)])
    return levels


def proof(levels: list[list[bytes]], index: int) -> tuple[bytes, ...]:
    return tuple(level[(index >> height) ^ 1] for height, level in enumerate(levels[:-1]))

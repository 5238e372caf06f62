"""Members with their roles, and the units that they operate and build."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import IntFlag

import rfc8785

from printright.domain.ids import Address
from printright.domain.words import TypedDomain, keccak
from printright.errors import BadValue

ENROLMENT_TYPE = (
    "Enrolment(address unit,address operator,bytes32 profile,bytes32 keyDigest,uint256 enrolment,uint256 deadline)"
)
ATTESTATION_TYPE = "Attestation(address unit,bytes32 profile,bytes32 keyDigest,uint256 enrolment,uint256 deadline)"


class Role(IntFlag):
    """What a member may do; the values are those of contracts/registry.vy."""

    RIGHTS_HOLDER = 1
    MAKER = 2
    BUILDER = 4
    CUSTODIAN = 8

    @classmethod
    def parse(cls, names: str) -> Role:
        """`maker,builder` -> Role.MAKER | Role.BUILDER. Raises BadValue."""
        found = cls(0)
        for name in names.replace("-", "_").upper().split(","):
            if name.strip() not in cls.__members__:
                known = ", ".join(role.lower().replace("_", "-") for role in cls.__members__)
                raise BadValue(f"unknown role {name.strip().lower()!r}", hint=f"roles are {known}")
            found |= cls[name.strip()]
        return found

    def words(self) -> str:
        """The inverse of `parse`: `rights-holder, maker`; empty for no role."""
        return ", ".join(role.name.lower().replace("_", "-") for role in self if role.name)


@dataclass(frozen=True)
class UnitProfile:
    """What a unit is; only the digest of it is on the ledger, salted with 32 random bytes."""

    salt: bytes
    kind: str
    model: str
    firmware: str
    serial_number: str
    place: str = ""

    @property
    def digest(self) -> bytes:
        """SHA-256 of the canonical JSON, 32 bytes."""
        return hashlib.sha256(rfc8785.dumps(self.to_json())).digest()

    def to_json(self) -> dict[str, str]:
        return {
            "salt": self.salt.hex(),
            "kind": self.kind,
            "model": self.model,
            "firmware": self.firmware,
            "serial_number": self.serial_number,
            "place": self.place,
        }

    @classmethod
    def from_json(cls, data: dict[str, str]) -> UnitProfile:
        try:
            return cls(**dict(data, salt=bytes.fromhex(data["salt"])))  # type: ignore[arg-type]
        except (KeyError, TypeError, ValueError) as error:
            raise BadValue(f"not a unit profile: {error}") from None


@dataclass(frozen=True)
class EnrolmentRequest:
    """A unit's request to be enrolled by `operator`: its public data and its own signature over them."""

    unit: Address
    operator: Address
    profile: UnitProfile
    key: bytes
    enrolment: int
    deadline_s: int
    signature: bytes = b""
    builder: Address | None = None
    builder_signature: bytes = b""

    def enrolment_digest(self, domain: TypedDomain) -> bytes:
        """What the unit signs (EIP-712)."""
        return domain.digest(
            ENROLMENT_TYPE,
            self.unit,
            self.operator,
            self.profile.digest,
            keccak(self.key),
            self.enrolment,
            self.deadline_s,
        )

    def attestation_digest(self, domain: TypedDomain) -> bytes:
        """What the builder signs (EIP-712)."""
        return domain.digest(
            ATTESTATION_TYPE,
            self.unit,
            self.profile.digest,
            keccak(self.key),
            self.enrolment,
            self.deadline_s,
        )

    def to_json(self) -> dict[str, object]:
        return {
            "printright": "enrolment/1",
            "unit": self.unit,
            "operator": self.operator,
            "profile": self.profile.to_json(),
            "key": self.key.hex(),
            "enrolment": self.enrolment,
            "deadline_s": self.deadline_s,
            "signature": self.signature.hex(),
            "builder": self.builder,
            "builder_signature": self.builder_signature.hex(),
        }

    @classmethod
    def from_json(cls, data: dict[str, object]) -> EnrolmentRequest:
        if not isinstance(data, dict) or data.get("printright") != "enrolment/1":
            raise BadValue("not an enrolment request", hint="it is made by `printright unit request`")
        try:
            builder = data["builder"]
            return cls(
                unit=Address(str(data["unit"])),
                operator=Address(str(data["operator"])),
                profile=UnitProfile.from_json(data["profile"]),  # type: ignore[arg-type]
                key=bytes.fromhex(str(data["key"])),
                enrolment=int(data["enrolment"]),  # type: ignore[call-overload]
                deadline_s=int(data["deadline_s"]),  # type: ignore[call-overload]
                signature=bytes.fromhex(str(data["signature"])),
                builder=Address(str(builder)) if builder else None,
                builder_signature=bytes.fromhex(str(data["builder_signature"])),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise BadValue(f"not an enrolment request: {error}") from None

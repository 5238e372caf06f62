"""The license: the right of a licensee to make N copies of a design, with conditions.

On the ledger a license is `keccak(licensor, hash of the terms)`; see contracts/licenses.vy. The document behind the
terms (place, material, price, notes) stays off the ledger; its salted digest is part of the terms.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import rfc8785

from printright.domain.estimate import NO_ESTIMATE, PrintEstimate
from printright.domain.ids import Address, ContentId, LicenseId, bytes32
from printright.domain.words import EMPTY_32, hash_words, keccak, word
from printright.errors import BadValue

MAX_COPIES = (1 << 31) - 1
_TERMS_TYPEHASH = keccak(b"Terms(address licensee,bytes32 content,uint256 limits,bytes32 units,bytes32 document)")
_ASSIGNABLE = 1 << 64
_ATTESTED_ONLY = 1 << 65


@dataclass(frozen=True)
class Limits:
    """The conditions that the contract itself enforces, packed into one word of the terms.

    `expires_at_s` is unix time, `job_time_s` how long a job may run before the licensor can close it.
    """

    expires_at_s: int
    job_time_s: int = 7 * 86_400
    assignable: bool = False
    attested_only: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.expires_at_s < 1 << 64:
            raise BadValue("the expiry is not a unix time in seconds")
        if not 0 < self.job_time_s < 1 << 32:
            raise BadValue("the job time is 1 s to 136 years")

    def packed(self) -> int:
        flags = (_ASSIGNABLE if self.assignable else 0) | (_ATTESTED_ONLY if self.attested_only else 0)
        return self.expires_at_s << 128 | flags | self.job_time_s

    @classmethod
    def unpack(cls, packed: int) -> Limits:
        return cls(packed >> 128, packed & 0xFFFFFFFF, bool(packed & _ASSIGNABLE), bool(packed & _ATTESTED_ONLY))


@dataclass(frozen=True)
class Terms:
    """What a licensee shows on use; with licensee and licensor it is hashed to the license's id."""

    content: ContentId
    limits: Limits
    units: bytes
    document: bytes

    def __post_init__(self) -> None:
        for name in ("content", "units", "document"):
            bytes32(getattr(self, name), name)

    def abi(self) -> tuple[bytes, int, bytes, bytes]:
        """The struct `Terms` of the contract."""
        return (self.content, self.limits.packed(), self.units, self.document)

    def hash(self, licensee: Address) -> bytes:
        """What `grant` takes, 32 bytes."""
        return hash_words(_TERMS_TYPEHASH, licensee, *self.abi())

    def license_id(self, licensor: Address, licensee: Address) -> LicenseId:
        return LicenseId(hash_words(licensor, self.hash(licensee)))


@dataclass(frozen=True)
class Document:
    """The part of a license that only its parties read. `salt` (32 random bytes) keeps its digest unguessable.

    `manifest` is the digest under which the package's manifest lies in the stores, `estimate` what the slicer said of
    one run: an operator sees it before a copy is spent.
    """

    salt: bytes
    title: str
    manifest: bytes
    material: str = ""
    place: str = ""
    price: str = ""
    notes: str = ""
    estimate: PrintEstimate = NO_ESTIMATE

    def __post_init__(self) -> None:
        bytes32(self.salt, "salt")
        bytes32(self.manifest, "manifest digest")

    @property
    def digest(self) -> bytes:
        """SHA-256 of the canonical JSON (RFC 8785), 32 bytes."""
        return hashlib.sha256(rfc8785.dumps(self.to_json())).digest()

    def to_json(self) -> dict[str, Any]:
        """`estimate` only where there is one, so that documents without keep their digest."""
        return {
            "salt": self.salt.hex(),
            "title": self.title,
            "manifest": self.manifest.hex(),
            "material": self.material,
            "place": self.place,
            "price": self.price,
            "notes": self.notes,
            **({"estimate": self.estimate.to_json()} if self.estimate else {}),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Document:
        try:
            fields = dict(data, salt=bytes.fromhex(data["salt"]), manifest=bytes.fromhex(data["manifest"]))
            return cls(**dict(fields, estimate=PrintEstimate.from_json(data.get("estimate", {}))))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BadValue(f"not a license document: {error}") from None


@dataclass(frozen=True)
class License:
    """All of a license, as its licensor hands it to the licensee in a file.

    Nothing in it needs to be trusted: its id follows from its content, and the ledger knows the id or does not.
    """

    licensor: Address
    licensee: Address
    content: ContentId
    limits: Limits
    document: Document
    copies: int
    allowance: int = 0
    units: tuple[Address, ...] = field(default=())

    def __post_init__(self) -> None:
        if not 0 < self.copies <= MAX_COPIES:
            raise BadValue(f"a license is for 1 to {MAX_COPIES} copies")
        if not 0 <= self.allowance <= MAX_COPIES:
            raise BadValue(f"a spoilage allowance is 0 to {MAX_COPIES} copies")

    @property
    def terms(self) -> Terms:
        return Terms(self.content, self.limits, units_root(self.units), self.document.digest)

    @property
    def id(self) -> LicenseId:
        return self.terms.license_id(self.licensor, self.licensee)

    def to_json(self) -> dict[str, object]:
        return {
            "printright": "license/1",
            "id": self.id.hex(),
            "licensor": self.licensor,
            "licensee": self.licensee,
            "content": self.content.hex(),
            "expires_at_s": self.limits.expires_at_s,
            "job_time_s": self.limits.job_time_s,
            "assignable": self.limits.assignable,
            "attested_only": self.limits.attested_only,
            "units": list(self.units),
            "copies": self.copies,
            "allowance": self.allowance,
            "document": self.document.to_json(),
        }

    @classmethod
    def from_json(cls, data: dict[str, object]) -> License:
        """Rebuild a license from its file. Raises BadValue, also where the id does not follow from the content."""
        if not isinstance(data, dict) or data.get("printright") != "license/1":
            raise BadValue("not a Printright license", hint="a license file is made by `printright license grant`")
        try:
            found = cls(
                licensor=Address(str(data["licensor"])),
                licensee=Address(str(data["licensee"])),
                content=ContentId(bytes32(str(data["content"]), "content")),
                limits=Limits(
                    int(data["expires_at_s"]),  # type: ignore[call-overload]
                    int(data["job_time_s"]),  # type: ignore[call-overload]
                    data["assignable"] is True,
                    data["attested_only"] is True,
                ),
                document=Document.from_json(data["document"]),  # type: ignore[arg-type]
                copies=int(data["copies"]),  # type: ignore[call-overload]
                allowance=int(data["allowance"]),  # type: ignore[call-overload]
                units=tuple(Address(str(unit)) for unit in data["units"]),  # type: ignore[attr-defined]
            )
            claimed = data["id"]
        except (KeyError, TypeError, ValueError) as error:
            raise BadValue(f"not a Printright license: {error}") from None
        if found.id.hex() != claimed:
            raise BadValue(
                "the license file was changed: its id does not follow from its content",
                hint="ask the licensor for the file again",
            )
        return found


def units_root(units: Sequence[Address]) -> bytes:
    """Merkle root over keccak(unit), sorted pairs; empty for no units, which means any unit of the licensee."""
    if not units:
        return EMPTY_32
    return _levels(units)[-1][0]


def unit_proof(units: Sequence[Address], unit: Address) -> tuple[bytes, ...]:
    """The sibling hashes that show `unit` in the tree of `units`; empty where any unit may.

    Raises BadValue for a unit that is not in the tree.
    """
    if not units:
        return ()
    node = keccak(word(unit))
    levels = _levels(units)
    if node not in levels[0]:
        raise BadValue(f"the license is not for unit {unit}")
    proof = []
    position = levels[0].index(node)
    for level in levels[:-1]:
        sibling = position ^ 1
        if sibling < len(level):
            proof.append(level[sibling])
        position //= 2
    return tuple(proof)


def _levels(units: Sequence[Address]) -> list[list[bytes]]:
    level = sorted(keccak(word(unit)) for unit in units)
    levels = [level]
    while len(level) > 1:
        pairs = [level[i : i + 2] for i in range(0, len(level), 2)]
        level = [keccak(min(pair) + max(pair)) if len(pair) == 2 else pair[0] for pair in pairs]
        levels.append(level)
    return levels

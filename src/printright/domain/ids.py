"""Identities and digests: one type for each, all 32 bytes but the address."""

from __future__ import annotations

from typing import NewType

from printright.errors import BadValue

Address = NewType("Address", str)
"""An Ethereum account, `0x` and 40 hex digits with the EIP-55 checksum."""

Digest = NewType("Digest", bytes)
"""A SHA-256 or keccak-256 digest, 32 bytes."""

ContentId = NewType("ContentId", bytes)
"""What identifies one version of a design on the ledger: the salted commitment to its package, 32 bytes."""

LicenseId = NewType("LicenseId", bytes)
"""keccak(licensor, hash of the terms), 32 bytes."""

JobId = NewType("JobId", bytes)
"""keccak(chain id, contract, license, unit, the unit's sequence number), 32 bytes."""

PartId = NewType("PartId", bytes)
"""keccak(job id, index of the part in the job), 32 bytes."""


def bytes32(value: bytes | str, what: str) -> bytes:
    """Return `value` as 32 bytes. Raises BadValue for any other length or for text that is not hex."""
    if isinstance(value, str):
        try:
            value = bytes.fromhex(value.removeprefix("0x"))
        except ValueError:
            raise BadValue(f"{what} is not hexadecimal: {value[:80]!r}") from None
    if len(value) != 32:
        raise BadValue(f"{what} has {len(value)} bytes, not 32")
    return value

"""Sharing a design key t of n (Shamir, "How to share a secret", CACM 22(11), 1979).

Over GF(2^128), each half of the 32-byte key on its own. Any `threshold` shares give the key; fewer say nothing about
it. A wrong share gives a wrong key without a sign of it, which is why the manifest holds a check value of the key
(`Manifest.check_key`). PyCryptodome shares; combining is done here, since its interpolation takes milliseconds of a
release that is to take five. Not in constant time: who combines has a right to the key.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from Crypto.Protocol.SecretSharing import Shamir

from printright.errors import BadValue

SECRET_SIZE = 32
SHARE_SIZE = 1 + SECRET_SIZE
MAX_SHARES = 255
_HALF = SECRET_SIZE // 2


@dataclass(frozen=True)
class Share:
    """One share: the custodian's place in the list of custodians from 1 to 255, and 32 secret bytes."""

    index: int
    value: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if not 1 <= self.index <= MAX_SHARES:
            raise BadValue(f"a share's index is 1 to {MAX_SHARES}, not {self.index}")
        if len(self.value) != SECRET_SIZE:
            raise BadValue(f"a share has {SECRET_SIZE} bytes, not {len(self.value)}")

    def to_bytes(self) -> bytes:
        """Index (1 byte) and value, 33 bytes."""
        return bytes([self.index]) + self.value

    @classmethod
    def from_bytes(cls, data: bytes) -> Share:
        """The inverse of `to_bytes`. Raises BadValue."""
        if len(data) != SHARE_SIZE:
            raise BadValue(f"a share has {SHARE_SIZE} bytes with its index, not {len(data)}")
        return cls(data[0], data[1:])


def split(secret: bytes, threshold: int, count: int) -> tuple[Share, ...]:
    """Share a 32-byte secret among `count` so that any `threshold` of them have it. Raises BadValue."""
    if len(secret) != SECRET_SIZE:
        raise BadValue(f"the secret has {len(secret)} bytes, not {SECRET_SIZE}")
    if not 1 <= threshold <= count <= MAX_SHARES:
        raise BadValue(
            f"{threshold} of {count} is no threshold", hint=f"at least 1, at most all, and at most {MAX_SHARES}"
        )
    halves = (Shamir.split(threshold, count, half, ssss=False) for half in (secret[:_HALF], secret[_HALF:]))
    return tuple(Share(index, first + second) for (index, first), (_, second) in zip(*halves, strict=True))


def combine(shares: Sequence[Share], threshold: int) -> bytes:
    """The secret from `threshold` shares (the first ones, where there are more).

    Raises BadValue for too few shares and for two shares with one index. Wrong shares give a wrong secret.
    """
    if threshold < 1 or len(shares) < threshold:
        raise BadValue(f"{len(shares)} shares, {threshold} are needed", hint="ask more custodians")
    used = shares[:threshold]
    if len({share.index for share in used}) != threshold:
        raise BadValue("the same share twice", hint="each custodian's share counts once")
    weights = _weights(tuple(share.index for share in used))
    halves = (
        _sum_of_products(weights, [int.from_bytes(share.value[part], "big") for share in used])
        for part in (slice(_HALF), slice(_HALF, None))
    )
    return b"".join(half.to_bytes(_HALF, "big") for half in halves)


# PyCryptodome interpolates anew for each half and takes milliseconds; the weights hang on the indices alone. Its field:
# GF(2^128) modulo x^128 + x^7 + x^2 + x + 1, elements as big-endian integers.


@lru_cache(maxsize=256)
def _weights(indices: tuple[int, ...]) -> tuple[int, ...]:
    """Lagrange's weights at 0 for these indices."""
    weights = []
    for one in indices:
        above, below = 1, 1
        for other in indices:
            if other != one:
                above, below = _multiply(above, other), _multiply(below, one ^ other)
        weights.append(_multiply(above, _inverse(below)))
    return tuple(weights)


def _sum_of_products(ones: Sequence[int], others: Sequence[int]) -> int:
    total = 0
    for one, other in zip(ones, others, strict=True):
        total ^= _product(one, other)
    return _reduced(total)


def _multiply(one: int, other: int) -> int:
    return _reduced(_product(one, other))


def _product(one: int, other: int) -> int:
    """Without carries, not reduced."""
    total = 0
    while one:
        low = one & -one
        total ^= other * low
        one ^= low
    return total


def _reduced(value: int) -> int:
    while (excess := value >> 128) != 0:
        # x^128 = x^7 + x^2 + x + 1
        value = (value & (1 << 128) - 1) ^ excess ^ excess << 1 ^ excess << 2 ^ excess << 7
    return value


def _inverse(value: int) -> int:
    """Fermat: value^(2^128 - 2)."""
    result = 1
    for _ in range(127):
        value = _multiply(value, value)
        result = _multiply(result, value)
    return result

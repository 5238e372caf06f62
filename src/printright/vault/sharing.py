"""Sharing a secret t of n so that every share can be checked (P. Feldman, FOCS 1987), over secp256k1.

The secret is a scalar f(0), share i is f(i) for a random polynomial f of degree t-1, and the dealer commits to the
polynomial by its coefficients times the generator, t points. Any `threshold` shares give the secret; fewer leave it as
hidden as a discrete logarithm, since f(0) times the generator is public. Hence the secret is a uniform scalar and
never itself a key: keys are derived from it (`Binding.design_key`).

Whoever knows the commitments can tell a right share from a wrong one (`Commitments.fit`). Combining is not in constant
time: who combines has a right to the secret.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

from coincurve import PublicKey

from printright.errors import BadValue

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""Of the group: scalars are 1 to ORDER - 1. Zero is no scalar here, for its point has no encoding."""

SECRET_SIZE = 32
SHARE_SIZE = 1 + SECRET_SIZE
POINT_SIZE = 33
MAX_SHARES = 255


@dataclass(frozen=True)
class Share:
    """One share: the custodian's place in the list of custodians from 1 to 255, and a scalar in 32 secret bytes."""

    index: int
    value: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if not 1 <= self.index <= MAX_SHARES:
            raise BadValue(f"a share's index is 1 to {MAX_SHARES}, not {self.index}")
        _scalar(self.value, "a share")

    def to_bytes(self) -> bytes:
        """Index (1 byte) and value, 33 bytes."""
        return bytes([self.index]) + self.value

    @classmethod
    def from_bytes(cls, data: bytes) -> Share:
        """The inverse of `to_bytes`. Raises BadValue."""
        if len(data) != SHARE_SIZE:
            raise BadValue(f"a share has {SHARE_SIZE} bytes with its index, not {len(data)}")
        return cls(data[0], data[1:])


@dataclass(frozen=True)
class Commitments:
    """The dealer's commitments: coefficient k times the generator, as compressed points, k from 0 to threshold - 1."""

    points: tuple[bytes, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.points) <= MAX_SHARES:
            raise BadValue(f"{len(self.points)} commitments are those of no threshold")
        _ = self._keys

    @property
    def threshold(self) -> int:
        return len(self.points)

    @property
    def secret(self) -> bytes:
        """The secret times the generator: the same for everything that the secret was ever shared by."""
        return self.points[0]

    @cached_property
    def _keys(self) -> tuple[PublicKey, ...]:
        return tuple(_point(each) for each in self.points)

    def public_share(self, index: int) -> bytes:
        """Share `index` times the generator. Raises BadValue for an index that none has, and where it is zero."""
        if not 1 <= index <= MAX_SHARES:
            raise BadValue(f"a share's index is 1 to {MAX_SHARES}, not {index}")
        factor = index.to_bytes(SECRET_SIZE, "big")
        found = self._keys[-1]
        for key in reversed(self._keys[:-1]):  # Horner
            found = _sum([found.multiply(factor), key])
        return found.format()

    def fit(self, share: Share) -> bool:
        """Whether this is the share that the dealer committed to."""
        try:
            return PublicKey.from_valid_secret(share.value).format() == self.public_share(share.index)
        except BadValue:
            return False


def random_secret() -> bytes:
    """A uniform scalar, 32 bytes."""
    return _bytes(1 + secrets.randbelow(ORDER - 1))


def split(secret: bytes, threshold: int, count: int) -> tuple[tuple[Share, ...], Commitments]:
    """Share a scalar among `count` so that any `threshold` of them have it, and commit to it. Raises BadValue."""
    constant = _scalar(secret, "the secret")
    if not 1 <= threshold <= count <= MAX_SHARES:
        raise BadValue(
            f"{threshold} of {count} is no threshold", hint=f"at least 1, at most all, and at most {MAX_SHARES}"
        )
    while True:
        # No coefficient is zero, so that the degree is threshold - 1 and each has its point.
        polynomial = [constant, *(1 + secrets.randbelow(ORDER - 1) for _ in range(threshold - 1))]
        values = [_evaluate(polynomial, index) for index in range(1, count + 1)]
        if all(values):
            break
    points = tuple(PublicKey.from_valid_secret(_bytes(each)).format() for each in polynomial)
    return tuple(Share(index, _bytes(value)) for index, value in enumerate(values, start=1)), Commitments(points)


def combine(shares: Sequence[Share], threshold: int) -> bytes:
    """The secret from `threshold` shares (the first ones, where there are more).

    Raises BadValue for too few shares, for two shares with one index and for shares whose sum is zero. Wrong shares
    give a wrong secret.
    """
    if threshold < 1 or len(shares) < threshold:
        raise BadValue(f"{len(shares)} shares, {threshold} are needed", hint="ask more custodians")
    used = shares[:threshold]
    weights = lagrange(tuple(share.index for share in used))
    total = sum(weights[share.index] * int.from_bytes(share.value, "big") for share in used) % ORDER
    if not total:
        raise BadValue("these shares give no secret", hint="one of them is wrong")
    return _bytes(total)


def combine_commitments(each: Mapping[int, Commitments]) -> Commitments:
    """What the sum of sharings commits to, each weighted for its dealer's index: commitments of the same secret.

    For redistribution: dealer i shared its own share i, and the receivers add up what they got with the same weights.
    Raises BadValue for other thresholds than one, and for sums that cancel out.
    """
    if len({commitments.threshold for commitments in each.values()}) != 1:
        raise BadValue("the commitments are of several thresholds")
    weights = lagrange(tuple(each))
    columns = zip(*(commitments.points for commitments in each.values()), strict=True)
    factors = [_bytes(weights[index]) for index in each]
    return Commitments(
        tuple(
            _sum([_point(point).multiply(factor) for point, factor in zip(column, factors, strict=True)]).format()
            for column in columns
        )
    )


def combine_subshares(index: int, values: Mapping[int, bytes]) -> Share:
    """Share `index` of the new committee, from what each dealer (by its old index) gave to it. Raises BadValue."""
    weights = lagrange(tuple(values))
    total = sum(weights[dealer] * _scalar(value, "a share") for dealer, value in values.items()) % ORDER
    return Share(index, _bytes(total))


@lru_cache(maxsize=256)
def lagrange(indices: tuple[int, ...]) -> dict[int, int]:
    """Lagrange's weights at 0 for these indices. Raises BadValue for doubled ones and for zero."""
    if len(set(indices)) != len(indices):
        raise BadValue("the same share twice", hint="each custodian's share counts once")
    if not all(1 <= index <= MAX_SHARES for index in indices):
        raise BadValue(f"a share's index is 1 to {MAX_SHARES}")
    weights = {}
    for one in indices:
        above, below = 1, 1
        for other in indices:
            if other != one:
                above, below = above * other % ORDER, below * (other - one) % ORDER
        weights[one] = above * pow(below, -1, ORDER) % ORDER
    return weights


def _evaluate(polynomial: Sequence[int], at: int) -> int:
    value = 0
    for coefficient in reversed(polynomial):
        value = (value * at + coefficient) % ORDER
    return value


def _bytes(value: int) -> bytes:
    return value.to_bytes(SECRET_SIZE, "big")


def _scalar(value: bytes, what: str) -> int:
    if len(value) != SECRET_SIZE:
        raise BadValue(f"{what} has {SECRET_SIZE} bytes, not {len(value)}")
    number = int.from_bytes(value, "big")
    if not 0 < number < ORDER:
        raise BadValue(f"{what} is out of the range of scalars")
    return number


def _point(data: bytes) -> PublicKey:
    if len(data) != POINT_SIZE or data[0] not in (2, 3):
        raise BadValue(f"a commitment is a compressed point of {POINT_SIZE} bytes")
    try:
        return PublicKey(data)
    except ValueError:
        raise BadValue("a commitment is no point of secp256k1") from None


def _sum(keys: list[PublicKey]) -> PublicKey:
    try:
        return PublicKey.combine_keys(keys)
    except ValueError:
        # The point at infinity: a made-up polynomial, for a random one never comes to it.
        raise BadValue("the commitments cancel out", hint="they were made up") from None

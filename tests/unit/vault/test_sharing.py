"""Shares: every t of n give the key, fewer give none, mistakes are told."""

from __future__ import annotations

import os
from itertools import combinations, permutations

import pytest
from Crypto.Protocol.SecretSharing import Shamir
from hypothesis import given, settings
from hypothesis import strategies as st

from printright.errors import BadValue
from printright.vault.sharing import Share, combine, split

SECRET = bytes(range(100, 132))


@pytest.mark.parametrize(("threshold", "count"), [(1, 1), (1, 3), (2, 2), (2, 3), (3, 5), (5, 5), (16, 20)])
def test_any_threshold_of_them_have_the_secret(threshold: int, count: int) -> None:
    shares = split(SECRET, threshold, count)
    assert [share.index for share in shares] == list(range(1, count + 1))
    for chosen in list(combinations(shares, threshold))[:30]:
        assert combine(chosen, threshold) == SECRET
    assert combine(shares[::-1], threshold) == SECRET


def test_the_order_does_not_matter() -> None:
    for chosen in permutations(split(SECRET, 3, 3)):
        assert combine(chosen, 3) == SECRET


def test_fewer_shares_say_nothing() -> None:
    # For two shares of three, every secret is as likely: with a made-up third share any secret at all comes out.
    shares = split(SECRET, 3, 5)
    seen = {combine([*shares[:2], Share(3, os.urandom(32))], 3) for _ in range(20)}
    assert len(seen) == 20
    assert SECRET not in seen
    assert all(share.value != SECRET for share in shares)
    assert split(SECRET, 3, 5) != shares


def test_no_key_in_the_representation() -> None:
    assert SECRET.hex() not in repr(split(SECRET, 1, 1)[0])
    assert str(SECRET) not in repr(split(SECRET, 1, 1)[0])


def test_too_few_and_doubled_shares_are_told() -> None:
    shares = split(SECRET, 3, 5)
    with pytest.raises(BadValue, match="3 are needed"):
        combine(shares[:2], 3)
    with pytest.raises(BadValue, match="twice"):
        combine([shares[0], shares[1], shares[0]], 3)
    with pytest.raises(BadValue, match="are needed"):
        combine([], 0)


@pytest.mark.parametrize(("threshold", "count"), [(0, 1), (2, 1), (1, 256), (-1, 3), (1, 0)])
def test_thresholds_that_cannot_be(threshold: int, count: int) -> None:
    with pytest.raises(BadValue, match="threshold"):
        split(SECRET, threshold, count)


def test_values_that_are_no_shares() -> None:
    share = split(SECRET, 1, 1)[0]
    assert Share.from_bytes(share.to_bytes()) == share
    for index, value in ((0, SECRET), (256, SECRET), (1, SECRET[1:])):
        with pytest.raises(BadValue):
            Share(index, value)
    for data in (b"", share.to_bytes() + b"\0", share.to_bytes()[:-1], bytes(33)):
        with pytest.raises(BadValue):
            Share.from_bytes(data)
    with pytest.raises(BadValue):
        split(SECRET[1:], 1, 1)


@settings(max_examples=30, deadline=None)
@given(st.binary(min_size=32, max_size=32), st.integers(1, 16), st.data())
def test_the_secret_is_the_one_that_pycryptodome_combines(secret: bytes, threshold: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(threshold, 16))
    chosen = data.draw(st.permutations(split(secret, threshold, count)))[:threshold]
    halves = [
        Shamir.combine([(share.index, share.value[part]) for share in chosen], ssss=False)
        for part in (slice(16), slice(16, None))
    ]
    assert combine(chosen, threshold) == b"".join(halves) == secret


@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(min_size=32, max_size=32), min_size=2, max_size=6))
def test_wrong_shares_combine_to_what_pycryptodome_says(values: list[bytes]) -> None:
    shares = [Share(index + 1, value) for index, value in enumerate(values)]
    halves = [
        Shamir.combine([(share.index, share.value[part]) for share in shares], ssss=False)
        for part in (slice(16), slice(16, None))
    ]
    assert combine(shares, len(shares)) == b"".join(halves)

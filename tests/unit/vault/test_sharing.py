"""Shares: every t of n give the secret, fewer give none, and each can be told from a wrong one by its commitment."""

from __future__ import annotations

from itertools import combinations, permutations

import pytest
from coincurve import PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from printright.errors import BadValue
from printright.vault.sharing import (
    ORDER,
    Commitments,
    Share,
    combine,
    combine_commitments,
    combine_subshares,
    random_secret,
    split,
)

SECRET = bytes(range(100, 132))
SCALARS = st.integers(1, ORDER - 1).map(lambda value: value.to_bytes(32, "big"))


def plus_one(value: bytes) -> bytes:
    return ((int.from_bytes(value, "big") + 1) % ORDER or 1).to_bytes(32, "big")


@pytest.mark.parametrize(("threshold", "count"), [(1, 1), (1, 3), (2, 2), (2, 3), (3, 5), (5, 5), (16, 20)])
def test_any_threshold_of_them_have_the_secret(threshold: int, count: int) -> None:
    shares, commitments = split(SECRET, threshold, count)
    assert [share.index for share in shares] == list(range(1, count + 1))
    assert commitments.threshold == threshold
    assert commitments.secret == PublicKey.from_secret(SECRET).format()
    assert all(commitments.fit(share) for share in shares)
    for chosen in list(combinations(shares, threshold))[:30]:
        assert combine(chosen, threshold) == SECRET
    assert combine(shares[::-1], threshold) == SECRET


def test_with_threshold_one_a_share_is_the_secret() -> None:
    shares, _ = split(SECRET, 1, 3)
    assert {share.value for share in shares} == {SECRET}


def test_the_order_does_not_matter() -> None:
    for chosen in permutations(split(SECRET, 3, 3)[0]):
        assert combine(chosen, 3) == SECRET


def test_fewer_shares_say_nothing() -> None:
    # For two shares of three, every secret is as likely: with a made-up third share any secret at all comes out.
    shares, commitments = split(SECRET, 3, 5)
    seen = {combine([*shares[:2], Share(3, random_secret())], 3) for _ in range(20)}
    assert len(seen) == 20
    assert SECRET not in seen
    assert all(share.value != SECRET for share in shares)
    again, others = split(SECRET, 3, 5)
    assert again != shares
    assert others.points[1:] != commitments.points[1:]
    assert others.secret == commitments.secret


def test_a_wrong_share_does_not_fit() -> None:
    # Red where `fit` compares anything but the share's own point with the one that the commitments give.
    shares, commitments = split(SECRET, 3, 5)
    for share in shares:
        assert not commitments.fit(Share(share.index, plus_one(share.value)))
        assert not commitments.fit(Share(share.index % 5 + 1, share.value))
        assert not commitments.fit(Share(share.index, random_secret()))
    _, others = split(SECRET, 3, 5)
    assert not any(others.fit(share) for share in shares)


def test_no_key_in_the_representation() -> None:
    share = split(SECRET, 1, 1)[0][0]
    assert SECRET.hex() not in repr(share)
    assert str(SECRET) not in repr(share)


def test_too_few_and_doubled_shares_are_told() -> None:
    shares, _ = split(SECRET, 3, 5)
    with pytest.raises(BadValue, match="3 are needed"):
        combine(shares[:2], 3)
    with pytest.raises(BadValue, match="twice"):
        combine([shares[0], shares[1], shares[0]], 3)
    with pytest.raises(BadValue, match="are needed"):
        combine([], 0)


def test_shares_that_add_up_to_zero_are_no_secret() -> None:
    # f(x) = x - 0: on the line through (1, 1) and (2, 2) lies (0, 0).
    with pytest.raises(BadValue, match="give no secret"):
        combine([Share(1, (1).to_bytes(32, "big")), Share(2, (2).to_bytes(32, "big"))], 2)


@pytest.mark.parametrize(("threshold", "count"), [(0, 1), (2, 1), (1, 256), (-1, 3), (1, 0)])
def test_thresholds_that_cannot_be(threshold: int, count: int) -> None:
    with pytest.raises(BadValue, match="threshold"):
        split(SECRET, threshold, count)


def test_values_that_are_no_shares() -> None:
    share = split(SECRET, 1, 1)[0][0]
    assert Share.from_bytes(share.to_bytes()) == share
    outside = [bytes(32), ORDER.to_bytes(32, "big"), b"\xff" * 32]
    for index, value in ((0, SECRET), (256, SECRET), (1, SECRET[1:]), *((1, value) for value in outside)):
        with pytest.raises(BadValue):
            Share(index, value)
    for data in (b"", share.to_bytes() + b"\0", share.to_bytes()[:-1], bytes(33)):
        with pytest.raises(BadValue):
            Share.from_bytes(data)
    for secret in (SECRET[1:], *outside):
        with pytest.raises(BadValue):
            split(secret, 1, 1)


def test_points_that_are_no_commitments() -> None:
    point = PublicKey.from_secret(SECRET)
    off_curve = b"\x02" + (5).to_bytes(32, "big")
    beyond_field = b"\x02" + b"\xff" * 32
    hybrid = bytes([6 + (point.format()[0] & 1)]) + point.format(compressed=False)[1:]
    for data in (b"", bytes(33), off_curve, beyond_field, point.format(compressed=False), hybrid, point.format()[:-1]):
        with pytest.raises(BadValue):
            Commitments((data,))
    for points in ((), (point.format(),) * 256):
        with pytest.raises(BadValue):
            Commitments(points)
    for index in (0, 256, -1):
        with pytest.raises(BadValue):
            Commitments((point.format(),)).public_share(index)


def test_commitments_that_cancel_out_fit_nothing() -> None:
    # Share 1 of these would be zero times the generator: made up, for a dealer draws shares anew that are zero.
    point = PublicKey.from_secret(SECRET).format()
    made_up = Commitments((point, bytes([point[0] ^ 1]) + point[1:]))
    with pytest.raises(BadValue, match="cancel out"):
        made_up.public_share(1)
    assert not made_up.fit(Share(1, SECRET))


@settings(max_examples=40, deadline=None)
@given(SCALARS, st.integers(1, 8), st.integers(1, 8), st.data())
def test_redistributed_shares_are_shares_of_the_same_secret(
    secret: bytes, threshold: int, new_threshold: int, data: st.DataObject
) -> None:
    """Old and new committees of any sizes; the new shares fit what everybody computes from the dealers' commitments."""
    count = data.draw(st.integers(threshold, 8))
    new_count = data.draw(st.integers(new_threshold, 8))
    shares, commitments = split(secret, threshold, count)
    dealers = data.draw(st.permutations(shares))[:threshold]
    dealt = {share.index: split(share.value, new_threshold, new_count) for share in dealers}
    for index, (_, each) in dealt.items():
        assert each.secret == commitments.public_share(index)
    combined = combine_commitments({index: each for index, (_, each) in dealt.items()})
    assert combined.secret == commitments.secret
    new = [
        combine_subshares(place, {index: subshares[place - 1].value for index, (subshares, _) in dealt.items()})
        for place in range(1, new_count + 1)
    ]
    assert all(combined.fit(share) for share in new)
    assert combine(data.draw(st.permutations(new)), new_threshold) == secret
    # Old and new shares do not mix.
    if threshold == new_threshold > 1:
        mixed = [shares[0], *(share for share in new if share.index != 1)][:threshold]
        if len(mixed) == threshold:
            assert combine(mixed, threshold) != secret


def test_redistribution_from_other_thresholds_or_too_few_dealers_is_told_or_noticed() -> None:
    shares, commitments = split(SECRET, 3, 5)
    dealt = {share.index: split(share.value, 2, 3)[1] for share in shares}
    # Two dealers of three: the sum is a sharing, but of another secret.
    assert combine_commitments({index: dealt[index] for index in (1, 2)}).secret != commitments.secret
    with pytest.raises(BadValue, match="several thresholds"):
        combine_commitments({1: dealt[1], 2: split(shares[1].value, 3, 3)[1]})
    point = PublicKey.from_secret(SECRET).format()
    with pytest.raises(BadValue):
        combine_commitments({1: Commitments((point,)), 0: Commitments((point,))})

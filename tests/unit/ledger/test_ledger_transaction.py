"""Our transactions, byte for byte as eth-account makes them."""

from __future__ import annotations

import pytest
from coincurve import PrivateKey
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from printright.errors import WrongKey
from printright.ledger.transaction import HALF_ORDER, Fees, Unsigned, signer_of

KEY = PrivateKey(b"\x11" * 32)
ACCOUNT = Account.from_key(KEY.secret)
uint = st.integers(0, 2**64 - 1)


def sign(digest: bytes) -> bytes:
    signature = KEY.sign_recoverable(digest, hasher=None)
    return signature[:64] + bytes((27 + signature[64],))


@given(
    chain_id=st.integers(1, 2**40),
    nonce=uint,
    most=uint,
    tip=st.none() | uint,
    gas=st.integers(0, 2**40),
    to=st.just(b"") | st.binary(min_size=20, max_size=20),
    data=st.binary(max_size=300),
)
def test_same_bytes_as_eth_account(
    chain_id: int, nonce: int, most: int, tip: int | None, gas: int, to: bytes, data: bytes
) -> None:
    if tip is not None:
        tip = min(tip, most)
    unsigned = Unsigned(chain_id, nonce, Fees(most, tip), gas, to, data)
    signature = sign(unsigned.digest())
    raw = unsigned.signed(signature)
    fields = {"chainId": chain_id, "nonce": nonce, "gas": gas, "to": to, "data": data, "value": 0}
    if tip is None:
        fields["gasPrice"] = most
    else:
        fields |= {"maxFeePerGas": most, "maxPriorityFeePerGas": tip, "type": 2}
    expected = ACCOUNT.sign_transaction(fields)
    assert raw == bytes(expected.raw_transaction)
    assert unsigned.hash_of(raw) == bytes(expected.hash)
    assert signer_of(unsigned.digest(), signature) == ACCOUNT.address
    assert Unsigned.of(raw, chain_id) == unsigned


def test_signatures_that_no_network_accepts_are_refused() -> None:
    unsigned = Unsigned(1, 0, Fees(1, 1), 21_000, bytes(20), b"")
    good = sign(unsigned.digest())
    order = 2 * int.from_bytes(HALF_ORDER, "big") + 1
    high = (order - int.from_bytes(good[32:64], "big")).to_bytes(32, "big")
    for bad in (
        b"",
        good[:64],
        good[:64] + b"\x00",
        good[:64] + b"\x1d",
        good + b"\x1b",
        bytes(32) + good[32:],
        good[:32] + bytes(32) + good[64:],
        good[:32] + high + good[64:],
    ):
        with pytest.raises(WrongKey):
            unsigned.signed(bad)
    with pytest.raises(WrongKey):
        signer_of(unsigned.digest(), bytes(65))

"""What a unit and a custodian say to each other, and settings that are none. Hostile bodies: tests/e2e/custody."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from printright.domain.ids import Address, ContentId, Digest, JobId
from printright.domain.license import Limits, Terms
from printright.domain.member import UnitProfile
from printright.domain.release import ShareRequest
from printright.domain.words import checksum
from printright.errors import BadSettings, BadValue
from printright.services.custodian import CustodianLimits
from printright.services.custodian_http import CustodianSettings
from printright.services.release import Asking
from printright.services.share_request import (
    SealedShare,
    SignedRequest,
    decode_no,
    decode_request,
    decode_share,
    encode_request,
    encode_share,
)
from printright.vault.custody_in_force import ShownCustody

WORDS = st.binary(min_size=32, max_size=32)
ADDRESSES = st.binary(min_size=20, max_size=20).map(checksum)
TERMS = st.builds(
    Terms,
    WORDS.map(ContentId),
    st.builds(Limits, st.integers(1, 2**63), st.integers(1, 2**32 - 1), st.booleans(), st.booleans()),
    WORDS,
    WORDS,
)
REQUESTS = st.builds(
    ShareRequest,
    custodian=ADDRESSES,
    unit=ADDRESSES,
    unit_key=st.binary(min_size=64, max_size=64).map(lambda point: b"\x04" + point),
    job=WORDS.map(JobId),
    sequence=st.integers(1, 2**24 - 1),
    terms=TERMS,
    manifest=WORDS.map(Digest),
    custody=WORDS.map(Digest),
    nonce=WORDS,
    expires_at_s=st.integers(1, 2**63),
    profile=st.none() | st.builds(UnitProfile, WORDS, st.text(), st.text(), st.text(), st.text(), st.text(max_size=9)),
)


SHOWN = st.builds(
    ShownCustody,
    st.dictionaries(st.text(), st.integers(0, 9)).map(msgspec.json.encode),
    st.lists(st.binary(min_size=113, max_size=113), max_size=3).map(tuple),
)


@given(REQUESTS, st.binary(min_size=65, max_size=65), st.dictionaries(st.text(), st.integers(0, 9)), st.none() | SHOWN)
def test_a_request_arrives_as_it_was_sent(
    request: ShareRequest, signature: bytes, manifest: dict[str, int], shown: ShownCustody | None
) -> None:
    signed = SignedRequest(request, signature, msgspec.json.encode(manifest), shown)
    assert decode_request(encode_request(signed)) == signed


@pytest.mark.parametrize(
    "profile",
    [b"{}", b'"text"', b"[]", b"7", b'{"salt":"00"}',
     b'{"salt":"zz","kind":"","model":"","firmware":"","serial_number":""}',
     b'{"salt":"","kind":"","model":1,"firmware":"","serial_number":""}',
     b'{"salt":"","kind":"","model":"","firmware":"","serial_number":"","more":""}',
     b'{"salt":"","kind":"\\ud800","model":"","firmware":"","serial_number":""}'],
)  # fmt: skip
def test_a_profile_that_is_none_is_refused(profile: bytes) -> None:
    words, address = b"w" * 32, checksum(b"a" * 20)
    terms = Terms(ContentId(words), Limits(1, 1, False, False), words, words)
    request = ShareRequest(address, address, b"\4" * 65, JobId(words), 1, terms, Digest(words), Digest(words), words, 1)
    body = encode_request(SignedRequest(request, b"s" * 65, b"{}"))
    assert decode_request(body).request.profile is None
    with pytest.raises(BadValue):
        decode_request(body[:-1] + b',"profile":' + profile + b"}")


@given(st.integers(1, 255), st.binary(max_size=200), st.booleans())
def test_a_share_arrives_as_it_was_sent(index: int, sealed: bytes, repeat: bool) -> None:
    share = SealedShare(index, sealed, repeat)
    assert decode_share(encode_share(share)) == share


@given(st.binary(max_size=100))
def test_what_is_no_share_is_refused_and_what_is_no_reason_is_none(body: bytes) -> None:
    with pytest.raises(BadValue):
        decode_share(body)
    assert decode_no(body).reason


def test_a_reason_cannot_write_into_a_terminal() -> None:
    no = decode_no(msgspec.json.encode({"reason": "\x1b[2J\r\nok\u202e" + "x" * 1000, "hint": "\x07"}))
    assert no.reason.startswith("?[2J??ok?x")
    assert (len(no.reason), no.hint) == (300, "?")


@pytest.mark.parametrize(
    "change",
    [
        {"port": -1},
        {"port": 65_536},
        {"max_body_bytes": 0},
        {"read_timeout_s": 0.0},
        {"read_timeout_s": float("inf")},
        {"keepalive_s": float("nan")},
        {"max_connections": -1},
        {"limits": CustodianLimits(unit_requests_per_s=0)},
        {"limits": CustodianLimits(ledger_timeout_s=float("inf"))},
    ],
    ids=str,
)
def test_a_custodian_without_bounds_does_not_start(tmp_path: Path, change: dict[str, object]) -> None:
    good = CustodianSettings(address=Address("0x" + "11" * 20), release_log=tmp_path / "log")
    with pytest.raises(BadSettings):
        dataclasses.replace(good, **change)  # type: ignore[arg-type]


def test_a_unit_that_waits_for_nothing_does_not_start() -> None:
    with pytest.raises(BadSettings):
        Asking(hedge_after_s=0)

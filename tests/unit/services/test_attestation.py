"""A builder states account, key and profile (model, firmware, serial number), for what the unit itself signed."""

from __future__ import annotations

import dataclasses

import pytest

from printright.domain.member import EnrolmentRequest, UnitProfile
from printright.domain.words import TypedDomain, checksum
from printright.errors import BadValue
from printright.ledger.transaction import signer_of
from printright.services.members import attest
from trade_steps import SoftSigner

DOMAIN = TypedDomain(4242, checksum(b"c" * 20))
PROFILE = UnitProfile(b"s" * 32, "printer", "Demo One", "Marlin 2.1", "SN-1")


def signed(unit: SoftSigner) -> EnrolmentRequest:
    request = EnrolmentRequest(unit.address, checksum(b"o" * 20), PROFILE, b"\4" * 65, 1, 1_900_000_000)
    return dataclasses.replace(request, signature=unit.sign_digest(request.enrolment_digest(DOMAIN)))


def test_every_part_of_it_changes_what_the_builder_signs() -> None:
    request = signed(SoftSigner())
    changes = [
        {"unit": checksum(b"x" * 20)},
        {"key": b"\4" + b"x" * 64},
        {"enrolment": 2},
        {"deadline_s": 1_900_000_001},
        *({"profile": dataclasses.replace(PROFILE, **{name: "x"})} for name in ("model", "firmware", "serial_number")),
    ]
    digests = {dataclasses.replace(request, **change).attestation_digest(DOMAIN) for change in changes}  # type: ignore[arg-type]
    assert len(digests | {request.attestation_digest(DOMAIN)}) == len(changes) + 1


def test_nothing_is_stated_about_keys_that_nobody_has_shown() -> None:
    # Red without the comparison in `attest`.
    unit, builder = SoftSigner(), SoftSigner()
    request = signed(unit)
    attested = attest(request, DOMAIN, builder)
    assert attested.builder == builder.address
    assert signer_of(request.attestation_digest(DOMAIN), attested.builder_signature) == builder.address
    for change in (
        {"signature": b""},
        {"signature": b"\0" * 65},
        {"signature": signed(SoftSigner()).signature},
        {"key": b"\4" + b"x" * 64},
        {"profile": dataclasses.replace(PROFILE, firmware="Marlin 9")},
    ):
        with pytest.raises(BadValue, match="not signed by its unit"):
            attest(dataclasses.replace(request, **change), DOMAIN, builder)  # type: ignore[arg-type]
    with pytest.raises(BadValue):
        attest(request, TypedDomain(1, DOMAIN.contract), builder)

"""What a unit and a custodian say to each other: JSON over HTTP, `POST /v1/release`.

The request carries the manifest as it lies in the store (canonical JSON) and the unit's signature; where the key was
re-shared, also the custody record and what was sealed to this custodian. The answer is a share that only the unit can
open. Binary values are hexadecimal, the sealed share is base64.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import msgspec

from printright.domain.ids import ContentId, Digest, JobId
from printright.domain.license import Limits, Terms
from printright.domain.member import UnitProfile
from printright.domain.release import ShareRequest
from printright.domain.words import checksum
from printright.errors import BadValue
from printright.vault.custody_in_force import ShownCustody
from printright.vault.custody_record import SEALED_SUBSHARE_SIZE

PATH = "/v1/release"
STATUS_PATH = "/v1/status"
_FORMAT = "share-request/2"

_address = lru_cache(maxsize=1024)(checksum)


@dataclass(frozen=True)
class SignedRequest:
    """A request as it arrives: nothing in it is checked but its form. `signature` is 65 bytes `r || s || v`."""

    request: ShareRequest
    signature: bytes
    manifest: bytes
    custody: ShownCustody | None = None


@dataclass(frozen=True)
class SealedShare:
    """A custodian's answer: share number `index`, sealed to the unit's key (see `share_info`)."""

    index: int
    sealed: bytes
    repeat: bool


@dataclass(frozen=True)
class No:
    """A custodian's other answer: `reason` is one line, for a person; the HTTP status says what kind of no it is."""

    reason: str
    hint: str = ""


class _Terms(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    content: str
    expires_at_s: int
    job_time_s: int
    assignable: bool
    attested_only: bool
    units: str
    document: str


class _Custody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    record: msgspec.Raw
    sealed: list[str]


class _Wire(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    printright: str
    custodian: str
    unit: str
    unit_key: str
    job: str
    sequence: int
    terms: _Terms
    manifest_digest: str
    custody_digest: str
    nonce: str
    expires_at_s: int
    signature: str
    manifest: msgspec.Raw
    custody: _Custody | None
    profile: dict[str, str] | None = None


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Wire, strict=True).decode
_decode_share = msgspec.json.Decoder(SealedShare, strict=True).decode
_decode_no = msgspec.json.Decoder(No, strict=True).decode


def encode_request(signed: SignedRequest) -> bytes:
    """The body of the request."""
    request = signed.request
    limits = request.terms.limits
    return _encode(
        _Wire(
            printright=_FORMAT,
            custodian=request.custodian,
            unit=request.unit,
            unit_key=request.unit_key.hex(),
            job=request.job.hex(),
            sequence=request.sequence,
            terms=_Terms(
                content=request.terms.content.hex(),
                expires_at_s=limits.expires_at_s,
                job_time_s=limits.job_time_s,
                assignable=limits.assignable,
                attested_only=limits.attested_only,
                units=request.terms.units.hex(),
                document=request.terms.document.hex(),
            ),
            manifest_digest=request.manifest.hex(),
            custody_digest=request.custody.hex(),
            nonce=request.nonce.hex(),
            expires_at_s=request.expires_at_s,
            signature=signed.signature.hex(),
            manifest=msgspec.Raw(signed.manifest),
            custody=None
            if signed.custody is None
            else _Custody(msgspec.Raw(signed.custody.record), [each.hex() for each in signed.custody.sealed]),
            profile=None if request.profile is None else request.profile.to_json(),
        )
    )


def decode_request(body: bytes) -> SignedRequest:
    """Read a request's body. Raises BadValue for anything but the one form that `encode_request` writes."""
    try:
        wire = _decode(body)
        if wire.printright != _FORMAT:
            raise BadValue(f"not a {_FORMAT}")
        terms = wire.terms
        return SignedRequest(
            request=ShareRequest(
                custodian=_address(wire.custodian),
                unit=_address(wire.unit),
                unit_key=_unhex(wire.unit_key, 65),
                job=JobId(_unhex(wire.job, 32)),
                sequence=wire.sequence,
                terms=Terms(
                    ContentId(_unhex(terms.content, 32)),
                    Limits(terms.expires_at_s, terms.job_time_s, terms.assignable, terms.attested_only),
                    _unhex(terms.units, 32),
                    _unhex(terms.document, 32),
                ),
                manifest=Digest(_unhex(wire.manifest_digest, 32)),
                custody=Digest(_unhex(wire.custody_digest, 32)),
                nonce=_unhex(wire.nonce, 32),
                expires_at_s=wire.expires_at_s,
                profile=None if wire.profile is None else UnitProfile.from_json(wire.profile),
            ),
            signature=_unhex(wire.signature, 65),
            manifest=bytes(wire.manifest),
            custody=None
            if wire.custody is None
            else ShownCustody(
                bytes(wire.custody.record), tuple(_unhex(each, SEALED_SUBSHARE_SIZE) for each in wire.custody.sealed)
            ),
        )
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise BadValue(f"not a {_FORMAT}: {str(error)[:200]}") from None


def encode_share(share: SealedShare) -> bytes:
    """The body of a yes."""
    return _encode(share)


def decode_share(body: bytes) -> SealedShare:
    """Read a yes. Raises BadValue."""
    try:
        return _decode_share(body)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise BadValue(f"not a sealed share: {str(error)[:200]}") from None


def encode_no(no: No) -> bytes:
    """The body of a no."""
    return _encode(no)


def decode_no(body: bytes) -> No:
    """Read a no from whoever answered, cut to what fits on a line; never raises."""
    try:
        no = _decode_no(body)
    except (msgspec.MsgspecError, UnicodeError):
        return No("no reason given")
    return No(_line(no.reason), _line(no.hint))


def _line(text: str) -> str:
    # A custodian may lie; it must not write into our terminal or log.
    return "".join(c if c.isprintable() else "?" for c in text[:300])


def _unhex(text: str, length: int) -> bytes:
    if len(text) != 2 * length or not text.isascii() or not text.isalnum():
        raise BadValue(f"not {length} bytes in hexadecimal")
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise BadValue(f"not {length} bytes in hexadecimal") from None

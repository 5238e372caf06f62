"""The release decision: one good combination, and everything else refused."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from printright.domain.firmware import MinimumFirmware
from printright.domain.ids import Address, ContentId, Digest, JobId, LicenseId
from printright.domain.job import job_id
from printright.domain.license import Limits, Terms
from printright.domain.member import Role, UnitProfile
from printright.domain.release import (
    MAX_WINDOW_S,
    LedgerView,
    PackageClaims,
    Release,
    ReleaseFacts,
    ShareRequest,
    SpendNotFinal,
    check_request,
    decide,
    share_info,
)
from printright.domain.words import ZERO_ADDRESS, TypedDomain, checksum, keccak
from printright.errors import BadValue, ReleaseRefused

NOW = 1_800_000_000


def account(number: int) -> Address:
    return checksum(keccak(number.to_bytes(4, "big"))[:20])


DOMAIN = TypedDomain(31337, account(1))
CUSTODIAN, UNIT, OPERATOR, OWNER, STRANGER = (account(n) for n in range(2, 7))
KEY, OTHER_KEY = b"\x04" + b"k" * 64, b"\x04" + b"o" * 64
CONTENT = ContentId(keccak(b"content"))
MANIFEST, CUSTODY = Digest(keccak(b"manifest")), Digest(keccak(b"custody record"))
TERMS = Terms(CONTENT, Limits(NOW + 86_400, attested_only=True), bytes(32), keccak(b"document"))
LICENSE = TERMS.license_id(OWNER, OPERATOR)
JOB = job_id(DOMAIN, LICENSE, UNIT, 7)

PROFILE = UnitProfile(keccak(b"salt"), "printer", "Demo One", "Marlin 2.1.2", "SN-1")
OLD_PROFILE = dataclasses.replace(PROFILE, firmware="Marlin 2.0.9")
LEAST = MinimumFirmware.parse(["Demo One=Marlin 2.1"])

FACTS = ReleaseFacts(
    block=100,
    operator=OPERATOR,
    operator_roles=int(Role.MAKER),
    active=True,
    attested=True,
    halted=False,
    key_digest=keccak(KEY),
    owner=OWNER,
    withdrawn=False,
    custody=CUSTODY,
    license=LICENSE,
    job=JOB,
    sequence=7,
    quantity=2,
    deadline=NOW + 3600,
    running=True,
    profile=PROFILE.digest,
)


def good() -> dict[str, Any]:
    return {
        "request": ShareRequest(
            CUSTODIAN, UNIT, KEY, JOB, 7, TERMS, MANIFEST, CUSTODY, keccak(b"nonce"), NOW + 60, PROFILE
        ),
        "signer": UNIT,
        "package": PackageClaims(MANIFEST, OWNER, CONTENT, CUSTODY, LEAST),
        "view": LedgerView(DOMAIN, 100, FACTS, dataclasses.replace(FACTS, block=103)),
        "domain": DOMAIN,
        "custodian": CUSTODIAN,
        "now_s": NOW,
    }


def changed(part: str, **values: Any) -> dict[str, Any]:
    case = good()
    case[part] = dataclasses.replace(case[part], **values)
    return case


def ledger(**values: Any) -> dict[str, Any]:
    case = good()
    final, newest = case["view"].final, case["view"].newest
    return changed("view", final=dataclasses.replace(final, **values), newest=dataclasses.replace(newest, **values))


OTHER_TERMS = dataclasses.replace(TERMS, content=ContentId(keccak(b"other content")))

UNATTESTED_TERMS = dataclasses.replace(TERMS, limits=dataclasses.replace(TERMS.limits, attested_only=False))

# One bad fact each, with what the refusal says.
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "for another custodian": (changed("request", custodian=STRANGER), "this is"),
    "asked of another custodian": ({**good(), "custodian": STRANGER}, "this is"),
    "the zero custodian": ({**changed("request", custodian=ZERO_ADDRESS), "custodian": ZERO_ADDRESS}, "this is"),
    "expired": ({**good(), "now_s": NOW + 61}, "has expired"),
    "expires too late": (changed("request", expires_at_s=NOW + MAX_WINDOW_S + 1), "more than"),
    "clock years behind": ({**good(), "now_s": NOW - 10 * 31_536_000}, "more than"),
    "clock years ahead": ({**good(), "now_s": NOW + 10 * 31_536_000}, "has expired"),
    "signed by a stranger": ({**good(), "signer": STRANGER}, "is not signed by"),
    "signed by the operator": ({**good(), "signer": OPERATOR}, "is not signed by"),
    "signed by nobody": ({**changed("request", unit=ZERO_ADDRESS), "signer": ZERO_ADDRESS}, "is not signed by"),
    "another manifest": (changed("package", manifest=Digest(keccak(b"x"))), "manifest shown"),
    "another custody record": (changed("package", custody=Digest(keccak(b"x"))), "custody record shown"),
    "no custody record shown": (changed("package", custody=Digest(bytes(32))), "custody record shown"),
    "a package of another design": (changed("package", content=OTHER_TERMS.content), "another design"),
    "terms for another design": (changed("request", terms=OTHER_TERMS), "another design"),
    "facts of another chain": (changed("view", domain=TypedDomain(1, DOMAIN.contract)), "another chain"),
    "facts of another contract": (changed("view", domain=TypedDomain(31337, STRANGER)), "another chain"),
    "a retired unit": (ledger(active=False), "not enrolled"),
    "an unattested unit": (ledger(attested=False), "not attested"),
    "a halted unit": (ledger(halted=True), "is halted"),
    "an old firmware": (
        {**changed("request", profile=OLD_PROFILE), "view": ledger(profile=OLD_PROFILE.digest)["view"]},
        "not 'Marlin 2.1' or newer",
    ),
    "another profile shown": (changed("request", profile=OLD_PROFILE), "not the one that the unit is enrolled with"),
    "another profile enrolled": (ledger(profile=OLD_PROFILE.digest), "not the one that the unit is enrolled with"),
    "a profile not shown": (changed("request", profile=None), "does not show its profile"),
    "a profile not asked of the ledger": (ledger(profile=None), "not the one that the unit is enrolled with"),
    "a firmware that nobody attests": (
        {**changed("request", terms=UNATTESTED_TERMS), "view": ledger(attested=False)["view"]},
        "no builder attests",
    ),
    "another key registered": (ledger(key_digest=keccak(OTHER_KEY)), "registered unsealing key"),
    "no key registered": (ledger(key_digest=bytes(32)), "registered unsealing key"),
    "another key shown": (changed("request", unit_key=OTHER_KEY), "registered unsealing key"),
    "a suspended operator": (ledger(operator_roles=0), "not a maker"),
    "an operator of other roles": (ledger(operator_roles=1 | 4 | 8), "not a maker"),
    "no operator": (ledger(operator=ZERO_ADDRESS), "not a maker"),
    "a design never published": (ledger(owner=ZERO_ADDRESS), "not published"),
    "a manifest by another owner": (changed("package", owner=STRANGER), "owned by"),
    "a manifest by nobody": ({**changed("package", owner=ZERO_ADDRESS)}, "owned by"),
    "a withdrawn design": (ledger(withdrawn=True), "withdrawn"),
    "no running job": (ledger(running=False), "runs no job"),
    "a job given up": (ledger(sequence=8, running=False), "runs no job"),
    "a job of nothing": (ledger(quantity=0), "runs no job"),
    "another sequence number running": (ledger(sequence=8), "another one"),
    "an earlier job requested": (changed("request", sequence=6), "another one"),
    "another job running": (ledger(job=JobId(keccak(b"job"))), "another one"),
    "another job requested": (changed("request", job=JobId(keccak(b"job"))), "another one"),
    "a job over its deadline": (ledger(deadline=NOW - 1), "deadline"),
}


def test_the_good_combination_releases_to_the_units_key_alone() -> None:
    assert decide(**good()) == Release(CUSTODIAN, UNIT, KEY, JOB, LICENSE, CONTENT, MANIFEST, CUSTODY, 2, 100)


def test_a_package_that_asks_for_no_firmware_asks_for_no_profile() -> None:
    case = {**changed("request", profile=None), "package": PackageClaims(MANIFEST, OWNER, CONTENT, CUSTODY)}
    case["view"] = ledger(profile=None)["view"]
    assert decide(**case) == decide(**good())


@pytest.mark.parametrize("name", BAD)
def test_one_bad_fact_refuses(name: str) -> None:
    # Each line of `decide` that raises has its case here: deleted, that case releases and this test is red.
    case, reason = BAD[name]
    with pytest.raises(ReleaseRefused, match=reason):
        decide(**case)


# What only the final block is bad at: the same request may be good later.
NOT_FINAL: dict[str, dict[str, Any]] = {
    "a block not final yet": changed("view", final_block=99),
    "a block before all": changed("view", final=dataclasses.replace(FACTS, block=-1)),
    "nothing final": changed("view", final_block=-1),
    "a job that no block shows": ledger(sequence=6),
    "a job that a reorganisation took away": changed(
        "view", newest=dataclasses.replace(FACTS, block=103, sequence=6, running=False)
    ),
    "no final facts": changed("view", final=None),
    "a later custody in force": ledger(custody=keccak(b"next custody record")),
    "the manifest's own custody still in force": ledger(custody=bytes(32)),
    "a custody that is not final yet": changed("view", final=dataclasses.replace(FACTS, custody=bytes(32))),
    "a later custody that is not final yet": changed(
        "view", newest=dataclasses.replace(FACTS, block=103, custody=keccak(b"next custody record"))
    ),
    "a newest block behind the final one": changed("view", newest=dataclasses.replace(FACTS, block=99)),
} | {
    f"{name}, in the final block": changed("view", final=case["view"].final)
    for name, (case, _) in BAD.items()
    if case["view"].final != FACTS
}


@pytest.mark.parametrize("name", NOT_FINAL)
def test_what_is_not_final_is_to_be_asked_again(name: str) -> None:
    # Step 13 of `decide`, and for custody step 12, deleted, releases in every one of these.
    with pytest.raises(SpendNotFinal):
        decide(**NOT_FINAL[name])


@pytest.mark.parametrize("name", [name for name, (case, _) in BAD.items() if case["view"].newest.block == 103])
def test_what_the_newest_block_forbids_is_refused_before_it_is_final(name: str) -> None:
    case, reason = BAD[name]
    with pytest.raises(ReleaseRefused, match=reason):
        decide(**{**case, "view": dataclasses.replace(case["view"], final=FACTS)})


ADDRESSES = st.sampled_from([CUSTODIAN, UNIT, OPERATOR, OWNER, STRANGER, ZERO_ADDRESS])
DIGESTS = st.sampled_from([keccak(KEY), keccak(OTHER_KEY), CONTENT, MANIFEST, bytes(32), JOB, LICENSE])
ANY_FACTS = st.builds(
    ReleaseFacts,
    block=st.integers(-1, 3),
    operator=ADDRESSES,
    operator_roles=st.integers(0, 15),
    active=st.booleans(),
    attested=st.booleans(),
    halted=st.sampled_from([False, False, True]),
    key_digest=DIGESTS,
    owner=ADDRESSES,
    withdrawn=st.booleans(),
    custody=st.sampled_from([CUSTODY, bytes(32), MANIFEST]),
    license=st.sampled_from([LICENSE, LicenseId(bytes(32))]),
    job=st.sampled_from([JOB, JobId(bytes(32))]),
    sequence=st.sampled_from([0, 6, 7, 8]),
    quantity=st.sampled_from([0, 1, 2]),
    deadline=st.sampled_from([0, NOW - 1, NOW, NOW + 1]),
    running=st.booleans(),
    profile=st.sampled_from([PROFILE.digest, OLD_PROFILE.digest, bytes(32), None]),
)
# Mostly good, so that a single bad fact is what decides.
NEARLY_GOOD = st.one_of(
    st.just(FACTS),
    st.builds(
        lambda any_facts, name: dataclasses.replace(FACTS, **{name: getattr(any_facts, name)}),
        ANY_FACTS,
        st.sampled_from([field.name for field in dataclasses.fields(ReleaseFacts)]),
    ),
    ANY_FACTS,
)


def all_good(facts: ReleaseFacts, owner: Address, now_s: int) -> bool:
    return (
        facts.active
        and facts.attested
        and not facts.halted
        and facts.profile == PROFILE.digest
        and facts.key_digest == keccak(KEY)
        and facts.operator != ZERO_ADDRESS
        and bool(facts.operator_roles & Role.MAKER)
        and facts.owner == owner != ZERO_ADDRESS
        and not facts.withdrawn
        and facts.custody == CUSTODY
        and facts.running
        and facts.quantity > 0
        and facts.sequence == 7
        and facts.job == JOB
        and now_s <= facts.deadline
    )


@settings(max_examples=1000)
@given(
    final=st.none() | NEARLY_GOOD,
    newest=NEARLY_GOOD,
    final_block=st.sampled_from([-1, 0, 2, 99, 100, 101]),
    domain=st.sampled_from([DOMAIN] * 5 + [TypedDomain(1, DOMAIN.contract), TypedDomain(31337, STRANGER)]),
    signer=st.just(UNIT) | ADDRESSES,
    owner=st.just(OWNER) | ADDRESSES,
    now_s=st.sampled_from([NOW, NOW, 0, NOW - MAX_WINDOW_S, NOW + 60, NOW + 61, NOW + 10**9]),
)
def test_nothing_but_all_good_facts_releases(
    final: ReleaseFacts | None,
    newest: ReleaseFacts,
    final_block: int,
    domain: TypedDomain,
    signer: Address,
    owner: Address,
    now_s: int,
) -> None:
    request = good()["request"]
    allowed = (
        signer == UNIT
        and request.expires_at_s - MAX_WINDOW_S <= now_s <= request.expires_at_s
        and domain == DOMAIN
        and final is not None
        and 0 <= final.block <= final_block
        and final.block <= newest.block
        and all_good(final, owner, now_s)
        and all_good(newest, owner, now_s)
    )
    package = PackageClaims(MANIFEST, owner, CONTENT, CUSTODY, LEAST)
    view = LedgerView(domain, final_block, final, newest)
    try:
        decide(request, signer, package, view, DOMAIN, CUSTODIAN, now_s)
    except (ReleaseRefused, SpendNotFinal):
        released = False
    else:
        released = True
    assert released is allowed


def test_truthy_is_not_true() -> None:
    # A decoder that hands over 1, "yes" or an object for a boolean must not open the door: `is not True` in `decide`.
    for name in ("active", "attested", "running"):
        for value in (1, "false", object()):
            with pytest.raises(ReleaseRefused):
                decide(**ledger(**{name: value}))
    for value in (0, None, ""):
        for name in ("withdrawn", "halted"):
            with pytest.raises(ReleaseRefused):
                decide(**ledger(**{name: value}))


def test_attestation_counts_only_where_the_terms_ask_for_it() -> None:
    case = ledger(attested=False)
    terms = dataclasses.replace(TERMS, limits=Limits(NOW + 86_400))
    case["request"] = dataclasses.replace(case["request"], terms=terms)
    case["package"] = PackageClaims(MANIFEST, OWNER, CONTENT, CUSTODY)
    assert decide(**case).unit == UNIT


def test_the_window_is_closed_at_both_ends() -> None:
    request = good()["request"]
    for now_s in (request.expires_at_s, request.expires_at_s - MAX_WINDOW_S):
        check_request(request, UNIT, DOMAIN, CUSTODIAN, now_s)


def test_every_field_changes_what_is_signed() -> None:
    # A field left out of `ShareRequest.digest` would let a captured signature be used with another value of it.
    # `sequence` and `terms` are in the job's id, which `decide` compares with the ledger's.
    request = good()["request"]
    variants = [
        dataclasses.replace(request, **change)
        for change in (
            {"custodian": STRANGER},
            {"unit": STRANGER},
            {"unit_key": OTHER_KEY},
            {"job": JobId(bytes(32))},
            {"manifest": Digest(bytes(32))},
            {"custody": Digest(bytes(32))},
            {"nonce": bytes(32)},
            {"expires_at_s": NOW + 61},
        )
    ]
    digests = {each.digest(DOMAIN) for each in (request, *variants)}
    digests |= {request.digest(TypedDomain(1, DOMAIN.contract)), request.digest(TypedDomain(31337, STRANGER))}
    assert len(digests) == 11


def test_a_released_share_is_bound_to_job_manifest_custody_and_number() -> None:
    infos = {
        share_info(JOB, MANIFEST, CUSTODY, 1),
        share_info(JOB, MANIFEST, CUSTODY, 2),
        share_info(JobId(bytes(32)), MANIFEST, CUSTODY, 1),
        share_info(JOB, Digest(bytes(32)), CUSTODY, 1),
        share_info(JOB, MANIFEST, Digest(bytes(32)), 1),
    }
    assert len(infos) == 5


@pytest.mark.parametrize(
    "change",
    [
        {"job": JobId(b"short")},
        {"manifest": Digest(b"")},
        {"custody": Digest(b"")},
        {"nonce": b"1"},
        {"unit_key": b"\x04" + b"k" * 63},
        {"unit_key": b"\x02" + b"k" * 64},
        {"sequence": 0},
        {"sequence": 1 << 24},
        {"expires_at_s": 0},
        {"unit": Address("0x12")},
        {"custodian": Address("printright")},
    ],
    ids=str,
)
def test_a_request_out_of_range_is_not_made(change: dict[str, Any]) -> None:
    with pytest.raises(BadValue):
        dataclasses.replace(good()["request"], **change)

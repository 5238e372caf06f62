"""Refusals of module parts: each function below sets the scene for one call that must be refused."""

from __future__ import annotations

from tests.contracts import accounts as a
from tests.contracts import scene as s
from tests.contracts.accounts import EMPTY, ZERO, Account, word
from tests.contracts.chain import ADDRESS, CHAIN_ID, START
from tests.contracts.refusals import Call, refused
from tests.contracts.scene import LATER, Made, Scene
from tests.contracts.settings import running


def made(t: Scene, good: int = 3) -> Made:
    license = running(t, good)
    found = Made.of(t.job(license, 1), good)
    t.do(s.UNIT, "finish_job", license, good, 0, EMPTY, found.root)
    return found


@refused("check_out", "parts: zero account")
def for_the_zero_account(t: Scene) -> Call:
    part, _, deadline, signature = made(t).check_out(0, s.MAKER)
    return s.MAKER, (part, ZERO, deadline, signature)


@refused("check_out", "parts: signature expired")
def a_second_too_late(t: Scene) -> Call:
    args = made(t).check_out(0, s.MAKER, deadline=START + 60)
    t.chain.set_time(START + 61)
    return s.MAKER, args


@refused("check_out", "parts: not genuine")
def of_a_part_of_no_job(t: Scene) -> Call:
    return s.MAKER, Made.of(word("no job"), 3).check_out(0, s.MAKER)


@refused("check_out", "parts: not genuine")
def of_a_part_at_another_index(t: Scene) -> Call:
    found = made(t)
    job, good, _, *rest = found.part(0)
    digest = a.typed(s.SEPARATOR, a.CHECK_OUT, a.part_of(job, 4), s.MAKER.address, LATER)
    return s.MAKER, ((job, good, 4, *rest), s.MAKER.address, LATER, found.codes[0].sign(digest))


@refused("check_out", "parts: already checked out")
def of_a_part_checked_out_by_another(t: Scene) -> Call:
    found = made(t)
    t.do(s.MAKER, "check_out", *found.check_out(0, s.MAKER))
    return s.OTHER_MAKER, found.check_out(0, s.OTHER_MAKER)


@refused("check_out", "parts: already checked out")
def of_a_part_replayed(t: Scene) -> Call:
    args = made(t).check_out(0, s.MAKER)
    t.do(s.MAKER, "check_out", *args)
    return s.MAKER, args


@refused("check_out", "parts: bad code signature")
def taken_for_oneself_from_anothers_transaction(t: Scene) -> Call:
    part, _, deadline, signature = made(t).check_out(0, s.MAKER)
    return s.OTHER_MAKER, (part, s.OTHER_MAKER.address, deadline, signature)


@refused("check_out", "parts: bad code signature")
def with_the_signature_for_another_part(t: Scene) -> Call:
    found = made(t)
    return s.MAKER, (found.part(1), *found.check_out(0, s.MAKER)[1:])


@refused("check_out", "parts: bad code signature")
def of_a_part_whose_code_key_is_zero(t: Scene) -> Call:
    # ecrecover answers zero for nonsense; a maker that registers code key zero gets a part nobody checks out.
    license = running(t, 1)
    root = a.part_leaf(a.part_of(t.job(license, 1), 0), word("serial"), ZERO)
    t.do(s.UNIT, "finish_job", license, 1, 0, EMPTY, root)
    part = (t.job(license, 1), 1, 0, word("serial"), ZERO, ())
    return s.MAKER, (part, s.MAKER.address, LATER, bytes(64) + b"\x1b")


def check_out_signatures(found: Made) -> dict[str, bytes]:
    code, part = found.codes[0], a.part_of(found.job, 0)

    def signed(
        separator: bytes = s.SEPARATOR, text: str = a.CHECK_OUT, deadline: int = LATER, by: Account = s.MAKER
    ) -> bytes:
        return code.sign(a.typed(separator, text, part, by.address, deadline))

    good = signed()
    return {
        "of another key": s.STRANGER.sign(a.typed(s.SEPARATOR, a.CHECK_OUT, part, s.MAKER.address, LATER)),
        "for another chain": signed(a.domain(CHAIN_ID + 1, ADDRESS)),
        "for another contract": signed(a.domain(CHAIN_ID, s.STRANGER.address)),
        "of another type": signed(text=a.CHECK_OUT.replace("CheckOut", "Transfer")),
        "for another deadline": signed(deadline=LATER - 1),
        "for another account": signed(by=s.OTHER_MAKER),
        "with the high s": a.high_s(good),
        "with v 0 or 1": good[:64] + bytes([good[64] - 27]),
        "a byte short": good[:64],
        "empty": b"",
        "all zero": bytes(65),
    }

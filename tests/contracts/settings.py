"""Situations that several contract tests begin with."""

from __future__ import annotations

from typing import Any

from tests.contracts import accounts as a
from tests.contracts import scene as s
from tests.contracts.accounts import EMPTY, word
from tests.contracts.scene import Scene

MOST = 2**31 - 1


def job_slot(unit: a.Account) -> int:
    """Where a unit's job lies: mapping 7 of module registry."""
    return int.from_bytes(a.keccak((7).to_bytes(32, "big") + unit.address.rjust(32, b"\0")), "big")


def hashed(t: Scene, **conditions: Any) -> bytes:
    """The terms hash of a license that was just granted to the maker."""
    terms = t.terms(**conditions)
    t.grant(terms)
    return a.terms_hash(s.MAKER.address, terms)


def running(t: Scene, quantity: int = 3) -> bytes:
    terms = t.terms()
    license = t.grant(terms)
    t.start(terms, quantity)
    return license


def ending(license: bytes, good: int, failed: int, parts: bytes | None = None) -> tuple[Any, ...]:
    root = parts if parts is not None else (word("parts") if good else EMPTY)
    return (license, good, failed, word("evidence"), root)


def worn(t: Scene) -> bytes:
    """The terms hash of a license credited 2**32 - 2 times, whose third job of all copies is overdue."""
    terms = t.terms()
    t.grant(terms, copies=MOST, allowance=0)
    key = a.terms_hash(s.MAKER.address, terms)
    for cycle in (1, 2, 3):
        t.start(terms, MOST)
        t.wait(90_000)
        if cycle < 3:
            t.do(s.HOLDER, "close_job", key, s.UNIT.address, cycle, MOST)
    return key

"""Every state-changing function x every account without the role: no storage changes (ASSURANCE, invariant 8)."""

from __future__ import annotations

from typing import Any

import pytest
from tests.contracts import accounts as a
from tests.contracts import scene as s
from tests.contracts.accounts import EMPTY, REGISTRAR, ZERO, word
from tests.contracts.chain import ADDRESS, abi
from tests.contracts.scene import EVERYONE, Made, Scene

HOLDERS = {s.HOLDER, s.OTHER_HOLDER}
# Who may call each function in the setting below with any effect. Everyone else must change nothing.
MAY: dict[str, set[a.Account]] = {
    "propose_registrar": {REGISTRAR},
    "accept_registrar": {s.SUCCESSOR},
    "admit_member": {REGISTRAR},
    "suspend_member": {REGISTRAR},
    "enroll_unit": {s.MAKER},
    "retire_unit": {REGISTRAR, s.MAKER, s.BUILDER, s.UNIT},
    # Not its builder, who has no business in somebody's workshop, nor the unit itself: see ADR 12.
    "halt_unit": {REGISTRAR, s.MAKER},
    "clear_unit": {s.MAKER},
    "publish": HOLDERS,
    "publish_version": {s.HOLDER},
    "withdraw": {s.HOLDER},
    "change_custody": {s.HOLDER},
    "grant": HOLDERS,
    "grant_many": HOLDERS,
    "revoke": {s.HOLDER},
    "pause": {s.HOLDER},
    "resume": {s.HOLDER},
    "assign": {s.MAKER},
    "credit": {s.HOLDER},
    "start_job": {s.UNIT, s.BARE_UNIT},
    "finish_job": {s.UNIT},
    "close_job": {s.HOLDER},
    # The signature names who checks the part out; anyone may carry it.
    "check_out": set(EVERYONE),
    "anchor": {s.CUSTODIAN},
}


def setting(t: Scene) -> dict[str, tuple[a.Account, tuple[Any, ...]]]:
    """A scene in which one call of each function would succeed from the account given with it."""
    terms = {n: t.terms(n, flags=a.ASSIGNABLE) for n in ("open", "paused", "lost", "given up", "done")}
    licenses = {n: t.grant(each, copies=10, allowance=0) for n, each in terms.items()}
    hashed = {n: a.terms_hash(s.MAKER.address, each) for n, each in terms.items()}
    t.start(terms["lost"], 2)
    t.do(s.UNIT, "finish_job", licenses["lost"], 0, 2, EMPTY, EMPTY)
    number = t.start(terms["done"], 3)
    made = Made.of(t.job(licenses["done"], number), 3)
    t.do(s.UNIT, "finish_job", licenses["done"], 3, 0, EMPTY, made.root)
    given_up = t.start(terms["given up"], 2)
    number = t.start(terms["open"], 2)
    t.do(s.HOLDER, "pause", [hashed["paused"]])
    bare = 1  # the unattested unit has made no job yet, nor has the other
    unit, other = s.UNIT.address, s.OTHER_MAKER.address
    return {
        "propose_registrar": (REGISTRAR, (s.STRANGER.address,)),
        "accept_registrar": (s.SUCCESSOR, ()),
        "admit_member": (REGISTRAR, (s.STRANGER.address, 15, b"", EMPTY)),
        "suspend_member": (REGISTRAR, (s.MAKER.address, [unit])),
        "enroll_unit": (s.MAKER, t.enrolment(s.NEW_UNIT, s.MAKER, s.BUILDER)),
        "retire_unit": (s.MAKER, (unit,)),
        "halt_unit": (s.MAKER, (unit,)),
        "clear_unit": (s.MAKER, (s.HALTED_UNIT.address,)),
        "publish": (s.HOLDER, (word("another"), 1)),
        "publish_version": (s.HOLDER, (word("successor"), t.content, 1)),
        "withdraw": (s.HOLDER, ([t.content],)),
        "change_custody": (s.HOLDER, (t.content, EMPTY, word("custody record"))),
        "grant": (s.HOLDER, (word("another"), 1, 0)),
        "grant_many": (s.HOLDER, ([(word("one of many"), 1, 0)],)),
        "revoke": (s.HOLDER, ([hashed["open"]],)),
        "pause": (s.HOLDER, ([hashed["open"]],)),
        "resume": (s.HOLDER, ([hashed["paused"]],)),
        "assign": (s.MAKER, (terms["open"], other, EMPTY, word("given"), 1, 0)),
        "credit": (s.HOLDER, (hashed["lost"], 1)),
        "start_job": (s.BARE_UNIT, (terms["open"], 1, bare, ())),
        "finish_job": (s.UNIT, (licenses["open"], 2, 0, EMPTY, word("parts"))),
        "close_job": (s.HOLDER, (hashed["given up"], unit, given_up, 1)),
        "check_out": (s.MAKER, made.check_out(0, s.MAKER)),
        "anchor": (s.CUSTODIAN, (1, word("head"))),
    }


def tell_all(t: Scene) -> Scene:
    """The setting, and then every call of it that still fits, one after another: every event there is."""
    calls = setting(t)
    late = ("pause", "withdraw", "revoke", "suspend_member", "accept_registrar")
    skipped = ("retire_unit", "propose_registrar")
    for name in [*(n for n in calls if n not in (*late, *skipped)), *late]:
        t.do(calls[name][0], name, *calls[name][1])
    assert {e.name for e in t.events} == {item["name"] for item in abi().events.values()}
    return t


def test_the_matrix_covers_every_state_changing_function(scene: Scene) -> None:
    # Red when a function is added to any contract and not to the matrix.
    assert set(MAY) == set(abi().changing) == set(setting(scene))


@pytest.mark.parametrize("name", MAY)
def test_whoever_lacks_the_role_changes_nothing(scene: Scene, name: str) -> None:
    by, args = setting(scene)[name]
    data = abi().call(name, *args)
    outsiders = {account.address: str(account) for account in EVERYONE if account not in MAY[name]}
    outsiders |= {ZERO: "the zero account", ADDRESS: "the contract itself"}
    if name == "check_out":
        outsiders = {}
    before = scene.chain.storage()
    for sender, label in outsiders.items():
        outcome = scene.send_raw(sender, data)
        assert outcome.reason is not None, label
        assert not outcome.reason.startswith("bare revert"), label
        assert scene.chain.storage() == before, label
    # The same bytes from the one who may do work: so the refusals above were about the sender.
    scene.do(by, name, *args)
    assert scene.chain.storage() != before


@pytest.mark.parametrize("name", MAY)
def test_each_account_listed_really_may(scene: Scene, name: str) -> None:
    # Red when MAY names an account too many, which would hide it from the matrix.
    _, args = setting(scene)[name]
    for account in sorted(MAY[name], key=str):
        t = scene.copy()
        with t.chain.anchored():
            arguments = args
            if name == "start_job" and account is s.UNIT:
                arguments = (args[0], args[1], 1 + t.view("job", s.UNIT.address).sequence, ())
            t.do(account, name, *arguments)


def test_views_change_nothing(scene: Scene) -> None:
    setting(scene)
    before = scene.chain.storage()
    for name in set(abi().functions) - set(abi().changing):
        zeros = [_zero(item) for item in abi().functions[name]["inputs"]]
        scene.view(name, *zeros)
    assert scene.chain.storage() == before


def _zero(item: dict[str, Any]) -> Any:
    if item["type"] == "tuple":
        return tuple(_zero(c) for c in item["components"])
    if item["type"].endswith("[]"):
        return ()
    return {"address": ZERO, "bytes32": EMPTY, "uint256": 0}[item["type"]]

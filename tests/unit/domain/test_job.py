"""Jobs: whole runs, and the job slot as the contract lays it out."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from printright.domain.ids import JobId, LicenseId
from printright.domain.job import JobRecord, Outcome, Running, split_runs
from printright.domain.member import Role
from printright.domain.words import checksum
from printright.errors import BadValue

ZERO = checksum(bytes(20))


@given(
    st.integers(0, (1 << 24) - 1),
    st.integers(0, (1 << 31) - 1),
    st.booleans(),
    st.integers(0, (1 << 40) - 1),
    st.integers(0, (1 << 160) - 1),
)
def test_the_job_slot_is_laid_out_as_in_the_contract(
    sequence: int, quantity: int, running: bool, deadline: int, license: int
) -> None:
    slot = sequence | quantity << 24 | int(running) << 55 | deadline << 56 | license << 96
    assert Running.unpack(slot) == Running(sequence, quantity, running, deadline, license)


def test_a_record_says_what_the_machine_may_have_kept() -> None:
    # Red without: `traces` in `JobRecord.canonical`.
    record = JobRecord(JobId(b"j" * 32), LicenseId(b"l" * 32), ZERO, (Outcome.GOOD,), 1, 2, 2, b"a", b"b")
    assert json.loads(record.canonical())["traces"] == ""
    weaker = replace(record, traces="moves-in-klippy-log")
    assert json.loads(weaker.canonical())["traces"] == "moves-in-klippy-log"
    assert weaker.digest != record.digest


def test_runs() -> None:
    assert split_runs(12, 4) == 3


@pytest.mark.parametrize(("quantity", "per_run"), [(0, 1), (-4, 2), (5, 2), (4, 0)])
def test_only_whole_runs(quantity: int, per_run: int) -> None:
    with pytest.raises(BadValue):
        split_runs(quantity, per_run)


def test_roles_by_name() -> None:
    assert Role.parse("maker, rights-holder") == Role.MAKER | Role.RIGHTS_HOLDER
    with pytest.raises(BadValue, match="roles are"):
        Role.parse("king")

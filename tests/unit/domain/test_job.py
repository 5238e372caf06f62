"""Jobs: whole runs, and the job slot as the contract lays it out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from printright.domain.job import Running, split_runs
from printright.domain.member import Role
from printright.errors import BadValue


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

"""The list of refusals, which the modules `refusals_*` fill and `test_refusals` runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.contracts.accounts import Account
from tests.contracts.scene import Scene

Call = tuple[Account, tuple[Any, ...]]
Arrange = Callable[[Scene], Call]
CASES: list[tuple[str, str, Arrange]] = []

# Pairs that the source spells out and that no call can reach, with the reason why.
UNREACHABLE = {
    ("assign", "licenses: copies out of range"): "assign has already bounded them by the available copies",
    ("assign", "licenses: allowance out of range"): "assign has already bounded it by the unused allowance",
    ("__init__", "registry: zero registrar"): "tested at deployment, in test_build.py",
}


def refused(name: str, reason: str) -> Callable[[Arrange], Arrange]:
    """Note a call of function `name` that must be refused with `reason`."""

    def note(arrange: Arrange) -> Arrange:
        CASES.append((name, reason, arrange))
        return arrange

    return note

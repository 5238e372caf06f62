"""One measured figure, and the interleaving of rounds that makes a ratio hold on a noisy machine."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Figure:
    """A row of `bench/results.json`.

    `value` and `peer_value` are in `unit`; `ratio` compares them so that the target can be read off it. `target` is
    the promise in words (`<= 42000`, `>= 4`), `ok` whether it was kept.
    """

    id: str
    value: float
    unit: str
    peer: str | None
    peer_value: float | None
    ratio: float | None
    target: str
    ok: bool

    def row(self) -> dict[str, Any]:
        return asdict(self)


def figure(
    id: str,
    value: float,
    unit: str,
    target: str,
    *,
    peer: str | None = None,
    peer_value: float | None = None,
    ratio: float | None = None,
    judge_ratio: bool = False,
) -> Figure:
    """Build a figure and judge `value` (or, with `judge_ratio`, `ratio`) by `target`: `<= x` or `>= x`."""
    relation, bound = target.split()
    judged = ratio if judge_ratio else value
    assert judged is not None
    ok = judged <= float(bound) if relation == "<=" else judged >= float(bound)
    return Figure(id, value, unit, peer, peer_value, ratio, target, ok)


def interleaved(rounds: int, **sides: Callable[[], float]) -> dict[str, float]:
    """Run every side once a round, in turn, and return the median of each."""
    samples: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, run in sides.items():
            samples[name].append(run())
    return {name: statistics.median(values) for name, values in samples.items()}

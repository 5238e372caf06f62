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


class Rounds(dict[str, float]):
    """The median of each side, and the ratio of two sides."""

    def __init__(self, samples: dict[str, list[float]]) -> None:
        super().__init__({name: statistics.median(values) for name, values in samples.items()})
        self._samples = samples

    def ratio(self, side: str, peer: str) -> float:
        """The median over the rounds of `side / peer`: what slows a whole round down, slows both."""
        pairs = zip(self._samples[side], self._samples[peer], strict=True)
        return statistics.median(value / peer_value for value, peer_value in pairs)


def interleaved(rounds: int, **sides: Callable[[], float]) -> Rounds:
    """Run every side once a round, in turn and every other round backwards, so that no side always comes first."""
    samples: dict[str, list[float]] = {name: [] for name in sides}
    order = list(sides)
    for _ in range(rounds):
        for name in order:
            samples[name].append(sides[name]())
        order.reverse()
    return Rounds(samples)

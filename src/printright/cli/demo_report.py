"""What the demo shows: a line for each step as it happens, and at the end the table of all of them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from rich.console import Console
from rich.table import Table

from printright.errors import PrintrightError


@dataclass
class Step:
    """One line. `expected` is "done" or what must be refused; `ok` whether it came so."""

    title: str
    expected: str
    came: str = ""
    detail: str = ""
    gas: int | None = None
    seconds: float = 0.0
    ok: bool = False


class Report:
    """Collects the steps. A step that does not come as expected is red, and the demo goes on if it can."""

    def __init__(self, *, quiet: bool) -> None:
        self.console = Console(quiet=quiet, highlight=False)
        self.steps: list[Step] = []

    @property
    def ok(self) -> bool:
        return bool(self.steps) and all(step.ok for step in self.steps)

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """Something that must succeed; fill in `detail` and `gas`."""
        step = self._begin(title, "done")
        began = time.monotonic()
        try:
            yield step
            step.came, step.ok = "done", True
        except PrintrightError as error:
            step.came, step.detail = type(error).__name__, str(error)
            raise
        finally:
            self._end(step, began)

    def refusal(self, title: str, text: str) -> AbstractContextManager[Step, bool]:
        """Something that must be refused with a PrintrightError whose message contains `text`."""
        # mypy takes every contextmanager for one that lets exceptions through.
        return cast(AbstractContextManager[Step, bool], self._refusal(title, text))

    @contextmanager
    def _refusal(self, title: str, text: str) -> Iterator[Step]:
        step = self._begin(title, "refused")
        began = time.monotonic()
        try:
            yield step
            step.came = "NOT REFUSED"
        except PrintrightError as error:
            step.came, step.detail = "refused", error.message
            step.ok = text in str(error)
        finally:
            self._end(step, began)

    def headline(self, text: str) -> None:
        self.console.print(f"\n[bold]{text}[/]")

    def close(self, seconds: float, output: Path) -> None:
        """Print the table and write it to `report.txt` in the output folder."""
        table = Table("step", "expected", "came", "gas", "seconds", "", title="What happened")
        for step in self.steps:
            gas = f"{step.gas:,}" if step.gas is not None else ""
            mark = "[green]ok[/]" if step.ok else "[bold red]NOT AS IT SHOULD BE[/]"
            table.add_row(step.title, step.expected, step.came, gas, f"{step.seconds:.2f}", mark)
        with (output / "report.txt").open("w") as file:
            Console(file=file, width=140).print(table)
        self.console.print()
        self.console.print(table)
        verdict = "every line is as it should be" if self.ok else "[bold red]something is not as it should be[/]"
        self.console.print(f"{verdict}; {seconds:.1f} s; everything is in {output}")

    def data(self) -> dict[str, Any]:
        return {"ok": self.ok, "steps": [asdict(step) for step in self.steps]}

    def _begin(self, title: str, expected: str) -> Step:
        step = Step(title, expected)
        self.steps.append(step)
        return step

    def _end(self, step: Step, began: float) -> None:
        step.seconds = round(time.monotonic() - began, 3)
        mark = "[green]✓[/]" if step.ok else "[bold red]✗[/]"
        gas = f"  [dim]{step.gas:,} gas[/]" if step.gas is not None else ""
        self.console.print(f" {mark} {step.title}{gas}  [dim]{step.detail}[/]")

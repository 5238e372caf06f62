"""The tutorial as a program: its fenced blocks in order, each with its terminal and the output that it promises."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r'^```(?P<kind>\w+)(?: title="(?P<title>[^"]*)")?\n(?P<body>.*?)^```$', re.MULTILINE | re.DOTALL)
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True)
class Step:
    """One bash block. `stays` for what serves until it is ended, `refused` for what must end with exit code 3."""

    title: str
    script: str
    expected: tuple[str, ...]

    @property
    def stays(self) -> bool:
        return self.title.endswith(", stays")

    @property
    def refused(self) -> bool:
        return self.title.endswith(", refused")

    def missing(self, output: str) -> list[str]:
        """The promised lines that `output` does not have; `…` stands for anything."""
        lines = [" ".join(line.split()) for line in _CONTROL.sub("", output).replace("\r", "\n").splitlines()]
        return [line for line in self.expected if not any(_pattern(line).search(each) for each in lines)]


def _pattern(line: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(" ".join(part.split())) for part in line.split("…")))


def read_page(path: Path) -> list[Step]:
    """The steps of a page. A bash block without a title, or a text block that follows none, is an error."""
    steps: list[Step] = []
    for fence in _FENCE.finditer(path.read_text()):
        kind, title, body = fence["kind"], fence["title"], fence["body"]
        if kind == "bash":
            assert title, f"a bash block of {path} names no terminal: {body[:60]!r}"
            steps.append(Step(title, body, ()))
        else:
            assert kind == "text", f"a block of {path} that nobody runs: {kind}"
            assert steps, f"a text block of {path} follows nothing"
            assert not steps[-1].expected, f"two text blocks of {path} follow one command"
            steps[-1] = Step(steps[-1].title, steps[-1].script, tuple(body.splitlines()))
    return steps

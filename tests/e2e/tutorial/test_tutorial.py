"""The tutorial page, followed as written: every command in its terminal, every promised line and exit code."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from e2e.tutorial.page import Step, read_page

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "tutorial" / "first-print.md"
FOLDER = "/tmp/first-print"
PORTS = ("8545", "8650", "8700")
REFUSED = 3
READY_S = 90.0
COMMAND_S = 240.0


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on; all are held until the last is known, so that they differ."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


class Reader:
    """Somebody who follows the page. The only things changed in what is typed are the folder and the ports."""

    def __init__(self, folder: Path) -> None:
        ports = [str(port) for port in free_ports(len(PORTS))]
        self._swaps = [(FOLDER, str(folder)), *((f"{old}", new) for old, new in zip(PORTS, ports, strict=True))]
        self._log_folder = folder.with_name("terminals")
        self._log_folder.mkdir()
        self._serving: list[subprocess.Popen[bytes]] = []
        self._prelude = ""
        path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
        self._environment = {**os.environ, "PATH": path, "HOME": str(folder.with_name("home")), "COLUMNS": "200"}

    def follow(self, step: Step) -> None:
        step = Step(step.title, self._swapped(step.script), tuple(map(self._swapped, step.expected)))
        if step.title == "Every terminal":
            self._prelude = step.script
        elif step.stays:
            self._serve(step)
        else:
            self._run(step)

    def _swapped(self, text: str) -> str:
        for old, new in self._swaps:
            text = text.replace(old, new)
        return text

    def _script(self, step: Step) -> list[str]:
        return ["bash", "-euo", "pipefail", "-c", self._prelude + step.script]

    def _run(self, step: Step) -> None:
        done = subprocess.run(
            self._script(step),
            cwd=ROOT,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=COMMAND_S,
            check=False,
        )
        output = done.stdout.decode()
        said = f"{step.title}:\n{step.script}\n{output}{self._tails()}"
        assert done.returncode == (REFUSED if step.refused else 0), said
        assert not step.missing(output), f"not in the output: {step.missing(output)}\n{said}"

    def _serve(self, step: Step) -> None:
        log = self._log_folder / f"{len(self._serving)}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                self._script(step),
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._serving.append(process)
        until = time.monotonic() + READY_S
        while step.missing(log.read_text()):
            assert process.poll() is None, f"{step.title} ended:\n{log.read_text()}"
            assert time.monotonic() < until, f"{step.title} does not say {step.missing(log.read_text())}"
            time.sleep(0.1)

    def _tails(self) -> str:
        return "".join(f"\n--- {log.name}\n{log.read_text()[-1500:]}" for log in sorted(self._log_folder.iterdir()))

    def end(self) -> None:
        """Ctrl-C in every terminal, the last one first: each is a session of its own, known by its id."""
        for process in reversed(self._serving):
            # A background job of a script ignores SIGINT; a closed terminal's SIGTERM reaches it.
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@contextmanager
def reader(folder: Path) -> Iterator[Reader]:
    someone = Reader(folder)
    try:
        yield someone
    finally:
        someone.end()


def test_the_tutorial_works_as_written(tmp_path: Path) -> None:
    steps = read_page(PAGE)
    assert sum(step.stays for step in steps) == 4
    assert sum(step.refused for step in steps) >= 4
    # Short, since the agent's Unix socket lies in it.
    folder = tmp_path / "t"
    with reader(folder) as someone:
        for step in steps:
            someone.follow(step)

"""How fast lines reach a printer: decrypted and checked against plain, and against OctoPrint's sender.

The printer is the simulator in a process of its own, on a pseudo-terminal that is as fast as two processes can be.
Rates are read at the printer: commands that it executed between two moments in the middle of the print.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from bench.figure import Figure, figure, interleaved
from bench.peers.octoprint import OctoPrint
from printright.units.drivers.marlin import MarlinDriver
from printright.units.guard import Guard, GuardProfile
from printright.vault.stream import StreamReader, encrypt

PROFILE = GuardProfile((250.0, 210.0, 210.0), nozzle_max_c=290.0, bed_max_c=110.0)
LINES = 30_000
OCTOPRINT_LINES = 24_000
ROUNDS, OCTOPRINT_ROUNDS = 15, 3
EDGE = 1_000


class OpenGate(Guard):
    """A guard that lets everything pass: the plain side of the comparison. For measuring only."""

    def feed(self, chunk: bytes) -> list[bytes]:
        return self.whole_lines(chunk).split(b"\n")[:-1]


class Printer:
    """The simulator as a process, with a socket that answers how far it is."""

    def __init__(self, *options: str) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._socket = str(Path(self._folder.name) / "status")
        command = [
            sys.executable,
            "-m",
            "printright.units.drivers.simulator",
            "--status-socket",
            self._socket,
            *options,
        ]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = self._process.stdout.readline().strip()

    def report(self) -> dict[str, float]:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(self._socket)
            return json.loads(client.makefile().readline())  # type: ignore[no-any-return]

    def rate(self, lines: int, work: Callable[[], object]) -> float:
        """Lines a second while `work`, in a thread, has the printer execute so many."""
        before = int(self.report()["accepted"])
        thread = threading.Thread(target=work)
        thread.start()
        marks = []
        for mark in (before + EDGE, before + lines - EDGE):
            while (report := self.report())["accepted"] < mark:
                time.sleep(0.02)
            marks.append(report)
        thread.join()
        first, last = marks
        return (last["accepted"] - first["accepted"]) / (last["time_s"] - first["time_s"])

    def __enter__(self) -> Printer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.terminate()
        self._process.wait(10)
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._folder.cleanup()


@contextmanager
def one_cpu() -> Iterator[None]:
    """Keep this process, and those it starts, on one CPU."""
    cpus = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cpus)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cpus)


def part(lines: int) -> bytes:
    """Moves as a slicer writes them, without comments."""
    moves = random.Random(1)
    text = "".join(
        f"G1 X{moves.uniform(0, 250):.3f} Y{moves.uniform(0, 210):.3f} E{index * 0.01:.5f}\n" for index in range(lines)
    )
    return text.encode()


async def chunks(source: Iterable[bytes]) -> AsyncIterator[bytes]:
    for chunk in source:
        yield chunk


def send(port: str, guard: Guard, source: Iterable[bytes]) -> None:
    async def run() -> None:
        driver = MarlinDriver(port, guard=guard)
        outcome = await driver.print(chunks(source))
        assert outcome.completed, outcome
        await driver.close()

    asyncio.run(run())


def lines_ratio() -> list[Figure]:
    """Encrypted lines against plain ones: through the same sender, and through one that has lost its allow-list.

    The allow-list is part of the sender: a plain file passes it too. What it costs is the second figure.
    Sender and printer share one CPU: the scheduler otherwise puts them together or apart from round to round, which
    changes the rate by a factor of two. It is the worst case: nothing of the checking can hide behind the printer.
    """
    file = part(LINES)
    key = os.urandom(32)
    sealed = encrypt(key, file, b"bench")
    plain = [file[at : at + 65536] for at in range(0, len(file), 65536)]
    with one_cpu(), Printer() as printer:

        def rate(guard: Guard, source: Iterable[bytes]) -> float:
            return printer.rate(LINES, lambda: send(printer.port, guard, source))

        rates = interleaved(
            ROUNDS,
            licensed=lambda: rate(Guard(PROFILE), StreamReader(key, sealed, b"bench")),
            unchecked=lambda: rate(OpenGate(PROFILE), plain),
            checked=lambda: rate(Guard(PROFILE), plain),
        )

    def against(id: str, side: str, peer: str) -> Figure:
        return figure(
            id,
            round(rates["licensed"]),
            "lines/s",
            ">= 0.99",
            peer=peer,
            peer_value=round(rates[side]),
            ratio=round(rates.ratio("licensed", side), 4),
            judge_ratio=True,
        )

    return [
        against("print.lines_ratio", "checked", "the same sender fed with plain lines"),
        against("print.lines_ratio_unguarded", "unchecked", "the sender without its allow-list, plain lines"),
    ]


def lines_vs_octoprint(id: str, *options: str) -> Figure:
    """Our sender, decrypting and checking, against OctoPrint's, on the same kind of printer."""
    file = part(OCTOPRINT_LINES)
    key = os.urandom(32)
    sealed = encrypt(key, file, b"bench")
    with Printer(*options) as ours, Printer(*options) as theirs, OctoPrint(theirs.port) as octoprint:
        octoprint.upload(file)

        def octoprint_rate() -> float:
            rate = theirs.rate(OCTOPRINT_LINES, octoprint.print)
            octoprint.wait()
            return rate

        rates = interleaved(
            OCTOPRINT_ROUNDS,
            printright=lambda: ours.rate(
                OCTOPRINT_LINES, lambda: send(ours.port, Guard(PROFILE), StreamReader(key, sealed, b"bench"))
            ),
            octoprint=octoprint_rate,
        )
    return figure(
        id,
        round(rates["printright"]),
        "lines/s",
        ">= 2",
        peer="OctoPrint 1.11.8",
        peer_value=round(rates["octoprint"]),
        ratio=round(rates.ratio("printright", "octoprint"), 2),
        judge_ratio=True,
    )


def figures() -> list[Figure]:
    return [
        *lines_ratio(),
        lines_vs_octoprint("print.lines_vs_octoprint"),
        # Firmware whose oks carry no number gets one line at a time from both.
        lines_vs_octoprint("print.lines_vs_octoprint_plain_ok", "--plain-ok"),
    ]

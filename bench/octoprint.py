"""What a licensed print through OctoPrint costs against the same file printed bare by the same OctoPrint.

The printer is the simulator in a process of its own on a pseudo-terminal; OctoPrint runs with the plugin in both cases.
Bare: the uploaded file is selected and printed by OctoPrint's API. Licensed: the driver is given the decrypted file, as
the agent does once the license is spent and the key is there. What the spend adds is measured apart, with ledger,
custodian, store and agent as processes, from the order to the moment in which the driver is asked to print.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from bench.figure import Figure, Rounds, figure
from bench.first_line import licensed_unit
from bench.peers.octoprint import OctoPrint
from bench.printing import PROFILE, chunks
from printright.cli.agent_client import AgentClient
from printright.cli.demo_stage import Stage
from printright.units.driver import DriverState
from printright.units.drivers.octoprint import OctoPrintDriver
from printright.units.drivers.simulator import FirmwareSettings, Simulator
from printright.units.guard import Guard
from printright.vault.stream import StreamReader, encrypt

ROOT = Path(__file__).parent.parent
LINES = 6_000
ROUNDS, FIRST_ROUNDS, SPENDS = 11, 15, 10
FIRST_LINE, LAST_LINE = b"X11.117", b"X22.227"


class Wire:
    """A simulated printer that notes when a file's first and last line reach it."""

    def __init__(self) -> None:
        self.printer = Simulator(FirmwareSettings(time_scale=float("inf")))
        self.first, self.last = threading.Event(), threading.Event()
        self.first_s = self.last_s = 0.0
        self._rest = b""
        receive = self.printer.firmware.receive

        def noting(data: bytes, now_s: float) -> bytes:
            # A line may come in two pieces.
            seen, self._rest = self._rest + data, (self._rest + data)[-16:]
            if FIRST_LINE in seen and not self.first.is_set():
                self.first_s = time.perf_counter()
                self.first.set()
            if LAST_LINE in seen and not self.last.is_set():
                self.last_s = time.perf_counter()
                self.last.set()
            return receive(data, now_s)

        self.printer.firmware.receive = noting  # type: ignore[method-assign]

    def time(self, start: Callable[[], None]) -> tuple[float, float]:
        """Seconds from `start` to the first line and to the last."""
        self._rest = b""
        self.first.clear()
        self.last.clear()
        began = time.perf_counter()
        start()
        assert self.last.wait(60), "the last line never came"
        return self.first_s - began, self.last_s - began


def part(lines: int) -> bytes:
    middle = b"".join(
        b"G1 X%d.%03d Y%d.%03d E%d.%05d\n" % (n % 200, n % 1000, n // 7 % 200, n % 997, n // 100, n % 100 * 1000)
        for n in range(1, lines)
    )
    middle = middle.replace(FIRST_LINE, b"X11.118").replace(LAST_LINE, b"X22.228")
    return b"G28\nG1 %b F3000\n" % FIRST_LINE + middle + b"G1 %b\n" % LAST_LINE


class Licensed:
    """An agent's driver in a loop of its own, as long as the measurement."""

    def __init__(self, socket: Path) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._driver = OctoPrintDriver(socket, guard=Guard(PROFILE))
        self._do(self._driver.connect())
        self._printing: object = None

    def _do(self, what: object) -> object:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(300)  # type: ignore[arg-type]

    def ready(self) -> None:
        """Until the plugin's report, one a second, says that OctoPrint has ended the print before."""
        deadline_s = time.monotonic() + 30
        while self._driver.status().state is not DriverState.IDLE:
            assert time.monotonic() < deadline_s, "OctoPrint never was idle again"
            time.sleep(0.02)

    def begin(self, key: bytes, sealed: bytes, size: int) -> None:
        reader = StreamReader(key, sealed, b"bench")
        self._printing = asyncio.run_coroutine_threadsafe(
            self._driver.print(chunks(reader), total_bytes=size), self._loop
        )

    def wait(self) -> None:
        outcome = self._printing.result(300)  # type: ignore[attr-defined]
        assert outcome.completed, outcome

    def close(self) -> None:
        self._do(self._driver.close())
        self._loop.call_soon_threadsafe(self._loop.stop)


def build_plugin(folder: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT / "plugins" / "octoprint", check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    uv = Path(sys.executable).with_name("uv")
    subprocess.run([uv, "pip", "install", "--quiet", "--no-deps", "--offline", "--target", folder, wheel], check=True)
    return folder


def figures() -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="op-") as name:
        return _ratios(build_plugin(Path(name)))


def _ratios(site: Path) -> list[Figure]:
    long, short = part(LINES), part(40)
    key = os.urandom(32)
    wire = Wire()
    with wire.printer, OctoPrint(wire.printer.port, site=site) as octoprint:
        licensed = Licensed(octoprint.plugin_socket)

        def bare(file: bytes) -> tuple[float, float]:
            octoprint.upload(file)
            octoprint.select()
            times = wire.time(octoprint.start)
            octoprint.wait()
            return times

        def through_us(file: bytes) -> tuple[float, float]:
            sealed = encrypt(key, file, b"bench")
            licensed.ready()
            times = wire.time(lambda: licensed.begin(key, sealed, len(file)))
            licensed.wait()
            return times

        sides = {"bare": bare, "licensed": through_us}
        first: dict[str, list[float]] = {"bare": [], "licensed": []}
        total: dict[str, list[float]] = {"bare": [], "licensed": []}
        # The first round of each is not counted.
        for number in range(FIRST_ROUNDS + 1):
            for side, run in sides.items():
                times = run(short)
                if number:
                    first[side].append(times[0])
        for number in range(ROUNDS + 1):
            for side, run in sides.items():
                times = run(long)
                if number:
                    total[side].append(times[1])
        licensed.close()
        extra = _start_extra(wire, octoprint, short, statistics.median(first["licensed"]))
    return [
        extra,
        _against("octoprint.total_ratio", total, "s", 1, "<= 1.01"),
        _against("octoprint.first_line_ratio", first, "ms", 1000, "<= 1.10"),
    ]


def _start_extra(wire: Wire, octoprint: OctoPrint, file: bytes, without_s: float) -> Figure:
    """From the order to the first line, ledger, custodian and all, less the same without: what a spend adds.

    The embedded ledger makes a block for each transaction, so that this is its one block and the rest.
    """

    async def measure(folder: Path) -> list[float]:
        (folder / "part.gcode").write_bytes(file)
        async with Stage(folder) as stage:
            license, unit = await licensed_unit(
                stage, str(octoprint.plugin_socket), folder / "part.gcode", driver="octoprint"
            )
            client = AgentClient(unit)
            await asyncio.to_thread(client.post, "/v1/licenses", license.to_json())
            return [await asyncio.to_thread(once, client, license.id.hex()) for _ in range(SPENDS + 2)]

    def once(client: AgentClient, license: str) -> float:
        order = {"license": license, "quantity": 1, "bed_is_clear": True}
        entries: list[dict[str, str]] = []
        first_s, _ = wire.time(lambda: entries.append(client.post("/v1/jobs", order)))
        for _ in client.lines(f"/v1/jobs/{entries[0]['job']}/watch"):
            pass
        octoprint.wait()
        return first_s

    with tempfile.TemporaryDirectory(prefix="op-") as name:
        times = asyncio.run(measure(Path(name)))[2:]
    return figure("octoprint.start_extra_ms", round((statistics.median(times) - without_s) * 1000, 1), "ms", "<= 100")


def _against(id: str, samples: dict[str, list[float]], unit: str, scale: float, target: str) -> Figure:
    rounds = Rounds(samples)
    return figure(
        id,
        round(rounds["licensed"] * scale, 3),
        unit,
        target,
        peer="the same file printed bare by the same OctoPrint",
        peer_value=round(rounds["bare"] * scale, 3),
        ratio=round(rounds.ratio("licensed", "bare"), 4),
        judge_ratio=True,
    )

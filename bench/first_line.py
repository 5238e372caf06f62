"""From the operator's command to the first G-code line on the wire, with everything between: processes and all; and
what the agent's process weighs.

Command line, agent, custodian, store and embedded ledger are processes of their own, as in the demo. The clock starts
before the command's process does, and stops when the printer's end of the wire has the file's first line: the spend is
mined, final and in the ledger's file by then, the key released, the whole file's SHA-256 checked.
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
from pathlib import Path

from bench.figure import Figure, figure
from printright.cli.agent_client import AgentClient
from printright.cli.demo_stage import Stage
from printright.domain.license import License, Limits
from printright.domain.member import Role, UnitProfile
from printright.ledger.evm import deploy
from printright.services import licensing, members
from printright.services.publish import DesignShelf, publish
from printright.units.drivers.simulator import FirmwareSettings, Simulator
from printright.vault.committee import Custodian
from printright.vault.details import Details

ROUNDS = 15
FILE_BYTES = 10_000_000
FIRST_LINE = b"G28"


def figures() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        samples, fresh_mb, idle_mb = asyncio.run(_measure(Path(folder)))
    return [
        figure("print.first_line_ms", round(statistics.median(samples) * 1000, 1), "ms", "<= 250"),
        figure("agent.idle_mb", round(idle_mb, 1), f"MiB resident, idle again after {ROUNDS + 2} jobs", "<= 120"),
        figure("agent.fresh_mb", round(fresh_mb, 1), "MiB resident, before its first job", "<= 120"),
    ]


class _Wire:
    """A simulated printer that notes when the first line of a file reaches it."""

    def __init__(self) -> None:
        self.printer = Simulator(FirmwareSettings(time_scale=float("inf")))
        self.seen = threading.Event()
        self.seen_at = 0.0
        receive = self.printer.firmware.receive

        def noting(data: bytes, now_s: float) -> bytes:
            if FIRST_LINE in data and not self.seen.is_set():
                self.seen_at = time.perf_counter()
                self.seen.set()
            return receive(data, now_s)

        self.printer.firmware.receive = noting  # type: ignore[method-assign]


def _resident_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1].split()[0]) / 1024


async def _measure(folder: Path) -> tuple[list[float], float, float]:
    wire = _Wire()
    with wire.printer:
        async with Stage(folder) as stage:
            license, unit = await licensed_unit(stage, wire.printer.port, _file(stage.folder / "large.gcode"))
            client = AgentClient(unit)
            await asyncio.to_thread(client.post, "/v1/licenses", license.to_json())
            agent = stage._processes[-1].pid
            fresh_mb = _resident_mb(agent)
            samples = [await asyncio.to_thread(_round, wire, client, unit, license) for _ in range(ROUNDS + 2)]
            return samples[2:], fresh_mb, _resident_mb(agent)


def _round(wire: _Wire, client: AgentClient, unit: Path, license: License) -> float:
    wire.seen.clear()
    command = [sys.executable, "-m", "printright", "job", "start", license.id.hex(), "--bed-is-clear", "--no-wait"]
    began = time.perf_counter()
    subprocess.run(command, check=True, env={**os.environ, "PRINTRIGHT_HOME": str(unit)}, stdout=subprocess.DEVNULL)
    assert wire.seen.wait(30), "the first line never came"
    client.post("/v1/cancel", {})
    for _ in client.lines("/v1/jobs/current/watch"):
        pass
    return wire.seen_at - began


async def licensed_unit(stage: Stage, port: str, file: Path, driver: str = "marlin") -> tuple[License, Path]:
    """A network with one rights holder, one printer with its agent running, and a license for `file`."""
    served = await stage.start("ledger", "serve", "--port", "0", "--chain-id", "31415")
    owner = stage.member("owner")
    owner_key = owner.ledger_key()
    network = await deploy(served["url"], owner_key, owner_key.address, name="bench", finality="single-node")
    (owner.folder / "network.toml").write_text(network.dump())
    store = await stage.start("store", "serve", "--port", "0", home=owner.folder)
    custodian = await stage.start("custodian", "serve", "--port", "0", home=owner.folder)
    custodians = {custodian["custodian"]: custodian["url"]}
    unit = stage.unit("printer", port=port, store=store["url"], custodians=custodians, driver=driver)
    (unit.folder / "network.toml").write_text(network.dump())
    sealing = owner.unsealing_key().public_key
    async with owner.ledger(sending=True) as ledger:
        roles = Role.RIGHTS_HOLDER | Role.MAKER | Role.CUSTODIAN
        await members.admit(ledger, owner_key.address, roles, sealing, os.urandom(32))
        profile = UnitProfile(os.urandom(32), "printer", "bench", "Marlin", "1")
        public = unit.unsealing_key().public_key
        request = await members.request_enrolment(
            ledger, unit.ledger_key(), public, owner_key.address, profile, now_s=members.now_s()
        )
        await members.enroll(ledger, request)
        design, _ = await publish(
            ledger,
            owner.store(),
            DesignShelf(owner.folder / "designs"),
            file,
            Details(file_name="large.gcode"),
            title="large",
            owner_key=owner_key,
            custodians=[Custodian(owner_key.address, sealing)],
            threshold=1,
        )
        order = licensing.GrantOrder(
            reference="bench",
            licensee=owner_key.address,
            content=design.content,
            copies=1_000,
            limits=Limits(int(time.time()) + 86_400),
            title="large",
            manifest=design.manifest,
            allowance=1_000,
        )
        license, _ = await licensing.grant(ledger, licensing.LicenseBook(owner.folder / "licenses"), order)
    await stage.start("unit", "run", home=unit.folder)
    return license, unit.folder


def _file(path: Path) -> Path:
    lines = [FIRST_LINE, b"M83"]
    size = 0
    for number in range(1_000_000):
        line = b"G1 X%d.%03d Y%d.%03d E0.0%d" % (
            number % 200,
            number % 1000,
            number // 7 % 200,
            number % 997,
            number % 90,
        )
        lines.append(line)
        size += len(line) + 1
        if size >= FILE_BYTES:
            break
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path
